//! `protocol.mismatch`: a protocol on a port that belongs to another, as a way around what the port is let through for.
//!
//! The parsers say when the first thing recognised does not fit its port. That alone may be a probe or a client that got the
//! wrong port, so the other side has to answer in that protocol first. How bad it is depends on what hides where: remote
//! control or a tunnel in a port that firewalls open for everybody is a finding; the rest is worth a note.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::tls::Progress;
use crate::event::{Application, Event, FlowEvent, FlowRecord, FlowRef, RdpStep, Transaction};

/// The anomaly that the parsers report.
const ANOMALY: &str = "protocol.mismatch";
/// Ports that border firewalls open for everybody inside (web, names, time, mail): what hides there gets out.
const OPEN_PORTS: [u16; 9] = [25, 53, 80, 110, 123, 143, 443, 587, 993];
/// Ports over which people and programs control a host: what else is there was put there.
const CONTROL_PORTS: [u16; 6] = [21, 22, 23, 139, 445, 3_389];
/// Protocols that control a host, or carry others.
const CONTROL: [Application; 7] = [
    Application::Ssh,
    Application::Rdp,
    Application::Smb,
    Application::Telnet,
    Application::Vnc,
    Application::DceRpc,
    Application::Irc,
];
/// TCP ports where a stream that nothing recognises is worth a note: whatever belongs there begins with words that are known.
const KNOWN_PORTS: [u16; 3] = [53, 80, 443];

/// State: flows whose protocol does not fit, until the other side answers in it.
#[derive(Debug)]
pub(super) struct ProtocolMismatch {
    waiting: Map<u64, Application>,
    told: Notices<(IpAddr, IpAddr, u16, Application)>,
    evicted: u64,
}

