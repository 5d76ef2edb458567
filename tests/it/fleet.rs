//! The collector decides, the agent obeys and says so; and a sensor that falls silent is told, with its return.

use std::process::Output;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::live::Link;
use crate::support::{run_ok, said, wait_for};

const SOON: Duration = Duration::from_secs(40);

const POLICY: &str = "for = \"body:422011\"\n\n[settings]\nspool_max_bytes = 104857600\n\n[[exception]]\nid = \"EX-9\"\n\
                      category = \"scan.*\"\noriginator = \"198.51.100.66\"\nreason = \"脆弱性診断\"\n\
                      owner = \"情報政策課\"\ncreated = \"2026-10-01\"\nexpires = \"2027-10-01\"\n";

fn set(link: &Link, text: &str) -> Output {
    let file = link.collector.folder.path().join("policy.toml");
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    link.collector.cli(&["policy", "set", file]).output().expect("the collector starts")
}

/// Version and state that the agent reports.
fn reported(link: &Link) -> (u64, String) {
    let list = run_ok(&mut link.collector.cli(&["policy", "list", "--json"]));
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let agent = &list["agents"][0];
    (agent["version"].as_u64().unwrap_or(0), agent["state"].as_str().unwrap_or("").to_owned())
}

fn silent_after(link: &mut Link, seconds: u64) {
    link.collector.kill_hard();
    let config = std::fs::read_to_string(link.collector.config()).expect("a configuration");
    let config = config.replace("silent_seconds = 300", &format!("silent_seconds = {seconds}"));
    std::fs::write(link.collector.config(), config).expect("a configuration");
    link.collector.run();
}

#[test]
fn a_policy_is_applied_and_a_silent_sensor_is_told() {
    let mut link = Link::with("", false, |_gateway| {});
    silent_after(&mut link, 20);
    let agent = link.run();
    for (broken, place) in [
        (POLICY.replace("104857600", "5"), "policy.toml, line 4: settings.spool_max_bytes 5 is not between"),
        (POLICY.replace("owner", "oner"), "line 11, column 1"),
        (POLICY.replace("2027-10-01", "2027-10-32"), "policy.toml, line 6: exception \"EX-9\""),
        (POLICY.replace("422011", "131016"), "there is no body body:131016"),
    ] {
        let refused = set(&link, &broken);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(place), "names {place}: {}", said(&refused));
    }
    assert_eq!(reported(&link).0, 0);

    let good = set(&link, POLICY);
    assert!(good.status.success(), "{}", said(&good));
    let state = wait_for("the agent reports the policy", SOON, || {
        let (version, state) = reported(&link);
        (version == 1).then_some(state)
    });
    assert_eq!(state, "trial 1");

    // The exception takes effect: the scan is found, and no incident knows it.
    let mut nmap = link.outside.command(std::path::Path::new("nmap"));
    run_ok(nmap.args(["-n", "-Pn", "-sT", "-T4", "-p1-300", "198.51.100.1"]));
    wait_for("the scan is under the exception", SOON, || {
        (link.collector.counter("findings_excepted_here") > 0).then_some(())
    });
    let status = link.collector.status();
    assert_eq!(status["incidents"].as_array().map(Vec::len), Some(0), "{status}");

    agent.signal(Signal::SIGSTOP);
    let incident = link.collector.incidents("sensor_silent", SOON).remove(0);
    assert_eq!((&incident["state"], &incident["severity"]), (&"detected".into(), &2.into()));
    agent.signal(Signal::SIGCONT);
    let detail = format!("incidents/{}", incident["id"].as_str().expect("an id"));
    let back = wait_for("its return is written down", SOON, || {
        let changes = link.api(&detail)["changes"].as_array().expect("changes").clone();
        changes.into_iter().find(|one| one["kind"] == "sensor_back")
    });
    assert_eq!(back["details"]["condition"], "silent");
    assert!(back["details"]["seconds"].as_u64().expect("seconds") >= 20, "{back}");
    assert_eq!(link.collector.incidents("sensor_silent", SOON).len(), 1);

    // What the disk changed is not believed, and had again from the collector.
    agent.stop();
    let stored = link.agent.state.join("policy/1.policy");
    let mut bytes = std::fs::read(&stored).expect("the policy is kept");
    let at = bytes.windows(4).position(|four| four == b"EX-9").expect("its exception");
    bytes[at + 3] = b'8';
    std::fs::write(&stored, bytes).expect("the state folder is ours");
    let _agent = link.run();
    let log = std::fs::read_to_string(link.agent.state.join("agent.log")).expect("a log");
    assert!(log.contains("the stored policy 1 is damaged: the signature does not fit"), "{log}");
    wait_for("the policy is fetched anew", SOON, || {
        (reported(&link) == (1, "trial 1".to_owned())).then_some(())
    });
    link.collector.assert_verifies();
}
