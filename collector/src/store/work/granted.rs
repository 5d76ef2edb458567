//! What is done when two persons have agreed: in the transaction of the last signature, so that it happens once.

use std::time::Duration;

use sekimori_wire::id::{BodyCode, Digest};
use sekimori_wire::time::Timestamp;

use super::{Seen, entry, extract, suppression};
use crate::audit::Entry;
use crate::clock::{from_stored, stored};
use crate::incident::action::Action;
use crate::incident::facts::ProposalState;
use crate::incident::grant::{GrantKind, GrantState, UNMASKED_FOR};
use crate::incident::transition::Actor;
use crate::store::account::user;
use crate::store::audit::append;
use crate::store::db::{self, Conn};
use crate::store::{Store, StoreError, query};

/// Grants of one incident that are shown, the newest.
const SHOWN: i64 = 200;

/// Something that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// Within the incident, from 1.
    pub n: i64,
    /// What kind.
    pub kind: GrantKind,
    /// The hidden value's name; the recipient; hosts and time; the scope.
    pub what: String,
    /// Who asked.
    pub asked_by: String,
    /// Whose signature was the last.
    pub granted_by: String,
    /// When.
    pub at: Timestamp,
    /// Of an unmasking and a suppression: when it ends.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// Of an extract: its mark.
    pub tlp: String,
    /// Of an extract: its SHA-256, by which it is asked for.
    pub digest: Option<String>,
}

impl GrantView {
    /// Where it stands.
    pub fn state(&self, now: Timestamp) -> GrantState {
        match self.kind {
            GrantKind::Unmask if self.until.is_some_and(|until| now < until) => GrantState::Open,
            GrantKind::Suppress if self.until.is_some_and(|until| now <= until) => GrantState::InForce,
            GrantKind::Unmask | GrantKind::Suppress => GrantState::Ended,
            GrantKind::Share => GrantState::Made,
            GrantKind::Capture => GrantState::Waiting,
        }
    }
}

/// What came of wanting to see a hidden value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmasked {
    /// It; the view is in the audit log.
    Value {
        /// Which.
        name: String,
        /// What is hidden.
        value: String,
        /// Until when it may be seen.
        until: Timestamp,
    },
    /// It was granted to somebody else, or not at all.
    NotGranted,
    /// Its time is over.
    Ended,
}

/// An extract that was made for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// Of which incident.
    pub incident: String,
    /// Whose incident.
    pub body: Option<String>,
    /// To whom.
    pub recipient: String,
    /// The body that it is for, if it is one.
    pub to_body: Option<String>,
    /// Its mark.
    pub tlp: String,
    /// When it was made.
    pub at: Timestamp,
    /// SHA-256 of the document.
    pub digest: String,
    /// The document; empty in lists.
    pub document: String,
}

/// What an action names that does not exist, before anybody is asked to approve it.
pub(super) async fn unknown(
    tx: &mut Conn,
    id: &str,
    action: &Action,
) -> Result<Option<&'static str>, StoreError> {
    if let Action::Unmask { what, .. } = action {
        return Ok(hidden(tx, id, what).await?.is_none().then_some("what.hidden"));
    }
    if let Action::Assign { owner } = action {
        return Ok((!may_work(tx, id, owner).await?).then_some("owner.account"));
    }
    if let Action::Share { recipient, .. } = action
        && recipient.parse::<BodyCode>().is_ok()
    {
        return Ok(body(tx, recipient).await?.is_none().then_some("recipient"));
    }
    if matches!(action, Action::Suppress { .. }) && suppression::full(tx).await? {
        return Ok(Some("suppressions.room"));
    }
    Ok(None)
}

/// Whether there is such an account that works on incidents and may see this one.
async fn may_work(tx: &mut Conn, id: &str, name: &str) -> Result<bool, StoreError> {
    let failed = "read an account";
    let row: Option<(String, String)> =
        db::query_as("SELECT role, bodies FROM users WHERE name = $1 AND disabled = 0")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(query(failed))?;
    let Some(user) = row.and_then(|(role, bodies)| user(name, &role, &bodies)) else { return Ok(false) };
    let body: Option<String> = db::query_scalar("SELECT body FROM incidents WHERE id = $1")
        .bind(id)
        .fetch_one(tx)
        .await
        .map_err(query(failed))?;
    Ok(user.role.works_incidents() && user.scope.covers_whole(body.as_deref()))
}

