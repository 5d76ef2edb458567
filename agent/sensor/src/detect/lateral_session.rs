//! `lateral.session`: administrative sessions between inside hosts, and the questions that come before them.
//!
//! Shares and sessions listed (MS-SRVS, MS-WKST, MS-SAMR), administrators' shares used, remote desktops opened, registry
//! hives saved from afar. Each is also what administrators do, so one host at a time is a notice; many hosts in a row, a
//! program put into a share, or the hives that hold passwords are more.

mod kind;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::windows::{AdminTrees, Call, admin_share, is_denied, is_done, is_program, smb};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::smb::{SmbCommand, SmbDetail};
use crate::event::{Event, FlowEvent, FlowRef, RdpStep, Transaction};
use crate::segment::Segment;

use kind::Kind;

/// Hosts that make a row: Slips' horizontal threshold.
const HOSTS_ROW: usize = 6;
/// Hosts that refused: who administers knows where they may.
const DENIED_ROW: usize = 3;
/// What one host does belongs together for this long (Slips' window).
const MEMORY: Duration = Duration::from_secs(60 * 60);
/// Names kept for evidence.
const NAMES_MAX: usize = 12;

/// State: what each host does.
#[derive(Debug)]
pub(super) struct LateralSession {
    hosts: Map<(IpAddr, Kind), Sessions>,
    trees: AdminTrees,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Sessions {
    first: Timestamp,
    last: Timestamp,
    count: u64,
    targets: Distinct<IpAddr>,
    denied: Distinct<IpAddr>,
    names: Vec<Box<str>>,
    programs: u64,
    finding: Option<FindingId>,
}

/// One thing done to one host.
struct Act {
    at: Timestamp,
    flow: FlowRef,
    kind: Kind,
    /// Of the operation, share or program.
    name: Box<str>,
    denied: bool,
    is_program: bool,
}

impl LateralSession {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            hosts: Map::new(limits.detector_entries, seed),
            trees: AdminTrees::new(limits, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn act(&mut self, event: &Event) -> Option<Act> {
        if let Some(call) = Call::of(event) {
            let kind =
                call.operation().and_then(|(interface, operation)| Kind::of_call(interface, operation))?;
            let denied = call.is_refused();
            return Some(Act {
                at: call.at,
                flow: call.flow,
                kind,
                name: call.name().into(),
                denied,
                is_program: false,
            });
        }
        if let Some((at, flow, command)) = smb(event) {
            return self.of_share(at, flow, command);
        }
        let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return None };
        let Transaction::Rdp(negotiation) = &**transaction else { return None };
        // The server's answer: what nobody answers is a scan.
        let answered = matches!(negotiation.step, RdpStep::Confirm { .. }) && !negotiation.from_originator;
        answered.then(|| Act {
            at: *at,
            flow: *flow,
            kind: Kind::Desktop,
            name: "RDP".into(),
            denied: false,
            is_program: false,
        })
    }

    fn of_share(&mut self, at: Timestamp, flow: FlowRef, command: &SmbCommand) -> Option<Act> {
        let of_admins = self.trees.hold(&flow, command);
        let act = |name: &str, denied, is_program| Act {
            at,
            flow,
            kind: Kind::AdminShare,
            name: name.into(),
            denied,
            is_program,
        };
        if let SmbDetail::TreeConnect(share) = &command.detail {
            let share = admin_share(&share.name)?;
            let denied = is_denied(command);
            return (denied || is_done(command)).then(|| act(share, denied, false));
        }
        if let SmbDetail::Transfer(file) = &command.detail
            && of_admins
            && file.is_write
            && is_program(&file.name)
        {
            return Some(act(file.name.rsplit('\\').next().unwrap_or_default(), false, true));
        }
        None
    }

