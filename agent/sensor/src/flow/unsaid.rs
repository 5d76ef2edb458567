//! What a flow carried after its first packet and was not yet reported.

use sekimori_wire::time::Timestamp;

use crate::event::{Amount, Traffic};
use crate::proto::Side;

/// Packets after which a report is due at the latest: a flood of full frames is told every 100 kB, and an event for so many
/// packets costs next to nothing.
const PACKETS_MAX: u32 = 64;

/// Twelve bytes in each entry of the flow table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unsaid {
    /// Of each side: the packets in the lowest bits, their bytes above.
    sums: [u32; 2],
    /// Second of event time of the first packet that waits, as far as sixteen bits hold it: a flow does not live so long without
    /// a packet.
    since: u16,
}

/// Bits of a sum that count packets: there are never more than 64.
const PACKET_BITS: u32 = 7;
/// Bytes that a sum holds: 64 packets of the largest IPv6 jumbograms that segmentation offload makes (512 KiB). What a damaged
/// capture claims beyond it is not told twice: the record of the flow has it.
const BYTES_MAX: u32 = u32::MAX >> PACKET_BITS;

impl Unsaid {
    /// One more packet after the flow's first.
    pub(crate) fn count(&mut self, side: Side, bytes: u32, at: Timestamp) {
        if self.total() == 0 {
            self.since = second(at);
        }
        let sum = side.of_mut(&mut self.sums);
        let bytes = (*sum >> PACKET_BITS).saturating_add(bytes).min(BYTES_MAX);
        *sum = bytes << PACKET_BITS | (packets(*sum) + 1);
    }

    /// The report, if one is due after a packet at `now`: 64 packets, or several over more than one second.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Traffic> {
        let total = self.total();
        (total >= PACKETS_MAX || total >= 2 && second(now) != self.since).then(|| self.take())
    }

    /// The report at the end: whatever waits.
    pub(crate) fn take_last(&mut self) -> Option<Traffic> {
        (self.total() > 0).then(|| self.take())
    }

    const fn total(&self) -> u32 {
        let [sent, received] = self.sums;
        packets(sent) + packets(received)
    }

    fn take(&mut self) -> Traffic {
        let amount = |sum: u32| Amount { packets: packets(sum), bytes: sum >> PACKET_BITS };
        let [sent, received] = core::mem::take(self).sums.map(amount);
        Traffic { sent, received }
    }
}

const fn packets(sum: u32) -> u32 {
    sum & ((1 << PACKET_BITS) - 1)
}

fn second(at: Timestamp) -> u16 {
    u16::try_from(at.secs() & u64::from(u16::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(traffic: Traffic) -> (u32, u32) {
        (traffic.sent.packets + traffic.received.packets, traffic.sent.bytes + traffic.received.bytes)
    }

    #[test]
    fn reports_come_after_64_packets_or_a_second_and_add_up() {
        let mut unsaid = Unsaid::default();
        let mut reports = Vec::new();
        // 131 packets in one second, then one every 400 ms for four seconds.
        let times = (0..131).chain((1..=10).map(|n| n * 400));
        for (n, ms) in times.enumerate() {
            let side = if n % 2 == 0 { Side::Responder } else { Side::Originator };
            let at = Timestamp::from_nanos(ms * 1_000_000);
            if n > 0 {
                unsaid.count(side, 100, at);
            }
            reports.extend(unsaid.take_due(at));
        }
        assert_eq!(reports.iter().map(|one| total(*one).0).collect::<Vec<_>>(), [64, 64, 5, 2, 3, 2]);
        reports.extend(unsaid.take_last());
        let all = reports.iter().fold((0, 0), |sum, one| (sum.0 + total(*one).0, sum.1 + total(*one).1));
        assert_eq!(all, (140, 14_000));
        assert_eq!(reports[0].sent, Amount { packets: 32, bytes: 3_200 });
        assert_eq!(unsaid.take_last(), None);
    }

    #[test]
    fn the_longest_packets_do_not_overflow() {
        let mut unsaid = Unsaid::default();
        (0..64).for_each(|_| unsaid.count(Side::Originator, u32::MAX / 32, Timestamp::ZERO));
        assert_eq!(unsaid.take_due(Timestamp::ZERO).map(total), Some((64, BYTES_MAX)));
    }
}
