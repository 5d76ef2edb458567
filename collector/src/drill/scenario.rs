//! Scenario files: what happens in a drill, who is told what and when, and what each role is expected to do until when.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path};

use sekimori_wire::finding::{Category, Severity};
use serde::{Deserialize, Serialize};

use crate::auth::role::Role;
use crate::incident::IncidentCategory;
use crate::incident::form::said;
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::incident::playbook::playbook;
use crate::incident::severity::level;

macro_rules! files {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../data/drills/", $name, ".toml"))),)*]
    };
}

/// The ready scenarios, by the name that each calls itself.
const FILES: &[(&str, &str)] =
    files!["ransomware", "ddos", "mail_malware", "segment_violation", "lost_device", "cross_body",];

/// Longest scenario file, in bytes.
const LARGEST: u64 = 256 * 1024;
/// Longest drill, in minutes: a day.
const LONGEST: u32 = 24 * 60;
/// Most entries of one kind in a scenario.
const MOST: usize = 200;
/// Most bodies in a scenario.
const MOST_BODIES: u8 = 47;

closed_words! {
    /// Something that a scenario expects of a role: an action as the history of an incident names it.
    Deed {
        /// `detected` → `received`.
        Acknowledge "acknowledge" "受付" "Acknowledge",
        /// `received` → `triaged`.
        Triage "triage" "トリアージ" "Triage",
        /// `triaged` → `containing`.
        Start "start" "初動開始" "Start the first response",
        /// A task of the playbook.
        DoTask "do_task" "手順の実施" "Do a task",
        /// `containing` → `investigating`.
        Investigate "investigate" "調査へ" "Go on to the investigation",
        /// What may have leaked is written down.
        Leak "leak" "漏えい判定" "Judge what may have leaked",
        /// Evidence is preserved.
        PreserveEvidence "preserve_evidence" "証拠保全" "Preserve evidence",
        /// Incident control takes over.
        ActivateControl "activate_control" "統制の発動" "Activate incident control",
        /// `investigating` → `notifying`.
        Notify "notify" "通知・報告へ" "Go on to notices and reports",
        /// What is published is written down.
        Publication "publication" "公表の記録" "Record the publication",
        /// Something is given to others.
        Share "share" "外部共有" "Share with others",
        /// Incidents that have to do with each other are linked.
        Link "link" "関連付け" "Link incidents",
        /// `notifying` → `recovering`.
        Recover "recover" "復旧へ" "Go on to recovery",
        /// A note.
        Note "note" "記録" "Write a note",
        /// What was learnt.
        Review "review" "事後評価" "Review",
    }
}

impl Deed {
    /// The right that it needs.
    pub const fn permission(self) -> Permission {
        match self {
            Self::Acknowledge => Permission::Acknowledge,
            Self::Triage => Permission::Triage,
            Self::Start => Permission::Start,
            Self::DoTask | Self::Note => Permission::Work,
            Self::Investigate => Permission::Investigate,
            Self::Leak | Self::PreserveEvidence | Self::Publication | Self::Review => Permission::Record,
            Self::ActivateControl => Permission::ActivateControl,
            Self::Notify => Permission::Notify,
            Self::Share => Permission::Share,
            Self::Link => Permission::Regroup,
            Self::Recover => Permission::Recover,
        }
    }
}

/// What is exercised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub id: String,
    /// Grows with every change; reports name it.
    pub version: u32,
    /// Where it comes from.
    pub source: String,
    /// One line, in Japanese.
    pub title_ja: String,
    /// One line, in English.
    pub title_en: String,
    /// What it is about, in Japanese.
    pub about_ja: String,
    /// What it is about, in English.
    pub about_en: String,
    /// What the incident is.
    pub category: IncidentCategory,
    /// How bad it is: what triage should come to.
    #[serde(with = "level")]
    pub severity: Severity,
    /// How many bodies take part; entries name them by number, from 1. Which they are is said when a drill starts.
    pub bodies: u8,
    /// How long it takes.
    pub minutes: u32,
    /// What sensors see.
    #[serde(default, rename = "capture")]
    pub captures: Vec<Capture>,
    /// What people report.
    #[serde(default, rename = "report")]
    pub reports: Vec<Report>,
    /// What players are told.
    #[serde(rename = "inject")]
    pub injects: Vec<Inject>,
    /// What they are expected to do.
    #[serde(rename = "expect")]
    pub expected: Vec<Expected>,
}

/// A capture that an agent replays. Alerts of endpoint products are in captures, too, as the log server got them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// When, in minutes from the start.
    pub minute: u32,
    /// At which of the bodies.
    pub body: u8,
    /// The file, below the folder of captures.
    pub file: String,
    /// The agent's configuration that belongs to it (bodies, segments), below the same folder.
    #[serde(default)]
    pub config: Option<String>,
    /// What must be found in it.
    #[serde(deserialize_with = "categories")]
    pub finds: Vec<Category>,
}

