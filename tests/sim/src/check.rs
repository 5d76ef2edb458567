//! What must hold once everything is delivered: the store against what each agent was promised.

use std::collections::{BTreeMap, BTreeSet};

use sekimori_collector::ingest::continuity::Fork;
use sekimori_collector::store::{Store, db};
use sekimori_collector::verify;
use sekimori_delivery::spool::Position;
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;

use crate::agent::Agent;
use crate::label;
use crate::world::World;

/// A batch as the store has it.
struct Stored {
    digest: Digest,
    labels: Vec<u64>,
}

type Batches = BTreeMap<(Lane, Position), Stored>;

/// What the tables say of one agent.
#[derive(Default)]
struct Counted {
    labels: Vec<u64>,
    ids: BTreeSet<String>,
    /// Declared as dropped: records.
    dropped: u64,
    /// Declared as damaged: batches.
    damaged: u64,
}

/// Everything that is wrong.
pub(crate) async fn everything(world: &mut World) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let store = world.collector.store.clone();
    let report = verify::store(&store).await?;
    wrong.extend(report.bad.map(|bad| format!("the store does not verify: {bad}")));
    world.figures.count("batches", report.batches);
    let forks: Vec<String> =
        db::query_scalar("SELECT reason_json FROM incidents WHERE reason_json LIKE '%ingest.forked%'")
            .fetch_all(store.reader())
            .await?;
    // What an agent sent before it had to start a new epoch, and arrives after that, cannot be told from a thief's.
    let renewed: Vec<String> = world
        .agents
        .iter()
        .filter(|agent| agent.account.renewals > 0)
        .map(|agent| agent.signer.agent.to_string())
        .collect();
    let is_late = |fork: &String| {
        fork.contains(Fork::OldChain.as_str()) && renewed.iter().any(|agent| fork.contains(agent))
    };
    let is_wrong = world.forged == 0 && !forks.iter().all(is_late);
    let refused = world.figures.0.get("forgeries refused").copied().unwrap_or(0);
    if (refused > 0 && forks.is_empty()) || is_wrong {
        wrong.push(format!("{forks:?} are incidents of a fork, {} forged, {refused} refused", world.forged));
    }
    let repeated: Option<i64> =
        db::query_scalar("SELECT value FROM counters WHERE name = 'batches_repeated'")
            .fetch_optional(store.reader())
            .await?;
    world.figures.count("repeated", u64::try_from(repeated.unwrap_or(0))?);
    for (index, agent) in world.agents.iter().enumerate() {
        let batches = batches(&store, agent).await?;
        let counted = counted(&store, agent).await?;
        let mut found = Vec::new();
        found.extend(acknowledged_is_stored(agent, &batches));
        found.extend(promised_is_stored(agent, &batches, &counted));
        found.extend(counted_once(agent, &batches, &counted));
        found.extend(drops_are_declared(agent, &batches, &counted));
        // What lay behind damage is sealed again, after a later epoch if there is one.
        if agent.account.renewals < 2 {
            found.extend(in_order(&batches));
        }
        found.extend(heads_agree(&store, agent).await?);
        wrong.extend(found.into_iter().map(|what| format!("agent {index}: {what}")));
        world.figures.count("records", agent.account.given);
        world.figures.count("dropped", agent.account.dropped());
        world.figures.count("damaged batches", counted.damaged);
        world.figures.count("renewed chains", agent.account.renewals);
    }
    Ok(wrong)
}

async fn batches(store: &Store, agent: &Agent) -> anyhow::Result<Batches> {
    let rows = db::query("SELECT lane, epoch, seq, envelope FROM batches WHERE agent = $1")
        .bind(agent.signer.agent.to_string())
        .fetch_all(store.reader())
        .await?;
    let mut out = Batches::new();
    for row in rows {
        let lane = if row.get::<i64>("lane")? == 0 { Lane::Urgent } else { Lane::Detail };
        let at = Position {
            epoch: u64::try_from(row.get::<i64>("epoch")?)?,
            seq: u64::try_from(row.get::<i64>("seq")?)?,
        };
        let envelope = Envelope::from_bytes(&row.get::<Vec<u8>>("envelope")?)?;
        let batch = agent.signer.keys.verify(&envelope)?;
        let labels = batch.records.iter().filter_map(label::label_of).collect();
        out.insert((lane, at), Stored { digest: batch.digest(), labels });
    }
    Ok(out)
}

