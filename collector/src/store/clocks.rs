//! Timers, obligations and the outbox in the store.
//!
//! [`Clocks::look`] follows the history of incidents and fires what is due; each incident is looked after in one
//! transaction that locks its row: its timers are computed anew from what is true now, those that are due are marked as
//! fired, and what they tell is written into the outbox beside them. A rung is a key: whoever comes second, another
//! replica or the same one after a restart, finds it fired. [`Clocks::deliver`] empties the outbox.

pub mod call;
mod case;
mod deliver;
mod digest;
pub mod duty;
mod expire;
mod fire;
mod outbox;
pub mod passed;
mod shared;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::time::Timestamp;
use tokio::task::JoinSet;

pub use self::deliver::Round;
pub use self::duty::{MoveError, ObligationView, obligations_of};
pub use self::outbox::NoticeView;
use super::db;
use super::{Store, StoreError, query};
use crate::clock::{self, stored};
use crate::config::Config;
use crate::fleet::error_chain;
use crate::notify::settings::Settings;
use crate::notify::template::{NOTICES, Templates};
use crate::timing::Timing;
use crate::timing::data::{DataError, Text};

/// How often the clocks look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Changes of incidents that one transaction follows.
const CHANGES_MAX: i64 = 200;
/// Incidents whose timers one look fires.
const DUE_MAX: i64 = 200;

/// Everything that the clocks go by.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// Where everything is.
    pub store: Store,
    /// Limits, calendars, law.
    pub timing: Arc<Timing>,
    /// What notices say.
    pub templates: Arc<Templates>,
    /// Who is told, and how.
    pub settings: Arc<Settings>,
    /// Where people read on: `https://host`.
    pub url: String,
}

impl Clocks {
    /// Reads and checks all that the configuration names.
    ///
    /// # Errors
    /// Names the file, the line, the key and the rule that was broken.
    pub fn load(config: &Config, store: Store) -> Result<Self, DataError> {
        let notices = Text::open(config.notices.as_deref(), "notices.toml", NOTICES)?;
        let settings = config.notify.as_deref().map(Settings::load).transpose()?.unwrap_or_default();
        Ok(Self {
            store,
            timing: Arc::new(Timing::load(&config.timing)?),
            templates: Arc::new(Templates::parse(&notices)?),
            settings: Arc::new(settings),
            url: config.url(config.console),
        })
    }

    /// Looks, and empties the outbox, again and again; each by itself, so that a slow mail server delays no timer.
    pub fn start(self) -> JoinSet<()> {
        if self.settings.contacts.is_empty() {
            tracing::warn!("no contact is configured ([notify] file): nobody is told of anything");
        }
        let mut tasks = JoinSet::new();
        let sender = self.clone();
        tasks.spawn(async move {
            let mut tick = interval();
            loop {
                tick.tick().await;
                if let Err(error) = self.look(clock::now()).await {
                    tracing::error!(error = error_chain(&error), "cannot look after timers");
                }
            }
        });
        tasks.spawn(async move {
            let mut tick = interval();
            loop {
                tick.tick().await;
                if let Err(error) = sender.deliver(clock::now()).await {
                    tracing::error!(error = error_chain(&error), "cannot send notices");
                }
            }
        });
        tasks
    }

    /// Follows what happened and fires what is due; tells how many rungs fired.
    ///
    /// # Errors
    /// If the store fails; the rest is done at the next look.
    pub async fn look(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut fired = 0;
        while let Some(more) = self.follow(now).await? {
            fired += more;
        }
        let due: Vec<String> = db::query_scalar(
            "SELECT incident FROM timers WHERE fired_at IS NULL AND due_at <= $1
             GROUP BY incident ORDER BY min(due_at) LIMIT $2",
        )
        .bind(stored(now))
        .bind(DUE_MAX)
        .fetch_all(self.store.reader())
        .await
        .map_err(query("look for timers that are due"))?;
        for incident in due {
            let mut tx = self.store.begin_changing().await?;
            fired += self.look_after(&mut tx, &incident, now).await?;
            tx.commit().await?;
        }
        self.pass_on(now).await?;
        self.expire(now).await?;
        self.digest(now).await?;
        Ok(fired)
    }

    /// Looks after the incidents that changed; `None`: none did. One replica at a time.
    async fn follow(&self, now: Timestamp) -> Result<Option<u64>, StoreError> {
        let failed = "follow what happened";
        let known: i64 = db::query_scalar("SELECT seq FROM followers WHERE name = 'clocks'")
            .fetch_one(self.store.reader())
            .await
            .map_err(query(failed))?;
        let newest: i64 = db::query_scalar("SELECT coalesce(max(seq), 0) FROM incident_changes")
            .fetch_one(self.store.reader())
            .await
            .map_err(query(failed))?;
        if newest <= known {
            return Ok(None);
        }
        let mut tx = self.store.begin_changing().await?;
        let sql = format!("SELECT seq FROM followers WHERE name = 'clocks'{}", tx.lock_clause());
        let seq: i64 =
            db::query_scalar(db::AssertSqlSafe(sql)).fetch_one(&mut *tx).await.map_err(query(failed))?;
        let changes: Vec<(i64, String)> =
            db::query_as("SELECT seq, incident FROM incident_changes WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(seq)
                .bind(CHANGES_MAX)
                .fetch_all(&mut *tx)
                .await
                .map_err(query(failed))?;
        let Some((last, _)) = changes.last() else { return Ok(None) };
        let last = *last;
        // In the order of their names, as everybody who locks several incidents.
        let incidents: BTreeSet<String> = changes.into_iter().map(|(_, incident)| incident).collect();
        let mut fired = 0;
        for incident in &incidents {
            fired += self.look_after(&mut tx, incident, now).await?;
        }
        db::query("UPDATE followers SET seq = $1 WHERE name = 'clocks'")
            .bind(last)
            .execute(&mut *tx)
            .await
            .map_err(query(failed))?;
        tx.commit().await?;
        Ok(Some(fired))
    }
}

fn interval() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

#[cfg(test)]
mod tests;
