//! The one task that writes what agents deliver: submissions are grouped by time, a group is one transaction.
//!
//! Each submission runs in a savepoint, so that one that fails takes no other with it. Whom the collector turns away is
//! counted in memory, bounded, and written with the next group: a flood of bad handshakes costs no disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::db::{self, Conn, Tx};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::commit::{self, Ledger};
use super::{Store, StoreError, query};
use crate::clock::{self, stored};
use crate::config::Correlation;
use crate::exceptions::InForce;
use crate::fleet::error_chain;
use crate::ingest::{Outcome, SUBMISSIONS_MAX, Submission};
use crate::observe::measures::Measures;

/// How long a group waits for others after its first submission.
const GROUP_DELAY: Duration = Duration::from_millis(8);
/// A group of so many does not wait.
const GROUP_ENOUGH: usize = 8;
/// How often rejections are written when nobody delivers.
const TICK: Duration = Duration::from_millis(250);
/// For how long a group is tried again that another collector's came in the way of, or whose server went away: agents wait for
/// a minute. And the first wait before it, and the longest.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MOST: Duration = Duration::from_millis(500);
/// Distinct (peer, kind) pairs between two writes; beyond it they are counted under `others`.
const REJECTED_MAX: usize = 256;
/// Rows of `rejections` that are kept.
const REJECTIONS_KEPT: i64 = 1000;

/// Hands work to the writer; cheap to clone. The task ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    rejected: Arc<Mutex<Rejected>>,
    measures: Arc<Measures>,
}

#[derive(Debug)]
enum Job {
    Commit(Box<Submission>, oneshot::Sender<Outcome>),
    Flush(oneshot::Sender<()>),
}

/// Count and last detail by (peer, kind).
type Rejected = BTreeMap<(String, String), (i64, String)>;

impl Writer {
    /// Starts the task.
    pub fn start(store: Store, correlation: Correlation, exceptions: InForce) -> (Self, JoinHandle<()>) {
        let (jobs, queue) = mpsc::channel(SUBMISSIONS_MAX);
        let rejected = Arc::new(Mutex::new(Rejected::new()));
        let committer = Committer::new(store, correlation, exceptions);
        let measures = Arc::new(Measures::default());
        let task =
            Task { committer, queue, rejected: Arc::clone(&rejected), measures: Arc::clone(&measures) };
        (Self { jobs, rejected, measures }, tokio::spawn(task.run()))
    }

    /// What this process counts.
    pub const fn measures(&self) -> &Arc<Measures> {
        &self.measures
    }

    /// Commits a submission; `None` if the queue is full or the store failed: the agent must come again.
    pub async fn commit(&self, submission: Submission) -> Option<Outcome> {
        let (answer, done) = oneshot::channel();
        self.jobs.try_send(Job::Commit(Box::new(submission), answer)).ok()?;
        done.await.ok()
    }

    /// Notes that somebody was turned away. `kind` is `tls`, or that of the refusal.
    pub fn reject(&self, peer: &str, kind: &str, detail: &str) {
        self.measures.rejected(kind);
        // A stranger's words: bounded, nothing that steers, wherever it is read.
        let detail = BoundedText::<1024>::new(detail).to_string();
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (peer.to_owned(), kind.to_owned());
        if rejected.len() >= REJECTED_MAX && !rejected.contains_key(&key) {
            "others".clone_into(&mut key.0);
        }
        let entry = rejected.entry(key).or_insert_with(|| (0, String::new()));
        entry.0 += 1;
        entry.1 = detail;
    }

    /// Waits until everything noted so far is written.
    pub async fn flush(&self) {
        let (answer, done) = oneshot::channel();
        if self.jobs.send(Job::Flush(answer)).await.is_ok() {
            // An error means that the store failed; the task has said so.
            done.await.unwrap_or_default();
        }
    }
}

struct Task {
    committer: Committer,
    queue: mpsc::Receiver<Job>,
    rejected: Arc<Mutex<Rejected>>,
    measures: Arc<Measures>,
}

