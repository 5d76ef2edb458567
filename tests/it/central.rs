//! What the collector hands out reaches the wire and comes back as findings; what makes an agent worse goes by itself.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::live::{Link, send, send_timed, tagged_syn};
use crate::support::pcap::Pcap;
use crate::support::{pcap, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(60);

fn set(link: &Link, text: &str) {
    let file = link.collector.folder.path().join("policy.toml");
    std::fs::write(&file, text).expect("a file");
    run_ok(&mut link.collector.cli(&["policy", "set", file.to_str().expect("UTF-8")]));
}

/// What the agent reports: version and state of its policy.
fn policy(link: &Link) -> (u64, String) {
    let list = run_ok(&mut link.collector.cli(&["policy", "list", "--json"]));
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let agent = &list["agents"][0];
    (agent["version"].as_u64().unwrap_or(0), agent["state"].as_str().unwrap_or("").to_owned())
}

/// Signs a bundle with this feed and puts it beside the policy.
fn bundle(link: &Link, feed: &str) {
    let folder = link.collector.folder.path();
    let [key, csv, out] = ["intel.key", "feed.csv", "feed.intel"].map(|name| folder.join(name));
    let agent = || Command::new(program("sekimori-agent"));
    if !key.exists() {
        run_ok(agent().args(["intel", "keygen"]).arg(&key));
    }
    std::fs::write(&csv, feed).expect("a file");
    run_ok(agent().args(["intel", "import"]).arg(&csv).arg("--output").arg(&out).arg("--key").arg(&key));
}

#[test]
fn a_bundle_set_at_the_collector_becomes_a_finding_of_every_agent() {
    let link = Link::with("", false, |_gateway| {});
    let running = link.run();
    let feed = std::fs::read_to_string(pcap("intel.match/indicators.csv")).expect("a feed");
    bundle(&link, &feed);
    set(&link, "for = \"all\"\n\n[[intel]]\nname = \"prefecture\"\nfile = \"feed.intel\"\n");
    wait_for("the agent has the policy", SOON, || (policy(&link) == (1, "trial 1".to_owned())).then_some(()));
    // The agent says which lists it goes by.
    let version = wait_for("the version of its lists is reported", SOON, || {
        let list = run_ok(link.collector.cli(&["agent", "list"]).arg("--json"));
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let version = list[0]["intel_version"].as_str().unwrap_or("").to_owned();
        (!version.is_empty()).then_some(version)
    });
    send_timed(&link.outside.name, "sk0", Pcap::read(&pcap("intel.match/positive-domain.pcap")).paced());
    let finding = wait_for("a finding of the indicator", SOON, || {
        link.delivered().into_values().find(|one| one["category"] == "intel.match")
    });
    let inputs = &finding["evidence"]["inputs"];
    let indicator = inputs["indicator"].as_str().expect("an indicator");
    assert!(feed.contains(indicator), "{inputs}");
    assert!(running.stop().success(), "a clean stop");
    println!("lists {version}: {}", finding["title"]["en"]);
    link.collector.assert_verifies();
}

#[test]
fn a_policy_with_which_the_agent_gets_worse_goes_by_itself() {
    let link = Link::with("workers = 1\n", false, |_gateway| {});
    let mut running = link.run();
    set(&link, "for = \"all\"\n\n[settings]\nspool_max_bytes = 104857600\n");
    wait_for("the agent tries the policy", SOON, || {
        (policy(&link) == (1, "trial 1".to_owned())).then_some(())
    });
    // Under load, and it dies again and again: whatever the reason, it is worse off than before.
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, outside) = (Arc::clone(&stop), link.outside.name.clone());
    let flood = std::thread::spawn(move || {
        let frames: Vec<_> = (1..20_000).map(|port| tagged_syn(&[], port)).collect();
        for _ in 0..200 {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            send(&outside, "sk0", frames.clone());
        }
    });
    for _ in 0..3 {
        running.kill_hard();
        running = link.run();
    }
    let reported = wait_for("it goes back and says so", SOON * 2, || {
        let (_, state) = policy(&link);
        state.starts_with("rolled_back 1: ").then_some(state)
    });
    stop.store(true, Ordering::Relaxed);
    flood.join().expect("the flood ends");
    println!("{reported}");
    assert_eq!(policy(&link).0, 0, "what was before is in force");
    // It is not tried again, and a newer one is.
    set(&link, "for = \"all\"\n\n[settings]\nspool_max_bytes = 209715200\n");
    wait_for("the next one is tried", SOON, || (policy(&link) == (2, "trial 2".to_owned())).then_some(()));
    assert!(running.stop().success(), "a clean stop");
    link.collector.assert_verifies();
}

#[test]
fn a_policy_under_which_packets_are_lost_goes_by_itself() {
    let link = Link::with("workers = 1\n", false, |_gateway| {});
    let running = link.run();
    set(&link, "for = \"all\"\n\n[settings]\nspool_max_bytes = 104857600\n");
    wait_for("the agent tries the policy", SOON, || {
        (policy(&link) == (1, "trial 1".to_owned())).then_some(())
    });
    // The agent gets no processor for seconds while far more comes than its ring of 16 MiB holds.
    let outside = link.outside.name.clone();
    let large = |port| {
        let mut frame = tagged_syn(&[], port);
        frame.resize(1_500, 0);
        frame
    };
    let flood = std::thread::spawn(move || send(&outside, "sk0", (1..20_000).map(large).collect::<Vec<_>>()));
    running.signal(Signal::SIGSTOP);
    flood.join().expect("the flood ends");
    running.signal(Signal::SIGCONT);
    let reported = wait_for("it goes back and says so", SOON * 2, || {
        let (_, state) = policy(&link);
        state.starts_with("rolled_back 1: ").then_some(state)
    });
    println!("{reported}");
    assert!(reported.contains("loss rose from 0 to"), "the reason: {reported}");
    assert_eq!(policy(&link).0, 0, "what was before is in force");
    assert!(running.stop().success(), "a clean stop");
    link.collector.assert_verifies();
}
