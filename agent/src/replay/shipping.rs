//! `replay --ship`: what the sensor reports is sealed into a spool of its own and shipped while the replay runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekimori_wire::batch::Mode;
use sekimori_wire::limits::BATCH_BYTES_MAX;
use sekimori_wire::record::Record;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::ShippingArgs;
use crate::clock;
use crate::config::{Config, SPOOL_BYTES};
use crate::identity::{Holder, Identity, IdentityError, keep_fresh};
use crate::line::Line;
use crate::ship::{self, Outcome, ShipError, Stats};
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::seal::{Sealer, SealerError};
use sekimori_delivery::spool::SpoolError;

/// Records that are sealed together: about as often as the live agent seals.
const RECORDS_PER_SEAL: usize = 8;

/// Why what was found did not arrive. What was sealed stays in the spool, and the next replay or run sends it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShippingError {
    #[error("cannot ship as this agent")]
    Identity(#[from] IdentityError),
    #[error("cannot open the spool in {}", dir.display())]
    Spool {
        dir: PathBuf,
        #[source]
        cause: SpoolError,
    },
    #[error("cannot seal")]
    Seal(#[from] SealerError),
    #[error("cannot start the runtime")]
    Runtime {
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot ship")]
    Ship(#[source] ShipError),
    #[error("shipping ended: {why}")]
    Ended { why: String },
    #[error("{pending} batches are not acknowledged after {seconds} s ({why}); they stay in the spool")]
    Timeout { pending: u64, seconds: u64, why: String },
}

/// Shipping beside a replay.
pub(super) struct Shipping {
    identity: Arc<Holder>,
    lanes: Arc<Lanes>,
    sealer: Sealer,
    pending: Vec<Record>,
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Outcome, ShipError>>,
    runtime: tokio::runtime::Runtime,
    timeout: Duration,
}

impl Shipping {
    /// `None` without `--ship`.
    pub(super) fn start(args: &ShippingArgs, config: Option<&Config>) -> Result<Option<Self>, ShippingError> {
        let Some(state) = args.state.as_ref().filter(|_| args.ship) else { return Ok(None) };
        let identity = Arc::new(Holder::new(Identity::load(state)?));
        let dir = state.join("spool");
        let lanes = Lanes::open(&dir, config.map_or(SPOOL_BYTES, |config| config.spool_bytes))
            .map_err(|cause| ShippingError::Spool { dir, cause })?;
        let lanes = Arc::new(lanes);
        let sealer = Sealer::open(Arc::clone(&identity.get().signer), Arc::clone(&lanes), clock::now())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|cause| ShippingError::Runtime { cause })?;
        let stats = Arc::new(Stats::default());
        let (stop, stopped) = watch::channel(false);
        let line = config.map_or_else(Line::direct, |config| config.collector.clone().budgeted(0));
        let fresh = (state.clone(), line.clone());
        runtime.spawn(keep_fresh(Arc::clone(&identity), Arc::clone(&lanes), fresh, stopped.clone()));
        let task = runtime.spawn(ship::run(
            Arc::clone(&identity),
            Arc::clone(&lanes),
            line,
            Arc::clone(&stats),
            stopped,
        ));
        let timeout = Duration::from_secs(args.ship_timeout);
        Ok(Some(Self { identity, lanes, sealer, pending: Vec::new(), stats, stop, task, runtime, timeout }))
    }

    pub(super) fn identity(&self) -> Arc<Identity> {
        self.identity.get()
    }

    /// Adds a record; seals when there are enough.
    pub(super) fn push(&mut self, record: Record) -> Result<(), ShippingError> {
        self.pending.push(record);
        if self.pending.len() >= RECORDS_PER_SEAL { self.seal() } else { Ok(()) }
    }

    fn seal(&mut self) -> Result<(), ShippingError> {
        // A capture can wait: nothing is dropped while the collector still takes batches.
        let began = Instant::now();
        let needed = u64::try_from(BATCH_BYTES_MAX).unwrap_or(u64::MAX);
        while self.lanes.room() < needed && self.lanes.pending() > 0 && !self.task.is_finished() {
            if began.elapsed() > self.timeout {
                return Err(self.timed_out());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.sealer.succeed(&self.identity.get().signer);
        let sealed = self.sealer.seal(core::mem::take(&mut self.pending), clock::now(), Mode::Replay)?;
        if sealed.dropped > 0 {
            tracing::warn!(dropped = sealed.dropped, "the spool is full: records were dropped and declared");
        }
        Ok(())
    }

    fn timed_out(&self) -> ShippingError {
        ShippingError::Timeout {
            pending: self.lanes.pending(),
            seconds: self.timeout.as_secs(),
            why: self.stats.snapshot().last_error.unwrap_or_else(|| "no answer yet".to_owned()),
        }
    }

    /// Seals the rest and waits until everything is acknowledged.
    pub(super) fn finish(mut self) -> Result<(), ShippingError> {
        self.seal()?;
        let mut waiting = self.lanes.watch();
        let ended = self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = waiting.wait_for(|waiting| waiting.all() == 0) => None,
                ended = &mut self.task => Some(Some(ended)),
                () = tokio::time::sleep(self.timeout) => Some(None),
            }
        });
        match ended {
            None => {
                self.stop.send_replace(true);
                Ok(())
            }
            Some(None) => Err(self.timed_out()),
            Some(Some(Ok(Err(cause)))) => Err(ShippingError::Ship(cause)),
            Some(Some(Ok(Ok(outcome)))) => Err(ShippingError::Ended { why: format!("{outcome:?}") }),
            Some(Some(Err(cause))) => Err(ShippingError::Ended { why: cause.to_string() }),
        }
    }
}