async fn counted(store: &Store, agent: &Agent) -> anyhow::Result<Counted> {
    let name = agent.signer.agent.to_string();
    let mut out = Counted::default();
    for row in db::query("SELECT packets FROM summaries WHERE agent = $1")
        .bind(&name)
        .fetch_all(store.reader())
        .await?
    {
        out.labels.push(u64::try_from(row.get::<i64>("packets")?)?);
    }
    for row in db::query("SELECT records, reason FROM gaps WHERE agent = $1")
        .bind(&name)
        .fetch_all(store.reader())
        .await?
    {
        let (records, reason): (i64, String) = (row.get("records")?, row.get("reason")?);
        let records = u64::try_from(records)?;
        if reason.starts_with(label::GAP) {
            out.labels.push(records);
        } else if reason == label::DAMAGED {
            out.damaged += records;
        } else {
            out.dropped += records;
        }
    }
    for query in ["SELECT id FROM findings WHERE agent = $1", "SELECT id FROM alerts WHERE agent = $1"] {
        let ids: Vec<String> = db::query_scalar(query).bind(&name).fetch_all(store.reader()).await?;
        out.ids.extend(ids);
    }
    Ok(out)
}

/// Whatever a signed acknowledgement covered is there, byte for byte.
fn acknowledged_is_stored(agent: &Agent, batches: &Batches) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((lane, epoch), through) in &agent.account.acked {
        for seq in 1..=*through {
            let place = (*lane, Position { epoch: *epoch, seq });
            let sealed = agent.account.batches.get(&place).map(|seen| seen.digest);
            let stored = batches.get(&place).map(|stored| stored.digest);
            if stored.is_none() || (sealed.is_some() && sealed != stored) {
                wrong.push(format!("acknowledged, and not stored as it was sealed: {place:?}"));
            }
        }
    }
    for (place, stored) in batches {
        if agent.account.batches.get(place).is_none_or(|seen| seen.digest != stored.digest) {
            wrong.push(format!("stored, and never sealed: {place:?}"));
        }
    }
    wrong
}

/// What was promised is stored, or lay in a batch that the disk damaged and that is declared.
fn promised_is_stored(agent: &Agent, batches: &Batches, counted: &Counted) -> Option<String> {
    let account = &agent.account;
    let stored: BTreeSet<u64> = batches.values().flat_map(|batch| batch.labels.iter().copied()).collect();
    let missing: BTreeSet<u64> = account.promised.difference(&stored).copied().collect();
    // Of a label that was sealed again only its last place counts.
    let mut places = BTreeMap::new();
    for (place, seen) in &account.batches {
        places
            .extend(seen.labels.iter().filter(|label| missing.contains(label)).map(|label| (*label, *place)));
    }
    let lost: BTreeSet<_> = places.values().collect();
    if account.rotten == 0 && !(missing.is_empty() && counted.damaged == 0) {
        return Some(format!("on a sound disk {missing:?} are lost, {} batches declared", counted.damaged));
    }
    // Where both slots of the chain's state are gone too, how many batches there were at the end is known to nobody; that
    // something was lost is.
    let uncounted = if counted.damaged > 0 && account.lost_a_chain() { account.rotten } else { 0 };
    // What declared it may have been damaged in its turn: then that is what is declared.
    let gone = account.batches.iter().filter(|(place, _)| !batches.contains_key(place));
    let forgotten: u64 = gone.map(|(_, seen)| seen.declares_damage).sum();
    (lost.len() as u64 > counted.damaged + uncounted + forgotten)
        .then(|| format!("{missing:?} are lost, of {lost:?}; {} batches are declared", counted.damaged))
}

