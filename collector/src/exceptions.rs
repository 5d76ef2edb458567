//! Exceptions at the collector: read from files (`file`), judged again on every revision (`ruling`), tried over what is
//! stored (`dry_run`), the command line for them (`command`), and those that people granted in incidents (`suppression`).
//!
//! The form of the files and the judge are the agent's (`sekimori_wire::exception`).

pub mod command;
pub mod dry_run;
pub mod file;
pub mod ruling;
pub mod suppression;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use sekimori_wire::exception::{Exception, Exceptions};
use sekimori_wire::time::Timestamp;
use tokio::sync::Notify;

use crate::clock;
use crate::config::AgentsOwn;
use crate::fleet::error_chain;
use crate::fleet::policy::Scope;
use crate::store::{Store, StoreError};
use file::FileError;
use ruling::Judge;

/// Days before its end from which an exception is shown as ending.
pub const ENDING_DAYS: [u64; 3] = [30, 14, 7];

type Central = Arc<BTreeMap<Scope, Exceptions>>;
/// How many were granted and ended, and those in force.
type Suppressed = ((i64, i64), Arc<[Exception]>);

/// The exceptions that the collector judges by; cheap to clone, all clones see the same.
#[derive(Clone, Debug)]
pub struct InForce {
    files: Arc<[PathBuf]>,
    agents_own: AgentsOwn,
    current: Arc<RwLock<Arc<Exceptions>>>,
    /// Those of policies, and the newest change among these that they are of.
    central: Arc<RwLock<(u64, Central)>>,
    /// Those granted in incidents, and how many were granted and ended by then.
    suppressed: Arc<RwLock<Suppressed>>,
    asked: Arc<Notify>,
}

impl InForce {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file, the line and the exception that is not good: a collector does not start with part of them.
    pub fn load(files: &[PathBuf], agents_own: AgentsOwn) -> Result<Self, FileError> {
        let current = Arc::new(file::read(files)?);
        let current = Arc::new(RwLock::new(current));
        let (central, suppressed) = (Arc::default(), Arc::default());
        Ok(Self { files: files.into(), agents_own, current, central, suppressed, asked: Arc::default() })
    }

    /// Those in force now.
    pub fn current(&self) -> Arc<Exceptions> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a group of submissions is judged by.
    pub fn judge(&self) -> Judge {
        let central = Arc::clone(&self.central.read().unwrap_or_else(PoisonError::into_inner).1);
        let suppressed = Arc::clone(&self.suppressed.read().unwrap_or_else(PoisonError::into_inner).1);
        Judge { exceptions: self.current(), central, suppressed, agents_own: self.agents_own }
    }

    /// Reads the policies again if any changed: the command line works beside this process.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look_at_policies(&self, store: &Store) -> Result<(), StoreError> {
        let newest = store.newest_policy().await?;
        if self.central.read().unwrap_or_else(PoisonError::into_inner).0 == newest {
            return Ok(());
        }
        let mut central = BTreeMap::new();
        for kept in store.policies().await? {
            // What was kept was checked; what cannot be read any more is as if only agents knew it.
            let rules = kept.rules().and_then(Result::ok).unwrap_or_default();
            central.insert(kept.scope, Exceptions::from_files(rules.exceptions).unwrap_or_default());
        }
        *self.central.write().unwrap_or_else(PoisonError::into_inner) = (newest, Arc::new(central));
        Ok(())
    }

    /// Reads the suppressions again if one was granted or ended, by whichever replica.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn look_at_suppressions(&self, store: &Store) -> Result<(), StoreError> {
        let number = store.suppressions_number().await?;
        if self.suppressed.read().unwrap_or_else(PoisonError::into_inner).0 == number {
            return Ok(());
        }
        let in_force = store.suppressions_in_force(clock::now()).await?.into();
        *self.suppressed.write().unwrap_or_else(PoisonError::into_inner) = (number, in_force);
        Ok(())
    }

    /// Asks whoever [follows](Self::follow) to read the files again.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Writes down what is in force, then reads the files again whenever asked. Never returns.
    pub async fn follow(self, store: Store) {
        note(store.put_exceptions(&self.current(), clock::now()).await);
        loop {
            self.asked.notified().await;
            note(self.reload(&store).await);
        }
    }

    /// All of the new ones, or, if anything in them is not good, all of those before: a file half written neither
    /// opens what somebody decided to accept nor hides what nobody did.
    async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        match file::read(&self.files) {
            Ok(new) => {
                let (new, count) = (Arc::new(new), self.current().iter().count());
                tracing::info!(before = count, now = new.iter().count(), "exceptions read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
                store.put_exceptions(&new, clock::now()).await
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::error!(error, "exceptions are not good; those read before stay in force");
                store.put_exceptions_error(&error, clock::now()).await
            }
        }
    }
}

fn note(outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        tracing::error!(error = error_chain(&error), "cannot write down which exceptions are in force");
    }
}

/// Whole days that an exception still holds; `None` once it has ended.
pub fn days_left(expires: Timestamp, now: Timestamp) -> Option<u64> {
    (now <= expires).then(|| expires.since(now).as_secs() / 86_400)
}

/// The least of [`ENDING_DAYS`] within which it ends, 0 once it has ended; `None` while its end is far.
pub fn ending_within(expires: Timestamp, now: Timestamp) -> Option<u64> {
    match days_left(expires, now) {
        None => Some(0),
        Some(days) => ENDING_DAYS.into_iter().filter(|within| days < *within).min(),
    }
}

#[cfg(test)]
mod tests;
