//! The thread that owns the disk: seals records soon after they come, measures health, writes the status file and keeps
//! the service manager's watchdog quiet while all capture threads come round.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use sd_notify::NotifyState;
use sekimori_wire::batch::Mode;
use sekimori_wire::record::{Health, Record};

use super::Around;
use crate::baseline::Drawer;
use crate::clock;
use crate::endpoint::Intake;
use crate::health::{Monitor, notify};
use crate::identity::Holder;
use crate::inspect::{self, STATUS_FILE, Status};
use crate::intel::shelf::Shelf;
use crate::intel::{self, Age};
use crate::policy::guard::{Guard, Reading, Said};
use crate::policy::{Standing, Word};
use crate::ship::Stats;
use crate::watch::Board;
use sekimori_delivery::disk;
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::seal::Sealer;

/// Records wait this long for others, so that a window's records share a batch and a finding is still sent at once.
const LINGER: Duration = Duration::from_secs(1);
/// Records that are sealed without waiting any longer.
const RECORDS_PER_SEAL: usize = 256;
/// A disk that refuses is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// Stale feeds that a health record names: enough to see which import to look at.
const STALE_NAMED: usize = 16;
const HEALTH_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Sealing {
    records: Receiver<Record>,
    identity: Arc<Holder>,
    lanes: Arc<Lanes>,
    sealer: Sealer,
    stats: Arc<Stats>,
    intake: Arc<Intake>,
    shelf: Arc<Shelf>,
    policy: Arc<Standing>,
    watch: Arc<Board>,
    /// To the reloader.
    words: Sender<Word>,
    /// Version and state of the policy, as last reported.
    said: (u64, String),
    /// Watches the policy that is on trial.
    guard: Option<Guard>,
    /// The agent's own health before the newest.
    reading: Reading,
    began: Instant,
    /// Feeds that should have been replaced, as last logged.
    stale: Vec<String>,
    monitor: Monitor,
    state: PathBuf,
    /// What the sensors have learned, when it is to be written.
    drawers: Vec<Arc<Drawer>>,
    pending: Vec<Record>,
    /// When what is pending is to be sealed.
    due: Option<Instant>,
    /// What is wrong with the disk, as last logged.
    trouble: Option<String>,
    /// Alerts of endpoint products that were given to the sealer and may not be in the spool.
    unsealed: u64,
    dropped: u64,
    failures: u64,
    /// Of overload, as last reported.
    level: u8,
}

impl Sealing {
    pub(super) fn new(
        records: Receiver<Record>,
        around: Around,
        monitor: Monitor,
        state: PathBuf,
        drawers: Vec<Arc<Drawer>>,
    ) -> Self {
        let Around { identity, lanes, sealer, stats, intake, shelf, policy, watch, words, walls } = around;
        let mut fixed = walls.counters();
        // Before the first status of this run takes its place.
        if let Some(away) = inspect::unwatched(&state, clock::now()) {
            let ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(ms, "nothing was captured since the last run's end");
            fixed.push(("capture.unwatched_ms".to_owned(), ms));
        }
        Self {
            records,
            identity,
            lanes,
            sealer,
            stats,
            intake,
            shelf,
            policy,
            watch,
            words,
            said: (0, String::new()),
            guard: None,
            reading: Reading::default(),
            began: Instant::now(),
            stale: Vec::new(),
            monitor: monitor.with(fixed),
            state,
            drawers,
            pending: Vec::new(),
            due: None,
            trouble: None,
            unsealed: 0,
            dropped: 0,
            failures: 0,
            level: 0,
        }
    }

