//! Live operation: opens everything, gives up every privilege, starts the threads, and ends when told to.
//!
//! ```text
//!              ┌─► capture-IF-0: ring ─► observer ─┐ bounded          bounded
//! interface IF ┤                                   ├─► judge-IF: Stage ─► Outbox ─┐
//!              └─► capture-IF-1: ring ─► observer ─┘                              ├─► seal: Sealer ─► spool, health, status
//! endpoint listeners (tokio), followed files ─Line─► intake: mappings, repetition ─┘
//! watch: probes of servers ─Finding─► seal
//! ship (tokio): spool ─► collector        renew (tokio): certificate, keys, what is trusted
//! ```
//! The kernel shares the frames of an interface among its rings by their addresses. Capturing never waits: what the thread
//! behind cannot take is left out in a declared order ([`overload`]); what the disk cannot take waits in the bounded outbox,
//! then goes, and is declared. Time comes from the kernel with each frame; a silent link is told the clock.

mod capturing;
mod handing;
mod judging;
mod lanes;
mod overload;
mod reload;
mod sealing;
mod shed;
mod start;
mod team;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use sd_notify::NotifyState;
use sekimori_sensor::hosts::Hosts;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::baseline::Drawer;
use crate::capture::record::{RecordError, Recorder};
use crate::capture::{CaptureError, Fanout, Live, Sockets, handed};
use crate::clock::Steps;
use crate::config::file::Engine;
use crate::config::{Config, ConfigError};
use crate::endpoint::{Bound, Intake, ListenError, Reading};
use crate::health::{Gauge, Monitor, notify};
use crate::identity::{Holder, Identity, IdentityError, keep_fresh};
use crate::intel::shelf::Shelf;
use crate::line::Line;
use crate::policy::fetch::Fetcher;
use crate::policy::folder::Folder;
use crate::policy::{Standing, Word};
use crate::privilege::{self, PrivilegeError};
use crate::sandbox::{self, Walls};
use crate::ship::{self, Outcome, ShipError, Stats};
use crate::watch::Board;
use reload::Reloader;
use sealing::Sealing;
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::seal::{Sealer, SealerError};
use sekimori_delivery::spool::SpoolError;
use start::Start;

/// Records between a capture thread and the sealing one; the outbox before it holds more.
const RECORDS_IN_CHANNEL: usize = 64;
/// Words that wait for the reloader: it is told rarely, and reads for a second at most.
const WORDS_MAX: usize = 4;
/// How often it is looked whether an interface that was removed is back, and whether the clock was set back.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long tasks may take to notice that they are to end.
const SHUTDOWN: Duration = Duration::from_millis(300);

