//! The audit log in the store: written in the transaction of what it tells of, one chain under one locked row.

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::db::{self, Conn, Row};
use super::retain::{AUDIT, named};
use super::{Store, StoreError, query};
use crate::audit::{Broken, Entry, Line, Verifier};
use crate::clock::{from_stored, stored};

/// Lines read at a time.
const PAGE: i64 = 1000;

/// Adds a line. Everybody who writes one waits here for those before, and holds the row until the end of its
/// transaction: do it last.
///
/// # Errors
/// If the store fails.
pub async fn append(tx: &mut Conn, mut entry: Entry) -> Result<(), StoreError> {
    let failed = "write the audit log";
    // What is hashed must be what every database gives back.
    let Entry { at: _, actor, role, incident, action, from, to, reason, version: _ } = &mut entry;
    for text in [actor, role, incident, action, from, to, reason] {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    let sql = format!("SELECT seq, hash FROM audit_head WHERE one = 1{}", tx.lock_clause());
    let (seq, head): (i64, Vec<u8>) =
        db::query_as(db::AssertSqlSafe(sql)).fetch_one(&mut *tx).await.map_err(query(failed))?;
    let line = Line::after(seq, Digest::from_bytes(&head).unwrap_or(Digest::ZERO), entry);
    db::query(
        "INSERT INTO audit (seq, prev_hash, at, actor, role, incident, action, from_state, to_state, reason, version, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(line.seq)
    .bind(line.prev.as_bytes().to_vec())
    .bind(stored(line.entry.at))
    .bind(line.entry.actor)
    .bind(line.entry.role)
    .bind(line.entry.incident)
    .bind(line.entry.action)
    .bind(line.entry.from)
    .bind(line.entry.to)
    .bind(line.entry.reason)
    .bind(line.entry.version)
    .bind(line.hash.as_bytes().to_vec())
    .execute(&mut *tx)
    .await
    .map_err(query(failed))?;
    db::query("UPDATE audit_head SET seq = $1, hash = $2 WHERE one = 1")
        .bind(line.seq)
        .bind(line.hash.as_bytes().to_vec())
        .execute(&mut *tx)
        .await
        .map(drop)
        .map_err(query(failed))
}

/// What the audit log turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Good lines.
    pub lines: i64,
    /// The last line that retention removed; 0: none.
    pub after: i64,
    /// The hash of the last good one.
    pub head: Digest,
    /// The first that is not good.
    pub broken: Option<Broken>,
}

impl Store {
    /// Writes a line about something that changes nothing: a view, an export.
    ///
    /// # Errors
    /// If the store fails: then what was to be seen must not be shown.
    pub async fn audit(&self, entry: Entry) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        append(&mut tx, entry).await?;
        tx.commit().await
    }

    /// Checks every line, from one view of the store.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn verify_audit(&self) -> Result<Audited, StoreError> {
        let failed = "read the audit log";
        let mut tx = self.snapshot().await?;
        let mut verifier = match anchor(&mut tx).await? {
            Ok(verifier) => verifier,
            Err(broken) => {
                return Ok(Audited { lines: 0, after: 0, head: Digest::ZERO, broken: Some(broken) });
            }
        };
        let after = verifier.seq;
        let mut read_to = i64::MIN;
        let broken = 'all: loop {
            let rows = db::query(
                "SELECT seq, prev_hash, at, actor, role, incident, action, from_state, to_state, reason, version, hash
                 FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
            )
            .bind(read_to)
            .bind(PAGE)
            .fetch_all(&mut *tx)
            .await
            .map_err(query(failed))?;
            if rows.is_empty() {
                let (seq, head): (i64, Vec<u8>) =
                    db::query_as("SELECT seq, hash FROM audit_head WHERE one = 1")
                        .fetch_one(&mut *tx)
                        .await
                        .map_err(query(failed))?;
                break verifier.end(seq, Digest::from_bytes(&head).unwrap_or(Digest::ZERO)).err();
            }
            for row in rows {
                let line = line(&row).map_err(query(failed))?;
                read_to = line.seq;
                if let Err(broken) = verifier.line(&line) {
                    break 'all Some(broken);
                }
            }
        };
        Ok(Audited { lines: verifier.seq - after, after, head: verifier.head, broken })
    }

    /// The newest lines about an incident, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn audit_of(&self, incident: &str, most: i64) -> Result<Vec<Line>, StoreError> {
        let failed = "read the audit log";
        let rows = db::query(
            "SELECT seq, prev_hash, at, actor, role, incident, action, from_state, to_state, reason, version, hash
             FROM audit WHERE incident = $1 ORDER BY seq DESC LIMIT $2",
        )
        .bind(incident)
        .bind(most)
        .fetch_all(self.reader())
        .await
        .map_err(query(failed))?;
        rows.iter().map(line).collect::<Result<_, _>>().map_err(query(failed))
    }
}

/// Where the log begins: after its first line that is gone, as its own last line about that says.
async fn anchor(tx: &mut Conn) -> Result<Result<Verifier, Broken>, StoreError> {
    let failed = "read the anchor of the audit log";
    let anchor: Option<(i64, Vec<u8>)> = db::query_as("SELECT seq, hash FROM audit_anchor WHERE one = 1")
        .fetch_optional(&mut *tx)
        .await
        .map_err(query(failed))?;
    let said: Option<String> =
        db::query_scalar("SELECT reason FROM audit WHERE action = $1 ORDER BY seq DESC LIMIT 1")
            .bind(AUDIT)
            .fetch_optional(tx)
            .await
            .map_err(query(failed))?;
    Ok(match (anchor, said) {
        (None, _) => Ok(Verifier::default()),
        (Some((seq, hash)), Some(said)) if said == named(seq, &hash) => {
            Ok(Verifier { seq, head: Digest::from_bytes(&hash).unwrap_or(Digest::ZERO) })
        }
        (Some((seq, _)), _) => Err(Broken::Anchor(seq)),
    })
}

pub(super) fn line(row: &Row) -> Result<Line, db::Error> {
    let digest = |name: &str| -> Result<Digest, db::Error> {
        let bytes: Vec<u8> = row.get(name)?;
        Ok(Digest::from_bytes(&bytes).unwrap_or(Digest::ZERO))
    };
    let at: Timestamp = from_stored(row.get("at")?);
    Ok(Line {
        seq: row.get("seq")?,
        prev: digest("prev_hash")?,
        entry: Entry {
            at,
            actor: row.get("actor")?,
            role: row.get("role")?,
            incident: row.get("incident")?,
            action: row.get("action")?,
            from: row.get("from_state")?,
            to: row.get("to_state")?,
            reason: row.get("reason")?,
            version: row.get("version")?,
        },
        hash: digest("hash")?,
    })
}
