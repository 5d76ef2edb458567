//! One agent: seals what is due in two chains and delivers them as the agent does, one submission at a time.
//!
//! Nothing waits for an answer to become due: the times are fixed before, so that a collector that stands still is
//! measured by all that it made wait.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::ClientConfig;
use sekimori_collector::clock;
use sekimori_delivery::pace::{Backoff, Event, Pace};
use sekimori_wire::ack::{Ack, Answer, encode_submission};
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, SigningKey, VerifyingKey};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::limits::SUBMISSION_ENVELOPES_MAX;
use sekimori_wire::record::Record;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::figures::Board;
use crate::incidents::Awaited;
use crate::link::Link;
use crate::shape::Site;

const SUMMARY_EVERY: Duration = Duration::from_secs(10);
const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// Of new findings and later revisions together, on average.
const FINDING_EVERY: Duration = Duration::from_secs(60);
const CONTENT_TYPE: &str = "application/vnd.sekimori.submission.v1+protobuf";

/// What all agents share.
#[derive(Debug)]
pub(crate) struct Common {
    /// Of each collector.
    pub(crate) ingest: Vec<SocketAddr>,
    pub(crate) board: Board,
    pub(crate) awaited: Awaited,
    /// A thousandth of how often things are due; 1000: as the agent makes them.
    pub(crate) permille: AtomicU32,
    /// Nothing more is due.
    pub(crate) over: watch::Receiver<bool>,
}

/// An enrolled agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) key: SigningKey,
    pub(crate) epoch: u64,
    pub(crate) collector: VerifyingKey,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) trust: String,
    pub(crate) from: Ipv4Addr,
    pub(crate) lanes: [Chain; 2],
    site: Site,
    chance: Chance,
    link: Option<Link>,
    /// Which of the collectors it goes to.
    pub(crate) collector_at: usize,
    backoff: Backoff,
    due: Due,
}

/// One of its chains, with all that it ever sealed.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// Of each batch, in order.
    pub(crate) digests: Vec<Digest>,
    /// How many of them are acknowledged.
    pub(crate) acknowledged: usize,
    /// What the batches tell, for the books.
    pub(crate) told: Told,
    waiting: VecDeque<Waiting>,
}

/// What was told in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) summaries: u64,
    pub(crate) flows: u64,
    pub(crate) findings: u64,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    step: usize,
    envelope: Envelope,
}

/// When what comes next.
#[derive(Debug)]
struct Due {
    summary: Instant,
    health: Instant,
    finding: Instant,
}

impl Due {
    fn first(&self) -> Instant {
        self.summary.min(self.health).min(self.finding)
    }
}

impl Agent {
    pub(crate) fn new(
        (id, key, epoch): (AgentId, SigningKey, u64),
        collector: VerifyingKey,
        (tls, trust): (Arc<ClientConfig>, String),
        (from, mut chance): (Ipv4Addr, Chance),
    ) -> Self {
        let site = Site::new(id, Chance::new(chance.draw()));
        let (lanes, backoff, now) = (<[Chain; 2]>::default(), Backoff::new(Pace::DEFAULT), Instant::now());
        let due = Due { summary: now, health: now, finding: now };
        let (link, collector_at) = (None, 0);
        Self {
            id,
            key,
            epoch,
            collector,
            tls,
            trust,
            from,
            lanes,
            site,
            chance,
            link,
            collector_at,
            backoff,
            due,
        }
    }

    /// Connects, so that the load does not begin with a storm of handshakes.
    pub(crate) async fn connect(&mut self, to: SocketAddr) -> anyhow::Result<()> {
        let mut link = Link::open(self.from, to, Arc::clone(&self.tls)).await?;
        link.tell_trust(&self.trust);
        self.link = Some(link);
        Ok(())
    }

