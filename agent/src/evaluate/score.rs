//! Found, missed, false: counted by category and in all.

use std::collections::BTreeMap;
use std::time::Duration;

use sekimori_wire::finding::{Category, Finding, Severity};

use super::Outcome;
use super::label::Labels;
use super::manifest::{Entry, Kind};

/// On benign captures findings of this severity or above are false.
const FALSE_FROM: Severity = Severity::MEDIUM;

/// How the captures were judged.
#[derive(Debug)]
pub(super) struct Score<'a> {
    labels: &'a Labels,
    pub(super) attacks: Vec<Judged>,
    pub(super) benign: Vec<Quiet>,
}

/// An attack capture.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) entry: Entry,
    pub(super) category: Option<Category>,
    /// The first finding that satisfies the label, and how long after the first frame it was made.
    pub(super) hit: Option<(Finding, Duration)>,
    /// What else was found.
    pub(super) others: Vec<Finding>,
    pub(super) problem: Option<String>,
}

/// A benign capture.
#[derive(Debug)]
pub(super) struct Quiet {
    pub(super) entry: Entry,
    pub(super) false_findings: Vec<Finding>,
    /// Findings that are fine here.
    pub(super) notices: Vec<Finding>,
    pub(super) duration: Duration,
    pub(super) problem: Option<String>,
}

/// Figures of one category, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) labels: u32,
    pub(super) found: u32,
    /// False findings on benign captures.
    pub(super) false_findings: u32,
}

impl Figures {
    pub(super) fn recall(self) -> Option<f64> {
        (self.labels > 0).then(|| f64::from(self.found) / f64::from(self.labels))
    }

    /// Of the labelled captures found and the false findings, the share of the former.
    pub(super) fn precision(self) -> Option<f64> {
        let all = self.found + self.false_findings;
        (all > 0).then(|| f64::from(self.found) / f64::from(all))
    }

    pub(super) fn f1(self) -> Option<f64> {
        let (recall, precision) = (self.recall()?, self.precision()?);
        (recall + precision > 0.0).then(|| 2.0 * recall * precision / (recall + precision))
    }
}

impl<'a> Score<'a> {
    pub(super) const fn new(labels: &'a Labels) -> Self {
        Self { labels, attacks: Vec::new(), benign: Vec::new() }
    }

    pub(super) fn judge(&mut self, entry: &Entry, outcome: Outcome) {
        match entry.kind {
            Kind::Attack => self.attacks.push(self.attack(entry, outcome)),
            Kind::Benign => self.benign.push(quiet(entry, outcome)),
        }
    }

    fn attack(&self, entry: &Entry, outcome: Outcome) -> Judged {
        let began = outcome.began;
        let (mut fitting, others): (Vec<_>, Vec<_>) =
            outcome.findings.into_iter().partition(|finding| self.labels.is_satisfied(entry, finding));
        fitting.sort_by_key(|finding| finding.detected_at);
        let hit = fitting.into_iter().next();
        Judged {
            category: match &hit {
                Some(hit) => Some(hit.category),
                // The first of the table's order that is not an indicator's.
                None => self
                    .labels
                    .categories(&entry.expected)
                    .into_iter()
                    .find(|category| *category != Category::IntelMatch),
            },
            entry: entry.clone(),
            hit: hit.map(|hit| {
                let took = began.map_or(Duration::ZERO, |began| hit.detected_at.since(began));
                (hit, took)
            }),
            others,
            problem: outcome.problem,
        }
    }

    /// By category, of what counts.
    pub(super) fn by_category(&self) -> BTreeMap<Category, Figures> {
        let mut out: BTreeMap<Category, Figures> = BTreeMap::new();
        for judged in self.attacks.iter().filter(|judged| judged.entry.is_counted()) {
            if let Some(category) = judged.category {
                let figures = out.entry(category).or_default();
                figures.labels += 1;
                figures.found += u32::from(judged.hit.is_some());
            }
        }
        for finding in self.counted_benign().flat_map(|quiet| &quiet.false_findings) {
            out.entry(finding.category).or_default().false_findings += 1;
        }
        out
    }

    /// By label, of what counts: labels and found.
    pub(super) fn by_label(&self) -> BTreeMap<&str, (u32, u32)> {
        let mut out: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for judged in self.attacks.iter().filter(|judged| judged.entry.is_counted()) {
            let (labels, found) = out.entry(&judged.entry.expected).or_default();
            *labels += 1;
            *found += u32::from(judged.hit.is_some());
        }
        out
    }

    pub(super) fn overall(&self) -> Figures {
        self.by_category().values().fold(Figures::default(), |sum, one| Figures {
            labels: sum.labels + one.labels,
            found: sum.found + one.found,
            false_findings: sum.false_findings + one.false_findings,
        })
    }

    pub(super) fn counted_benign(&self) -> impl Iterator<Item = &Quiet> {
        self.benign.iter().filter(|quiet| quiet.entry.is_counted())
    }

    /// Hours of event time in the benign captures.
    pub(super) fn benign_hours(&self) -> f64 {
        self.counted_benign().map(|quiet| quiet.duration.as_secs_f64()).sum::<f64>() / 3_600.0
    }

    /// Of the labels found, the middle of the times that it took.
    pub(super) fn median_time(&self) -> Option<Duration> {
        let counted = self.attacks.iter().filter(|judged| judged.entry.is_counted());
        let mut times: Vec<Duration> =
            counted.filter_map(|judged| judged.hit.as_ref().map(|(_, took)| *took)).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

fn quiet(entry: &Entry, outcome: Outcome) -> Quiet {
    let is_policy = entry.expected.starts_with("benign_policy");
    let is_false = |finding: &Finding| {
        finding.excepted_by.is_none()
            && finding.severity >= FALSE_FROM
            && !(is_policy && finding.category == Category::PolicyUse)
    };
    let (false_findings, notices) = outcome.findings.into_iter().partition(is_false);
    Quiet {
        entry: entry.clone(),
        false_findings,
        notices,
        duration: outcome.duration,
        problem: outcome.problem,
    }
}
