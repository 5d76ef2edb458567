//! Which timers an incident has, and when each of their rungs is due. Pure: the same facts give the same rungs.
//!
//! A timer runs from `since`; what it waits for stops it, and a new beginning (a higher level, a status update, being
//! reopened) starts it again. Each (what, since, rung) is told once, whoever asks and however often.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::assess::Due;
use super::calendar::Calendar;
use super::instant;
use super::limit::Limit;
use super::table::{Point, Table, TimerKind};
use crate::auth::role::Role;
use crate::incident::IncidentState;
use crate::incident::obligation::{ObligationKind, ObligationState};

/// When obligations remind, in Japan.
const REMIND_HOUR: i8 = 9;

/// The times of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How bad.
    pub level: Severity,
    /// Where the work stands.
    pub state: IncidentState,
    /// Whose.
    pub body: Option<BodyCode>,
    /// It began.
    pub opened_at: Timestamp,
    /// Its level last rose.
    pub raised_at: Option<Timestamp>,
    /// Somebody took it.
    pub acknowledged_at: Option<Timestamp>,
    /// The body was told.
    pub notified_at: Option<Timestamp>,
    /// The first task was done.
    pub first_response_at: Option<Timestamp>,
    /// Somebody last said how it stands.
    pub updated_at: Option<Timestamp>,
    /// Somebody said when it will be done.
    pub eta_at: Option<Timestamp>,
    /// It spreads no more.
    pub contained_at: Option<Timestamp>,
    /// It was last reopened.
    pub reopened_at: Option<Timestamp>,
    /// Since when it is only watched.
    pub observing_since: Option<Timestamp>,
}

impl Watch {
    /// An incident that just began.
    pub const fn opened(level: Severity, body: Option<BodyCode>, at: Timestamp) -> Self {
        Self {
            level,
            state: IncidentState::Detected,
            body,
            opened_at: at,
            raised_at: None,
            acknowledged_at: None,
            notified_at: None,
            first_response_at: None,
            updated_at: None,
            eta_at: None,
            contained_at: None,
            reopened_at: None,
            observing_since: None,
        }
    }

    /// Since when this timer runs; `None`: it does not.
    pub fn since(&self, kind: TimerKind) -> Option<Timestamp> {
        let working = works(self.state);
        // What was due under a lower level cannot have been missed under the higher one.
        let opened = self.opened_at.max(self.raised_at.unwrap_or_default());
        let again = opened.max(self.reopened_at.unwrap_or_default());
        let running = |stopped: Option<Timestamp>, since| (working && stopped.is_none()).then_some(since);
        match kind {
            TimerKind::Ack if self.state == IncidentState::Detected => running(self.acknowledged_at, opened),
            TimerKind::Ack => None,
            TimerKind::Notify => running(self.notified_at, opened),
            TimerKind::FirstResponse => running(self.first_response_at, opened),
            TimerKind::Eta => running(self.eta_at, opened),
            TimerKind::Containment if is_past_containment(self.state) => None,
            TimerKind::Containment => running(self.contained_at, again),
            TimerKind::StatusUpdate => {
                let last = self.updated_at.max(self.acknowledged_at)?;
                running(None, last.max(again))
            }
            TimerKind::Close => running(None, self.opened_at.max(self.reopened_at.unwrap_or_default())),
            TimerKind::Observe => self.observing_since.filter(|_| self.state == IncidentState::Observing),
        }
    }
}

/// Somebody works on it, or should.
const fn works(state: IncidentState) -> bool {
    match state {
        IncidentState::Detected
        | IncidentState::Received
        | IncidentState::Triaged
        | IncidentState::Containing
        | IncidentState::Investigating
        | IncidentState::Notifying
        | IncidentState::Recovering
        | IncidentState::PostReview => true,
        IncidentState::Observing
        | IncidentState::Closed
        | IncidentState::FalsePositive
        | IncidentState::Merged => false,
    }
}

/// Containment lies behind it.
const fn is_past_containment(state: IncidentState) -> bool {
    match state {
        IncidentState::Recovering | IncidentState::PostReview => true,
        IncidentState::Detected
        | IncidentState::Received
        | IncidentState::Triaged
        | IncidentState::Containing
        | IncidentState::Investigating
        | IncidentState::Notifying
        | IncidentState::Observing
        | IncidentState::Closed
        | IncidentState::FalsePositive
        | IncidentState::Merged => false,
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A step of the work.
    Work(TimerKind),
    /// A report.
    Duty(ObligationKind, Point),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work(kind) => f.write_str(kind.as_str()),
            Self::Duty(kind, point) => write!(f, "{kind}/{point}"),
        }
    }
}

