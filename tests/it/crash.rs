//! `kill -9` in the middle, a collector that is away, a full disk: nothing lost, nothing twice.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::kills::Ledger;
use crate::support::{Agent, Collector, Running, free_port, pcap, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(30);

/// Captures that together give many batches.
fn captures() -> Vec<PathBuf> {
    ["scan.port/positive-outside.pcap", "scan.host/positive-inside-445.pcap", "dns.tunnel/positive-txt.pcap"]
        .map(pcap)
        .to_vec()
}

fn delivered(collector: &Collector) -> BTreeSet<String> {
    let status = collector.status();
    status["incidents"]
        .as_array()
        .expect("incidents")
        .iter()
        .map(|one| format!("{} {}", one["category"], one["subject"]))
        .collect()
}

#[test]
fn a_collector_killed_again_and_again_loses_nothing_and_stores_nothing_twice() {
    let undisturbed = Collector::start();
    run_ok(&mut undisturbed.enrol("422011", "calm").replay(None, &captures()));
    let expected = delivered(&undisturbed);
    let batches = undisturbed.counter("batches_stored");
    assert!(!expected.is_empty() && batches > 1, "{expected:?} in {batches} batches");

    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "storm");
    // Slower than the kills: 20 times real time of captures of a minute or so.
    let mut command = agent.replay(None, &captures());
    let mut replay = Running::start(command.args(["--speed", "20"]));
    for pause in [150, 400, 700, 1_100] {
        std::thread::sleep(Duration::from_millis(pause));
        collector.kill_hard();
        collector.run();
    }
    wait_for("the replay ends", Duration::from_secs(120), || replay.has_ended().then_some(()));
    wait_for("everything is acknowledged", SOON, || (agent.waiting() == 0).then_some(()));
    assert_eq!(delivered(&collector), expected);
    collector.assert_verifies();
}

pub(crate) fn alert(number: u32) -> String {
    format!(
        "<134>1 2026-11-22T00:00:00Z pc-{number} edr - - - CEF:0|Example|EDR|1.0|{number}|Malware quarantined|8|\
         src=192.168.0.{} act=quarantined\n",
        number % 250 + 1
    )
}

pub(crate) fn run_agent(agent: &Agent, port: u16) -> Running {
    // Alerts by the hundred are the load here, not what the budget is for.
    let config = agent.configure(&format!(
        "[capture]\ninterfaces = [\"lo\"]\n[collector]\nbudget = \"none\"\n[endpoint]\ntcp = \"127.0.0.1:{port}\"\n"
    ));
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    // Beside the state folder, which a test may fill.
    Running::logged(&mut command, &agent.state.with_file_name("agents.log"))
}

fn send_alerts(port: u16, numbers: std::ops::Range<u32>) {
    let mut stream = wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    for number in numbers {
        stream.write_all(alert(number).as_bytes()).expect("the agent takes it");
    }
}

#[test]
fn a_killed_agent_delivers_all_that_it_had_sealed_and_goes_on_in_the_same_chain() {
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "killed");
    collector.kill_hard(); // a collector that is down: spooled, not lost
    let port = free_port();
    let waiting = run_agent(&agent, port);
    wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    let before = waiting.cpu_time();
    std::thread::sleep(Duration::from_secs(3));
    let used = waiting.cpu_time().saturating_sub(before);
    assert!(used < Duration::from_millis(600), "waiting for the collector is no busy loop: {used:?} in 3 s");
    waiting.kill_hard();

    let mut sealed = 0;
    for round in 0..3_u32 {
        let running = run_agent(&agent, port);
        send_alerts(port, round * 50..(round + 1) * 50);
        sealed = wait_for("more batches in the spool", SOON, || {
            Some(agent.waiting()).filter(|pending| *pending > sealed)
        });
        running.kill_hard();
    }
    collector.run();
    let running = run_agent(&agent, port);
    wait_for("everything arrives", SOON, || Some(collector.through()).filter(|through| *through >= sealed));
    wait_for("the spool is empty", SOON, || (agent.waiting() == 0).then_some(()));
    assert!(running.stop().success(), "a clean stop");
    assert_eq!(collector.counter("refused.forked"), 0);
    assert_eq!(collector.counter("batches_stored"), collector.through(), "every number once, without a gap");
    assert!(!collector.incidents("malware_infection", SOON).is_empty());
    collector.assert_verifies();
}

/// A file system of its own that can be filled; taken away when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        run_ok(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
                .arg(&folder),
        );
        Self(folder)
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        while file.write_all(&[0; 512]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "our own mount can be taken away");
    }
}

#[test]
fn a_full_disk_stops_nothing_and_loses_nothing() {
    let collector = Collector::start();
    let disk = SmallDisk::mount(collector.folder.path().join("agent-small"), "4m");
    let agent = collector.enrol("422011", "small");
    let port = free_port();
    let mut running = run_agent(&agent, port);
    send_alerts(port, 0..1);
    let through = || collector.through();
    wait_for("the first batch", SOON, || (through() > 0).then_some(()));

    let filler = disk.fill();
    send_alerts(port, 1..101);
    let log = || std::fs::read_to_string(collector.folder.path().join("agents.log")).unwrap_or_default();
    wait_for("the agent says that the disk is full", SOON, || {
        log().contains("its disk is full").then_some(())
    });
    let stuck = through();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(through(), stuck, "nothing can be sealed, and nothing unsealed is sent");
    assert!(!running.has_ended(), "it goes on: {}", log());

    std::fs::remove_file(filler).expect("our own file");
    // Each of the 101, those of the full disk too, and once.
    let ledger = Ledger::of(&collector);
    wait_for("everything arrives", SOON, || {
        (ledger.number("SELECT count(*) FROM alerts") == 101).then_some(())
    });
    assert!(running.stop().success(), "a clean stop");
    collector.assert_verifies();
}