impl Task {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            self.measures.writer_turns(self.queue.len());
            let first = tokio::select! {
                job = self.queue.recv() => match job {
                    Some(job) => Some(job),
                    None => break,
                },
                _ = tick.tick() => None,
            };
            let mut group = Vec::new();
            if let Some(first) = first {
                group.push(first);
                self.take(&mut group);
                // While a group is written the next one gathers by itself.
                if group.len() < GROUP_ENOUGH {
                    tokio::time::sleep(GROUP_DELAY).await;
                    self.take(&mut group);
                }
            }
            self.write(group).await;
        }
        self.write(Vec::new()).await;
    }

    /// Adds what waits.
    fn take(&mut self, group: &mut Vec<Job>) {
        while group.len() < SUBMISSIONS_MAX
            && let Ok(job) = self.queue.try_recv()
        {
            group.push(job);
        }
    }

    async fn write(&self, group: Vec<Job>) {
        let rejected = std::mem::take(&mut *self.rejected.lock().unwrap_or_else(PoisonError::into_inner));
        if group.is_empty() && rejected.is_empty() {
            return;
        }
        match self.transaction(group, &rejected).await {
            Ok(answers) => {
                for answer in answers {
                    answer.send();
                }
            }
            Err(error) => {
                self.measures.commit_failed();
                tracing::error!(error = error_chain(&error), "the store did not take a group of submissions");
                let mut waiting = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
                for (key, (count, detail)) in rejected {
                    waiting.entry(key).or_insert((0, detail)).0 += count;
                }
            }
        }
    }

    async fn transaction(&self, group: Vec<Job>, rejected: &Rejected) -> Result<Vec<Answer>, StoreError> {
        let now = clock::now();
        let (mut commits, mut flushes, mut submissions) = (Vec::new(), Vec::new(), Vec::new());
        for job in group {
            match job {
                Job::Flush(answer) => flushes.push(Answer::Flushed(answer)),
                Job::Commit(submission, answer) => {
                    submissions.push(*submission);
                    commits.push(answer);
                }
            }
        }
        let outcomes = self.outcomes(submissions, rejected, now).await?;
        let done = commits.into_iter().zip(outcomes);
        let answers = done.filter_map(|(answer, outcome)| Some(Answer::Done(answer, outcome?)));
        Ok(answers.chain(flushes).collect())
    }

    /// Commits a group; again if the database gave it up for the sake of another collector's, or went away: what it had committed
    /// then is known by its numbers, and acknowledged without being stored again.
    async fn outcomes(
        &self,
        submissions: Vec<Submission>,
        rejected: &Rejected,
        now: Timestamp,
    ) -> Result<Vec<Option<Outcome>>, StoreError> {
        let (begun, mut wait) = (Instant::now(), RETRY_FIRST);
        while self.committer.store.is_shared() && begun.elapsed() < RETRY_FOR {
            match self.outcomes_once(submissions.clone(), rejected, now).await {
                Err(error) if error.is_transient() || error.is_lost() => {
                    tracing::info!(error = error_chain(&error), "a group of submissions is tried again");
                    tokio::time::sleep(wait).await;
                    wait = RETRY_MOST.min(wait * 2);
                }
                done => return done,
            }
        }
        self.outcomes_once(submissions, rejected, now).await
    }

    async fn outcomes_once(
        &self,
        submissions: Vec<Submission>,
        rejected: &Rejected,
        now: Timestamp,
    ) -> Result<Vec<Option<Outcome>>, StoreError> {
        let begun = Instant::now();
        let grouped = submissions.len();
        let mut prepared = self.committer.prepare(submissions, now).await?;
        prepared.note(rejected, now).await?;
        let counted = prepared.counters.clone();
        let outcomes = prepared.commit().await?;
        self.measures.committed(grouped, &counted, begun.elapsed());
        Ok(outcomes)
    }
}

/// What turns submissions into one transaction.
#[derive(Clone, Debug)]
pub struct Committer {
    store: Store,
    correlation: Correlation,
    exceptions: InForce,
    /// A mistake to be found: what is stored already is counted again.
    #[cfg(feature = "fault")]
    pub forgets_repeats: bool,
}

/// A transaction with everything in it, and not committed: dropped, nothing of it happened. Outcomes are told by
/// [`Prepared::commit`] alone, so that nobody can acknowledge before.
#[derive(Debug)]
pub struct Prepared {
    store: Store,
    tx: Tx,
    outcomes: Vec<Option<Outcome>>,
    counters: BTreeMap<String, i64>,
}

impl Committer {
    /// Without mistakes.
    pub const fn new(store: Store, correlation: Correlation, exceptions: InForce) -> Self {
        Self {
            store,
            correlation,
            exceptions,
            #[cfg(feature = "fault")]
            forgets_repeats: false,
        }
    }

