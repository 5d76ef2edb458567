//! What is known of hosts beside one connection: who looks names up, who contacts what, what servers show.

use core::net::IpAddr;

use sekimori_wire::finding::Finding;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::signs::{Sign, Signs};
use crate::bounded::{Distinct, Map};
use crate::detect::findings::input;
use crate::detect::{Scene, Setup};
use crate::event::tls::{Carrier, CertificateContent, Progress};
use crate::event::{Application, Dns, Endpoint, FlowRef, QuicHello, TlsConnection};

/// Inside hosts remembered for one destination: enough to see that it is nothing special.
const SOURCES: usize = 16;
/// RITA's lower bound of prevalence, 2 %, as hosts: of fewer than fifty the only one is more than that.
const HOSTS_RARE: usize = 50;
/// A destination of so many inside hosts, if that is ...
const SOURCES_COMMON: usize = 3;
/// ... at least this share of them, is common: RITA lowers from half of the hosts on; a tenth of an office is a service.
const COMMON_PERCENT: usize = 10;
/// Outside addresses that a host spoke to in unknown protocols before it is taken for a peer among peers (Slips takes P2P for
/// granted from fewer; a bot has one controller and perhaps a reserve).
const PEERS_MIN: usize = 8;
/// Inside hosts that are counted.
const HOSTS: usize = 4_096;

/// Public authorities issue certificates for 39 months at most (CA/Browser Forum, Baseline Requirements 6.3.2, from 2015; far less since).
const PUBLIC_SECONDS_MAX: i64 = 1_188 * 86_400;

/// The knowledge.
#[derive(Debug)]
pub(super) struct Known {
    servers: Map<Endpoint, Server>,
    askers: Map<IpAddr, ()>,
    sources: Map<IpAddr, Distinct<IpAddr>>,
    hosts: Distinct<IpAddr>,
    peers: Map<IpAddr, Distinct<IpAddr>>,
    prints: Map<Endpoint, Prints>,
    pub(super) evicted: u64,
}

/// What a server's handshakes showed.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one handshake")]
struct Server {
    application: Application,
    unnamed: bool,
    /// No public authority made its certificate.
    private: bool,
    /// The client says what it will speak (ALPN), which remote-control programs over plain TLS do not.
    says_protocol: bool,
}

/// By what the same malware is known elsewhere: kept of servers whose certificate no public authority made.
#[derive(Debug)]
struct Prints {
    certificate: Digest,
    ja4: Box<str>,
}

/// How many inside hosts contact a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prevalence {
    Rare,
    Some,
    Common,
}

