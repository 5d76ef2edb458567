//! An agent whose clock jumps: the chain goes on, nothing is lost, the collector measures it and says so.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::crash::alert;
use crate::kills::Ledger;
use crate::live::{Link, send_timed, tagged_syn};
use crate::support::netns::Netns;
use crate::support::{Collector, Running, free_port, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// The condition must hold for a minute before somebody is told.
const TOLD: Duration = Duration::from_secs(180);

/// Debian's libfaketime: what a program reads as its clock is another one's affair.
pub(crate) fn library() -> PathBuf {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let path = PathBuf::from(folder);
    assert!(path.is_file(), "{} is missing: run the tests with `cargo xtask test`", path.display());
    path
}

/// A file in the state folder: elsewhere the agent could not read it any more (docs/hardening.md).
struct Clock(PathBuf);

impl Clock {
    /// Sets it so far from the machine's.
    fn set(&self, offset: &str) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).expect("a file");
        std::fs::rename(next, &self.0).expect("our own file");
    }
}

/// Starts the agent as a service manager does, again and again: it ends when its clock is set back.
struct Service {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Service {
    /// In this network namespace, or in ours.
    fn start(place: Option<&str>, config: &Path, clock: &Clock, log: &Path) -> Self {
        let mut command = match place {
            Some(name) => Netns::command_in(name, Path::new("env")),
            None => Command::new("env"),
        };
        command.arg(format!("LD_PRELOAD={}", library().display()));
        command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", clock.0.display()));
        command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        command.arg(program("sekimori-agent")).args(["run", "--config"]).arg(config);
        let (stop, log) = (Arc::new(AtomicBool::new(false)), log.to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut running, mut ended) = (Running::logged(&mut command, &log), 0);
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                if running.has_ended() {
                    ended += 1;
                    running = Running::logged(&mut command, &log);
                }
            }
            assert!(running.stop().success(), "a clean stop");
            ended
        });
        Self { stop, thread }
    }

    /// How often it ended by itself.
    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the service manager")
    }
}

/// What the agent says of its clock, in seconds.
fn offset(collector: &Collector) -> Option<i64> {
    let listed = run_ok(collector.cli(&["agent", "list"]).arg("--json"));
    let agents: Value = serde_json::from_str(&listed).expect("JSON");
    agents[0]["clock_ms"][0].as_i64().map(|offset| offset / 1_000)
}

/// How often the agent ended because its clock was set back.
fn steps_back(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains("the clock was set back by")).count()
}

#[test]
fn a_clock_that_jumps_breaks_no_chain_and_opens_an_incident() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "jumping");
    let clock = Clock(agent.state.join("clock"));
    clock.set("+0");
    let port = free_port();
    let config = agent.configure(&format!(
        "[capture]\ninterfaces = [\"lo\"]\nfilter = \"icmp\"\n[endpoint]\ntcp = \"127.0.0.1:{port}\"\n"
    ));
    let log = agent.state.with_extension("log");
    let service = Service::start(None, &config, &clock, &log);
    let mut sent = 0;
    let mut flow = || {
        let before = collector.counter("batches_stored");
        let mut stream =
            wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
        for _ in 0..20 {
            stream.write_all(alert(sent).as_bytes()).expect("the agent takes it");
            sent += 1;
        }
        wait_for("batches flow", SOON, || (collector.counter("batches_stored") > before).then_some(()));
    };
    flow();
    wait_for("a clock that is right", SOON, || (offset(&collector).map(i64::abs) == Some(0)).then(&mut flow));

    for (ended, set, expected) in [(1, "-1h", -3_600), (1, "+1d", 86_400), (2, "+0", 0)] {
        clock.set(set);
        // Set back, it ends by itself and is started anew.
        wait_for("the step is noticed", SOON, || (steps_back(&log) == ended).then_some(()));
        flow();
        wait_for(&format!("{set} is measured"), SOON, || {
            let off = offset(&collector).is_some_and(|offset| (offset - expected).abs() <= 1);
            off.then_some(())
        });
        flow();
        if expected == -3_600 {
            let incident = collector.incidents("sensor_silent", TOLD).remove(0);
            println!("{incident}");
            flow();
        }
    }
    assert_eq!(service.stop(), 2, "it ended for nothing else");
    // Everything that was acknowledged is there once, in one chain, and no loss had to be declared.
    let ledger = Ledger::of(&collector);
    let stored = ledger.number("SELECT count(*) FROM alerts");
    assert!(
        stored >= i64::from(sent) - 20,
        "{stored} of {sent} alerts: only the last may still wait in the spool"
    );
    assert_eq!(ledger.number("SELECT max(epoch) FROM batches"), 1);
    assert_eq!(ledger.number("SELECT count(*) FROM gaps"), 0);
    assert_eq!(collector.counter("refused.forked"), 0);
    collector.assert_verifies();
}

// What jumps is the clock that the agent reads. The kernel's, by which it stamps frames, belongs to everybody on this machine.

/// Packets of one conversation each, so many a second.
const RATE: u16 = 100;
/// The clock jumps after each of these seconds, and the last ends the traffic.
const JUMPS: [u64; 4] = [15, 30, 45, 60];

#[test]
fn traffic_while_the_clock_jumps_is_counted_once_and_in_windows_of_their_length() {
    let link = Link::with("", false, |_gateway| {});
    let clock = Clock(link.agent.state.join("clock"));
    clock.set("+0");
    let log = link.agent.state.with_extension("log");
    let service = Service::start(Some(&link.gateway), &link.config, &clock, &log);
    wait_for("the agent reports", SOON, || (link.through() > 0).then_some(()));
    let (outside, begun) = (link.outside.name.clone(), Instant::now());
    let packets = u16::try_from(JUMPS[3]).expect("seconds") * RATE;
    let frames =
        (0..packets).map(|n| (Duration::from_secs(1) / u32::from(RATE) * u32::from(n), tagged_syn(&[], n)));
    let frames: Vec<_> = frames.collect();
    let sender = std::thread::spawn(move || send_timed(&outside, "sk0", frames));
    for (after, set) in JUMPS.into_iter().zip(["-1h", "+1d", "+0"]) {
        std::thread::sleep(Duration::from_secs(after).saturating_sub(begun.elapsed()));
        clock.set(set);
    }
    sender.join().expect("all was sent");
    let ledger = Ledger::of(&link.collector);
    let before = link.through();
    wait_for("what came last is delivered", SOON, || (link.through() > before + 2).then_some(()));
    assert_eq!(service.stop(), 2, "set back twice: {}", steps_back(&log));
    // Each start is a time without eyes; what was seen is counted once.
    let seen = ledger.number("SELECT sum(packets) FROM summaries");
    let sent = i64::from(packets);
    println!("{seen} packets in the summaries, {sent} sent");
    let blind = 2 * 10 * i64::from(RATE);
    assert!(seen >= sent - blind, "{seen} of {sent}");
    // The traffic between agent and collector stays on the loopback; the cable carries a few neighbour solicitations besides.
    assert!(seen <= sent + 60, "{seen} of {sent}");
    let longest = ledger.number("SELECT max(\"end\" - start) / 1000000000 FROM summaries");
    assert!(longest <= 10, "a window of {longest} s");
    assert_eq!(ledger.number("SELECT count(*) FROM gaps"), 0);
    assert_eq!(ledger.number("SELECT max(epoch) FROM batches"), 1);
    link.collector.assert_verifies();
}
