//! 予兆: what is too little for an incident, kept and counted, and promoted when it comes again.

use std::time::Duration;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::IncidentCategory;

/// When something small is looked at as an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for the reason of the incident.
    pub id: &'static str,
    /// So many, of the same body, category and subject.
    pub times: usize,
    /// Within this time.
    pub within: Duration,
}

/// The rule of every category that has none of its own.
const DEFAULT: Rule = Rule { id: "precursor.repeated/1", times: 3, within: Duration::from_secs(86_400) };
/// Below this, something that happens once stays a precursor.
const OPENS_FROM: Severity = Severity::LOW;

/// The rule of a category.
pub const fn rule(category: IncidentCategory) -> Rule {
    match category {
        // Suspicious mails from one sender: the domain's own example.
        IncidentCategory::PhishingMail => Rule { id: "precursor.mail/1", ..DEFAULT },
        // Scanning is everywhere; three informational ones in a day would be every body's every day.
        IncidentCategory::Scan => Rule { id: "precursor.scan/1", times: 10, ..DEFAULT },
        // Inventory and habits: informational by design, and every day's. They are read in reports.
        IncidentCategory::PolicyViolation => {
            Rule { id: "precursor.inventory/1", times: usize::MAX, ..DEFAULT }
        }
        // What must never happen is an incident the first time.
        IncidentCategory::SegmentViolation
        | IncidentCategory::Ransomware
        | IncidentCategory::SensorSilent
        | IncidentCategory::WebDefacement
        | IncidentCategory::DeviceLost
        | IncidentCategory::HumanError
        | IncidentCategory::DrillTest => Rule { id: "precursor.never/1", times: 1, ..DEFAULT },
        IncidentCategory::BruteForce
        | IncidentCategory::ExploitAttempt
        | IncidentCategory::Dos
        | IncidentCategory::MalwareInfection
        | IncidentCategory::C2Beacon
        | IncidentCategory::DnsTunnel
        | IncidentCategory::DataExfil
        | IncidentCategory::NetworkSpoofing
        | IncidentCategory::ServiceOutage => DEFAULT,
    }
}

/// What becomes of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An incident by itself.
    Incident,
    /// Kept and counted.
    Precursor,
    /// An incident now, because it came again.
    Promoted {
        /// By which rule.
        rule: Rule,
        /// How many there are with this one.
        times: usize,
    },
}

/// What becomes of something of this severity at `at`, given when the same (body, category, subject) was seen before.
pub fn judge(
    category: IncidentCategory,
    severity: Severity,
    at: Timestamp,
    before: impl IntoIterator<Item = Timestamp>,
) -> Verdict {
    if severity.max(category.floor()) >= OPENS_FROM {
        return Verdict::Incident;
    }
    let rule = rule(category);
    // Captures are replayed and lanes overtake each other: what counts is nearness, not order.
    let near = |one: &Timestamp| at.since(*one).max(one.since(at)) < rule.within;
    let times = before.into_iter().filter(near).count().saturating_add(1);
    if times >= rule.times { Verdict::Promoted { rule, times } } else { Verdict::Precursor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(all: &[u64]) -> Vec<Timestamp> {
        all.iter().map(|hour| Timestamp::from_secs(hour * 3600)).collect()
    }

    #[test]
    fn repetition_promotes() {
        use IncidentCategory::{C2Beacon, PhishingMail, PolicyViolation, Ransomware, Scan, SegmentViolation};
        let info = Severity::INFORMATIONAL;
        let promoted = |category, times| Verdict::Promoted { rule: rule(category), times };
        for (category, severity, at, before, verdict) in [
            (PhishingMail, info, 24, vec![], Verdict::Precursor),
            (PhishingMail, info, 24, vec![23], Verdict::Precursor),
            (PhishingMail, info, 24, vec![22, 23], promoted(PhishingMail, 3)),
            // A day has passed: the first does not count any more.
            (PhishingMail, info, 24, vec![0, 23], Verdict::Precursor),
            (PhishingMail, info, 23, vec![0, 22], promoted(PhishingMail, 3)),
            // What comes in late counts all the same.
            (PhishingMail, info, 1, vec![2, 3], promoted(PhishingMail, 3)),
            (PhishingMail, Severity::LOW, 24, vec![], Verdict::Incident),
            (C2Beacon, info, 24, vec![22, 23], promoted(C2Beacon, 3)),
            (PolicyViolation, info, 24, vec![20, 21, 22, 23], Verdict::Precursor),
            (Scan, info, 24, vec![15, 16, 17, 18, 19, 20, 21, 22], Verdict::Precursor),
            (Scan, info, 24, vec![14, 15, 16, 17, 18, 19, 20, 21, 22], promoted(Scan, 10)),
            (SegmentViolation, info, 24, vec![], promoted(SegmentViolation, 1)),
            (Ransomware, info, 24, vec![], Verdict::Incident),
        ] {
            let at = Timestamp::from_secs(at * 3600);
            assert_eq!(judge(category, severity, at, hours(&before)), verdict, "{category} {before:?}");
        }
    }
}
