//! The store against what was acknowledged: each batch is there once, its records are, and nothing else is.

use std::collections::BTreeMap;

use sekimori_collector::store::{Store, db};
use sekimori_wire::batch::Lane;
use sekimori_wire::id::Digest;

use crate::agent::{Agent, Told};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) sealed: usize,
    pub(crate) acknowledged: usize,
    pub(crate) stored: usize,
    /// What is not as it was promised, one line each.
    pub(crate) wrong: Vec<String>,
}

/// Compares; what was sealed and is not acknowledged may be stored or not, but must be acknowledged in the end.
pub(crate) async fn check(store: &Store, agents: &[Agent]) -> anyhow::Result<Books> {
    let mut books = Books::default();
    let mut stored = stored_batches(store).await?;
    let (mut told, mut whole) = (Told::default(), true);
    for agent in agents {
        let name = agent.id.to_string();
        for (lane, chain) in Lane::ALL.iter().zip(&agent.lanes) {
            books.sealed += chain.digests.len();
            books.acknowledged += chain.acknowledged;
            told.summaries += chain.told.summaries;
            told.flows += chain.told.flows;
            told.findings += chain.told.findings;
            let found = stored.remove(&(name.clone(), lane.number().into())).unwrap_or_default();
            books.stored += found.len();
            whole &= found.len() == chain.digests.len();
            let mut wrong = |what: String| books.wrong.push(format!("{name} {lane}: {what}"));
            if found.len() < chain.acknowledged {
                wrong(format!("{} acknowledged, {} stored", chain.acknowledged, found.len()));
            }
            if chain.acknowledged < chain.digests.len() {
                wrong(format!("{} sealed, {} acknowledged", chain.digests.len(), chain.acknowledged));
            }
            for (number, (seq, digest)) in found.iter().enumerate() {
                if usize::try_from(*seq).ok() != Some(number + 1) {
                    wrong(format!("batch {seq} is stored where {} belongs", number + 1));
                    break;
                }
                if Some(digest) != chain.digests.get(number) {
                    wrong(format!("another batch {seq} is stored than was sealed"));
                    break;
                }
            }
        }
    }
    for (agent, lane) in stored.keys() {
        books.wrong.push(format!("{agent} {lane}: batches of an agent that is not ours"));
    }
    if whole {
        let found = stored_records(store).await?;
        if found != told {
            books.wrong.push(format!("records told: {told:?}, stored: {found:?}"));
        }
    }
    Ok(books)
}

type Batches = BTreeMap<(String, i64), Vec<(i64, Digest)>>;

async fn stored_batches(store: &Store) -> anyhow::Result<Batches> {
    let rows = db::query("SELECT agent, lane, seq, digest FROM batches ORDER BY agent, lane, epoch, seq")
        .fetch_all(store.reader())
        .await?;
    let mut batches = Batches::new();
    for row in rows {
        let key = (row.get("agent")?, row.get("lane")?);
        let digest = Digest::from_bytes(row.get("digest")?).unwrap_or_default();
        batches.entry(key).or_default().push((row.get("seq")?, digest));
    }
    Ok(batches)
}

async fn stored_records(store: &Store) -> anyhow::Result<Told> {
    let row = db::query(
        "SELECT (SELECT count(*) FROM summaries) AS summaries, (SELECT count(*) FROM flows) AS flows,
            (SELECT count(*) FROM findings) AS findings",
    )
    .fetch_one(store.reader())
    .await?;
    let number = |name: &str| row.get::<i64>(name).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(Told { summaries: number("summaries")?, flows: number("flows")?, findings: number("findings")? })
}
