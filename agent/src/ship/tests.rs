//! Shipping to a real TLS server in this process, which answers as each test says.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rustls::{NamedGroup, ProtocolVersion};
use sekimori_wire::ack::{Ack, Refusal, RefusalKind, decode_submission};
use sekimori_wire::batch::Mode;
use sekimori_wire::envelope::{SigningKey, VerifyingKey};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::record::{Gap, Health, Record};
use sekimori_wire::time::Timestamp;

use super::stats::Snapshot;
use super::*;
use crate::identity::tests::{Authority, DROP, serve};
use sekimori_delivery::seal::Sealer;
use sekimori_delivery::spool::Position;

/// What the server does with one submission.
#[derive(Clone, Copy, Debug)]
enum Script {
    /// Commits and acknowledges all.
    All,
    /// Commits and acknowledges only the first.
    One,
    /// Commits all and breaks the connection before it answers.
    Break,
    /// Commits nothing.
    Refuse(RefusalKind),
    /// Commits nothing and acknowledges all with another key.
    Forge,
    /// Commits nothing and acknowledges all for another agent.
    Misaddress,
    /// Acknowledges another batch under the last number.
    OtherHead,
    /// Acknowledges more than there is.
    Ahead,
    /// Something that is no answer.
    Nonsense,
}

/// What the server has committed, and how often it was asked.
#[derive(Default)]
struct Committed {
    /// Of the agent.
    key: Option<VerifyingKey>,
    batches: BTreeMap<u64, Digest>,
    /// Batches that came before the one that they follow.
    early: usize,
    submissions: usize,
    repeated: usize,
}

struct Server {
    authority: Arc<Authority>,
    url: String,
    committed: Arc<Mutex<Committed>>,
}

impl Server {
    /// Answers as scripted, then always with `All`.
    async fn start(script: Vec<Script>) -> Self {
        let authority = Arc::new(Authority::new());
        let committed = Arc::new(Mutex::new(Committed::default()));
        let (signer, store) = (Arc::clone(&authority), Arc::clone(&committed));
        let mut script = script.into_iter();
        let url = serve(authority.server_config(Some(&authority)), move |path, body| {
            assert_eq!(path, "/v1/batches");
            let reply = script.next().unwrap_or(Script::All);
            reply.apply(&mut store.lock().unwrap(), &body, &signer.collector)
        })
        .await;
        Self { authority, url, committed }
    }

    fn agent(&self, urls: &[&str]) -> Agent {
        let mut urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        urls.push(self.url.clone());
        let agent = Agent::new(self.authority.identity(urls));
        let key = *agent.identity.get().signer.key.verifying_key();
        self.committed.lock().unwrap().key = Some(key);
        agent
    }

    fn numbers(&self) -> Vec<u64> {
        self.committed.lock().unwrap().batches.keys().copied().collect()
    }
}

impl Script {
    fn apply(self, store: &mut Committed, body: &[u8], key: &SigningKey) -> (u16, Vec<u8>) {
        store.submissions += 1;
        let mut envelopes = decode_submission(body).unwrap();
        let agent = envelopes[0].claimed_signer().unwrap();
        let first = store.batches.last_key_value().map_or(1, |(seq, _)| seq + 1);
        if let Self::Refuse(kind) = self {
            let refusal = Refusal { kind, detail: "as scripted".into(), seq: first, retry_after_seconds: 0 };
            return (kind.http_status(), Answer::Refused(refusal).to_bytes());
        }
        if matches!(self, Self::Nonsense) {
            return (500, b"<html>".to_vec());
        }
        if matches!(self, Self::One) {
            envelopes.truncate(1);
        }
        let mut batches = store.batches.clone();
        for envelope in &envelopes {
            let batch = envelope.verify(agent, &store.key.unwrap()).unwrap();
            let (digest, next) = (envelope.digest(), batches.len() as u64 + 1);
            match batches.get(&batch.seq) {
                Some(known) => {
                    assert_eq!(*known, digest, "another batch {}", batch.seq);
                    store.repeated += 1;
                }
                None if batch.seq == next => drop(batches.insert(next, digest)),
                None => store.early += 1,
            }
        }
        let none = (0, Digest::ZERO);
        let (through, head) = batches.last_key_value().map_or(none, |(seq, digest)| (*seq, *digest));
        let mut ack = Ack {
            agent,
            lane: Lane::Urgent,
            epoch: 1,
            through,
            head,
            at: Timestamp::ZERO,
            policy_version: 0,
        };
        let other = SigningKey::generate().unwrap().0;
        match self {
            Self::Forge => return (200, Answer::Ack(Envelope::seal_ack(&ack, &other)).to_bytes()),
            Self::Misaddress => ack.agent = AgentId::of_public_key(&[0; 32]),
            Self::OtherHead => ack.head = Digest::of(b"other"),
            Self::Ahead => ack.through += 1,
            Self::All | Self::One | Self::Break => store.batches = batches,
            Self::Refuse(_) | Self::Nonsense => unreachable!(),
        }
        (
            if matches!(self, Self::Break) { DROP } else { 200 },
            Answer::Ack(Envelope::seal_ack(&ack, key)).to_bytes(),
        )
    }
}

