//! What the flow layer notices becomes a finding about the deceived host.

use sekimori_wire::finding::Category;

use super::*;
use crate::detect::tests::build::{Script, TCP, at, host};
use crate::event::Application;
use crate::limits::Limits;

fn anomaly(layer: Layer, name: &'static str, from_originator: bool) -> FlowEvent {
    FlowEvent::Anomaly(Anomaly { layer, application: Application::Unknown, name, from_originator })
}

#[test]
fn a_contradicted_answer_is_an_injection() {
    let mut script = Script::default();
    for port in 50_000..50_003 {
        let flow = script.flow(TCP, ("192.168.7.20", port), ("203.0.113.5", 80));
        script.push(u64::from(port), flow, anomaly(Layer::Stream, CONTRADICTED_FROM_ELSEWHERE, false));
    }
    let found = script.only(Category::InjectTcp);
    assert_eq!((found.originator, found.responder), (None, host("192.168.7.20")));
    assert_eq!((found.severity.level(), found.count), (3, 3));
    assert_eq!(found.targets.iter().map(|one| &**one).collect::<Vec<_>>(), ["203.0.113.5"]);
}

#[test]
fn a_forged_reset_is_a_notice() {
    for name in [AFTER_RESET, RESET_AHEAD] {
        let mut script = Script::default();
        let flow = script.flow(TCP, ("192.168.7.20", 50_000), ("203.0.113.5", 443));
        script.push(1, flow, anomaly(Layer::Stream, name, false));
        assert_eq!(script.only(Category::InjectTcp).severity.level(), 1);
    }
}

#[test]
fn anomalies_of_protocols_are_none() {
    let mut script = Script::default();
    let flow = script.flow(TCP, ("192.168.7.20", 50_000), ("203.0.113.5", 443));
    script.push(1, flow, anomaly(Layer::Application, "INVALID_RECORD_TYPE", false));
    script.quiet();
}

#[test]
fn many_deceived_hosts_are_bounded_and_counted() {
    let limits = Limits { detector_entries: 16, ..Limits::gateway() };
    let setup = Setup { limits: &limits, seed: 1, user_key: &[0; 32] };
    let (mut detector, mut out) = (InjectTcp::new(&setup), Findings::new(&limits, 1));
    let policy = Policy::default_private();
    let mut script = Script::default();
    for last in 0..200_u8 {
        let flow = script.flow(TCP, (&format!("10.0.0.{last}"), 50_000), ("203.0.113.5", 80));
        let one = Anomaly {
            layer: Layer::Stream,
            application: Application::Unknown,
            name: CONTRADICTED,
            from_originator: false,
        };
        let sign = Sign::of(&one).unwrap();
        detector.take(at(last.into()), &flow, (&one, sign), (&policy, &mut out));
    }
    assert_eq!((detector.known.len(), detector.take_evicted()), (16, 184));
}
