//! `policy.use`: an inside host uses something that the body may not allow: mining, tunnels, peer-to-peer exchange, Tor,
//! remote control over the Internet.
//!
//! Recognised by content where the protocol has any, else by the names that its programs look up and ask for. A look-up
//! alone proves little and is told as information. Each inside host has one finding for each service.

mod table;

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::{Notices, add_to_list};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::tls::CertificateContent;
use crate::event::{Application, Event, FlowEvent, FlowRecord, FlowRef, TlsConnection, Transaction};

use table::Kind;

/// Type of the attribute "common name" (RFC 5280, appendix A).
const COMMON_NAME: &str = "2.5.4.3";
/// What the parsers report when they recognise mining.
const MINING: &str = "policy.mining";
/// Names that gave one use away, of those that are told.
const NAMES_MAX: usize = 8;

/// State: findings by inside host and service.
#[derive(Debug)]
pub(super) struct PolicyUse {
    told: Notices<(IpAddr, Kind, &'static str)>,
}

/// A use, as one event shows it.
#[derive(Clone, Copy, Debug)]
struct Use<'e> {
    kind: Kind,
    service: &'static str,
    /// What gave it away.
    by: By<'e>,
}

#[derive(Clone, Copy, Debug)]
enum By<'e> {
    Content,
    Name(&'e str),
    LookUp(&'e str),
    Port,
}

impl PolicyUse {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { told: Notices::new(setup.limits.detector_entries, setup.seed) }
    }

    fn tell(&mut self, at: Timestamp, flow: &FlowRef, used: Use<'_>, around: (&Scene<'_>, &mut Findings)) {
        let (scene, out) = around;
        let (from, to) = (flow.originator.address, flow.responder.address);
        let inside = [from, to].map(|end| scene.policy.is_inside(end));
        let looks_up = matches!(used.by, By::LookUp(_));
        // Within the body's own networks a tunnel or remote desktop is its administrators' own; mining is nobody's.
        if inside == [true, true] && !looks_up && used.kind != Kind::Mining {
            return;
        }
        let flow = if inside == [false, true] { flow.reversed() } else { *flow };
        let other = if inside == [false, true] { flow.originator } else { flow.responder };
        let severity = severity(used);
        let fresh = || {
            let mut finding = claim(at, &flow, used, scene);
            add(&mut finding, used, severity, &other.address.to_string());
            finding
        };
        self.told.tell(((flow.originator.address, used.kind, used.service), at), out, fresh, |finding| {
            add(finding, used, severity, &other.address.to_string());
            port(finding, other.port);
            sample(finding, &flow);
        });
    }
}

/// Mining costs money and is often malware's; a look-up may come from a page that links there.
const fn severity(used: Use<'_>) -> Severity {
    match (used.kind, used.by) {
        (Kind::Mining, By::Content) => Severity::HIGH,
        (_, By::LookUp(_)) => Severity::INFORMATIONAL,
        (_, By::Content | By::Name(_) | By::Port) => Severity::LOW,
    }
}

fn add(finding: &mut Finding, used: Use<'_>, severity: Severity, other: &str) {
    finding.severity = finding.severity.max(severity);
    match used.by {
        By::Content => add_to_list(finding, "given_away_by", "content", NAMES_MAX),
        By::Port => add_to_list(finding, "given_away_by", "port", NAMES_MAX),
        By::Name(name) | By::LookUp(name) => add_to_list(finding, "given_away_by", name, NAMES_MAX),
    }
    if !matches!(used.by, By::LookUp(_)) {
        target(finding, other);
    }
}

fn claim(at: Timestamp, flow: &FlowRef, used: Use<'_>, scene: &Scene<'_>) -> Finding {
    let (client, service) = (flow.originator.address, used.service);
    let what = format!("{}/{service}", used.kind.name());
    let who = Who { responder: None, ..Who::of(flow, &what) };
    let mut finding = draft(Category::PolicyUse, PolicyUse::RULE, scene.policy, who, (at, at));
    let (ja, en) = used.kind.words();
    finding.severity = Severity::INFORMATIONAL;
    finding.confidence = Confidence::from_permille(match used.by {
        By::Content => 950,
        By::Name(_) => 850,
        By::LookUp(_) | By::Port => 600,
    });
    finding.title = Bilingual::new(
        &format!("{ja}の利用({service}): {client}"),
        &format!("Use of {en} ({service}): {client}"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{client} が{ja}({service})を利用しているとみられます。庁内の規程で認められた利用かどうかを確認してください。"
        ),
        &format!(
            "{client} appears to use {en} ({service}). Please check whether the rules of the body allow this."
        ),
    );
    finding.evidence.formula =
        "the protocol's content, the name of the service in TLS, HTTP or DNS, or its port where nothing else is recognised".into();
    input(&mut finding, "kind", used.kind.name());
    input(&mut finding, "service", service);
    threshold(&mut finding, "observations", 1_u64);
    port(&mut finding, flow.responder.port);
    sample(&mut finding, flow);
    finding
}

