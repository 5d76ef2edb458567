//! What people write down about an incident: triage, leak, investigation, publication, review.

use std::collections::BTreeSet;

use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::IncidentCategory;
use super::severity::{Impact, Urgency};

closed_words! {
    /// What is hurt.
    Aspect {
        /// Somebody read what they must not.
        Confidentiality "confidentiality" "機密性" "Confidentiality",
        /// Somebody changed what they must not.
        Integrity "integrity" "完全性" "Integrity",
        /// Something cannot be used.
        Availability "availability" "可用性" "Availability",
    }
}

closed_words! {
    /// Why it happened, in one word.
    CauseClass {
        /// A mistake.
        Negligence "negligence" "過失" "Negligence",
        /// Somebody inside, on purpose.
        Insider "insider" "内部不正" "Insider",
        /// Somebody outside.
        ExternalAttack "external_attack" "外部攻撃" "External attack",
        /// Something broke.
        Failure "failure" "障害" "Failure",
        /// A disaster.
        Disaster "disaster" "災害" "Disaster",
        /// Not known (yet).
        Unknown "unknown" "不明" "Unknown",
    }
}

closed_words! {
    /// What may have leaked.
    LeakClass {
        /// Nothing.
        None "none" "漏えいなし" "No leak",
        /// It cannot be ruled out.
        Suspected "suspected" "漏えいのおそれ" "Leak suspected",
        /// Personal data.
        Personal "personal" "個人情報" "Personal data",
        /// Personal data with a My Number.
        SpecificPersonal "specific_personal" "特定個人情報(マイナンバー)" "My Number data",
        /// Information of public interest.
        PublicInterest "public_interest" "公共性の高い情報" "Information of public interest",
        /// Other information.
        General "general" "一般情報" "General information",
    }
}

impl LeakClass {
    /// Personal data leaked, or may have.
    pub const fn is_personal(self) -> bool {
        match self {
            Self::Suspected | Self::Personal | Self::SpecificPersonal => true,
            Self::None | Self::PublicInterest | Self::General => false,
        }
    }
}

closed_words! {
    /// Why an incident was none.
    FalsePositiveReason {
        /// It is what the organisation does.
        Business "business" "正当な業務通信" "Legitimate business",
        /// A scan or a test that was agreed.
        AgreedTest "agreed_test" "承認済みの診断・試験" "Agreed scan or test",
        /// Something is set up wrongly, and harmless.
        Misconfiguration "misconfiguration" "設定の誤り(無害)" "Harmless misconfiguration",
        /// The rule is wrong, or too sensitive.
        Rule "rule" "検知規則の誤り・過敏" "The rule is wrong or too sensitive",
        /// The sensor saw wrongly.
        Sensor "sensor" "センサの誤り" "The sensor saw wrongly",
    }
}

/// A text that says something.
pub fn said(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Triage: all of it is needed, and what is missing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Triage {
    /// What kind.
    pub category: Option<IncidentCategory>,
    /// What it does.
    pub impact: Option<Impact>,
    /// How soon.
    pub urgency: Option<Urgency>,
    /// What is hurt; an empty list says: nothing.
    pub hurts: Option<BTreeSet<Aspect>>,
    /// What may have leaked.
    pub leak_class: Option<LeakClass>,
    /// Who works on it.
    pub owner: Option<String>,
    /// Why it happened, as far as one knows.
    pub cause: Option<CauseClass>,
}

impl Triage {
    /// What is not filled in. The cause may come later.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("category", self.category.is_none()),
            ("impact", self.impact.is_none()),
            ("urgency", self.urgency.is_none()),
            ("hurts", self.hurts.is_none()),
            ("leak_class", self.leak_class.is_none()),
            ("owner", !self.owner.as_deref().is_some_and(said)),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect()
    }
}

/// What leaked, and about how many people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Leak {
    /// Kinds of items: names, addresses, telephone numbers…
    pub item_types: Vec<String>,
    /// At least so many people.
    pub persons_min: Option<u64>,
    /// At most so many.
    pub persons_max: Option<u64>,
    /// The number is final (確定).
    pub confirmed: bool,
    /// It was encrypted, and the key did not leak.
    pub encrypted: Option<bool>,
    /// What the people were told, and when.
    pub subject_notice: Option<String>,
}

/// Something found out, or not, and then why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// What was found out.
    pub value: Option<String>,
    /// 不明: why it cannot be found out.
    pub unknown_because: Option<String>,
}

impl Answer {
    /// There is an answer, or a reason why there is none.
    pub fn is_given(&self) -> bool {
        self.value.as_deref().is_some_and(said) || self.unknown_because.as_deref().is_some_and(said)
    }
}

/// What was found out about an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Investigation {
    /// How it came in.
    pub vector: Answer,
    /// What systems are affected.
    pub assets: Answer,
    /// How far it went.
    pub scope: Answer,
    /// From when until when.
    pub period: Answer,
    /// Whose accounts were used.
    pub accounts: Answer,
    /// What the answers rest on.
    pub evidence: Answer,
}

impl Investigation {
    /// Every item by name.
    pub const fn items(&self) -> [(&'static str, &Answer); 6] {
        [
            ("vector", &self.vector),
            ("assets", &self.assets),
            ("scope", &self.scope),
            ("period", &self.period),
            ("accounts", &self.accounts),
            ("evidence", &self.evidence),
        ]
    }

    /// What has neither an answer nor a reason.
    pub fn missing(&self) -> Vec<&'static str> {
        self.items().into_iter().filter(|(_, answer)| !answer.is_given()).map(|(name, _)| name).collect()
    }