/// Why the agent does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot capture")]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot open the spool")]
    Spool(#[from] SpoolError),
    #[error("cannot seal")]
    Seal(#[from] SealerError),
    #[error("cannot ship")]
    Ship(#[from] ShipError),
    #[error("cannot {doing}")]
    System {
        doing: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("{interface} is back: the agent ends, so that the service manager starts it with this interface")]
    Returned { interface: String },
    #[error(
        "the clock was set back by {} s: the agent ends, so that the service manager starts it with the time that holds",
        back.as_secs()
    )]
    SetBack { back: Duration },
    #[error("the thread {name} ended unexpectedly")]
    Thread { name: &'static str },
}

/// Runs until a signal or a failure.
pub(crate) fn run(path: &Path) -> Result<(), RunError> {
    let config = Config::load(path)?;
    config.require_interface()?;
    if config.capture.engine == Engine::Ring
        && let Err(error) = handed::restart(config.interfaces.len() * config.workers)
    {
        tracing::warn!(%error, "cannot start again without privileges: they are given up instead");
    }
    let opened = open(&config)?;
    let bound = Bound::bind(&config.endpoint)?;
    privilege::drop_all()?;
    let walls = sandbox::raise(&config.reach());
    let opened = record(&config, opened)?;
    // Everything from here on is done without privileges, so that a wrong owner of the state folder shows at once.
    let identity = Arc::new(Holder::new(Identity::load(&config.state)?));
    let lanes = Arc::new(Lanes::open(&config.state.join("spool"), config.spool_bytes)?);
    let sealer = Sealer::open(Arc::clone(&identity.get().signer), Arc::clone(&lanes), crate::clock::now())?;
    let system = |doing| move |cause| RunError::System { doing, cause };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(system("start the runtime"))?;
    let (intake, reading, follow) = {
        let _on_runtime = runtime.enter();
        bound.start(&config.state).map_err(system("receive alerts of endpoint products"))?.split()
    };
    let reloader = Reloader::begin(&config, Some(Arc::clone(&lanes)));
    let (shelf, policy) = (reloader.shelf(), reloader.reported());
    let (words, heard) = bounded(WORDS_MAX);
    let stats = Arc::new(Stats::default());
    let board = Arc::new(Board::default());
    let around = Around {
        identity,
        lanes,
        sealer,
        stats,
        intake,
        shelf,
        policy,
        watch: board,
        words: words.clone(),
        walls,
    };
    let (failed, failures) = mpsc::channel(1);
    let (stop_shipping, stopped) = watch::channel(false);
    let fresh = (config.state.clone(), config.collector.clone());
    let (holder, lanes) = (Arc::clone(&around.identity), Arc::clone(&around.lanes));
    runtime.spawn(keep_fresh(holder, lanes, fresh, stopped.clone()));
    runtime.spawn(shipping(&around, config.collector.clone(), stopped.clone(), failed.clone()));
    runtime.spawn(fetching(&around, &config, stopped));
    let threads = Threads::start(opened, reading, &config, around, &failed)?;
    let stop = Arc::clone(&threads.stop);
    spawn("follow".to_owned(), move || follow(stop))?;
    reloader.start(heard)?;
    notify(&[NotifyState::Ready]);
    let tables_mib = config.limits.worst_case_bytes() >> 20;
    tracing::info!(interfaces = %config.interfaces.join(", "), state = %config.state.display(), tables_mib, "capturing");
    let ended = runtime.block_on(until_told_to_end(failures, &words, &threads.gauges));
    notify(&[NotifyState::Stopping]);
    stop_shipping.send_replace(true);
    let stopped = threads.stop();
    runtime.shutdown_timeout(SHUTDOWN);
    tracing::info!("stopped");
    ended.and(stopped)
}

/// An interface to capture from.
struct Opened {
    interface: String,
    fanout: Fanout,
    /// One for each worker.
    lives: Vec<Live>,
    recorder: Option<Recorder>,
}

/// Opens every interface.
fn open(config: &Config) -> Result<Vec<Opened>, RunError> {
    let (mut opened, mut sockets) = (Vec::new(), Sockets::handed());
    for interface in &config.interfaces {
        let fanout = Fanout::new(config.workers, seed());
        let lives = Live::open(interface, &config.capture, &fanout, &mut sockets)?;
        opened.push(Opened { interface: interface.clone(), fanout, lives, recorder: None });
    }
    Ok(opened)
}

/// Begins the recordings that are wanted. Each has a thread: only now, so that it has no privileges either.
fn record(config: &Config, mut opened: Vec<Opened>) -> Result<Vec<Opened>, RunError> {
    let Some(path) = &config.record else { return Ok(opened) };
    let one = opened.len() == 1;
    for opened in &mut opened {
        let link = opened.lives.first().map_or(0, Live::link);
        let mut path = path.clone().into_os_string();
        if !one {
            path.push(format!(".{}", opened.interface));
        }
        opened.recorder = Some(Recorder::create(Path::new(&path), link)?);
    }
    Ok(opened)
}

/// What the threads share.
struct Around {
    identity: Arc<Holder>,
    lanes: Arc<Lanes>,
    sealer: Sealer,
    stats: Arc<Stats>,
    intake: Arc<Intake>,
    shelf: Arc<Shelf>,
    policy: Arc<Standing>,
    watch: Arc<Board>,
    /// To the reloader.
    words: crossbeam_channel::Sender<Word>,
    walls: Walls,
}

/// Fetches the collector's policy.
fn fetching(
    around: &Around,
    config: &Config,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let fetcher = Fetcher {
        identity: Arc::clone(&around.identity),
        line: config.collector.clone(),
        folder: Folder::of(&config.state),
        standing: Arc::clone(&around.policy),
        words: around.words.clone(),
    };
    fetcher.run(around.stats.policy(), stopped)
}

/// Ships, and tells when that ended by itself.
fn shipping(
    around: &Around,
    line: Line,
    stopped: watch::Receiver<bool>,
    failed: mpsc::Sender<RunError>,
) -> impl Future<Output = ()> + use<> {
    let (identity, lanes) = (Arc::clone(&around.identity), Arc::clone(&around.lanes));
    let stats = Arc::clone(&around.stats);
    async move {
        let failure = match ship::run(identity, lanes, line, stats, stopped).await {
            Ok(Outcome::Stopped) => return,
            // Starting again would not help: a person must look. Capturing and keeping goes on.
            Ok(Outcome::Forked(fork)) => {
                return tracing::error!(
                    ?fork,
                    "the collector's history of this agent is not ours: nothing is sent any more"
                );
            }
            // Opening the spool again may repair it, which is what a restart does.
            Ok(Outcome::Spool(cause)) => RunError::Spool(cause),
            Err(cause) => RunError::Ship(cause),
        };
        // If nobody listens any more, the agent is ending already.
        drop(failed.send(failure).await);
    }
}

/// Waits for a signal, or for something to fail.
async fn until_told_to_end(
    mut failures: mpsc::Receiver<RunError>,
    words: &crossbeam_channel::Sender<Word>,
    gauges: &[Arc<Gauge>],
) -> Result<(), RunError> {
    let on = |kind| signal(kind).map_err(|cause| RunError::System { doing: "wait for signals", cause });
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut hang_up = on(SignalKind::hangup())?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut steps = Steps::from(crate::clock::now(), Instant::now());
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            // If so many wait already, one of them is about this too.
            _ = hang_up.recv() => drop(words.try_send(Word::Files)),
            _ = look.tick() => {
                // Without privileges it cannot be opened again; the next start can.
                if let Some(gauge) = gauges.iter().find(|gauge| gauge.is_gone() && is_up(&gauge.interface)) {
                    return Err(RunError::Returned { interface: gauge.interface.clone() });
                }
                if let Some(back) = steps.back(crate::clock::now(), Instant::now()) {
                    return Err(RunError::SetBack { back });
                }
            }
            failure = failures.recv() => return Err(failure.unwrap_or(RunError::Thread { name: "capture" })),
        }
    }
}

