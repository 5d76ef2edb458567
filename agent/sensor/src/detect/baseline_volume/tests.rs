//! Weeks of hourly traffic, then an hour that is unlike them.

use super::*;
use crate::baseline::Sections;
use crate::detect::Names;
use crate::detect::tests::build::Alone;
use crate::event::{Endpoint, FlowEvent, Volume as Bytes};
use crate::limits::Limits;

/// 2026-11-01T15:00:00Z: midnight of a Monday in Japan.
const MONDAY: u64 = 1_793_545_200;

pub(in crate::detect) fn hour_at(hour: u64, second: u64) -> Timestamp {
    Timestamp::from_secs(MONDAY + hour * 3_600 + second)
}

/// A flow that ends, and its bytes each way.
pub(in crate::detect) fn ended(at: Timestamp, ends: (&str, &str), port: u16, bytes: (u64, u64)) -> Event {
    let end = |address: &str, port| Endpoint { address: address.parse().unwrap(), port };
    let flow = FlowRef {
        id: at.secs(),
        began: at,
        originator: end(ends.0, 50_000),
        responder: end(ends.1, port),
        protocol: 6,
        vlan: None,
        swapped: false,
    };
    let volume = |bytes: u64| Bytes { packets: u64::from(bytes > 0), bytes, ..Bytes::default() };
    let record =
        FlowRecord { originator: volume(bytes.0), responder: volume(bytes.1), ..FlowRecord::default() };
    Event::Flow { at, flow, what: FlowEvent::Ended(Box::new(record)) }
}

/// Shows events to a detector; gives the last revision of each finding.
pub(in crate::detect) fn show<D: Detect>(
    detector: &mut D,
    events: impl IntoIterator<Item = Event>,
) -> Vec<Finding> {
    let (limits, policy) = (Limits::gateway(), Policy::default_private());
    let (names, mut out) = (Names::new(&limits, 0), Findings::new(&limits, 0));
    let mut one = Alone::default();
    let mut found: Vec<Finding> = Vec::new();
    for event in events {
        out.on_time(event.at());
        one.show(detector, &event, (&policy, &names), &mut out);
        for finding in out.take_ready() {
            found.retain(|one| one.id != finding.id);
            found.push(finding);
        }
    }
    out.finish();
    for finding in out.take_ready() {
        found.retain(|one| one.id != finding.id);
        found.push(finding);
    }
    found
}

pub(in crate::detect) fn file_of<D: Detect>(detector: &D) -> Vec<u8> {
    let mut sections = Sections::default();
    let (section, bytes) = detector.learned().unwrap();
    sections.push(section, &bytes);
    sections.into_file()
}

fn fresh() -> BaselineVolume {
    let limits = Limits::gateway();
    BaselineVolume::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] })
}

/// 200 MB an hour by day, nearly nothing at night, over TLS's port.
fn office(hours: core::ops::Range<u64>) -> impl Iterator<Item = Event> {
    hours.map(|hour| {
        let busy = (8..18).contains(&(hour % 24)) && hour % 168 < 120;
        let bytes = if busy { 200_000_000 + hour * 7_919 % 60_000_000 } else { 20_000 };
        ended(hour_at(hour, 1_800), ("192.168.10.21", "198.51.100.7"), 443, (bytes / 10, bytes))
    })
}

#[test]
fn a_large_upload_at_night_is_told_once() {
    let mut detector = fresh();
    assert_eq!(show(&mut detector, office(0..24 * 23)), []);
    let night = 24 * 23 + 2;
    let upload = |hour, second| {
        ended(hour_at(hour, second), ("192.168.10.77", "203.0.113.9"), 443, (70_000_000, 500_000))
    };
    let found = show(
        &mut detector,
        [upload(night, 10), upload(night, 900), upload(night + 1, 10), upload(night + 2, 10)],
    );
    assert_eq!(found.len(), 1, "{found:?}");
    let finding = &found[0];
    assert_eq!(finding.originator, Some(Host::Ip("192.168.10.77".parse().unwrap())));
    assert_eq!((finding.severity.level(), &*finding.evidence.rule), (2, "baseline.volume/1"));
    assert_eq!(finding.evidence.baseline[&"compared_with".into()], Value::from("hour of the day"));
}

#[test]
fn a_busy_but_usual_monday_is_silent() {
    let mut detector = fresh();
    show(&mut detector, office(0..24 * 28));
    let monday = 24 * 28;
    let busy = (9..17).map(|hour| {
        ended(
            hour_at(monday + hour, 1_800),
            ("192.168.10.21", "198.51.100.7"),
            443,
            (60_000_000, 500_000_000),
        )
    });
    assert_eq!(show(&mut detector, busy), []);
}

#[test]
fn warming_up_says_nothing_and_says_so() {
    let mut detector = fresh();
    let found = show(
        &mut detector,
        office(0..24 * 10).chain([ended(
            hour_at(24 * 10 + 2, 0),
            ("192.168.10.77", "203.0.113.9"),
            443,
            (900_000_000, 0),
        )]),
    );
    assert_eq!(found, []);
    assert_eq!(detector.ripeness(), Ripeness { series: 1, ripe: 0 });
}

#[test]
fn what_was_learned_survives_a_restart() {
    let mut before = fresh();
    show(&mut before, office(0..24 * 23));
    let file = file_of(&before);
    let mut after = fresh();
    assert!(after.recall(&Read::new(&file).unwrap()));
    let upload = ended(hour_at(24 * 23 + 2, 10), ("192.168.10.77", "203.0.113.9"), 443, (70_000_000, 0));
    assert_eq!(show(&mut after, [upload]).len(), 1);
    assert_eq!(after.ripeness(), Ripeness { series: 1, ripe: 1 });
    assert_eq!(file_of(&after), file);
}

#[test]
fn a_section_that_lies_is_refused_whole() {
    let mut sections = Sections::default();
    sections.push(Section::Volume, &[3, b'a', b'b']);
    let file = sections.into_file();
    let mut detector = fresh();
    assert!(!detector.recall(&Read::new(&file).unwrap()));
    assert_eq!(detector.ripeness(), Ripeness::default());
}

#[test]
fn services_and_segments_are_bounded() {
    let limits = Limits { detector_entries: 8, ..Limits::gateway() };
    let mut detector = BaselineVolume::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] });
    let strangers =
        (1..100).map(|port| ended(hour_at(0, u64::from(port)), ("192.168.10.5", "192.0.2.1"), port, (9, 9)));
    show(&mut detector, strangers);
    assert_eq!((detector.series.len(), detector.take_evicted()), (8, 91));
    let unanswered = ended(hour_at(0, 500), ("192.168.10.5", "192.0.2.1"), 500, (9, 0));
    show(&mut detector, [unanswered]);
    assert_eq!(detector.take_evicted(), 0, "an unanswered packet begins no series");
}

#[test]
fn keys_read_back() {
    let keys = [
        Key { body: None, segment: None, way: Way::Out, service: Service::Port(17, 0) },
        Key {
            body: "422011".parse().ok(),
            segment: Some(Segment::Lgwan),
            way: Way::Within,
            service: Service::Known(Application::Tls),
        },
        Key { body: None, segment: Some(Segment::Dmz), way: Way::In, service: Service::Port(6, 873) },
    ];
    for key in keys {
        let mut pack = Pack::default();
        key.pack(&mut pack);
        assert_eq!(Key::unpack(&mut Unpack(&pack.0)), Some(key));
    }
}
