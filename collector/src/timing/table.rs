//! `timers.toml`: limits by level, ladders, what storms may tell, and what bodies have of their own. Checked at start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Time;
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use serde::Deserialize;
use toml::Spanned;

use super::data::{DataError, Text, Verified};
use super::limit::Limit;
use super::storm::Storm;
use crate::auth::role::Role;

closed_words! {
    /// What an incident's timer waits for.
    TimerKind {
        /// Somebody takes it.
        Ack "ack" "受付" "Acknowledgement",
        /// The body is told.
        Notify "notify" "第一報" "First notice to the body",
        /// The first task is done.
        FirstResponse "first_response" "初動" "First response",
        /// Somebody says how it stands.
        StatusUpdate "status_update" "状況報告" "Status update",
        /// Somebody says when it will be done.
        Eta "eta" "復旧見込みの提示" "Estimate of recovery",
        /// It spreads no more.
        Containment "containment" "封じ込め" "Containment",
        /// It is over.
        Close "close" "完了" "Closing",
        /// Nothing new while it is watched.
        Observe "observe" "経過観察の終了" "End of observation",
    }
}

closed_words! {
    /// What a reminder of an obligation hangs on.
    Point {
        /// Our own deadline.
        Internal "internal" "内部期限" "Internal deadline",
        /// The target.
        Target "target" "目標日" "Target",
        /// The last day.
        Last "last" "期限当日" "Last day",
        /// After it.
        Overdue "overdue" "期限超過" "Overdue",
    }
}

/// A rung of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// At so many per cent of the limit.
    pub percent: u16,
    /// Who is told.
    pub to: Vec<Role>,
    /// Their deputies are told at once, too.
    pub deputies: bool,
}

/// When an obligation reminds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// Of what.
    pub point: Point,
    /// So many days after it.
    pub days: Vec<u16>,
    /// Who is told.
    pub to: Vec<Role>,
}

/// Limits of one timer, from level 0 to level 4.
type Levels = [Limit; 5];

/// The whole file.
#[derive(Clone, Debug)]
pub struct Table {
    limits: BTreeMap<TimerKind, Levels>,
    bodies: BTreeMap<BodyCode, BTreeMap<(TimerKind, u8), Limit>>,
    ladders: BTreeMap<TimerKind, Vec<Rung>>,
    /// Of obligations.
    pub reminders: Vec<Reminder>,
    /// What a storm of findings may tell.
    pub storm: Storm,
    /// A notice unread for so long goes to the next contact.
    pub unread: Duration,
    /// Who is told of an incident's findings.
    pub opened: Opened,
    /// What is told once a day.
    pub digest: Digest,
}

/// What is told once a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// From when on, in Japan.
    pub at: Time,
    /// Who is told of all bodies.
    pub to: Vec<Role>,
    /// Who is told of their own.
    pub body_to: Vec<Role>,
}