fn is_up(interface: &str) -> bool {
    pnet::datalink::interfaces().iter().any(|one| one.name == interface && one.is_up())
}

struct Threads {
    stop: Arc<AtomicBool>,
    /// Those that capture and those that judge.
    threads: Vec<JoinHandle<()>>,
    sealing: JoinHandle<()>,
    gauges: Vec<Arc<Gauge>>,
}

impl Threads {
    fn start(
        opened: Vec<Opened>,
        reading: Reading,
        config: &Config,
        around: Around,
        failed: &mpsc::Sender<RunError>,
    ) -> Result<Self, RunError> {
        let (to_sealing, records) = bounded(RECORDS_IN_CHANNEL);
        let start = Start {
            config,
            shelf: Arc::clone(&around.shelf),
            user_key: around.identity.get().user_key(),
            hosts: Arc::new(Hosts::new(seed())),
            stop: Arc::new(AtomicBool::new(false)),
            there: Arc::new(AtomicUsize::new(opened.len())),
            failed: failed.clone(),
            to_sealing,
        };
        let (mut threads, mut gauges, mut drawers) = (Vec::new(), Vec::new(), Vec::new());
        for opened in opened {
            let gauge = Arc::new(Gauge::new(&opened.interface, opened.lives.len()));
            let drawer = Arc::new(Drawer::new(&config.state, &opened.interface));
            gauges.push(Arc::clone(&gauge));
            drawers.push(Arc::clone(&drawer));
            threads.extend(start.interface(opened, gauge, drawer)?);
        }
        threads.push(start.intake(reading)?);
        threads.extend(start.watch(Arc::clone(&around.watch))?);
        let stop = Arc::clone(&start.stop);
        // The sealing thread ends when nobody can give it records any more.
        drop(start);
        let monitor = Monitor::new(gauges.clone(), config.state.clone(), config.digest);
        let thread = Sealing::new(records, around, monitor, config.state.clone(), drawers);
        let sealing = spawn("seal".to_owned(), move || thread.run())?;
        Ok(Self { stop, threads, sealing, gauges })
    }

    /// Ends all threads: when this returns, everything they had is in the spool.
    fn stop(self) -> Result<(), RunError> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ended = Ok(());
        for thread in self.threads {
            ended = thread.join().map_err(|_panic| RunError::Thread { name: "capture" }).and(ended);
        }
        self.sealing.join().map_err(|_panic| RunError::Thread { name: "seal" }).and(ended)
    }
}

/// Keys the hash tables, so that nobody outside can aim at one slot. Never changes what is found.
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => crate::clock::now().nanos(),
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, RunError> {
    std::thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|cause| RunError::System { doing: "start a thread", cause })
}
