//! A published service that stops answering, answers with errors or slows down; and what looks like it and is not.

use super::*;
use crate::detect::tests::build::{Script, host};
use crate::event::Opening;

const WEB: (&str, u16) = ("192.168.10.5", 443);
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// An address outside, another for each number up to 250.
fn client(n: u64) -> String {
    format!("203.0.113.{}", 1 + n % 250)
}

/// One connection after another from `from` to `until`, each `every` milliseconds, from ever other clients.
fn visits(script: &mut Script, from: u64, until: u64, every: u64, then: &[FlowEvent]) {
    for (n, ms) in (from..until).step_by(usize::try_from(every).unwrap()).enumerate() {
        script.syn(ms, (&client(n as u64), 50_000), WEB, then);
    }
}

const GOOD: [FlowEvent; 2] = [FlowEvent::Answered, FlowEvent::Established];

#[test]
fn a_service_that_answers_nobody_any_more_is_told_once_and_again_after_it_was_back() {
    let mut script = Script::default();
    visits(&mut script, 0, 30 * MINUTE, 4 * SECOND, &GOOD);
    visits(&mut script, 30 * MINUTE, 60 * MINUTE, 4 * SECOND, &[FlowEvent::Unanswered]);
    let finding = script.only(Category::ServiceDown);
    assert_eq!((finding.responder, finding.originator), (host(WEB.0), None));
    assert_eq!((finding.severity, finding.count), (Severity::MEDIUM, 450));
    let told_at = finding.time;
    assert!(told_at >= crate::detect::tests::build::at(30 * MINUTE), "{told_at:?}");
    // Back, and away again: an outage of its own.
    visits(&mut script, 60 * MINUTE, 90 * MINUTE, 4 * SECOND, &GOOD);
    visits(&mut script, 90 * MINUTE, 95 * MINUTE, 4 * SECOND, &[FlowEvent::Rejected]);
    let mut all = script.run();
    all.retain(|finding| finding.category == Category::ServiceDown);
    assert_eq!(all.len(), 2, "{all:#?}");
}

#[test]
fn a_silence_that_was_to_be_expected_is_none() {
    // One visit in ten minutes: three bots in the night that a firewall drops are no outage.
    let mut night = Script::default();
    visits(&mut night, 0, 600 * MINUTE, 10 * MINUTE, &GOOD);
    visits(&mut night, 600 * MINUTE, 602 * MINUTE, 5 * SECOND, &[FlowEvent::Unanswered]);
    night.quiet();
    // Too new to be known.
    let mut fresh = Script::default();
    visits(&mut fresh, 0, 5 * MINUTE, SECOND, &GOOD);
    visits(&mut fresh, 5 * MINUTE, 8 * MINUTE, 4 * SECOND, &[FlowEvent::Unanswered]);
    fresh.quiet();
    // One client that is not answered, and others that are.
    let mut one = Script::default();
    visits(&mut one, 0, 60 * MINUTE, 4 * SECOND, &GOOD);
    for ms in (30 * MINUTE..60 * MINUTE).step_by(3_000) {
        one.syn(ms, ("198.51.100.9", 50_000), WEB, &[FlowEvent::Unanswered]);
    }
    one.quiet();
    // And one alone, of a service that nobody else asks now.
    let mut alone = Script::default();
    visits(&mut alone, 0, 30 * MINUTE, 4 * SECOND, &GOOD);
    for ms in (30 * MINUTE..40 * MINUTE).step_by(3_000) {
        alone.syn(ms, ("198.51.100.9", 50_000), WEB, &[FlowEvent::Unanswered]);
    }
    alone.quiet();
}

/// Requests, each answered after a time with a status.
fn requests(script: &mut Script, from: u64, until: u64, (wait, status): (u64, u16)) {
    for (n, ms) in (from..until).step_by(5_000).enumerate() {
        let flow = script.syn(ms, (&client(n as u64), 50_000), ("192.168.10.5", 80), &GOOD);
        let opening = |from_originator| Opening { from_originator, bytes: 300, ..Opening::default() };
        script.push(ms + 30, flow, FlowEvent::Opening(opening(true)));
        script.push(ms + 30, flow, FlowEvent::HttpRequest(Box::default()));
        script.push(ms + 30 + wait, flow, FlowEvent::Opening(opening(false)));
        script.push(ms + 30 + wait, flow, FlowEvent::HttpResponse { status });
    }
}

#[test]
fn errors_are_told_where_they_are_not_usual() {
    let mut script = Script::default();
    requests(&mut script, 0, 60 * MINUTE, (80, 200));
    requests(&mut script, 60 * MINUTE, 70 * MINUTE, (80, 503));
    let finding = script.only(Category::ServiceDown);
    assert!(finding.title.en.contains("errors") && finding.count >= 20, "{finding:#?}");
    let mut usual = Script::default();
    requests(&mut usual, 0, 70 * MINUTE, (80, 500));
    usual.quiet();
    // A page that is not there is no fault of the server.
    let mut absent = Script::default();
    requests(&mut absent, 0, 60 * MINUTE, (80, 200));
    requests(&mut absent, 60 * MINUTE, 70 * MINUTE, (80, 404));
    absent.quiet();
}

#[test]
fn a_service_that_takes_much_longer_than_usual_is_slow() {
    let mut script = Script::default();
    requests(&mut script, 0, 60 * MINUTE, (120, 200));
    requests(&mut script, 60 * MINUTE, 80 * MINUTE, (2_500, 200));
    requests(&mut script, 80 * MINUTE, 100 * MINUTE, (120, 200));
    let finding = script.only(Category::ServiceDown);
    assert_eq!(
        (finding.severity, finding.title.en.contains("slowed")),
        (Severity::LOW, true),
        "{finding:#?}"
    );
    // Twice as long, and four times as long of nearly nothing, are no trouble to anybody.
    for (before, after) in [(120, 300), (10, 60)] {
        let mut script = Script::default();
        requests(&mut script, 0, 60 * MINUTE, (before, 200));
        requests(&mut script, 60 * MINUTE, 80 * MINUTE, (after, 200));
        script.quiet();
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut script = Script::default();
    for n in 0..100_u16 {
        script.syn(u64::from(n), ("203.0.113.1", 50_000), ("192.168.10.5", 1_000 + n), &GOOD);
    }
    // An eighth of ten entries, rounded up.
    assert_eq!(script.forgotten(ServiceDown::new), 98);
}

#[test]
fn the_middle_of_a_histogram_is_near_what_was_measured() {
    for micros in [0, 1, 2, 3, 5, 100, 1_500, 120_000, 2_500_000, u64::MAX] {
        let mut times = Histogram([0; 128]);
        for _ in 0..3 {
            times.add(micros);
        }
        times.add(1);
        times.add(u64::from(u32::MAX));
        let (median, real) = (times.median(), micros.clamp(1, u64::from(u32::MAX)));
        assert!(median <= real && median >= real - real / 4, "{micros}: {median}");
    }
}