impl Known {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            servers: Map::new(entries, seed),
            askers: Map::new(entries, seed),
            sources: Map::new(entries, seed),
            hosts: Distinct::new(HOSTS),
            peers: Map::new(entries / 4, seed),
            prints: Map::new(entries / 4, seed),
            evicted: 0,
        }
    }

    pub(super) fn on_dns(&mut self, flow: &FlowRef, dns: &Dns) {
        if dns.is_response && dns.answers > 0 {
            let client = if dns.from_originator { flow.responder } else { flow.originator };
            self.evicted += u64::from(self.askers.get_or_insert_with(client.address, || ()).1.is_some());
        }
    }

    pub(super) fn on_tls(&mut self, flow: &FlowRef, tls: &TlsConnection) {
        if tls.carrier == Carrier::Tls && tls.progress == Progress::Offered {
            return;
        }
        let server = if tls.client_is_originator { flow.responder } else { flow.originator };
        let certificate = tls.server_chain.first().and_then(|one| one.content.as_deref());
        let shown = Server {
            application: Application::Tls,
            unnamed: tls.server_name.is_none() && !tls.history.is_empty(),
            private: certificate.is_some_and(is_private),
            says_protocol: !tls.client_protocols.is_empty(),
        };
        if let (true, Some(own)) = (shown.private, tls.server_chain.first()) {
            let certificate = Digest::from_bytes(&own.sha256).unwrap_or_default();
            let print = || Prints { certificate, ja4: tls.ja4.clone() };
            self.evicted += u64::from(self.prints.get_or_insert_with(server, print).1.is_some());
        }
        self.remember(server, shown);
    }

    /// With what the server and its client can be known by elsewhere, where that is the malware's own.
    pub(super) fn printed(&self, mut finding: Finding, flow: &FlowRef) -> Finding {
        if let Some(prints) = self.prints.peek(&flow.responder) {
            input(&mut finding, "certificate_sha256", prints.certificate.to_string());
            if !prints.ja4.is_empty() {
                input(&mut finding, "ja4", &*prints.ja4);
            }
        }
        finding
    }

    pub(super) fn on_quic(&mut self, flow: &FlowRef, hello: &QuicHello) {
        if hello.is_client {
            let server = if hello.from_originator { flow.responder } else { flow.originator };
            let unnamed = hello.server_name.is_none() && !hello.ja4.is_empty();
            self.remember(server, Server { application: Application::Quic, unnamed, ..Server::default() });
        }
    }

    fn remember(&mut self, server: Endpoint, shown: Server) {
        let (known, left) = self.servers.get_or_insert_with(server, || shown);
        self.evicted += u64::from(left.is_some());
        if let Some(known) = known {
            // A resumed session shows no certificate: what was seen stays. A name given once stands for all.
            known.private |= shown.private;
            known.unnamed &= shown.unnamed;
            known.says_protocol |= shown.says_protocol;
        }
    }

    /// An inside host has contact with `destination`, in an unknown protocol or not.
    pub(super) fn on_contact(&mut self, source: IpAddr, destination: IpAddr, unknown: bool) {
        self.hosts.insert(source);
        let (sources, left) = self.sources.get_or_insert_with(destination, || Distinct::new(SOURCES));
        self.evicted += u64::from(left.is_some());
        if let Some(sources) = sources {
            sources.insert(source);
        }
        if unknown {
            let (peers, left) = self.peers.get_or_insert_with(source, || Distinct::new(PEERS_MIN));
            self.evicted += u64::from(left.is_some());
            if let Some(peers) = peers {
                peers.insert(destination);
            }
        }
    }

    pub(super) fn prevalence(&self, destination: IpAddr) -> Prevalence {
        let sources = self.sources.peek(&destination).map_or(0, Distinct::len);
        if sources <= 1 && self.hosts.len() >= HOSTS_RARE {
            Prevalence::Rare
        } else if sources >= SOURCES_COMMON
            && sources * 100 >= self.hosts.len().min(SOURCES * 10) * COMMON_PERCENT
        {
            Prevalence::Common
        } else {
            Prevalence::Some
        }
    }

    /// It speaks unknown protocols with many: games, telephony, file sharing.
    pub(super) fn is_peer(&self, source: IpAddr) -> bool {
        self.peers.peek(&source).is_some_and(Distinct::is_full)
    }

    /// What the address and its handshakes say.
    pub(super) fn signs(&self, at: Timestamp, flow: &FlowRef, scene: &Scene<'_>) -> Signs {
        let mut signs = Signs::default();
        let (source, destination) = (flow.originator.address, flow.responder.address);
        let outside = !scene.policy.is_inside(destination);
        let looks_up = self.askers.peek(&source).is_some();
        signs.add_if(Sign::Nameless, outside && looks_up && scene.names.of(destination, at).is_none());
        signs.add_if(Sign::Rare, outside && self.prevalence(destination) == Prevalence::Rare);
        let server = self.servers.peek(&flow.responder).copied().unwrap_or_default();
        signs.add_if(Sign::NoServerName, server.unnamed);
        signs.add_if(Sign::PrivateCertificate, server.private);
        signs
    }

    /// What the server is known to speak, from a handshake.
    pub(super) fn application(&self, flow: &FlowRef) -> Option<Application> {
        self.servers.peek(&flow.responder).map(|server| server.application)
    }

    /// The client said in the handshake what it speaks.
    pub(super) fn says_protocol(&self, flow: &FlowRef) -> bool {
        self.servers.peek(&flow.responder).is_some_and(|server| server.says_protocol)
    }
}

/// It vouches for itself, or holds for longer than public authorities may promise.
fn is_private(certificate: &CertificateContent) -> bool {
    certificate.issuer == certificate.subject
        || certificate.not_after.saturating_sub(certificate.not_before) > PUBLIC_SECONDS_MAX
}
