//! The registered part of a domain name, by the public suffix list.

/// The part of a name that somebody registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered<'a> {
    /// That part, without a final dot.
    pub name: &'a str,
    /// What it ends with is on the public suffix list, and not only assumed to be a suffix.
    pub is_listed: bool,
}

impl<'a> Registered<'a> {
    /// Of a name, by the public suffix list. `None` for a bare suffix or an address.
    pub fn of(name: &'a str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if may_be_address(name) && name.parse::<core::net::IpAddr>().is_ok() {
            return None;
        }
        let found = psl::domain(name.as_bytes())?;
        let is_listed = found.suffix().is_known();
        let name = name.get(name.len() - found.as_bytes().len()..)?;
        Some(Self { name: name.strip_suffix('.').unwrap_or(name), is_listed })
    }
}

/// An address ends with a digit or, of version 6, has a colon and ends with it or a hexadecimal digit.
fn may_be_address(name: &str) -> bool {
    match name.as_bytes().last() {
        Some(last) if last.is_ascii_digit() => true,
        Some(last) if last.is_ascii_hexdigit() || *last == b':' => name.contains(':'),
        Some(_) | None => false,
    }
}

/// The part of a name that somebody registered, by the public suffix list. `None` for a bare suffix or an address.
pub fn registered_domain(name: &str) -> Option<&str> {
    Registered::of(name).map(|found| found.name)
}

/// What a name ends with, of one label, of two, and so on up to `labels`: the name itself too if it has no more.
pub fn ends(name: &str, labels: usize) -> impl Iterator<Item = &str> {
    let mut from = Some(name.len() + 1);
    let next = move || {
        let before = name.get(..from?.checked_sub(1)?)?;
        from = before.bytes().rposition(|byte| byte == b'.').map(|dot| dot + 1);
        name.get(from.unwrap_or_default()..)
    };
    core::iter::from_fn(next).take(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_each_of_its_last_labels() {
        let of = |name, labels| ends(name, labels).collect::<Vec<_>>();
        assert_eq!(of("www.city.example", 9), ["example", "city.example", "www.city.example"]);
        assert_eq!(of("www.city.example", 2), ["example", "city.example"]);
        assert_eq!((of("example", 2), of("", 2), of("a.", 3)), (vec!["example"], vec![""], vec!["", "a."]));
    }

    #[test]
    fn names_are_cut_to_what_was_registered() {
        for (name, expect) in [
            ("www.city.nagasaki.lg.jp", Some("nagasaki.lg.jp")),
            ("a.b.example.com.", Some("example.com")),
            ("example.co.jp", Some("example.co.jp")),
            ("co.jp", None),
            ("192.0.2.1", None),
            ("x.pirate.sea", Some("pirate.sea")),
            ("", None),
            ("2001:db8::a", None),
            ("::", None),
            ("a.example.com..", Some("example.com")),
        ] {
            assert_eq!(registered_domain(name), expect, "{name}");
        }
    }
}
