//! Learning what is there: ripe after a day, bounded, learned anew once full, and the same whether or not one restarts.

use proptest::prelude::*;
use sekimori_wire::finding::Finding;

use super::*;
use crate::baseline::{Read, Sections};
use crate::detect::Detect;
use crate::detect::baseline_volume::tests::{file_of, show};
use crate::detect::host_new::HostNew;
use crate::detect::service_exposed::ServiceExposed;
use crate::event::{Arp, Endpoint, Event, FlowEvent, FlowRef};
use crate::limits::Limits;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn after(hours: u64) -> Timestamp {
    START.plus(Duration::from_secs(hours * 3_600))
}

fn known(capacity: usize) -> Known<(IpAddr, u16)> {
    let limits = Limits { detector_entries: capacity, ..Limits::gateway() };
    Known::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] })
}

fn key(port: u16) -> (IpAddr, u16) {
    ("192.0.2.1".parse().unwrap(), port)
}

#[test]
fn nothing_is_new_before_a_day_and_a_full_table_is_learned_anew() {
    let (mut known, mut evicted) = (known(2), 0);
    (0..25).for_each(|hour| {
        assert_eq!(known.see(after(hour), key(1), &mut evicted), Sighting::Nothing);
    });
    assert_eq!(known.see(after(25), key(1), &mut evicted), Sighting::Nothing);
    assert_eq!(known.see(after(26), key(2), &mut evicted), Sighting::New(26));
    assert_eq!((evicted, known.ripeness()), (0, Ripeness { series: 1, ripe: 1 }));
    assert_eq!(known.see(after(27), key(3), &mut evicted), Sighting::Nothing);
    assert_eq!((evicted, known.ripeness()), (2, Ripeness { series: 1, ripe: 0 }));
    (28..60).for_each(|hour| known.pass(after(hour)));
    assert_eq!(known.see(after(60), key(3), &mut evicted), Sighting::Nothing);
    assert_eq!(known.see(after(60), key(4), &mut evicted), Sighting::New(33));
    assert_eq!(evicted, 2);
}

#[test]
fn time_in_which_nothing_was_seen_teaches_nothing() {
    let mut learning = Learning::default();
    assert_eq!((learning.ripe_hours(START), learning.ripe_hours(after(100))), (None, None));
    (101..110).for_each(|hour| assert_eq!(learning.ripe_hours(after(hour)), None));
    assert_eq!(learning.ripe_hours(after(110)), Some(110));
}

#[test]
fn time_that_is_yet_to_come_teaches_nothing() {
    let mut learning = Learning::default();
    (1_000..1_030).for_each(|hour| {
        learning.ripe_hours(after(hour));
    });
    assert!(learning.is_ripe);
    (0..24).for_each(|hour| assert_eq!(learning.ripe_hours(after(hour)), None, "the clock was put right"));
    assert_eq!(learning.ripe_hours(after(24)), Some(24));
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    let (mut before, mut evicted) = (known(8), 0);
    let packed = |known: &Known<_>| {
        let mut pack = Pack::default();
        known.pack(&mut pack);
        pack.0
    };
    let empty = packed(&before);
    (0..25).for_each(|hour| before.pass(after(hour)));
    (0..8).for_each(|port| {
        before.see(after(25), key(port), &mut evicted);
    });
    let bytes = packed(&before);
    let mut now = known(8);
    assert!(now.recall(&mut Unpack(&bytes)));
    assert_eq!(packed(&now), bytes);
    assert_eq!(now.see(after(25), key(7), &mut evicted), Sighting::Nothing);
    assert_eq!(now.ripeness(), Ripeness { series: 1, ripe: 1 });
    assert!(known(8).recall(&mut Unpack(&empty)));
    let mut smaller = known(7);
    assert!(!smaller.recall(&mut Unpack(&bytes)), "learned with larger tables");
    assert_eq!(packed(&smaller), empty);
    for cut in (0..bytes.len()).filter(|cut| *cut < 20 || (cut - 20) % 7 > 0) {
        let mut cut_off = known(8);
        assert!(!cut_off.recall(&mut Unpack(&bytes[..cut])), "{cut} bytes");
        assert_eq!(packed(&cut_off), empty);
    }
}

/// One step of a small network: minutes since the last one, what it is, and whose.
fn step() -> impl Strategy<Value = (u64, u8, u8)> {
    (0..75_u64, 0..3_u8, 0..12_u8)
}

