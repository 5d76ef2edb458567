//! Texts, times and values as they may stand in a file that somebody else's program reads.

use std::net::IpAddr;

use sekimori_wire::id::Host;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

/// Longest name of a domain.
const DOMAIN_MAX: usize = 253;
/// Longest part of it.
const LABEL_MAX: usize = 63;
/// Digits of SHA-256.
const SHA256_DIGITS: usize = 64;

/// At most `MAX` bytes; control, direction and zero-width characters are written out, U+0000 among them.
pub(super) fn clean<const MAX: usize>(text: &str) -> String {
    BoundedText::<MAX>::new(text).to_string()
}

/// Several lines of it.
pub(super) fn lines(text: &str) -> String {
    const MAX: usize = 16 * 1024;
    let cut = BoundedText::<MAX>::new(text);
    cut.as_str().lines().map(clean::<MAX>).collect::<Vec<_>>().join("\n")
}

/// A text field of a stored object.
pub(super) fn field<'a>(json: &'a Value, key: &str) -> &'a str {
    json.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A text in one of the languages.
pub(super) fn in_lang(json: &Value, key: &str, lang: &str) -> String {
    clean::<1024>(json.get(key).map(|both| field(both, lang)).unwrap_or_default())
}

/// A time field.
pub(super) fn time(json: &Value, key: &str) -> Option<Timestamp> {
    field(json, key).parse().ok()
}

/// The texts of a list.
pub(super) fn list<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    json.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// RFC 3339 in UTC, to the millisecond, as STIX wants it.
pub(super) fn millis(at: Timestamp) -> String {
    let whole = at.to_string();
    match whole.split_once('.') {
        Some((seconds, fraction)) => {
            let fraction: String = fraction.chars().take(3).collect();
            format!("{seconds}.{fraction}Z")
        }
        None => whole,
    }
}

/// Milliseconds since 1970, as OCSF wants it.
pub(super) fn epoch_millis(at: Timestamp) -> u64 {
    at.nanos() / 1_000_000
}

/// By Japan's wall clock, as spreadsheets understand it.
pub(super) fn japan(at: Timestamp) -> String {
    const JST_SECONDS: i32 = 9 * 3600;
    let zone = jiff::tz::Offset::from_seconds(JST_SECONDS).unwrap_or(jiff::tz::Offset::UTC);
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What may be part of a file's name.
pub(super) fn file_name(text: &str) -> String {
    text.chars().filter(|ch| ch.is_ascii_alphanumeric() || *ch == '-').take(64).collect()
}

/// What something is, if it is something that others have a word for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Observable {
    Ip(IpAddr),
    Mac(String),
    Domain(String),
    FileSha256(String),
}

impl Observable {
    /// An address or a domain; anything else is none.
    pub(super) fn of(text: &str) -> Option<Self> {
        match text.parse::<Host>() {
            Ok(Host::Ip(address)) => Some(Self::Ip(address)),
            Ok(mac @ Host::Mac(_)) => Some(Self::Mac(mac.to_string())),
            Err(_) => is_domain(text).then(|| Self::Domain(text.to_ascii_lowercase())),
        }
    }

    /// A hash of a file.
    pub(super) fn sha256(text: &str) -> Option<Self> {
        let is_hash = text.len() == SHA256_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Self::FileSha256(text.to_ascii_lowercase()))
    }

    /// As text.
    pub(super) fn value(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Mac(text) | Self::Domain(text) | Self::FileSha256(text) => text.clone(),
        }
    }

    /// All that a finding names: who acted first, then whom it met.
    pub(super) fn all(finding: &Value) -> Vec<Self> {
        let ends = ["originator", "responder"].into_iter().filter_map(|key| Self::of(field(finding, key)));
        let targets = list(finding, "targets").filter_map(Self::of);
        let inputs = finding.get("evidence").and_then(|evidence| evidence.get("inputs"));
        let hash = inputs.and_then(|inputs| Self::sha256(field(inputs, "file_sha256")));
        let mut all: Vec<Self> = Vec::new();
        for one in ends.chain(targets).chain(hash) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }
}

/// Whether it is a name of at least two labels of letters, digits, `-` and `_`, and its last one is no number.
pub(super) fn is_domain(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    let is_label = |label: &&str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = labels.last().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    text.len() <= DOMAIN_MAX && labels.len() >= 2 && last && labels.iter().all(is_label)
}

/// Whether an address means the same host everywhere: what is not is no indicator for others.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || shared)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments().first().copied().unwrap_or_default();
            let is_local = first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80;
            !(is_local || v6.is_loopback() || v6.is_unspecified() || v6.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_looks_like_or_nothing() {
        for (text, expected) in [
            ("203.0.113.9", Some(Observable::Ip("203.0.113.9".parse().unwrap()))),
            ("2001:db8::1", Some(Observable::Ip("2001:db8::1".parse().unwrap()))),
            ("02:00:00:00:00:01", Some(Observable::Mac("02:00:00:00:00:01".to_owned()))),
            ("Evil.Example.JP", Some(Observable::Domain("evil.example.jp".to_owned()))),
            ("_dmarc.example.jp", Some(Observable::Domain("_dmarc.example.jp".to_owned()))),
            ("999.1.2.3", None),
            ("localhost", None),
            ("-a.example", None),
            ("<script>.example", None),
            ("a..b", None),
            ("", None),
        ] {
            assert_eq!(Observable::of(text), expected, "{text}");
        }
        assert_eq!(Observable::of(&format!("{}.jp", "a".repeat(64))), None);
        assert_eq!(Observable::of(&"a.".repeat(200)), None);
        assert_eq!(Observable::sha256(&"AB".repeat(32)), Some(Observable::FileSha256("ab".repeat(32))));
        assert_eq!(Observable::sha256("ab"), None);
    }

    #[test]
    fn inner_addresses_are_no_indicators() {
        for inner in [
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "fe80::1",
            "fd00::1",
            "::1",
            "::ffff:10.1.1.1",
            "224.0.0.1",
        ] {
            assert!(!is_public(inner.parse().unwrap()), "{inner}");
        }
        for outer in ["203.0.113.9", "8.8.8.8", "2001:db8::1"] {
            assert!(is_public(outer.parse().unwrap()), "{outer}");
        }
    }

    #[test]
    fn times_are_written_as_each_reader_wants_them() {
        let at: Timestamp = "2026-11-22T15:00:00.123456789Z".parse().unwrap();
        assert_eq!(millis(at), "2026-11-22T15:00:00.123Z");
        assert_eq!(millis(Timestamp::from_secs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(japan(at), "2026-11-23 00:00:00");
        assert_eq!(epoch_millis(at), 1_795_359_600_123);
        assert_eq!(file_name("INC-422011-20261122-1/../x\u{202e}"), "INC-422011-20261122-1x");
        assert_eq!(lines("a\nb\u{0}c\u{202e}"), "a\nb\\u{0}c\\u{202e}");
    }
}
