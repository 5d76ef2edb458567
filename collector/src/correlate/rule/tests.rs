//! The table from findings to incidents, and what correlates.

use super::*;
use sekimori_wire::finding::{Bilingual, Confidence, Evidence};
use sekimori_wire::id::FindingId;

/// `category originator responder target segment`, `-` for none.
fn finding(text: &str) -> Finding {
    let parts: Vec<&str> = text.split(' ').collect();
    let some = |number: usize| Some(parts[number]).filter(|part| *part != "-");
    Finding {
        id: FindingId::of(&[text.as_bytes()]),
        revision: 1,
        time: Timestamp::from_secs(100),
        end: Timestamp::from_secs(200),
        detected_at: Timestamp::from_secs(150),
        category: parts[0].parse().unwrap(),
        severity: Severity::LOW,
        confidence: Confidence::from_permille(900),
        originator: some(1).map(|host| host.parse().unwrap()),
        responder: some(2).map(|host| host.parse().unwrap()),
        targets: some(3).map(BoundedText::new).into_iter().collect(),
        ports: Vec::new(),
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence: Evidence::default(),
        technique: BoundedText::default(),
        count: 1,
        body: None,
        segment: some(4).map(BoundedText::new),
        degraded: false,
        excepted_by: None,
    }
}

#[test]
fn the_table_gives_category_subject_severity_and_indicators() {
    for (text, expected) in [
        ("scan.port 203.0.113.9 10.0.0.5 - -", "scan 203.0.113.9 1 address=203.0.113.9"),
        ("scan.host 10.0.0.9 - 10.0.0.5 -", "scan 10.0.0.9 1"),
        ("scan.host 02:00:00:00:00:09 - - -", "scan 02:00:00:00:00:09 1"),
        ("bruteforce.login 2001:db8::1 10.0.0.5 - -", "brute_force 2001:db8::1 1 address=2001:db8::1"),
        ("bruteforce.login fd00::1 10.0.0.5 - -", "brute_force fd00::1 1"),
        ("flood.syn 203.0.113.9 10.0.0.5 - -", "dos 10.0.0.5 1 address=203.0.113.9"),
        ("flood.syn - - 10.0.0.5 -", "dos 10.0.0.5 1"),
        ("flood.syn - - - -", "dos - 1"),
        ("dns.tunnel 10.0.0.7 8.8.8.8 T.Example.COM. -", "dns_tunnel t.example.com 1 domain=t.example.com"),
        ("dns.tunnel 10.0.0.7 8.8.8.8 192.0.2.1 -", "dns_tunnel 10.0.0.7 1"),
        ("segment.violation 10.1.0.7 10.2.0.1 - internet", "segment_violation 10.1.0.7 1"),
        ("segment.violation 10.1.0.7 10.2.0.1 - lgwan", "segment_violation 10.1.0.7 3"),
        ("segment.violation 10.1.0.7 10.2.0.1 - my_number", "segment_violation 10.1.0.7 4"),
        ("scan.port 100.64.0.1 10.0.0.5 - my_number", "scan 100.64.0.1 1"),
    ] {
        assert_eq!(shown(&claim(&finding(text), None)), expected, "{text}");
    }
}

#[test]
fn an_endpoint_alert_speaks_by_its_class() {
    let text = "endpoint.alert 10.0.0.7 203.0.113.9 - -";
    for (class, expected) in [
        (AlertClass::Malware, "malware_infection 10.0.0.7 1 address=203.0.113.9"),
        (AlertClass::Ransomware, "ransomware 10.0.0.7 4 address=203.0.113.9"),
        (AlertClass::CommandAndControl, "c2_beacon 10.0.0.7 1 address=203.0.113.9"),
        (AlertClass::Policy, "policy_violation 10.0.0.7 1 address=203.0.113.9"),
    ] {
        assert_eq!(shown(&claim(&finding(text), Some(class))), expected, "{class:?}");
    }
    let mut nameless = finding("endpoint.alert - - - -");
    nameless.evidence.inputs.insert("host_name".into(), "pc\n01".into());
    assert_eq!(shown(&claim(&nameless, Some(AlertClass::Malware))), "malware_infection pc\\u{a}01 1");
}

