//! A real ring on a real interface: nmap in one namespace, the agent in the other, an incident within 30 seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::netns::Netns;
use crate::support::{Collector, Running, program, run_ok, wait_for};

fn scanned_live(engine: &str) {
    let gateway = Netns::new("gw");
    let attacker = Netns::new("out");
    gateway.connect("198.51.100.1/24", &attacker, "198.51.100.66/24", "sk0");
    let inside = gateway.name.clone();
    let collector = Collector::start_in(Some(gateway));
    let agent = collector.enrol("422011", "live");
    let record = agent.state.join("live.pcap");
    let config = agent.configure(&format!(
        "[capture]\ninterfaces = [\"sk0\"]\nengine = \"{engine}\"\nrecord = {record:?}\n"
    ));
    let mut command = Netns::command_in(&inside, &program("sekimori-agent"));
    let log = std::fs::File::create(agent.state.join("agent.log")).expect("a log");
    let running = Running::start(command.args(["run", "--config"]).arg(&config).stderr(log));
    wait_for("the agent reports", Duration::from_secs(20), || {
        collector.status()["agents"][0]["through"].as_u64().filter(|through| *through > 0)
    });

    let start = Instant::now();
    run_ok(attacker.command(Path::new("nmap")).args(["-n", "-Pn", "-sT", "-T4", "-p1-300", "198.51.100.1"]));
    let incidents = collector.incidents("scan", Duration::from_secs(30).saturating_sub(start.elapsed()));
    assert_eq!(incidents[0]["subject"], "198.51.100.66", "{incidents:?}");
    assert!(running.stop().success(), "a clean stop");
    collector.assert_verifies();

    // Live = replay: what was recorded with the kernel's times gives the same finding.
    let replayed = run_ok(
        std::process::Command::new(program("sekimori-agent"))
            .args(["replay", "--format", "findings"])
            .arg(&record),
    );
    assert!(replayed.contains("\"scan.port\"") && replayed.contains("198.51.100.66"), "{replayed}");
}

#[test]
fn nmap_becomes_an_incident_within_30_seconds_over_our_ring() {
    scanned_live("ring");
}

#[test]
fn nmap_becomes_an_incident_within_30_seconds_over_libpcap() {
    scanned_live("pcap");
}
