//! What comes into force while the agent runs: on `SIGHUP` the lists of threat intelligence and of exceptions, read again; and
//! the collector's policy, when a new one arrives or must go. Between two frames, in sensors that lose nothing of what they know.
//! All or nothing: if anything is not good, what was in force stays. Everything else in the configuration needs a restart.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use sekimori_delivery::disk::DiskError;
use sekimori_delivery::lanes::Lanes;
use sekimori_wire::exception::{ExceptionError, Exceptions};
use sekimori_wire::policy::Policy;

use super::{RunError, spawn};
use crate::config::{Changes, Config, ConfigError, Keys};
use crate::intel::guard::{Shrunk, Standing};
use crate::intel::shelf::{Lists, Shelf};
use crate::intel::{self, IntelError, Loaded};
use crate::policy::folder::{Folder, Record, Refused};
use crate::policy::{self, Arrived, Word, together};

/// Starts of the agent while a policy is on trial, from which on the policy is the likely reason.
const TRIAL_STARTS: u32 = 3;

/// Why what was in force stays.
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
    #[error("the policy cannot be kept")]
    Disk(#[from] DiskError),
}

/// Reads lists at the start and whenever it is told to.
#[derive(Debug)]
pub(super) struct Reloader {
    path: PathBuf,
    state: PathBuf,
    /// Of the configuration that this run began with.
    began: Keys,
    /// Of the one that was read last.
    latest: Keys,
    /// Quota of the spool without a policy.
    spool_bytes: u64,
    lanes: Option<Arc<Lanes>>,
    standing: Standing,
    shelf: Arc<Shelf>,
    folder: Folder,
    record: Record,
    policy: Option<Policy>,
    reported: Arc<policy::Standing>,
}

