//! The figures of a monthly report. Pure: the same cases give the same figures.
//!
//! Times are means with median and 95th percentile beside them, over the incidents of the month that got so far; those that were
//! merged or were none do not count. Targets are those agreed for the service; `collector/data/timers.toml` has the limits themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Date;
use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{BodyRow, Case, Counts, Improvement, Next, Report, Row, SensorRow, Statutory};
use crate::incident::IncidentState;
use crate::timing::table::TimerKind;

/// The same root cause again within so many days is a recurrence.
pub const RECURS_DAYS: u64 = 90;

closed_words! {
    /// How long something took.
    Span {
        /// From the first evidence until there is an incident.
        Detect "mttd" "検知時間 (MTTD)" "Time to detect (MTTD)",
        /// Until somebody takes it.
        Acknowledge "mtta" "受付時間 (MTTA)" "Time to acknowledge (MTTA)",
        /// Until the body is told.
        Notify "mttn" "通報時間 (MTTN)" "Time to notify (MTTN)",
        /// Until the first task is done.
        FirstResponse "mttfr" "初動時間 (MTTFR)" "Time to first response (MTTFR)",
        /// Until it spreads no more.
        Contain "mttc" "封じ込め時間 (MTTC)" "Time to contain (MTTC)",
        /// Until services run again.
        Recover "mttr" "復旧時間 (MTTR)" "Time to recover (MTTR)",
    }
}

closed_words! {
    /// How much of something was as it should be.
    Portion {
        /// Incidents that were none.
        FalsePositive "false_positive" "誤検知率(トリアージした事案に占める割合)" "False positives (of triaged incidents)",
        /// Incidents that a person had to open.
        ByHand "by_hand" "手動起票率(見逃しの目安)" "Opened by hand (hints at misses)",
        /// First responses within their limit.
        FirstResponse "first_response" "SLA内初動率" "First response within its limit",
        /// First notices within their limit.
        Notify "notify" "通報SLA遵守率" "Notified within its limit",
        /// Reports to the authorities within theirs.
        Statutory "statutory" "法定期限遵守率" "Statutory reports in time",
        /// Root causes that came again.
        Recurrence "recurrence" "再発率(90日以内)" "Recurrence (within 90 days)",
        /// Minutes in which sensors were heard.
        Sensors "sensors" "センサ稼働率" "Sensor availability",
    }
}

/// How long something took, at some levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Figure {
    /// What.
    pub what: Span,
    /// Of incidents from this level
    pub from_level: u8,
    /// to this one.
    pub to_level: u8,
    /// So many of them.
    pub count: u64,
    /// Seconds.
    pub mean: Option<f64>,
    /// Seconds.
    pub median: Option<f64>,
    /// Seconds; 95 of 100 took no longer.
    pub p95: Option<f64>,
    /// Seconds that are agreed for the mean; none: it is only told.
    pub target: Option<u64>,
    /// The mean keeps it; none: there is nothing to judge.
    pub met: Option<bool>,
}

/// How much of something was so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Share {
    /// What.
    pub what: Portion,
    /// So many
    pub count: u64,
    /// of so many.
    pub of: u64,
    /// In thousandths, what is agreed; none: it is only told.
    pub target: Option<u16>,
    /// The target is the least, and not the most.
    pub at_least: bool,
    /// It is kept; none: there is nothing to judge.
    pub met: Option<bool>,
}

/// Levels, seconds that are agreed.
type Target = (u8, u8, Option<u64>);

/// What is told of each time, by level.
const fn targets(what: Span) -> &'static [Target] {
    match what {
        Span::Detect => &[(0, 4, Some(60))],
        Span::Acknowledge => &[(3, 4, Some(600)), (2, 2, Some(1_800))],
        Span::Notify => &[(3, 4, Some(900)), (2, 2, Some(3_600))],
        Span::FirstResponse => &[(4, 4, Some(1_800)), (3, 3, Some(3_600)), (2, 2, Some(14_400))],
        Span::Contain => &[(4, 4, Some(7_200)), (3, 3, Some(28_800)), (2, 2, None)],
        Span::Recover => &[(3, 4, Some(86_400)), (2, 2, None)],
    }
}

/// It counts: it is neither part of another one nor was it none.
const fn counts(case: &Case) -> bool {
    !matches!(case.state, IncidentState::Merged | IncidentState::FalsePositive)
}

/// When what this timer waits for was done.
pub fn done(case: &Case, what: TimerKind) -> Option<Timestamp> {
    match what {
        TimerKind::Ack => case.work.acknowledged_at,
        TimerKind::Notify => case.notified_at,
        TimerKind::FirstResponse => case.work.first_response_at,
        TimerKind::Containment => case.work.contained_at,
        TimerKind::Eta => case.work.etas.first().map(|eta| eta.signed.at),
        TimerKind::Close => case.work.closed_at,
        TimerKind::StatusUpdate | TimerKind::Observe => None,
    }
}