    /// Seals until all capture threads are gone, then the rest.
    pub(super) fn run(mut self) {
        let (mut tick, mut status, mut health) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                self.tick(now, &mut status, &mut health);
            }
            if self.due.is_some_and(|due| now >= due) {
                self.seal();
            }
            let next = self.due.map_or(tick, |due| due.min(tick));
            match self.records.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(record) => self.add(record),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write_learned();
        let last = self.measure();
        self.write_status(&last);
        self.pending.push(Record::Health(Box::new(last)));
        self.seal();
        let lost = self.sealer.close(clock::now());
        if lost > 0 {
            tracing::error!(
                records = lost,
                "the disk took no more: records are lost, and declared at the next start"
            );
        }
    }

    fn add(&mut self, record: Record) {
        self.pending.push(record);
        let now = Instant::now();
        let due = self.due.get_or_insert(now + LINGER);
        if self.pending.len() >= RECORDS_PER_SEAL {
            *due = now;
        }
    }

    fn tick(&mut self, now: Instant, status: &mut Instant, health: &mut Instant) {
        if self.monitor.is_alive() {
            notify(&[NotifyState::Watchdog]);
        }
        let policy = self.policy.reported();
        let is_news = policy != self.said;
        self.said = policy;
        self.intake.marks.settle();
        if self.level_changed() || is_news {
            (*status, *health) = (now, now);
        }
        if now < *status && now < *health {
            return;
        }
        let measured = self.measure();
        self.write_learned();
        if now >= *status {
            *status = now + STATUS_EVERY;
            self.write_status(&measured);
        }
        if now >= *health {
            *health = now + HEALTH_EVERY;
            self.add(Record::Health(Box::new(measured)));
        }
    }

    /// Whether the level of overload is another than last reported.
    fn level_changed(&mut self) -> bool {
        let level = self.monitor.level();
        if level == self.level {
            return false;
        }
        if level == 0 {
            tracing::info!("the overload is over: everything is looked at again");
        } else {
            tracing::warn!(level, "overload: less is looked at, in the declared order (docs/operations.md)");
        }
        self.level = level;
        true
    }

    fn seal(&mut self) {
        self.due = None;
        let records = core::mem::take(&mut self.pending);
        let received = records.iter().filter(|record| is_received(record)).count();
        self.unsealed += u64::try_from(received).unwrap_or(u64::MAX);
        self.sealer.succeed(&self.identity.get().signer);
        let trouble = match self.sealer.seal(records, clock::now(), Mode::Live) {
            Ok(sealed) => {
                self.dropped += sealed.dropped;
                (sealed.waiting > 0).then(|| "the spool or its disk is full".to_owned())
            }
            Err(error) => {
                self.failures += 1;
                Some(format!("{:#}", anyhow::Error::from(error)))
            }
        };
        if trouble != self.trouble {
            match &trouble {
                Some(reason) => {
                    tracing::error!(
                        reason,
                        "cannot seal: capturing goes on, records wait, summaries go first"
                    );
                }
                None => tracing::info!("sealing works again"),
            }
        }
        match &trouble {
            Some(_) => self.due = Some(Instant::now() + RETRY),
            // Followed files may be read on behind these.
            None => self.intake.marks.add_sealed(core::mem::take(&mut self.unsealed)),
        }
        self.intake.marks.settle();
        self.trouble = trouble;
    }

    /// Writes what the sensors have learned, if it waits to be written.
    fn write_learned(&self) {
        for drawer in &self.drawers {
            if let Err(error) = drawer.write() {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the learned baselines stay behind: they are written again within a quarter of an hour"
                );
            }
        }
    }

    fn measure(&mut self) -> Health {
        let mut counters = self.stats.counters();
        counters.extend(self.identity.counters());
        counters.extend(self.intake.counters());
        counters.extend(self.watch.counters());
        counters
            .extend([("seal.dropped".to_owned(), self.dropped), ("seal.failed".to_owned(), self.failures)]);
        // Where the kernel does not tell, nothing is claimed.
        if let Some(is_synchronised) = clock::is_synchronised() {
            counters.push(("clock.unsynchronised".to_owned(), u64::from(!is_synchronised)));
        }
        counters.extend(self.watch_intel());
        let mut health = self.monitor.measure(clock::now(), counters);
        health.spool_bytes = self.lanes.bytes();
        health.spool_batches = self.lanes.pending();
        let (version, words) = self.policy.reported();
        health.policy_version = version;
        health.policy_state = words.into();
        health.clock = self.stats.clock();
        health.intel_version = self.shelf.lists().version.as_str().into();
        health.certificate_expires_at = self.identity.get().expires_at().unwrap_or_default();
        self.guard_policy(&health);
        health
    }

    /// A policy with which the agent is worse off goes; what is not heard now is said again with the next measurement.
    fn guard_policy(&mut self, health: &Health) {
        let reading = Reading::of(health);
        let before = core::mem::replace(&mut self.reading, reading);
        let Some(version) = self.policy.on_trial() else {
            self.guard = None;
            return;
        };
        let now = self.began.elapsed();
        let guard = match &mut self.guard {
            Some(guard) if guard.version == version => guard,
            // Began with this agent: what it was before, nobody knows.
            other if before == Reading::default() => other.insert(Guard::new(version, now, reading)),
            other => other.insert(Guard::new(version, now, before)),
        };
        let word = match guard.look(now, reading) {
            Said::Wait => return,
            Said::Proven => Word::Proven { version },
            Said::Worse(reason) => Word::RollBack { version, reason },
        };
        drop(self.words.try_send(word));
    }

    /// How threat intelligence stands. Each feed that should have been replaced is logged when that begins, and named with its
    /// age for as long as it lasts.
    fn watch_intel(&mut self) -> Vec<(String, u64)> {
        let lists = self.shelf.lists();
        let stale = intel::stale(&lists.intel, clock::now());
        for Age { feed, days } in stale.iter().filter(|one| !self.stale.contains(&one.feed)) {
            tracing::warn!(
                feed,
                days,
                "this feed of threat intelligence is older than it may be: look at its import"
            );
        }
        self.stale = stale.iter().map(|one| one.feed.clone()).collect();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut counters = vec![
            ("intel.indicators".to_owned(), count(lists.intel.len())),
            ("intel.feeds_stale".to_owned(), count(stale.len())),
            ("intel.feeds_shrunk".to_owned(), lists.shrunk),
            ("intel.files_unread".to_owned(), lists.unread),
            ("intel.reload_refused".to_owned(), self.shelf.refused()),
            ("spool.quota_bytes".to_owned(), self.lanes.max_bytes()),
        ];
        let named = stale.into_iter().take(STALE_NAMED);
        counters.extend(named.map(|one| (format!("intel.stale_days.{}", one.feed), one.days)));
        counters
    }

    fn write_status(&self, health: &Health) {
        let (shipping, identity) = (self.stats.snapshot(), self.identity.get());
        let status = Status {
            agent: identity.agent().to_string(),
            name: identity.name.clone(),
            body: identity.body.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            collector_trouble: shipping.last_error,
            disk_trouble: self.trouble.clone(),
            identity_trouble: self.identity.trouble(),
            certificate_expires_at: identity.expires_at().map(|at| at.to_string()),
            acknowledged_epoch: shipping.acked.epoch,
            acknowledged_seq: shipping.acked.seq,
            acknowledged_detail_epoch: shipping.acked_detail.epoch,
            acknowledged_detail_seq: shipping.acked_detail.seq,
            watch: self.watch.lines(),
            health: serde_json::to_value(health).unwrap_or_default(),
        };
        let json = serde_json::to_vec_pretty(&status).unwrap_or_default();
        if let Err(error) = disk::write_atomic(&self.state.join(STATUS_FILE), &json) {
            tracing::debug!(error = &error as &dyn std::error::Error, "the status file stays behind");
        }
    }
}

/// Whether it came over a source of the configuration.
const fn is_received(record: &Record) -> bool {
    match record {
        Record::EndpointAlert(alert) => matches!(alert.intake, sekimori_wire::alert::Intake::Listener),
        Record::Summary(_) | Record::Finding(_) | Record::Health(_) | Record::Gap(_) => false,
    }
}