/// Not the name of anything that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a timer")]
pub struct NotATimer;

impl FromStr for What {
    type Err = NotATimer;

    fn from_str(text: &str) -> Result<Self, NotATimer> {
        match text.split_once('/') {
            None => TimerKind::from_name(text).map(Self::Work),
            Some((kind, point)) => ObligationKind::from_name(kind)
                .zip(Point::from_name(point))
                .map(|(kind, point)| Self::Duty(kind, point)),
        }
        .ok_or(NotATimer)
    }
}

/// What makes a rung of an incident's timer one of its kind: told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What is waited for.
    pub what: What,
    /// Since when, or by which day.
    pub since: Timestamp,
    /// Per cent of the limit, or days after the point.
    pub rung: u16,
}

/// One rung of a timer that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which.
    pub key: Key,
    /// When it is told.
    pub due_at: Timestamp,
    /// To whom.
    pub to: Vec<Role>,
    /// To their deputies at once, too.
    pub deputies: bool,
    /// It stands still while the body is not at work.
    pub pauses: bool,
}

/// The rungs of an incident's timers, by time and then by key.
pub fn timers(watch: &Watch, calendar: &Calendar, table: &Table) -> Vec<Timer> {
    let mut out = Vec::new();
    for kind in TimerKind::ALL.iter().copied() {
        let limit = table.limit(kind, watch.level, watch.body.as_ref());
        let Some(since) = watch.since(kind) else { continue };
        for rung in table.ladder(kind) {
            let Some(due_at) = limit.at(rung.percent, since, calendar) else { continue };
            out.push(Timer {
                key: Key { what: What::Work(kind), since, rung: rung.percent },
                due_at,
                to: rung.to.clone(),
                deputies: rung.deputies,
                pauses: limit.pauses(),
            });
        }
    }
    sort(&mut out);
    out
}

/// The reminders of an obligation, as long as nothing was filed.
pub fn reminders(kind: ObligationKind, due: &Due, state: ObligationState, table: &Table) -> Vec<Timer> {
    let open = match state {
        ObligationState::NotAssessed
        | ObligationState::Assessing
        | ObligationState::Applicable
        | ObligationState::Scheduled => true,
        ObligationState::FiledPrelim
        | ObligationState::FiledFinal
        | ObligationState::Completed
        | ObligationState::NotApplicable => false,
    };
    let mut out = Vec::new();
    for reminder in table.reminders.iter().filter(|_| open) {
        let day = match reminder.point {
            Point::Internal => due.internal,
            Point::Target => due.target.filter(|_| due.limit.is_some()),
            Point::Last | Point::Overdue => due.last(),
        };
        let Some(day) = day else { continue };
        for days in &reminder.days {
            let Ok(on) = day.checked_add(jiff::Span::new().days(i64::from(*days))) else { continue };
            out.push(Timer {
                key: Key {
                    what: What::Duty(kind, reminder.point),
                    since: instant(day.at(0, 0, 0, 0)),
                    rung: *days,
                },
                due_at: instant(on.at(REMIND_HOUR, 0, 0, 0)),
                to: reminder.to.clone(),
                deputies: false,
                pauses: false,
            });
        }
    }
    sort(&mut out);
    out
}

fn sort(timers: &mut [Timer]) {
    timers.sort_by_key(|timer| (timer.due_at, timer.key));
}

/// Those whose time has come and that were not told.
pub fn due<'a>(
    timers: &'a [Timer],
    fired: &'a BTreeSet<Key>,
    now: Timestamp,
) -> impl Iterator<Item = &'a Timer> {
    timers.iter().filter(move |timer| timer.due_at <= now && !fired.contains(&timer.key))
}

/// How a limit shows: its end, and whether it stands still right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What is waited for.
    pub kind: TimerKind,
    /// The limit as written.
    pub limit: Limit,
    /// When it ends.
    pub ends_at: Timestamp,
    /// It stands still.
    pub paused: bool,
    /// It has passed.
    pub overdue: bool,
}

/// What the console shows of an incident's timers.
pub fn shown(watch: &Watch, calendar: &Calendar, table: &Table, now: Timestamp) -> Vec<Shown> {
    let one = |kind: TimerKind| {
        let limit = table.limit(kind, watch.level, watch.body.as_ref());
        let ends_at = limit.at(100, watch.since(kind)?, calendar)?;
        let overdue = now >= ends_at;
        Some(Shown {
            kind,
            limit,
            ends_at,
            paused: limit.pauses() && !overdue && !calendar.is_open(now),
            overdue,
        })
    };
    TimerKind::ALL.iter().copied().filter_map(one).collect()
}

#[cfg(test)]
mod tests;
