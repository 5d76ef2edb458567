//! Rules over what was seen of one host: kill-chain order, an endpoint alert beside a network finding, N of M, A then B,
//! A without B. They are data (`data/correlation.toml`); this reads them and judges, and touches no store.
//!
//! A verdict raises a severity, links incidents or lets a finding join one; it never lowers or hides anything.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rule::IndicatorKind;
use crate::incident::{IncidentCategory, IncidentState};

mod file;

pub use file::RuleError;

/// The rules that come with this version.
const BUILT_IN: &str = include_str!("../../data/correlation.toml");
/// What is looked at of one host; newer first.
pub const SEEN_MAX: usize = 256;

/// What saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A sensor, in packets.
    Network,
    /// A product on the host.
    Endpoint,
}

impl Source {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Endpoint => "endpoint",
        }
    }

    /// From the stable identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Network, Self::Endpoint].into_iter().find(|one| one.as_str() == name)
    }
}

/// One thing that was seen of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What kind of incident it speaks of.
    pub category: IncidentCategory,
    /// What saw it.
    pub source: Source,
    /// Event time.
    pub time: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// The incident that it belongs to; `None`: to none yet.
    pub incident: Option<String>,
    /// Where the work on that stands; a closed one is not joined.
    pub state: IncidentState,
    /// Somebody contained it: the product itself, or a person.
    pub contained: bool,
}

/// What a rule that holds asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which rule.
    pub rule: String,
    /// Whose incident gets worse: that of something that was seen before and happened after the new one; `None`: that of
    /// the new finding.
    pub pivot: Option<String>,
    /// The new finding belongs to this incident.
    pub join: Option<String>,
    /// These belong together; the oldest first.
    pub link: Vec<String>,
    /// That incident is at least this bad.
    pub severity: Severity,
    /// Why, in Japanese and English.
    pub why: (String, String),
    /// What was compared with what.
    pub reason: Value,
}

/// A set of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    id: String,
    kind: Kind,
    effect: Effect,
    window: Duration,
    texts: (String, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Two kinds of things, in either order.
    Together(Which, Which),
    /// At least so many stages, the new one being later than one before.
    Chain { stages: Vec<BTreeSet<IncidentCategory>>, stages_min: usize },
    /// Each step after the one before.
    Ordered(Vec<BTreeSet<IncidentCategory>>),
    /// At least so many of these.
    Some { categories: BTreeSet<IncidentCategory>, at_least: usize },
    /// One, and then not contained.
    Absence(Which),
    /// The same indicator in one body.
    Same(IndicatorKind),
    /// So many incidents of one kind in one body.
    Storm { incidents: usize },
}

/// A rule about many hosts: what would open one more incident joins one that is there.
#[derive(Clone, Copy, Debug)]
pub struct Gathering<'a> {
    rule: &'a Rule,
}

/// What a gathering looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// An open incident with the same indicator of this kind.
    Same(IndicatorKind),
    /// At least so many incidents of the same kind at once.
    Incidents(usize),
}