/// Each record once in the tables that count: summaries, gaps, findings and alerts.
fn counted_once(agent: &Agent, batches: &Batches, counted: &Counted) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for label in &counted.labels {
        if !seen.insert(*label) {
            wrong.push(format!("{label} is counted twice"));
        }
        if !agent.account.promised.contains(label) {
            wrong.push(format!("{label} is counted, and was never sealed"));
        }
    }
    for label in batches.values().flat_map(|batch| &batch.labels) {
        let id = label::id_of(*label).to_string();
        let is_health = agent.account.health.contains(label);
        if !seen.contains(label) && !counted.ids.contains(&id) && !is_health {
            wrong.push(format!("{label} is in a stored batch, and in no table"));
        }
    }
    wrong
}

/// Every record that was dropped is in a signed declaration, once. A declaration may have been in a batch that was damaged.
fn drops_are_declared(agent: &Agent, batches: &Batches, counted: &Counted) -> Option<String> {
    let (least, most) = agent.account.declared_between();
    let gone = agent.account.batches.iter().filter(|(place, _)| !batches.contains_key(place));
    let least = least.saturating_sub(gone.map(|(_, seen)| seen.declares).sum());
    let fits = (least..=most).contains(&counted.dropped) || agent.account.lost_a_chain();
    (!fits).then(|| format!("{} records are declared as dropped, not {least} to {most}", counted.dropped))
}

/// In each lane the records come in the order in which they were reported.
fn in_order(batches: &Batches) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last: BTreeMap<Lane, u64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for ((lane, at), batch) in batches {
        for label in &batch.labels {
            // What was sealed again is read in the place where it came first.
            if !known.insert(*label) {
                continue;
            }
            let before = last.insert(*lane, *label).unwrap_or(0);
            if before >= *label {
                wrong.push(format!("{label} comes after {before} in lane {lane} at {at:?}"));
            }
        }
    }
    wrong
}

/// The end of each chain is the same on both sides.
async fn heads_agree(store: &Store, agent: &Agent) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let Some(process) = &agent.process else { return Ok(vec!["it does not run".to_owned()]) };
    for lane in Lane::ALL {
        let head = process.lanes.of_lane(lane).head();
        if head.at.seq == 0 {
            continue;
        }
        let row = db::query("SELECT epoch, through, head FROM chains WHERE agent = $1 AND lane = $2")
            .bind(agent.signer.agent.to_string())
            .bind(lane.number())
            .fetch_optional(store.reader())
            .await?;
        let theirs = match row {
            Some(row) => Some((
                u64::try_from(row.get::<i64>("epoch")?)?,
                u64::try_from(row.get::<i64>("through")?)?,
                Digest::from_bytes(&row.get::<Vec<u8>>("head")?).unwrap_or_default(),
            )),
            None => None,
        };
        if theirs != Some((head.at.epoch, head.at.seq, head.digest)) {
            wrong.push(format!("the end of lane {lane} is {head:?} here, {theirs:?} in the store"));
        }
    }
    Ok(wrong)
}

/// What the store holds, as one digest.
pub(crate) async fn dump(store: &Store) -> anyhow::Result<String> {
    const QUERIES: [&str; 6] = [
        "SELECT agent || lane || ' ' || epoch || ' ' || seq || hex(digest) || received_at FROM batches ORDER BY 1",
        "SELECT agent || packets || ' ' || start FROM summaries ORDER BY n",
        "SELECT agent || records || ' ' || reason || start FROM gaps ORDER BY n",
        "SELECT id || incident || ' ' || seq FROM findings ORDER BY n",
        "SELECT id || findings || reason_json FROM incidents ORDER BY id",
        "SELECT name || ' ' || value FROM counters ORDER BY 1",
    ];
    let mut digest = Digest::ZERO;
    for query in QUERIES {
        for row in db::query_scalar::<Option<String>>(query).fetch_all(store.reader()).await? {
            digest = Digest::of(&[digest.as_bytes(), row.unwrap_or_default().as_bytes()].concat());
        }
    }
    Ok(format!("the store: {digest}"))
}
