//! What is wrong with a certificate, as it was shown at a certain time for a certain name.

use core::net::IpAddr;

use super::Problem;
use crate::event::tls::CertificateContent;

/// Type of the attribute "common name" (RFC 5280, appendix A).
const COMMON_NAME: &str = "2.5.4.3";
/// Algorithm of an RSA key (RFC 3279).
const RSA: &str = "1.2.840.113549.1.1.1";
/// Shortest RSA modulus in use since 2014 (NIST SP 800-131A; CA/Browser Forum Baseline Requirements, 6.1.5).
const RSA_BITS_MIN: u32 = 2_048;
/// Signatures with MD2, MD4 and MD5 (RFC 3279; RFC 6151: no longer acceptable).
const BROKEN_SIGNATURES: [&str; 3] = ["1.2.840.113549.1.1.2", "1.2.840.113549.1.1.3", "1.2.840.113549.1.1.4"];
/// Longest validity of a server's certificate by the day it begins, newest first (CA/Browser Forum Baseline Requirements,
/// 6.3.2, in their versions): seconds since 1970, days. A day more is forgiven.
const LONGEST: [(i64, i64); 4] =
    [(1_598_918_400, 399), (1_519_862_400, 826), (1_427_846_400, 1_187), (i64::MIN, 1_827)];
const DAY: i64 = 86_400;

/// All that is wrong with a server's own certificate. `alone`: the server sent no other.
pub(super) fn problems(
    content: &CertificateContent,
    alone: bool,
    asked_for: Option<&str>,
    now: i64,
) -> Vec<Problem> {
    let mut found = Vec::new();
    if content.not_after < now {
        found.push(Problem::Expired);
    }
    if content.not_before > now {
        found.push(Problem::NotYetValid);
    }
    let self_signed = !content.subject.0.is_empty() && content.subject == content.issuer;
    if self_signed && alone {
        found.push(Problem::SelfSigned);
    }
    if asked_for.is_some_and(|name| !covers(content, name)) {
        found.push(Problem::NameMismatch);
    }
    let short = &*content.key.algorithm == RSA && (1..RSA_BITS_MIN).contains(&content.key.bits);
    let curve = content.key.curve.is_some() && (1..224).contains(&content.key.bits);
    if short || curve || BROKEN_SIGNATURES.contains(&&*content.signature_algorithm) {
        found.push(Problem::WeakKey);
    }
    let longest =
        LONGEST.iter().find(|(from, _)| content.not_before >= *from).map_or(i64::MAX, |(_, days)| *days);
    if !self_signed && content.not_after.saturating_sub(content.not_before) > longest.saturating_mul(DAY) {
        found.push(Problem::LongValidity);
    }
    found
}

/// The certificate is for this name (RFC 9525; the common name only where there is no alternative one, as clients before it
/// did).
fn covers(content: &CertificateContent, name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let names = &content.names;
    if let Ok(address) = name.parse::<IpAddr>() {
        return names.ip.contains(&address)
            || names.dns.iter().any(|one| **one == *name)
            || content.subject.first(COMMON_NAME).is_some_and(|one| one == name);
    }
    if names.dns.is_empty() {
        return content.subject.first(COMMON_NAME).is_some_and(|one| fits(one, &name));
    }
    names.dns.iter().any(|one| fits(one, &name))
}

/// A presented name, perhaps with `*` as its whole first label (RFC 9525, 6.3).
fn fits(presented: &str, name: &str) -> bool {
    let presented = presented.trim_end_matches('.').to_ascii_lowercase();
    match presented.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => presented == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tls::{AlternativeNames, Attribute, Name, PublicKey};

    const NOW: i64 = 1_700_000_000;

    fn named(name: &str) -> Name {
        Name([Attribute { joined: false, oid: COMMON_NAME.into(), value: name.into() }].into())
    }

    fn good() -> CertificateContent {
        CertificateContent {
            subject: named("www.city.example"),
            issuer: named("An authority"),
            not_before: NOW - 30 * DAY,
            not_after: NOW + 60 * DAY,
            key: PublicKey { algorithm: RSA.into(), bits: 2_048, ..PublicKey::default() },
            names: AlternativeNames {
                dns: ["www.city.example".into(), "*.city.example".into()].into(),
                ..AlternativeNames::default()
            },
            ..CertificateContent::default()
        }
    }

    #[test]
    fn a_good_certificate_has_no_problem() {
        for name in ["www.city.example", "WWW.City.Example.", "mail.city.example"] {
            assert_eq!(problems(&good(), false, Some(name), NOW), []);
        }
    }

    #[test]
    fn each_problem_is_found_alone() {
        let check = |change: fn(&mut CertificateContent), name: &str, expected: Problem| {
            let mut content = good();
            change(&mut content);
            assert_eq!(problems(&content, true, Some(name), NOW), [expected]);
        };
        let name = "www.city.example";
        check(|one| one.not_after = NOW - 1, name, Problem::Expired);
        check(|one| one.not_before = NOW + 1, name, Problem::NotYetValid);
        check(|one| one.issuer = one.subject.clone(), name, Problem::SelfSigned);
        check(|_| {}, "a.b.city.example", Problem::NameMismatch);
        check(|_| {}, "city.example", Problem::NameMismatch);
        check(|one| one.key.bits = 1_024, name, Problem::WeakKey);
        check(|one| one.not_after = one.not_before + 800 * DAY, name, Problem::LongValidity);
    }

    #[test]
    fn the_common_name_counts_only_alone() {
        let mut content = good();
        content.names.dns = [].into();
        assert_eq!(problems(&content, false, Some("www.city.example"), NOW), []);
        content.names.dns = ["other.example".into()].into();
        assert_eq!(problems(&content, false, Some("www.city.example"), NOW), [Problem::NameMismatch]);
    }
}
