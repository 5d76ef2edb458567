//! The matrix, the prefixes, the VLANs, the approvals, and mistakes in writing them down.

use super::*;

fn file(json: &str) -> PolicyFile {
    serde_json::from_str(json).unwrap()
}

fn policy(json: &str) -> Policy {
    Policy::from_file(file(json)).unwrap()
}

const TOWN: &str = r#"{
    "body": [{"code": "422011", "name": "長崎市", "model": "alpha"}],
    "segment": [
        {"name": "my_number", "cidr": ["172.16.0.0/16"], "vlan": [10]},
        {"name": "lgwan", "cidr": ["172.17.0.0/16"]},
        {"name": "internet", "cidr": ["192.168.0.0/16", "2001:db8:1::/48"]},
        {"name": "dmz", "cidr": ["192.168.200.0/24", "198.51.100.0/28"]},
        {"name": "mgmt", "vlan": [90]}
    ],
    "allow": [
        {"id": "SC-001", "from": "lgwan", "to": "internet", "src": "172.17.5.10/32", "dst": "192.168.9.8/32",
         "proto": "tcp", "port": 443, "purpose": "VDI", "approved_by": "CISO", "expires": "2027-03-31"}
    ]
}"#;

fn contact(from: &str, to: &str) -> Contact {
    let at = "2026-04-01T00:00:00Z".parse().unwrap();
    Contact {
        at,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        port: 443,
        protocol: 6,
        vlan: None,
        mac: None,
    }
}

/// What a contact to TCP port 443 is judged as.
fn check(from: &str, to: &str, expect: &str) {
    let town = policy(TOWN);
    let said = match town.judge(&contact(from, to)) {
        Verdict::Allow => "allow".to_owned(),
        Verdict::AllowedBy(id) => id.to_owned(),
        Verdict::ExpiredAllow { id, severity } => format!("expired {id} {}", severity.level()),
        Verdict::Violation { severity, approvable: true } => format!("S{}", severity.level()),
        Verdict::Violation { severity, approvable: false } => format!("D{}", severity.level()),
    };
    assert_eq!(said, expect, "{from} to {to}");
}

#[test]
fn longest_prefix_then_matrix() {
    check("172.16.0.1", "172.17.0.1", "S4");
    check("172.16.0.1", "8.8.8.8", "D4");
    check("172.17.0.1", "203.0.113.5", "D3");
    check("203.0.113.5", "172.17.0.1", "D4");
    check("203.0.113.5", "192.168.1.1", "D3");
    check("203.0.113.5", "192.168.200.1", "allow");
    check("203.0.113.5", "198.51.100.1", "allow");
    check("192.168.1.1", "192.168.200.1", "allow");
    check("192.168.1.1", "172.16.0.1", "D4");
    check("10.9.9.9", "192.168.1.1", "D1");
    check("2001:db8:1::5", "172.17.0.1", "S3");
    check("172.16.0.1", "224.0.0.251", "allow");
    check("fe80::1", "2001:db8:1::5", "allow");
    check("172.16.0.1", "172.16.200.1", "allow");
}

#[test]
fn going_out_directly_is_a_bypass_only_where_there_is_a_proxy() {
    check("192.168.1.1", "203.0.113.5", "allow");
    let json = TOWN
        .replace(r#"{"name": "mgmt""#, r#"{"name": "sec_cloud", "cidr": ["10.1.0.0/16"]}, {"name": "mgmt""#);
    let town = policy(&json);
    let out = town.judge(&contact("192.168.1.1", "203.0.113.5"));
    assert_eq!(out, Verdict::Violation { severity: Severity::MEDIUM, approvable: false });
}

#[test]
fn an_allow_entry_is_good_to_the_end_of_its_last_day_in_japan() {
    check("172.17.5.10", "192.168.9.8", "SC-001");
    check("172.17.5.11", "192.168.9.8", "S3");
    let town = policy(TOWN);
    let mut use_it = contact("172.17.5.10", "192.168.9.8");
    use_it.at = "2027-03-31T14:59:59Z".parse().unwrap();
    assert_eq!(town.judge(&use_it), Verdict::AllowedBy("SC-001"));
    use_it.at = "2027-03-31T15:00:00Z".parse().unwrap();
    assert_eq!(town.judge(&use_it), Verdict::ExpiredAllow { id: "SC-001", severity: Severity::HIGH });
    use_it.port = 80;
    assert_eq!(town.judge(&use_it), Verdict::Violation { severity: Severity::HIGH, approvable: true });
}

#[test]
fn models_differ_in_what_can_be_approved() {
    let prime = policy(&TOWN.replace("\"alpha\"", "\"alpha_prime\""));
    let out = prime.judge(&contact("172.17.0.1", "203.0.113.5"));
    assert_eq!(out, Verdict::Violation { severity: Severity::HIGH, approvable: true });
}

#[test]
fn a_vlan_places_what_no_prefix_does_and_tells_equal_prefixes_apart() {
    let town = policy(TOWN);
    let at = |vlan| town.place("10.9.9.9".parse().unwrap(), vlan).segment;
    assert_eq!(
        (at(Some(90)), at(Some(10)), at(None)),
        (Some(Segment::Mgmt), Some(Segment::Unknown), Some(Segment::Unknown))
    );
    // A my_number host seen beyond a router, on another VLAN, is still a my_number host.
    let home = town.place("172.16.0.1".parse().unwrap(), Some(90));
    assert_eq!(home.segment, Some(Segment::MyNumber));

    let two = policy(
        r#"{"body": [{"code": "422011"}, {"code": "131016"}],
            "segment": [{"name": "internet", "cidr": ["192.168.0.0/16"], "vlan": [30], "body": "422011"},
                        {"name": "lgwan", "cidr": ["192.168.0.0/16"], "vlan": [31], "body": "131016"}]}"#,
    );
    let body = |vlan| two.place("192.168.1.1".parse().unwrap(), Some(vlan));
    assert_eq!(body(30).body.map(|code| code.to_string()), Some("422011".to_owned()));
    assert_eq!(body(31).body.map(|code| code.to_string()), Some("131016".to_owned()));
    assert_eq!(body(31).segment, Some(Segment::Lgwan));
    assert_eq!(two.place("203.0.113.1".parse().unwrap(), None).body, None);
}