/// What a flow was, when it is over: by content, or by its port where no content is known.
fn of_record(flow: &FlowRef, record: &FlowRecord) -> Option<Use<'static>> {
    let speaks = |application: Application| {
        record.applications.contains(&application) || record.application == application
    };
    let both = record.originator.payload_bytes.min(record.responder.payload_bytes) > 0;
    // A stranger's attempt at our door is not use.
    if !both {
        return None;
    }
    let said = record.application != Application::Unknown
        || record.applications.iter().any(|one| *one != Application::Unknown);
    if said && let Some((_, kind, service)) = table::APPLICATIONS.iter().find(|(one, _, _)| speaks(*one)) {
        return Some(Use { kind: *kind, service, by: By::Content });
    }
    let at_port =
        |one: &&(u8, u16, Kind, &'static str)| one.0 == flow.protocol && one.1 == flow.responder.port;
    if record.application != Application::Unknown {
        return None;
    }
    let known = table::PORTS.iter().find(at_port)?;
    Some(Use { kind: known.2, service: known.3, by: By::Port })
}

/// The certificates that Tor relays make up: `CN=www.<random>.net` by `CN=www.<random>.com`, and nothing else (tor-spec,
/// "Negotiating versions").
fn is_of_tor(content: &CertificateContent) -> bool {
    let made_up = |name: &crate::event::tls::Name, end: &str| {
        let only = name.0.len() == 1;
        let label = name.first(COMMON_NAME).and_then(|name| name.strip_prefix("www.")?.strip_suffix(end));
        only && label.is_some_and(|label| {
            (8..=20).contains(&label.len())
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        })
    };
    made_up(&content.subject, ".net") && made_up(&content.issuer, ".com") && content.names.dns.is_empty()
}

fn of_tls(tls: &TlsConnection) -> Option<Use<'static>> {
    let content = tls.server_chain.first()?.content.as_ref()?;
    is_of_tor(content).then_some(Use { kind: Kind::Tor, service: "Tor", by: By::Content })
}

fn named<'e>(name: &'e str, by: impl FnOnce(&'e str) -> By<'e>) -> Option<Use<'e>> {
    let (kind, service) = table::of_name(name)?;
    Some(Use { kind, service, by: by(name) })
}

impl Detect for PolicyUse {
    const RULE: &'static str = "policy.use/1";
    const WANTS: Kinds = Kinds::DNS
        .and(Kinds::TLS)
        .and(Kinds::HTTP_REQUEST)
        .and(Kinds::TRANSACTION)
        .and(Kinds::ENDED)
        .and(Kinds::ANOMALY);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        let used = match what {
            FlowEvent::Dns(dns) if dns.from_originator && !dns.is_response => named(&dns.qname, By::LookUp),
            FlowEvent::Tls(hello) => hello.server_name.as_deref().and_then(|name| named(name, By::Name)),
            FlowEvent::HttpRequest(request) => request.host.as_deref().and_then(|name| named(name, By::Name)),
            FlowEvent::Transaction(one) => {
                if let Transaction::Tls(tls) = &**one {
                    of_tls(tls)
                } else {
                    None
                }
            }
            FlowEvent::Ended(record) => of_record(flow, record),
            FlowEvent::Dns(_)
            | FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_) => None,
            // Miners stay connected for days: the parser says so when it knows.
            FlowEvent::Anomaly(anomaly) => (anomaly.name == MINING).then_some(Use {
                kind: Kind::Mining,
                service: "Stratum",
                by: By::Content,
            }),
        };
        if let Some(used) = used {
            self.tell(*at, flow, used, (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        self.told.take_evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::build::{Script, TCP, host};
    use crate::event::{ClientHello, Volume};

    const INSIDE: &str = "192.168.1.5";
    const OUTSIDE: &str = "198.51.100.7";

    fn ended(application: Application, from: &str, to: (&str, u16)) -> Script {
        let mut script = Script::default();
        let flow = script.flow(TCP, (from, 40_000), to);
        let volume = Volume { payload_bytes: 500, ..Volume::default() };
        let applications = [application, Application::Unknown, Application::Unknown, Application::Unknown];
        let record = FlowRecord {
            application,
            applications,
            originator: volume,
            responder: volume,
            ..FlowRecord::default()
        };
        script.push(0, flow, FlowEvent::Ended(Box::new(record)));
        script
    }

    #[test]
    fn mining_is_high_and_a_tunnel_low() {
        let mining = ended(Application::Stratum, INSIDE, (OUTSIDE, 3_333)).only(Category::PolicyUse);
        assert_eq!((mining.severity.level(), mining.originator), (3, host(INSIDE)));
        let tunnel = ended(Application::OpenVpn, INSIDE, (OUTSIDE, 1_194)).only(Category::PolicyUse);
        assert_eq!(tunnel.severity.level(), 1);
    }

    #[test]
    fn control_from_outside_names_the_inside_host() {
        let finding = ended(Application::Rdp, OUTSIDE, (INSIDE, 3_389)).only(Category::PolicyUse);
        assert_eq!(finding.originator, host(INSIDE));
    }

    #[test]
    fn administration_inside_is_silent() {
        ended(Application::Rdp, INSIDE, ("192.168.2.9", 3_389)).quiet();
        ended(Application::Tls, INSIDE, (OUTSIDE, 443)).quiet();
    }

    #[test]
    fn a_name_asked_for_is_low_and_one_looked_up_information() {
        let mut script = Script::default();
        script.dns(0, INSIDE, "router5.teamviewer.com", 1, (0, 60));
        assert_eq!(script.only(Category::PolicyUse).severity.level(), 0);
        let flow = script.flow(TCP, (INSIDE, 40_000), (OUTSIDE, 443));
        let hello =
            ClientHello { server_name: Some("router5.teamviewer.com".into()), ..ClientHello::default() };
        script.push(1_000, flow, FlowEvent::Tls(Box::new(hello)));
        let finding = script.only(Category::PolicyUse);
        assert_eq!((finding.severity.level(), finding.count), (1, 2));
    }
}
