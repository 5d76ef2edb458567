//! The life of an agent at one place: told to read its configuration again, and to stop.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::live::{Link, send, tagged_syn};
use crate::support::{Agent, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(30);

fn log(agent: &Agent) -> String {
    std::fs::read_to_string(agent.state.join("agent.log")).unwrap_or_default()
}

#[test]
fn a_reload_says_what_changed_and_what_needs_a_restart() {
    let link = Link::new("ring", "tcp");
    let running = link.run();
    let before = std::fs::read_to_string(&link.config).expect("the configuration");
    let said = |what: &str| wait_for(what, SOON, || log(&link.agent).contains(what).then_some(()));
    running.hang_up();
    said("read again: nothing in the configuration has changed");
    let exception = "[[exception]]\nid = \"EX-1\"\nreason = \"ours\"\nowner = \"soc\"\ncreated = \"2026-04-01\"\n\
                     expires = \"2027-03-31\"\ncategory = \"scan.host\"\n";
    let changed = before.replace("filter = \"tcp\"", "filter = \"udp\"");
    assert_ne!(changed, before, "the filter is in it");
    std::fs::write(&link.config, format!("{changed}{exception}[spool]\nmax_bytes = 4194304\n"))
        .expect("a file");
    running.hang_up();
    said("changed and in force: exception");
    said("changed, and in force only after a restart: capture.filter, spool.max_bytes");
    // What it was told twice it says twice: a file that nobody restarted for is still not in force.
    let count = || log(&link.agent).matches("in force only after a restart").count();
    let once = count();
    running.hang_up();
    wait_for("the second word", SOON, || (count() > once).then_some(()));
    std::fs::write(&link.config, "[capture]\nfilter = 1\n").expect("a file");
    running.hang_up();
    said("nothing is reloaded");
    assert!(running.stop().success(), "a clean stop");
}

#[test]
fn a_stop_takes_less_than_a_second_and_loses_nothing() {
    let mut link = Link::new("ring", "tcp");
    let running = link.run();
    link.collector.kill_hard();
    send(&link.outside.name, "sk0", (1..=40).map(|port| tagged_syn(&[], port)).collect());
    // A block that is not full comes after 40 ms at most.
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    let ended = running.stop_closely();
    let took = start.elapsed();
    println!("stopped after {took:?}");
    assert!(ended.success() && took < Duration::from_secs(1), "{ended} after {took:?}");
    let mut verify = Command::new(program("sekimori-agent"));
    run_ok(verify.args(["spool", "verify", "--state"]).arg(&link.agent.state));
    assert!(link.agent.waiting() > 0, "what was seen is in the spool");
    link.collector.run();
    let running = link.run();
    let incidents = link.collector.incidents("scan", SOON);
    assert_eq!(incidents[0]["subject"], "192.0.2.66", "{incidents:?}");
    assert!(running.stop().success(), "a clean stop");
    link.collector.assert_verifies();
}
