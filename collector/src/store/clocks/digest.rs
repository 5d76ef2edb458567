//! Level 1 once a day: what was opened since the last digest, and how many precursors there were. Written on working days,
//! for each body and for all, once whichever replica comes first.

use std::collections::BTreeSet;

use jiff::civil::Date;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::Clocks;
use super::outbox::{Draft, insert};
use crate::auth::role::Role;
use crate::clock::{from_stored, stored};
use crate::i18n::Lang;
use crate::incident::{IncidentCategory, IncidentState};
use crate::notify::settings::Contact;
use crate::notify::template::{Field, NoticeKind, Values};
use crate::store::db::{self, Conn};
use crate::store::{StoreError, query};
use crate::timing::{instant, local};

/// Incidents that a digest names; the rest is counted.
const LINES_MAX: i64 = 50;

/// Digests that one look writes: timers wait for them.
const DIGESTS_MAX: usize = 50;

/// What one digest says.
struct Found {
    since: Timestamp,
    level1: i64,
    level0: i64,
    /// Name, category, subject, state, opened at.
    incidents: Vec<(String, String, String, String, i64)>,
}

impl Clocks {
    /// Writes the digests of today that are due; tells how many had something to say.
    pub(super) async fn digest(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (wall, at) = (local(now), self.timing.table.digest.at);
        if wall.time() < at {
            return Ok(0);
        }
        let today = wall.date();
        let done: Vec<String> = db::query_scalar("SELECT body FROM digests WHERE day = $1")
            .bind(today.to_string())
            .fetch_all(self.store.reader())
            .await
            .map_err(query("look for digests"))?;
        let bodies: Vec<String> = db::query_scalar("SELECT code FROM bodies ORDER BY code")
            .fetch_all(self.store.reader())
            .await
            .map_err(query("read bodies"))?;
        let mut written = 0;
        let done: BTreeSet<String> = done.into_iter().collect();
        let open =
            |body: &String| self.timing.calendars.of(body.parse().ok().as_ref()).is_business_day(today);
        let all = [String::new()].into_iter().chain(bodies);
        for body in all.filter(|body| !done.contains(body)).filter(open).take(DIGESTS_MAX) {
            let code: Option<BodyCode> = body.parse().ok();
            written += u64::from(self.digest_of(&body, code.as_ref(), today, now).await?);
        }
        Ok(written)
    }

    async fn digest_of(
        &self,
        body: &str,
        code: Option<&BodyCode>,
        today: Date,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let found = find(&mut tx, body, now).await?;
        let done = db::query(
            "INSERT INTO digests (day, body, at, since, level1, level0) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (day, body) DO NOTHING",
        )
        .bind(today.to_string())
        .bind(body)
        .bind(stored(now))
        .bind(stored(found.since))
        .bind(found.level1)
        .bind(found.level0)
        .execute(&mut *tx)
        .await
        .map_err(query("write a digest down"))?;
        // Another replica was faster, or there is nothing that anybody must read.
        let tells = done.rows_affected() == 1 && found.level1 > 0;
        if tells {
            let table = &self.timing.table.digest;
            for role in if code.is_some() { &table.body_to } else { &table.to } {
                self.digest_to(&mut tx, *role, (code, today), &found, now).await?;
            }
        }
        tx.commit().await?;
        Ok(tells)
    }

    /// To the first contact of the role. Of a body that names nobody, nobody: level 1 is in the console.
    async fn digest_to(
        &self,
        tx: &mut Conn,
        role: Role,
        (body, today): (Option<&BodyCode>, Date),
        found: &Found,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let contacts = self.settings.ladder(role, body, false);
        // Whoever is told of all bodies reads the digest of all.
        let own = |contact: &&&Contact| body.is_none() || !contact.bodies.is_empty();
        let Some(contact) = contacts.iter().find(own) else { return Ok(()) };
        let values = self.digest_values((body, today), found, contact.lang);
        let message = self.templates.fill(NoticeKind::Digest, contact.lang, &values, false);
        let whose = body.map_or("all", BodyCode::as_str);
        let draft = Draft {
            key: format!("digest/{today}/{whose}/{role}/0"),
            incident: None,
            kind: NoticeKind::Digest,
            level: 1,
            drill: false,
            body,
            role: role.as_str(),
            place: 0,
            contact: Some(contact),
            message: &message,
            now,
            pass_at: None,
        };
        insert(tx, &draft).await
    }

