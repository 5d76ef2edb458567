//! Events of a window become one [`Summary`] under a byte budget.
//!
//! Windows are aligned to the epoch in event time. Flows behind findings come first, then the biggest; what does not fit
//! is counted. Names are cut to the registered domain: the rest can tell what a person reads (通信の秘密).

mod budget;
mod flow;

use core::cmp::{Ordering, Reverse};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use sekimori_wire::finding::Finding;
use sekimori_wire::id::Host;
use sekimori_wire::limits::SUMMARY_ENTRIES_MAX;
use sekimori_wire::record::{FlowSummary, NamedCount, Summary, Talker};
use sekimori_wire::time::{Timestamp, nanos_of};

use crate::bounded::{Map, stand_in};
use crate::counters::{Counter, Counters};
use crate::detect::Findings;
use crate::event::{Application, Event, FlowEvent, FlowRecord};
use crate::limits::Limits;
use crate::segment::Policy;

pub use flow::{EndedFlow, flow_summary};

/// Talkers and domains named in one summary, at most.
const TALKERS_MAX: usize = 32;
const DOMAINS_MAX: usize = 128;

/// The window that is being filled.
#[derive(Debug)]
pub struct Summarizer {
    window_ns: u64,
    bytes_max: usize,
    entries_max: usize,
    /// Start of the window; `None` before the first frame.
    start: Option<Timestamp>,
    packets: u64,
    bytes: u64,
    flows_started: u64,
    flows_ended: u64,
    flow_bytes: u64,
    applications: BTreeMap<Application, u64>,
    /// By what stands for the name.
    domains: Map<u64, (Box<str>, u64)>,
    domains_left: u64,
    talkers: Map<IpAddr, Share>,
    flows: Vec<EndedFlow>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    bytes: u64,
    packets: u64,
    flows: u64,
}

