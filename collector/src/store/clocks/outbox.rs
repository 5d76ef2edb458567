//! Writing notices: to the first contact of each role, and to the next one when nobody reads.

use std::collections::BTreeSet;

use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

use super::Clocks;
use super::case::Case;
use crate::auth::role::Role;
use crate::clock::{from_stored, stored};
use crate::i18n::Lang;
use crate::notify::settings::Contact;
use crate::notify::template::{Field, Message, NoticeKind};
use crate::store::db::{self, Conn};
use crate::store::{Store, StoreError, query};

/// Notices that one look passes on.
const PASSED_MAX: i64 = 200;

/// What is told.
pub(super) struct About<'a> {
    pub(super) case: &'a Case,
    pub(super) kind: NoticeKind,
    /// Within the incident.
    pub(super) key: &'a str,
    pub(super) values: &'a [(Field, [String; 2])],
    pub(super) now: Timestamp,
}

/// One row of the outbox.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) key: String,
    pub(super) incident: Option<&'a str>,
    pub(super) kind: NoticeKind,
    pub(super) level: i64,
    pub(super) drill: bool,
    pub(super) body: Option<&'a BodyCode>,
    pub(super) role: &'a str,
    pub(super) place: usize,
    pub(super) contact: Option<&'a Contact>,
    pub(super) message: &'a Message,
    pub(super) now: Timestamp,
    pub(super) pass_at: Option<Timestamp>,
}

/// A notice, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NoticeView {
    /// What makes it one of its kind.
    pub key: String,
    /// What it is about.
    pub kind: String,
    /// To whom, in which role.
    pub role: String,
    /// To whom, by name; empty: nobody is named for the role.
    pub contact: String,
    /// How.
    pub channel: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// How often it was tried.
    pub attempts: i64,
    /// When it left.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub dead_at: Option<Timestamp>,
    /// What was wrong with the last attempt.
    pub error: Option<String>,
    /// When somebody read it.
    pub read_at: Option<Timestamp>,
    /// Who.
    pub read_by: Option<String>,
}

impl Clocks {
    /// Writes a notice to the first contact of each role, with `deputies` to theirs too. Names whom it goes to.
    pub(super) async fn tell(
        &self,
        tx: &mut Conn,
        about: &About<'_>,
        roles: &[Role],
        deputies: bool,
    ) -> Result<Vec<String>, StoreError> {
        let (case, mut told, mut names) = (about.case, BTreeSet::new(), Vec::new());
        for role in roles {
            let contacts = self.settings.ladder(*role, case.body(), case.drill);
            if contacts.is_empty() {
                self.nobody(tx, about, *role).await?;
            }
            let first = contacts
                .iter()
                .enumerate()
                .filter(|(place, contact)| *place == 0 || (deputies && contact.deputy));
            for (place, contact) in first {
                // One person in two roles is told once.
                if told.insert(&contact.address) {
                    names.push(contact.name.clone());
                    self.write(tx, about, *role, (place, contact), contacts.len()).await?;
                }
            }
        }
        Ok(names)
    }

    async fn write(
        &self,
        tx: &mut Conn,
        about: &About<'_>,
        role: Role,
        (place, contact): (usize, &Contact),
        contacts: usize,
    ) -> Result<(), StoreError> {
        let case = about.case;
        let message = self.templates.fill(
            about.kind,
            contact.lang,
            &self.values(case, about.values, contact.lang),
            case.drill,
        );
        let draft = Draft {
            key: format!("{}/{}/{role}/{place}", case.id, about.key),
            incident: Some(&case.id),
            kind: about.kind,
            level: i64::from(case.watch.level.level()),
            drill: case.drill,
            body: case.body(),
            role: role.as_str(),
            place,
            contact: Some(contact),
            message: &message,
            now: about.now,
            pass_at: (place + 1 < contacts).then(|| about.now.plus(self.timing.table.unread)),
        };
        insert(tx, &draft).await
    }

    /// Nobody is named for the role: a dead letter, so that somebody sees it.
    async fn nobody(&self, tx: &mut Conn, about: &About<'_>, role: Role) -> Result<(), StoreError> {
        // Where nobody is named for anything, the start said so.
        if self.settings.contacts.is_empty() {
            return Ok(());
        }
        let case = about.case;
        let values = self.values(case, about.values, Lang::Ja);
        let message = self.templates.fill(about.kind, Lang::Ja, &values, case.drill);
        tracing::warn!(incident = case.id, role = role.as_str(), "a notice has nobody to go to");
        let draft = Draft {
            key: format!("{}/{}/{role}/nobody", case.id, about.key),
            incident: Some(&case.id),
            kind: about.kind,
            level: i64::from(case.watch.level.level()),
            drill: case.drill,
            body: case.body(),
            role: role.as_str(),
            place: 0,
            contact: None,
            message: &message,
            now: about.now,
            pass_at: None,
        };
        insert(tx, &draft).await
    }