impl ProtocolMismatch {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (capacity, seed) = (setup.limits.detector_entries, setup.seed);
        Self { waiting: Map::new(capacity, seed), told: Notices::new(capacity, seed), evicted: 0 }
    }

    fn tell(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        application: Application,
        around: (&Scene<'_>, &mut Findings),
    ) {
        let (scene, out) = around;
        let (source, end) = (flow.originator.address, flow.responder);
        // What is worth a finding has one for each pair; of the rest, one for each host is enough.
        let pair = if application == Application::Unknown {
            (end.address, end.address)
        } else if severity(application, flow) >= Severity::MEDIUM {
            (source, end.address)
        } else {
            (source, source)
        };
        let fresh = || claim(at, flow, application, scene);
        self.told.tell(((pair.0, pair.1, end.port, application), at), out, fresh, |finding| {
            let other = if application == Application::Unknown { source } else { end.address };
            if finding.originator != Some(other.into()) && finding.responder != Some(other.into()) {
                target(finding, &other.to_string());
            }
            sample(finding, flow);
        });
    }

    /// A flow ended of which nothing was recognised.
    fn on_unknown(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        around: (&Scene<'_>, &mut Findings),
    ) {
        let gaps = record.conduct.originator.missed_bytes + record.conduct.responder.missed_bytes;
        let whole = !record.conduct.midstream && gaps == 0;
        // Less than a greeting each way is a probe or a test of the port.
        let speaks = record.originator.payload_bytes.min(record.responder.payload_bytes) >= 16;
        if flow.protocol == 6 && KNOWN_PORTS.contains(&flow.responder.port) && whole && speaks {
            self.tell(at, flow, Application::Unknown, around);
        }
    }
}

/// The other side's answer proves that both speak this.
fn is_answer(application: Application, what: &FlowEvent) -> bool {
    match what {
        FlowEvent::HttpResponse { .. } => application == Application::Http,
        FlowEvent::Transaction(one) => match &**one {
            Transaction::Ssh(ssh) => ssh.client.banner.is_some() && ssh.server.banner.is_some(),
            Transaction::Tls(tls) => tls.progress >= Progress::Answered,
            Transaction::Rdp(rdp) => matches!(rdp.step, RdpStep::Confirm { .. }),
            Transaction::Smb(smb) => smb.status.is_some(),
            Transaction::Http(http) => http.request.is_some() && http.response.is_some(),
            Transaction::NameService(_)
            | Transaction::Smtp(_)
            | Transaction::Ftp(_)
            | Transaction::Pop3(_)
            | Transaction::Imap(_)
            | Transaction::Telnet(_)
            | Transaction::DceRpc(_)
            | Transaction::Kerberos(_)
            | Transaction::Ldap(_)
            | Transaction::Ntp(_)
            | Transaction::Dhcp(_)
            | Transaction::Snmp(_)
            | Transaction::Tftp(_)
            | Transaction::Sip(_)
            | Transaction::Mqtt(_)
            | Transaction::Quic(_)
            | Transaction::Dht(_)
            | Transaction::File(_) => false,
        },
        // Of the others there is no unit that both sides make: both have said something.
        FlowEvent::Ended(record) => {
            let read =
                [Application::Http, Application::Ssh, Application::Tls, Application::Rdp, Application::Smb];
            !read.contains(&application)
                && record.originator.payload_bytes.min(record.responder.payload_bytes) > 0
        }
        FlowEvent::Started(_)
        | FlowEvent::Answered
        | FlowEvent::Established
        | FlowEvent::Rejected
        | FlowEvent::Unanswered
        | FlowEvent::Dns(_)
        | FlowEvent::Tls(_)
        | FlowEvent::HttpRequest(_)
        | FlowEvent::Traffic(_)
        | FlowEvent::Opening(_)
        | FlowEvent::Echo(_)
        | FlowEvent::Syslog(_)
        | FlowEvent::Anomaly(_) => false,
    }
}

fn severity(application: Application, flow: &FlowRef) -> Severity {
    let port = flow.responder.port;
    let hides = CONTROL.contains(&application) && OPEN_PORTS.contains(&port) && flow.protocol == 6;
    // Plain HTTP on the port of a protocol for control is a back door or a proxy; on 443 it is a mistyped link.
    let serves = application == Application::Http && (CONTROL_PORTS.contains(&port) || port == 53);
    if hides || serves {
        Severity::MEDIUM
    } else if application == Application::Unknown {
        Severity::INFORMATIONAL
    } else {
        Severity::LOW
    }
}

fn claim(at: Timestamp, flow: &FlowRef, application: Application, scene: &Scene<'_>) -> Finding {
    let (source, end) = (flow.originator.address, flow.responder);
    let is_unknown = application == Application::Unknown;
    let name = if is_unknown { "unknown" } else { application.as_str() };
    let what = format!("{}/{name}", end.port);
    let mut finding = draft(
        Category::ProtocolMismatch,
        ProtocolMismatch::RULE,
        scene.policy,
        Who::of(flow, &what),
        (flow.began, at),
    );
    finding.severity = severity(application, flow);
    finding.confidence = Confidence::from_permille(if is_unknown { 500 } else { 900 });
    let server = format!("{}:{}", end.address, end.port);
    let (ja, en) = if is_unknown {
        ("正体不明の通信".to_owned(), "an unknown protocol".to_owned())
    } else {
        (format!("{name} の通信"), name.to_owned())
    };
    finding.title = Bilingual::new(
        &format!("ポートと異なる通信({name}): {source} → {server}"),
        &format!("Protocol on a foreign port ({name}): {source} → {server}"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{source} と {server} の間で、本来このポートで使われるものとは異なる{ja}が行われています。\
             通信の制限をかいくぐる抜け道として使われている可能性があります。"
        ),
        &format!(
            "{source} and {server} speak {en} on a port that belongs to something else: this may be a way around the rules of a \
             firewall."
        ),
    );
    finding.evidence.formula =
        "the first protocol recognised by content is none of those that belong to the port, and the other \
         side answered in it"
            .into();
    input(&mut finding, "protocol", name);
    input(&mut finding, "port", u64::from(end.port));
    threshold(&mut finding, "answered", 1_u64);
    port(&mut finding, end.port);
    sample(&mut finding, flow);
    finding
}

impl Detect for ProtocolMismatch {
    const RULE: &'static str = "protocol.mismatch/1";
    const WANTS: Kinds = Kinds::ANOMALY.and(Kinds::HTTP_RESPONSE).and(Kinds::TRANSACTION).and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if let FlowEvent::Anomaly(anomaly) = what {
            if anomaly.name == ANOMALY {
                self.evicted += u64::from(self.waiting.insert(flow.id, anomaly.application).is_some());
            }
            return;
        }
        let answers =
            matches!(what, FlowEvent::HttpResponse { .. } | FlowEvent::Transaction(_) | FlowEvent::Ended(_));
        if !answers {
            return;
        }
        let waiting = self.waiting.peek(&flow.id).copied();
        if let Some(application) = waiting
            && is_answer(application, what)
        {
            self.waiting.remove(&flow.id);
            self.tell(*at, flow, application, (scene, out));
        }
        if let FlowEvent::Ended(record) = what {
            self.waiting.remove(&flow.id);
            if record.application == Application::Unknown {
                self.on_unknown(*at, flow, record, (scene, out));
            }
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.told.take_evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::build::{Script, TCP, host};
    use crate::event::{Anomaly, Layer, SshConnection, SshEnd};

    fn script(application: Application, to: u16, answer: FlowEvent) -> Script {
        let mut script = Script::default();
        let flow = script.flow(TCP, ("192.168.1.5", 40_000), ("198.51.100.7", to));
        let anomaly =
            Anomaly { layer: Layer::Application, application, name: ANOMALY, from_originator: true };
        script.push(0, flow, FlowEvent::Anomaly(anomaly));
        script.push(10, flow, answer);
        script
    }

    fn ssh() -> FlowEvent {
        let end = || SshEnd { banner: Some("SSH-2.0-x".into()), hassh: None };
        let ssh = SshConnection { client: end(), server: end(), ..SshConnection::default() };
        FlowEvent::Transaction(Box::new(ssh.into()))
    }

    #[test]
    fn control_in_an_open_port_is_medium_and_the_rest_a_note() {
        let finding = script(Application::Ssh, 80, ssh()).only(Category::ProtocolMismatch);
        assert_eq!((finding.severity.level(), finding.originator), (2, host("192.168.1.5")));
        let answered = FlowEvent::HttpResponse { status: 200 };
        assert_eq!(
            script(Application::Http, 443, answered.clone())
                .only(Category::ProtocolMismatch)
                .severity
                .level(),
            1
        );
        assert_eq!(
            script(Application::Http, 22, answered).only(Category::ProtocolMismatch).severity.level(),
            2
        );
    }

    #[test]
    fn a_probe_without_an_answer_in_that_protocol_is_silent() {
        let refused = |sent, received| {
            let volume = |payload_bytes| crate::event::Volume { payload_bytes, ..Default::default() };
            FlowEvent::Ended(Box::new(FlowRecord {
                application: Application::Http,
                originator: volume(sent),
                responder: volume(received),
                ..FlowRecord::default()
            }))
        };
        script(Application::Http, 22, refused(100, 40)).quiet();
        script(Application::Vnc, 443, refused(12, 0)).quiet();
    }
}