async fn hidden(tx: &mut Conn, id: &str, name: &str) -> Result<Option<String>, StoreError> {
    db::query_scalar("SELECT value FROM masked_values WHERE incident = $1 AND name = $2")
        .bind(id)
        .bind(name)
        .fetch_optional(tx)
        .await
        .map_err(query("read a hidden value"))
}

async fn body(tx: &mut Conn, code: &str) -> Result<Option<String>, StoreError> {
    db::query_scalar("SELECT code FROM bodies WHERE code = $1")
        .bind(code)
        .fetch_optional(tx)
        .await
        .map_err(query("read a body"))
}

/// A grant before it has a number.
#[derive(Default)]
struct New<'a> {
    what: &'a str,
    reason: &'a str,
    until: Option<Timestamp>,
    tlp: &'a str,
    to_body: Option<String>,
    document: Option<String>,
}

/// Does what was granted.
pub(super) async fn carry_out(tx: &mut Conn, seen: Seen<'_>, action: &Action) -> Result<(), StoreError> {
    let (kind, new) = if let Action::Unmask { what, reason } = action {
        let until = Some(seen.now.plus(UNMASKED_FOR));
        (GrantKind::Unmask, New { what, reason, until, ..New::default() })
    } else if let Action::EvidenceCapture { what, reason } = action {
        (GrantKind::Capture, New { what, reason, ..New::default() })
    } else if let Action::Share { recipient, tlp, reason } = action {
        let to_body = body(tx, recipient).await?;
        let wanted = extract::Wanted { recipient, to_body: to_body.as_deref(), tlp, at: seen.now };
        let document = Some(extract::document(tx, &seen.changes.facts, &wanted).await?);
        (GrantKind::Share, New { what: recipient, reason, tlp, to_body, document, ..New::default() })
    } else if let Action::Suppress { scope, days, reason } = action {
        let until = Some(seen.now.plus(Duration::from_secs(u64::from(*days) * 86_400)));
        (GrantKind::Suppress, New { what: scope, reason, until, ..New::default() })
    } else {
        // Nothing else is granted.
        return Ok(());
    };
    let decided = seen.changes.facts.proposals.iter().find(|one| {
        one.state == ProposalState::Approved && one.action == *action && !seen.before.proposals.contains(one)
    });
    let asked_by = decided.map_or(seen.actor.name.as_str(), |one| one.by.as_str());
    put(tx, seen, (kind, asked_by), &new).await?;
    if kind == GrantKind::Suppress { suppression::put(tx, seen, action, asked_by).await } else { Ok(()) }
}

async fn put(
    tx: &mut Conn,
    seen: Seen<'_>,
    (kind, asked_by): (GrantKind, &str),
    new: &New<'_>,
) -> Result<(), StoreError> {
    let digest = new.document.as_ref().map(|text| Digest::of(text.as_bytes()).to_string());
    db::query(
        "INSERT INTO grants (incident, n, kind, what, asked_by, granted_by, at, until, reason, tlp, to_body, digest,
            document)
         SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), $8, $9, CAST($10 AS TEXT),
            CAST($11 AS TEXT), CAST($12 AS TEXT) FROM grants WHERE incident = $1",
    )
    .bind(&seen.before.id)
    .bind(kind.as_str())
    .bind(new.what)
    .bind(asked_by)
    .bind(&seen.actor.name)
    .bind(stored(seen.now))
    .bind(new.until.map(stored))
    .bind(new.reason)
    .bind(new.tlp)
    .bind(new.to_body.as_deref())
    .bind(digest.as_deref())
    .bind(new.document.as_deref())
    .execute(&mut *tx)
    .await
    .map_err(query("write what was granted"))?;
    let line = entry(seen.actor, &seen.changes.facts, &format!("grant:{kind}"), seen.now);
    let reason =
        format!("{} → {asked_by}{}", new.what, digest.map(|one| format!(" {one}")).unwrap_or_default());
    append(tx, Entry { reason, ..line }).await
}

/// Number, kind, what, who asked, who granted, when, until, why, mark, digest.
type Row = (i64, String, String, String, String, i64, Option<i64>, String, String, Option<String>);

