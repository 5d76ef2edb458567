//! Every bound of the sensor: its default, what happens when it is reached, and what counts that.

use std::time::Duration;

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

impl Limits {
    /// For the gateway appliance of 2 cores and 512 MiB.
    pub const fn gateway() -> Self {
        Self {
            datagrams: 1_024,
            datagram_bytes: 4 * 1024 * 1024,
            datagram_timeout: Duration::from_secs(30),
            flows: 1_048_576,
            prefix_bytes: 16 * 1024,
            prefixes: 2_048,
            parsers: 4_096,
            tcp_idle: Duration::from_secs(300),
            other_idle: Duration::from_secs(60),
            closed_linger: Duration::from_secs(2),
            active: Duration::from_secs(1_800),
            attempt_timeout: Duration::from_secs(5),
            detector_entries: 16_384,
            distinct_per_entry: 256,
            open_findings: 4_096,
            dns_names_per_pair: 1_024,
            dns_names: 524_288,
            window: Duration::from_secs(10),
            summary_bytes: 48 * 1024,
            summary_entries: 4_096,
            pending_records: 65_536,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::PROMISED;
    use crate::detect::{Detectors, Findings, Setup};
    use crate::summarize::Summarizer;

    #[test]
    fn sizes_tmp() {
        let limits = Limits::gateway();
        let before = PROMISED.get();
        let _a = Detectors::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] });
        let d = PROMISED.get();
        let _b = Findings::new(&limits, 0);
        let f = PROMISED.get();
        let _c = Summarizer::new(&limits, 0);
        println!("SZ detectors {} findings {} summarizer {}", d - before, f - d, PROMISED.get() - f);
    }
}
