//! Looks after one incident: what it owes, its timers, what is due, and what that tells.

use std::collections::BTreeSet;

use sekimori_wire::time::Timestamp;
use serde_json::json;

use super::case::{self, Case};
use super::outbox::About;
use super::{Clocks, duty};
use crate::clock::{from_stored, stored};
use crate::notify::template::{Field, NoticeKind, Values};
use crate::store::db::{self, Conn};
use crate::store::incident::severity;
use crate::store::{StoreError, query};
use crate::timing::local;
use crate::timing::storm::Why;
use crate::timing::timer::{self, Key, Timer, What};

impl Clocks {
    /// Brings an incident's obligations and timers up to date and fires what is due; tells how many rungs fired.
    pub(super) async fn look_after(
        &self,
        tx: &mut Conn,
        incident: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Some(case) = case::read(tx, incident, now).await? else { return Ok(0) };
        let calendar = self.timing.calendars.of(case.body());
        let owed = duty::assess(tx, &self.timing, &calendar, &case, now).await?;
        let mut timers = timer::timers(&case.watch, &calendar, &self.timing.table);
        for one in &owed {
            timers.extend(timer::reminders(one.kind, &one.due, one.state, &self.timing.table));
        }
        self.storm(tx, &case, now).await?;
        self.shared(tx, &case, now).await?;
        let fired = keep(tx, incident, &timers).await?;
        let mut n = 0;
        for due in timer::due(&timers, &fired, now) {
            if self.fire(tx, &case, due, now).await? {
                n += 1;
            }
        }
        Ok(n)
    }

