//! Who may speak to whom, on flows.

use sekimori_wire::finding::{Category, Finding};

use super::build::*;
use crate::event::{First, FlowEvent};
use crate::segment::Policy;

const OUT: &str = "203.0.113.7";

fn town() -> Policy {
    let json = r#"{
        "body": [{"code": "422011"}],
        "segment": [{"name": "my_number", "cidr": ["172.16.0.0/16"]}, {"name": "lgwan", "cidr": ["172.17.0.0/16"]},
                    {"name": "internet", "cidr": ["192.168.0.0/16"]}, {"name": "dmz", "cidr": ["198.51.100.0/28"]}],
        "allow": [{"id": "SC-1", "from": "lgwan", "to": "wan", "dst": "203.0.113.0/24", "purpose": "SaaS",
                   "approved_by": "CISO", "expires": "2020-03-31"}]
    }"#;
    Policy::from_file(serde_json::from_str(json).unwrap()).unwrap()
}

fn violations(script: &Script) -> Vec<Finding> {
    let findings = script.findings(&town(), 1);
    findings.into_iter().filter(|one| one.category == Category::SegmentViolation).collect()
}

#[test]
fn an_attempt_from_a_closed_segment_is_enough() {
    let mut script = Script::default();
    for n in 0..20 {
        script.syn(n * 100, ("172.16.3.4", 50_000), (OUT, 443), &[]);
        script.syn(n * 100, ("172.16.3.4", 50_001), ("192.168.1.1", 445), &[FlowEvent::Unanswered]);
    }
    let found = violations(&script);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|one| one.severity.level() == 4 && one.count == 20));
    assert!(found.iter().all(|one| one.body.is_some() && one.segment.as_deref() == Some("my_number")));
}

#[test]
fn background_noise_from_the_internet_is_none_until_it_is_answered() {
    let mut script = Script::default();
    for n in 1..200 {
        script.syn(n * 10, (OUT, 50_000), ("172.17.0.9", 22), &[FlowEvent::Unanswered]);
    }
    let datagram = script.flow(UDP, (OUT, 50_000), ("172.16.0.9", 161));
    script.push(1, datagram, FlowEvent::Started(First::Datagram));
    assert!(violations(&script).is_empty());
    script.syn(5_000, (OUT, 50_000), ("172.17.0.9", 23), &[FlowEvent::Answered]);
    let found = violations(&script);
    assert_eq!(found.iter().map(|one| one.severity.level()).collect::<Vec<_>>(), [4]);
    assert_eq!(found[0].segment.as_deref(), Some("lgwan"));
}

#[test]
fn what_the_matrix_allows_is_silent_and_a_late_approval_is_said_to_be_late() {
    let mut script = Script::default();
    script.session(0, ("192.168.1.1", 50_000), (OUT, 443), 100, (500, 500));
    script.session(0, (OUT, 50_000), ("198.51.100.2", 443), 100, (500, 500));
    script.session(0, ("192.168.1.1", 50_000), ("224.0.0.251", 5_353), 100, (500, 500));
    assert!(violations(&script).is_empty());
    script.syn(10, ("172.17.1.1", 50_000), (OUT, 443), &[FlowEvent::Answered]);
    let found = violations(&script);
    assert_eq!(found.len(), 1);
    assert!(found[0].explanation.en.contains("SC-1 ran out"), "{:#?}", found[0]);
    assert_eq!(&*found[0].evidence.rule, "segment.violation.expired/1");
    // The same host past what was ever approved is another finding.
    script.syn(20, ("172.17.1.1", 50_001), ("198.18.0.9", 443), &[FlowEvent::Answered]);
    let rules: Vec<String> = violations(&script).iter().map(|one| (*one.evidence.rule).to_owned()).collect();
    assert_eq!(rules, ["segment.violation.expired/1", "segment.violation/1"]);
}

#[test]
fn two_bodies_behind_one_interface_keep_their_names() {
    let json = r#"{
        "body": [{"code": "422011"}, {"code": "131016", "model": "alpha_prime"}],
        "segment": [{"name": "lgwan", "cidr": ["172.17.0.0/16"], "vlan": [20], "body": "422011"},
                    {"name": "lgwan", "cidr": ["172.17.0.0/16"], "vlan": [120], "body": "131016"}]
    }"#;
    let policy = Policy::from_file(serde_json::from_str(json).unwrap()).unwrap();
    let mut script = Script::default();
    for (vlan, port) in [(20, 50_000), (120, 50_001)] {
        let mut flow = script.flow(TCP, ("172.17.1.1", port), (OUT, 443));
        flow.vlan = Some(vlan);
        script.push(u64::from(vlan), flow, FlowEvent::Started(First::Syn));
    }
    let found = script.findings(&policy, 1);
    let bodies: Vec<String> = found.iter().filter_map(|one| one.body).map(|body| body.to_string()).collect();
    assert_eq!(bodies, ["422011", "131016"], "{found:#?}");
}
