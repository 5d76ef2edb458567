//! `lateral.exec`: a program started on another host through its management interfaces.
//!
//! Windows lets an administrator start programs elsewhere in a handful of ways, and intruders have no others: a service
//! (MS-SCMR), a scheduled task (MS-TSCH), a method of WMI (MS-WMI), remote automation of an object (MS-DCOM, MS-OAUT),
//! a shell of Windows Remote Management (MS-WSMV). Interfaces and operation numbers stay readable where arguments are
//! encrypted. What only asks (the state of a service, a WMI query, a list of printers) is not looked at.

mod means;
mod winrm;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::windows::{AdminTrees, Call, is_program, smb};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::smb::{SmbCommand, SmbDetail};
use crate::event::{Event, FlowRef};
use crate::segment::Segment;

use means::{Means, Step};
use winrm::Shells;

/// Steps of one host towards another belong together for this long: a tool needs seconds, a person minutes.
const MEMORY: Duration = Duration::from_secs(10 * 60);
/// Names of operations kept for evidence.
const STEPS_MAX: usize = 12;

/// State: what was done by whom to whom.
#[derive(Debug)]
pub(super) struct LateralExec {
    pairs: Map<(IpAddr, IpAddr, Means), Acts>,
    /// Programs written to administrators' shares, by who and to whom.
    copied: Map<(IpAddr, IpAddr), Timestamp>,
    trees: AdminTrees,
    shells: Shells,
    evicted: u64,
}

#[derive(Debug)]
struct Acts {
    first: Timestamp,
    last: Timestamp,
    count: u64,
    steps: Vec<Box<str>>,
    refused: u64,
    /// The service's program was changed; its start is what runs it.
    prepared: bool,
    finding: Option<FindingId>,
}

/// One step of one host towards another.
struct Act {
    at: Timestamp,
    flow: FlowRef,
    step: Step,
    name: Box<str>,
    refused: bool,
}

impl LateralExec {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            pairs: Map::new(limits.detector_entries, seed),
            copied: Map::new(limits.detector_entries, seed),
            trees: AdminTrees::new(limits, seed),
            shells: Shells::new(limits, seed),
            evicted: 0,
        }
    }

    fn on_smb(
        &mut self,
        (at, flow, command): (Timestamp, FlowRef, &SmbCommand),
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let of_admins = self.trees.hold(&flow, command);
        if let SmbDetail::Transfer(file) = &command.detail
            && of_admins
            && file.is_write
            && is_program(&file.name)
        {
            let ends = (flow.originator.address, flow.responder.address);
            self.evicted += u64::from(self.copied.insert(ends, at).is_some_and(|(left, _)| left != ends));
        }
        if let SmbDetail::Create(pipe) = &command.detail
            && let Some(tool) = means::tool_of_pipe(&pipe.name)
        {
            let name = format!("{tool} ({})", pipe.name.trim_start_matches('\\')).into();
            let refused = !crate::detect::windows::is_done(command);
            self.take(&Act { at, flow, step: Step::Runs(Means::Tool), name, refused }, scene, out);
        }
    }

    fn take(&mut self, act: &Act, scene: &Scene<'_>, out: &mut Findings) {
        let ends = (act.flow.originator.address, act.flow.responder.address);
        if ends.0 == ends.1 || !scene.policy.is_inside(ends.1) {
            return;
        }
        let means = act.step.means();
        let key = (ends.0, ends.1, means);
        if self.pairs.peek(&key).is_some_and(|one| act.at.since(one.last) > MEMORY) {
            self.pairs.remove(&key);
        }
        let (acts, left) = self.pairs.get_or_insert_with(key, || Acts::new(act.at));
        self.evicted += u64::from(left.is_some());
        let Some(acts) = acts else { return };
        acts.learn(act);
        let runs = match act.step {
            Step::Prepares(_) => false,
            Step::Starts(_) => acts.prepared,
            Step::Runs(_) => true,
        };
        let copied = self.copied.peek(&ends);
        let change = |finding: &mut Finding| {
            acts.tell(finding, copied.is_some());
            finding.severity = finding.severity.max(severity(act, means, scene));
        };
        let claim = || {
            let copied = copied.is_some_and(|copy| act.at.since(*copy) <= MEMORY);
            runs.then(|| acts.claim(act, means, copied, scene))
        };
        acts.finding = out.follow(acts.finding, act.at, change, claim);
    }
}