struct Agent {
    identity: Arc<Holder>,
    lanes: Arc<Lanes>,
    sealer: Sealer,
    stats: Arc<Stats>,
    _dir: tempfile::TempDir,
}

const QUICK: Pace = Pace {
    first: Duration::from_millis(2),
    longest: Duration::from_millis(10),
    refused: Duration::from_millis(20),
    asked_max: Duration::from_millis(20),
};

impl Agent {
    fn new(identity: Identity) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Arc::new(Holder::new(identity));
        let lanes = Arc::new(Lanes::open(dir.path(), 64 << 20).unwrap());
        let sealer =
            Sealer::open(Arc::clone(&identity.get().signer), Arc::clone(&lanes), Timestamp::ZERO).unwrap();
        Self { identity, lanes, sealer, stats: Arc::default(), _dir: dir }
    }

    fn seal(&mut self, batches: u64) {
        for records in 0..batches {
            let record = Record::Gap(Gap { records, ..Gap::default() });
            self.sealer.seal(vec![record], Timestamp::from_secs(1), Mode::Live).unwrap();
        }
    }

    /// Batches of which few fit into a submission: names that no compression shortens much.
    fn seal_large(&mut self, batches: u64) {
        for batch in 0..batches {
            let name = |number: u64| Digest::of(&(batch * 1_000 + number).to_le_bytes()).to_string();
            let counters = crate::health::named((0..512).map(|number| (name(number), number)));
            let record = Record::Health(Box::new(Health { counters, ..Health::default() }));
            self.sealer.seal(vec![record], Timestamp::from_secs(1), Mode::Live).unwrap();
        }
    }

    /// Ships until nothing is left, or shipping ends by itself.
    async fn ship(&self) -> Outcome {
        let (stop, stopped) = watch::channel(false);
        let mut pending = self.lanes.watch();
        let running = tokio::spawn(self.shipper().run(stopped));
        let drained = async {
            pending.wait_for(|waiting| waiting.all() == 0).await.unwrap();
            stop.send(true).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = running => outcome.unwrap().unwrap(),
            () = drained => unreachable!(),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("not drained: {:?}", self.stats.snapshot()),
        }
    }

    /// Ships until `enough`, then stops.
    async fn ship_until(&self, enough: impl Fn(&Snapshot) -> bool) {
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(self.shipper().run(stopped));
        let waiting = async {
            while !enough(&self.stats.snapshot()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
        stop.send(true).unwrap();
        assert!(matches!(running.await.unwrap().unwrap(), Outcome::Stopped));
    }

    fn shipper(&self) -> Shipper {
        let (identity, lanes) = (Arc::clone(&self.identity), Arc::clone(&self.lanes));
        Shipper::new(identity, lanes, Line::direct(), Arc::clone(&self.stats), QUICK).unwrap()
    }
}

#[tokio::test]
async fn everything_arrives_over_the_post_quantum_hybrid() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    agent.seal(150);
    assert!(matches!(agent.ship().await, Outcome::Stopped));
    assert_eq!(server.numbers(), (1..=150).collect::<Vec<_>>());
    let stats = agent.stats.snapshot();
    assert_eq!(stats.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(stats.version, Some(ProtocolVersion::TLSv1_3));
    // As many as the wire format allows in one.
    assert_eq!((stats.submissions, stats.connections, stats.acked.seq), (3, 1, 150));
    assert_eq!((agent.lanes.pending(), stats.last_error), (0, None));
}

#[tokio::test]
async fn a_backlog_is_what_waited_at_the_start_or_after_a_minute_away() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    let (start, seconds) = (Instant::now(), Duration::from_secs);
    let mut backlog = Backlog::of(&agent.lanes);
    assert!(!backlog.is_any());
    agent.seal(3);
    // An answer without an outage, and a short one: what a storm piles up is none.
    assert!(!backlog.back(start, &agent.lanes));
    backlog.away(start);
    assert!(!backlog.back(start + seconds(59), &agent.lanes) && !backlog.is_any());
    backlog.away(start + seconds(100));
    backlog.away(start + seconds(150));
    assert!(backlog.back(start + seconds(160), &agent.lanes) && backlog.is_any());
    let at_start = Backlog::of(&agent.lanes);
    assert!(at_start.is_any() && !at_start.is_delivered(&agent.lanes) && !backlog.is_delivered(&agent.lanes));
    agent.ship().await;
    // What comes later is not part of it.
    agent.seal(1);
    assert!(at_start.is_delivered(&agent.lanes) && backlog.is_delivered(&agent.lanes));
}