/// An incident that somebody reports: it is opened by hand, as a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// When, in minutes from the start.
    pub minute: u32,
    /// Of which of the bodies.
    pub body: u8,
    /// What it is about: a device, an account.
    pub subject: String,
    /// One line, in Japanese.
    pub title_ja: String,
    /// One line, in English.
    pub title_en: String,
    /// What is said, in Japanese.
    pub ja: String,
    /// What is said, in English.
    pub en: String,
}

/// 状況付与: a card that a player is handed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// Within the scenario.
    pub id: String,
    /// When, in minutes from the start.
    pub minute: u32,
    /// To whom.
    pub to: Role,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

/// What a role is expected to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Who.
    pub role: Role,
    /// What.
    pub action: Deed,
    /// Of `do_task`: which step of the category's playbook.
    #[serde(default)]
    pub step: Option<String>,
    /// Until when, in minutes from the start.
    pub by: u32,
    /// Why, in Japanese: what one should have learnt.
    pub ja: String,
    /// Why, in English.
    pub en: String,
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("the scenario {name} cannot be read: {cause}")]
    Io {
        /// Which.
        name: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is longer than any scenario.
    #[error("the scenario {name} is longer than 256 KiB")]
    TooLong {
        /// Which.
        name: String,
    },
    /// It is no TOML, or has other keys or types.
    #[error("the scenario {name}: {cause}")]
    Toml {
        /// Which.
        name: String,
        /// Where and why.
        cause: Box<toml::de::Error>,
    },
    /// A key says something that cannot be.
    #[error("the scenario {name}: {key}: {rule}")]
    Rule {
        /// Which.
        name: String,
        /// Which key; entries of a list are counted from 1.
        key: String,
        /// What is not so.
        rule: &'static str,
    },
    /// There is no such ready scenario.
    #[error("{name}: neither a file nor one of the ready scenarios ({ready})")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        ready: String,
    },
}

/// The ready scenarios.
///
/// # Errors
/// If one is broken, which a test rules out for those that are shipped.
pub fn ready() -> Result<Vec<Scenario>, ScenarioError> {
    FILES.iter().map(|(name, text)| parse(name, text)).collect()
}

/// A ready scenario by its name, or else the file of that name.
///
/// # Errors
/// If there is neither, or it is no scenario.
pub fn load(name: &str) -> Result<Scenario, ScenarioError> {
    if let Some((name, text)) = FILES.iter().find(|(ready, _)| *ready == name) {
        return parse(name, text);
    }
    let failed = |cause| ScenarioError::Io { name: name.to_owned(), cause };
    let file = File::open(name).map_err(|cause| {
        if cause.kind() != std::io::ErrorKind::NotFound {
            return failed(cause);
        }
        let ready: Vec<&str> = FILES.iter().map(|(ready, _)| *ready).collect();
        ScenarioError::Unknown { name: name.to_owned(), ready: ready.join(", ") }
    })?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
        return Err(ScenarioError::TooLong { name: name.to_owned() });
    }
    parse(name, &text)
}

/// Reads a scenario; `name` is for errors.
///
/// # Errors
/// If it cannot be read, or a rule does not hold: which key breaks which.
pub fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let failed = |cause| ScenarioError::Toml { name: name.to_owned(), cause: Box::new(cause) };
    let scenario: Scenario = toml::from_str(text).map_err(failed)?;
    match scenario.broken() {
        Some((key, rule)) => Err(ScenarioError::Rule { name: name.to_owned(), key, rule }),
        None => Ok(scenario),
    }
}