impl Reloader {
    /// What is known to be malicious, accepted and decided, at the start. A list that cannot be read blinds the agent to it alone,
    /// and one that shrank is better than none: the agent says so, and counts it.
    pub(super) fn begin(config: &Config, lanes: Option<Arc<Lanes>>) -> Self {
        let folder = Folder::of(&config.state);
        let reported = Arc::new(policy::Standing::default());
        let (record, policy) = stored(&folder, &reported);
        let (exceptions, sources) = together(config, policy.as_ref(), &folder);
        let exceptions = Exceptions::from_files(exceptions).or_else(|error| {
            reported.say(format!("refused: {error}"));
            Exceptions::from_files(config.exceptions.clone())
        });
        let (Loaded { intel, version }, problems) = intel::gather(&sources);
        for problem in &problems {
            tracing::error!(error = problem as &dyn std::error::Error, "threat intelligence is incomplete");
        }
        let standing = Standing::of(&intel, &sources);
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
            exceptions: exceptions.unwrap_or_default(),
            version,
            unread: count(problems.len()),
            shrunk: count(shrunk.len()),
        };
        let reloader = Self {
            path: config.path.clone(),
            state: config.state.clone(),
            began: config.keys.clone(),
            latest: config.keys.clone(),
            spool_bytes: config.spool_bytes,
            lanes,
            standing,
            shelf: Arc::new(Shelf::new(lists)),
            folder,
            record,
            policy,
            reported,
        };
        reloader.set_quota();
        reloader
    }

    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// How it stands with the policy.
    pub(super) fn reported(&self) -> Arc<policy::Standing> {
        Arc::clone(&self.reported)
    }

    /// Waits in a thread of its own for words; reading a million indicators takes a second. Ends with the senders.
    pub(super) fn start(mut self, words: Receiver<Word>) -> Result<(), RunError> {
        spawn("reload".to_owned(), move || words.iter().for_each(|word| self.hear(word))).map(drop)
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Files => self.reload(),
            Word::Policy(arrived) => self.arrived(*arrived),
            Word::RollBack { version, reason } if self.is_on_trial(version) => self.roll_back(&reason),
            Word::Proven { version } if self.is_on_trial(version) => self.proven(),
            // Of a version that is gone by now.
            Word::RollBack { .. } | Word::Proven { .. } => {}
        }
    }

    fn is_on_trial(&self, version: u64) -> bool {
        self.record.on_trial && self.policy.as_ref().is_some_and(|policy| policy.version == version)
    }

    fn reload(&mut self) {
        let before = self.shelf.lists();
        match self.lists(self.policy.as_ref()) {
            Ok((lists, standing, keys)) => {
                if let Some(shrunk) = self.standing.shrunk(&standing).into_iter().next() {
                    return self.refuse_files(&ReloadError::Shrunk(shrunk));
                }
                let (indicators, exceptions) = (lists.intel.len(), lists.exceptions.iter().count());
                self.put(lists, standing);
                tracing::info!(
                    indicators,
                    indicators_before = before.intel.len(),
                    exceptions,
                    exceptions_before = before.exceptions.iter().count(),
                    "threat intelligence and exceptions are reloaded"
                );
                self.tell(keys);
            }
            Err(error) => self.refuse_files(&error),
        }
    }

    /// What changed since the configuration was read last; what needs a restart is said again until there is one.
    fn tell(&mut self, keys: Keys) {
        let Changes { taken, .. } = self.latest.changes(&keys);
        let Changes { need_restart, .. } = self.began.changes(&keys);
        self.latest = keys;
        if taken.is_empty() && need_restart.is_empty() {
            tracing::info!("read again: nothing in the configuration has changed");
        }
        if !taken.is_empty() {
            tracing::info!("changed and in force: {}", taken.join(", "));
        }
        if !need_restart.is_empty() {
            tracing::warn!("changed, and in force only after a restart: {}", need_restart.join(", "));
        }
    }

    fn refuse_files(&self, error: &ReloadError) {
        self.shelf.refuse();
        tracing::error!(
            error = error as &dyn std::error::Error,
            "nothing is reloaded: the old threat intelligence and exceptions stay in force"
        );
    }

    /// What would be in force with this policy.
    fn lists(&self, policy: Option<&Policy>) -> Result<(Lists, Standing, Keys), ReloadError> {
        let config = Config::load(&self.path)?;
        let (exceptions, sources) = together(&config, policy, &self.folder);
        let exceptions = Exceptions::from_files(exceptions)?;
        let Loaded { intel, version } = intel::load(&sources)?;
        let standing = Standing::of(&intel, &sources);
        Ok((Lists { intel, exceptions, version, unread: 0, shrunk: 0 }, standing, config.keys))
    }

    fn put(&mut self, lists: Lists, standing: Standing) {
        if standing != self.standing {
            standing.write(&self.state);
            self.standing = standing;
        }
        self.shelf.put(lists);
        self.set_quota();
    }

    fn set_quota(&self) {
        let central = self.policy.as_ref().and_then(|policy| policy.rules.settings.spool_max_bytes);
        if let Some(lanes) = &self.lanes {
            lanes.set_max_bytes(central.unwrap_or(self.spool_bytes));
        }
    }

    fn arrived(&mut self, arrived: Arrived) {
        let version = arrived.policy.version;
        let before = self.policy.as_ref().map_or(0, |policy| policy.version);
        let is_settled = match self.take(&arrived) {
            Ok(()) => {
                tracing::info!(
                    version,
                    before,
                    "the collector's policy is in force, on trial for ten minutes"
                );
                self.reported.set(version, version, true, format!("trial {version}"));
                true
            }
            Err(error) => {
                let words = format!("refused {version}: {:#}", anyhow::Error::from(error));
                tracing::error!(version, words, "the collector's policy is refused; what was in force stays");
                let transient = words.contains("cannot be kept");
                if transient {
                    self.reported.say(words);
                } else {
                    self.refuse_version(version, words);
                }
                !transient
            }
        };
        // Nobody waits any more: the agent ends.
        arrived.settled.send(is_settled).unwrap_or_default();
    }

    /// Everything that can fail comes before the record is written, and nothing after it.
    fn take(&mut self, arrived: &Arrived) -> Result<(), ReloadError> {
        // A list of the policy that is much smaller is what somebody decided: it is not compared.
        let (lists, standing, _keys) = self.lists(Some(&arrived.policy))?;
        let version = arrived.policy.version;
        let current = self.folder.keep(version, &arrived.envelope, &arrived.key)?;
        let previous = self.record.current.take();
        let record = Record { current: Some(current), previous, on_trial: true, starts: 0, refused: None };
        if let Err(error) = self.folder.write(&record) {
            self.record.current = record.previous;
            return Err(error.into());
        }
        self.record = record;
        self.policy = Some(arrived.policy.clone());
        self.put(lists, standing);
        Ok(())
    }

    /// Back to the policy before, or to none.
    fn roll_back(&mut self, reason: &str) {
        let version = self.policy.as_ref().map_or(0, |policy| policy.version);
        let words = format!("rolled_back {version}: {reason}");
        let before = self.record.previous.as_ref().and_then(|stored| self.folder.read(stored).ok());
        match self.lists(before.as_ref()) {
            Ok((lists, standing, _keys)) => {
                tracing::error!(
                    version,
                    reason,
                    "the agent is worse off with this policy: the one before is in force again"
                );
                let previous = self.record.previous.take();
                self.record.current = previous.filter(|_| before.is_some());
                self.record.on_trial = false;
                self.policy = before;
                self.put(lists, standing);
                self.refuse_version(version, words);
            }
            // The local files are broken: what is in force is better than nothing.
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the policy before cannot be had again"
                );
                self.reported.say(format!("{words}; but the one before cannot be had again"));
            }
        }
    }

    /// Not to be tried again, also after a restart. What was in force stays.
    fn refuse_version(&mut self, version: u64, words: String) {
        self.record.refused = Some(Refused { version, words: words.clone() });
        self.keep_record();
        let current = self.policy.as_ref().map_or(0, |policy| policy.version);
        self.reported.set(current, version, self.record.on_trial, words);
    }

    fn proven(&mut self) {
        self.record.on_trial = false;
        self.record.starts = 0;
        self.keep_record();
        let version = self.policy.as_ref().map_or(0, |policy| policy.version);
        tracing::info!(version, "the policy has proved itself");
        self.reported.set(version, version, false, format!("applied {version}"));
    }

    fn keep_record(&self) {
        if let Err(error) = self.folder.write(&self.record) {
            tracing::error!(error = &error as &dyn std::error::Error, "what became of a policy is not kept");
        }
    }
}