    /// Stores submissions, those of each lane in order, each in a savepoint of its own.
    ///
    /// # Errors
    /// If the store fails. A submission that alone fails has no outcome.
    pub async fn prepare(
        &self,
        submissions: Vec<Submission>,
        now: Timestamp,
    ) -> Result<Prepared, StoreError> {
        let mut tx = self.store.begin().await?;
        let agents = submissions.iter().map(|submission| submission.from.agent.to_string());
        tx.lock_agents(&agents.collect()).await?;
        let mut outcomes = Vec::with_capacity(submissions.len());
        let mut counters = BTreeMap::new();
        // Detail first: findings lock the change feed to the end, and other collectors wait for that.
        let mut submissions: Vec<(usize, Submission)> = submissions.into_iter().enumerate().collect();
        submissions.sort_by_key(|(_, submission)| !submission.is_detail());
        self.exceptions.look_at_policies(&self.store).await?;
        self.exceptions.look_at_suppressions(&self.store).await?;
        // One set for the whole group: files that are read meanwhile count from the next.
        let judge = self.exceptions.judge();
        for (place, submission) in submissions {
            let mut savepoint = tx.savepoint().await?;
            let mut ledger = Ledger::new(now, self.correlation, judge.clone());
            #[cfg(feature = "fault")]
            {
                ledger.forgets_repeats = self.forgets_repeats;
            }
            match commit::submission(&mut savepoint, &mut ledger, submission).await {
                Ok(outcome) => {
                    savepoint.keep().await?;
                    for (name, count) in ledger.counters {
                        *counters.entry(name.to_owned()).or_insert(0) += count;
                    }
                    outcomes.push((place, Some(outcome)));
                }
                Err(error) if error.is_transient() || error.is_lost() => return Err(error),
                Err(error) => {
                    savepoint.undo().await?;
                    tracing::error!(error = error_chain(&error), "cannot store a submission");
                    outcomes.push((place, None));
                }
            }
        }
        outcomes.sort_by_key(|(place, _)| *place);
        let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        Ok(Prepared { store: self.store.clone(), tx, outcomes, counters })
    }
}

impl Prepared {
    /// Adds whom the collector turned away.
    async fn note(&mut self, rejected: &Rejected, now: Timestamp) -> Result<(), StoreError> {
        for ((peer, kind), (count, detail)) in rejected {
            let name = if kind == "tls" { "tls.failed".to_owned() } else { format!("refused.{kind}") };
            *self.counters.entry(name).or_insert(0) += count;
            write_rejection(&mut self.tx, (peer, kind), (*count, detail), now).await?;
        }
        Ok(())
    }

    /// How much of this was counted.
    pub fn counted(&self, name: &str) -> u64 {
        self.counters.get(name).map_or(0, |count| u64::try_from(*count).unwrap_or(0))
    }

    /// Commits, and then tells what became of each submission; `None` for one that failed.
    ///
    /// # Errors
    /// If the store fails; then nothing happened.
    pub async fn commit(mut self) -> Result<Vec<Option<Outcome>>, StoreError> {
        for (name, count) in &self.counters {
            add_counter(&mut self.tx, name, *count).await?;
        }
        let last: i64 = db::query_scalar("SELECT coalesce(max(seq), 0) FROM incident_changes")
            .fetch_one(&mut *self.tx)
            .await
            .map_err(query("read the last change"))?;
        self.tx.commit().await?;
        self.store.announce(last);
        Ok(self.outcomes)
    }

    /// A mistake to be found: what would be told, before it is so.
    #[cfg(feature = "fault")]
    pub fn outcomes_too_early(&self) -> &[Option<Outcome>] {
        &self.outcomes
    }
}

/// Sent only after the commit.
enum Answer {
    Done(oneshot::Sender<Outcome>, Outcome),
    Flushed(oneshot::Sender<()>),
}

impl Answer {
    fn send(self) {
        // A receiver that is gone hung up; what it sent is stored all the same.
        match self {
            Self::Done(to, outcome) => drop(to.send(outcome)),
            Self::Flushed(to) => drop(to.send(())),
        }
    }
}

async fn write_rejection(
    tx: &mut Conn,
    (peer, kind): (&str, &str),
    (count, detail): (i64, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO rejections (peer, kind, count, last_at, detail) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (peer, kind) DO UPDATE SET count = rejections.count + excluded.count,
            last_at = excluded.last_at, detail = excluded.detail",
    )
    .bind(peer)
    .bind(kind)
    .bind(count)
    .bind(stored(now))
    .bind(detail)
    .execute(&mut *tx)
    .await
    .map_err(query("note a rejection"))?;
    db::query(
        "DELETE FROM rejections WHERE last_at <
            (SELECT last_at FROM rejections ORDER BY last_at DESC LIMIT 1 OFFSET $1)",
    )
    .bind(REJECTIONS_KEPT)
    .execute(&mut *tx)
    .await
    .map(drop)
    .map_err(query("bound the rejections"))
}

/// Adds to a counter.
///
/// # Errors
/// If the store fails.
pub async fn add_counter(tx: &mut Conn, name: &str, count: i64) -> Result<(), StoreError> {
    db::query(
        "INSERT INTO counters (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
    )
    .bind(name)
    .bind(count)
    .execute(tx)
    .await
    .map(drop)
    .map_err(query("count"))
}