    /// Percent of the items that are answered or explained.
    pub fn completeness(&self) -> u8 {
        let given = self.items().into_iter().filter(|(_, answer)| answer.is_given()).count();
        u8::try_from(given * 100 / self.items().len()).unwrap_or(100)
    }
}

/// Something that will be done so that it does not happen again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prevention {
    /// What.
    pub what: String,
    /// Who.
    pub owner: String,
    /// Until when, `YYYY-MM-DD`.
    pub due: String,
}

impl Prevention {
    /// It says what, and somebody must do it by a day that exists.
    pub fn is_complete(&self) -> bool {
        said(&self.what) && said(&self.owner) && self.due.parse::<jiff::civil::Date>().is_ok()
    }
}

/// The review after the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Review {
    /// When people met, `YYYY-MM-DD`.
    pub held_on: String,
    /// Who.
    pub attendees: Vec<String>,
    /// Why, and why that, and why that…
    pub whys: Vec<String>,
    /// What is at the bottom of it.
    pub root_cause: String,
    /// In one word.
    pub cause: Option<CauseClass>,
    /// What went well and what did not.
    pub findings: String,
    /// What will be done.
    pub prevention: Vec<Prevention>,
    /// What whoever has the next one should know; shown at the triage of similar ones.
    pub lesson: String,
}

impl Review {
    /// What is not filled in.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("review.held_on", self.held_on.parse::<jiff::civil::Date>().is_err()),
            ("review.attendees", !self.attendees.iter().any(|name| said(name))),
            ("review.whys", !self.whys.iter().any(|why| said(why))),
            ("review.root_cause", !said(&self.root_cause)),
            ("review.prevention", !self.prevention.iter().any(Prevention::is_complete)),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect()
    }
}

/// Whether, when and how the public is told. Every text that was proposed is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Publication {
    /// It will be published.
    pub publish: bool,
    /// When, in words or a time.
    pub when: String,
    /// Where: website, press…
    pub media: Vec<String>,
    /// The one person who speaks.
    pub spokesperson: String,
    /// Why so.
    pub reason: String,
    /// The words, every version; the last counts.
    pub texts: Vec<String>,
    /// Who approved the last version.
    pub approved: Option<Signed>,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signed {
    /// Who.
    pub by: String,
    /// By the collector's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Somebody from outside who helps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Vendor {
    /// Who.
    pub name: String,
    /// Under which contract.
    pub contract: String,
    /// A promise of confidence exists.
    pub nda: bool,
    /// From when, in words or a time.
    pub from: String,
    /// What for.
    pub what: String,
}

/// When it will be done, as told to reception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Eta {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Why then; why later than said before.
    pub reason: String,
    /// Who said so.
    pub signed: Signed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triage_names_what_is_missing() {
        let all = ["category", "impact", "urgency", "hurts", "leak_class", "owner"];
        assert_eq!(Triage::default().missing(), all);
        let json = r#"{"category":"scan","impact":"i1","urgency":"u2","hurts":[],"leak_class":"none","owner":"監視"}"#;
        let triage: Triage = serde_json::from_str(json).unwrap();
        assert!(triage.missing().is_empty());
        assert_eq!(Triage { owner: Some("  ".to_owned()), ..triage }.missing(), ["owner"]);
        for bad in [r#"{"impact":"i9"}"#, r#"{"colour":"red"}"#, r#"{"hurts":"all"}"#] {
            assert!(serde_json::from_str::<Triage>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_investigation_is_complete_when_every_item_has_an_answer_or_a_reason() {
        let known = || Answer { value: Some("x".to_owned()), unknown_because: None };
        let unknown = || Answer { value: None, unknown_because: Some("ログなし".to_owned()) };
        let mut form = Investigation::default();
        assert_eq!((form.missing().len(), form.completeness()), (6, 0));
        form.vector = known();
        form.assets = unknown();
        form.scope = Answer { value: Some(" ".to_owned()), unknown_because: Some(String::new()) };
        assert_eq!(
            (form.missing(), form.completeness()),
            (vec!["scope", "period", "accounts", "evidence"], 33)
        );
        form = Investigation {
            vector: known(),
            assets: known(),
            scope: unknown(),
            period: known(),
            accounts: known(),
            evidence: known(),
        };
        assert_eq!((form.missing(), form.completeness()), (vec![], 100));
    }

    #[test]
    fn a_review_needs_a_cause_and_somebody_who_does_something_by_a_day() {
        let action = |owner: &str, due: &str| Prevention {
            what: "MFA".to_owned(),
            owner: owner.to_owned(),
            due: due.to_owned(),
        };
        let full = Review {
            held_on: "2026-12-01".to_owned(),
            attendees: vec!["統制".to_owned()],
            whys: vec!["なぜ".to_owned()],
            root_cause: "設定漏れ".to_owned(),
            prevention: vec![action("情報政策課", "2027-01-31")],
            ..Review::default()
        };
        assert!(full.missing().is_empty());
        for (owner, due) in [("", "2027-01-31"), ("課", ""), ("課", "2027-02-30")] {
            let review = Review { prevention: vec![action(owner, due)], ..full.clone() };
            assert_eq!(review.missing(), ["review.prevention"], "{owner} {due}");
        }
        assert_eq!(Review::default().missing().len(), 5);
    }

    #[test]
    fn only_personal_data_raises_the_floor() {
        let personal: Vec<_> = LeakClass::ALL.iter().copied().filter(|class| class.is_personal()).collect();
        assert_eq!(personal, [LeakClass::Suspected, LeakClass::Personal, LeakClass::SpecificPersonal]);
    }
}
