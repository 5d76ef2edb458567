//! One service is opened again and again with unrelated protocols: somebody wants to know what it is and which version.
//!
//! nmap's version detection (`nmap-service-probes`, <https://nmap.org/book/vscan-fileformat.html>), amap and their like
//! send a service the openings of many protocols, each in a connection of its own. A client speaks one protocol to a port,
//! and a multiplexer (`sslh`) two or three. nmap's own HTTP requests carry its name and are told by it.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect as _, Setup};
use crate::event::{Application, FlowEvent, FlowRecord, FlowRef, HttpRequest};
use crate::segment::Policy;

/// Probes are sent one after another within minutes, however slow the timing template is.
const MEMORY: Duration = Duration::from_secs(300);
/// Without a finding it begins anew after this long, or a busy pair would add up over days.
const UNDECIDED: Duration = Duration::from_secs(900);
/// Distinct protocols opened on one port: more than any multiplexer serves to one client.
const PROTOCOLS_MIN: usize = 4;
/// Requests with the scanner's own name; the first may be somebody trying out a header.
const NAMED_MIN: u64 = 2;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;
/// Distinct protocols that are remembered; more change nothing.
const KEPT: usize = 16;
/// nmap's scripts say so in `User-Agent` unless told otherwise (`http.useragent`, nselib/http.lua).
const AGENT: &str = "nmap scripting engine";
/// Paths that nmap asks for to learn how a missing page looks (nselib/http.lua; the probe `FourOhFourRequest`).
const PATHS: [&str; 3] = ["/nmaplowercheck", "/nmapuppercheck", "/nice%20ports%2c/tri%6eity.txt%2ebak"];

/// State: what each client opened on each service.
#[derive(Debug)]
pub(super) struct Services {
    opened: Map<Key, Opened>,
    evicted: u64,
}

/// Client, server, port.
type Key = (IpAddr, IpAddr, u16);

#[derive(Debug)]
struct Opened {
    first: Timestamp,
    last: Timestamp,
    protocols: Distinct<Application>,
    /// Requests with the scanner's name.
    named: u64,
    flows: u64,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

impl Services {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { opened: Map::new(setup.limits.detector_entries, setup.seed), evicted: 0 }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    pub(super) fn on_flow(
        &mut self,
        (at, flow): (Timestamp, &FlowRef),
        what: &FlowEvent,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(one) = self.opened(at, flow, what) else { return };
        match what {
            FlowEvent::HttpRequest(request) => one.named += u64::from(is_named(request)),
            FlowEvent::Ended(record) => one.end(flow, record),
            FlowEvent::Started(_)
            | FlowEvent::Answered
            | FlowEvent::Established
            | FlowEvent::Rejected
            | FlowEvent::Unanswered
            | FlowEvent::Dns(_)
            | FlowEvent::Tls(_)
            | FlowEvent::HttpResponse { .. }
            | FlowEvent::Traffic(_)
            | FlowEvent::Opening(_)
            | FlowEvent::Echo(_)
            | FlowEvent::Syslog(_)
            | FlowEvent::Transaction(_)
            | FlowEvent::Anomaly(_) => return,
        }
        one.last = at;
        let claim = || one.is_probed().then(|| one.claim(at, flow, policy));
        one.finding = out.follow(one.finding, at, |finding| one.tell(finding), claim);
    }

    /// The state that `what` adds to, if it says anything about what is opened.
    fn opened(&mut self, at: Timestamp, flow: &FlowRef, what: &FlowEvent) -> Option<&mut Opened> {
        let opens = matches!(what, FlowEvent::HttpRequest(_))
            || matches!(what, FlowEvent::Ended(record) if record.application != Application::Unknown);
        if !opens || flow.protocol != 6 {
            return None;
        }
        let key = (flow.originator.address, flow.responder.address, flow.responder.port);
        let is_old = |one: &Opened| {
            at.since(one.last) > MEMORY || (one.finding.is_none() && at.since(one.first) > UNDECIDED)
        };
        if self.opened.peek(&key).is_some_and(is_old) {
            self.opened.remove(&key);
        }
        let (one, evicted) = self.opened.get_or_insert_with(key, || Opened {
            first: flow.began,
            last: at,
            protocols: Distinct::new(KEPT),
            named: 0,
            flows: 0,
            samples: Vec::new(),
            finding: None,
        });
        self.evicted += u64::from(evicted.is_some());
        one
    }
}

fn is_named(request: &HttpRequest) -> bool {
    let agent = request.user_agent.as_deref().unwrap_or_default().to_ascii_lowercase();
    let path = request.path.to_ascii_lowercase();
    agent.contains(AGENT) || PATHS.iter().any(|mark| path.starts_with(mark))
}

impl Opened {
    fn end(&mut self, flow: &FlowRef, record: &FlowRecord) {
        // The port of a data channel was agreed on elsewhere, anew for each file.
        if record.application == Application::FtpData {
            return;
        }
        let is_http = matches!(record.application, Application::Http2 | Application::WebSocket);
        let protocol = if is_http { Application::Http } else { record.application };
        self.protocols.insert(protocol);
        self.flows += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(*flow);
        }
    }

    fn is_probed(&self) -> bool {
        self.named >= NAMED_MIN || self.protocols.len() >= PROTOCOLS_MIN
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.flows.max(self.named).max(1);
        input(finding, "protocols", self.protocols.len());
        input(finding, "requests_with_a_scanners_name", self.named);
        self.samples.iter().for_each(|flow| sample(finding, flow));
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, policy: &Policy) -> Finding {
        let what = format!("service {}", flow.responder.port);
        let rule = super::ScanPort::RULE;
        let mut finding = draft(Category::ScanPort, rule, policy, Who::of(flow, &what), (self.first, at));
        let (source, target, number) = (flow.originator.address, flow.responder.address, flow.responder.port);
        finding.severity = if policy.is_inside(source) { Severity::HIGH } else { Severity::LOW };
        finding.confidence = Confidence::from_permille(if self.named > 0 { 950 } else { 850 });
        finding.title = Bilingual::new(
            &format!("サービスの種類の調査: {source} → {target}:{number}"),
            &format!("Service probe: {source} → {target}:{number}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{source} が {target} のポート {number} に、互いに関係のない複数の方式で短時間に次々と話しかけました。\
                 サービスの種類や版を調べる道具の特徴で、弱点を探す下調べの可能性があります。"
            ),
            &format!(
                "{source} spoke to port {number} of {target} in several unrelated ways within a short time: a tool is \
                 finding out which service and version runs there, as before an attack."
            ),
        );
        finding.evidence.formula =
            "distinct protocols opened on one port within minutes; or requests that carry a scanner's name"
                .into();
        threshold(&mut finding, "protocols", PROTOCOLS_MIN);
        threshold(&mut finding, "requests_with_a_scanners_name", NAMED_MIN);
        port(&mut finding, number);
        self.tell(&mut finding);
        sample(&mut finding, flow);
        finding
    }
}
