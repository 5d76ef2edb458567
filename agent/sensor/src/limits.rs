//! Every bound of the sensor: its default, what happens when it is reached, and what counts that.

use std::time::Duration;

/// What the timers of a flow table take, beside the heap of what is due next; `flow::timers` asserts it.
pub(crate) const TIMERS_BYTES: usize = 16_896;

/// Bounds of one sensor. Sizes are numbers of entries.
#[derive(Clone, Debug)]
pub struct Limits {
    // Observing (decode, flow, proto).
    /// Datagrams that wait for fragments. Full: the one that waits longest is given up (`decode.fragment.evicted`).
    pub datagrams: usize,
    /// Bytes of their fragments. Full: the same.
    pub datagram_bytes: usize,
    /// No fragment for this long gives a datagram up (`decode.fragment.timeout`).
    pub datagram_timeout: Duration,
    /// Flows alive. Full: the one that would be over first if nothing more came ends with `LackOfResources` (`flow.evicted`).
    pub flows: usize,
    /// What they may take in bytes, with their conversations but without what their parsers own. Full: the same.
    pub flow_bytes: usize,
    /// TCP payload kept in order for a parser, per direction. More: parsing ends (`proto.prefix_truncated`).
    pub prefix_bytes: usize,
    /// Flows that hold such a prefix at once. Full: the oldest gives its prefix up (`proto.prefix_truncated`).
    pub prefixes: usize,
    /// Flows whose parser may remember more than a few bytes (all but those of single datagrams). Full: the one that was silent
    /// longest is read no further (`proto.parsers_shed`).
    pub parsers: usize,
    /// No packet for this long ends an established TCP flow.
    pub tcp_idle: Duration,
    /// No packet for this long ends any other flow.
    pub other_idle: Duration,
    /// A TCP flow that is over (two FINs, or a RST) is kept this long after its last packet, so that stragglers find it.
    pub closed_linger: Duration,
    /// A flow longer than this is reported and goes on.
    pub active: Duration,
    /// A first packet without any answer for this long is `Unanswered` (Zeek's `tcp_attempt_delay`).
    pub attempt_timeout: Duration,

    // Detecting.
    /// Sources (or pairs) that each detector remembers. Full: the least recently seen is dropped (`detect.evicted`).
    pub detector_entries: usize,
    /// Distinct values (ports, hosts, labels) remembered exactly for one entry; beyond it, a lower bound or a sketch.
    pub distinct_per_entry: usize,
    /// Findings that may still grow. Full: the oldest is closed (`detect.findings_evicted`).
    pub open_findings: usize,
    /// Distinct names remembered exactly for one client and domain. Full: what comes after is not counted as new.
    pub dns_names_per_pair: usize,
    /// Distinct names remembered over all clients and domains. Full: the least recently used pairs go (`detect.evicted`).
    pub dns_names: usize,

    // Summarising.
    /// Length of a summary window.
    pub window: Duration,
    /// Encoded size of one summary. More: the smallest flows are left out and counted (`summary.detail_shed`).
    pub summary_bytes: usize,
    /// Hosts, domains and flows tracked within a window. Full: the smallest go (`summary.detail_shed`).
    pub summary_entries: usize,
    /// Records, and likewise ended flows, that nobody has taken yet. Full: the oldest goes (`sensor.records_shed`).
    pub pending_records: usize,
}

/// Memory of a sensor for which nobody said anything else.
pub const MEMORY: usize = 256 << 20;
/// Less than this cannot be shared out: tables would be too small to see a flood, or what hides in it.
pub const MEMORY_MIN: usize = 48 << 20;
/// For each of [`Limits::detector_entries`], the slots and index places of all detectors' tables together.
const DETECTOR_BYTES: usize = 11_264;
/// For each finding that may still grow: its texts in both languages, evidence, targets, ports.
const FINDING_BYTES: usize = 4_096;
/// For each of [`Limits::summary_entries`]: a flow, a domain and a talker with their names.
const SUMMARY_BYTES: usize = 768;
/// For each datagram that waits for fragments, beside its bytes.
const DATAGRAM_BYTES: usize = 512;
/// The most that one parser remembers: of HTTP/2, two tables of compressed headers and the heads of 64 streams; most
/// parsers remember some hundred bytes.
const PARSER_BYTES: usize = 768 << 10;

/// Memory that is too little to be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle;

impl Limits {
    /// For the gateway appliance of 2 cores and 512 MiB: [`MEMORY`] shared out.
    pub fn gateway() -> Self {
        Self::shared_out(MEMORY)
    }

    /// So much memory shared out over all tables: full at once, they take no more than that ([`Self::worst_case_bytes`]).
    pub fn within(memory: usize) -> Result<Self, TooLittle> {
        if memory < MEMORY_MIN { Err(TooLittle) } else { Ok(Self::shared_out(memory)) }
    }

