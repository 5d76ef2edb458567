//! What matches, what does not, what is refused, and how much room it all takes.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn listed(rows: &[(Kind, &str, &str, u8)]) -> Intel {
    let mut builder = Builder::new();
    for (kind, value, feed, confidence) in rows {
        let feed = builder.feed(Feed::named(feed)).unwrap();
        let (confidence, value) = (*confidence, *value);
        builder.add(feed, &Indicator { kind: *kind, value, confidence, expires: None, note: "" }).unwrap();
    }
    builder.build()
}

fn refused(kind: Kind, value: &str) -> Refused {
    let mut builder = Builder::new();
    let feed = builder.feed(Feed::named("a")).unwrap();
    builder.add(feed, &Indicator { kind, value, confidence: 80, expires: None, note: "" }).unwrap_err()
}

fn address(intel: &Intel, text: &str) -> Option<String> {
    intel.address(text.parse().unwrap(), NOW).map(|hit| hit.value())
}

#[test]
fn addresses_match_by_every_length_that_occurs() {
    let intel = listed(&[
        (Kind::Address, "198.51.100.7", "a", 80),
        (Kind::Address, "203.0.113.128/25", "a", 80),
        (Kind::Address, "45.0.0.0/8", "a", 80),
        (Kind::Address, "2001:db8::7", "a", 80),
        (Kind::Address, "2001:db8:9::/48", "a", 80),
    ]);
    for (text, expect) in [
        ("198.51.100.7", Some("198.51.100.7")),
        ("::ffff:198.51.100.7", Some("198.51.100.7")),
        ("198.51.100.8", None),
        ("203.0.113.200", Some("203.0.113.128/25")),
        ("203.0.113.100", None),
        ("45.255.255.255", Some("45.0.0.0/8")),
        ("2001:db8::7", Some("2001:db8::7")),
        ("2001:db8::8", None),
        ("2001:db8:9:1::1", Some("2001:db8:9::/48")),
        ("2001:db8:8:1::1", None),
    ] {
        assert_eq!(address(&intel, text).as_deref(), expect, "{text}");
    }
}

#[test]
fn a_domain_covers_what_is_below_it_and_nothing_beside_it() {
    let intel = listed(&[(Kind::Domain, "Evil.Example.", "a", 80), (Kind::Sni, "sni.example.com", "a", 80)]);
    let covered = |name: &str| intel.domain(name, NOW).is_some();
    assert!(
        covered("evil.example") && covered("a.evil.example") && covered("a.b.c.d.e.f.g.h.i.j.evil.example")
    );
    for name in ["notevil.example", "evil.example.net", "example", "", ".", "sni.example.com"] {
        assert!(!covered(name), "{name}");
    }
    assert!(intel.exact(Kind::Sni, "sni.example.com", NOW).is_some());
    assert!(intel.exact(Kind::Sni, "a.sni.example.com", NOW).is_none());
    assert!(intel.exact(Kind::Domain, "sni.example.com", NOW).is_none(), "kinds are told apart");
}

#[test]
fn urls_match_without_scheme_port_and_fragment() {
    let intel = listed(&[
        (Kind::Url, "hxxps://user@Bad[.]example:8443/a/B.exe?x=1#top", "a", 80),
        (Kind::Url, "http://pages.github.io/kit/", "a", 80),
        (Kind::Url, "http://198.51.100.9", "a", 80),
    ]);
    for (host, target, expect) in [
        ("bad.example", "/a/B.exe?x=1", true),
        ("bad.example", "http://bad.example/a/B.exe?x=1", true),
        ("bad.example", "/a/b.exe?x=1", false),
        ("pages.github.io", "/kit/", true),
        ("198.51.100.9", "/", true),
        ("198.51.100.9", "", true),
    ] {
        assert_eq!(intel.exact(Kind::Url, &url_key(host, target), NOW).is_some(), expect, "{host} {target}");
    }
}

#[test]
fn what_ran_out_never_matches_and_the_surest_feed_answers() {
    let mut builder = Builder::new();
    for (feed, confidence, expires) in
        [("a", 90, Some(NOW)), ("b", 40, None), ("c", 60, None), ("c", 30, None)]
    {
        let feed = builder.feed(Feed::named(feed)).unwrap();
        let value = "198.51.100.7";
        builder
            .add(
                feed,
                &Indicator { kind: Kind::Address, value, confidence, expires, note: feed_note(confidence) },
            )
            .unwrap();
    }
    let intel = builder.build();
    assert_eq!(intel.len(), 3, "one for each feed");
    let hit = intel.address("198.51.100.7".parse().unwrap(), NOW).unwrap();
    assert_eq!((hit.feed.name.as_str(), hit.feeds, hit.confidence, hit.note), ("c", 2, 60, "c2"));
    let before =
        intel.address("198.51.100.7".parse().unwrap(), Timestamp::from_secs(NOW.secs() - 1)).unwrap();
    assert_eq!((before.feed.name.as_str(), before.feeds, before.place), ("a", 3, hit.place));
}

