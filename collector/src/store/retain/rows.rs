//! Rows that go by their age, a few at a time, in the order in which they came.

use sekimori_wire::time::Timestamp;

use super::Kept;
use crate::clock::stored;
use crate::retain::Rules;
use crate::store::db::{self, AssertSqlSafe};
use crate::store::{Store, StoreError, query};

/// Rows that are looked at for one piece.
const PIECE: i64 = 1000;

/// Which rows of a table go.
pub(super) struct Pieces {
    /// As it is counted.
    pub(super) table: &'static str,
    /// As the database has it.
    pub(super) from: &'static str,
    /// What the condition needs.
    pub(super) columns: &'static str,
    /// Of `w`, with the bound as `$2`.
    pub(super) condition: &'static str,
    /// How many pieces of which nothing goes are looked at before the rest is taken to be newer; `None`: all.
    pub(super) patience: Option<u32>,
}

impl Store {
    /// Drops the rows of a table that a condition names. A piece of which nothing goes is only read.
    pub(super) async fn drop_pieces(&self, pieces: &Pieces, bound: i64) -> Result<u64, StoreError> {
        let Pieces { table, from, columns, condition, patience } = *pieces;
        let look = format!(
            "SELECT max(w.n), count(CASE WHEN {condition} THEN 1 END)
             FROM (SELECT {columns} FROM {from} WHERE n > $1 ORDER BY n LIMIT $3) w"
        );
        let drop = format!("DELETE FROM {from} AS w WHERE w.n > $1 AND w.n <= $3 AND {condition}");
        let (mut at, mut idle, mut dropped) = (i64::MIN, 0, 0);
        loop {
            let (end, old): (Option<i64>, i64) = db::query_as(AssertSqlSafe(look.clone()))
                .bind(at)
                .bind(bound)
                .bind(PIECE)
                .fetch_one(self.reader())
                .await
                .map_err(query("look for what is too old"))?;
            let Some(end) = end else { return Ok(dropped) };
            if old > 0 {
                let statement = db::query(AssertSqlSafe(drop.clone())).bind(at).bind(bound).bind(end);
                dropped += self.drop_piece(table, statement).await?;
                idle = 0;
            } else {
                idle += 1;
                if patience.is_some_and(|patience| idle >= patience) {
                    return Ok(dropped);
                }
            }
            at = end;
        }
    }

    /// Findings and alerts that are part of no incident, what was too little for one, and gaps.
    pub(super) async fn drop_rows(
        &self,
        rules: &Rules,
        now: Timestamp,
        kept: &mut Kept,
    ) -> Result<(), StoreError> {
        let findings = stored(now.minus(rules.findings));
        let alerts = stored(now.minus(rules.alerts));
        let of =
            |table, columns, condition| Pieces { table, from: table, columns, condition, patience: None };
        let said = "n, category, incident, \"end\"";
        for (pieces, bound) in [
            (
                of(
                    "findings",
                    said,
                    "w.incident IS NULL AND w.category <> 'endpoint.alert' AND w.\"end\" < $2",
                ),
                findings,
            ),
            (
                of(
                    "findings",
                    said,
                    "w.incident IS NULL AND w.category = 'endpoint.alert' AND w.\"end\" < $2",
                ),
                alerts,
            ),
            // Whatever became of its finding, becomes of an alert.
            (
                of(
                    "alerts",
                    "n, body, id, time",
                    "w.time < $2 AND NOT EXISTS (SELECT 1 FROM findings f WHERE f.body = w.body AND f.id = w.id)",
                ),
                alerts,
            ),
            (of("gaps", "n, \"end\"", "w.\"end\" < $2"), findings),
        ] {
            kept.add(pieces.table, self.drop_pieces(&pieces, bound).await?);
        }
        let precursors =
            db::query("DELETE FROM precursors WHERE incident IS NULL AND time < $1").bind(findings);
        kept.add("precursors", self.drop_piece("precursors", precursors).await?);
        Ok(())
    }
}