impl Gathering<'_> {
    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.rule.id
    }

    /// What it looks for.
    pub fn many(&self) -> Option<Many> {
        match &self.rule.kind {
            Kind::Same(kind) => Some(Many::Same(*kind)),
            Kind::Storm { incidents } => Some(Many::Incidents(*incidents)),
            Kind::Together(..)
            | Kind::Chain { .. }
            | Kind::Ordered(_)
            | Kind::Some { .. }
            | Kind::Absence(_) => None,
        }
    }

    /// How far apart in event time.
    pub fn window(&self) -> Duration {
        self.rule.window
    }

    /// Why, in Japanese and English.
    pub fn why(&self) -> (String, String) {
        let count = match &self.rule.kind {
            Kind::Storm { incidents } => incidents.to_string(),
            Kind::Same(_)
            | Kind::Together(..)
            | Kind::Chain { .. }
            | Kind::Ordered(_)
            | Kind::Some { .. }
            | Kind::Absence(_) => String::new(),
        };
        let minutes = (self.rule.window.as_secs() / 60).to_string();
        let fill = |text: &str| text.replace("{minutes}", &minutes).replace("{count}", &count);
        (fill(&self.rule.texts.0), fill(&self.rule.texts.1))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Which {
    source: Source,
    /// Empty: every one.
    categories: BTreeSet<IncidentCategory>,
}

impl Which {
    fn fits(&self, seen: &Seen) -> bool {
        seen.source == self.source && (self.categories.is_empty() || self.categories.contains(&seen.category))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effect {
    join: bool,
    link: bool,
    /// Levels over the worst that takes part.
    raise: u8,
    /// At least this.
    severity: Severity,
}

impl Rules {
    /// Those that come with this version; a test reads them.
    pub fn in_force() -> &'static Self {
        static RULES: LazyLock<Rules> = LazyLock::new(|| {
            Rules::parse(BUILT_IN).unwrap_or_else(|error| {
                tracing::error!(%error, "no correlation rules");
                Rules { rules: Vec::new() }
            })
        });
        &RULES
    }

    /// Judges a new thing by what was seen of the same host before. Of a rule that holds, the incidents that take part are
    /// named; what lies further away in event time than the rule's window takes no part, whenever it arrived. What comes in
    /// late and happened first makes worse what followed it, as if it had come in first.
    pub fn judge(&self, history: &[Seen], new: &Seen) -> Vec<Verdict> {
        let history = history.get(..SEEN_MAX).unwrap_or(history);
        self.rules.iter().flat_map(|rule| rule.judge(history, new)).collect()
    }

    /// Rules about many hosts, in the order of the file.
    pub fn gatherings(&self) -> impl Iterator<Item = Gathering<'_>> {
        self.rules.iter().map(|rule| Gathering { rule }).filter(|one| one.many().is_some())
    }

    /// How long ago anything can matter of one host.
    pub fn reach(&self) -> Duration {
        let one_host = |rule: &&Rule| Gathering { rule }.many().is_none();
        self.rules.iter().filter(one_host).map(|rule| rule.window).max().unwrap_or_default()
    }

    /// The level up to which rules of absence raise: what is that bad already needs no look.
    pub fn absence_level(&self) -> Severity {
        let absence = |rule: &&Rule| matches!(rule.kind, Kind::Absence(_));
        self.rules.iter().filter(absence).map(|rule| rule.effect.severity).max().unwrap_or_default()
    }

    /// The shortest time after which something can be missing.
    pub fn absence_after(&self) -> Duration {
        let absence = |rule: &&Rule| matches!(rule.kind, Kind::Absence(_));
        self.rules.iter().filter(absence).map(|rule| rule.window).min().unwrap_or(Duration::MAX)
    }

    /// What has not happened in time, of everything that was seen of a host: rules of absence.
    pub fn overdue(&self, history: &[Seen], now: Timestamp) -> Vec<(Seen, Verdict)> {
        let rules = self.rules.iter().filter_map(|rule| match &rule.kind {
            Kind::Absence(which) => Some((rule, which)),
            Kind::Together(..)
            | Kind::Chain { .. }
            | Kind::Ordered(_)
            | Kind::Some { .. }
            | Kind::Same(_)
            | Kind::Storm { .. } => None,
        });
        rules
            .flat_map(|(rule, which)| {
                history
                    .iter()
                    .filter(|seen| which.fits(seen) && seen.state.is_open())
                    .filter(|seen| !seen.contained && now.since(seen.time) >= rule.window)
                    .map(|seen| (seen.clone(), rule.verdict(&[], seen, None)))
            })
            .collect()
    }
}

impl Rule {
    fn judge(&self, history: &[Seen], new: &Seen) -> Vec<Verdict> {
        if let Kind::Together(one, other) = &self.kind {
            return self.together(one, other, history, new);
        }
        let mut verdicts: Vec<Verdict> = Vec::new();
        verdicts.extend(self.parts(history.iter(), new).map(|parts| self.verdict(&parts, new, None)));
        let all = || history.iter().chain([new]);
        let after = |seen: &&Seen| seen.time >= new.time && distance(seen.time, new.time) <= self.window;
        for pivot in history.iter().filter(after).filter(|seen| seen.state.is_open()) {
            let Some(incident) = &pivot.incident else { continue };
            let others = all().filter(|seen| !std::ptr::eq(*seen, pivot));
            let Some(parts) = self.parts(others, pivot) else { continue };
            if !parts.iter().any(|part| std::ptr::eq(*part, new)) {
                continue;
            }
            let verdict = self.verdict(&parts, pivot, Some(incident));
            match verdicts.iter_mut().find(|known| known.pivot == verdict.pivot) {
                Some(known) if known.severity >= verdict.severity => {}
                Some(known) => *known = verdict,
                None => verdicts.push(verdict),
            }
        }
        verdicts
    }

    /// Two kinds of things, whichever comes first: each of those that are near is confirmed by the new one.
    fn together(&self, one: &Which, other: &Which, history: &[Seen], new: &Seen) -> Vec<Verdict> {
        let wanted = match (one.fits(new), other.fits(new)) {
            (true, _) => other,
            (false, true) => one,
            (false, false) => return Vec::new(),
        };
        let near = |seen: &&Seen| distance(seen.time, new.time) <= self.window && wanted.fits(seen);
        let parts: Vec<&Seen> = history.iter().filter(near).collect();
        if parts.is_empty() {
            return Vec::new();
        }
        let own = self.verdict(&parts, new, None);
        let mut verdicts = vec![own];
        for part in parts.iter().filter(|seen| seen.state.is_open()) {
            let Some(incident) = &part.incident else { continue };
            let is_told = |known: &Verdict| known.pivot.as_ref().or(known.join.as_ref()) == Some(incident);
            if !verdicts.iter().any(is_told) {
                verdicts.push(self.verdict(&[new], part, Some(incident)));
            }
        }
        verdicts
    }

    /// What takes part if the rule holds with `last` as the last of it in event time.
    fn parts<'a>(&self, others: impl Iterator<Item = &'a Seen>, last: &Seen) -> Option<Vec<&'a Seen>> {
        let before = |seen: &&Seen| seen.time <= last.time && distance(seen.time, last.time) <= self.window;
        let near: Vec<&Seen> = others.filter(before).collect();
        match &self.kind {
            Kind::Chain { stages, stages_min } => chain(stages, *stages_min, near, last),
            Kind::Ordered(steps) => ordered(steps, &near, last),
            Kind::Some { categories, at_least } => {
                let wanted = |seen: &Seen| categories.contains(&seen.category);
                let parts: Vec<&Seen> = near.into_iter().filter(|seen| wanted(seen)).collect();
                let kinds: BTreeSet<_> =
                    parts.iter().map(|seen| seen.category).chain([last.category]).collect();
                (wanted(last) && kinds.len() >= *at_least).then_some(parts)
            }
            Kind::Together(..) | Kind::Absence(_) | Kind::Same(_) | Kind::Storm { .. } => None,
        }
    }

    /// `pivot` is the incident of `new` where that is not the new finding.
    fn verdict(&self, parts: &[&Seen], new: &Seen, pivot: Option<&String>) -> Verdict {
        let worst =
            parts.iter().map(|seen| seen.severity).chain([new.severity]).max().unwrap_or(new.severity);
        let raised = (0..self.effect.raise).fold(worst, |severity, _| severity.raised());
        let severity = if self.effect.raise > 0 { raised } else { new.severity };
        let mut all: Vec<&Seen> = parts.iter().copied().chain([new]).collect();
        all.sort_by_key(|seen| seen.time);
        let mut link: Vec<String> = Vec::new();
        for incident in all.iter().filter_map(|seen| seen.incident.clone()) {
            if !link.contains(&incident) {
                link.push(incident);
            }
        }
        let nearest = parts
            .iter()
            .filter(|seen| seen.state.is_open() && seen.incident.is_some())
            .min_by_key(|seen| distance(seen.time, new.time));
        let join = nearest.filter(|_| self.effect.join && pivot.is_none());
        Verdict {
            rule: self.id.clone(),
            pivot: pivot.cloned(),
            join: join.and_then(|seen| seen.incident.clone()),
            link: if self.effect.link { link } else { Vec::new() },
            severity: severity.max(self.effect.severity),
            why: self.why(&all),
            reason: self.reason(&all),
        }
    }

    fn why(&self, all: &[&Seen]) -> (String, String) {
        let mut kinds: Vec<IncidentCategory> = Vec::new();
        for seen in all {
            if !kinds.contains(&seen.category) {
                kinds.push(seen.category);
            }
        }
        let steps = |word: fn(IncidentCategory) -> &'static str| {
            kinds.iter().map(|kind| word(*kind)).collect::<Vec<_>>().join(" → ")
        };
        let fill = |text: &str, steps: &str| {
            text.replace("{minutes}", &(self.window.as_secs() / 60).to_string())
                .replace("{count}", &kinds.len().to_string())
                .replace("{steps}", steps)
        };
        (fill(&self.texts.0, &steps(IncidentCategory::ja)), fill(&self.texts.1, &steps(IncidentCategory::en)))
    }

    fn reason(&self, all: &[&Seen]) -> Value {
        let parts: Vec<Value> = all
            .iter()
            .map(|seen| {
                json!({
                    "category": seen.category.as_str(),
                    "source": seen.source.as_str(),
                    "time": seen.time,
                    "severity": seen.severity,
                    "incident": seen.incident,
                })
            })
            .collect();
        json!({
            "rule": self.id,
            "inputs": { "seen": parts },
            "threshold": { "window_seconds": self.window.as_secs() },
        })
    }
}

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

