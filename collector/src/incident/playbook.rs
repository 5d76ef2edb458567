//! 初動対応手順: what to do, by category. Data files (`data/playbooks`), each with its version; nothing here is executed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Deserialize;

use super::IncidentCategory;
use super::form::said;
use super::task::{Phase, TaskKind};
use crate::auth::role::Role;

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../data/playbooks/", $name, ".toml"))),)*]
    };
}

/// Every file, by the category that it is named for.
const FILES: &[(&str, &str)] = files![
    "scan",
    "brute_force",
    "exploit_attempt",
    "dos",
    "malware_infection",
    "c2_beacon",
    "ransomware",
    "dns_tunnel",
    "data_exfil",
    "phishing_mail",
    "network_spoofing",
    "policy_violation",
    "segment_violation",
    "service_outage",
    "sensor_silent",
    "web_defacement",
    "device_lost",
    "human_error",
    "drill_test",
];

/// What is broken in a file is left out here and found by the test and by [`check`] at start.
static PLAYBOOKS: LazyLock<Vec<Playbook>> =
    LazyLock::new(|| FILES.iter().filter_map(|(name, text)| parse(name, text).ok()).collect());

/// What to do about a category.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// For which category.
    pub category: IncidentCategory,
    /// Grows with every change; tasks name it.
    pub version: u32,
    /// Where it comes from.
    pub source: String,
    /// Somebody of the customer has checked it.
    pub verified: bool,
    /// In order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Within the playbook.
    pub id: String,
    /// ★: must be done, or waived with a reason.
    #[serde(default)]
    pub mandatory: bool,
    /// Who it is for.
    pub role: Role,
    /// Before which of the six steps ends.
    #[serde(default = "respond")]
    pub phase: Phase,
    /// Whether it removes traces.
    #[serde(default = "work")]
    pub kind: TaskKind,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

const fn respond() -> Phase {
    Phase::Respond
}

const fn work() -> TaskKind {
    TaskKind::Work
}

/// Why a file is no playbook.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookError {
    /// It cannot be read.
    #[error("the playbook {name} cannot be read")]
    Toml {
        /// Which.
        name: String,
        /// Where and why.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// It says nothing, or the wrong thing.
    #[error("the playbook {name}: {rule}")]
    Rule {
        /// Which.
        name: String,
        /// What is not so.
        rule: &'static str,
    },
    /// A category has none.
    #[error("the category {0} has no playbook")]
    None(IncidentCategory),
}

/// Reads a playbook.
///
/// # Errors
/// If it cannot be read, or a rule does not hold.
pub fn parse(name: &str, text: &str) -> Result<Playbook, PlaybookError> {
    let failed = |cause| PlaybookError::Toml { name: name.to_owned(), cause: Box::new(cause) };
    let playbook: Playbook = toml::from_str(text).map_err(failed)?;
    let steps = &playbook.steps;
    let ids: BTreeSet<&str> = steps.iter().map(|step| step.id.as_str()).collect();
    let ours = |role: Role| match role {
        Role::Reception
        | Role::Monitor
        | Role::TechSupport
        | Role::Control
        | Role::BodyOfficer
        | Role::BodyCiso
        | Role::PrefCsirt => true,
        Role::Auditor | Role::Admin => false,
    };
    let rules = [
        ("its file must be named for its category", playbook.category.as_str() == name),
        ("versions begin at 1", playbook.version >= 1),
        ("its first step must be mandatory", steps.first().is_some_and(|step| step.mandatory)),
        ("steps need identifiers of their own", ids.len() == steps.len() && ids.iter().all(|id| said(id))),
        ("steps must be in both languages", steps.iter().all(|step| said(&step.ja) && said(&step.en))),
        ("an auditor or administrator works no incident", steps.iter().all(|step| ours(step.role))),
    ];
    match rules.into_iter().find(|(_, holds)| !holds) {
        Some((rule, _)) => Err(PlaybookError::Rule { name: name.to_owned(), rule }),
        None => Ok(playbook),
    }
}

/// The playbook of a category.
pub fn playbook(category: IncidentCategory) -> Option<&'static Playbook> {
    PLAYBOOKS.iter().find(|playbook| playbook.category == category)
}

/// Whether every file can be used and every category has one: asked at start, so that nobody finds out in the night.
///
/// # Errors
/// What is wrong.
pub fn check() -> Result<(), PlaybookError> {
    for (name, text) in FILES {
        parse(name, text)?;
    }
    match IncidentCategory::ALL.iter().find(|category| playbook(**category).is_none()) {
        Some(category) => Err(PlaybookError::None(*category)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_a_playbook() {
        check().unwrap();
        assert_eq!(FILES.len(), IncidentCategory::ALL.len());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let good = "category = \"scan\"\nversion = 1\nsource = \"x\"\nverified = false\n
            [[step]]\nid = \"a\"\nmandatory = true\nrole = \"monitor\"\nja = \"見る\"\nen = \"Look\"\n";
        parse("scan", good).unwrap();
        for (from, to, says) in [
            ("\"scan\"", "\"dos\"", "named for its category"),
            ("\"scan\"", "\"weather\"", "cannot be read"),
            ("version = 1", "version = 0", "versions begin at 1"),
            ("mandatory = true", "mandatory = false", "must be mandatory"),
            ("id = \"a\"", "id = \" \"", "identifiers"),
            ("ja = \"見る\"", "ja = \"\"", "both languages"),
            ("\"monitor\"", "\"auditor\"", "works no incident"),
            ("\"monitor\"", "\"root\"", "cannot be read"),
            ("mandatory", "mandatori", "cannot be read"),
        ] {
            let error = parse("scan", &good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn marks_are_those_of_the_domain() {
        // Which of the steps are mandatory, as the domain's document marks them.
        for (category, stars) in [
            (IncidentCategory::Scan, "★★---"),
            (IncidentCategory::BruteForce, "★★★--"),
            (IncidentCategory::ExploitAttempt, "★★-★-"),
            (IncidentCategory::Dos, "★★-★--"),
            (IncidentCategory::MalwareInfection, "★★★★--"),
            (IncidentCategory::C2Beacon, "★★★★--"),
            (IncidentCategory::Ransomware, "★★★★★-"),
            (IncidentCategory::DnsTunnel, "★★-★-"),
            (IncidentCategory::DataExfil, "★★★★-★"),
            (IncidentCategory::WebDefacement, "★★★★--"),
            (IncidentCategory::PhishingMail, "★★★--"),
            (IncidentCategory::SegmentViolation, "★★★★★-"),
            (IncidentCategory::ServiceOutage, "★★★---"),
            (IncidentCategory::SensorSilent, "★★---"),
            (IncidentCategory::DeviceLost, "★★★★★"),
            (IncidentCategory::HumanError, "★★★★--"),
        ] {
            let steps = &playbook(category).unwrap().steps;
            let found: String = steps.iter().map(|step| if step.mandatory { '★' } else { '-' }).collect();
            assert_eq!(found, stars, "{category}");
        }
    }
}