/// A key, and what is not so about it.
type Broken = (String, &'static str);

const BOTH: &str = "it must be said in Japanese and in English";
const IN_TIME: &str = "the drill is over by then";
const WHICH: &str = "bodies are counted from 1 to what `bodies` says";

impl Scenario {
    /// The first rule that does not hold.
    fn broken(&self) -> Option<Broken> {
        let named = |id: &str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let counts = [self.captures.len(), self.reports.len(), self.injects.len(), self.expected.len()];
        let ids: BTreeSet<&str> = self.injects.iter().map(|one| one.id.as_str()).collect();
        let rules = [
            ("id", "1 to 64 small letters, digits and _", named(&self.id)),
            ("version", "versions begin at 1", self.version >= 1),
            ("source", "it must say where it comes from", said(&self.source)),
            ("title_ja, title_en", BOTH, said(&self.title_ja) && said(&self.title_en)),
            ("about_ja, about_en", BOTH, said(&self.about_ja) && said(&self.about_en)),
            ("severity", "its category demands a higher level", self.severity >= self.category.floor()),
            (
                "category",
                "a drill is about something that happens",
                self.category != IncidentCategory::DrillTest,
            ),
            ("bodies", "from 1 to 47", (1..=MOST_BODIES).contains(&self.bodies)),
            ("minutes", "from 1 to 1440", (1..=LONGEST).contains(&self.minutes)),
            ("capture, report", "nothing happens", !self.captures.is_empty() || !self.reports.is_empty()),
            ("inject", "nobody is told anything", !self.injects.is_empty()),
            ("inject", "each needs an id of its own", ids.len() == self.injects.len()),
            ("expect", "nothing is expected of anybody", !self.expected.is_empty()),
            ("capture, report, inject, expect", "at most 200 of a kind", counts.iter().all(|n| *n <= MOST)),
        ];
        let top = rules.into_iter().find(|(_, _, holds)| !holds).map(|(key, rule, _)| (key.to_owned(), rule));
        top.or_else(|| first("capture", &self.captures, |one| self.capture(one)))
            .or_else(|| first("report", &self.reports, |one| self.report(one)))
            .or_else(|| first("inject", &self.injects, |one| self.inject(one)))
            .or_else(|| first("expect", &self.expected, |one| self.expect(one)))
    }

    fn takes_part(&self, body: u8) -> bool {
        (1..=self.bodies).contains(&body)
    }

    fn capture(&self, one: &Capture) -> Option<(&'static str, &'static str)> {
        let below = "a path below the folder of captures, without . and ..";
        broken(&[
            ("minute", IN_TIME, one.minute <= self.minutes),
            ("body", WHICH, self.takes_part(one.body)),
            ("file", below, is_below(&one.file)),
            ("config", below, one.config.as_deref().is_none_or(is_below)),
            ("finds", "a capture in which nothing is found shows nobody anything", !one.finds.is_empty()),
        ])
    }

    fn report(&self, one: &Report) -> Option<(&'static str, &'static str)> {
        broken(&[
            ("minute", IN_TIME, one.minute <= self.minutes),
            ("body", WHICH, self.takes_part(one.body)),
            ("subject", "it must say what it is about", said(&one.subject)),
            ("title_ja, title_en", BOTH, said(&one.title_ja) && said(&one.title_en)),
            ("ja, en", BOTH, said(&one.ja) && said(&one.en)),
        ])
    }

    fn inject(&self, one: &Inject) -> Option<(&'static str, &'static str)> {
        broken(&[
            ("id", "it needs one", said(&one.id)),
            ("minute", IN_TIME, one.minute <= self.minutes),
            ("to", "an auditor or administrator works no incident", one.to.works_incidents()),
            ("ja, en", BOTH, said(&one.ja) && said(&one.en)),
        ])
    }

    fn expect(&self, one: &Expected) -> Option<(&'static str, &'static str)> {
        let at_hand = AtHand { severity: self.severity, level: None, days: None };
        let may = grant(Part::Person(one.role), one.action.permission(), at_hand) != Grant::No;
        let steps = playbook(self.category).map_or(&[][..], |found| found.steps.as_slice());
        let known = one.step.as_ref().is_none_or(|step| steps.iter().any(|one| one.id == *step));
        broken(&[
            ("by", IN_TIME, (1..=self.minutes).contains(&one.by)),
            ("action", "the role may neither do nor propose it", may),
            (
                "step",
                "only do_task has one, and needs it",
                one.step.is_some() == (one.action == Deed::DoTask),
            ),
            ("step", "the category's playbook has no such step", known),
            ("ja, en", BOTH, said(&one.ja) && said(&one.en)),
        ])
    }
}

/// The first rule that does not hold.
fn broken(rules: &[(&'static str, &'static str, bool)]) -> Option<(&'static str, &'static str)> {
    rules.iter().find(|(_, _, holds)| !holds).map(|(key, rule, _)| (*key, *rule))
}

/// The first of a list that breaks a rule.
fn first<T>(
    list: &str,
    of: &[T],
    check: impl Fn(&T) -> Option<(&'static str, &'static str)>,
) -> Option<Broken> {
    of.iter().enumerate().find_map(|(at, one)| {
        let (key, rule) = check(one)?;
        Some((format!("{list} {}: {key}", at + 1), rule))
    })
}

/// What sensors find, by its names.
fn categories<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Category>, D::Error> {
    let unknown = |name: &String| serde::de::Error::custom(format!("{name:?} is nothing that sensors find"));
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| name.parse().map_err(|_not_one| unknown(name))).collect()
}

/// A file of the folder, whatever a scenario says.
fn is_below(path: &str) -> bool {
    said(path) && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
