//! `segment.violation`: traffic that the three-layer separation (三層の対策) forbids.
//!
//! Each new flow is judged by the [`Policy`]. From an inside segment the attempt alone counts: something there tried. From
//! the internet only what was answered or carried data counts, for everybody is knocked at all day. One finding for
//! each host, pair of segments and verdict grows with what the host goes on doing.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::{BodyCode, Host};
use sekimori_wire::time::Timestamp;

use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{ConnState, Endpoint, Event, First, FlowEvent, FlowRecord, FlowRef};
use crate::segment::{Contact, Policy, SOURCE, Segment, Verdict};

/// The use of an approval that ran out is a finding of its own kind: what it asks for is a renewal or an end, not an investigation.
const EXPIRED_RULE: &str = "segment.violation.expired/1";

/// State: who broke what so far.
#[derive(Debug)]
pub(super) struct SegmentViolation {
    known: Notices<Key>,
}

/// Initiator, its body, its segment, the other segment, id of the expired allow entry.
type Key = (IpAddr, Option<BodyCode>, Segment, Segment, Option<Box<str>>);

/// What is broken.
#[derive(Clone, Copy, Debug)]
struct Breach<'a> {
    contact: Contact,
    from: Segment,
    to: Segment,
    severity: Severity,
    expired: Option<&'a str>,
    approvable: bool,
}

impl SegmentViolation {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { known: Notices::new(setup.limits.detector_entries, setup.seed) }
    }

    fn judge(&mut self, contact: Contact, flow: &FlowRef, policy: &Policy, out: &mut Findings) {
        let segment = |address| policy.place(address, contact.vlan).segment;
        let (Some(from), Some(to)) = (segment(contact.from), segment(contact.to)) else { return };
        let (severity, expired, approvable) = match policy.judge(&contact) {
            Verdict::Allow | Verdict::AllowedBy(_) => return,
            Verdict::ExpiredAllow { id, severity } => (severity, Some(id), true),
            Verdict::Violation { severity, approvable } => (severity, None, approvable),
        };
        let body = policy.place(contact.from, contact.vlan).body;
        let key = (contact.from, body, from, to, expired.map(Box::from));
        let breach = Breach { contact, from, to, severity, expired, approvable };
        let fresh = || claim(&breach, flow, policy);
        self.known.tell((key, contact.at), out, fresh, |finding| {
            finding.severity = finding.severity.max(severity);
            add(finding, &contact, flow);
        });
    }
}

fn add(finding: &mut Finding, contact: &Contact, flow: &FlowRef) {
    if finding.responder != Some(contact.to.into()) {
        finding.responder = None;
    }
    target(finding, &contact.to.to_string());
    if matches!(contact.protocol, 6 | 17) {
        port(finding, contact.port);
    }
    sample(finding, flow);
}

fn claim(breach: &Breach<'_>, flow: &FlowRef, policy: &Policy) -> Finding {
    let Breach { contact, from, to, severity, expired, approvable } = *breach;
    // An inside host is the one to look after: the initiator where it is inside.
    let places = if from == Segment::Wan { (contact.to, contact.from) } else { (contact.from, contact.to) };
    let mut what = format!("{} {} {}", from.as_str(), to.as_str(), expired.unwrap_or_default());
    if let Some(body) =
        policy.place(contact.from, contact.vlan).body.filter(|_body| policy.has_several_bodies())
    {
        // Bodies number their networks alike.
        what.push_str(&body.to_string());
    }
    let who = Who {
        originator: Some(contact.from.into()),
        responder: Some(contact.to.into()),
        places,
        vlan: contact.vlan,
        what: &what,
    };
    let mut finding =
        draft(Category::SegmentViolation, SegmentViolation::RULE, policy, who, (contact.at, contact.at));
    finding.severity = severity;
    finding.confidence = Confidence::from_permille(950);
    if expired.is_some() {
        finding.evidence.rule = EXPIRED_RULE.into();
    }
    let (host, other) = (contact.from, contact.to);
    let (why_ja, why_en) = match (expired, approvable) {
        (Some(id), _) => (
            format!("許可({id})の期限が切れたまま使われています。"),
            format!("the approval {id} ran out and is still used."),
        ),
        (None, true) => (
            "特定通信として許可されていません。".to_owned(),
            "it is not among the approved specified communications.".to_owned(),
        ),
        (None, false) => {
            ("三層の対策で禁止されています。".to_owned(), "the three-layer separation forbids it.".to_owned())
        }
    };
    finding.title = match expired {
        None => Bilingual::new(
            &format!("三層分離違反: {} → {}", from.ja(), to.ja()),
            &format!("Segment violation: {} → {}", from.as_str(), to.as_str()),
        ),
        Some(id) => Bilingual::new(
            &format!("期限切れの特定通信({id})の使用: {} → {}", from.ja(), to.ja()),
            &format!("Expired approval {id} still used: {} → {}", from.as_str(), to.as_str()),
        ),
    };
    finding.explanation = Bilingual::new(
        &format!("{}の {host} から{}の {other} への通信を検知しました。{why_ja}", from.ja(), to.ja()),
        &format!("{host} in {} opened a connection to {other} in {}: {why_en}", from.as_str(), to.as_str()),
    );
    finding.evidence.formula =
        format!("unexpired allow entry, then the matrix of the network model ({SOURCE})").into();
    input(&mut finding, "from_segment", from.as_str());
    input(&mut finding, "to_segment", to.as_str());
    input(&mut finding, "protocol", u64::from(contact.protocol));
    if let Some(id) = expired {
        input(&mut finding, "expired_allow", id);
    }
    if let Some(mac) = contact.mac {
        input(&mut finding, "hardware_address", Host::Mac(mac).to_string());
    }
    threshold(&mut finding, "severity_by_matrix", u64::from(severity.level()));
    add(&mut finding, &contact, flow);
    finding
}