fn stage_of(stages: &[BTreeSet<IncidentCategory>], category: IncidentCategory) -> Option<usize> {
    stages.iter().position(|stage| stage.contains(&category))
}

/// What takes part in a chain that the last one carries a stage further than anything before it.
fn chain<'a>(
    stages: &[BTreeSet<IncidentCategory>],
    stages_min: usize,
    near: Vec<&'a Seen>,
    last: &Seen,
) -> Option<Vec<&'a Seen>> {
    let reached = stage_of(stages, last.category)?;
    let earlier: Vec<&Seen> = near
        .into_iter()
        .filter(|seen| stage_of(stages, seen.category).is_some_and(|at| at < reached))
        .collect();
    let distinct: BTreeSet<usize> =
        earlier.iter().filter_map(|seen| stage_of(stages, seen.category)).collect();
    (distinct.len() + 1 >= stages_min && !earlier.is_empty()).then_some(earlier)
}

/// What takes part if `last` is the last step, each step before it having come before the next.
fn ordered<'a>(
    steps: &[BTreeSet<IncidentCategory>],
    near: &[&'a Seen],
    last: &Seen,
) -> Option<Vec<&'a Seen>> {
    let (end, before) = steps.split_last()?;
    if !end.contains(&last.category) {
        return None;
    }
    let mut parts = Vec::new();
    let mut until = last.time;
    for step in before.iter().rev() {
        let found: Vec<&Seen> =
            near.iter().copied().filter(|seen| step.contains(&seen.category) && seen.time <= until).collect();
        until = found.iter().map(|seen| seen.time).max()?;
        parts.extend(found);
    }
    Some(parts)
}

#[cfg(test)]
mod tests;
