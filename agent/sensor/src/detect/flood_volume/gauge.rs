//! What measures a flood: a bucket that leaks at the normal rate, and who or what most of it has in common.

/// Answers may come this many slots of one second after what they answer.
pub(in crate::detect) const GRACE: usize = 3;
/// A flood is what the normal rate would take this many seconds to send, on top of the normal rate: three seconds of twice the
/// normal, or one second of four times (DETECTION 4.8: "for 3 s").
const ALARM_SECONDS: u64 = 3;
/// The bucket holds no more than this many seconds of the normal rate, so that the alarm ends half a minute after the flood.
const CEILING_SECONDS: u64 = 30;
/// The learned rate may be exceeded so many times before it counts as excess.
const HEADROOM: u64 = 3;
/// One answer speaks for so many packets: QUIC, the least talkative of the transports that control congestion, acknowledges
/// at least every tenth packet or so (RFC 9000, 13.2.2 recommends every second).
const PACKETS_PER_ANSWER: u64 = 50;
/// A second moves the learned rate by one part in so many: a minute of something new is half learned.
const LEARNING: u64 = 64;
/// While the bucket is not empty it is learned so many times more slowly, so that a flood does not make itself normal.
const POISON: u64 = 100;
/// The learned rate is kept in these parts of a packet.
const PARTS: u64 = 1 << 20;

/// Unanswered packets, in slots of one second of event time.
#[derive(Debug)]
pub(in crate::detect) struct Gauge {
    /// Second that is being filled.
    slot: u64,
    /// Packets of this slot and of those in grace, the newest first.
    packets: [u64; GRACE + 1],
    /// Answers, likewise.
    answers: [u64; GRACE + 1],
    /// Unanswered packets a second, learned, in parts.
    normal: u64,
    level: u64,
    peak: u64,
}

impl Gauge {
    pub(in crate::detect) const fn new(slot: u64) -> Self {
        Self { slot, packets: [0; GRACE + 1], answers: [0; GRACE + 1], normal: 0, level: 0, peak: 0 }
    }

    /// Counts into the slot that is being filled.
    pub(in crate::detect) const fn count(&mut self, packets: u64, answers: u64) {
        let ([newest, ..], [heard, ..]) = (&mut self.packets, &mut self.answers);
        *newest = newest.saturating_add(packets);
        *heard = heard.saturating_add(answers);
    }

    /// Second that is being filled.
    pub(in crate::detect) const fn slot(&self) -> u64 {
        self.slot
    }

    /// Most unanswered packets of one second since the bucket was empty.
    pub(in crate::detect) const fn peak(&self) -> u64 {
        self.peak
    }

    /// What the bucket holds.
    pub(in crate::detect) const fn level(&self) -> u64 {
        self.level
    }

    /// The level that is an alarm, where so many packets a second are granted to everybody.
    pub(in crate::detect) const fn alarm_level(floor: u64) -> u64 {
        floor * ALARM_SECONDS
    }

    /// Nothing waits to be judged.
    pub(in crate::detect) fn is_idle(&self) -> bool {
        self.level == 0 && self.packets.iter().all(|packets| *packets == 0)
    }

    /// Closes the slots before `slot`; true if the bucket was over its alarm after any of them.
    pub(in crate::detect) fn advance(&mut self, slot: u64, floor: u64) -> bool {
        let mut alarm = false;
        while self.slot < slot {
            alarm |= self.close(floor);
            if self.is_idle() {
                self.peak = 0;
                self.slot = slot;
                self.answers = [0; GRACE + 1];
            }
        }
        alarm
    }

    /// Closes every slot, grace included.
    pub(in crate::detect) fn conclude(&mut self, floor: u64) -> bool {
        self.advance(self.slot + GRACE as u64 + 1, floor)
    }

