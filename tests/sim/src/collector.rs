//! The collector: the real ingest and store over SQLite in a file, one group of submissions at a time, and its crashes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sekimori_collector::config::{AgentsOwn, Correlation};
use sekimori_collector::exceptions::InForce;
use sekimori_collector::ingest::{self, Outcome, registry};
use sekimori_collector::store::writer::Committer;
use sekimori_collector::store::{Store, db};
use sekimori_wire::ack::Answer;
use sekimori_wire::envelope::{SigningKey, VerifyingKey};
use sekimori_wire::id::AgentId;
use sekimori_wire::time::Timestamp;

use crate::Mistake;

/// What the process of the collector lives to see of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lives {
    /// All of it.
    Through,
    /// It dies with the transaction open.
    UntilCommit,
    /// It dies after the commit, before it answers.
    UntilAnswer,
}

/// The collector and its store.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) store: Store,
    committer: Committer,
    pub(crate) key: Arc<SigningKey>,
    folder: PathBuf,
    lives: u32,
    mistake: Option<Mistake>,
}

/// A submission on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Whose connection it came over.
    pub(crate) agent: AgentId,
    pub(crate) number: u64,
    pub(crate) body: Arc<Vec<u8>>,
}

impl Collector {
    /// With an empty store, made from a template: its schema takes longer to make than a run takes.
    pub(crate) async fn new(
        folder: &Path,
        template: &Path,
        key: SigningKey,
        mistake: Option<Mistake>,
    ) -> anyhow::Result<Self> {
        let path = folder.join("collector-0.db");
        std::fs::copy(template, &path)?;
        let (store, committer) = open(&path, mistake).await?;
        Ok(Self { store, committer, key: Arc::new(key), folder: folder.to_owned(), lives: 0, mistake })
    }

    /// The empty store.
    pub(crate) async fn template(path: &Path) -> anyhow::Result<()> {
        let store = Store::create(path).await?;
        store.close().await;
        Ok(())
    }

    /// As enrolment leaves an agent.
    pub(crate) async fn enrol(&self, key: &VerifyingKey, body: &str) -> anyhow::Result<()> {
        db::query("INSERT INTO bodies (code, name) VALUES ($1, $1) ON CONFLICT DO NOTHING")
            .bind(body)
            .execute(self.store.writer())
            .await?;
        db::query(
            "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
             VALUES ($1, 'simulated', $2, $3, '', 0, 0)",
        )
        .bind(key.id().to_string())
        .bind(body)
        .bind(key.as_bytes().as_slice())
        .execute(self.store.writer())
        .await?;
        Ok(())
    }

    /// Verifies and commits a group as the ingest and the writer do; the answers that leave the machine.
    pub(crate) async fn take(
        &mut self,
        group: Vec<Request>,
        now: Timestamp,
        lives: Lives,
    ) -> anyhow::Result<Vec<(Request, Answer)>> {
        let (mut answers, mut waiting, mut submissions) = (Vec::new(), Vec::new(), Vec::new());
        for request in group {
            let from = registry::look_up(&self.store, request.agent).await?.context("enrolled")?;
            match ingest::open(&request.body, from) {
                Ok(submission) => {
                    submissions.push(submission);
                    waiting.push(request);
                }
                Err(refusal) => answers.push((request, Answer::Refused(refusal))),
            }
        }
        let prepared = self.committer.prepare(submissions, now).await?;
        let early = prepared.outcomes_too_early().to_vec();
        let outcomes = match lives {
            Lives::UntilCommit => {
                drop(prepared);
                if self.mistake == Some(Mistake::AckBeforeCommit) { early } else { Vec::new() }
            }
            Lives::Through => prepared.commit().await?,
            Lives::UntilAnswer => {
                prepared.commit().await?;
                Vec::new()
            }
        };
        for (request, outcome) in waiting.into_iter().zip(outcomes) {
            let answer = match outcome {
                Outcome::Through(lane, head) => {
                    Answer::Ack(ingest::acknowledge(request.agent, (lane, &head), (now, 0), &self.key))
                }
                Outcome::Refused(refusal) => Answer::Refused(refusal),
            };
            answers.push((request, answer));
        }
        if lives != Lives::Through {
            self.crash().await?;
            if self.mistake != Some(Mistake::AckBeforeCommit) {
                answers.clear();
            }
        }
        Ok(answers)
    }

    /// The next process finds the files as the killed one left them, its log not yet folded into the database.
    async fn crash(&mut self) -> anyhow::Result<()> {
        let (old, new) = (self.lives, self.lives + 1);
        let path = |life: u32, suffix: &str| self.folder.join(format!("collector-{life}.db{suffix}"));
        for suffix in ["", "-wal"] {
            if path(old, suffix).exists() {
                std::fs::copy(path(old, suffix), path(new, suffix))?;
            }
        }
        self.store.close().await;
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(path(old, suffix)));
        }
        (self.store, self.committer) = open(&path(new, ""), self.mistake).await?;
        self.lives = new;
        Ok(())
    }
}

async fn open(path: &Path, mistake: Option<Mistake>) -> anyhow::Result<(Store, Committer)> {
    let store = Store::open(path).await?;
    let correlation = Correlation {
        gap: Duration::from_secs(3600),
        wide_area_bodies: 3,
        wide_area_window: Duration::from_secs(3600),
    };
    let mut committer = Committer::new(store.clone(), correlation, InForce::load(&[], AgentsOwn::Accept)?);
    committer.forgets_repeats = mistake == Some(Mistake::ForgetDedup);
    Ok((store, committer))
}