/// From when until when; `None`: it did not get so far.
fn span(case: &Case, what: Span) -> Option<Duration> {
    let opened = case.opened_at;
    let until = match what {
        // A person tells of what happened long ago: that says nothing of detectors.
        Span::Detect if case.by_hand => None,
        Span::Detect => return Some(opened.since(case.first_evidence)),
        Span::Acknowledge => case.work.acknowledged_at,
        Span::Notify => case.notified_at,
        Span::FirstResponse => case.work.first_response_at,
        Span::Contain => case.work.contained_at,
        Span::Recover => case.work.recovered_at,
    };
    until.map(|until| until.since(opened))
}

/// Mean, median and 95th percentile by nearest rank, in seconds.
fn spread(mut seconds: Vec<f64>) -> Option<(f64, f64, f64)> {
    seconds.sort_by(f64::total_cmp);
    let count = seconds.len();
    let at = |percent: usize| seconds.get((count * percent).div_ceil(100).saturating_sub(1)).copied();
    let mean = seconds.iter().sum::<f64>() / f64::from(u32::try_from(count).ok()?);
    Some((mean, at(50)?, at(95)?))
}

/// Every figure, also those of which there is none.
pub fn figures(cases: &[Case]) -> Vec<Figure> {
    let mut all = Vec::new();
    for what in Span::ALL.iter().copied() {
        for (from_level, to_level, target) in targets(what).iter().copied() {
            let of = |case: &&Case| counts(case) && (from_level..=to_level).contains(&case.severity.level());
            let taken = cases.iter().filter(of).filter_map(|case| span(case, what));
            let seconds: Vec<f64> = taken.map(|taken| taken.as_secs_f64()).collect();
            let count = u64::try_from(seconds.len()).unwrap_or(u64::MAX);
            let spread = spread(seconds);
            let mean = spread.map(|(mean, ..)| mean);
            let met =
                mean.zip(target).map(|(mean, target)| mean <= Duration::from_secs(target).as_secs_f64());
            all.push(Figure {
                what,
                from_level,
                to_level,
                count,
                mean,
                median: spread.map(|(_, median, _)| median),
                p95: spread.map(|(.., p95)| p95),
                target,
                met,
            });
        }
    }
    all
}

/// Body, category and root cause of what was closed in the month, and whether it had been there in the days before.
pub type RootCause = (bool, String);

