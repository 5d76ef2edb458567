//! From events to findings: one behaviour per file, each with its state, threshold, evidence and bounds.
//!
//! A detector sees events in order of time and never a clock, so the same capture gives the same findings. It names the
//! acting host as originator, whoever sent the first packet. What it remembers is bounded by [`Limits`]; what strangers
//! can make it remember with one packet goes through a [`Sieve`] first, so that a spoofed flood blinds nobody.

mod ad_abuse;
mod baseline_host;
mod baseline_volume;
mod bruteforce_login;
mod c2_beacon;
mod c2_tunnel;
mod cleartext_credentials;
mod dhcp_rogue;
mod dhcp_starvation;
mod dns_dga;
mod dns_tunnel;
mod exfil_volume;
mod exploit_attempt;
mod findings;
mod flood_amplification;
mod flood_slow;
mod flood_syn;
mod flood_volume;
mod host_new;
mod inject_tcp;
mod intel_match;
mod kinds;
mod known;
mod lateral_exec;
mod lateral_session;
mod names;
mod notices;
mod policy_use;
mod ports;
mod probe;
mod protocol_mismatch;
mod reports;
mod scan_host;
mod scan_port;
mod scan_web;
mod segment_violation;
mod service_down;
mod service_exposed;
mod sieve;
mod spam_burst;
mod spoof_arp;
mod spoof_dns;
mod ssh_anomaly;
mod tls_anomaly;
mod walk;
mod windows;
mod worm_spread;

use std::sync::Arc;

use sekimori_wire::time::Timestamp;

use crate::baseline::{BaselineError, Read, Ripeness, Section, Sections};
use crate::counters::{Counter, Counters};
use crate::domain::Registered;
use crate::event::{Event, FlowEvent, FlowRef};
use crate::intel::Intel;
use crate::limits::Limits;
use crate::segment::Policy;

pub use findings::Findings;
pub use kinds::Kinds;
pub use names::Names;
pub use reports::Report;
use reports::Reports;
pub use sieve::Sieve;

/// What a detector is made from.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Every bound.
    pub limits: &'a Limits,
    /// Keys the hashes. Never changes what is found.
    pub seed: u64,
    /// Key of the hashes that stand for user names.
    pub user_key: &'a [u8; 32],
}

/// What is known while an event is looked at: worked out once, for all who ask.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The networks around the sensor.
    pub policy: &'a Policy,
    /// What addresses are called.
    pub names: &'a Names,
    /// The registered domain of the name that a DNS message is about: several detectors go by it.
    pub domain: Option<Registered<'a>>,
    /// Which ends of the flow that the event is about are inside.
    pub inside: Inside,
}

/// Which ends of a flow are inside, as [`Policy::is_inside`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Who sent first.
    pub originator: bool,
    /// The other.
    pub responder: bool,
}

impl Inside {
    /// Of a flow.
    pub fn of(flow: &FlowRef, policy: &Policy) -> Self {
        Self {
            originator: policy.is_inside(flow.originator.address),
            responder: policy.is_inside(flow.responder.address),
        }
    }

    /// Somebody outside came to the inside.
    pub const fn is_inbound(self) -> bool {
        !self.originator && self.responder
    }
}

impl<'a> Scene<'a> {
    /// Of no event.
    pub const fn new(policy: &'a Policy, names: &'a Names) -> Self {
        Self { policy, names, domain: None, inside: Inside { originator: false, responder: false } }
    }

    /// Of an event, and the registered domain that it is about.
    fn of(event: &Event, domain: Option<Registered<'a>>, policy: &'a Policy, names: &'a Names) -> Self {
        match event {
            Event::Flow { flow, .. } => Self { policy, names, domain, inside: Inside::of(flow, policy) },
            Event::Arp { .. } | Event::Anomaly { .. } => Self::new(policy, names),
        }
    }
}

/// One behaviour looked for.
pub trait Detect {
    /// Identifier and version of the rule, as evidence names it.
    const RULE: &'static str;

    /// The events that it looks at: it is shown no others.
    const WANTS: Kinds;

    /// It looks at what flows carried, too.
    const REPORTS: bool = false;

    /// By `now` something is due that no event of its own brings about.
    fn is_due(&self, _now: Timestamp) -> bool {
        false
    }

