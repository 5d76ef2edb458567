//! `SIGHUP`: the lists of threat intelligence and of exceptions are read again and come into force between two frames, in
//! sensors that lose nothing of what they know. All or nothing: if a file cannot be read, or a feed shrank by more than half,
//! the old lists stay. Everything else in the configuration needs a restart.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};
use sekimori_wire::exception::{ExceptionError, Exceptions};
use sekimori_wire::id::Digest;

use super::{RunError, spawn};
use crate::config::{Config, ConfigError};
use crate::intel::guard::{Shrunk, Standing};
use crate::intel::shelf::{Lists, Shelf};
use crate::intel::{self, IntelError};

/// Why the old lists stay in force.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Exceptions(#[from] ExceptionError),
    #[error(transparent)]
    Intel(#[from] IntelError),
    #[error("{0}: a restart takes it all the same")]
    Shrunk(Shrunk),
}

/// Reads lists at the start and whenever it is told to.
#[derive(Debug)]
pub(super) struct Reloader {
    path: PathBuf,
    state: PathBuf,
    /// Of the configuration that this run began with.
    digest: Digest,
    standing: Standing,
    shelf: Arc<Shelf>,
}

impl Reloader {
    /// What is known to be malicious, and accepted, at the start. A list that cannot be read blinds the agent to it alone, and
    /// one that shrank is better than none: the agent says so, and counts it.
    pub(super) fn begin(config: &Config) -> Self {
        let (intel, problems) = intel::gather(&config.intel);
        for problem in &problems {
            tracing::error!(error = problem as &dyn std::error::Error, "threat intelligence is incomplete");
        }
        let standing = Standing::of(&intel, &config.intel);
        let shrunk = Standing::read(&config.state).map_or_else(Vec::new, |before| before.shrunk(&standing));
        for one in &shrunk {
            tracing::error!(%one, "threat intelligence is much smaller than when the agent ran last");
        }
        if problems.is_empty() {
            standing.write(&config.state);
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let lists = Lists {
            intel,
            exceptions: Exceptions::from_files(config.exceptions.clone()).unwrap_or_default(),
            unread: count(problems.len()),
            shrunk: count(shrunk.len()),
        };
        Self {
            path: config.path.clone(),
            state: config.state.clone(),
            digest: config.digest,
            standing,
            shelf: Arc::new(Shelf::new(lists)),
        }
    }

    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// Waits in a thread of its own for a word to read again; reading a million indicators takes a second. Ends with the sender.
    pub(super) fn start(mut self) -> Result<Sender<()>, RunError> {
        // One more word while it reads is enough: it reads everything again.
        let (tell, told) = bounded(1);
        spawn("reload".to_owned(), move || told.iter().for_each(|()| self.reload()))?;
        Ok(tell)
    }

    fn reload(&mut self) {
        match self.try_reload() {
            Ok(()) => tracing::info!("threat intelligence and exceptions are reloaded"),
            Err(error) => {
                self.shelf.refuse();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "nothing is reloaded: the old threat intelligence and exceptions stay in force"
                );
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), ReloadError> {
        let config = Config::load(&self.path)?;
        if config.digest != self.digest {
            tracing::warn!(
                file = %self.path.display(),
                "the configuration has changed; but for threat intelligence and exceptions it takes effect with a restart"
            );
        }
        let exceptions = Exceptions::from_files(config.exceptions.clone())?;
        let intel = intel::load(&config.intel)?;
        let standing = Standing::of(&intel, &config.intel);
        if let Some(shrunk) = self.standing.shrunk(&standing).into_iter().next() {
            return Err(ReloadError::Shrunk(shrunk));
        }
        if standing != self.standing {
            standing.write(&self.state);
            self.standing = standing;
        }
        self.shelf.put(Lists { intel, exceptions, unread: 0, shrunk: 0 });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use sekimori_wire::time::Timestamp;

    fn write_feed(folder: &Path, addresses: core::ops::Range<u8>) {
        let rows: String = addresses.map(|n| format!("ip,198.51.100.{n}\n")).collect();
        fs::write(folder.join("feed.csv"), format!("type,value\n{rows}")).unwrap();
    }

    fn write_config(folder: &Path, more: &str) -> Config {
        let path = folder.join("agent.toml");
        let state = folder.join("state");
        fs::create_dir_all(&state).unwrap();
        let text = format!("state.dir = {state:?}\n[intel]\nfiles = [\"feed.csv\"]\n{more}");
        fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    }

    fn lists(shelf: &Shelf, address: &str) -> bool {
        shelf.lists().intel.address(address.parse().unwrap(), Timestamp::ZERO).is_some()
    }

    const EXCEPTION: &str = "[[exception]]\nid = \"EX-1\"\nreason = \"a scanner of ours\"\nowner = \"soc\"\n\
                             created = \"2026-04-01\"\nexpires = \"2027-03-31\"\ncategory = \"scan.host\"\n";

    #[test]
    fn what_grew_is_taken_and_what_shrank_or_broke_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..5);
        let mut reloader = Reloader::begin(&write_config(folder, ""));
        let shelf = reloader.shelf();
        assert!(lists(&shelf, "198.51.100.4") && !lists(&shelf, "198.51.100.5"));

        write_feed(folder, 1..9);
        write_config(folder, EXCEPTION);
        reloader.reload();
        let now = shelf.lists();
        assert_eq!((now.intel.len(), now.exceptions.iter().count(), shelf.refused()), (8, 1, 0));

        write_feed(folder, 1..4);
        reloader.reload();
        assert_eq!((shelf.lists().intel.len(), shelf.refused()), (8, 1), "less than half");
        fs::remove_file(folder.join("feed.csv")).unwrap();
        reloader.reload();
        assert_eq!((shelf.lists().intel.len(), shelf.refused()), (8, 1), "no file");

        write_feed(folder, 1..6);
        fs::write(folder.join("agent.toml"), "[intel").unwrap();
        reloader.reload();
        assert_eq!((shelf.lists().intel.len(), shelf.refused()), (8, 1), "no configuration");
        write_config(folder, "");
        reloader.reload();
        let now = shelf.lists();
        assert_eq!((now.intel.len(), now.exceptions.iter().count(), shelf.refused()), (5, 0, 0));
    }

    #[test]
    fn a_start_uses_what_shrank_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..9);
        let config = write_config(folder, "");
        assert_eq!(Reloader::begin(&config).shelf().lists().shrunk, 0);
        write_feed(folder, 1..3);
        let lists = Reloader::begin(&config).shelf().lists();
        assert_eq!((lists.shrunk, lists.intel.len()), (1, 2));
        assert_eq!(Reloader::begin(&config).shelf().lists().shrunk, 0, "somebody started it again");
    }
}
