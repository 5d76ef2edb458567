//! What a leak obliges to, and by which day: the computation over [`Law`].
//!
//! The clock of the law starts when a person knew (`known_at`), never when a machine detected. Day 1 is that day in
//! Japan. Preliminary reports do not move because of holidays, final reports do; where nobody gave a number of people,
//! triggers that hang on it are told as open and do not fire.

use std::collections::BTreeSet;

use jiff::civil::Date;
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::calendar::Calendar;
use super::law::{Deadline, Item, Law, Rule, Track, Trigger, When};
use super::{end_of, local};
use crate::incident::IncidentCategory;
use crate::incident::obligation::{ObligationKind, ObligationState};

closed_words! {
    /// Whose leak it is.
    Profile {
        /// A public body.
        Public "public" "行政機関等" "Public body",
        /// A company, as one that works for a body.
        Private "private" "民間(委託先等)" "Company",
    }
}

closed_words! {
    /// How `known_at` came about.
    OriginRule {
        /// Somebody in a department knew, and said when.
        Recorded "recorded" "職員が認知した時刻" "Somebody knew",
        /// Nobody said; the SOC's acknowledgement counts, as the careful reading.
        Acknowledged "acknowledged" "SOC受付時刻(安全側)" "The SOC acknowledged",
        /// Corrected by incident control, with a reason.
        Corrected "corrected" "統制担当が訂正" "Corrected",
    }
}

/// When and by whom a leak became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awareness {
    /// When.
    pub known_at: Timestamp,
    /// By whom.
    pub known_by: String,
    /// In which department.
    pub known_dept: String,
    /// How we know.
    pub origin_rule: OriginRule,
}

/// Encryption that frees from reporting, if somebody approved that it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// None, or none that counts.
    #[default]
    None,
    /// Strong, somebody says; nobody approved.
    Claimed,
    /// Strong, approved by the body's CISO.
    Approved {
        /// Who.
        by: String,
    },
}

/// What is known of a leak.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leak {
    /// `None`: nobody recorded it yet.
    pub awareness: Option<Awareness>,
    /// At least so many people.
    pub persons_min: Option<u64>,
    /// At most.
    pub persons_max: Option<u64>,
    /// What leaked.
    pub items: BTreeSet<Item>,
    /// Something leaked, or may have.
    pub suspected: bool,
    /// Whether it was encrypted.
    pub encryption: Encryption,
    /// Behind it was a wrongful purpose; `None`: by the category.
    pub wrongful: Option<bool>,
    /// Others speak of it, since.
    pub mentioned_at: Option<Timestamp>,
}

/// The incident that it belongs to.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// How bad.
    pub level: Severity,
    /// What kind.
    pub category: IncidentCategory,
    /// Where.
    pub segments: &'a [String],
    /// Whose.
    pub profile: Profile,
}

/// The days of an obligation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Should be filed.
    pub target: Option<Date>,
    /// Must be filed.
    pub limit: Option<Date>,
    /// The limit before holidays moved it.
    pub raw: Option<Date>,
    /// Our own deadline before the limit.
    pub internal: Option<Date>,
}

impl Due {
    /// The day that must not pass: the law's, else ours.
    pub fn last(&self) -> Option<Date> {
        self.limit.or(self.target)
    }

    /// The last day has passed and nothing was filed. Computed, never stored: nobody can hide it.
    pub fn overdue(&self, state: ObligationState, now: Timestamp) -> bool {
        match state {
            ObligationState::NotAssessed
            | ObligationState::Assessing
            | ObligationState::Applicable
            | ObligationState::Scheduled => self.last().is_some_and(|day| now >= end_of(day)),
            ObligationState::FiledPrelim
            | ObligationState::FiledFinal
            | ObligationState::Completed
            | ObligationState::NotApplicable => false,
        }
    }
}

/// An obligation, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Which.
    pub kind: ObligationKind,
    /// By when; nothing while nobody knows since when it is known.
    pub due: Due,
    /// Triggers behind it, by their identifiers.
    pub triggers: Vec<String>,
    /// Nobody is obliged.
    pub voluntary: bool,
}

/// What somebody must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Nobody recorded since when it is known, so no clock runs.
    NoAwareness,
    /// The holidays of a year are not known; the deadline did not move.
    UnknownYear(i16),
    /// This trigger hangs on a number of people that nobody gave.
    OpenTrigger(String),
    /// The exemption for encryption waits for the body's CISO; clocks run.
    ExemptionNotApproved,
}

/// What follows from the facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// By kind.
    pub owed: Vec<Owed>,
    /// Exempt: the triggers fired, and approved encryption frees from reporting.
    pub exempt: bool,
    /// What is not certain.
    pub warnings: Vec<Warning>,
}