fn events(steps: &[(u64, u8, u8)]) -> Vec<Event> {
    let mut minutes = 0;
    let one = |(gap, kind, number): &(u64, u8, u8)| {
        minutes += gap;
        let at = START.plus(Duration::from_secs(minutes * 60));
        let inside: IpAddr = [192, 168, 10, 1 + number].into();
        let outside: IpAddr = [203, 0, 113, 9].into();
        let (originator, responder) = match kind {
            0 => {
                let arp = Arp {
                    operation: 1,
                    sender_mac: [2, 0, 0, 0, 0, *number],
                    sender_ip: [192, 168, 20, *number].into(),
                    target_mac: [0; 6],
                    target_ip: [192, 168, 20, 254].into(),
                    frame: None,
                };
                return Event::Arp { at, vlan: None, arp };
            }
            1 => (Endpoint { address: inside, port: 50_000 }, Endpoint { address: outside, port: 443 }),
            _ => (
                Endpoint { address: outside, port: 50_000 },
                Endpoint { address: inside, port: 22 + u16::from(*number) % 3 },
            ),
        };
        let flow = FlowRef {
            id: minutes,
            began: at,
            originator,
            responder,
            protocol: 6,
            vlan: None,
            swapped: false,
        };
        Event::Flow { at, flow, what: FlowEvent::Established }
    };
    steps.iter().map(one).collect()
}

/// What is found in one run, and with a restart before the event at `cut`.
fn with_and_without_a_restart<D: Detect>(
    fresh: impl Fn() -> D,
    events: &[Event],
    cut: usize,
) -> [Vec<Finding>; 2] {
    let mut one = fresh();
    let whole = show(&mut one, events.iter().cloned());
    let (before, after) = events.split_at(cut);
    let mut first = fresh();
    let mut found = show(&mut first, before.iter().cloned());
    let mut second = fresh();
    assert!(second.recall(&Read::new(&file_of(&first)).unwrap()));
    found.extend(show(&mut second, after.iter().cloned()));
    assert_eq!(file_of(&one), file_of(&second), "the same is learned");
    [whole, found]
}

proptest! {
    #[test]
    fn a_restart_changes_nothing(
        steps in prop::collection::vec(step(), 1..150),
        cut: prop::sample::Index,
        capacity in 4..64_usize,
    ) {
        let (events, cut) = (events(&steps), cut.index(steps.len()));
        let limits = Limits { detector_entries: capacity, ..Limits::gateway() };
        let setup = Setup { limits: &limits, seed: 0, user_key: &[0; 32] };
        let [whole, found] = with_and_without_a_restart(|| HostNew::new(&setup), &events, cut);
        prop_assert_eq!(whole, found);
        let [whole, found] = with_and_without_a_restart(|| ServiceExposed::new(&setup), &events, cut);
        prop_assert_eq!(whole, found);
    }
}

#[test]
fn a_restart_does_not_begin_another_day_of_learning() {
    let day: Vec<(u64, u8, u8)> = (0..30).map(|hour| (60, hour % 3, 1)).collect();
    let strangers = [(60, 0, 7), (1, 1, 8), (1, 2, 9)];
    let all = events(&[&day[..], &strangers].concat());
    let limits = Limits::gateway();
    let setup = Setup { limits: &limits, seed: 0, user_key: &[0; 32] };
    let [_, found] = with_and_without_a_restart(|| HostNew::new(&setup), &all, day.len());
    assert_eq!(found.len(), 3, "by Ethernet, connecting, and connected to: {found:#?}");
    let [_, found] = with_and_without_a_restart(|| ServiceExposed::new(&setup), &all, day.len());
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_section_that_is_something_else_is_refused() {
    let limits = Limits::gateway();
    let setup = Setup { limits: &limits, seed: 0, user_key: &[0; 32] };
    let mut devices = HostNew::new(&setup);
    show(&mut devices, events(&[(0, 0, 1), (60, 1, 2)]));
    let (section, bytes) = devices.learned().unwrap();
    let refused = |bytes: &[u8]| {
        let mut sections = Sections::default();
        sections.push(section, bytes);
        let mut fresh = HostNew::new(&setup);
        let is_refused = !fresh.recall(&Read::new(&sections.into_file()).unwrap());
        assert!(!is_refused || fresh.ripeness() == Ripeness::default(), "nothing is taken over");
        is_refused
    };
    assert!(!refused(&bytes));
    assert!(refused(&bytes[..bytes.len() - 1]) && refused(&bytes[..19]) && refused(&bytes[..39]));
    assert!(refused(&[&bytes[..], &[9]].concat()) && refused(&[&bytes[..], &[4, 1]].concat()));
}
