//! The registered part of a domain name, by the public suffix list.

/// The part of a name that somebody registered, by the public suffix list. `None` for a bare suffix or an address.
pub fn registered_domain(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    // Only what ends in a digit or has a colon can be an address.
    let numeric = name.bytes().last().is_some_and(|last| last.is_ascii_digit()) || name.contains(':');
    if numeric && name.parse::<core::net::IpAddr>().is_ok() {
        return None;
    }
    psl::domain_str(name)
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
        ] {
            assert_eq!(registered_domain(name), expect, "{name}");
        }
    }
}