#[test]
fn every_category_of_finding_has_a_rule_of_its_own() {
    for category in Category::ALL.iter().filter(|category| **category != Category::EndpointAlert) {
        let rule = RULES.iter().find(|(prefix, ..)| category.as_str().starts_with(prefix));
        assert!(rule.is_some_and(|(prefix, ..)| !prefix.is_empty()), "{category}");
    }
}

#[test]
fn fingerprints_are_indicators() {
    let mut with = finding("scan.port 10.0.0.9 - - -");
    with.evidence.inputs.insert("ja4".into(), "t13d1516h2_8daaf6152771_b186095e22b6".into());
    assert_eq!(shown(&claim(&with, None)), "scan 10.0.0.9 1 ja4=t13d1516h2_8daaf6152771_b186095e22b6");
}

/// Finding; class; inputs; indicators.
type Case<'a> = (&'a str, Option<AlertClass>, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn what_is_the_attackers_is_an_indicator() {
    let hash = "0123456789abcdef".repeat(4);
    let empty = sekimori_wire::id::Digest::of(b"").to_string();
    let none = "";
    let malware = Some(AlertClass::Malware);
    let cases: &[Case<'_>] = &[
        // Malware calls its server; who is contacted otherwise is anybody.
        ("c2.beacon 10.0.0.9 203.0.113.9 - -", None, &[], "address=203.0.113.9"),
        ("c2.tunnel 10.0.0.9 203.0.113.9 - -", None, &[], "address=203.0.113.9"),
        ("exfil.volume 10.0.0.9 203.0.113.9 - -", None, &[], none),
        ("c2.beacon 10.0.0.9 10.9.9.9 - -", None, &[], none),
        // A certificate, whoever writes it how; but not where it only breaks a rule.
        ("c2.beacon 10.0.0.9 - - -", None, &[("certificate_sha256", "HASH")], "certificate=hash"),
        ("tls.anomaly 10.0.0.9 - - -", None, &[("certificate_sha256", "hash")], none),
        ("c2.beacon 10.0.0.9 - - -", None, &[("certificate_sha256", "abc")], none),
        // A file.
        ("endpoint.alert 10.0.0.9 - - -", malware, &[("file_sha256", "hash")], "file=hash"),
        ("endpoint.alert 10.0.0.9 - - -", malware, &[("file_sha256", "empty")], none),
        // What a feed lists.
        (
            "intel.match 10.0.0.9 - - -",
            None,
            &[("type", "ip"), ("indicator", "203.0.113.9")],
            "address=203.0.113.9",
        ),
        ("intel.match 10.0.0.9 - - -", None, &[("type", "ip"), ("indicator", "203.0.113.0/24")], none),
        (
            "intel.match 10.0.0.9 - - -",
            None,
            &[("type", "domain"), ("indicator", "Evil.Example.")],
            "domain=evil.example",
        ),
        (
            "intel.match 10.0.0.9 - - -",
            None,
            &[("type", "sni"), ("indicator", "evil.example")],
            "domain=evil.example",
        ),
        ("intel.match 10.0.0.9 - - -", None, &[("type", "ja4"), ("indicator", "t13")], "ja4=t13"),
        (
            "intel.match 10.0.0.9 - - -",
            None,
            &[("type", "cert_sha256"), ("indicator", "hash")],
            "certificate=hash",
        ),
        ("intel.match 10.0.0.9 - - -", None, &[("type", "url_path"), ("indicator", "/x")], none),
        ("scan.port 10.0.0.9 - - -", None, &[("type", "ja4"), ("indicator", "t13")], none),
    ];
    for (text, class, inputs, expected) in cases {
        let mut finding = finding(text);
        for (name, value) in *inputs {
            let value = match *value {
                "hash" => hash.clone(),
                "HASH" => hash.to_uppercase(),
                "empty" => empty.clone(),
                other => other.to_owned(),
            };
            finding.evidence.inputs.insert((*name).into(), value.into());
        }
        let claim = claim(&finding, *class);
        let shown: Vec<_> =
            claim.indicators.iter().map(|one| format!("{}={}", one.kind.as_str(), one.value)).collect();
        assert_eq!(shown.join(" "), expected.replace("hash", &hash), "{text} {inputs:?}");
    }
}

fn shown(claim: &Claim) -> String {
    let mut words =
        vec![claim.category.as_str().to_owned(), claim.subject.clone(), claim.severity.level().to_string()];
    words.extend(claim.indicators.iter().map(|one| format!("{}={}", one.kind.as_str(), one.value)));
    words.join(" ")
}