impl Summarizer {
    /// An empty window.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            window_ns: nanos_of(limits.window).max(1),
            bytes_max: limits.summary_bytes,
            entries_max: limits.summary_entries,
            start: None,
            packets: 0,
            bytes: 0,
            flows_started: 0,
            flows_ended: 0,
            flow_bytes: 0,
            applications: BTreeMap::new(),
            domains: Map::new(limits.summary_entries, seed),
            domains_left: 0,
            talkers: Map::new(limits.summary_entries, seed),
            flows: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// What was left out so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The time is in a later window than the one being filled, which should be closed.
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.start.is_some_and(|start| now.nanos() >= start.nanos().saturating_add(self.window_ns))
    }

    /// One frame, in the window that holds `now`.
    pub fn on_frame(&mut self, now: Timestamp, wire_len: u32) {
        self.begin(now);
        self.packets += 1;
        self.bytes += u64::from(wire_len);
    }

    /// Several frames, in the window that holds `now`.
    pub fn on_frames(&mut self, now: Timestamp, packets: u64, bytes: u64) {
        self.begin(now);
        self.packets += packets;
        self.bytes += bytes;
    }

    /// One event, in the window that holds `now`.
    ///
    /// `domain` is what is registered of the name that a DNS message is about.
    pub fn on_event(&mut self, now: Timestamp, event: &Event, domain: Option<&str>) {
        self.begin(now);
        let Event::Flow { what, .. } = event else { return };
        match what {
            FlowEvent::Started(_) => self.flows_started += 1,
            FlowEvent::Dns(dns) if !dns.is_response => {
                if let Some(domain) = domain {
                    self.count_domain(domain);
                }
            }
            FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpRequest(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_)
            | FlowEvent::Ended(_) => {}
        }
    }

    /// One flow that ended, when there is no time for its details.
    pub fn on_flow_outline(&mut self, record: &FlowRecord) {
        self.flows_ended += 1;
        *self.applications.entry(record.application).or_default() += 1;
        let bytes = record.originator.bytes.saturating_add(record.responder.bytes);
        self.flow_bytes = self.flow_bytes.saturating_add(bytes);
        self.counters.count(Counter::FlowsShed);
    }

    /// One flow that ended.
    pub fn on_flow(&mut self, flow: EndedFlow, findings: &Findings) {
        self.flows_ended += 1;
        *self.applications.entry(flow.application).or_default() += 1;
        let [sent, received] = flow.packets;
        let (bytes, packets) = (flow.volume(), sent.saturating_add(received));
        self.flow_bytes = self.flow_bytes.saturating_add(bytes);
        for host in [flow.flow.originator.address, flow.flow.responder.address] {
            let (share, left) = self.talkers.get_or_insert_with(host, Share::default);
            if let Some(share) = share {
                share.bytes = share.bytes.saturating_add(bytes);
                share.packets = share.packets.saturating_add(packets);
                share.flows += 1;
            }
            if left.is_some() {
                self.counters.count(Counter::SummaryDetailShed);
            }
        }
        self.flows.push(flow);
        // Twice the bound before each cut: it is paid for once in a bound's worth of flows.
        if self.flows.len() >= self.entries_max.saturating_mul(2) {
            self.cut_flows(findings);
        }
    }

    /// Closes the window: its summary, if anything happened in it.
    pub fn close(&mut self, findings: &Findings, policy: &Policy) -> Option<Summary> {
        let start = self.start.take()?;
        let flows = self.take_flows(SUMMARY_ENTRIES_MAX.min(self.entries_max), findings, policy);
        let mut summary = Summary {
            start,
            end: Timestamp::from_nanos(start.nanos().saturating_add(self.window_ns)),
            packets: core::mem::take(&mut self.packets),
            bytes: core::mem::take(&mut self.bytes),
            flows_started: core::mem::take(&mut self.flows_started),
            flows_ended: core::mem::take(&mut self.flows_ended),
            applications: named(core::mem::take(&mut self.applications)),
            domains: Vec::new(),
            talkers: self.take_talkers(),
            flows,
            flows_omitted: 0,
            flow_bytes_omitted: 0,
            domains_omitted: 0,
        };
        self.take_domains(&mut summary);
        budget::fit(&mut summary, self.bytes_max);
        let kept = summary.flows.len() as u64;
        summary.flows_omitted = summary.flows_ended.saturating_sub(kept);
        let kept_bytes = summary.flows.iter().map(volume).fold(0, u64::saturating_add);
        summary.flow_bytes_omitted = core::mem::take(&mut self.flow_bytes).saturating_sub(kept_bytes);
        self.counters.add(Counter::SummaryDetailShed, summary.flows_omitted);
        Some(summary)
    }

    fn begin(&mut self, now: Timestamp) {
        let window = self.window_ns;
        self.start.get_or_insert_with(|| Timestamp::from_nanos(now.nanos() / window * window));
    }

    fn count_domain(&mut self, domain: &str) {
        let (known, left) = self.domains.get_or_insert_with(stand_in(domain), || (domain.into(), 0));
        if let Some((_, count)) = known {
            *count += 1;
        }
        if left.is_some() {
            self.domains_left += 1;
            self.counters.count(Counter::SummaryDetailShed);
        }
    }

    fn take_domains(&mut self, summary: &mut Summary) {
        let mut domains: Vec<(Box<str>, u64)> =
            self.domains.take_all().into_iter().map(|(_, named)| named).collect();
        let left_out = domains.len().saturating_sub(DOMAINS_MAX) as u64;
        let order =
            |(a, many): &(Box<str>, u64), (b, times): &(Box<str>, u64)| times.cmp(many).then(a.cmp(b));
        keep_first(&mut domains, DOMAINS_MAX, order);
        summary.domains = domains
            .iter()
            .map(|(name, count)| NamedCount { name: (&**name).into(), count: *count })
            .collect();
        summary.domains_omitted = left_out.saturating_add(core::mem::take(&mut self.domains_left));
    }

    fn take_talkers(&mut self) -> Vec<Talker> {
        let all = self.talkers.take_all().into_iter();
        let mut talkers: Vec<Talker> = all
            .map(|(host, Share { bytes, packets, flows })| Talker {
                host: Host::Ip(host),
                bytes,
                packets,
                flows,
            })
            .collect();
        keep_first(&mut talkers, TALKERS_MAX, |a, b| b.bytes.cmp(&a.bytes).then(a.host.cmp(&b.host)));
        talkers
    }

    /// Keeps the first [`Limits::summary_entries`] flows by their order, without putting them in it.
    fn cut_flows(&mut self, findings: &Findings) {
        let Some(last) = self.entries_max.checked_sub(1) else { return self.flows.clear() };
        let mut order = ranks(&self.flows, findings);
        if last < order.len() {
            order.select_nth_unstable_by(last, |a, b| compare(&self.flows, *a, *b));
        }
        let mut kept = vec![false; self.flows.len()];
        for rank in order.iter().take(self.entries_max) {
            if let Some(kept) = kept.get_mut(rank.place) {
                *kept = true;
            }
        }
        let mut kept = kept.into_iter();
        self.flows.retain(|_| kept.next().unwrap_or_default());
    }

    /// The first `count` flows in their order.
    fn take_flows(&mut self, count: usize, findings: &Findings, policy: &Policy) -> Vec<FlowSummary> {
        let mut order = ranks(&self.flows, findings);
        if let Some(last) = count.checked_sub(1).filter(|last| *last < order.len()) {
            order.select_nth_unstable_by(last, |a, b| compare(&self.flows, *a, *b));
        }
        order.truncate(count);
        order.sort_unstable_by(|a, b| compare(&self.flows, *a, *b));
        let flows = order.iter().filter_map(|rank| self.flows.get(rank.place));
        let flows = flows.map(|flow| flow.summary(policy)).collect();
        self.flows.clear();
        flows
    }
}

