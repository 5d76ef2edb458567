//! Service watch (死活監視): asks servers at intervals whether they serve, says at which stage a fault is, and counts for how
//! long each was there. Off unless `[watch]` names targets.
//!
//! ```text
//! Desk (pure: when, how, why) ──due──► probe (tokio task, bounded in time and bytes)
//!   │  ▲                                   │
//!   │  └──────────────Outcome──────────────┘
//!   └─Finding─► Outbox ─► seal ─► spool          Board ─► health record, status
//! ```
//! One thread with a runtime of its own: a server that stalls a probe, or a resolver that hangs, delays neither capturing
//! nor shipping.

mod accepted;
mod desk;
mod figures;
pub(crate) mod level;
mod probe;
mod report;
pub(crate) mod target;
pub(crate) mod window;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use sekimori_sensor::segment::Policy;
use sekimori_wire::record::Record;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::intel::shelf::Shelf;
use crate::outbox::Outbox;
use accepted::Accepted;
use desk::{Desk, Now};
use level::Level;
use target::{Outcome, Target};

/// How late an end, or what is due, is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is to be watched.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) targets: Vec<Arc<Target>>,
    /// Probes a second to one host, at most.
    pub(crate) per_second: u32,
}

/// How the servers are, for the health record and the status.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Shown>);

#[derive(Clone, Debug, Default)]
struct Shown {
    counters: Vec<(String, u64)>,
    lines: Vec<Line>,
}

/// How one server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// `unknown`, `up`, `degraded`, `down`.
    pub(crate) level: String,
    pub(crate) since: String,
    /// What is wrong, or why it cannot be asked.
    pub(crate) trouble: Option<String>,
    /// Another target that is down, because of which this one is.
    pub(crate) because_of: Option<String>,
}

impl Board {
    /// Names and values for the health record.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).counters.clone()
    }

    /// For the status.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    fn show(&self, desk: &Desk, accepted: &Accepted) {
        let watched = &desk.watched;
        let count = |is: &dyn Fn(&desk::Watched) -> bool| {
            u64::try_from(watched.iter().filter(|one| is(one)).count()).unwrap_or(u64::MAX)
        };
        let mut counters = vec![
            ("watch.targets".to_owned(), count(&|_| true)),
            ("watch.down".to_owned(), count(&|one| one.run.level == Level::Down)),
            ("watch.degraded".to_owned(), count(&|one| one.run.level == Level::Degraded)),
            ("watch.unable".to_owned(), count(&|one| one.unable.is_some())),
        ];
        counters.extend(accepted.counters());
        let mut lines = Vec::new();
        for one in watched {
            let name = &one.target.name;
            counters.push((format!("watch.{name}.level"), one.run.level.number()));
            counters.extend(one.figures.iter().map(|(what, count)| (format!("watch.{name}.{what}"), count)));
            let fault = one.fault.as_ref().map(|fault| format!("{}: {}", fault.kind.words().1, fault.detail));
            lines.push(Line {
                name: name.clone(),
                level: one.run.level.key().to_owned(),
                since: one.since.to_string(),
                trouble: one.unable.clone().or(fault),
                because_of: one.blocked_by.and_then(|at| watched.get(at)).map(|on| on.target.name.clone()),
            });
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Shown { counters, lines };
    }
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Watch {
    desk: Desk,
    accepted: Accepted,
    board: Arc<Board>,
    runtime: tokio::runtime::Runtime,
    began: Instant,
}

impl Watch {
    /// Of these servers; nothing if there are none.
    ///
    /// # Errors
    /// If the runtime does not start.
    pub(crate) fn new(
        plan: &Plan,
        policy: Policy,
        shelf: Arc<Shelf>,
        board: Arc<Board>,
    ) -> io::Result<Option<Self>> {
        if plan.targets.is_empty() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(probe::LOOKUPS_MAX)
            .thread_name("watch-names")
            .build()?;
        let now = Now { mono: Duration::ZERO, wall: crate::clock::now() };
        let desk = Desk::new(plan.targets.clone(), plan.per_second, policy, crate::run::seed(), now);
        let accepted = Accepted::new(shelf);
        board.show(&desk, &accepted);
        Ok(Some(Self { desk, accepted, board, runtime, began: Instant::now() }))
    }

    /// Watches until told to stop.
    pub(crate) fn run(self, to_sealing: Sender<Record>, stop: &AtomicBool) {
        let Self { mut desk, mut accepted, board, runtime, began } = self;
        let mut outbox = Outbox::new(to_sealing);
        let now = || Now { mono: began.elapsed(), wall: crate::clock::now() };
        runtime.block_on(async {
            let mut probes = JoinSet::new();
            let mut unable = false;
            while !stop.load(Ordering::Relaxed) {
                for at in desk.due(now().mono) {
                    if let Some(target) = desk.watched.get(at).map(|one| Arc::clone(&one.target)) {
                        probes.spawn(async move { (at, probe::ask(&target).await) });
                    }
                }
                let pause = tokio::time::sleep(LOOK_EVERY);
                tokio::select! {
                    Some(asked) = probes.join_next(), if !probes.is_empty() => {
                        if let Ok((at, outcome)) = asked {
                            unable = warn_unable(&outcome, unable);
                            desk.take(at, &outcome, now());
                        }
                    }
                    () = pause => {}
                }
                for mut finding in desk.tell(now()) {
                    accepted.judge(&mut finding);
                    tracing::warn!(id = %finding.id, revision = finding.revision, "{}", finding.title.en);
                    outbox.push(Record::Finding(Box::new(finding)));
                }
                outbox.flush();
                board.show(&desk, &accepted);
            }
        });
        outbox.finish();
        // A look-up that hangs is not waited for.
        runtime.shutdown_background();
    }
}

/// Logs once that this machine does not let the agent ask.
fn warn_unable(outcome: &Outcome, said: bool) -> bool {
    match outcome {
        Outcome::Unable(reason) if !said => {
            tracing::error!(reason, "a watched server cannot be asked");
            true
        }
        Outcome::Unable(_) | Outcome::Up(_) | Outcome::Degraded(_) | Outcome::Down(_) => said,
    }
}
