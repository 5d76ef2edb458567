//! The audit log as somebody may read it: page by page, newest first.
//!
//! Whoever sees all reads all. An auditor of some bodies reads what was done to the incidents of these: every other line may
//! name anybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Seen;
use crate::audit::Line;
use crate::store::audit::{Audited, line};
use crate::store::db::{self, Tx};
use crate::store::search::{SearchError, TIME_MAX};
use crate::store::{StoreError, query};

/// Rows of a page.
pub const AUDIT_ROWS: usize = 100;
/// To check the whole log may take so long.
const CHECK_FOR: Duration = Duration::from_secs(60);

closed_words! {
    /// What lines are about.
    AuditKind {
        /// Incidents.
        Incident "incident" "インシデント" "Incidents",
        /// Who came in, and how sessions ended.
        SignIn "sign_in" "サインイン・セッション" "Sign-ins and sessions",
        /// Accounts, tokens, certificates, second factors.
        Account "account" "利用者・トークン・証明書" "Accounts, tokens, certificates",
        /// What was searched for, looked at, taken out or handed over.
        Look "look" "検索・閲覧・出力" "Searches, views, exports",
        /// Everything else: what was kept, dropped, restored; notices.
        Other "other" "その他（保存・復元・通知など）" "Other (keeping, restoring, notices …)",
    }
}

impl AuditKind {
    /// Beginnings of actions.
    const fn beginnings(self) -> &'static [&'static str] {
        match self {
            Self::SignIn => &["sign_in.", "session."],
            Self::Account => &["account.", "token.", "certificate.", "totp.", "oidc."],
            Self::Look => &["search:", "view:", "export:", "handover:", "report:", "audit:"],
            Self::Incident | Self::Other => &[],
        }
    }

    /// As a condition with nothing from outside in it.
    fn condition(self) -> String {
        let one_of = |kind: Self| {
            let begins = |text: &&str| format!("substr(action, 1, {}) = '{text}'", text.len());
            let all: Vec<String> = kind.beginnings().iter().map(begins).collect();
            format!("({})", all.join(" OR "))
        };
        let looks = one_of(Self::Look);
        match self {
            Self::SignIn | Self::Account | Self::Look => one_of(self),
            Self::Incident => format!("(incident <> '' AND NOT {looks})"),
            Self::Other => {
                let (people, accounts) = (one_of(Self::SignIn), one_of(Self::Account));
                format!("(incident = '' AND NOT {people} AND NOT {accounts} AND NOT {looks})")
            }
        }
    }
}

/// Which lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditAsked {
    /// Of this person alone; empty: of all.
    pub actor: String,
    /// Of this incident alone; empty: of all and none.
    pub incident: String,
    /// About this.
    pub kind: Option<AuditKind>,
    /// By the collector's clock, both ends included; nanoseconds.
    pub between: (Option<i64>, Option<i64>),
    /// Only lines before this one.
    pub before: Option<i64>,
}

impl Seen<'_> {
    /// Lines of the audit log, newest first, and whether there are more.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn audit_page(&self, asked: &AuditAsked) -> Result<(Vec<Line>, bool), SearchError> {
        let over = Instant::now() + TIME_MAX;
        let turn = timeout_at(over, Arc::clone(&self.store.searches).acquire_owned()).await;
        let turn = turn.map_err(|_elapsed| SearchError::TooSlow)?;
        let (read, asked, seen) = (self.store.read.clone(), asked.clone(), self.scope.sql());
        // A task of its own: whoever asked may hang up, and the connection must be handed back as it was.
        let running = tokio::spawn(async move {
            let lines = lines(&read, over, &asked, seen).await;
            drop(turn);
            lines
        });
        let mut lines = match running.await {
            Ok(Err(error)) if error.is_too_slow() => return Err(SearchError::TooSlow),
            Ok(lines) => lines?,
            Err(_stopped) => return Err(SearchError::TooSlow),
        };
        let more = lines.len() > AUDIT_ROWS;
        lines.truncate(AUDIT_ROWS);
        Ok((lines, more))
    }

    /// Checks the whole log; `None`: it is not this person's to see whole.
    ///
    /// # Errors
    /// If it takes too long, or the store fails.
    pub async fn audit_checked(&self) -> Result<Option<Audited>, SearchError> {
        if !self.scope.is_all() {
            return Ok(None);
        }
        let over = Instant::now() + CHECK_FOR;
        let turn = timeout_at(over, self.store.searches.acquire()).await;
        let _turn = turn.map_err(|_elapsed| SearchError::TooSlow)?;
        let checked = timeout_at(over, self.store.verify_audit()).await;
        Ok(Some(checked.map_err(|_elapsed| SearchError::TooSlow)??))
    }
}

async fn lines(
    read: &db::Pool,
    over: Instant,
    asked: &AuditAsked,
    seen: Option<String>,
) -> Result<Vec<Line>, StoreError> {
    let failed = "read the audit log";
    let about = asked.kind.map_or_else(|| "1 = 1".to_owned(), AuditKind::condition);
    let sql = format!(
        "SELECT seq, prev_hash, at, actor, role, incident, action, from_state, to_state, reason, version, hash
         FROM audit WHERE {about}
            AND (CAST($1 AS TEXT) IS NULL OR actor = $1) AND (CAST($2 AS TEXT) IS NULL OR incident = $2)
            AND (CAST($3 AS BIGINT) IS NULL OR at >= $3) AND (CAST($4 AS BIGINT) IS NULL OR at <= $4)
            AND (CAST($5 AS BIGINT) IS NULL OR seq < $5)
            AND (CAST($6 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM incidents i
                WHERE i.id = audit.incident AND $6 LIKE '%,' || i.body || ',%'))
         ORDER BY seq DESC LIMIT $7"
    );
    let only = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let mut tx = Tx::within(read, over.into_std()).await.map_err(query(failed))?;
    let rows = db::query(db::AssertSqlSafe(sql))
        .bind(only(&asked.actor))
        .bind(only(&asked.incident))
        .bind(asked.between.0)
        .bind(asked.between.1)
        .bind(asked.before)
        .bind(seen)
        .bind(i64::try_from(AUDIT_ROWS).unwrap_or(i64::MAX).saturating_add(1))
        .fetch_all(&mut *tx)
        .await;
    let ended = tx.end().await;
    let lines = rows.and_then(|rows| rows.iter().map(line).collect()).map_err(query(failed))?;
    ended.map_err(query(failed)).map(|()| lines)
}
