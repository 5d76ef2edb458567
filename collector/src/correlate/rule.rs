//! Which incident a finding speaks of: a data table from finding categories to incident categories and subjects.

use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::{Category, Finding, Severity, Value};
use sekimori_wire::id::Host;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::pattern::Source;
use crate::incident::IncidentCategory;

mod indicator;

pub use indicator::{Indicator, IndicatorKind};

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
        indicators: indicator::of(finding, category, subject == Subject::Domain),
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

/// Domains named by a finding: targets that are not addresses.
fn domains(finding: &Finding) -> impl Iterator<Item = String> {
    finding
        .targets
        .iter()
        .filter(|target| target.contains('.') && target.parse::<Host>().is_err())
        .map(|target| target.to_string().trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
