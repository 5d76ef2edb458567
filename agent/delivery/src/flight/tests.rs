//! Rounds, windows and epochs of what is under way.

use super::*;

const AT_ONCE: Duration = Duration::from_millis(50);

fn at(seq: u64) -> Position {
    Position { epoch: 1, seq }
}

/// Sends the next batches as an agent does: `count` of them.
fn send(flight: &mut Flight, waiting: Waiting, count: u64) -> Option<(Lane, u64)> {
    let next = flight.next(waiting)?;
    let first = next.after.map_or(1, |after| after.seq + 1);
    let last = at(first + count - 1);
    flight.push(Sent {
        lane: next.lane,
        first: at(first),
        last,
        acked: at(0),
        bytes: next.bytes.min(20_000),
    });
    Some((next.lane, first))
}

const fn detail(detail: u64) -> Waiting {
    Waiting { urgent: 0, detail }
}

#[test]
fn one_until_an_answer_came_then_several_each_after_the_one_before() {
    let mut flight = Flight::new(4);
    assert_eq!(send(&mut flight, detail(100), 5), Some((Lane::Detail, 1)));
    assert_eq!(send(&mut flight, detail(100), 5), None, "nobody has answered yet");
    flight.answered(AT_ONCE, true);
    let sent: Vec<_> = std::iter::from_fn(|| send(&mut flight, detail(100), 5)).collect();
    assert_eq!(sent, [1, 6, 11, 16].map(|seq| (Lane::Detail, seq)));
    assert_eq!(flight.len(), 4);
    flight.answered(AT_ONCE, true);
    assert_eq!(send(&mut flight, detail(95), 5), Some((Lane::Detail, 21)));
}

#[test]
fn the_first_of_each_chain_goes_alone() {
    let mut flight = Flight::new(4);
    let waiting = Waiting { urgent: 1, detail: 50 };
    assert_eq!(send(&mut flight, waiting, 1), Some((Lane::Urgent, 1)));
    flight.answered(AT_ONCE, true);
    assert_eq!(send(&mut flight, detail(50), 5), Some((Lane::Detail, 1)));
    assert_eq!(send(&mut flight, detail(50), 5), None, "no other of this chain passes it");
    assert_eq!(send(&mut flight, Waiting { urgent: 1, detail: 50 }, 1), Some((Lane::Urgent, 1)));
    flight.answered(AT_ONCE, true);
    assert_eq!(send(&mut flight, detail(45), 5), Some((Lane::Detail, 1)), "after what is acknowledged");
    assert_eq!(send(&mut flight, detail(45), 5), Some((Lane::Detail, 6)));
    flight.broken();
    assert_eq!(send(&mut flight, detail(45), 5), Some((Lane::Detail, 1)));
    assert_eq!(send(&mut flight, detail(45), 5), None, "another connection may be another collector");
}

#[test]
fn findings_go_next_and_nothing_goes_twice() {
    let mut flight = Flight::new(4);
    send(&mut flight, detail(1), 1);
    flight.answered(AT_ONCE, true);
    let waiting = Waiting { urgent: 2, detail: 9 };
    assert_eq!(send(&mut flight, detail(9), 5), Some((Lane::Detail, 1)));
    assert_eq!(send(&mut flight, waiting, 2), Some((Lane::Urgent, 1)));
    assert_eq!(send(&mut flight, waiting, 4), Some((Lane::Detail, 6)));
    assert_eq!(send(&mut flight, waiting, 1), None, "everything is under way");
}

#[test]
fn a_disappointment_ends_the_round_when_all_have_answered() {
    let mut flight = Flight::new(4);
    send(&mut flight, detail(50), 5);
    flight.answered(AT_ONCE, true);
    while send(&mut flight, detail(50), 5).is_some() {}
    for (all, left) in [(true, 3), (false, 2), (true, 1)] {
        flight.answered(AT_ONCE, all);
        assert_eq!(flight.len(), left);
        if left < 3 {
            assert_eq!(send(&mut flight, detail(45), 5), None);
        }
    }
    flight.answered(AT_ONCE, false);
    assert_eq!(send(&mut flight, detail(45), 5), Some((Lane::Detail, 1)), "after what is acknowledged");
}

#[test]
fn bytes_under_way_follow_the_line_within_bounds() {
    let mut flight = Flight::new(4);
    let fill = |flight: &mut Flight, took| {
        while let Some(next) = flight.next(detail(10_000)) {
            let first = next.after.map_or(1, |after| after.seq + 1);
            let sent =
                Sent { lane: next.lane, first: at(first), last: at(first), acked: at(0), bytes: next.bytes };
            flight.push(sent);
        }
        let bytes = flight.bytes();
        while !flight.is_empty() {
            flight.answered(took, true);
        }
        bytes
    };
    assert_eq!(fill(&mut flight, AT_ONCE), BYTES_MIN, "in one piece");
    for _ in 0..3 {
        fill(&mut flight, AT_ONCE);
    }
    assert_eq!(fill(&mut flight, AT_ONCE), BYTES_MAX);
    for _ in 0..3 {
        fill(&mut flight, SLOW * 2);
    }
    assert_eq!(fill(&mut flight, AT_ONCE), BYTES_MIN);
    flight.broken();
    assert_eq!(flight.next(detail(1)).map(|next| next.bytes), Some(BYTES_MIN));
}

#[test]
fn another_epoch_waits_for_the_one_before() {
    let mut flight = Flight::new(4);
    assert!(flight.may_follow(Lane::Detail, at(7)));
    send(&mut flight, detail(3), 1);
    assert!(flight.may_follow(Lane::Detail, at(2)));
    let begun_anew = Position { epoch: 2, seq: 1 };
    assert!(!flight.may_follow(Lane::Detail, begun_anew));
    assert!(flight.may_follow(Lane::Urgent, begun_anew), "the other chain is none of its business");
}
