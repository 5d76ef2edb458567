//! `import`: what an agent took out of its spool (`sekimori-agent spool export`), carried here by hand, and taken in as if it
//! had been delivered.
//!
//! The whole file is checked first; one that was cut or changed is not begun. Then its batches go the way of every submission:
//! verified, judged by their chain, stored in one transaction each. Importing twice stores nothing twice, and when the agent
//! gets through again, the acknowledgement tells it what is here.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, bail};
use sekimori_wire::ack::encode_submission;
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::AgentId;
use sekimori_wire::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_ENVELOPES_MAX};
use tokio::sync::mpsc;

use crate::ingest::{self, Outcome, continuity::Head, registry};
use crate::store::Store;
use crate::store::writer::Committer;
use crate::{clock, evidence};

/// Bytes of envelopes in one submission: what is around them has its room as well.
const CHUNK_BYTES: usize = SUBMISSION_BYTES_MAX / 2;
/// Submissions that are read ahead.
const AHEAD: usize = 2;

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Whose spool it was.
    pub agent: Option<AgentId>,
    /// Batches in the file.
    pub batches: u64,
    /// Of them, those that were not here.
    pub stored: u64,
    /// Those that were here.
    pub known: u64,
    /// Where the chains of both lanes end now, as far as the file tells of them.
    pub heads: Vec<(Lane, Head)>,
}

/// Takes a file in; works beside a running collector.
///
/// # Errors
/// If the file is not whole, the agent is not enrolled here, or a batch is refused as the ingest would refuse it. What came
/// before it is stored, and may come again.
pub async fn import(store: &Store, committer: &Committer, path: &Path) -> anyhow::Result<Imported> {
    let (agent, batches) = {
        let file = open(path)?;
        let checked = tokio::task::spawn_blocking(move || evidence::check_carried(file, drop)).await?;
        let (agent, found) = checked.with_context(|| path.display().to_string())?;
        (agent, found.batches)
    };
    if registry::look_up(store, agent).await?.is_none() {
        bail!("agent {agent} is not enrolled here, or was revoked");
    }
    let (to, mut from) = mpsc::channel(AHEAD);
    let file = open(path)?;
    let reader = tokio::task::spawn_blocking(move || read(file, &to));
    let mut imported = Imported { agent: Some(agent), batches, ..Imported::default() };
    while let Some(body) = from.recv().await {
        take(store, committer, agent, &body, &mut imported).await?;
    }
    reader.await??;
    Ok(imported)
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(BufReader::new(file))
}

/// Cuts the file into submissions, each of one lane.
fn read(file: BufReader<File>, to: &mpsc::Sender<Vec<u8>>) -> Result<(), evidence::BadBundle> {
    let (mut waiting, mut bytes) = (Vec::<Envelope>::new(), 0);
    let mut lane = None;
    // Nobody listens any more: the import has failed and says why.
    let send = |envelopes: &mut Vec<Envelope>| {
        if !envelopes.is_empty() {
            to.blocking_send(encode_submission(envelopes)).unwrap_or_default();
            envelopes.clear();
        }
    };
    evidence::check_carried(file, |(of, envelope)| {
        let size = envelope.to_bytes().len();
        let is_full = waiting.len() >= SUBMISSION_ENVELOPES_MAX || bytes + size > CHUNK_BYTES;
        if is_full || lane != Some(of) {
            send(&mut waiting);
            bytes = 0;
        }
        lane = Some(of);
        bytes += size;
        waiting.push(envelope);
    })?;
    send(&mut waiting);
    Ok(())
}

async fn take(
    store: &Store,
    committer: &Committer,
    agent: AgentId,
    body: &[u8],
    imported: &mut Imported,
) -> anyhow::Result<()> {
    let from = registry::look_up(store, agent).await?.context("the agent was revoked meanwhile")?;
    let mut submission = match ingest::open(body, from) {
        Ok(submission) => submission,
        Err(refusal) => bail!("refused: {refusal}"),
    };
    submission.carried = true;
    let last = submission.batches.last().map(|received| (received.batch.epoch, received.batch.seq));
    let prepared = committer.prepare(vec![submission], clock::now()).await?;
    let counted = ["batches_stored", "batches_repeated"].map(|name| prepared.counted(name));
    let outcome = prepared.commit().await?.into_iter().next();
    let [stored, known] = counted;
    (imported.stored, imported.known) = (imported.stored + stored, imported.known + known);
    match outcome {
        Some(Outcome::Through(lane, head)) => {
            if last.is_some_and(|(epoch, seq)| epoch == head.epoch && seq > head.through) {
                bail!(
                    "lane {lane} of agent {agent} goes on after batch {} of epoch {}, and the file begins later: \
                     an earlier file was not imported, or is still on its way",
                    head.through,
                    head.epoch
                );
            }
            imported.heads.retain(|(known, _)| *known != lane);
            imported.heads.push((lane, head));
            Ok(())
        }
        Some(Outcome::Refused(refusal)) => bail!("refused: {refusal}"),
        None => bail!("the store said nothing of a submission"),
    }
}
