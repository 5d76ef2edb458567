//! The rules as they are written.

use std::collections::BTreeSet;
use std::time::Duration;

use sekimori_wire::finding::Severity;
use serde::Deserialize;

use super::{Effect, Kind, Rule, Rules, Source, Which};
use crate::correlate::rule::IndicatorKind;
use crate::incident::IncidentCategory;

/// What this reads.
const VERSION: u32 = 1;
/// A day and a week at most: what is further back is not looked at.
const WINDOW_MINUTES_MAX: u64 = 8 * 24 * 60;
/// More than anybody would read one by one.
const STORM_INCIDENTS_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    rule: Vec<Written>,
}

/// Fields of every kind of rule, and those of its own.
#[derive(Deserialize)]
struct Written {
    id: String,
    effect: WrittenEffect,
    ja: String,
    en: String,
    source: String,
    verified: String,
    #[serde(flatten)]
    kind: WrittenKind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum WrittenKind {
    Together { one: WrittenWhich, other: WrittenWhich, window_minutes: u64 },
    Chain { stages: Vec<Vec<String>>, stages_min: usize, window_minutes: u64 },
    Ordered { steps: Vec<Vec<String>>, window_minutes: u64 },
    Some { categories: Vec<String>, at_least: usize, window_minutes: u64 },
    Absence { after: WrittenWhich, missing: Missing, within_minutes: u64 },
    Same { indicator: String, window_minutes: u64 },
    Storm { incidents: usize, window_minutes: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWhich {
    source: Source,
    categories: Vec<String>,
}

/// What should have come.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Missing {
    Contained,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEffect {
    #[serde(default)]
    join: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    raise: u8,
    #[serde(default)]
    severity: u8,
}

/// Why a text is no set of rules.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// It is not TOML, or not of these fields.
    #[error("the correlation rules cannot be read: {0}")]
    Read(#[from] toml::de::Error),
    /// It is of another version of this program.
    #[error("the correlation rules are of version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// One rule makes no sense.
    #[error("correlation rule {id:?}: {what}")]
    Rule {
        /// Which.
        id: String,
        /// What is wrong.
        what: String,
    },
}

impl Rules {
    /// Reads rules.
    ///
    /// # Errors
    /// If they are not: which, and why.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let file: File = toml::from_str(text)?;
        if file.version != VERSION {
            return Err(RuleError::Version(file.version));
        }
        let mut ids = BTreeSet::new();
        let mut rules = Vec::new();
        for written in file.rule {
            let id = written.id.clone();
            let wrong = |what: String| RuleError::Rule { id: id.clone(), what };
            if !ids.insert(id.clone()) {
                return Err(wrong("there are two of this id".to_owned()));
            }
            rules.push(rule(written).map_err(wrong)?);
        }
        Ok(Self { rules })
    }
}

fn rule(written: Written) -> Result<Rule, String> {
    if written.source.trim().is_empty() || written.verified.parse::<jiff::civil::Date>().is_err() {
        return Err("`source` and `verified` say where it comes from and when somebody looked".to_owned());
    }
    let severity = Severity::new(written.effect.severity).ok_or("`severity` is 0 to 4")?;
    let WrittenEffect { join, link, raise, .. } = written.effect;
    if !join && !link && raise == 0 && severity == Severity::INFORMATIONAL {
        return Err("`effect` does nothing: join, link, raise or severity".to_owned());
    }
    let (kind, minutes) = match written.kind {
        WrittenKind::Together { one, other, window_minutes } => {
            (Kind::Together(which(&one)?, which(&other)?), window_minutes)
        }
        WrittenKind::Chain { stages, stages_min, window_minutes } => {
            let stages = sets(&stages)?;
            if !(2..=stages.len()).contains(&stages_min) {
                return Err("`stages_min` is 2 to the number of stages".to_owned());
            }
            (Kind::Chain { stages, stages_min }, window_minutes)
        }
        WrittenKind::Ordered { steps, window_minutes } => {
            let steps = sets(&steps)?;
            if steps.len() < 2 {
                return Err("`steps` are at least two".to_owned());
            }
            (Kind::Ordered(steps), window_minutes)
        }
        WrittenKind::Some { categories, at_least, window_minutes } => {
            let categories = set(&categories)?;
            if !(2..=categories.len()).contains(&at_least) {
                return Err("`at_least` is 2 to the number of categories".to_owned());
            }
            (Kind::Some { categories, at_least }, window_minutes)
        }
        WrittenKind::Absence { after, missing: Missing::Contained, within_minutes } => {
            // It is looked at again and again: it may say up to where, and not how much further.
            if raise > 0 || join || link {
                return Err("what is missing can only ask for a `severity`".to_owned());
            }
            (Kind::Absence(which(&after)?), within_minutes)
        }
        WrittenKind::Same { indicator, window_minutes } => {
            let kind = IndicatorKind::from_name(&indicator)
                .ok_or_else(|| format!("there is no indicator {indicator:?}"))?;
            (Kind::Same(kind), window_minutes)
        }
        WrittenKind::Storm { incidents, window_minutes } => {
            if !(2..=STORM_INCIDENTS_MAX).contains(&incidents) {
                return Err(format!("`incidents` is 2 to {STORM_INCIDENTS_MAX}"));
            }
            (Kind::Storm { incidents }, window_minutes)
        }
    };
    let gathers = matches!(kind, Kind::Same(_) | Kind::Storm { .. });
    if gathers && (!join || link || raise > 0 || severity > Severity::INFORMATIONAL) {
        return Err("this kind of rule only joins".to_owned());
    }
    if !(1..=WINDOW_MINUTES_MAX).contains(&minutes) {
        return Err(format!("a window is 1 to {WINDOW_MINUTES_MAX} minutes"));
    }
    Ok(Rule {
        id: written.id,
        kind,
        effect: Effect { join, link, raise, severity },
        window: Duration::from_secs(minutes * 60),
        texts: (written.ja, written.en),
    })
}

fn which(written: &WrittenWhich) -> Result<Which, String> {
    let every = written.categories.iter().any(|name| name == "*");
    let categories = if every { BTreeSet::new() } else { set(&written.categories)? };
    Ok(Which { source: written.source, categories })
}

fn sets(written: &[Vec<String>]) -> Result<Vec<BTreeSet<IncidentCategory>>, String> {
    written.iter().map(|names| set(names)).collect()
}

fn set(names: &[String]) -> Result<BTreeSet<IncidentCategory>, String> {
    if names.is_empty() {
        return Err("a list of categories is empty".to_owned());
    }
    let category = |name: &String| {
        IncidentCategory::from_name(name).ok_or_else(|| format!("there is no category {name:?}"))
    };
    names.iter().map(category).collect()
}
