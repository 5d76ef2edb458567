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

#[cfg(test)]
mod tests {
    use super::*;

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