/// Keeps the first `count` in order, of entries of which no two are alike.
fn keep_first<T>(all: &mut Vec<T>, count: usize, order: impl Fn(&T, &T) -> Ordering) {
    if let Some(last) = count.checked_sub(1).filter(|last| *last < all.len()) {
        all.select_nth_unstable_by(last, &order);
    }
    all.truncate(count);
    all.sort_unstable_by(order);
}

/// Where a flow stands among those of its window: flows behind findings first, then the biggest, then the earliest.
#[derive(Clone, Copy)]
struct Rank {
    key: (bool, Reverse<u64>, Timestamp),
    /// In the list: flows that are alike stay in the order in which they ended.
    place: usize,
}

/// Hosts that findings are about. Few flows are of one, which a bit for many hosts says at once.
struct Subjects {
    marks: [u64; 1 << 6],
    hosts: Vec<IpAddr>,
}

impl Subjects {
    fn of(findings: &Findings) -> Self {
        let mut hosts: Vec<IpAddr> = findings.iter_open().filter_map(acting_address).collect();
        hosts.sort_unstable();
        let mut marks = [0; 1 << 6];
        for (word, bit) in hosts.iter().map(|host| Self::mark(*host)) {
            if let Some(word) = marks.get_mut(word) {
                *word |= bit;
            }
        }
        Self { marks, hosts }
    }

    fn has(&self, host: IpAddr) -> bool {
        let (word, bit) = Self::mark(host);
        self.marks.get(word).is_some_and(|word| word & bit != 0) && self.hosts.binary_search(&host).is_ok()
    }

    /// The word and the bit of a host, by its last bits. Who chooses hosts with the same ones only has them searched for.
    fn mark(host: IpAddr) -> (usize, u64) {
        let low = match host {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(v6) => {
                v6.to_bits().to_le_bytes().first_chunk().map_or(0, |low| u32::from_le_bytes(*low))
            }
        };
        ((low >> 6 & 63) as usize, 1 << (low & 63))
    }
}

fn ranks(flows: &[EndedFlow], findings: &Findings) -> Vec<Rank> {
    let subjects = Subjects::of(findings);
    let rank = |(place, flow): (usize, &EndedFlow)| {
        let ends = [flow.flow.originator.address, flow.flow.responder.address];
        let behind = ends.iter().any(|end| subjects.has(*end));
        Rank { key: (!behind, Reverse(flow.volume()), flow.start), place }
    };
    flows.iter().enumerate().map(rank).collect()
}

fn compare(flows: &[EndedFlow], a: Rank, b: Rank) -> Ordering {
    let ends = |rank: Rank| {
        let flow = flows.get(rank.place).map(|flow| &flow.flow);
        flow.map(|flow| (SocketAddr::from(flow.originator), SocketAddr::from(flow.responder), flow.protocol))
    };
    a.key.cmp(&b.key).then_with(|| ends(a).cmp(&ends(b))).then(a.place.cmp(&b.place))
}

/// Whose flows a reader of the finding wants to see.
const fn acting_address(finding: &Finding) -> Option<IpAddr> {
    match (finding.originator, finding.responder) {
        (Some(Host::Ip(address)), _) | (None, Some(Host::Ip(address))) => Some(address),
        (Some(Host::Mac(_)) | None, _) => None,
    }
}

fn volume(flow: &FlowSummary) -> u64 {
    flow.originator_bytes.saturating_add(flow.responder_bytes)
}

fn named(counts: BTreeMap<Application, u64>) -> Vec<NamedCount<32>> {
    let name = |application: Application| match application.as_str() {
        "" => "unknown",
        known => known,
    };
    let mut counts: Vec<_> =
        counts.into_iter().map(|(one, count)| NamedCount { name: name(one).into(), count }).collect();
    counts.sort_by_key(|one| Reverse(one.count));
    counts
}

#[cfg(test)]
mod tests;
