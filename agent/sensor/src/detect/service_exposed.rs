//! `service.exposed`: an inside service that never answered anybody outside now does.
//!
//! For a day of event time all inside services that complete connections from outside are learned
//! ([`Known`]), and kept over restarts; after that each further one is told once. A scan finds nothing new here: it takes a
//! completed handshake.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Severity};
use sekimori_wire::time::Timestamp;

use crate::baseline::{Pack, Read, Ripeness, Section};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::known::{Known, Sighting, WARM_UP};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent};

/// Ports that systems give to clients (RFC 6335): connections to them were agreed on elsewhere, as for FTP's data.
const DYNAMIC: u16 = 49_152;

/// State.
#[derive(Debug)]
pub(super) struct ServiceExposed {
    known: Known<(IpAddr, u16)>,
    evicted: u64,
}

impl ServiceExposed {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { known: Known::new(setup), evicted: 0 }
    }
}

impl Detect for ServiceExposed {
    const RULE: &'static str = "service.exposed/1";
    const WANTS: Kinds = Kinds::ESTABLISHED;

    #[inline]
    fn is_due(&self, now: Timestamp) -> bool {
        self.known.is_due(now)
    }

    fn on_time(&mut self, now: Timestamp, _scene: &Scene<'_>, _out: &mut Findings) {
        // Time to learn runs from the first event, whatever it is.
        self.known.pass(now);
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Established } = event else { return };
        let (client, server) = (flow.originator, flow.responder);
        if !scene.inside.is_inbound() || server.port >= DYNAMIC {
            return;
        }
        let place = (server.address, server.port);
        let Sighting::New(hours) = self.known.see(*at, place, &mut self.evicted) else { return };
        let what = format!("exposed {}", server.port);
        let who = Who {
            originator: Some(server.address.into()),
            responder: None,
            places: (server.address, client.address),
            vlan: flow.vlan,
            what: &what,
        };
        let mut finding = draft(Category::ServiceExposed, Self::RULE, scene.policy, who, (flow.began, *at));
        finding.severity = Severity::LOW;
        finding.confidence = Confidence::from_permille(800);
        finding.title = Bilingual::new(
            &format!("外部に公開されたサービス: {}:{}", server.address, server.port),
            &format!("Service open to the outside: {}:{}", server.address, server.port),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{} のポート {} が、外部の {} からの接続を初めて受け入れました。\
                 公開する予定のないサービスでないか確認してください。",
                server.address, server.port, client.address
            ),
            &format!(
                "Port {} of {} accepted a connection from outside ({}) for the first time. Check that it is meant to be \
                 public.",
                server.port, server.address, client.address
            ),
        );
        finding.evidence.formula =
            "completed a connection from outside, and never did in the learning time".into();
        input(&mut finding, "learned_hours", hours);
        input(&mut finding, "client", client.address.to_string());
        threshold(&mut finding, "learning_hours", WARM_UP.as_secs() / 3_600);
        port(&mut finding, server.port);
        sample(&mut finding, flow);
        out.open(finding);
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    fn learned(&self) -> Option<(Section, Vec<u8>)> {
        let mut pack = Pack::default();
        self.known.pack(&mut pack);
        Some((Section::Services, pack.0))
    }

    fn recall(&mut self, file: &Read<'_>) -> bool {
        file.section(Section::Services).is_none_or(|mut section| self.known.recall(&mut section))
    }

    fn ripeness(&self) -> Ripeness {
        self.known.ripeness()
    }
}
