//! A gateway whose line is broken: its spool goes to the collector on a stick.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{Agent, Collector, pcap, program, run_ok, said};

const SOON: Duration = Duration::from_secs(30);

/// Replays while nobody listens: everything stays in the spool.
fn replay_alone(agent: &Agent, captures: &[PathBuf]) {
    let mut replay = Command::new(program("sekimori-agent"));
    replay.args(["replay", "--ship", "--rebase-time", "--quiet", "--ship-timeout", "1", "--state"]);
    let away = replay.arg(&agent.state).args(captures).output().expect("the program starts");
    assert!(!away.status.success(), "nothing was acknowledged: {}", said(&away));
    assert!(agent.waiting() > 0);
}

fn export(agent: &Agent, file: &Path) -> Command {
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["spool", "export", "--state"]).arg(&agent.state).arg("--output").arg(file);
    command
}

fn verify(file: &Path) -> Output {
    Command::new(program("sekimori-collector")).arg("verify").arg(file).output().expect("the program starts")
}

#[test]
fn what_is_carried_counts_once_and_the_agent_learns_of_it() {
    let mut collector = Collector::start();
    let (agent, other) = (collector.enrol("422011", "island"), Collector::start());
    collector.kill_hard();
    replay_alone(
        &agent,
        &["scan.port/positive-outside.pcap", "scan.host/positive-inside-445.pcap"].map(pcap),
    );
    let stick = collector.folder.path().join("island.jsonl");
    let waited = agent.waiting();
    let told = run_ok(&mut export(&agent, &stick));
    assert!(told.starts_with(&format!("{waited} batches")), "{told}");
    let good = verify(&stick);
    assert!(good.status.success() && said(&good).contains("whole, in order, signed"), "{}", said(&good));

    collector.run();
    let import = || collector.cli(&["import"]).arg(&stick).output().expect("the program starts");
    let first = import();
    assert!(said(&first).contains(&format!("{waited} stored, 0 were here already")), "{}", said(&first));
    let incidents = collector.incidents("scan", SOON);
    let again = import();
    assert!(said(&again).contains(&format!("0 stored, {waited} were here already")), "{}", said(&again));
    assert_eq!(collector.incidents("scan", SOON), incidents, "each finding counts once");
    assert_eq!(agent.waiting(), waited, "the agent has heard of nothing");
    let seen = &collector.status()["agents"][0]["last_seen"];
    assert!(seen.is_null(), "a stick is no sign of life: {seen}");

    // Its line is mended: one acknowledgement covers what was carried.
    run_ok(&mut agent.replay(None, &[pcap("dns.tunnel/positive-txt.pcap")]));
    assert_eq!(agent.waiting(), 0);
    assert!(collector.counter("batches_stored") > waited);
    assert_eq!(collector.counter("gaps_declared"), 0);
    collector.assert_verifies();

    // Another prefecture's collector does not know this agent.
    let strange = other.cli(&["import"]).arg(&stick).output().expect("the program starts");
    assert!(!strange.status.success() && said(&strange).contains("not enrolled here"), "{}", said(&strange));
}

#[test]
fn a_stick_that_was_changed_or_pulled_is_not_taken_in() {
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "island");
    collector.kill_hard();
    replay_alone(&agent, &[pcap("scan.port/positive-outside.pcap")]);
    let stick = collector.folder.path().join("island.jsonl");
    run_ok(&mut export(&agent, &stick));
    collector.run();
    let whole = std::fs::read_to_string(&stick).expect("our own file");
    let lines: Vec<&str> = whole.lines().collect();
    let batches = lines.iter().filter(|line| line.contains("\"batch\"")).count();
    let without = |gone: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != gone);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let mut changed = without(lines.len());
    changed.replace_range(
        changed.find("422011").expect("the body") + 4..=changed.find("422011").expect("the body") + 4,
        "2",
    );
    for (what, text, why) in [
        ("a byte", changed, "not those that were sealed"),
        ("a cut", without(lines.len() - 1), "without its seal"),
        ("a line", without(1 + batches), "not those that were sealed"),
    ] {
        std::fs::write(&stick, text).expect("our own file");
        for refused in [verify(&stick), collector.cli(&["import"]).arg(&stick).output().expect("it starts")] {
            assert_eq!(refused.status.code(), Some(1), "{what}");
            assert!(said(&refused).contains(why), "{what}: {}", said(&refused));
        }
    }
    assert_eq!(collector.counter("batches_stored"), 0);

    // A file that begins after what never arrived is not taken for the whole.
    std::fs::write(&stick, whole).expect("our own file");
    let damaged = agent.state.join("spool");
    let segment = std::fs::read_dir(&damaged).expect("a spool").map(|entry| entry.expect("a name").path());
    let segment =
        segment.into_iter().find(|path| path.extension().is_some_and(|ext| ext == "seg")).expect("one");
    let mut bytes = std::fs::read(&segment).expect("our own file");
    bytes[60] ^= 1;
    std::fs::write(&segment, bytes).expect("our own file");
    let refused = export(&agent, &stick.with_extension("second")).output().expect("the program starts");
    assert!(!refused.status.success() && said(&refused).contains("mends its spool"), "{}", said(&refused));
}
