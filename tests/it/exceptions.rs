//! The collector judges again: what it accepts opens no incident, what outlives its exception does, and the dry run says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Agent, Collector, pcap, program, run_ok, said, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// The capture is of 2026-11-02, 00:00 UTC: its scan goes on after its first revision.
const CAPTURE: &str = "scan.port/positive-outside.pcap";

fn exception(id: &str, scope: &str, expires: &str) -> String {
    format!(
        "[[exception]]\nid = \"{id}\"\n{scope}\nreason = \"脆弱性診断\"\nowner = \"情報政策課\"\n\
         created = \"2026-10-01\"\nexpires = \"{expires}\"\n"
    )
}

/// Event time as it is in the capture: by it exceptions run out.
fn ship(agent: &Agent, capture: &Path) {
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["replay", "--ship", "--quiet", "--ship-timeout", "60", "--state"]).arg(&agent.state);
    run_ok(command.arg(capture));
}

/// The first fifth of the capture, in whole packets: an earlier revision of the same finding.
fn first_part(folder: &Path) -> PathBuf {
    let whole = std::fs::read(pcap(CAPTURE)).expect("a capture");
    let word = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut end = 24;
    while end < whole.len() / 5 {
        end += 16 + word(end + 8);
    }
    let path = folder.join("first.pcap");
    std::fs::write(&path, &whole[..end]).expect("a file");
    path
}

fn dry_run(collector: &Collector, file: &Path) -> Value {
    let file = file.to_str().expect("UTF-8");
    let mut command = collector.cli(&["exceptions", "dry-run", file, "--json"]);
    serde_json::from_str(&run_ok(&mut command)).expect("JSON from the dry run")
}

/// Numbers of one exception of a dry run.
fn numbers(report: &Value, place: usize, keys: &[&str]) -> Vec<u64> {
    keys.iter().map(|key| report["exceptions"][place][key].as_u64().expect("a number")).collect()
}

#[test]
fn the_collector_accepts_until_the_exception_ends() {
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "one");
    collector.kill_hard();
    let folder = collector.folder.path().to_owned();
    let file = folder.join("collector/accepted.toml");
    let scope = "category = \"scan.*\"\noriginator = \"203.0.113.66\"";
    std::fs::write(&file, exception("EX-1", scope, "2026-11-02")).expect("a file");
    let config = std::fs::read_to_string(collector.config()).expect("a configuration");
    assert!(config.contains("\nfiles = []\n"), "init writes the key");
    let config = config.replace("\nfiles = []\n", "\nfiles = [\"accepted.toml\"]\n");
    std::fs::write(collector.config(), config).expect("a configuration");
    collector.run();

    // The agent has no exception, the collector has: stored, counted, no incident.
    ship(&agent, &first_part(&folder));
    wait_for("the finding is stored", SOON, || {
        (collector.counter("findings_excepted_here") > 0).then_some(())
    });
    let status = collector.status();
    assert_eq!(status["incidents"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(
        (&status["exceptions"][0]["id"], &status["exceptions"][0]["findings"]),
        (&"EX-1".into(), &1.into())
    );

    let planned = folder.join("planned.toml");
    let text = [
        exception("EX-2", "originator = \"203.0.113.0/24\"", "2026-12-31"),
        exception("EX-3", "category = \"scan.port\"\nport = 1", "2026-12-31"),
        exception("EX-4", "originator = \"203.0.113.66\"", "2026-11-01"),
    ];
    std::fs::write(&planned, text.concat()).expect("a file");
    let report = dry_run(&collector, &planned);
    assert_eq!((&report["findings"], &report["covered"]), (&1.into(), &1.into()), "{report}");
    let keys = ["findings", "hosts", "already", "incidents", "incidents_in_part", "exceeding", "after_end"];
    assert_eq!(numbers(&report, 0, &keys), [1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(report["exceptions"][0]["bodies"], serde_json::json!(["422011"]));
    assert_eq!(numbers(&report, 1, &keys), [0, 0, 0, 0, 0, 1, 0], "more ports than the one signed for");
    assert_eq!(report["exceptions"][1]["exceeding_examples"][0]["key"], "port");
    assert_eq!(numbers(&report, 2, &keys), [0, 0, 0, 0, 0, 0, 1], "evidence after its end");

    // A broken file keeps what is in force; a good one takes its place.
    std::fs::write(&file, exception("EX-1", scope, "2026-11-31")).expect("a file");
    collector.hang_up();
    let error = wait_for("the refusal is told", SOON, || {
        collector.status()["exceptions_error"].as_str().map(str::to_owned)
    });
    for part in ["accepted.toml, line 1", "EX-1", "2026-11-31"] {
        assert!(error.contains(part), "names {part}: {error}");
    }
    assert_eq!(collector.status()["exceptions"][0]["expires"], status["exceptions"][0]["expires"]);
    std::fs::write(&file, exception("EX-1", scope, "2026-11-01")).expect("a file");
    collector.hang_up();
    wait_for("the new end is in force", SOON, || {
        let now = collector.status();
        (now["exceptions"][0]["expires"] != status["exceptions"][0]["expires"]).then_some(())
    });

    // The same finding goes on after the end: an incident.
    ship(&agent, &pcap(CAPTURE));
    let incidents = collector.incidents("scan", SOON);
    assert_eq!((incidents.len(), &incidents[0]["findings"]), (1, &1.into()), "{incidents:?}");
    assert_eq!(incidents[0]["verified"], true);
    assert_eq!(collector.counter("findings_no_longer_excepted"), 1);
    assert_eq!(collector.status()["exceptions"][0]["findings"], 0);
    assert_eq!(numbers(&dry_run(&collector, &planned), 0, &keys), [1, 1, 0, 1, 0, 0, 0]);
    collector.assert_verifies();
}

#[test]
fn a_start_with_a_broken_file_is_refused() {
    let mut collector = Collector::start();
    collector.kill_hard();
    let file = collector.folder.path().join("collector/accepted.toml");
    let twice = exception("EX-7", "port = 1", "2026-11-01");
    std::fs::write(&file, format!("{twice}{twice}")).expect("a file");
    let config = std::fs::read_to_string(collector.config()).expect("a configuration");
    let config = config.replace("\nfiles = []\n", "\nfiles = [\"accepted.toml\"]\n");
    std::fs::write(collector.config(), config).expect("a configuration");
    let check = |path: &Path| {
        let mut command = Command::new(program("sekimori-collector"));
        command.args(["exceptions", "check"]).arg(path).output().expect("it starts")
    };
    let refused = collector.cli(&["run"]).output().expect("it starts");
    for refused in [refused, check(&file), check(&collector.config())] {
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        for part in ["accepted.toml, line 8", "EX-7", "given twice"] {
            assert!(said(&refused).contains(part), "names {part}: {}", said(&refused));
        }
    }
    std::fs::write(&file, twice).expect("a file");
    for path in [file, collector.config()] {
        let good = check(&path);
        assert!(good.status.success() && said(&good).contains("1 exceptions, "), "{}", said(&good));
    }
}