    fn close(&mut self, floor: u64) -> bool {
        let [.., packets] = self.packets;
        let answers: u64 = self.answers.iter().fold(0, |sum, one| sum.saturating_add(*one));
        self.packets.rotate_right(1);
        self.answers.rotate_right(1);
        let ([newest, ..], [heard, ..]) = (&mut self.packets, &mut self.answers);
        (*newest, *heard) = (0, 0);
        self.slot += 1;
        let unanswered = packets.saturating_sub(answers.saturating_mul(PACKETS_PER_ANSWER));
        self.peak = self.peak.max(unanswered);
        let granted = floor.max(self.normal / PARTS * HEADROOM);
        let filled = self.level.saturating_add(unanswered).saturating_sub(granted);
        let rate = if filled > 0 { LEARNING * POISON } else { LEARNING };
        let now = unanswered.saturating_mul(PARTS);
        self.normal = self.normal - self.normal / rate + now / rate;
        self.level = filled.min(granted * CEILING_SECONDS);
        filled > Self::alarm_level(granted)
    }
}

/// The only value that can be behind more than half of what was counted (Boyer and Moore), and a lower bound of its share.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) struct Leader<T> {
    value: Option<T>,
    lead: u64,
    /// Counted for it since it leads.
    own: u64,
    total: u64,
}

impl<T: Copy + Eq> Leader<T> {
    pub(in crate::detect) const fn new() -> Self {
        Self { value: None, lead: 0, own: 0, total: 0 }
    }

    pub(in crate::detect) fn count(&mut self, value: T, times: u64) {
        self.total = self.total.saturating_add(times);
        if self.value == Some(value) {
            self.lead = self.lead.saturating_add(times);
            self.own = self.own.saturating_add(times);
        } else if self.lead >= times {
            self.lead -= times;
        } else {
            (self.value, self.lead, self.own) = (Some(value), times - self.lead, times);
        }
    }

    /// The value, if at least so many in a hundred had it.
    pub(in crate::detect) fn with_share(&self, percent: u64) -> Option<T> {
        self.value.filter(|_| self.own.saturating_mul(100) >= self.total.saturating_mul(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds in which the alarm is on.
    fn alarms(floor: u64, seconds: impl Iterator<Item = (u64, u64)>) -> Vec<u64> {
        let mut gauge = Gauge::new(0);
        let mut on = Vec::new();
        for (second, (packets, answers)) in (0..).zip(seconds) {
            if gauge.advance(second, floor) {
                on.push(second);
            }
            gauge.count(packets, answers);
        }
        on
    }

    #[test]
    fn a_burst_and_a_steady_excess_are_alarms_and_the_floor_is_not() {
        assert!(alarms(100, (0..600).map(|_| (100, 0))).is_empty());
        assert!(alarms(100, (0..600).map(|n| (if n % 10 == 0 { 390 } else { 40 }, 0))).is_empty());
        assert_eq!(alarms(100, (0..20).map(|n| (if n == 2 { 5_000 } else { 0 }, 0))).first(), Some(&6));
        assert_eq!(alarms(100, (0..40).map(|_| (250, 0))).first(), Some(&6));
    }

    #[test]
    fn what_is_answered_is_no_flood_and_the_alarm_ends() {
        assert!(alarms(100, (0..60).map(|_| (10_000, 300))).is_empty());
        let on = alarms(100, (0..200).map(|n| (if n < 10 { 5_000 } else { 0 }, 0)));
        assert!(on.last().is_some_and(|last| *last < 60), "{on:?}");
    }

    #[test]
    fn a_slow_rise_is_learned() {
        assert!(alarms(100, (0..40_000).map(|n| (90 + n / 100, 0))).is_empty());
    }

    #[test]
    fn the_leader_is_found_with_its_share() {
        let mut leader = Leader::new();
        (0..100_u32).for_each(|n| leader.count(if n % 10 == 0 { n } else { 7 }, 3));
        assert_eq!((leader.with_share(80), leader.with_share(95)), (Some(7), None));
        let mut even = Leader::new();
        (0..100_u32).for_each(|n| even.count(n % 4, 1));
        assert_eq!(even.with_share(50), None);
    }
}