/// Decides.
pub fn assess(law: &Law, calendar: &Calendar, setting: &Setting<'_>, leak: &Leak) -> Assessment {
    let wrongful = leak.wrongful.unwrap_or_else(|| law.wrongful.contains(&setting.category));
    let mut out = Assessment::default();
    let mut fired = Vec::new();
    for trigger in law.triggers.iter().filter(|_| leak.suspected) {
        match fires(trigger, setting, leak, wrongful) {
            Some(true) => fired.push(trigger),
            Some(false) => {}
            None => out.warnings.push(Warning::OpenTrigger(trigger.id.clone())),
        }
    }
    match &leak.encryption {
        Encryption::None => {}
        Encryption::Claimed => out.warnings.push(Warning::ExemptionNotApproved),
        Encryption::Approved { .. } => {
            out.exempt = !fired.is_empty();
            fired.clear();
        }
    }
    let day_one = leak.awareness.as_ref().map(|known| local(known.known_at).date());
    for rule in &law.obligations {
        let mut holding = rule.any.iter().filter(|when| holds(when, setting, &fired)).peekable();
        if holding.peek().is_none() {
            continue;
        }
        let tracks: BTreeSet<Track> = holding.filter_map(|when| when.track).collect();
        let behind: Vec<_> =
            fired.iter().copied().filter(|trigger| tracks.contains(&trigger.track)).collect();
        let counting = Counting { law, calendar, leak };
        let due = day_one.map(|day| counting.due(rule, &behind, day, &mut out.warnings)).unwrap_or_default();
        out.owed.push(Owed {
            kind: rule.kind,
            due,
            triggers: behind.iter().map(|trigger| trigger.id.clone()).collect(),
            voluntary: rule.voluntary,
        });
    }
    if day_one.is_none() && out.owed.iter().any(|owed| !owed.voluntary) {
        out.warnings.push(Warning::NoAwareness);
    }
    out.warnings.dedup();
    out
}

/// `None`: it hangs on a number that nobody gave. The possible is enough, so the larger number counts.
fn fires(trigger: &Trigger, setting: &Setting<'_>, leak: &Leak, wrongful: bool) -> Option<bool> {
    let threshold = match setting.profile {
        Profile::Public => trigger.persons_public,
        Profile::Private => trigger.persons_private,
    };
    let segment = trigger.segments.is_empty()
        || trigger.segments.iter().any(|segment| setting.segments.contains(segment));
    let item = trigger.item.is_none_or(|item| leak.items.contains(&item));
    let (true, true, true, Some(threshold)) = (segment, item, wrongful || !trigger.wrongful, threshold)
    else {
        return Some(false);
    };
    match leak.persons_max.max(leak.persons_min) {
        Some(persons) if leak.persons_max.is_some() || persons >= threshold => Some(persons >= threshold),
        // A leak that may have happened is of one person at least.
        _ if threshold <= 1 => Some(true),
        _ => None,
    }
}

fn holds(when: &When, setting: &Setting<'_>, fired: &[&Trigger]) -> bool {
    when.track.is_none_or(|track| fired.iter().any(|trigger| trigger.track == track))
        && when.level.is_none_or(|level| setting.level.level() >= level)
        && (when.segments.is_empty() || when.segments.iter().any(|one| setting.segments.contains(one)))
        && (when.categories.is_empty() || when.categories.contains(&setting.category))
}

struct Counting<'a> {
    law: &'a Law,
    calendar: &'a Calendar,
    leak: &'a Leak,
}

impl Counting<'_> {
    fn due(&self, rule: &Rule, behind: &[&Trigger], one: Date, warnings: &mut Vec<Warning>) -> Due {
        match rule.deadline {
            Deadline::Prelim => Due {
                target: nth(one, self.law.prelim.target_day),
                limit: nth(one, self.law.prelim.limit_day),
                raw: nth(one, self.law.prelim.limit_day),
                internal: None,
            },
            Deadline::Final => self.last(behind, one, warnings),
            Deadline::Target => {
                let usual = rule.day.and_then(|day| nth(one, day));
                let mentioned = self.leak.mentioned_at.zip(rule.mentioned_day);
                let sooner = mentioned.and_then(|(at, day)| nth(local(at).date().max(one), day));
                Due { target: usual.min(sooner).or(usual), ..Due::default() }
            }
            Deadline::None => Due::default(),
        }
    }

    /// A wrongful purpose gives more time, even where other triggers stand beside it.
    fn last(&self, behind: &[&Trigger], one: Date, warnings: &mut Vec<Warning>) -> Due {
        let wrongful = behind.iter().filter(|trigger| trigger.wrongful).map(|trigger| trigger.days).max();
        let days = wrongful.or_else(|| behind.iter().map(|trigger| trigger.days).min());
        let Some(raw) = days.and_then(|days| nth(one, days)) else { return Due::default() };
        let rolled = self.calendar.roll(raw);
        warnings.extend(rolled.unknown_year.map(Warning::UnknownYear));
        let target = nth(one, self.law.last.internal_day).filter(|day| *day < raw);
        let internal =
            self.calendar.subtract_business_days(rolled.day, self.law.last.internal_business_days).max(one);
        Due { target, limit: Some(rolled.day), raw: Some(raw), internal: Some(internal) }
    }
}

/// The `n`th day, the first being day 1.
fn nth(one: Date, n: u16) -> Option<Date> {
    one.checked_add(jiff::Span::new().days(i64::from(n) - 1)).ok()
}

#[cfg(test)]
mod tests;
