//! An agent whose clock jumps: the chain goes on, nothing is lost, the collector measures it and says so.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::crash::alert;
use crate::kills::Ledger;
use crate::support::{Agent, Collector, Running, free_port, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// The condition must hold for a minute before somebody is told.
const TOLD: Duration = Duration::from_secs(180);

/// Debian's libfaketime: what a program reads as its clock is another one's affair.
fn library() -> PathBuf {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let path = PathBuf::from(folder);
    assert!(path.is_file(), "{} is missing: run the tests with `cargo xtask test`", path.display());
    path
}

struct Clock(PathBuf);

impl Clock {
    /// Sets it so far from the machine's.
    fn set(&self, offset: &str) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).expect("a file");
        std::fs::rename(next, &self.0).expect("our own file");
    }
}

fn run(agent: &Agent, clock: &Clock, port: u16) -> Running {
    let config = agent.configure(&format!(
        "[capture]\ninterfaces = [\"lo\"]\nfilter = \"icmp\"\n[endpoint]\ntcp = \"127.0.0.1:{port}\"\n"
    ));
    let mut command = Command::new(program("sekimori-agent"));
    command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", &clock.0);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.args(["run", "--config"]).arg(&config);
    Running::logged(&mut command, &agent.state.with_extension("log"))
}

/// What the agent says of its clock, in seconds.
fn offset(collector: &Collector) -> Option<i64> {
    let listed = run_ok(collector.cli(&["agent", "list"]).arg("--json"));
    let agents: Value = serde_json::from_str(&listed).expect("JSON");
    agents[0]["clock_ms"][0].as_i64().map(|offset| offset / 1_000)
}

#[test]
fn a_clock_that_jumps_breaks_no_chain_and_opens_an_incident() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "jumping");
    let clock = Clock(agent.state.with_extension("clock"));
    clock.set("+0");
    let port = free_port();
    let running = run(&agent, &clock, port);
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

    for (set, expected) in [("-1h", -3_600), ("+1d", 86_400), ("+0", 0)] {
        clock.set(set);
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
    assert!(running.stop().success(), "a clean stop");
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