/// The policy that is kept. One under which the agent started again and again is not taken a further time.
fn stored(folder: &Folder, reported: &policy::Standing) -> (Record, Option<Policy>) {
    let mut record = folder.record();
    if record.on_trial {
        record.starts += 1;
        if record.starts >= TRIAL_STARTS {
            let version = record.current.as_ref().map_or(0, |stored| stored.version);
            let words = format!(
                "rolled_back {version}: the agent started {TRIAL_STARTS} times while it was on trial"
            );
            tracing::error!(words, "the policy before is in force again");
            let (current, refused) = (record.previous.take(), Some(Refused { version, words }));
            record = Record { current, refused, ..Record::default() };
        }
        if let Err(error) = folder.write(&record) {
            tracing::error!(error = &error as &dyn std::error::Error, "what became of a policy is not kept");
        }
    }
    let read = record.current.as_ref().map(|stored| folder.read(stored)).transpose();
    let policy = read.unwrap_or_else(|error| {
        tracing::error!(%error, "it is fetched anew");
        reported.say(format!("refused: {error}"));
        None
    });
    if let Some(policy) = &policy {
        let state = if record.on_trial { "trial" } else { "applied" };
        reported.set(policy.version, policy.version, record.on_trial, format!("{state} {}", policy.version));
    }
    if let Some(Refused { version, words }) = &record.refused {
        let current = policy.as_ref().map_or(0, |policy| policy.version);
        reported.set(current, *version, record.on_trial, words.clone());
    }
    (record, policy)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use sekimori_wire::envelope::{Envelope, SigningKey};
    use sekimori_wire::exception::ExceptionFile;
    use sekimori_wire::id::AgentId;
    use sekimori_wire::policy::Rules;
    use sekimori_wire::time::Timestamp;

    use super::*;

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
        let mut reloader = Reloader::begin(&write_config(folder, ""), None);
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
        assert_eq!(Reloader::begin(&config, None).shelf().lists().shrunk, 0);
        write_feed(folder, 1..3);
        let lists = Reloader::begin(&config, None).shelf().lists();
        assert_eq!((lists.shrunk, lists.intel.len()), (1, 2));
        assert_eq!(Reloader::begin(&config, None).shelf().lists().shrunk, 0, "somebody started it again");
    }

    const AGENT: [u8; 32] = [7; 32];

    fn arrive(reloader: &mut Reloader, version: u64, rules: Rules) -> bool {
        let agent = AgentId::from_bytes(&AGENT).unwrap();
        let (key, _) = SigningKey::generate().unwrap();
        let policy = Policy { agent, version, made_at: Timestamp::ZERO, rules };
        let envelope = Envelope::seal_policy(&policy, &key).unwrap();
        let (settled, mut done) = tokio::sync::oneshot::channel();
        let key = *key.verifying_key();
        reloader.hear(Word::Policy(Box::new(Arrived { policy, envelope, key, settled })));
        done.try_recv().unwrap()
    }

    fn rules(id: &str, owner: &str) -> Rules {
        let exception = ExceptionFile {
            id: id.to_owned(),
            category: Some("scan.port".to_owned()),
            reason: "central".to_owned(),
            owner: owner.to_owned(),
            created: "2026-04-01".to_owned(),
            expires: "2027-03-31".to_owned(),
            ..ExceptionFile::default()
        };
        Rules { exceptions: vec![exception], ..Rules::default() }
    }

    fn ids(shelf: &Shelf) -> Vec<String> {
        shelf.lists().exceptions.iter().map(|one| one.id.to_string()).collect()
    }

    #[test]
    fn a_policy_is_taken_whole_or_not_at_all_and_outlives_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..5);
        let config = write_config(folder, EXCEPTION);
        let mut reloader = Reloader::begin(&config, None);
        let (shelf, reported) = (reloader.shelf(), reloader.reported());
        assert_eq!(reported.reported(), (0, "none".to_owned()));
        assert!(arrive(&mut reloader, 3, rules("EX-9", "soc")));
        assert_eq!(
            (ids(&shelf), reported.reported()),
            (vec!["EX-1".into(), "EX-9".into()], (3, "trial 3".into()))
        );

        // Its exception has no owner: nothing of it is taken, and it is not asked for again.
        assert!(arrive(&mut reloader, 4, rules("EX-8", "")));
        let (version, words) = reported.reported();
        assert!(version == 3 && words.starts_with("refused 4: exception \"EX-8\""), "{words}");
        assert_eq!((ids(&shelf).len(), reported.settled()), (2, 4));
        reloader.hear(Word::Files);
        assert_eq!(ids(&shelf).len(), 2, "files that are read again leave the policy in force");

        // A month later, without the collector.
        let mut reloader = Reloader::begin(&config, None);
        let reported = reloader.reported();
        assert_eq!((ids(&reloader.shelf()).len(), reported.reported().0, reported.settled()), (2, 3, 4));
        assert_eq!(reported.on_trial(), Some(3));
        reloader.hear(Word::Proven { version: 3 });
        assert_eq!((reported.reported(), reported.on_trial()), ((3, "applied 3".into()), None));
    }

    #[test]
    fn the_policy_before_comes_back_and_the_worse_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..5);
        let config = write_config(folder, "");
        let mut reloader = Reloader::begin(&config, None);
        let (shelf, reported) = (reloader.shelf(), reloader.reported());
        arrive(&mut reloader, 3, rules("EX-3", "soc"));
        reloader.hear(Word::Proven { version: 3 });
        arrive(&mut reloader, 5, rules("EX-5", "soc"));
        reloader.hear(Word::RollBack { version: 3, reason: "late word".to_owned() });
        assert_eq!(ids(&shelf), ["EX-5"]);
        reloader.hear(Word::RollBack { version: 5, reason: "loss rose".to_owned() });
        assert_eq!((ids(&shelf), reported.settled()), (vec!["EX-3".to_owned()], 5));
        assert_eq!(reported.reported(), (3, "rolled_back 5: loss rose".to_owned()));
        let reloader = Reloader::begin(&config, None);
        assert_eq!(reloader.reported().reported(), (3, "rolled_back 5: loss rose".to_owned()));
        assert_eq!((reloader.reported().settled(), reloader.reported().on_trial()), (5, None));
    }

    #[test]
    fn an_agent_that_starts_again_and_again_on_trial_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..5);
        let config = write_config(folder, "");
        arrive(&mut Reloader::begin(&config, None), 3, rules("EX-3", "soc"));
        for _start in 1..TRIAL_STARTS {
            assert_eq!(Reloader::begin(&config, None).reported().reported().0, 3);
        }
        let (version, words) = Reloader::begin(&config, None).reported().reported();
        assert!(version == 0 && words.starts_with("rolled_back 3: the agent started 3 times"), "{words}");
    }

    #[test]
    fn what_the_disk_does_not_keep_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_feed(folder, 1..5);
        let config = write_config(folder, "");
        let mut reloader = Reloader::begin(&config, None);
        // Where the folder should be, there is a file.
        fs::write(config.state.join("policy"), "").unwrap();
        assert!(!arrive(&mut reloader, 3, rules("EX-3", "soc")), "it may be tried again");
        let (version, words) = reloader.reported().reported();
        assert!(version == 0 && words.contains("the policy cannot be kept"), "{words}");
        assert_eq!((ids(&reloader.shelf()).len(), reloader.reported().settled()), (0, 0));
        fs::remove_file(config.state.join("policy")).unwrap();
        assert!(arrive(&mut reloader, 3, rules("EX-3", "soc")));
        assert_eq!(ids(&reloader.shelf()), ["EX-3"]);
    }
}