#[tokio::test]
async fn the_budget_holds_again_when_the_backlog_is_delivered() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    agent.seal(150);
    let line = Line::direct().budgeted(1 << 20);
    let (identity, lanes) = (Arc::clone(&agent.identity), Arc::clone(&agent.lanes));
    let shipper = Shipper::new(identity, lanes, line.clone(), Arc::clone(&agent.stats), QUICK).unwrap();
    assert!(!line.is_budgeted(), "lifted for what waits");
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(shipper.run(stopped));
    let mut pending = agent.lanes.watch();
    for more in [0, 1, 1] {
        agent.seal(more);
        let drained = pending.wait_for(|waiting| waiting.all() == 0);
        tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap().unwrap();
        let holds = async {
            while !line.is_budgeted() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), holds).await.unwrap();
    }
    assert_eq!(server.numbers(), (1..=152).collect::<Vec<_>>());
}

#[tokio::test]
async fn new_batches_are_sent_at_once() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(agent.shipper().run(stopped));
    let mut pending = agent.lanes.watch();
    for _ in 0..5 {
        agent.seal(1);
        let drained = pending.wait_for(|waiting| waiting.all() == 0);
        tokio::time::timeout(Duration::from_secs(20), drained).await.unwrap().unwrap();
    }
    assert_eq!(agent.stats.snapshot().connections, 1);
}

#[tokio::test]
async fn what_goes_wrong_is_tried_again_and_nothing_is_lost_or_stored_twice() {
    use Script::{Break, Forge, Misaddress, Nonsense, One, Refuse};
    let mut script = vec![One, Break, Forge, Misaddress, Nonsense, One];
    script.extend(RefusalKind::ALL.iter().map(|kind| Refuse(*kind)));
    for reply in script {
        let server = Server::start(vec![reply]).await;
        let mut agent = server.agent(&[]);
        agent.seal(5);
        assert!(matches!(agent.ship().await, Outcome::Stopped), "{reply:?}");
        assert_eq!(server.numbers(), [1, 2, 3, 4, 5], "{reply:?}");
        let committed = server.committed.lock().unwrap();
        assert_eq!(committed.submissions, 2, "{reply:?}");
        // Only where the answer was lost does the collector see again what it has.
        assert_eq!(committed.repeated, if matches!(reply, Break) { 5 } else { 0 }, "{reply:?}");
        if let Refuse(kind) = reply {
            assert_eq!(agent.stats.snapshot().refusals, BTreeMap::from([(kind, 1)]));
        }
    }
}

#[tokio::test]
async fn trouble_in_the_middle_of_several_under_way_costs_a_repetition_and_nothing_else() {
    use Script::{All, Break, Forge, Misaddress, Nonsense, One, Refuse};
    for trouble in
        [Break, Forge, Misaddress, Nonsense, One, Refuse(RefusalKind::Busy), Refuse(RefusalKind::Forked)]
    {
        for before in [1, 2, 3] {
            // The first answer lets several go.
            let script = std::iter::repeat_n(All, before).chain([trouble]).collect();
            let server = Server::start(script).await;
            let mut agent = server.agent(&[]);
            agent.seal_large(40);
            assert!(matches!(agent.ship().await, Outcome::Stopped), "{trouble:?}");
            assert_eq!(server.numbers(), (1..=40).collect::<Vec<_>>(), "{trouble:?}");
            assert_eq!(agent.stats.snapshot().acked.seq, 40);
            let committed = server.committed.lock().unwrap();
            // Whatever was under way is sent again at most.
            assert!(committed.submissions > 4, "{trouble:?}: only {} submissions", committed.submissions);
            assert!(committed.submissions <= 40, "{trouble:?}: {} submissions", committed.submissions);
            assert!(committed.early + committed.repeated <= 40, "{trouble:?}: {} early", committed.early);
        }
    }
}