    fn digest_values(&self, (body, today): (Option<&BodyCode>, Date), found: &Found, lang: Lang) -> Values {
        let whose = body.map_or_else(|| lang.pick("全団体", "all bodies").to_owned(), ToString::to_string);
        let category =
            |name: &str| IncidentCategory::from_name(name).map_or("-", |one| lang.pick(one.ja(), one.en()));
        let state =
            |name: &str| IncidentState::from_name(name).map_or("-", |one| lang.pick(one.ja(), one.en()));
        let line = |(id, kind, subject, at_state, at): &(String, String, String, String, i64)| {
            let at = local(from_stored(*at)).strftime("%m-%d %H:%M");
            format!("{at} {id} {} {subject} ({})", category(kind), state(at_state))
        };
        let mut lines: Vec<String> = found.incidents.iter().map(line).collect();
        let rest = found.level1 - i64::try_from(lines.len()).unwrap_or(i64::MAX);
        if rest > 0 {
            lines.push(lang.pick("ほか {n} 件", "and {n} more").replace("{n}", &rest.to_string()));
        }
        Values::default()
            .with(Field::Day, &today.to_string())
            .with(Field::Body, &whose)
            .with(Field::Since, &local(found.since).strftime("%Y-%m-%d %H:%M JST").to_string())
            .with(Field::Count, &found.level1.to_string())
            .with(Field::Precursors, &found.level0.to_string())
            .with_lines(Field::Lines, &lines)
            .with(Field::Link, &format!("{}/incidents?q=severity%3D1", self.url))
    }
}

/// What was opened since the last digest; of the first one, since the day before.
async fn find(tx: &mut Conn, body: &str, now: Timestamp) -> Result<Found, StoreError> {
    let failed = "gather a digest";
    let last: Option<i64> = db::query_scalar("SELECT max(at) FROM digests WHERE body = $1")
        .bind(body)
        .fetch_one(&mut *tx)
        .await
        .map_err(query(failed))?;
    let yesterday = local(now).date().yesterday().unwrap_or_default();
    let since = last.map_or_else(|| instant(yesterday.to_datetime(local(now).time())), from_stored);
    let number =
        |sql: &'static str| db::query_scalar::<i64>(sql).bind(body).bind(stored(since)).bind(stored(now));
    let level1 = number(
        "SELECT count(*) FROM incidents WHERE ($1 = '' OR body = $1) AND opened_at >= $2 AND opened_at < $3
            AND severity = 1 AND drill = 0 AND mode = 'live'",
    );
    let level1 = level1.fetch_one(&mut *tx).await.map_err(query(failed))?;
    let level0 = number(
        "SELECT (SELECT count(*) FROM precursors WHERE ($1 = '' OR body = $1) AND time >= $2 AND time < $3
                AND incident IS NULL)
            + (SELECT count(*) FROM incidents WHERE ($1 = '' OR body = $1) AND opened_at >= $2 AND opened_at < $3
                AND severity = 0 AND drill = 0 AND mode = 'live')",
    );
    let level0 = level0.fetch_one(&mut *tx).await.map_err(query(failed))?;
    let incidents = db::query_as(
        "SELECT id, category, subject, state, opened_at FROM incidents
         WHERE ($1 = '' OR body = $1) AND opened_at >= $2 AND opened_at < $3
            AND severity = 1 AND drill = 0 AND mode = 'live' ORDER BY opened_at, id LIMIT $4",
    )
    .bind(body)
    .bind(stored(since))
    .bind(stored(now))
    .bind(LINES_MAX)
    .fetch_all(&mut *tx)
    .await
    .map_err(query(failed))?;
    Ok(Found { since, level1, level0, incidents })
}