fn feed_note(confidence: u8) -> &'static str {
    if confidence == 60 { "c2" } else { "" }
}

#[test]
fn what_would_match_too_much_is_refused() {
    for (kind, value, expect) in [
        (Kind::Address, "10.1.2.3", Refused::Reserved),
        (Kind::Address, "fe80::1", Refused::Reserved),
        (Kind::Address, "100.64.0.1", Refused::Reserved),
        (Kind::Address, "224.0.0.1", Refused::Reserved),
        (Kind::Address, "0.0.0.0", Refused::Reserved),
        (Kind::Address, "198.0.0.0/7", Refused::TooBroad),
        (Kind::Address, "0.0.0.0/0", Refused::TooBroad),
        (Kind::Address, "2001::/18", Refused::TooBroad),
        (Kind::Address, "::/0", Refused::TooBroad),
        (Kind::Address, "198.51.100", Refused::Address),
        (Kind::Domain, "com", Refused::Domain),
        (Kind::Domain, "co.jp", Refused::Suffix),
        (Kind::Domain, "github.io", Refused::Suffix),
        (Kind::Domain, "関守.example", Refused::Domain),
        (Kind::Domain, "a..example", Refused::Domain),
        (Kind::Domain, "198.51.100.7", Refused::Domain),
        (Kind::Url, "ftp://a.example/x", Refused::Url),
        (Kind::Url, "http://localhost/x", Refused::Url),
        (Kind::Url, "http://192.168.1.1/x", Refused::Reserved),
        (Kind::Path, "/", Refused::Path),
        (Kind::Ja4, "t13d1516h2_8daaf6152771", Refused::Ja4),
        (Kind::Certificate, "00", Refused::Certificate),
    ] {
        assert_eq!(refused(kind, value), expect, "{value}");
    }
    let long = format!("http://a.example/{}", "x".repeat(3_000));
    assert_eq!(refused(Kind::Url, &long), Refused::TooLong);
}

#[test]
fn fingerprints_are_read_in_the_usual_forms() {
    let (ja4, sha) = ("t13d1516h2_8daaf6152771_e5627efa2ab1", "AB:".repeat(31) + "ab");
    let intel = listed(&[(Kind::Ja4, ja4, "a", 80), (Kind::Certificate, &sha, "a", 80)]);
    assert!(intel.exact(Kind::Ja4, ja4, NOW).is_some());
    assert_eq!(intel.certificate(&[0xab; 32], NOW).map(|hit| hit.value()), Some("ab".repeat(32)));
    assert!(intel.certificate(&[0xac; 32], NOW).is_none());
}

#[test]
fn a_feed_is_stale_only_after_its_own_age() {
    let mut feed = Feed::named("a");
    assert!(!feed.is_stale(NOW));
    feed.made = Some(NOW.minus(Duration::from_secs(100)));
    assert!(!feed.is_stale(NOW));
    feed.max_age = Some(Duration::from_secs(99));
    assert!(feed.is_stale(NOW));
    feed.max_age = Some(Duration::from_secs(100));
    assert!(!feed.is_stale(NOW));
}

#[test]
fn a_million_indicators_fit_and_are_all_found() {
    let mut builder = Builder::new();
    let feed = builder.feed(Feed::named("a")).unwrap();
    let name = |n: u32| format!("host{n}.campaign-{}.malware.example", n % 997);
    let url = |n: u32| format!("http://files{n}.example/path/to/some/payload/{n}.exe?id={n}");
    for n in 0..1_000_000_u32 {
        let (kind, value) = match n % 4 {
            0 => (Kind::Domain, name(n)),
            1 => (Kind::Url, url(n)),
            _ => (Kind::Address, core::net::Ipv4Addr::from_bits(0x2d00_0000 + n).to_string()),
        };
        builder
            .add(feed, &Indicator { kind, value: &value, confidence: 80, expires: None, note: "" })
            .unwrap();
    }
    let intel = builder.build();
    assert_eq!(intel.len(), 1_000_000);
    assert!(intel.bytes() <= BYTES_MAX / 2, "{} MiB", intel.bytes() >> 20);
    let most = intel.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(most <= 32, "a bucket has {most} entries");
    for n in (0..1_000_000_u32).step_by(1_000) {
        assert!(intel.domain(&name(n), NOW).is_some());
        let url = url(n + 1);
        assert!(intel.exact(Kind::Url, url.strip_prefix("http://").unwrap(), NOW).is_some());
        assert!(intel.domain(&name(n + 1), NOW).is_none());
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_else_is_lost() {
    let mut builder = Builder::new();
    let feed = builder.feed(Feed::named("a")).unwrap();
    let mut taken = 0_usize;
    let refused = loop {
        let url = format!("http://{taken}.example/{}", "x".repeat(1_900));
        match builder
            .add(feed, &Indicator { kind: Kind::Url, value: &url, confidence: 80, expires: None, note: "" })
        {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::Full);
    let intel = builder.build();
    assert_eq!(intel.len(), taken);
    assert!(intel.bytes() <= BYTES_MAX);
}