    /// Does what is due, before it takes the event of this time.
    fn on_time(&mut self, _now: Timestamp, _scene: &Scene<'_>, _out: &mut Findings) {}

    /// Takes what a flow carried, if that was not its last report, with the event after it; only with [`Detect::REPORTS`]. The
    /// scene's flow is that of the event.
    fn on_report(&mut self, _report: &Report, _scene: &Scene<'_>, _out: &mut Findings) {}

    /// Takes one event; what follows from it goes to `out`.
    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings);

    /// The capture ended: what is still undecided is decided by what there is.
    fn finish(&mut self, _scene: &Scene<'_>, _out: &mut Findings) {}

    /// States dropped because a table was full, since the last call.
    fn take_evicted(&mut self) -> u64;

    /// What it has learned and wants kept over a restart, and in which section of the file.
    fn learned(&self) -> Option<(Section, Vec<u8>)> {
        None
    }

    /// Takes over what an earlier run learned; false if its section is not as it should be: then nothing was taken over.
    fn recall(&mut self, _file: &Read<'_>) -> bool {
        true
    }

    /// How far it has learned.
    fn ripeness(&self) -> Ripeness {
        Ripeness::default()
    }
}

/// The registered domain of the name that a DNS message is about.
pub(crate) fn domain_of(event: &Event) -> Option<Registered<'_>> {
    let Event::Flow { what: FlowEvent::Dns(dns), .. } = event else { return None };
    Registered::of(&dns.qname)
}

/// Shows a detector what is due, what is held back for it, and the event if it is one of its kinds.
#[inline]
fn show_one<D: Detect, const KIND: u32>(
    detector: &mut D,
    (event, report): (&Event, Option<&Report>),
    scene: &Scene<'_>,
    out: &mut Findings,
) {
    if detector.is_due(event.at()) {
        detector.on_time(event.at(), scene, out);
    }
    if const { D::REPORTS }
        && let Some(report) = report
    {
        detector.on_report(report, scene, out);
    }
    if const { D::WANTS.meets(Kinds::from_bits(KIND)) } {
        detector.on_event(event, scene, out);
    }
}

macro_rules! detectors {
    ($($field:ident: $Detector:ident,)*) => {
        /// Every detector, in the order in which each event visits them.
        #[derive(Debug)]
        pub struct Detectors {
            names: Names,
            reports: Reports,
            $($field: $field::$Detector,)*
        }

        impl Detectors {
            /// All with empty state.
            pub fn new(setup: &Setup<'_>) -> Self {
                Self {
                    names: Names::new(setup.limits, setup.seed),
                    reports: Reports::default(),
                    $($field: $field::$Detector::new(setup),)*
                }
            }

            /// What is looked for by name, address and fingerprint.
            pub fn set_intel(&mut self, intel: Arc<Intel>) {
                self.intel_match.set(intel);
            }

            /// Shows one event of a kind to those who want that kind.
            fn show<const KIND: u32>(
                &mut self,
                (event, domain): (&Event, Option<Registered<'_>>),
                policy: &Policy,
                out: &mut Findings,
            ) {
                if const { Kinds::DNS.meets(Kinds::from_bits(KIND)) } {
                    self.names.learn(event);
                }
                let report = self.reports.pass(event);
                let scene = Scene::of(event, domain, policy, &self.names);
                $(show_one::<_, KIND>(&mut self.$field, (event, report.as_ref()), &scene, out);)*
            }

            /// Shows an event to those who do not want its kind: the rules of those whom it changed after all.
            #[cfg(test)]
            fn on_event_unasked(&mut self, event: &Event, policy: &Policy, out: &mut Findings) -> Vec<&'static str> {
                let scene = Scene::of(event, domain_of(event), policy, &self.names);
                let mut changed = Vec::new();
                $(if !$field::$Detector::WANTS.meets(Kinds::of(event)) {
                    let before = format!("{:?}", self.$field);
                    self.$field.on_event(event, &scene, out);
                    if format!("{:?}", self.$field) != before {
                        changed.push($field::$Detector::RULE);
                    }
                })*
                changed
            }

            #[cfg(test)]
            fn intel_match_evicted(&mut self) -> u64 {
                self.intel_match.take_evicted()
            }

            /// The capture ended.
            pub fn finish(&mut self, policy: &Policy, out: &mut Findings) {
                let scene = Scene::new(policy, &self.names);
                $(self.$field.finish(&scene, out);)*
            }

            /// What all have learned, as a file.
            pub fn learned(&self) -> Vec<u8> {
                let mut sections = Sections::default();
                $(if let Some((section, bytes)) = self.$field.learned() {
                    sections.push(section, &bytes);
                })*
                sections.into_file()
            }

            /// Takes over what an earlier run learned. A section that is not as it should be hinders no other.
            pub fn recall(&mut self, file: &[u8]) -> Result<(), BaselineError> {
                let read = Read::new(file)?;
                let all = [$(self.$field.recall(&read)),*];
                if all.contains(&false) { Err(BaselineError::Section) } else { Ok(()) }
            }

            /// How far all have learned.
            pub fn ripeness(&self) -> Ripeness {
                [$(self.$field.ripeness()),*].into_iter().fold(Ripeness::default(), |sum, one| Ripeness {
                    series: sum.series + one.series,
                    ripe: sum.ripe + one.ripe,
                })
            }

            /// Counts the states dropped since the last call.
            pub fn count_evicted(&mut self, counters: &mut Counters) {
                $(counters.add(Counter::DetectEvicted, self.$field.take_evicted());)*
            }
        }
    };
}

detectors! {
    scan_port: ScanPort,
    scan_host: ScanHost,
    scan_web: ScanWeb,
    flood_syn: FloodSyn,
    flood_volume: FloodVolume,
    flood_amplification: FloodAmplification,
    flood_slow: FloodSlow,
    bruteforce_login: BruteforceLogin,
    c2_beacon: C2Beacon,
    c2_tunnel: C2Tunnel,
    dns_tunnel: DnsTunnel,
    dns_dga: DnsDga,
    exfil_volume: ExfilVolume,
    spoof_arp: SpoofArp,
    spoof_dns: SpoofDns,
    inject_tcp: InjectTcp,
    dhcp_rogue: DhcpRogue,
    dhcp_starvation: DhcpStarvation,
    lateral_exec: LateralExec,
    lateral_session: LateralSession,
    ad_abuse: AdAbuse,
    worm_spread: WormSpread,
    cleartext_credentials: CleartextCredentials,
    exploit_attempt: ExploitAttempt,
    intel_match: IntelMatch,
    tls_anomaly: TlsAnomaly,
    ssh_anomaly: SshAnomaly,
    protocol_mismatch: ProtocolMismatch,
    policy_use: PolicyUse,
    spam_burst: SpamBurst,
    segment_violation: SegmentViolation,
    baseline_volume: BaselineVolume,
    baseline_host: BaselineHost,
    host_new: HostNew,
    service_exposed: ServiceExposed,
    service_down: ServiceDown,
}

impl Detectors {
    /// Shows one event to each who wants its kind: the kind is looked at once, and not by every detector.
    pub fn on_event(&mut self, event: &Event, policy: &Policy, out: &mut Findings) {
        self.on_named(event, domain_of(event), policy, out);
    }

