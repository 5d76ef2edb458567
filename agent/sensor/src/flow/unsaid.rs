//! What a flow carried after its first packet and was not yet reported.

use sekimori_wire::time::Timestamp;

use crate::event::{Amount, Traffic};
use crate::proto::Side;

/// Packets after which a report is due at the latest: a flood of full frames is told every 100 kB, and an event for so many
/// packets costs next to nothing.
const PACKETS_MAX: u8 = 64;

/// Sixteen bytes in each entry of the flow table. At most 64 packets of at most 64 KiB wait here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unsaid {
    bytes: [u32; 2],
    /// Second of event time of the first packet that waits.
    since: u32,
    packets: [u8; 2],
    /// The last packet is of a later second than the first that waits.
    late: bool,
    /// The flow's first packet was seen, which `Started` has told.
    begun: bool,
}

impl Unsaid {
    /// One more packet; the flow's first does not count.
    pub(crate) fn count(&mut self, side: Side, bytes: u32, at: Timestamp) {
        if !core::mem::replace(&mut self.begun, true) {
            return;
        }
        let second = u32::try_from(at.secs()).unwrap_or(u32::MAX);
        if self.total() == 0 {
            self.since = second;
        }
        self.late = second > self.since;
        *side.of_mut(&mut self.packets) += 1;
        let sum = side.of_mut(&mut self.bytes);
        *sum = sum.saturating_add(bytes);
    }

    /// The report, if one is due: 64 packets, or several over more than one second.
    pub(crate) fn take_due(&mut self) -> Option<Traffic> {
        let total = self.total();
        (total >= PACKETS_MAX || self.late && total >= 2).then(|| self.take())
    }

    /// The report at the end: whatever waits.
    pub(crate) fn take_last(&mut self) -> Option<Traffic> {
        (self.total() > 0).then(|| self.take())
    }

    fn total(&self) -> u8 {
        self.packets.iter().sum()
    }

    fn take(&mut self) -> Traffic {
        let Self { bytes, packets, .. } = core::mem::replace(self, Self { begun: true, ..Self::default() });
        let [sent, received] = [0, 1].map(|side: usize| Amount {
            packets: packets.get(side).copied().unwrap_or_default().into(),
            bytes: bytes.get(side).copied().unwrap_or_default(),
        });
        Traffic { sent, received }
    }
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
            unsaid.count(side, 100, Timestamp::from_nanos(ms * 1_000_000));
            reports.extend(unsaid.take_due());
        }
        assert_eq!(reports.iter().map(|one| total(*one).0).collect::<Vec<_>>(), [64, 64, 5, 2, 3, 2]);
        reports.extend(unsaid.take_last());
        let all = reports.iter().fold((0, 0), |sum, one| (sum.0 + total(*one).0, sum.1 + total(*one).1));
        assert_eq!(all, (140, 14_000));
        assert_eq!(reports[0].sent, Amount { packets: 32, bytes: 3_200 });
        assert_eq!(unsaid.take_last(), None);
    }

    #[test]
    fn the_first_packet_is_not_reported() {
        let mut unsaid = Unsaid::default();
        unsaid.count(Side::Originator, 60, Timestamp::from_secs(1));
        assert_eq!((unsaid.take_due(), unsaid.take_last()), (None, None));
    }

    #[test]
    fn the_longest_packets_do_not_overflow() {
        let mut unsaid = Unsaid::default();
        (0..65).for_each(|_| unsaid.count(Side::Originator, u32::MAX / 32, Timestamp::ZERO));
        assert_eq!(unsaid.take_due().map(total), Some((64, u32::MAX)));
    }
}
