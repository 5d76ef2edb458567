//! How bad an incident is: impact × urgency, and what the domain demands at least.

use sekimori_wire::finding::Severity;

use super::IncidentCategory;
use super::form::LeakClass;

closed_words! {
    /// What it does to the organisation.
    Impact {
        /// One endpoint, no effect on work.
        I1 "i1" "単一端末・業務影響なし" "One endpoint, no effect on work",
        /// Several endpoints, or part of the work.
        I2 "i2" "複数端末/一部業務" "Several endpoints or part of the work",
        /// Services to residents stopped, or personal data may be concerned.
        I3 "i3" "住民サービス停止/一般個人情報のおそれ" "Resident services stopped, or personal data may be concerned",
        /// My Number or LGWAN segment, sensitive data, several bodies.
        I4 "i4" "マイナンバー系・LGWAN系波及/要配慮・特定個人情報/複数団体" "My Number or LGWAN segment, sensitive data, several bodies",
    }
}

closed_words! {
    /// How soon somebody must act.
    Urgency {
        /// There is time.
        U1 "u1" "余裕あり" "There is time",
        /// Within the day.
        U2 "u2" "当日中" "Within the day",
        /// At once: it goes on.
        U3 "u3" "直ちに(進行中)" "At once (in progress)",
    }
}

/// Rows I1–I4, columns U1–U3.
pub const fn of(impact: Impact, urgency: Urgency) -> Severity {
    match (impact, urgency) {
        (Impact::I1, Urgency::U1) => Severity::INFORMATIONAL,
        (Impact::I1, Urgency::U2) | (Impact::I2, Urgency::U1) => Severity::LOW,
        (Impact::I1, Urgency::U3) | (Impact::I2, Urgency::U2) | (Impact::I3, Urgency::U1) => Severity::MEDIUM,
        (Impact::I2, Urgency::U3) | (Impact::I3, Urgency::U2) | (Impact::I4, Urgency::U1) => Severity::HIGH,
        (Impact::I3, Urgency::U3) | (Impact::I4, Urgency::U2 | Urgency::U3) => Severity::CRITICAL,
    }
}

/// What floors depend on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What kind of incident.
    pub category: IncidentCategory,
    /// Segments of the hosts that act, as the findings name them.
    pub segments: &'a [String],
    /// What may have leaked; `None` before triage.
    pub leak: Option<LeakClass>,
}

/// The least level that the circumstances allow, and the rule that demands it.
pub fn floor(circumstances: Circumstances<'_>) -> (Severity, &'static str) {
    let from = |segment: &str| circumstances.segments.iter().any(|one| one == segment);
    let breach = circumstances.category == IncidentCategory::SegmentViolation;
    let leak = circumstances.leak.is_some_and(LeakClass::is_personal);
    [
        (breach && from("my_number"), Severity::CRITICAL, "floor.segment.my_number/1"),
        (breach && from("lgwan"), Severity::HIGH, "floor.segment.lgwan/1"),
        (leak, Severity::HIGH, "floor.leak/1"),
        (true, circumstances.category.floor(), "floor.category/1"),
    ]
    .into_iter()
    .filter(|(holds, ..)| *holds)
    .map(|(_, level, rule)| (level, rule))
    // The first of equals: the more telling rule stands first.
    .rev()
    .max_by_key(|(level, _)| *level)
    .unwrap_or((Severity::INFORMATIONAL, "floor.category/1"))
}

/// The level that triage gives: from the matrix, one more where three or more bodies are concerned, and never under the
/// floor. What correlation saw already is not lowered by it: only a person lowers a level, and says why.
pub fn triaged(
    current: Severity,
    (impact, urgency): (Impact, Urgency),
    wide: bool,
    circumstances: Circumstances<'_>,
) -> Severity {
    let assessed = of(impact, urgency);
    let assessed = if wide { assessed.raised() } else { assessed };
    assessed.max(floor(circumstances).0).max(current)
}

/// A level as its number, for serde.
pub mod level {
    use sekimori_wire::finding::Severity;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// As 0 to 4.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(severity.level())
    }

    /// From 0 to 4.
    ///
    /// # Errors
    /// If it is something else.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
        Severity::new(u8::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("a level is 0 to 4"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_that_of_the_domain() {
        const TABLE: &[(Impact, [u8; 3])] = &[
            (Impact::I1, [0, 1, 2]),
            (Impact::I2, [1, 2, 3]),
            (Impact::I3, [2, 3, 4]),
            (Impact::I4, [3, 4, 4]),
        ];
        for (impact, row) in TABLE {
            for (urgency, level) in Urgency::ALL.iter().zip(row) {
                assert_eq!(of(*impact, *urgency).level(), *level, "{impact} {urgency}");
            }
        }
    }

    #[test]
    fn floors_hold_and_name_their_rule() {
        let segments = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (category, segment, leak, level, rule) in [
            (IncidentCategory::SegmentViolation, "my_number", None, 4, "floor.segment.my_number/1"),
            (IncidentCategory::SegmentViolation, "lgwan", None, 3, "floor.segment.lgwan/1"),
            (IncidentCategory::SegmentViolation, "internet", None, 0, "floor.category/1"),
            (IncidentCategory::Scan, "my_number", None, 0, "floor.category/1"),
            (IncidentCategory::Scan, "", Some(LeakClass::None), 0, "floor.category/1"),
            (IncidentCategory::Scan, "", Some(LeakClass::General), 0, "floor.category/1"),
            (IncidentCategory::Scan, "", Some(LeakClass::PublicInterest), 0, "floor.category/1"),
            (IncidentCategory::Scan, "", Some(LeakClass::Suspected), 3, "floor.leak/1"),
            (IncidentCategory::Scan, "", Some(LeakClass::Personal), 3, "floor.leak/1"),
            (IncidentCategory::HumanError, "", Some(LeakClass::SpecificPersonal), 3, "floor.leak/1"),
            (IncidentCategory::Ransomware, "", None, 4, "floor.category/1"),
            (IncidentCategory::SensorSilent, "", None, 2, "floor.category/1"),
            (
                IncidentCategory::SegmentViolation,
                "lgwan",
                Some(LeakClass::Personal),
                3,
                "floor.segment.lgwan/1",
            ),
        ] {
            let segments = segments(&[segment]);
            let (found, by) = floor(Circumstances { category, segments: &segments, leak });
            assert_eq!((found.level(), by), (level, rule), "{category} {segment} {leak:?}");
        }
    }

    #[test]
    fn triage_raises_and_never_lowers() {
        let scan = Circumstances { category: IncidentCategory::Scan, segments: &[], leak: None };
        let low = (Impact::I1, Urgency::U1);
        for (current, assessed, wide, level) in [
            (Severity::HIGH, low, false, 3),
            (Severity::INFORMATIONAL, low, false, 0),
            (Severity::INFORMATIONAL, low, true, 1),
            (Severity::LOW, (Impact::I2, Urgency::U2), true, 3),
            (Severity::LOW, (Impact::I4, Urgency::U3), true, 4),
        ] {
            assert_eq!(triaged(current, assessed, wide, scan).level(), level);
        }
    }
}
