//! Same body, same subject, same category, without a long silence between: one incident.

use std::time::Duration;

use sekimori_wire::time::Timestamp;

use super::rule::Claim;

/// An open incident of the claim's body, subject and category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its name.
    pub id: String,
    /// First evidence.
    pub first: Timestamp,
    /// Last evidence.
    pub last: Timestamp,
}

/// The incident that the claim belongs to: of those that it overlaps, or from which at most `gap` of event time
/// separates it, the nearest; of equally near ones the latest.
pub fn choose<'a>(open: &'a [Open], claim: &Claim, gap: Duration) -> Option<&'a Open> {
    open.iter()
        .map(|incident| (silence(incident, claim), incident))
        .filter(|(silence, _)| *silence <= gap)
        .min_by(|(a, one), (b, other)| a.cmp(b).then(other.last.cmp(&one.last)).then(one.id.cmp(&other.id)))
        .map(|(_, incident)| incident)
}

/// Event time between the incident's evidence and the claim's; zero where they overlap.
fn silence(incident: &Open, claim: &Claim) -> Duration {
    claim.time.since(incident.last).max(incident.first.since(claim.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::pattern::Source;
    use crate::incident::IncidentCategory;
    use sekimori_wire::finding::Severity;

    #[test]
    fn a_silence_of_more_than_the_gap_separates_incidents() {
        let at = |minute: u64| Timestamp::from_secs(minute * 60);
        let open = |spans: &[(u64, u64)]| -> Vec<Open> {
            spans
                .iter()
                .map(|(first, last)| Open { id: format!("{first}"), first: at(*first), last: at(*last) })
                .collect()
        };
        // Open incidents as (first, last) minute, the claim's (time, end), the first minute of the one it joins.
        type Span = (u64, u64);
        let cases: &[(&[Span], Span, Option<&str>)] = &[
            (&[], (100, 100), None),
            (&[(100, 110)], (105, 106), Some("100")),
            (&[(100, 110)], (140, 150), Some("100")),
            (&[(100, 110)], (141, 150), None),
            (&[(100, 110)], (60, 70), Some("100")),
            (&[(100, 110)], (60, 69), None),
            (&[(100, 110), (150, 160)], (131, 131), Some("150")),
            (&[(100, 110), (150, 160)], (130, 130), Some("150")),
            (&[(100, 110), (150, 160)], (129, 129), Some("100")),
            (&[(100, 110), (150, 160)], (50, 300), Some("150")),
        ];
        for (spans, (time, end), expected) in cases {
            let claim = Claim {
                category: IncidentCategory::Scan,
                subject: "192.0.2.1".into(),
                severity: Severity::LOW,
                time: at(*time),
                end: at(*end),
                indicators: Vec::new(),
                hosts: Vec::new(),
                source: Source::Network,
                contained: false,
            };
            let open = open(spans);
            let chosen = choose(&open, &claim, Duration::from_secs(30 * 60)).map(|one| one.id.as_str());
            assert_eq!(chosen, *expected, "{spans:?} {time}..{end}");
        }
    }
}