    fn shared_out(memory: usize) -> Self {
        // Numbers are those of the default, in proportion.
        let of = |entries: usize| (entries.saturating_mul(memory >> 10) / (MEMORY >> 10)).max(1);
        let mut limits = Self {
            datagrams: of(1_024),
            datagram_bytes: of(4 << 20),
            datagram_timeout: Duration::from_secs(30),
            flows: of(1_048_576),
            flow_bytes: 0,
            prefix_bytes: 16 * 1024,
            prefixes: of(512),
            parsers: of(4_096),
            tcp_idle: Duration::from_secs(300),
            other_idle: Duration::from_secs(60),
            closed_linger: Duration::from_secs(2),
            active: Duration::from_secs(1_800),
            attempt_timeout: Duration::from_secs(5),
            detector_entries: of(6_144),
            distinct_per_entry: 256,
            open_findings: of(2_048),
            dns_names_per_pair: 1_024,
            dns_names: of(524_288),
            window: Duration::from_secs(10),
            summary_bytes: 48 * 1024,
            summary_entries: of(4_096),
            pending_records: 65_536,
        };
        // Flows and conversations share what is left: the one in a flood, the other in an office.
        limits.flow_bytes = memory.saturating_sub(limits.worst_case_bytes());
        limits
    }

    /// Bytes that the index of a flow table takes and its entries may.
    const fn flow_table_bytes(&self) -> usize {
        let places = (self.flows.saturating_mul(8) / 7).next_power_of_two();
        let index = places.saturating_mul(size_of::<u32>() + 1);
        self.flow_bytes.saturating_add(index).saturating_add(TIMERS_BYTES)
    }

    /// What all tables take when they are full at once: their entries and indexes, and the bytes kept for parsers and
    /// fragments. Not in it: what detectors' entries own beyond a first value (bounded by [`Self::distinct_per_entry`] and
    /// [`Self::dns_names`]; a source has to earn it), parsers ([`Self::parser_bytes`]), records nobody has taken yet.
    pub fn worst_case_bytes(&self) -> usize {
        let sum = |all: &[(usize, usize)]| {
            all.iter().fold(0_usize, |sum, (count, bytes)| sum.saturating_add(count.saturating_mul(*bytes)))
        };
        sum(&[
            (1, self.flow_table_bytes()),
            (self.prefixes, self.prefix_bytes.saturating_mul(2)),
            (1, self.datagram_bytes),
            (self.datagrams, DATAGRAM_BYTES),
            (self.detector_entries, DETECTOR_BYTES),
            (self.open_findings, FINDING_BYTES),
            (self.summary_entries, SUMMARY_BYTES),
        ])
    }

    /// What all parsers take if each remembers the most that any can: far beyond what traffic brings about, and stated because
    /// nothing but their number and the bound of each stands against it.
    pub const fn parser_bytes(&self) -> usize {
        self.parsers.saturating_mul(PARSER_BYTES)
    }

    /// Bounds of one of several observers: together they hold what one would.
    #[must_use]
    pub fn share(&self, observers: usize) -> Self {
        let share = |entries: usize| entries.div_ceil(observers.max(1));
        Self {
            flows: share(self.flows),
            flow_bytes: share(self.flow_bytes),
            datagrams: share(self.datagrams),
            datagram_bytes: share(self.datagram_bytes),
            prefixes: share(self.prefixes),
            parsers: share(self.parsers),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::PROMISED;
    use crate::decode::fragment::Fragments;
    use crate::detect::{Detectors, Findings, Setup};
    use crate::summarize::Summarizer;

    /// What the tables made by `make` promise to take at most.
    fn promised<T>(make: impl FnOnce() -> T) -> usize {
        let before = PROMISED.get();
        let _made = make();
        PROMISED.get() - before
    }

    #[test]
    fn what_is_counted_for_the_tables_is_what_they_are() {
        for limits in
            [Limits::gateway(), Limits::within(MEMORY_MIN).unwrap(), Limits::within(4 << 30).unwrap()]
        {
            let detectors =
                promised(|| Detectors::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] }));
            let (counted, entries) = (limits.detector_entries * DETECTOR_BYTES, limits.detector_entries);
            assert!(detectors <= counted, "{} bytes for each of {entries}", detectors / entries);
            assert!(detectors > counted / 2, "{} bytes for each of {entries}", detectors / entries);
            assert!(promised(|| Findings::new(&limits, 0)) < limits.open_findings * FINDING_BYTES);
            assert!(promised(|| Summarizer::new(&limits, 0)) < limits.summary_entries * SUMMARY_BYTES);
            assert!(promised(|| Fragments::new(&limits, 0)) < limits.datagrams * DATAGRAM_BYTES);
        }
    }

    #[test]
    fn memory_is_shared_out_and_never_more() {
        for mebibytes in [48, 64, 96, 100, 256, 300, 512, 2_048, 65_536] {
            let limits = Limits::within(mebibytes << 20).unwrap();
            let worst = limits.worst_case_bytes();
            assert!(worst <= mebibytes << 20 && worst > (mebibytes << 20) / 100 * 95, "{mebibytes}: {worst}");
            assert!(limits.flow_bytes >= limits.flows * 130, "{mebibytes}: every flow has room: {limits:?}");
            assert!(limits.share(2).worst_case_bytes() < worst);
        }
        assert_eq!(Limits::within(MEMORY_MIN - 1).unwrap_err(), TooLittle);
        assert!(Limits::gateway().flows >= 1_048_576);
    }

    #[test]
    fn several_observers_hold_together_what_one_would() {
        let limits = Limits::gateway();
        let of_each = limits.share(2);
        assert_eq!(of_each.flows * 2, limits.flows);
        assert_eq!(of_each.datagram_bytes * 2, limits.datagram_bytes);
        assert_eq!(of_each.tcp_idle, limits.tcp_idle, "what is no size stays");
        assert_eq!(limits.share(1).parsers, limits.parsers);
    }
}
