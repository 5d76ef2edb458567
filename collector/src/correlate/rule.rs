//! Which incident a finding speaks of: a data table from finding categories to incident categories and subjects.

use std::net::IpAddr;

use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::{Category, Finding, Severity, Value};
use sekimori_wire::id::Host;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::pattern::Source;
use crate::incident::IncidentCategory;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The acting host.
    Actor,
    /// The host acted upon.
    Victim,
    /// The domain, or the acting host where there is none.
    Domain,
}

/// Prefix of the finding's category, incident category, subject. The first that fits decides.
const RULES: &[(&str, IncidentCategory, Subject)] = &[
    ("scan.", IncidentCategory::Scan, Subject::Actor),
    ("bruteforce.", IncidentCategory::BruteForce, Subject::Actor),
    ("flood.", IncidentCategory::Dos, Subject::Victim),
    ("exploit.", IncidentCategory::ExploitAttempt, Subject::Actor),
    ("inject.", IncidentCategory::ExploitAttempt, Subject::Actor),
    ("ad.", IncidentCategory::ExploitAttempt, Subject::Actor),
    ("c2.", IncidentCategory::C2Beacon, Subject::Actor),
    ("dns.dga", IncidentCategory::C2Beacon, Subject::Actor),
    ("intel.", IncidentCategory::C2Beacon, Subject::Actor),
    ("dns.tunnel", IncidentCategory::DnsTunnel, Subject::Domain),
    ("exfil.", IncidentCategory::DataExfil, Subject::Actor),
    ("lateral.", IncidentCategory::MalwareInfection, Subject::Actor),
    ("worm.", IncidentCategory::MalwareInfection, Subject::Actor),
    ("spam.", IncidentCategory::MalwareInfection, Subject::Actor),
    ("spoof.", IncidentCategory::NetworkSpoofing, Subject::Actor),
    ("dhcp.", IncidentCategory::NetworkSpoofing, Subject::Actor),
    ("segment.", IncidentCategory::SegmentViolation, Subject::Actor),
    ("service.down", IncidentCategory::ServiceOutage, Subject::Victim),
    ("sensor.", IncidentCategory::SensorSilent, Subject::Actor),
    // Somebody's rule was broken.
    ("cleartext.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("tls.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("ssh.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("protocol.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("policy.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("host.", IncidentCategory::PolicyViolation, Subject::Actor),
    ("service.exposed", IncidentCategory::PolicyViolation, Subject::Actor),
    ("baseline.", IncidentCategory::PolicyViolation, Subject::Actor),
    // What a later version may find.
    ("", IncidentCategory::PolicyViolation, Subject::Actor),
];

/// Least severity where the acting host is in one of these segments (`segment_violation` only).
const SEGMENT_FLOORS: &[(&str, Severity)] = &[("my_number", Severity::CRITICAL), ("lgwan", Severity::HIGH)];

/// What a finding claims, in the words of incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What kind of incident.
    pub category: IncidentCategory,
    /// The host or domain that it is about.
    pub subject: String,
    /// At least this bad.
    pub severity: Severity,
    /// First evidence.
    pub time: Timestamp,
    /// Last evidence.
    pub end: Timestamp,
    /// What other bodies could see too.
    pub indicators: Vec<Indicator>,
    /// Hosts that it speaks of.
    pub hosts: Vec<String>,
    /// What saw it.
    pub source: Source,
    /// The product that saw it says that it contained it.
    pub contained: bool,
}

/// Something that can be the same in several bodies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indicator {
    /// What it is.
    pub kind: IndicatorKind,
    /// Its value, as text.
    pub value: String,
}

/// What an indicator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndicatorKind {
    /// The acting address.
    Address,
    /// A registered domain.
    Domain,
    /// The TLS client's fingerprint.
    Ja4,
}

impl IndicatorKind {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Ja4 => "ja4",
        }
    }

    /// In Japanese and English.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Address => ("同じ送信元", "the same source"),
            Self::Domain => ("同じドメイン", "the same domain"),
            Self::Ja4 => ("同じ TLS 指紋 (JA4)", "the same TLS fingerprint (JA4)"),
        }
    }
}

/// What the finding claims; `class` where it stands for an endpoint alert.
pub fn claim(finding: &Finding, class: Option<AlertClass>) -> Claim {
    let (category, subject) = match class {
        Some(class) => (of_class(class), Subject::Actor),
        None => RULES
            .iter()
            .find(|(prefix, ..)| finding.category.as_str().starts_with(prefix))
            .map_or((IncidentCategory::PolicyViolation, Subject::Actor), |(_, category, subject)| {
                (*category, *subject)
            }),
    };
    let floor = match (category, finding.segment.as_deref()) {
        (IncidentCategory::SegmentViolation, Some(segment)) => SEGMENT_FLOORS
            .iter()
            .find(|(name, _)| *name == segment)
            .map_or(Severity::INFORMATIONAL, |(_, floor)| *floor),
        _ => category.floor(),
    };
    Claim {
        category,
        subject: subject_of(finding, subject),
        severity: finding.severity.max(floor),
        time: finding.time,
        end: finding.end.max(finding.time),
        indicators: indicators(finding, subject),
        hosts: hosts(finding),
        source: if class.is_some() { Source::Endpoint } else { Source::Network },
        contained: class.is_some() && input(finding, "action").is_some_and(|action| is_containing(&action)),
    }
}