/// The contact that an event shows, if it shows one well enough to be judged.
fn contact(at: Timestamp, flow: &FlowRef, what: &FlowEvent, policy: &Policy) -> Option<Contact> {
    let outside_in = !policy.is_inside(flow.originator.address);
    let shown = match what {
        FlowEvent::Started(First::Syn | First::Datagram | First::EchoRequest) => !outside_in,
        // ICMP errors and replies only answer; other transports (GRE, ESP) speak for themselves.
        FlowEvent::Started(First::Other) => !outside_in && !matches!(flow.protocol, 1 | 58),
        FlowEvent::Answered => outside_in,
        // A connection that began before the capture, and was used.
        FlowEvent::Ended(record) => is_midstream(flow, record),
        FlowEvent::Started(First::Midstream)
        | FlowEvent::Established
        | FlowEvent::Rejected
        | FlowEvent::Unanswered
        | FlowEvent::Dns(_)
        | FlowEvent::Tls(_)
        | FlowEvent::HttpRequest(_)
        | FlowEvent::HttpResponse { .. }
        | FlowEvent::Transaction(_)
        | FlowEvent::Anomaly(_)
        | FlowEvent::Traffic(_)
        | FlowEvent::Opening(_)
        | FlowEvent::Echo(_)
        | FlowEvent::Syslog(_) => false,
    };
    if !shown {
        return None;
    }
    // Whoever was heard first in the middle of a connection need not have begun it: servers have the lower port.
    let midstream = matches!(what, FlowEvent::Ended(_));
    let flow = if midstream && flow.originator.port < flow.responder.port { flow.reversed() } else { *flow };
    let (from, to) = (flow.originator, flow.responder);
    Some(Contact {
        at,
        from: from.address,
        to: to.address,
        port: to.port,
        protocol: flow.protocol,
        vlan: flow.vlan,
        mac: None,
    })
}

/// A contact that would be allowed if it came from the hardware address that was approved.
fn by_another_device(
    (at, flow, record): (Timestamp, &FlowRef, &FlowRecord),
    policy: &Policy,
) -> Option<Contact> {
    let Endpoint { address: to, port } = flow.responder;
    let (from, mac) = (flow.originator.address, record.conduct.originator.mac?);
    let any = Contact { at, from, to, port, protocol: flow.protocol, vlan: flow.vlan, mac: None };
    let own = Contact { mac: Some(mac), ..any };
    let allowed = |contact| matches!(policy.judge(contact), Verdict::AllowedBy(_));
    (allowed(&any) && !allowed(&own)).then_some(own)
}

fn is_midstream(flow: &FlowRef, record: &FlowRecord) -> bool {
    let carried = record.originator.payload_bytes > 0 || record.responder.payload_bytes > 0;
    flow.protocol == 6 && record.state == ConnState::Oth && carried && record.responder.packets > 0
}

impl Detect for SegmentViolation {
    const RULE: &'static str = "segment.violation/1";
    const WANTS: Kinds = Kinds::STARTED.and(Kinds::ANSWERED).and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if !scene.policy.has_segments() {
            return;
        }
        if let Some(contact) = contact(*at, flow, what, scene.policy) {
            self.judge(contact, flow, scene.policy, out);
        } else if let FlowEvent::Ended(record) = what
            && scene.policy.has_mac_limits()
            && let Some(contact) = by_another_device((*at, flow, record), scene.policy)
        {
            self.judge(contact, flow, scene.policy, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        self.known.take_evicted()
    }
}