    /// Marks a rung as fired and writes what it tells; `false`: somebody else did.
    async fn fire(
        &self,
        tx: &mut Conn,
        case: &Case,
        due: &Timer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = db::query(
            "UPDATE timers SET fired_at = $5
             WHERE incident = $1 AND what = $2 AND since = $3 AND rung = $4 AND fired_at IS NULL",
        )
        .bind(&case.id)
        .bind(due.key.what.to_string())
        .bind(stored(due.key.since))
        .bind(i64::from(due.key.rung))
        .bind(stored(now))
        .execute(&mut *tx)
        .await
        .map_err(query("fire a timer"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let (kind, values) = self.said(case, due);
        let key = format!("{}/{}/{}", due.key.what, due.key.since.secs(), due.key.rung);
        let about = About { case, kind, key: &key, values: &values, now };
        let told = self.tell(tx, &about, &due.to, due.deputies).await?;
        let what = json!({
            "timer": due.key.what.to_string(), "rung": due.key.rung, "since": due.key.since, "due": due.due_at,
            "told": told,
        });
        db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, 'timer', $3)")
            .bind(stored(now))
            .bind(&case.id)
            .bind(what.to_string())
            .execute(tx)
            .await
            .map(|_done| true)
            .map_err(query("write a timer down"))
    }

    fn said(&self, case: &Case, due: &Timer) -> (NoticeKind, Vec<(Field, [String; 2])>) {
        let both = |text: String| [text.clone(), text];
        match due.key.what {
            What::Work(kind) => {
                let limit = self.timing.table.limit(kind, case.watch.level, case.body());
                let calendar = self.timing.calendars.of(case.body());
                let ends = limit.at(100, due.key.since, &calendar).map(shown).unwrap_or_default();
                let values = vec![
                    (Field::Timer, [kind.ja().to_owned(), kind.en().to_owned()]),
                    (Field::Percent, both(due.key.rung.to_string())),
                    (Field::Since, both(shown(due.key.since))),
                    (Field::Due, both(ends)),
                ];
                (NoticeKind::Timer, values)
            }
            What::Duty(kind, point) => {
                let values = vec![
                    (Field::Obligation, [kind.ja().to_owned(), kind.en().to_owned()]),
                    (Field::Point, [point.ja().to_owned(), point.en().to_owned()]),
                    (Field::Due, both(local(due.key.since).date().to_string())),
                ];
                (NoticeKind::Obligation, values)
            }
        }
    }

    /// Tells of an incident's findings, at most as often as a storm may.
    async fn storm(&self, tx: &mut Conn, case: &Case, now: Timestamp) -> Result<(), StoreError> {
        let (storm, level) = (self.timing.table.storm, case.watch.level);
        if level < self.timing.table.opened.level || !case.watch.state.is_open() {
            return Ok(());
        }
        // An incident that a person opened has no finding, and is told like one.
        let findings = case.findings.max(1);
        let why = storm.tells(&case.told, findings, level);
        if !case.hushed && (findings >= storm.many || why == Some(Why::Grown)) {
            let inputs = json!({ "findings": findings, "notices": case.told.notices });
            let words = (
                "検知多数: 増加は一度だけ通知し、以後は件数だけを示す",
                "many findings: that they grow is told once, and from then on they are counted in silence",
            );
            self.storm_line(tx, case, words, &inputs, now).await?;
        }
        let Some(why) = why else { return Ok(()) };
        if why == Why::Opened && self.hush(tx, case, now).await? {
            return Ok(());
        }
        let kind = match why {
            Why::Opened => NoticeKind::Opened,
            Why::Raised => NoticeKind::Raised,
            Why::Grown => NoticeKind::Grown,
        };
        let after = case.told.after(why, findings, level);
        db::query(
            "UPDATE clocks SET notices = $2, told_findings = $3, told_level = $4, told_grown = $5 WHERE incident = $1",
        )
        .bind(&case.id)
        .bind(i64::from(after.notices))
        .bind(i64::try_from(after.findings).unwrap_or(i64::MAX))
        .bind(i64::from(after.level.level()))
        .bind(i64::from(after.grown))
        .execute(&mut *tx)
        .await
        .map_err(query("remember what was told"))?;
        let key = format!("findings/{}", after.notices);
        let about = About { case, kind, key: &key, values: &[], now };
        self.tell(tx, &about, &self.timing.table.opened.to, false).await.map(drop)
    }

    /// Whether it goes untold because others of its kind that began with it were told enough; its history says so, once.
    async fn hush(&self, tx: &mut Conn, case: &Case, now: Timestamp) -> Result<bool, StoreError> {
        let storm = self.timing.table.storm;
        let Some(body) = case.body() else { return Ok(false) };
        let told: Vec<(String, i64, i64)> = db::query_as(
            "SELECT k.incident, k.notices, k.told_level FROM clocks k JOIN incidents i ON i.id = k.incident
             WHERE i.body = $1 AND i.category = $2 AND i.id <> $3 AND k.notices > 0
                AND CASE WHEN i.drill <> 0 OR i.mode = 'replay' THEN 1 ELSE 0 END = $4
                AND i.opened_at >= $5 AND i.opened_at <= $6
             ORDER BY i.opened_at, i.id LIMIT $7",
        )
        .bind(body.as_str())
        .bind(case.category.as_str())
        .bind(&case.id)
        .bind(i64::from(case.drill))
        .bind(stored(case.watch.opened_at.minus(storm.together)))
        .bind(stored(case.watch.opened_at.plus(storm.together)))
        .bind(i64::from(storm.notices_max))
        .fetch_all(&mut *tx)
        .await
        .map_err(query("look for others that were told"))?;
        let notices: i64 = told.iter().map(|(_, notices, _)| notices).sum();
        let worst = told.iter().map(|(.., level)| severity(*level)).max().unwrap_or_default();
        if !storm.hushes(u64::try_from(notices).unwrap_or_default(), worst, case.watch.level) {
            return Ok(false);
        }
        if !case.hushed {
            let others: Vec<&String> = told.iter().map(|(id, ..)| id).collect();
            let inputs = json!({ "notices": notices, "incidents": others });
            let words = (
                "同じ種別の事案が続けて発生: 先の通知で足り、個別には通知しない(期限の通知は続く)",
                "one of several of its kind at once, of which enough was told: not told by itself (time limits go on)",
            );
            self.storm_line(tx, case, words, &inputs, now).await?;
        }
        Ok(true)
    }

    /// Writes into the history, once, what a storm is told no more.
    async fn storm_line(
        &self,
        tx: &mut Conn,
        case: &Case,
        (ja, en): (&str, &str),
        inputs: &serde_json::Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let storm = self.timing.table.storm;
        let what = json!({
            "rule": "notice.storm/1",
            "why": { "ja": ja, "en": en },
            "inputs": inputs,
            "threshold": {
                "notices": storm.notices_max,
                "growth": storm.growth,
                "together_seconds": storm.together.as_secs(),
                "many": storm.many,
            },
        });
        db::query("UPDATE clocks SET hushed_at = $2 WHERE incident = $1")
            .bind(&case.id)
            .bind(stored(now))
            .execute(&mut *tx)
            .await
            .map_err(query("remember what was not told"))?;
        db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, 'storm', $3)")
            .bind(stored(now))
            .bind(&case.id)
            .bind(what.to_string())
            .execute(tx)
            .await
            .map(drop)
            .map_err(query("write a storm down"))
    }