    /// Notices that nobody read in time go to the next contact of the role.
    pub(super) async fn pass_on(&self, now: Timestamp) -> Result<(), StoreError> {
        let failed = "pass a notice on";
        let keys: Vec<String> =
            db::query_scalar("SELECT key FROM notices WHERE pass_at <= $1 ORDER BY pass_at, key LIMIT $2")
                .bind(stored(now))
                .bind(PASSED_MAX)
                .fetch_all(self.store.reader())
                .await
                .map_err(query(failed))?;
        for key in keys {
            let mut tx = self.store.begin().await?;
            let done = db::query(
                "UPDATE notices SET pass_at = NULL WHERE key = $1 AND pass_at <= $2 AND read_at IS NULL",
            )
            .bind(&key)
            .bind(stored(now))
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
            if done.rows_affected() == 1 {
                self.next(&mut tx, &key, now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    async fn next(&self, tx: &mut Conn, key: &str, now: Timestamp) -> Result<(), StoreError> {
        let failed = "pass a notice on";
        let row = db::query(
            "SELECT incident, kind, level, drill, body, role, place, subject, text FROM notices WHERE key = $1",
        )
        .bind(key)
        .fetch_one(&mut *tx)
        .await
        .map_err(query(failed))?;
        let text = |column: &'static str| row.get::<String>(column).map_err(query(failed));
        let number = |column: &'static str| row.get::<i64>(column).map_err(query(failed));
        let maybe = |column: &'static str| row.get::<Option<String>>(column).map_err(query(failed));
        let (body, role) = (maybe("body")?.and_then(|body| body.parse().ok()), text("role")?);
        let Some(known) = Role::from_name(&role) else { return Ok(()) };
        let drill = number("drill")? != 0;
        let place = usize::try_from(number("place")?).unwrap_or_default() + 1;
        let contacts = self.settings.ladder(known, body.as_ref(), drill);
        let Some(contact) = contacts.get(place) else { return Ok(()) };
        let incident = maybe("incident")?;
        let stem = key.rsplit_once('/').map_or(key, |(stem, _place)| stem);
        let draft = Draft {
            key: format!("{stem}/{place}"),
            incident: incident.as_deref(),
            kind: NoticeKind::from_name(&text("kind")?).unwrap_or(NoticeKind::Timer),
            level: number("level")?,
            drill,
            body: body.as_ref(),
            role: &role,
            place,
            contact: Some(contact),
            message: &Message { subject: text("subject")?, body: text("text")? },
            now,
            pass_at: (place + 1 < contacts.len()).then(|| now.plus(self.timing.table.unread)),
        };
        insert(tx, &draft).await
    }
}

pub(super) async fn insert(tx: &mut Conn, draft: &Draft<'_>) -> Result<(), StoreError> {
    let address = draft.contact.map(|contact| &contact.address);
    let dead = draft.contact.is_none();
    db::query(
        "INSERT INTO notices (key, incident, kind, level, drill, body, role, place, contact, channel, address,
                              subject, text, written_at, next_at, pass_at, dead_at, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(&draft.key)
    .bind(draft.incident)
    .bind(draft.kind.as_str())
    .bind(draft.level)
    .bind(i64::from(draft.drill))
    .bind(draft.body.map(BodyCode::as_str))
    .bind(draft.role)
    .bind(i64::try_from(draft.place).unwrap_or(i64::MAX))
    .bind(draft.contact.map_or("", |contact| contact.name.as_str()))
    .bind(address.map_or("", |address| address.channel()))
    .bind(address.map_or("", |address| address.value()))
    .bind(&draft.message.subject)
    .bind(&draft.message.body)
    .bind(stored(draft.now))
    .bind((!dead).then(|| stored(draft.now)))
    .bind(draft.pass_at.map(stored))
    .bind(dead.then(|| stored(draft.now)))
    .bind(dead.then_some("nobody is named for this role"))
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("write a notice"))
}

impl Store {
    /// Somebody in this role looked at the incident: what was sent to the role is read, and goes to nobody else.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_notices(
        &self,
        incident: &str,
        role: Role,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let failed = "note that a notice was read";
        // Most views find nothing to note: they cost no write.
        let open: bool = db::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM notices WHERE incident = $1 AND role = $2 AND read_at IS NULL)",
        )
        .bind(incident)
        .bind(role.as_str())
        .fetch_one(self.reader())
        .await
        .map_err(query(failed))?;
        if !open {
            return Ok(0);
        }
        let done = db::query(
            "UPDATE notices SET read_at = $3, read_by = $4, pass_at = NULL
             WHERE incident = $1 AND role = $2 AND read_at IS NULL",
        )
        .bind(incident)
        .bind(role.as_str())
        .bind(stored(now))
        .bind(by)
        .execute(self.writer())
        .await
        .map_err(query(failed))?;
        Ok(done.rows_affected())
    }

    /// Notices of an incident, newest first; of `None`: dead letters of all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn notices(&self, incident: Option<&str>, most: u32) -> Result<Vec<NoticeView>, StoreError> {
        let failed = "read notices";
        let sql = "SELECT key, kind, role, contact, channel, written_at, attempts, sent_at, dead_at, error, read_at, read_by
                   FROM notices";
        let (behind, id) = match incident {
            Some(id) => ("WHERE incident = $1 ORDER BY written_at DESC, key LIMIT $2", id),
            None => (
                "WHERE dead_at IS NOT NULL AND aside_at IS NULL AND $1 = '' ORDER BY dead_at DESC, key LIMIT $2",
                "",
            ),
        };
        let rows = db::query(db::AssertSqlSafe(format!("{sql} {behind}")))
            .bind(id)
            .bind(i64::from(most))
            .fetch_all(self.reader())
            .await
            .map_err(query(failed))?;
        rows.iter().map(view).collect::<Result<_, _>>().map_err(query(failed))
    }
}

fn view(row: &db::Row) -> Result<NoticeView, db::Error> {
    let time = |column: &'static str| row.get::<Option<i64>>(column).map(|at| at.map(from_stored));
    Ok(NoticeView {
        key: row.get("key")?,
        kind: row.get("kind")?,
        role: row.get("role")?,
        contact: row.get("contact")?,
        channel: row.get("channel")?,
        written_at: from_stored(row.get("written_at")?),
        attempts: row.get("attempts")?,
        sent_at: time("sent_at")?,
        dead_at: time("dead_at")?,
        error: row.get("error")?,
        read_at: time("read_at")?,
        read_by: row.get("read_by")?,
    })
}
