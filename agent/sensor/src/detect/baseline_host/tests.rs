//! Weeks of one host, then an hour that is unlike them.

use sekimori_wire::finding::Value;

use super::*;
use crate::detect::baseline_volume::tests::{ended, file_of, hour_at, show};
use crate::limits::Limits;

const HOST: &str = "192.168.10.77";

fn fresh() -> BaselineHost {
    let limits = Limits::gateway();
    BaselineHost::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] })
}

/// A usual hour: some megabytes out, twenty destinations, three failures.
fn usual(hour: u64) -> Vec<Event> {
    let mut events =
        vec![ended(hour_at(hour, 1), (HOST, "198.51.100.7"), 443, (3_000_000 + hour % 7 * 100_000, 9_000))];
    events.extend((0..20).map(|other| started(hour, 2 + other, other)));
    events.extend((0..3).map(|_| failed(hour, 100)));
    events
}

fn about(hour: u64, second: u64, other: u64, what: FlowEvent) -> Event {
    let Event::Flow { at, flow, .. } = ended(
        hour_at(hour, second),
        (HOST, &format!("198.51.{}.{}", other / 250, other % 250 + 1)),
        443,
        (1, 1),
    ) else {
        panic!("not a flow")
    };
    Event::Flow { at, flow, what }
}

fn started(hour: u64, second: u64, other: u64) -> Event {
    about(hour, second, other, FlowEvent::Started(First::Syn))
}

fn failed(hour: u64, second: u64) -> Event {
    about(hour, second, 3, FlowEvent::Unanswered)
}

fn ripe() -> BaselineHost {
    let mut detector = fresh();
    assert_eq!(show(&mut detector, (0..24 * 21).flat_map(usual)), []);
    detector
}

const LATER: u64 = 24 * 21 + 2;

#[test]
fn each_number_can_depart() {
    let upload = ended(hour_at(LATER, 5), (HOST, "203.0.113.9"), 443, (80_000_000, 1));
    let many = (0..250).map(|other| started(LATER, 5 + other, other));
    let failures = (0..400).map(|second| failed(LATER, second));
    let metrics: [(Vec<Event>, &str); 3] = [
        (vec![upload], "bytes_out"),
        (many.collect(), "distinct_destinations"),
        (failures.collect(), "failed_connections"),
    ];
    for (events, metric) in metrics {
        let found = show(&mut ripe(), events);
        assert_eq!(found.len(), 1, "{metric}: {found:?}");
        assert!(found[0].evidence.inputs.contains_key(&metric.into()), "{metric}");
        assert_eq!(found[0].originator, Some(Host::Ip(HOST.parse().unwrap())));
        assert_eq!(
            found[0].evidence.baseline[&"compared_with".into()],
            Value::from("hour of a working day or weekend")
        );
    }
}

#[test]
fn a_host_without_a_past_is_not_judged() {
    let mut detector = fresh();
    let upload = ended(hour_at(LATER, 5), (HOST, "203.0.113.9"), 443, (80_000_000, 1));
    assert_eq!(show(&mut detector, [upload]), []);
    assert_eq!(detector.ripeness(), Ripeness { series: 3, ripe: 0 });
}

#[test]
fn a_hard_day_is_silent() {
    let mut detector = ripe();
    let upload = ended(hour_at(LATER, 5), (HOST, "203.0.113.9"), 443, (40_000_000, 1));
    let many = (0..90).map(|other| started(LATER, 5 + other, other));
    let failures = (0..100).map(|second| failed(LATER, second));
    assert_eq!(show(&mut detector, [upload].into_iter().chain(many).chain(failures)), []);
}

#[test]
fn what_was_learned_survives_a_restart() {
    let before = ripe();
    let file = file_of(&before);
    let mut after = fresh();
    assert!(after.recall(&Read::new(&file).unwrap()));
    let upload = ended(hour_at(LATER, 5), (HOST, "203.0.113.9"), 443, (80_000_000, 1));
    assert_eq!(show(&mut after, [upload]).len(), 1);
    for cut in [10, file.len() / 2] {
        let mut sections = crate::baseline::Sections::default();
        let (section, bytes) = before.learned().unwrap();
        sections.push(section, &bytes[..cut]);
        assert!(!fresh().recall(&Read::new(&sections.into_file()).unwrap()));
    }
}

#[test]
fn strangers_are_bounded_and_forged_ones_cost_nothing() {
    let limits = Limits { detector_entries: 8, ..Limits::gateway() };
    let mut detector = BaselineHost::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] });
    let from = |second: u64, answered: u64| {
        ended(hour_at(0, second), (&format!("192.168.20.{second}"), "192.0.2.1"), 80, (9, answered))
    };
    show(&mut detector, (1..100).map(|second| from(second, 0)));
    assert_eq!((detector.hosts.len(), detector.take_evicted()), (0, 0));
    show(&mut detector, (1..100).map(|second| from(second, 9)));
    assert_eq!((detector.hosts.len(), detector.take_evicted()), (8, 91));
}