#[tokio::test]
async fn what_follows_the_end_of_a_chain_is_the_beginning_of_the_next() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    agent.seal(10);
    let spool = agent.lanes.of_lane(Lane::Urgent);
    assert_eq!(spool.unacked_after(Position { epoch: 1, seq: 4 }, 64, usize::MAX).unwrap().len(), 6);
    spool.begin_epoch(2).unwrap();
    agent.seal(1);
    let all = agent.lanes.of_lane(Lane::Urgent).unacked_after(Position { epoch: 1, seq: 10 }, 64, 1).unwrap();
    assert_eq!(
        all.first().map(|(at, _)| *at),
        Some(Position { epoch: 2, seq: 1 }),
        "read, and held back by the flight"
    );
}

#[tokio::test]
async fn a_lasting_refusal_deletes_nothing() {
    let server = Server::start(vec![Script::Refuse(RefusalKind::NotEnrolled); 1000]).await;
    let mut agent = server.agent(&[]);
    agent.seal(3);
    let count = |stats: &Snapshot| stats.refusals.get(&RefusalKind::NotEnrolled).copied().unwrap_or(0);
    agent.ship_until(|stats| count(stats) >= 3).await;
    let stats = agent.stats.snapshot();
    assert_eq!((agent.lanes.pending(), stats.acked.seq, stats.connections), (3, 0, 1));
    assert!(stats.last_error.is_some_and(|error| error.contains("not_enrolled")));
}

#[tokio::test]
async fn another_history_stops_shipping_and_keeps_everything() {
    for (reply, last) in [(Script::OtherHead, 4), (Script::Ahead, 5)] {
        let server = Server::start(vec![reply]).await;
        let mut agent = server.agent(&[]);
        agent.seal(4);
        let at = Position { epoch: 1, seq: last };
        let outcome = agent.ship().await;
        let Outcome::Forked(Fork::Other { at: there } | Fork::Ahead { theirs: there, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(there, at);
        assert_eq!((agent.lanes.pending(), agent.lanes.of_lane(Lane::Urgent).acked().seq), (4, 0));
    }
}

#[tokio::test]
async fn a_collector_that_was_set_back_is_noticed() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&[]);
    agent.seal(2);
    agent.ship().await;
    server.committed.lock().unwrap().batches.clear();
    agent.seal(1);
    let ack = Ack {
        agent: agent.identity.get().agent(),
        lane: Lane::Urgent,
        epoch: 1,
        through: 1,
        head: Digest::ZERO,
        at: Timestamp::ZERO,
        policy_version: 0,
    };
    let ack = Envelope::seal_ack(&ack, &server.authority.collector)
        .verify_ack(server.authority.collector.verifying_key())
        .unwrap();
    let (theirs, acked) = (Position { epoch: 1, seq: 1 }, Position { epoch: 1, seq: 2 });
    let judged = judge::judge(
        &ack,
        (agent.identity.get().agent(), Lane::Urgent),
        (Position { epoch: 1, seq: 3 }, acked),
        agent.lanes.of_lane(Lane::Urgent),
    )
    .unwrap();
    assert_eq!(judged, Judgement::Forked(Fork::Behind { theirs, acked }));
}

#[tokio::test]
async fn a_later_address_is_used_when_the_first_is_dead() {
    let server = Server::start(vec![]).await;
    let mut agent = server.agent(&["https://127.0.0.1:1"]);
    agent.seal(2);
    agent.ship().await;
    assert_eq!(server.numbers(), [1, 2]);
    assert_eq!(agent.stats.snapshot().unreachable, 1);
}

#[tokio::test]
async fn a_collector_of_another_ca_gets_nothing() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let url = serve(theirs.server_config(Some(&ours)), |_, _| panic!("a submission left")).await;
    let mut agent = Agent::new(ours.identity(vec![url]));
    agent.seal(1);
    agent.ship_until(|stats| stats.tls_failures >= 2).await;
    assert_eq!(agent.lanes.pending(), 1);
    assert!(
        agent.stats.snapshot().last_error.is_some_and(|error| error.contains("invalid peer certificate"))
    );
}

#[tokio::test]
async fn a_collector_that_refuses_our_certificate_is_named_so() {
    // With TLS 1.3 our handshake succeeds; the refusal comes with the first request.
    let (ours, theirs) = (Authority::new(), Authority::new());
    let url = serve(ours.server_config(Some(&theirs)), |_, _| panic!("a submission was read")).await;
    let mut agent = Agent::new(ours.identity(vec![url]));
    agent.seal(1);
    agent.ship_until(|stats| stats.tls_failures >= 2).await;
    let stats = agent.stats.snapshot();
    assert_eq!((agent.lanes.pending(), stats.broken, stats.is_working), (1, 0, false));
    assert!(stats.last_error.is_some_and(|error| error.contains("certificate")), "no hint");
}