    fn take(&mut self, act: &Act, scene: &Scene<'_>, out: &mut Findings) {
        let (source, host) = (act.flow.originator.address, act.flow.responder.address);
        if source == host || !scene.policy.is_inside(source) || !scene.policy.is_inside(host) {
            return;
        }
        let key = (source, act.kind);
        if self.hosts.peek(&key).is_some_and(|one| act.at.since(one.last) > MEMORY) {
            self.hosts.remove(&key);
        }
        let distinct = self.distinct;
        let (sessions, left) = self.hosts.get_or_insert_with(key, || Sessions::new(act.at, distinct));
        self.evicted += u64::from(left.is_some());
        let Some(sessions) = sessions else { return };
        sessions.learn(act);
        let is_managing = scene.policy.place(source, act.flow.vlan).segment == Some(Segment::Mgmt);
        let severity = sessions.severity(act.kind);
        let severity = if is_managing { severity.min(Severity::LOW) } else { severity };
        let change = |finding: &mut Finding| sessions.tell(finding, act, severity);
        let claim = || Some(sessions.claim(act, severity, scene));
        sessions.finding = out.follow(sessions.finding, act.at, change, claim);
    }
}

impl Sessions {
    const fn new(at: Timestamp, distinct: usize) -> Self {
        Self {
            first: at,
            last: at,
            count: 0,
            targets: Distinct::new(distinct),
            denied: Distinct::new(distinct),
            names: Vec::new(),
            programs: 0,
            finding: None,
        }
    }

    fn learn(&mut self, act: &Act) {
        let host = act.flow.responder.address;
        self.last = self.last.max(act.at);
        self.count += 1;
        self.programs += u64::from(act.is_program);
        if act.denied {
            self.denied.insert(host);
        }
        self.targets.insert(host);
        if self.names.len() < NAMES_MAX && !self.names.contains(&act.name) {
            self.names.push(act.name.clone());
        }
    }

    fn severity(&self, kind: Kind) -> Severity {
        let in_a_row = self.targets.len() >= HOSTS_ROW || self.denied.len() >= DENIED_ROW;
        match kind {
            Kind::Hives => Severity::HIGH,
            Kind::AdminShare if in_a_row && self.programs > 0 => Severity::HIGH,
            Kind::AdminShare if in_a_row || self.programs > 0 => Severity::MEDIUM,
            Kind::Listing | Kind::Desktop if in_a_row => Severity::MEDIUM,
            // Explorer lists the shares of each server that somebody opens.
            Kind::Listing => Severity::INFORMATIONAL,
            Kind::AdminShare | Kind::Desktop => Severity::LOW,
        }
    }

    fn tell(&self, finding: &mut Finding, act: &Act, severity: Severity) {
        finding.count = self.count;
        finding.severity = finding.severity.max(severity);
        if self.targets.len() > 1 {
            finding.responder = None;
        }
        target(finding, &act.flow.responder.address.to_string());
        port(finding, act.flow.responder.port);
        sample(finding, &act.flow);
        input(finding, "hosts", self.targets.len());
        input(finding, "hosts_that_refused", self.denied.len());
        input(finding, "acts", self.count);
        input(finding, "programs_copied", self.programs);
        input(finding, "seen", self.names.join(", "));
    }

    fn claim(&self, act: &Act, severity: Severity, scene: &Scene<'_>) -> Finding {
        let who = Who::of(&act.flow, act.kind.id());
        let mut finding =
            draft(Category::LateralSession, LateralSession::RULE, scene.policy, who, (self.first, act.at));
        let (source, host) = (act.flow.originator.address, act.flow.responder.address);
        let (title, sentence) = (act.kind.title(), act.kind.sentence());
        finding.severity = severity;
        finding.confidence = Confidence::from_permille(act.kind.confidence());
        finding.technique = act.kind.technique().into();
        finding.title = Bilingual::new(
            &format!("{}: {source} → {host}", title.0),
            &format!("{}: {source} → {host}", title.1),
        );
        finding.explanation = Bilingual::new(
            &format!("{source} が庁内の端末やサーバー({host} など){}", sentence.0),
            &format!("{source} {} inside hosts ({host} and perhaps others). {}", sentence.1, sentence.2),
        );
        finding.evidence.formula = act.kind.formula().into();
        threshold(&mut finding, "hosts_in_a_row", HOSTS_ROW);
        threshold(&mut finding, "hosts_that_refused", DENIED_ROW);
        self.tell(&mut finding, act, severity);
        finding
    }
}

impl Detect for LateralSession {
    const RULE: &'static str = "lateral.session/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if let Some(act) = self.act(event) {
            self.take(&act, scene, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
