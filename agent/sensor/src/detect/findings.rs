//! Where detectors put findings: identities, revisions on a log scale, and a bound on what may still grow.

use std::collections::BTreeMap;
use std::time::Duration;

use core::net::IpAddr;

use sekimori_wire::exception::{Exceptions, Facts};
use sekimori_wire::finding::{Category, Evidence, Finding, Value};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::limits::{COMMUNITY_IDS_MAX, PORTS_MAX, TARGETS_MAX};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::event::FlowRef;
use crate::limits::Limits;
use crate::segment::Policy;

/// A finding that nothing was added to for this long is closed; the same behaviour later is a new one.
const QUIET: Duration = Duration::from_secs(30 * 60);

/// Findings that may still grow, and revisions that wait to be taken.
#[derive(Debug)]
pub struct Findings {
    open: Map<FindingId, Open>,
    ready: Vec<Finding>,
    degraded: bool,
    evicted: u64,
    exceptions: Exceptions,
    /// Findings that each exception came to cover.
    excepted: Vec<u64>,
}

#[derive(Debug)]
struct Open {
    finding: Finding,
    /// As in the last revision given out.
    told: Told,
}

#[derive(Debug, PartialEq)]
struct Told {
    count: u64,
    severity: u8,
}

impl Told {
    const fn of(finding: &Finding) -> Self {
        Self { count: finding.count, severity: finding.severity.level() }
    }
}

/// Whom a finding is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    /// The acting host.
    pub(super) originator: Option<Host>,
    /// Its only victim.
    pub(super) responder: Option<Host>,
    /// The acting host's address or, failing that, an affected one, and another: the inside one gives body and segment.
    pub(super) places: (IpAddr, IpAddr),
    /// Outermost VLAN.
    pub(super) vlan: Option<u16>,
    /// What else tells this finding from others of the same hosts at the same time: a port, a domain, a service.
    pub(super) what: &'a str,
}

impl<'a> Who<'a> {
    /// The flow's originator acting on its responder.
    pub(super) fn of(flow: &FlowRef, what: &'a str) -> Self {
        Self {
            originator: Some(flow.originator.address.into()),
            responder: Some(flow.responder.address.into()),
            places: (flow.originator.address, flow.responder.address),
            vlan: flow.vlan,
            what,
        }
    }
}

impl Findings {
    /// None yet.
    pub fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            open: Map::new(limits.open_findings, seed),
            ready: Vec::new(),
            degraded: false,
            evicted: 0,
            exceptions: Exceptions::default(),
            excepted: Vec::new(),
        }
    }

    /// What leaves from now on is judged by these. Those that were there before keep their counts.
    pub fn set_exceptions(&mut self, exceptions: Exceptions) {
        let before: BTreeMap<_, _> = self.iter_excepted().collect();
        self.excepted = exceptions.iter().map(|one| before.get(&*one.id).copied().unwrap_or(0)).collect();
        self.exceptions = exceptions;
    }

    /// Findings that each exception came to cover, in the exceptions' order.
    pub fn iter_excepted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.exceptions.iter().map(|one| &*one.id).zip(self.excepted.iter().copied())
    }

    /// Says which exception covers a revision that leaves, by the time of its last evidence.
    fn judge(exceptions: &Exceptions, excepted: &mut [u64], finding: &mut Finding) {
        let before = finding.excepted_by.take();
        if let Some((place, exception)) = exceptions.judge(&Facts::from(&*finding), finding.end) {
            if before.as_ref() != Some(&exception.id)
                && let Some(count) = excepted.get_mut(place)
            {
                *count += 1;
            }
            finding.excepted_by = Some(exception.id.clone());
        }
    }

    /// Findings that begin or grow from now on carry this mark.
    pub const fn set_degraded(&mut self, degraded: bool) {
        self.degraded = degraded;
    }

    /// Some revision waits.
    pub const fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Revisions since the last call, in the order in which they were made.
    pub fn take_ready(&mut self) -> Vec<Finding> {
        core::mem::take(&mut self.ready)
    }

    /// Findings closed before their time since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    /// Findings that may still grow.
    pub fn iter_open(&self) -> impl Iterator<Item = &Finding> {
        self.open.iter().map(|(_, open)| &open.finding)
    }

    /// Time went on: closes what has been quiet.
    pub fn on_time(&mut self, now: Timestamp) {
        while self.open.oldest().is_some_and(|(_, open)| now.since(open.finding.end) > QUIET) {
            self.close_oldest();
        }
    }

    /// Closes all.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
    }

    /// A new finding: its first revision goes out at once.
    pub(super) fn open(&mut self, mut finding: Finding) -> FindingId {
        finding.degraded |= self.degraded;
        let id = finding.id;
        if let Some(before) = self.open.remove(&id) {
            // The detector forgot that it had claimed this; the identity stays, so the revision goes on.
            finding.revision = before.finding.revision.saturating_add(1);
        }
        Self::judge(&self.exceptions, &mut self.excepted, &mut finding);
        self.ready.push(finding.clone());
        let told = Told::of(&finding);
        if let Some((_, left)) = self.open.insert(id, Open { finding, told }) {
            self.evicted += 1;
            self.tell_last(left);
        }
        id
    }

    /// More of the same; false if the finding is closed by now. A revision goes out when the count gains a digit or the
    /// severity rises, and at the end.
    pub(super) fn grow(&mut self, id: FindingId, at: Timestamp, change: impl FnOnce(&mut Finding)) -> bool {
        let Some(open) = self.open.get_mut(&id) else { return false };
        change(&mut open.finding);
        open.finding.end = open.finding.end.max(at);
        open.finding.degraded |= self.degraded;
        let digits = |count: u64| count.checked_ilog10();
        let now = Told::of(&open.finding);
        if digits(now.count) > digits(open.told.count) || now.severity > open.told.severity {
            open.told = now;
            open.finding.revision = open.finding.revision.saturating_add(1);
            Self::judge(&self.exceptions, &mut self.excepted, &mut open.finding);
            self.ready.push(open.finding.clone());
        }
        true
    }

    /// More of what `known` is while it is open; else what `claim` says, if it says something. What is known from now on.
    pub(super) fn follow(
        &mut self,
        known: Option<FindingId>,
        at: Timestamp,
        change: impl FnOnce(&mut Finding),
        claim: impl FnOnce() -> Option<Finding>,
    ) -> Option<FindingId> {
        match known {
            Some(id) if self.grow(id, at, change) => Some(id),
            Some(_) | None => claim().map(|finding| self.open(finding)),
        }
    }

    fn close_oldest(&mut self) {
        if let Some((_, open)) = self.open.pop_oldest() {
            self.tell_last(open);
        }
    }

    fn tell_last(&mut self, open: Open) {
        if let Some(mut finding) = last_revision(open) {
            Self::judge(&self.exceptions, &mut self.excepted, &mut finding);
            self.ready.push(finding);
        }
    }
}

