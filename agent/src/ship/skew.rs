//! How far our clock is from the collector's, measured at each acknowledgement. Pure: it is told the times.
//!
//! The collector read its clock between our sending and our receiving, so half the round trip bounds the error, strictly. A
//! sample that does not fit what is held within both bounds means that a clock was set: it replaces what is held. Event time is
//! never judged by this.

use std::time::Duration;

use sekimori_wire::record::Clock;
use sekimori_wire::time::Timestamp;

/// Two clocks drift apart by so much between samples without anybody setting them.
const DRIFT_MS: u64 = 500;
/// Share of a new sample: 1/8 evens out the line's jitter within a few acknowledgements.
const SHARE: i64 = 8;
/// If our own clock was set during a round trip, by more than this, the sample says nothing.
const SET_MS: u64 = 250;

/// One exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// Our clock when the request went.
    pub(super) sent: Timestamp,
    /// Our clock when the answer was here.
    pub(super) received: Timestamp,
    /// What passed meanwhile, by a clock that nobody sets.
    pub(super) took: Duration,
}

/// The figure held after a sample; `theirs` is the collector's clock in between.
pub(super) fn after(held: Option<Clock>, exchange: &Exchange, theirs: Timestamp) -> Option<Clock> {
    let (sent, received, theirs) = (millis(exchange.sent), millis(exchange.received), millis(theirs));
    let took = i64::try_from(exchange.took.as_millis()).unwrap_or(i64::MAX);
    let was_set = received.saturating_sub(sent).abs_diff(took) > SET_MS;
    if was_set {
        return held;
    }
    let offset_ms = sent.saturating_add(took / 2).saturating_sub(theirs);
    let error_ms = took.unsigned_abs() / 2 + 1;
    Some(match held {
        Some(held) if held.offset_ms.abs_diff(offset_ms) <= held.error_ms + error_ms + DRIFT_MS => {
            let before = i64::try_from(held.error_ms).unwrap_or(i64::MAX);
            let now = i64::try_from(error_ms).unwrap_or(i64::MAX);
            let error = before.saturating_add(now.saturating_sub(before) / SHARE);
            Clock {
                offset_ms: held.offset_ms.saturating_add((offset_ms - held.offset_ms) / SHARE),
                error_ms: error.unsigned_abs().max(1),
            }
        }
        Some(_) | None => Clock { offset_ms, error_ms },
    })
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_800_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(T * 1_000_000_000).plus(Duration::from_millis(ms.unsigned_abs()))
    }

    /// Ours at the start, how long it took, theirs.
    fn sample(held: Option<Clock>, ours: i64, took: i64, theirs: i64) -> Option<Clock> {
        let exchange = Exchange {
            sent: at(ours),
            received: at(ours + took),
            took: Duration::from_millis(took.unsigned_abs()),
        };
        after(held, &exchange, at(theirs))
    }

    #[test]
    fn half_the_round_trip_bounds_the_error() {
        assert_eq!(sample(None, 40_000, 100, 50), Some(Clock { offset_ms: 40_000, error_ms: 51 }));
        assert_eq!(sample(None, 0, 100, 40_050), Some(Clock { offset_ms: -40_000, error_ms: 51 }));
    }

    #[test]
    fn jitter_is_evened_out_and_a_clock_that_was_set_shows_at_once() {
        let mut held = sample(None, 0, 20, 10);
        for _busy in 0..4 {
            held = sample(held, 0, 400, 10);
        }
        let clock = held.unwrap();
        assert!(clock.offset_ms.abs() < 100 && clock.error_ms < 201, "{clock:?}");
        assert_eq!(sample(held, 3_600_000, 20, 10).unwrap().offset_ms, 3_600_000);
        assert_eq!(sample(held, 0, 20, 86_400_010).unwrap().offset_ms, -86_400_000);
    }

    #[test]
    fn a_clock_that_was_set_during_the_exchange_says_nothing() {
        let held = Some(Clock { offset_ms: 5, error_ms: 1 });
        let set = Exchange { sent: at(0), received: at(3_600_000), took: Duration::from_millis(20) };
        assert_eq!(after(held, &set, at(0)), held);
        let back = Exchange { sent: at(3_600_000), received: at(0), took: Duration::from_millis(20) };
        assert_eq!(after(held, &back, at(0)), held);
    }
}