#[test]
fn without_segments_nothing_is_a_violation_and_private_is_inside() {
    let policy = Policy::default_private();
    assert_eq!(policy.judge(&contact("172.16.0.1", "8.8.8.8")), Verdict::Allow);
    assert_eq!(policy.place("10.0.0.1".parse().unwrap(), None), Place { segment: None, body: None });
    let inside = |text: &str| policy.is_inside(text.parse().unwrap());
    assert!(inside("10.0.0.1") && inside("fd00::1") && inside("::ffff:192.168.0.1") && !inside("8.8.8.8"));
}

#[test]
fn vital_systems_of_the_internet_segment_count_one_higher_in_beta_prime() {
    let vital = TOWN.replace(r#"{"name": "internet", "#, r#"{"name": "internet", "importance": 3, "#);
    for (model, expected) in [("beta", Severity::HIGH), ("beta_prime", Severity::CRITICAL)] {
        let town = policy(&vital.replace("\"alpha\"", &format!("\"{model}\"")));
        let into = town.judge(&contact("172.17.0.1", "192.168.1.1"));
        assert_eq!(into, Verdict::Violation { severity: expected, approvable: true }, "{model}");
        let out = town.judge(&contact("192.168.1.1", "172.17.0.1"));
        assert_eq!(out, Verdict::Violation { severity: Severity::HIGH, approvable: true }, "{model}");
    }
}

#[test]
fn an_approval_may_be_for_one_device() {
    let town = policy(&TOWN.replace(r#""proto": "tcp","#, r#""proto": "tcp", "mac": "02:00:00:00:00:01","#));
    assert!(town.has_mac_limits());
    let any = contact("172.17.5.10", "192.168.9.8");
    let by = |last| Contact { mac: Some([2, 0, 0, 0, 0, last]), ..any };
    assert_eq!(town.judge(&any), Verdict::AllowedBy("SC-001"));
    assert_eq!(town.judge(&by(1)), Verdict::AllowedBy("SC-001"));
    assert_eq!(town.judge(&by(2)), Verdict::Violation { severity: Severity::HIGH, approvable: true });
}

#[test]
fn mistakes_are_named() {
    for (json, expect) in [
        (r#"{"body": [{"code": "422012"}]}"#, "body.code = \"422012\" is no 団体コード"),
        (r#"{"body": [{"code": "422011"}, {"code": "422011"}]}"#, "body.code = \"422011\" is given twice"),
        (
            r#"{"body": [{"code": "422011"}, {"code": "131016"}], "segment": [{"name": "dmz", "vlan": [1]}]}"#,
            "segment[0].body is missing: there are 2 bodies, so each segment must name its own",
        ),
        (r#"{"segment": [{"name": "dmz"}]}"#, "segment[0] has neither cidr nor vlan"),
        (
            r#"{"segment": [{"name": "dmz", "vlan": [1], "importance": 4}]}"#,
            "segment[0].importance = 4 is not between 1 and 3",
        ),
        (
            r#"{"allow": [{"id": "1", "from": "dmz", "to": "edu", "purpose": "", "approved_by": "", "mac": "10.0.0.1"}]}"#,
            "allow.mac = \"10.0.0.1\" of \"1\" is not a hardware address such as 02:00:00:00:00:01",
        ),
        (
            r#"{"segment": [{"name": "dmz", "vlan": [4095]}]}"#,
            "segment[0].vlan = 4095 is not between 1 and 4094",
        ),
        (
            r#"{"segment": [{"name": "dmz", "cidr": ["10.0.0.0/8"]}, {"name": "edu", "cidr": ["10.0.0.1/8"]}]}"#,
            "segment[1].cidr = \"10.0.0.0/8\" is also that of another segment, and no vlan tells them apart",
        ),
        (
            r#"{"allow": [{"id": "1", "from": "dmz", "to": "edu", "purpose": "", "approved_by": "", "expires": "2027-02-30"}]}"#,
            "allow.expires = \"2027-02-30\" of \"1\" is not a day such as 2027-03-31",
        ),
    ] {
        assert_eq!(Policy::from_file(file(json)).unwrap_err().to_string(), expect);
    }
    let unknown = serde_json::from_str::<PolicyFile>(r#"{"segments": []}"#).unwrap_err();
    assert!(unknown.to_string().contains("segments"));
}
