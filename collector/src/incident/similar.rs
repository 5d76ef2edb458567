//! Incidents of the past that resemble one, and what was learnt from them: shown at triage.

use std::collections::BTreeSet;

use sekimori_wire::id::BodyCode;

use super::IncidentCategory;
use super::form::{CauseClass, said};

/// How many are shown.
pub const SHOWN_MAX: usize = 5;
/// Below this, two incidents have too little in common.
const SCORE_MIN: u32 = 3;
/// Shared indicators beyond this add nothing.
const INDICATORS_MAX: usize = 3;

/// An incident, as far as it can resemble another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// `INC-…`.
    pub id: String,
    /// Whose.
    pub body: Option<BodyCode>,
    /// What kind.
    pub category: IncidentCategory,
    /// What it is about.
    pub subject: String,
    /// Addresses, domains, fingerprints, as `kind:value`.
    pub indicators: BTreeSet<String>,
    /// Why it happened, in one word.
    pub cause: Option<CauseClass>,
    /// Why it happened, in the review's words.
    pub root_cause: String,
    /// What was learnt.
    pub lesson: String,
}

/// A resemblance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Similar<'a> {
    /// To which.
    pub past: &'a Traits,
    /// How much.
    pub score: u32,
    /// Why, as stable words.
    pub because: Vec<&'static str>,
}

/// Those of `past` that resemble `now` most, best first; of equals the one with a lesson, then the later name.
pub fn similar<'a>(now: &Traits, past: &'a [Traits]) -> Vec<Similar<'a>> {
    let mut all: Vec<Similar<'a>> = past
        .iter()
        .filter(|past| past.id != now.id)
        .map(|past| compare(now, past))
        .filter(|similar| similar.score >= SCORE_MIN)
        .collect();
    all.sort_by(|a, b| {
        let key = |one: &Similar<'a>| (one.score, said(&one.past.lesson));
        key(b).cmp(&key(a)).then_with(|| b.past.id.cmp(&a.past.id))
    });
    all.truncate(SHOWN_MAX);
    all
}

fn compare<'a>(now: &Traits, past: &'a Traits) -> Similar<'a> {
    let shared = now.indicators.intersection(&past.indicators).take(INDICATORS_MAX).count();
    let cause = now.cause.filter(|cause| *cause != CauseClass::Unknown);
    let root = now.root_cause.trim();
    let weights = [
        ("category", 3, now.category == past.category),
        ("indicator", 4 * u32::try_from(shared).unwrap_or_default(), shared > 0),
        ("subject", 3, said(&now.subject) && now.subject != "-" && now.subject == past.subject),
        ("root_cause", 3, said(root) && root == past.root_cause.trim()),
        ("body", 1, now.body.is_some() && now.body == past.body),
        ("cause", 1, cause.is_some() && cause == past.cause),
    ];
    let holding = || weights.iter().filter(|(.., holds)| *holds);
    Similar {
        past,
        score: holding().map(|(_, weight, _)| *weight).sum(),
        because: holding().map(|(name, ..)| *name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(
        id: &str,
        category: IncidentCategory,
        body: &str,
        subject: &str,
        indicators: &[&str],
    ) -> Traits {
        Traits {
            id: id.to_owned(),
            body: body.parse().ok(),
            category,
            subject: subject.to_owned(),
            indicators: indicators.iter().map(|one| (*one).to_owned()).collect(),
            cause: None,
            root_cause: String::new(),
            lesson: String::new(),
        }
    }

    #[test]
    fn the_nearest_comes_first_and_says_why() {
        use IncidentCategory::{C2Beacon, Dos, Scan};
        let now =
            traits("INC-9", C2Beacon, "422011", "10.0.0.5", &["domain:evil.example", "address:192.0.2.1"]);
        let past = vec![
            traits("INC-1", Dos, "422011", "10.9.9.9", &[]),
            traits("INC-2", C2Beacon, "131016", "-", &[]),
            traits("INC-3", C2Beacon, "422011", "10.0.0.5", &[]),
            traits("INC-4", Scan, "131016", "x", &["domain:evil.example"]),
            traits("INC-5", C2Beacon, "131016", "y", &["domain:evil.example", "address:192.0.2.1"]),
            now.clone(),
        ];
        let found = similar(&now, &past);
        let named: Vec<_> =
            found.iter().map(|one| (one.past.id.as_str(), one.score, one.because.join(" "))).collect();
        assert_eq!(
            named,
            [
                ("INC-5", 11, "category indicator".to_owned()),
                ("INC-3", 7, "category subject body".to_owned()),
                ("INC-4", 4, "indicator".to_owned()),
                ("INC-2", 3, "category".to_owned()),
            ]
        );
    }

    #[test]
    fn of_equals_the_one_with_a_lesson() {
        let category = IncidentCategory::HumanError;
        let now = Traits { cause: Some(CauseClass::Unknown), ..traits("N", category, "422011", "-", &[]) };
        let plain = traits("B", category, "422011", "-", &[]);
        let taught = Traits {
            lesson: "宛先の二重確認".to_owned(),
            ..traits("A", category, "422011", "-", &[])
        };
        let unknown =
            Traits { cause: Some(CauseClass::Unknown), ..traits("C", category, "422011", "-", &[]) };
        let past = [plain, unknown, taught];
        let ids: Vec<_> = similar(&now, &past).iter().map(|one| one.past.id.clone()).collect();
        assert_eq!(ids, ["A", "C", "B"], "that the cause is unknown in both is no resemblance");
        let root = Traits { root_cause: " 宛先確認なし ".to_owned(), ..now };
        let past = [Traits {
            root_cause: "宛先確認なし".to_owned(),
            ..traits("D", IncidentCategory::Scan, "", "-", &[])
        }];
        assert_eq!(similar(&root, &past)[0].because, ["root_cause"]);
    }

    #[test]
    fn a_list_is_short() {
        let past: Vec<_> =
            (0..50).map(|n| traits(&format!("INC-{n:02}"), IncidentCategory::Dos, "", "-", &[])).collect();
        assert_eq!(similar(&traits("X", IncidentCategory::Dos, "", "-", &[]), &past).len(), SHOWN_MAX);
    }
}