    /// The same, where [`domain_of`] the event is known.
    pub(crate) fn on_named(
        &mut self,
        event: &Event,
        domain: Option<Registered<'_>>,
        policy: &Policy,
        out: &mut Findings,
    ) {
        let show = match event {
            Event::Flow { what, .. } => match what {
                FlowEvent::Started(_) => Self::show::<{ Kinds::STARTED.bits() }>,
                FlowEvent::Answered => Self::show::<{ Kinds::ANSWERED.bits() }>,
                FlowEvent::Established => Self::show::<{ Kinds::ESTABLISHED.bits() }>,
                FlowEvent::Rejected => Self::show::<{ Kinds::REJECTED.bits() }>,
                FlowEvent::Unanswered => Self::show::<{ Kinds::UNANSWERED.bits() }>,
                FlowEvent::Dns(_) => Self::show::<{ Kinds::DNS.bits() }>,
                FlowEvent::Tls(_) => Self::show::<{ Kinds::TLS.bits() }>,
                FlowEvent::HttpRequest(_) => Self::show::<{ Kinds::HTTP_REQUEST.bits() }>,
                FlowEvent::HttpResponse { .. } => Self::show::<{ Kinds::HTTP_RESPONSE.bits() }>,
                FlowEvent::Traffic(_) => Self::show::<{ Kinds::TRAFFIC.bits() }>,
                FlowEvent::Opening(_) => Self::show::<{ Kinds::OPENING.bits() }>,
                FlowEvent::Echo(_) => Self::show::<{ Kinds::ECHO.bits() }>,
                FlowEvent::Syslog(_) => Self::show::<{ Kinds::SYSLOG.bits() }>,
                FlowEvent::Transaction(_) => Self::show::<{ Kinds::TRANSACTION.bits() }>,
                FlowEvent::Anomaly(_) => Self::show::<{ Kinds::ANOMALY.bits() }>,
                FlowEvent::Ended(_) => Self::show::<{ Kinds::ENDED.bits() }>,
            },
            Event::Arp { .. } => Self::show::<{ Kinds::ARP.bits() }>,
            Event::Anomaly { .. } => Self::show::<{ Kinds::FRAME_ANOMALY.bits() }>,
        };
        show(self, (event, domain), policy, out);
    }
}

#[cfg(test)]
mod tests;