const fn of_class(class: AlertClass) -> IncidentCategory {
    match class {
        AlertClass::Malware => IncidentCategory::MalwareInfection,
        AlertClass::Ransomware => IncidentCategory::Ransomware,
        AlertClass::Exploit => IncidentCategory::ExploitAttempt,
        AlertClass::BruteForce => IncidentCategory::BruteForce,
        AlertClass::Scan => IncidentCategory::Scan,
        AlertClass::CommandAndControl => IncidentCategory::C2Beacon,
        AlertClass::DataLoss => IncidentCategory::DataExfil,
        AlertClass::Phishing => IncidentCategory::PhishingMail,
        AlertClass::Policy | AlertClass::Other => IncidentCategory::PolicyViolation,
    }
}

fn subject_of(finding: &Finding, subject: Subject) -> String {
    let host = |host: Option<Host>| host.map(|host| host.to_string());
    let actor = || host(finding.originator);
    let victim = || host(finding.responder);
    // `to_string` of a bounded text escapes what could forge a line.
    let target = || finding.targets.first().map(ToString::to_string);
    let named = || input(finding, "host_name");
    match subject {
        Subject::Actor => actor().or_else(named).or_else(victim).or_else(target),
        Subject::Victim => victim().or_else(target).or_else(actor),
        Subject::Domain => domains(finding).next().or_else(actor).or_else(victim),
    }
    .unwrap_or_else(|| "-".to_owned())
}

fn indicators(finding: &Finding, subject: Subject) -> Vec<Indicator> {
    let mut all: Vec<Indicator> = [finding.originator, endpoint_remote(finding)]
        .into_iter()
        .flatten()
        .filter(is_unique_to_one_owner)
        .map(|host| Indicator { kind: IndicatorKind::Address, value: host.to_string() })
        .collect();
    if subject == Subject::Domain {
        all.extend(domains(finding).map(|value| Indicator { kind: IndicatorKind::Domain, value }));
    }
    all.extend(input(finding, "ja4").map(|value| Indicator { kind: IndicatorKind::Ja4, value }));
    all.sort();
    all.dedup();
    all
}

/// Hosts of a finding: both ends, or the one that an endpoint product protects.
fn hosts(finding: &Finding) -> Vec<String> {
    let other = finding.responder.filter(|_| finding.category != Category::EndpointAlert);
    let ends = [finding.originator, other];
    let is_one = |host: &Host| match host {
        Host::Mac(_) => true,
        Host::Ip(address) => !(address.is_multicast() || address.is_unspecified() || address.is_loopback()),
    };
    ends.into_iter().flatten().filter(is_one).map(|host| host.to_string()).collect()
}

/// Words of endpoint products for a threat that is held.
fn is_containing(action: &str) -> bool {
    const WORDS: &[&str] = &[
        "block",
        "quarantin",
        "clean",
        "remov",
        "contain",
        "isolat",
        "prevent",
        "kill",
        "隔離",
        "駆除",
        "遮断",
    ];
    let action = action.to_lowercase();
    let is_denied = ["not ", "un", "fail", "no "].iter().any(|word| action.contains(word));
    !is_denied && WORDS.iter().any(|word| action.contains(word))
}

/// A text among the measured values, if it is there and not empty.
fn input(finding: &Finding, name: &str) -> Option<String> {
    match finding.evidence.inputs.get(&BoundedText::new(name)) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.to_string()),
        Some(Value::Text(_) | Value::Count(_) | Value::Number(_) | Value::List(_)) | None => None,
    }
}

/// An endpoint product names the host that it protects first; the other end is then the one that acts.
fn endpoint_remote(finding: &Finding) -> Option<Host> {
    (finding.category == Category::EndpointAlert).then_some(finding.responder).flatten()
}

/// Domains named by a finding: targets that are not addresses.
fn domains(finding: &Finding) -> impl Iterator<Item = String> {
    finding
        .targets
        .iter()
        .filter(|target| target.contains('.') && target.parse::<Host>().is_err())
        .map(|target| target.to_string().trim_end_matches('.').to_ascii_lowercase())
}

/// Private and local addresses mean another machine in every body; equality of those says nothing.
fn is_unique_to_one_owner(host: &Host) -> bool {
    match host {
        Host::Mac(_) => false,
        Host::Ip(IpAddr::V4(address)) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..128).contains(&b); // RFC 6598, carrier-grade NAT.
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_unspecified()
                || address.is_broadcast()
                || shared)
        }
        Host::Ip(IpAddr::V6(address)) => {
            !(address.is_unique_local()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || address.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests;