    /// What every notice of an incident knows.
    pub(super) fn values(
        &self,
        case: &Case,
        more: &[(Field, [String; 2])],
        lang: crate::i18n::Lang,
    ) -> Values {
        let watch = &case.watch;
        let body = watch
            .body
            .as_ref()
            .map_or_else(|| lang.pick("広域", "Wide-area").to_owned(), ToString::to_string);
        let base = Values::default()
            .with(Field::Incident, &case.id)
            .with(Field::Body, &body)
            .with(Field::Level, &format!("L{}", watch.level.level()))
            .with(Field::Category, lang.pick(case.category.ja(), case.category.en()))
            .with(Field::Subject, &case.subject)
            .with(Field::Opened, &shown(watch.opened_at))
            .with(Field::Findings, &case.findings.to_string())
            .with(Field::Link, &format!("{}/incidents/{}", self.url, case.id));
        more.iter().fold(base, |values, (field, [ja, en])| values.with(*field, lang.pick(ja, en)))
    }
}

/// A time as people read it.
fn shown(at: Timestamp) -> String {
    format!("{} JST", local(at).strftime("%Y-%m-%d %H:%M"))
}

/// Writes the rungs that are not there, removes those that do not hold any more, and tells which have fired.
async fn keep(tx: &mut Conn, incident: &str, timers: &[Timer]) -> Result<BTreeSet<Key>, StoreError> {
    let failed = "keep timers";
    let rows: Vec<(String, i64, i64, i64, Option<i64>)> =
        db::query_as("SELECT what, since, rung, due_at, fired_at FROM timers WHERE incident = $1")
            .bind(incident)
            .fetch_all(&mut *tx)
            .await
            .map_err(query(failed))?;
    let wanted: BTreeSet<(Key, Timestamp)> = timers.iter().map(|timer| (timer.key, timer.due_at)).collect();
    let (mut fired, mut there) = (BTreeSet::new(), BTreeSet::new());
    for (what, since, rung, due_at, fired_at) in rows {
        let key = what.parse().ok().zip(u16::try_from(rung).ok());
        let key = key.map(|(what, rung)| Key { what, since: from_stored(since), rung });
        match (key, fired_at) {
            (Some(key), Some(_)) => {
                fired.insert(key);
                there.insert(key);
            }
            (Some(key), None) if wanted.contains(&(key, from_stored(due_at))) => {
                there.insert(key);
            }
            (Some(_) | None, None) => remove(tx, incident, (&what, since, rung)).await?,
            (None, Some(_)) => {}
        }
    }
    for timer in timers.iter().filter(|timer| !there.contains(&timer.key)) {
        db::query(
            "INSERT INTO timers (incident, what, since, rung, due_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(incident)
        .bind(timer.key.what.to_string())
        .bind(stored(timer.key.since))
        .bind(i64::from(timer.key.rung))
        .bind(stored(timer.due_at))
        .execute(&mut *tx)
        .await
        .map_err(query(failed))?;
    }
    Ok(fired)
}

async fn remove(
    tx: &mut Conn,
    incident: &str,
    (what, since, rung): (&str, i64, i64),
) -> Result<(), StoreError> {
    db::query(
        "DELETE FROM timers WHERE incident = $1 AND what = $2 AND since = $3 AND rung = $4 AND fired_at IS NULL",
    )
    .bind(incident)
    .bind(what)
    .bind(since)
    .bind(rung)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("remove a timer"))
}