pub(super) async fn grants(tx: &mut Conn, id: &str) -> Result<Vec<GrantView>, StoreError> {
    let rows: Vec<Row> = db::query_as(
        "SELECT n, kind, what, asked_by, granted_by, at, until, reason, tlp, digest FROM grants
         WHERE incident = $1 ORDER BY n DESC LIMIT $2",
    )
    .bind(id)
    .bind(SHOWN)
    .fetch_all(tx)
    .await
    .map_err(query("read what was granted"))?;
    let view = |(n, kind, what, asked_by, granted_by, at, until, reason, tlp, digest): Row| {
        let until = until.map(from_stored);
        let kind = GrantKind::from_name(&kind)?;
        Some(GrantView {
            n,
            kind,
            what,
            asked_by,
            granted_by,
            at: from_stored(at),
            until,
            reason,
            tlp,
            digest,
        })
    };
    Ok(rows.into_iter().filter_map(view).collect())
}

/// Names of what is hidden of an incident.
pub(super) async fn masked(tx: &mut Conn, id: &str) -> Result<Vec<String>, StoreError> {
    db::query_scalar("SELECT name FROM masked_values WHERE incident = $1 ORDER BY name")
        .bind(id)
        .fetch_all(tx)
        .await
        .map_err(query("read what is hidden"))
}

/// Incident, body, recipient, its body, mark, time, digest, document.
type ExtractRow = (String, Option<String>, String, Option<String>, String, i64, String, String);

fn extract((incident, body, recipient, to_body, tlp, at, digest, document): ExtractRow) -> Extract {
    Extract { incident, body, recipient, to_body, tlp, at: from_stored(at), digest, document }
}

impl Store {
    /// Shows a hidden value to whom it was granted, while it is: with a line in the audit log, or not at all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unmasked(
        &self,
        id: &str,
        n: i64,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Unmasked, StoreError> {
        let mut tx = self.begin().await?;
        let granted: Option<(String, String, Option<i64>, i64)> = db::query_as(
            "SELECT g.what, m.value, g.until, i.work_version FROM grants g
             JOIN masked_values m ON m.incident = g.incident AND m.name = g.what
             JOIN incidents i ON i.id = g.incident
             WHERE g.incident = $1 AND g.n = $2 AND g.kind = 'unmask' AND g.asked_by = $3",
        )
        .bind(id)
        .bind(n)
        .bind(&actor.name)
        .fetch_optional(&mut *tx)
        .await
        .map_err(query("read a hidden value"))?;
        let Some((name, value, until, version)) = granted else { return Ok(Unmasked::NotGranted) };
        let until = until.map_or(Timestamp::ZERO, from_stored);
        if now >= until {
            return Ok(Unmasked::Ended);
        }
        let line = Entry {
            at: now,
            actor: actor.name.clone(),
            role: actor.role.as_str().to_owned(),
            incident: id.to_owned(),
            action: "view:unmasked".to_owned(),
            reason: format!("{n} {name}"),
            version,
            ..Entry::default()
        };
        append(&mut tx, line).await?;
        tx.commit().await?;
        Ok(Unmasked::Value { name, value, until })
    }

    /// The newest extracts that were made for others, without their documents.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extracts(&self) -> Result<Vec<Extract>, StoreError> {
        let rows: Vec<ExtractRow> = db::query_as(
            "SELECT g.incident, i.body, g.what, g.to_body, g.tlp, g.at, g.digest, '' FROM grants g
             JOIN incidents i ON i.id = g.incident WHERE g.kind = 'share' ORDER BY g.at DESC, g.digest LIMIT 2000",
        )
        .fetch_all(self.reader())
        .await
        .map_err(query("list extracts"))?;
        Ok(rows.into_iter().map(extract).collect())
    }

    /// The extract with this digest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn extract(&self, digest: &str) -> Result<Option<Extract>, StoreError> {
        let row: Option<ExtractRow> = db::query_as(
            "SELECT g.incident, i.body, g.what, g.to_body, g.tlp, g.at, g.digest, g.document FROM grants g
             JOIN incidents i ON i.id = g.incident WHERE g.kind = 'share' AND g.digest = $1",
        )
        .bind(digest)
        .fetch_optional(self.reader())
        .await
        .map_err(query("read an extract"))?;
        Ok(row.map(extract))
    }
}