/// The revision that tells the final count, if the last one did not.
fn last_revision(mut open: Open) -> Option<Finding> {
    if Told::of(&open.finding) == open.told {
        return None;
    }
    open.finding.revision = open.finding.revision.saturating_add(1);
    Some(open.finding)
}

/// A finding with its identity, place, and the category's defaults; the detector fills in the rest.
pub(super) fn draft(
    category: Category,
    rule: &str,
    policy: &Policy,
    who: Who<'_>,
    (first, now): (Timestamp, Timestamp),
) -> Finding {
    let name = |host: Option<Host>| host.map_or_else(String::new, |host| host.to_string());
    let (inside, other) = who.places;
    let place = policy.place(if policy.is_inside(inside) { inside } else { other }, who.vlan);
    let id = FindingId::of(&[
        category.as_str().as_bytes(),
        name(who.originator).as_bytes(),
        name(who.responder).as_bytes(),
        who.what.as_bytes(),
        &first.nanos().to_be_bytes(),
    ]);
    Finding {
        id,
        revision: 1,
        time: first,
        end: now,
        detected_at: now,
        category,
        severity: category.default_severity(),
        confidence: sekimori_wire::finding::Confidence::from_permille(800),
        originator: who.originator,
        responder: who.responder,
        targets: Vec::new(),
        ports: Vec::new(),
        title: sekimori_wire::finding::Bilingual::default(),
        explanation: sekimori_wire::finding::Bilingual::default(),
        evidence: Evidence { rule: rule.into(), ..Evidence::default() },
        technique: category.technique().into(),
        count: 1,
        body: place.body,
        segment: place.segment.map(|segment| segment.as_str().into()),
        degraded: false,
        excepted_by: None,
    }
}

/// Sets one measured value.
pub(super) fn input(finding: &mut Finding, name: &str, value: impl Into<Value>) {
    finding.evidence.inputs.insert(name.into(), value.into());
}

/// Sets one value that was compared with.
pub(super) fn threshold(finding: &mut Finding, name: &str, value: impl Into<Value>) {
    finding.evidence.threshold.insert(name.into(), value.into());
}

/// Names one more target, if there is room.
pub(super) fn target(finding: &mut Finding, target: &str) {
    let target = BoundedText::new(target);
    if finding.targets.len() < TARGETS_MAX && !finding.targets.contains(&target) {
        finding.targets.push(target);
    }
}

/// Names one more port, if there is room.
pub(super) fn port(finding: &mut Finding, port: u16) {
    if finding.ports.len() < PORTS_MAX
        && let Err(at) = finding.ports.binary_search(&port)
    {
        finding.ports.insert(at, port);
    }
}

/// Names one more flow, if there is room.
pub(super) fn sample(finding: &mut Finding, flow: &FlowRef) {
    if finding.evidence.community_ids.len() < COMMUNITY_IDS_MAX {
        let id = flow.community_id().into();
        if !finding.evidence.community_ids.contains(&id) {
            finding.evidence.community_ids.push(id);
        }
    }
}

#[cfg(test)]
mod tests;
