//! A storm of `kill -9` under load: whatever was sealed is stored, once, in one unbroken chain.
//!
//! A handful of kills with the other tests; `cargo xtask kills` asks for as many as one has time for (`SEKIMORI_KILLS`).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sekimori_delivery::lanes::Lanes;
use sekimori_wire::batch::{Batch, Lane};
use sekimori_wire::envelope::{Envelope, VerifyingKey};
use sekimori_wire::record::Record;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::crash::{alert, run_agent};
use crate::support::{Agent, Collector, Running, free_port, program, wait_for};

/// Kills where nobody asks for more.
const KILLS: u32 = 6;
const SOON: Duration = Duration::from_secs(60);
/// Of a followed file, before it is rotated: some four seconds.
const LINES_PER_FILE: u32 = 1_500;
/// Between two alerts: about a hundred a second.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends numbered alerts to the agent until it is told to stop, over new connections while the agent is away.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    sender: std::thread::JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(port: u16) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let sender = std::thread::spawn(move || {
            let mut stream: Option<TcpStream> = None;
            while !stopped.load(Ordering::Relaxed) {
                if stream.is_none() {
                    stream = TcpStream::connect(("127.0.0.1", port)).ok();
                }
                if let Some(open) = &mut stream {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    if open.write_all(alert(number).as_bytes()).is_err() {
                        stream = None;
                    }
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop, sent, sender }
    }

    pub(crate) fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().expect("the sender");
        self.sent.load(Ordering::Relaxed)
    }
}

/// Writes numbered alerts into a file that is rotated by renaming, until it is told to stop.
struct Written {
    stop: Arc<AtomicBool>,
    writer: std::thread::JoinHandle<u32>,
}

impl Written {
    fn start(path: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            let open = || std::fs::File::options().create(true).append(true).open(&path).expect("a log");
            let (mut file, mut number) = (open(), 0);
            while !stopped.load(Ordering::Relaxed) {
                file.write_all(alert(number).as_bytes()).expect("written");
                number += 1;
                if number % LINES_PER_FILE == 0 {
                    std::fs::rename(&path, path.with_extension("log.1")).expect("rotated");
                    file = open();
                }
                std::thread::sleep(PAUSE / 4);
            }
            number
        });
        Self { stop, writer }
    }

    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.join().expect("the writer")
    }
}

/// The numbers of the alerts in a batch, counted.
fn count(batch: &Batch, numbers: &mut BTreeMap<u32, u32>) {
    for record in &batch.records {
        if let Record::EndpointAlert(alert) = record {
            *numbers.entry(alert.signature_id.parse().expect("a number")).or_default() += 1;
        }
    }
}

/// What a dead agent's spool holds that is not acknowledged, read from a copy.
fn sealed(agent: &Agent, key: &VerifyingKey, numbers: &mut BTreeMap<u32, u32>) {
    let copy = tempfile::tempdir().expect("a folder");
    let spool = agent.state.join("spool");
    for folder in ["", "detail"] {
        std::fs::create_dir_all(copy.path().join(folder)).expect("a folder");
        for entry in std::fs::read_dir(spool.join(folder)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.file_name().expect("a file has a name");
                std::fs::copy(&path, copy.path().join(folder).join(name)).expect("a copy");
            }
        }
    }
    let lanes = Lanes::open(copy.path(), 1 << 30).expect("a spool");
    for lane in Lane::ALL {
        let spool = lanes.of_lane(lane);
        assert_eq!(spool.recovery().lost_batches, 0, "nothing sealed is lost by a kill");
        for (_, envelope) in spool.oldest_unacked(usize::MAX, usize::MAX).expect("a readable spool") {
            count(&envelope.verify(key.id(), key).expect("sealed by this agent"), numbers);
        }
    }
}

/// What the collector's store says, read beside it.
pub(crate) struct Ledger {
    runtime: tokio::runtime::Runtime,
    database: SqliteConnectOptions,
}

impl Ledger {
    pub(crate) fn of(collector: &Collector) -> Self {
        let folder = collector.config().parent().expect("a folder").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self {
            runtime,
            database: SqliteConnectOptions::new().filename(folder.join("store/sekimori.db")).read_only(true),
        }
    }

    fn rows(&self, query: &'static str) -> Vec<sqlx::sqlite::SqliteRow> {
        self.runtime.block_on(async {
            let mut store = SqliteConnection::connect_with(&self.database).await.expect("a store");
            sqlx::query(query).fetch_all(&mut store).await.expect("rows")
        })
    }

    fn key(&self) -> VerifyingKey {
        let rows = self.rows("SELECT signing_key FROM agents");
        VerifyingKey::from_bytes(&rows[0].get::<Vec<u8>, _>(0)).expect("a key")
    }

    pub(crate) fn number(&self, query: &'static str) -> i64 {
        self.rows(query)[0].get(0)
    }
}