impl Acts {
    const fn new(at: Timestamp) -> Self {
        Self { first: at, last: at, count: 0, steps: Vec::new(), refused: 0, prepared: false, finding: None }
    }

    fn learn(&mut self, act: &Act) {
        self.last = self.last.max(act.at);
        self.count += 1;
        self.refused += u64::from(act.refused);
        self.prepared |= matches!(act.step, Step::Prepares(_)) && !act.refused;
        if self.steps.len() < STEPS_MAX && !self.steps.contains(&act.name) {
            self.steps.push(act.name.clone());
        }
    }

    fn tell(&self, finding: &mut Finding, copied: bool) {
        finding.count = self.count;
        input(finding, "operations", self.steps.join(", "));
        input(finding, "calls", self.count);
        input(finding, "refused", self.refused);
        if copied {
            input(finding, "program_copied_to_admin_share", "yes");
            finding.confidence = finding.confidence.max(Confidence::from_permille(950));
        }
    }

    fn claim(&self, act: &Act, means: Means, copied: bool, scene: &Scene<'_>) -> Finding {
        let who = Who::of(&act.flow, means.id());
        let mut finding =
            draft(Category::LateralExec, LateralExec::RULE, scene.policy, who, (self.first, act.at));
        let (source, target) = (act.flow.originator, act.flow.responder.address);
        finding.severity = severity(act, means, scene);
        finding.confidence = Confidence::from_permille(means.confidence());
        finding.technique = means.technique().into();
        let (ja, en) = means.words();
        finding.title = Bilingual::new(
            &format!("遠隔実行({ja}): {} → {target}", source.address),
            &format!("Remote execution by {en}: {} → {target}", source.address),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{} が {target} に対し、{ja}を使って離れた場所からプログラムを動かす操作をしました。管理作業の予定がなければ、\
                 侵入者が庁内の別の端末へ移ろうとしている可能性があります。",
                source.address
            ),
            &format!(
                "{} used {en} to run something on {target} from afar. Unless this is planned administration, an \
                 intruder may be moving to another host.",
                source.address
            ),
        );
        finding.evidence.formula =
            "an operation that runs a program on another host, by the interface and operation numbers of the MS-* \
             documents, or three answered requests to a remote shell"
                .into();
        input(&mut finding, "means", en);
        self.tell(&mut finding, copied);
        threshold(&mut finding, "calls", means.calls_min());
        port(&mut finding, act.flow.responder.port);
        sample(&mut finding, &act.flow);
        finding
    }
}

/// From where administration is meant to come from it is worth a note, not an alarm.
fn severity(act: &Act, means: Means, scene: &Scene<'_>) -> Severity {
    let usual = if act.refused { means.severity().min(Severity::MEDIUM) } else { means.severity() };
    let segment = scene.policy.place(act.flow.originator.address, act.flow.vlan).segment;
    if segment == Some(Segment::Mgmt) { usual.min(Severity::LOW) } else { usual }
}

impl Detect for LateralExec {
    const RULE: &'static str = "lateral.exec/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if let Some(call) = Call::of(event) {
            let step = call.operation().and_then(|(interface, operation)| means::of(interface, operation));
            if let Some(step) = step {
                let (at, flow, refused) = (call.at, call.flow, call.is_refused());
                self.take(&Act { at, flow, step, name: call.name().into(), refused }, scene, out);
            }
        } else if let Some(command) = smb(event) {
            self.on_smb(command, scene, out);
        } else if let Some((at, flow, step, name)) = self.shells.read(event) {
            self.take(&Act { at, flow, step, name, refused: false }, scene, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.shells.take_evicted()
    }
}