/// Every share, also of nothing.
pub fn shares(
    cases: &[Case],
    statutory: &[Statutory],
    sensors: &[SensorRow],
    root_causes: &[RootCause],
) -> Vec<Share> {
    let of = |what, target: Option<u16>, at_least, (count, of): (u64, u64)| {
        let judged = target.filter(|_| of > 0);
        let met = judged.map(|target| {
            let (part, whole) = (count.saturating_mul(1000), of.saturating_mul(u64::from(target)));
            if at_least { part >= whole } else { part <= whole }
        });
        Share { what, count, of, target, at_least, met }
    };
    let not_merged = || cases.iter().filter(|case| case.state != IncidentState::Merged);
    let triaged = || {
        not_merged().filter(|case| case.state == IncidentState::FalsePositive || case.work.triage.is_some())
    };
    let within = |what: TimerKind, least: Severity| {
        let judged = |case: &&Case| {
            counts(case)
                && case.severity >= least
                && (done(case, what).is_some() || case.passed.contains(&what))
        };
        let kept = cases.iter().filter(judged).filter(|case| !case.passed.contains(&what));
        (number(kept.count()), number(cases.iter().filter(judged).count()))
    };
    let obliged = || statutory.iter().filter(|one| !one.voluntary).filter_map(|one| one.in_time);
    let heard = || sensors.iter().filter_map(|one| Some((one.minutes?, one.of_minutes)));
    let minutes = heard().fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
    vec![
        of(
            Portion::FalsePositive,
            Some(200),
            false,
            (
                number(triaged().filter(|case| case.state == IncidentState::FalsePositive).count()),
                number(triaged().count()),
            ),
        ),
        of(
            Portion::ByHand,
            None,
            false,
            (number(not_merged().filter(|case| case.by_hand).count()), number(not_merged().count())),
        ),
        of(Portion::FirstResponse, Some(950), true, within(TimerKind::FirstResponse, Severity::LOW)),
        of(Portion::Notify, Some(980), true, within(TimerKind::Notify, Severity::MEDIUM)),
        of(
            Portion::Statutory,
            Some(1000),
            true,
            (number(obliged().filter(|in_time| *in_time).count()), number(obliged().count())),
        ),
        of(
            Portion::Recurrence,
            Some(50),
            false,
            (number(root_causes.iter().filter(|(again, _)| *again).count()), number(root_causes.len())),
        ),
        of(
            Portion::Sensors,
            Some(995),
            true,
            (u64::try_from(minutes.0).unwrap_or_default(), u64::try_from(minutes.1).unwrap_or_default()),
        ),
    ]
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What is counted of the incidents themselves, added to the rest.
pub fn counted(rest: Counts, cases: &[Case]) -> Counts {
    let kept = || cases.iter().filter(|case| case.state != IncidentState::Merged);
    Counts {
        incidents: signed(kept().count()),
        false_positives: signed(kept().filter(|case| case.state == IncidentState::FalsePositive).count()),
        by_hand: signed(kept().filter(|case| case.by_hand).count()),
        open: signed(kept().filter(|case| case.state.is_open()).count()),
        ..rest
    }
}

/// How many, by what each of them is; in the order of the keys.
pub fn by(now: &[Case], before: &[Case], keys: impl Fn(&Case) -> Vec<String>) -> Vec<Row> {
    let mut all: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for case in now.iter().filter(|case| counts(case)) {
        keys(case).into_iter().for_each(|key| all.entry(key).or_default().0 += 1);
    }
    for case in before.iter().filter(|case| counts(case)) {
        keys(case).into_iter().for_each(|key| all.entry(key).or_default().1 += 1);
    }
    all.into_iter().map(|(key, (count, before))| Row { key, count, before }).collect()
}

/// What reviews of the month's incidents want done, by day.
pub fn improvements(cases: &[Case], today: Date) -> Vec<Improvement> {
    let of = |case: &Case| {
        let all = case.work.review.clone().map(|review| review.prevention).unwrap_or_default();
        let incident = case.id.clone();
        all.into_iter().filter(|one| one.is_complete()).map(move |one| Improvement {
            incident: incident.clone(),
            overdue: one.due.parse::<Date>().is_ok_and(|due| due < today),
            what: one.what,
            owner: one.owner,
            due: one.due,
        })
    };
    let mut all: Vec<Improvement> = cases.iter().flat_map(of).collect();
    all.sort_by(|a, b| (&a.due, &a.incident).cmp(&(&b.due, &b.incident)));
    all
}

/// What falls due in the month after the one reported, by day.
pub fn next(report: &Report) -> Vec<Next> {
    let (first, last) = report.month.after().days();
    let falls = |day: &str| day.parse::<Date>().is_ok_and(|day| first <= day && day <= last);
    let owed = report.statutory.iter().filter(|one| !one.state.is_terminal()).filter_map(|one| {
        let day = one.last_day.clone().filter(|day| falls(day))?;
        Some(Next { day, incident: one.incident.clone(), report: Some(one.kind), what: String::new() })
    });
    let done = report.improvements.iter().filter(|one| falls(&one.due)).map(|one| Next {
        day: one.due.clone(),
        incident: one.incident.clone(),
        report: None,
        what: one.what.clone(),
    });
    owed.chain(done).collect::<BTreeSet<_>>().into_iter().collect()
}

/// One line a body, in the order given.
pub fn bodies(all: &[(String, String)], cases: &[Case], sensors: &[SensorRow]) -> Vec<BodyRow> {
    let row = |(code, name): &(String, String)| {
        let own = || cases.iter().filter(|case| counts(case) && case.body.as_deref() == Some(code));
        let level = |level: u8| signed(own().filter(|case| case.severity.level() == level).count());
        BodyRow {
            body: code.clone(),
            name: name.clone(),
            levels: [0, 1, 2, 3, 4].map(level),
            open: signed(own().filter(|case| case.state.is_open()).count()),
            sensors: signed(sensors.iter().filter(|one| one.body == *code).count()),
        }
    };
    all.iter().map(row).collect()
}

/// Gives each body a letter instead of code and name, those with most incidents first: the order of codes would tell which is
/// which. What each code became.
pub fn letters(bodies: &mut [BodyRow]) -> BTreeMap<String, String> {
    bodies.sort_by_key(|row| core::cmp::Reverse(row.levels.iter().sum::<i64>()));
    let mut known = BTreeMap::new();
    for (place, row) in bodies.iter_mut().enumerate() {
        let letter = letter(place);
        known.insert(core::mem::replace(&mut row.body, letter.clone()), letter);
        row.name.clear();
    }
    known
}

/// A, B … Z, AA, AB …
fn letter(mut place: usize) -> String {
    let mut out = Vec::new();
    loop {
        out.push(char::from(b'A' + u8::try_from(place % 26).unwrap_or_default()));
        match (place / 26).checked_sub(1) {
            Some(rest) => place = rest,
            None => return out.into_iter().rev().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