#[test]
fn whatever_was_sealed_is_stored_once_however_often_both_are_killed() {
    let kills = std::env::var("SEKIMORI_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "storm");
    let ledger = Ledger::of(&collector);
    let key = ledger.key();
    let port = free_port();
    let mut running = run_agent(&agent, port);
    let load = Load::start(port);
    let began = Instant::now();
    let (mut promised, mut of_agent) = (BTreeMap::new(), 0);
    for _ in 0..kills {
        // Chance, and no seed: what the processes do meanwhile cannot be repeated anyway.
        let chance =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").subsec_nanos();
        std::thread::sleep(Duration::from_millis((chance / 1000 % 1500).into()));
        // The agent lives long enough to seal, most of the time.
        let agent_dies = (chance / 7).is_multiple_of(3);
        if agent_dies {
            of_agent += 1;
            running.kill_hard();
            sealed(&agent, &key, &mut promised);
            running = run_agent(&agent, port);
        }
        if !agent_dies {
            collector.kill_hard();
            collector.run();
        }
    }
    let seconds = began.elapsed().as_secs();
    let sent = load.end();
    wait_for("everything is sealed and acknowledged", SOON, || {
        std::thread::sleep(Duration::from_millis(1500));
        (agent.waiting() == 0).then_some(())
    });
    assert!(running.stop().success(), "a clean stop");

    let mut stored = BTreeMap::new();
    for row in ledger.rows("SELECT envelope FROM batches") {
        let envelope = Envelope::from_bytes(&row.get::<Vec<u8>, _>(0)).expect("an envelope");
        count(&envelope.verify(key.id(), &key).expect("signed by the agent"), &mut stored);
    }
    let lost: Vec<&u32> = promised.keys().filter(|number| !stored.contains_key(*number)).collect();
    assert!(lost.is_empty(), "sealed, and not stored: {lost:?}");
    let twice: Vec<&u32> = stored.iter().filter(|(_, times)| **times > 1).map(|(number, _)| number).collect();
    assert!(twice.is_empty(), "stored twice: {twice:?}");
    let alerts = ledger.number("SELECT count(*) FROM alerts");
    assert_eq!(usize::try_from(alerts), Ok(stored.len()), "each alert is counted once");
    assert_eq!(ledger.number("SELECT count(*) FROM gaps"), 0, "and no loss is declared");
    assert_eq!(ledger.number("SELECT max(epoch) FROM batches"), 1, "all in one chain");
    assert_eq!(collector.counter("refused.forked"), 0);
    collector.assert_verifies();
    let batches = ledger.number("SELECT count(*) FROM batches");
    println!(
        "kills: {kills} ({of_agent} of the agent) in {seconds} s, {sent} alerts sent, {alerts} stored once, {} seen sealed \
         at a kill, {batches} batches, 0 lost, 0 twice",
        promised.len()
    );
}

/// Runs an agent that follows `path`.
fn following(agent: &Agent, path: &Path) -> Running {
    let config = agent.configure(&format!(
        "[capture]\ninterfaces = [\"lo\"]\n[collector]\nbudget = \"none\"\n[[endpoint.source]]\nname = \"edr\"\nkind = \"file\"\n\
         path = {path:?}\nalerts_per_minute = 1000000\n"
    ));
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    Running::logged(&mut command, &agent.state.with_file_name("agents.log"))
}

#[test]
fn every_line_of_a_followed_file_becomes_one_alert_however_often_the_agent_is_killed() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "follow");
    let ledger = Ledger::of(&collector);
    let key = ledger.key();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("edr.log");
    // From the beginning: what is there before a file is first seen is not new.
    std::fs::write(&log, "").expect("a file");
    let mut running = following(&agent, &log);
    wait_for("the agent reports", SOON, || (collector.through() > 0).then_some(()));
    let written = Written::start(log.clone());
    for pause in [900, 1_400, 300, 1_700, 1_100, 2_300] {
        std::thread::sleep(Duration::from_millis(pause));
        running.kill_hard();
        // Away long enough to miss a rotation, now and then.
        std::thread::sleep(Duration::from_millis(pause / 3));
        running = following(&agent, &log);
    }
    let lines = written.end();
    let alerts = || ledger.number("SELECT count(*) FROM alerts");
    wait_for("every line is an alert", SOON, || (alerts() >= i64::from(lines)).then_some(()));
    wait_for("the spool is empty", SOON, || (agent.waiting() == 0).then_some(()));
    assert!(running.stop().success(), "a clean stop");

    assert_eq!(alerts(), i64::from(lines), "and none twice");
    let mut stored = BTreeMap::new();
    for row in ledger.rows("SELECT envelope FROM batches") {
        let envelope = Envelope::from_bytes(&row.get::<Vec<u8>, _>(0)).expect("an envelope");
        count(&envelope.verify(key.id(), &key).expect("signed by the agent"), &mut stored);
    }
    assert!(stored.keys().copied().eq(0..lines), "{} of {lines}", stored.len());
    assert!(lines > LINES_PER_FILE * 2, "{lines} lines: it was rotated");
    collector.assert_verifies();
}
