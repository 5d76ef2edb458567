//! From a capture file to incidents, a parent across bodies, and a store that verifies.

use std::process::Command;
use std::time::Duration;

use crate::support::{Collector, agent, pcap, program, run_ok, said};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_capture_becomes_a_verified_incident() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "one");
    run_ok(&mut agent.replay(None, &[pcap("scan.port/positive-outside.pcap")]));
    let incidents = collector.incidents("scan", SOON);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0]["body"], "422011");
    assert_eq!(incidents[0]["verified"], true);
    assert_eq!(agent.waiting(), 0, "what was acknowledged is deleted");
    collector.assert_verifies();
    let id = incidents[0]["id"].as_str().expect("an id");
    bundles_are_verified_by_the_file_alone(&collector, id);
}

fn bundles_are_verified_by_the_file_alone(collector: &Collector, incident: &str) {
    let [one, all, report] =
        ["one.jsonl", "all.jsonl", "report.jsonl"].map(|name| collector.folder.path().join(name));
    run_ok(collector.cli(&["evidence", incident]).arg("--output").arg(&one));
    run_ok(collector.cli(&["export"]).arg("--output").arg(&all));
    run_ok(collector.cli(&["report", "--body", "422011"]).arg("--signed").arg(&report));
    let words = run_ok(&mut collector.cli(&["report", "--month", "2026-10", "--lang", "en"]));
    assert!(words.starts_with("# Monthly report 2026-10") && words.contains("MTTA"), "{words}");
    for wrong in [["--month", "2026-13"], ["--body", "999999"]] {
        assert!(!collector.cli(&["report"]).args(wrong).output().expect("it starts").status.success());
    }
    for bundle in [one, all, report] {
        let verify = || {
            let mut command = Command::new(program("sekimori-collector"));
            command.arg("verify").arg(&bundle);
            command
        };
        assert!(run_ok(&mut verify()).contains("whole, in order, signed"));
        let text = std::fs::read_to_string(&bundle).expect("our own file");
        std::fs::write(&bundle, text.replacen("422011", "422029", 1)).expect("our own file");
        let refused = verify().output().expect("the program starts");
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains("not those that were sealed"), "{}", said(&refused));
    }
}

#[test]
fn the_same_actor_in_three_bodies_opens_one_parent() {
    let collector = Collector::start();
    for (body, name) in [("422011", "nagasaki"), ("422029", "sasebo"), ("422045", "isahaya")] {
        let agent = collector.enrol(body, name);
        run_ok(&mut agent.replay(None, &[pcap("scan.port/positive-outside.pcap")]));
    }
    let incidents = collector.incidents("scan", SOON);
    let parents: Vec<_> = incidents.iter().filter(|one| one["children"].as_u64() > Some(0)).collect();
    assert_eq!(parents.len(), 1, "{incidents:?}");
    assert_eq!(parents[0]["children"], 3);
    let child = incidents.iter().find(|one| one["parent"] == parents[0]["id"]).expect("a child");
    assert!(parents[0]["severity"].as_u64() > child["severity"].as_u64(), "three bodies make it worse");
}

#[test]
fn bad_input_gets_a_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("agent.toml");
    std::fs::write(&config, "[capture]\ninterfaces = [\"eth0\"]\nspeeed = 3\n").expect("a file");
    let refused = agent(&["check", "--config", config.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(2));
    for part in ["agent.toml", "3", "speeed"] {
        assert!(said(&refused).contains(part), "names {part}: {}", said(&refused));
    }

    let good = "[capture]\ninterfaces = [\"sekimori-none\"]\n[state]\ndir = \"/nonexistent\"\n";
    std::fs::write(&config, good).expect("a file");
    let refused = agent(&["run", "--config", config.to_str().expect("UTF-8")]);
    assert_ne!(refused.status.code(), Some(0));
    assert!(said(&refused).contains("sekimori-none") && said(&refused).contains("lo"), "{}", said(&refused));

    let allowed = "[capture]\ninterfaces = [\"lo\"]\n[state]\ndir = \"/nonexistent\"\n";
    std::fs::write(&config, allowed).expect("a file");
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin"]);
    let run = unprivileged.arg(program("sekimori-agent")).args(["run", "--config"]).arg(&config).output();
    let refused = run.expect("setpriv starts");
    assert_eq!(refused.status.code(), Some(1));
    for part in ["CAP_NET_RAW", "AmbientCapabilities", "setcap"] {
        assert!(said(&refused).contains(part), "names {part}: {}", said(&refused));
    }

    let whole = std::fs::read(pcap("scan.port/positive-outside.pcap")).expect("a capture");
    let cut = folder.path().join("cut.pcap");
    std::fs::write(&cut, &whole[..whole.len() - 7]).expect("a file");
    let partly = agent(&["replay", "--format", "findings", cut.to_str().expect("UTF-8")]);
    assert_eq!(partly.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&partly.stdout).contains("scan.port"), "what could be read was read");
    assert!(String::from_utf8_lossy(&partly.stderr).contains("cut.pcap"), "the error names the file");

    let other = folder.path().join("other.pcap");
    std::fs::write(&other, "this is no capture").expect("a file");
    let refused = agent(&["replay", other.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("other.pcap"), "{}", said(&refused));
}