    /// Seals and delivers until all is over and acknowledged, or the time for that is up.
    pub(crate) async fn live(&mut self, common: &Common, begin: Instant) {
        self.due.summary = begin + self.chance.within(SUMMARY_EVERY);
        self.due.health = begin + self.chance.within(HEALTH_EVERY);
        self.due.finding = begin + self.chance.until_next(FINDING_EVERY);
        let mut over = common.over.clone();
        loop {
            let is_over = *over.borrow();
            if !is_over && let Err(error) = self.seal_due(common) {
                self.wrong(common, &error);
                return;
            }
            let next = self.lanes.iter().position(|chain| !chain.waiting.is_empty());
            match next {
                Some(lane) => {
                    let event = self.deliver(common, lane).await;
                    let wait = self.backoff.after(event, self.chance.uniform());
                    tokio::time::sleep(wait).await;
                }
                None if is_over => return,
                None => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.due.first()) => {}
                        changed = over.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// Seals all that is due by now.
    fn seal_due(&mut self, common: &Common) -> anyhow::Result<()> {
        let now = Instant::now();
        let scaled =
            |every: Duration| every.mul_f64(1000.0 / f64::from(common.permille.load(Ordering::Relaxed)));
        while self.due.finding <= now {
            let due = self.due.finding;
            let finding = self.site.finding(clock::now());
            if finding.revision == 1 {
                common.awaited.add(finding.id, due, common.board.step());
            }
            self.lane(Lane::Urgent).told.findings += u64::from(finding.revision == 1);
            self.seal(common, Record::Finding(Box::new(finding)), due)?;
            self.due.finding += self.chance.until_next(scaled(FINDING_EVERY));
        }
        while self.due.health <= now {
            let health = self.site.health(clock::now());
            self.seal(common, health, self.due.health)?;
            self.due.health += scaled(HEALTH_EVERY);
        }
        while self.due.summary <= now {
            let (summary, flows) = self.site.summary(clock::now());
            let told = &mut self.lane(Lane::Detail).told;
            (told.summaries, told.flows) = (told.summaries + 1, told.flows + flows);
            self.seal(common, summary, self.due.summary)?;
            self.due.summary += scaled(SUMMARY_EVERY);
        }
        Ok(())
    }

    const fn lane(&mut self, lane: Lane) -> &mut Chain {
        let [urgent, detail] = &mut self.lanes;
        match lane {
            Lane::Urgent => urgent,
            Lane::Detail => detail,
        }
    }

    fn seal(&mut self, common: &Common, record: Record, due: Instant) -> anyhow::Result<()> {
        let lane = Lane::of(&record);
        let (agent, epoch) = (self.id, self.epoch);
        let chain = self.lane(lane);
        let batch = Batch {
            agent,
            lane,
            epoch,
            seq: chain.digests.len() as u64 + 1,
            prev: chain.digests.last().copied().unwrap_or_default(),
            sealed_at: clock::now(),
            mode: Mode::Live,
            version: env!("CARGO_PKG_VERSION").into(),
            records: vec![record],
            unknown_records: 0,
        };
        let envelope = Envelope::seal(&batch, &self.key)?;
        let step = common.board.step();
        let bytes = envelope.to_bytes().len() as u64;
        common.board.note(step, |figures| {
            figures.sealed.add(due.elapsed());
            figures.bytes += bytes;
        });
        let chain = self.lane(lane);
        chain.digests.push(envelope.digest());
        chain.waiting.push_back(Waiting { due, step, envelope });
        Ok(())
    }

    /// One submission of what a lane has waiting.
    async fn deliver(&mut self, common: &Common, lane: usize) -> Event {
        let step = common.board.step();
        match self.submit(common, lane).await {
            Ok(Answer::Ack(envelope)) => match self.acknowledge(common, lane, &envelope) {
                Ok(true) => Event::Progress,
                Ok(false) => Event::NoProgress,
                Err(error) => {
                    self.wrong(common, &error);
                    Event::Failed { more_endpoints: false }
                }
            },
            Ok(Answer::Refused(refusal)) => {
                let asked = Duration::from_secs(refusal.retry_after_seconds.into());
                if refusal.kind.may_retry() {
                    common.board.note(step, |figures| figures.busy += 1);
                    return Event::Busy { asked };
                }
                self.wrong(common, &anyhow::anyhow!("refused: {refusal}"));
                Event::Refused { asked }
            }
            Err(_broken) => {
                self.link = None;
                self.collector_at = (self.collector_at + 1) % common.ingest.len().max(1);
                common.board.note(step, |figures| figures.broken += 1);
                Event::Failed { more_endpoints: self.collector_at != 0 }
            }
        }
    }

    async fn submit(&mut self, common: &Common, lane: usize) -> anyhow::Result<Answer> {
        let chain = self.lanes.get(lane).context("a lane")?;
        let envelopes: Vec<Envelope> =
            chain.waiting.iter().take(SUBMISSION_ENVELOPES_MAX).map(|one| one.envelope.clone()).collect();
        if self.link.is_none() {
            let to = common.ingest.get(self.collector_at);
            self.connect(*to.context("a collector")?).await?;
        }
        let link = self.link.as_mut().context("connected")?;
        let (_, body) = link.post("/v1/batches", CONTENT_TYPE, encode_submission(&envelopes)).await?;
        Ok(Answer::from_bytes(&body)?)
    }

    /// Takes what is acknowledged off; whether that was anything.
    fn acknowledge(&mut self, common: &Common, lane: usize, answer: &Envelope) -> anyhow::Result<bool> {
        let ack: Ack = answer.verify_ack(&self.collector)?.into_inner();
        let (id, epoch) = (self.id, self.epoch);
        let chain = self.lanes.get_mut(lane).context("a lane")?;
        ensure!(ack.agent == id && usize::from(ack.lane.number()) == lane, "acknowledges another's batches");
        let through = usize::try_from(ack.through)?;
        if through == 0 || ack.epoch != epoch {
            return Ok(false);
        }
        if chain.digests.get(through - 1) != Some(&ack.head) {
            bail!("acknowledges a batch {through} that was never sealed");
        }
        let news = through.saturating_sub(chain.acknowledged);
        for done in chain.waiting.drain(..news.min(chain.waiting.len())) {
            let took = done.due.elapsed();
            common.board.note(done.step, |figures| figures.acknowledged.add(took));
        }
        chain.acknowledged = chain.acknowledged.max(through);
        Ok(news > 0)
    }

    fn wrong(&self, common: &Common, error: &anyhow::Error) {
        let text = format!("agent {}: {error:#}", self.id);
        common.board.note(common.board.step(), |figures| {
            figures.wrong += 1;
            figures.first_wrong.get_or_insert(text);
        });
    }
}