/// Who is told of an incident's findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// From this level on.
    pub level: Severity,
    /// Whom.
    pub to: Vec<Role>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    storm: Spanned<StormFile>,
    unread: Spanned<UnreadFile>,
    opened: Spanned<OpenedFile>,
    digest: Spanned<DigestFile>,
    limits: BTreeMap<TimerKind, LevelsFile>,
    ladder: Vec<Spanned<LadderFile>>,
    #[serde(default)]
    obligation: Vec<Spanned<ReminderFile>>,
    #[serde(default)]
    body: Vec<Spanned<BodyFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StormFile {
    notices_max: u32,
    growth: u64,
    minutes_together: u64,
    many: u64,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnreadFile {
    minutes: u64,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestFile {
    at: String,
    to: Vec<String>,
    body_to: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedFile {
    level: u8,
    to: Vec<String>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelsFile {
    level4: Spanned<String>,
    level3: Spanned<String>,
    level2: Spanned<String>,
    level1: Spanned<String>,
    level0: Spanned<String>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LadderFile {
    timer: TimerKind,
    rungs: Vec<Spanned<RungFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RungFile {
    percent: u16,
    to: Vec<String>,
    #[serde(default)]
    deputies: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReminderFile {
    point: Point,
    days: Vec<u16>,
    to: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyFile {
    code: String,
    limits: BTreeMap<TimerKind, OwnFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFile {
    level4: Option<Spanned<String>>,
    level3: Option<Spanned<String>>,
    level2: Option<Spanned<String>>,
    level1: Option<Spanned<String>>,
    level0: Option<Spanned<String>>,
}

impl Table {
    /// Reads `timers.toml`.
    ///
    /// # Errors
    /// Names line, key and rule.
    pub fn parse(text: &Text) -> Result<Self, DataError> {
        let file: File = text.toml()?;
        let storm = file.storm.get_ref();
        let minutes_good = (1..=1440).contains(&storm.minutes_together);
        if !(1..=10).contains(&storm.notices_max) || storm.growth < 2 || storm.many < 2 || !minutes_good {
            let rule =
                "has notices_max of 1 to 10, growth and many of 2 or more, and minutes_together of 1 to 1440";
            return Err(text.broken(&file.storm, "storm", rule));
        }
        let together = Duration::from_secs(storm.minutes_together * 60);
        let minutes = file.unread.get_ref().minutes;
        if !(1..=1440).contains(&minutes) {
            return Err(text.broken(&file.unread, "unread.minutes", "is 1 to 1440"));
        }
        let mut limits = BTreeMap::new();
        for (kind, levels) in &file.limits {
            let all = [&levels.level0, &levels.level1, &levels.level2, &levels.level3, &levels.level4];
            let mut read = [Limit::None; 5];
            for ((to, at), level) in read.iter_mut().zip(all).zip(0..) {
                *to = limit(text, *kind, level, at)?;
            }
            limits.insert(*kind, read);
        }
        if let Some(kind) = TimerKind::ALL.iter().find(|kind| !limits.contains_key(kind)) {
            return Err(text.broken(&file.storm, format!("limits.{kind}"), "is missing"));
        }
        let ladders = ladders(text, &file.ladder)?;
        Ok(Self {
            limits,
            bodies: bodies(text, &file.body)?,
            ladders,
            reminders: reminders(text, &file.obligation)?,
            storm: Storm { notices_max: storm.notices_max, growth: storm.growth, together, many: storm.many },
            unread: Duration::from_secs(minutes * 60),
            opened: opened(text, &file.opened)?,
            digest: digest(text, &file.digest)?,
        })
    }

    /// The limit of a timer at a level: the body's own, or everybody's.
    pub fn limit(&self, kind: TimerKind, level: Severity, body: Option<&BodyCode>) -> Limit {
        let own = body.and_then(|body| self.bodies.get(body)?.get(&(kind, level.level())));
        let usual = || self.limits.get(&kind).and_then(|levels| levels.get(usize::from(level.level())));
        own.or_else(usual).copied().unwrap_or(Limit::None)
    }

    /// The rungs of a timer, ascending.
    pub fn ladder(&self, kind: TimerKind) -> &[Rung] {
        self.ladders.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }
}

fn opened(text: &Text, at: &Spanned<OpenedFile>) -> Result<Opened, DataError> {
    let one = at.get_ref();
    let level =
        Severity::new(one.level).ok_or_else(|| text.broken(at, "opened.level", "is 0 to 4".to_owned()))?;
    Ok(Opened { level, to: roles(&one.to).map_err(|rule| text.broken(at, "opened.to", rule))? })
}

fn digest(text: &Text, at: &Spanned<DigestFile>) -> Result<Digest, DataError> {
    let one = at.get_ref();
    let time = Time::strptime("%H:%M", &one.at);
    let named = |names: &[String], key: &str| roles(names).map_err(|rule| text.broken(at, key, rule));
    Ok(Digest {
        at: time.map_err(|_cause| text.broken(at, "digest.at", "is like \"08:30\"".to_owned()))?,
        to: named(&one.to, "digest.to")?,
        body_to: named(&one.body_to, "digest.body_to")?,
    })
}

fn limit(text: &Text, kind: TimerKind, level: u8, at: &Spanned<String>) -> Result<Limit, DataError> {
    let broken = |rule: String| text.broken(at, format!("limits.{kind}.level{level}"), rule);
    let limit: Limit =
        at.get_ref().parse().map_err(|cause: super::limit::NotALimit| broken(cause.to_string()))?;
    if level >= 3 && limit.pauses() {
        return Err(broken("never stands still at levels 3 and 4".to_owned()));
    }
    Ok(limit)
}

fn ladders(text: &Text, files: &[Spanned<LadderFile>]) -> Result<BTreeMap<TimerKind, Vec<Rung>>, DataError> {
    let mut out = BTreeMap::new();
    for at in files {
        let one = at.get_ref();
        let key = format!("ladder {}", one.timer);
        let mut rungs: Vec<Rung> = Vec::new();
        for rung in &one.rungs {
            let file = rung.get_ref();
            let before = rungs.last().map_or(0, |rung| rung.percent);
            if file.percent <= before || file.percent > 1000 {
                return Err(text.broken(
                    rung,
                    format!("{key}: percent"),
                    "rises from rung to rung, up to 1000",
                ));
            }
            let to = roles(&file.to).map_err(|rule| text.broken(rung, format!("{key}: to"), rule))?;
            rungs.push(Rung { percent: file.percent, to, deputies: file.deputies });
        }
        if !rungs.iter().any(|rung| rung.percent == 100) {
            return Err(text.broken(at, key, "has a rung at 100 per cent"));
        }
        if out.insert(one.timer, rungs).is_some() {
            return Err(text.broken(at, key, "stands there twice"));
        }
    }
    Ok(out)
}

fn reminders(text: &Text, files: &[Spanned<ReminderFile>]) -> Result<Vec<Reminder>, DataError> {
    let mut seen = BTreeSet::new();
    let read = |at: &Spanned<ReminderFile>| {
        let one = at.get_ref();
        let key = format!("obligation {}", one.point);
        let to = roles(&one.to).map_err(|rule| text.broken(at, format!("{key}: to"), rule))?;
        let first = u16::from(one.point == Point::Overdue);
        let rising = one.days.is_sorted_by(|a, b| a < b);
        if one.days.is_empty() || !rising || one.days.iter().any(|day| *day < first || *day > 366) {
            return Err(text.broken(at, format!("{key}: days"), "rise, from 0 (overdue: 1) to 366"));
        }
        Ok((key, Reminder { point: one.point, days: one.days.clone(), to }))
    };
    let mut out = Vec::new();
    for at in files {
        let (key, reminder) = read(at)?;
        if !seen.insert(reminder.point) {
            return Err(text.broken(at, key, "stands there twice"));
        }
        out.push(reminder);
    }
    Ok(out)
}

type Own = BTreeMap<BodyCode, BTreeMap<(TimerKind, u8), Limit>>;

fn bodies(text: &Text, files: &[Spanned<BodyFile>]) -> Result<Own, DataError> {
    let mut out = Own::new();
    for at in files {
        let one = at.get_ref();
        let code: BodyCode = one
            .code
            .parse()
            .map_err(|cause| text.broken(at, "body.code", format!("is not a 団体コード: {cause}")))?;
        let mut own = BTreeMap::new();
        for (kind, levels) in &one.limits {
            let all = [&levels.level0, &levels.level1, &levels.level2, &levels.level3, &levels.level4];
            for (value, level) in all.into_iter().zip(0..) {
                let Some(value) = value else { continue };
                own.insert((*kind, level), limit(text, *kind, level, value)?);
            }
        }
        if out.insert(code, own).is_some() {
            return Err(text.broken(at, "body.code", "stands there twice"));
        }
    }
    Ok(out)
}

fn roles(names: &[String]) -> Result<Vec<Role>, String> {
    if names.is_empty() {
        return Err("names somebody".to_owned());
    }
    let role =
        |name: &String| Role::from_name(name).ok_or_else(|| format!("has {name:?}, which is not a role"));
    names.iter().map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: String) -> Result<Table, DataError> {
        Table::parse(&Text { file: "t.toml".to_owned(), text })
    }

    /// The table of the domain, cell by cell, from level 4 down.
    #[test]
    fn every_cell() {
        let table = parse(super::super::TIMERS.to_owned()).unwrap();
        for (kind, row) in [
            (TimerKind::Ack, ["5 min", "10 min", "30 min working", "next bd noon", "none"]),
            (TimerKind::Notify, ["15 min", "15 min", "1 h", "none", "none"]),
            (TimerKind::FirstResponse, ["30 min", "1 h", "4 h working", "3 bd", "none"]),
            (TimerKind::StatusUpdate, ["30 min", "2 h", "1 bd", "none", "none"]),
            (TimerKind::Eta, ["1 h", "2 h", "1 bd", "none", "none"]),
            (TimerKind::Containment, ["2 h", "8 h", "2 bd", "none", "none"]),
            (TimerKind::Close, ["30 d", "30 d", "10 bd", "5 bd", "7 d"]),
            (TimerKind::Observe, ["7 d", "7 d", "7 d", "7 d", "7 d"]),
        ] {
            for (expected, level) in row.into_iter().zip((0..=4).rev()) {
                let limit = table.limit(kind, Severity::new(level).unwrap(), None);
                assert_eq!(limit.to_string(), expected, "{kind} {level}");
            }
        }
    }

    #[test]
    fn a_body_s_own_come_first() {
        let own = "\n[[body]]\ncode = \"422011\"\nlimits.ack.level3 = \"3 min\"\n";
        let table = parse(format!("{}{own}", super::super::TIMERS)).unwrap();
        let (nagasaki, other): (BodyCode, BodyCode) = ("422011".parse().unwrap(), "472018".parse().unwrap());
        let shown = |kind, level, body| table.limit(kind, level, body).to_string();
        assert_eq!(shown(TimerKind::Ack, Severity::HIGH, Some(&nagasaki)), "3 min");
        assert_eq!(shown(TimerKind::Ack, Severity::CRITICAL, Some(&nagasaki)), "5 min");
        assert_eq!(shown(TimerKind::Ack, Severity::HIGH, Some(&other)), "10 min");
        assert_eq!(shown(TimerKind::Ack, Severity::HIGH, None), "10 min");
    }

    #[test]
    fn errors_name_line_key_and_rule() {
        let good = super::super::TIMERS;
        for (from, to, expected) in [
            ("notices_max = 3", "notices_max = 0", "storm has notices_max of 1 to 10"),
            ("minutes_together = 10", "minutes_together = 0", "minutes_together of 1 to 1440"),
            ("at = \"08:30\"", "at = \"25:00\"", "digest.at is like \"08:30\""),
            ("body_to = [\"body_officer\"]", "body_to = []", "digest.body_to names somebody"),
            ("level = 2", "level = 5", "opened.level is 0 to 4"),
            ("minutes = 10", "minutes = 0", "unread.minutes is 1 to 1440"),
            ("level4 = \"5 min\"", "level4 = \"5 minutes\"", "limits.ack.level4 is like"),
            ("level3 = \"10 min\"", "level3 = \"10 min working\"", "limits.ack.level3 never stands still"),
            ("level3 = \"10 min\"", "level3 = \"1 bd\"", "limits.ack.level3 never stands still"),
            ("[limits.eta]", "[limits.eat]", "\"eat\" is not one of ack"),
            ("percent = 150", "percent = 100", "ladder ack: percent rises"),
            (
                "to = [\"monitor\"] }",
                "to = [\"monitors\"] }",
                "ladder ack: to has \"monitors\", which is not a role",
            ),
            ("to = [\"monitor\"] }", "to = [] }", "ladder ack: to names somebody"),
            ("timer = \"notify\"", "timer = \"ack\"", "ladder ack stands there twice"),
            ("days = [1, 2,", "days = [0, 2,", "obligation overdue: days rise"),
            ("days = [1, 2,", "days = [2, 2,", "obligation overdue: days rise"),
            ("point = \"target\"", "point = \"internal\"", "obligation internal stands there twice"),
        ] {
            assert!(good.contains(from), "{from}");
            let shown = super::super::data::shown(&parse(good.replacen(from, to, 1)).unwrap_err());
            assert!(
                shown.starts_with("t.toml") && shown.contains("line ") && shown.contains(expected),
                "{shown}"
            );
        }
        for (own, expected) in [
            ("[[body]]\ncode = \"422012\"\nlimits = {}\n", "body.code is not a 団体コード"),
            ("[[body]]\ncode = \"422011\"\nlimits.ack.level9 = \"1 h\"\n", "unknown field `level9`"),
            (
                "[[body]]\ncode = \"422011\"\nlimits.ack.level4 = \"1 bd\"\n",
                "limits.ack.level4 never stands still",
            ),
        ] {
            let shown = super::super::data::shown(&parse(format!("{good}\n{own}")).unwrap_err());
            assert!(shown.contains(expected), "{shown}");
        }
        let whole = good.split("[limits.observe]").next().unwrap_or_default();
        let ladder = "[[ladder]]\ntimer = \"ack\"\nrungs = []\n";
        let error = parse(format!("{whole}{ladder}")).unwrap_err();
        assert!(error.to_string().contains("limits.observe is missing"), "{error}");
    }
}
