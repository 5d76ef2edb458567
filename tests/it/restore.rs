//! A collector whose machine is lost, and put up again from its last backup, while its agents go on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Collector, pcap, run_ok};

const SOON: Duration = Duration::from_secs(30);

/// The one backup in a folder.
fn backup_in(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let file = files.next().expect("a backup");
    assert_eq!(files.next(), None);
    file
}

/// How far the chains of each agent are stored, by its name.
fn ends(collector: &Collector) -> Vec<(Value, Value, Value)> {
    let status = collector.status();
    let agents = status["agents"].as_array().expect("a list");
    let of = |agent: &Value, key: &str| agent[key].clone();
    agents
        .iter()
        .map(|agent| (of(agent, "name"), of(agent, "through"), of(agent, "detail_through")))
        .collect()
}

#[test]
fn a_lost_collector_comes_back_from_its_backup_and_agents_go_on() {
    let mut collector = Collector::start();
    let (busy, quiet) = (collector.enrol("422011", "busy"), collector.enrol("422029", "quiet"));
    run_ok(&mut busy.replay(None, &[pcap("scan.port/positive-outside.pcap")]));
    run_ok(&mut quiet.replay(None, &[pcap("endpoint.alert/positive-cef.pcap")]));
    let incidents = collector.incidents("scan", SOON);
    let backups = collector.folder.path().join("backups");
    std::fs::create_dir(&backups).expect("a folder");
    run_ok(collector.cli(&["backup"]).arg("--output").arg(&backups));
    let (kept, verified) = (ends(&collector), run_ok(&mut collector.cli(&["verify"])));

    // After the backup one of them delivers more, all of it acknowledged: that is gone with the machine.
    run_ok(&mut busy.replay(None, &[pcap("dns.tunnel/positive-txt.pcap")]));
    assert_eq!(busy.waiting(), 0);
    assert_ne!(ends(&collector), kept);
    collector.kill_hard();
    let folder = collector.config().parent().expect("a folder").to_owned();
    std::fs::remove_dir_all(&folder).expect("the folder is ours");

    let mut restore = std::process::Command::new(crate::support::program("sekimori-collector"));
    run_ok(restore.args(["restore", "--input"]).arg(backup_in(&backups)).arg("--dir").arg(&folder));
    collector.run();
    assert_eq!(ends(&collector), kept);
    assert_eq!(collector.incidents("scan", SOON), incidents);
    assert_eq!(run_ok(&mut collector.cli(&["verify"])), verified);
    run_ok(&mut collector.cli(&["audit", "verify"]));

    // Agents need no hand: one goes on behind what was lost, which is said; of the other nothing was.
    run_ok(&mut busy.replay(None, &[pcap("c2.beacon/positive-raw.pcap")]));
    run_ok(&mut quiet.replay(None, &[pcap("scan.host/positive-inside-445.pcap")]));
    assert_eq!((busy.waiting(), quiet.waiting()), (0, 0));
    let lost = collector.counter("batches_lost_by_restore");
    assert!(lost > 0, "{:?}", collector.status()["counters"]);
    let after = ends(&collector);
    assert!(
        after.iter().zip(&kept).all(|(now, then)| now.1.as_u64() > then.1.as_u64()),
        "{after:?} {kept:?}"
    );
    collector.incidents("c2_beacon", SOON);
    collector.assert_verifies();
    run_ok(&mut collector.cli(&["audit", "verify"]));

    // And only once: what comes now has no such leave.
    run_ok(&mut busy.replay(None, &[pcap("scan.host/positive-inside-445.pcap")]));
    assert_eq!(collector.counter("batches_lost_by_restore"), lost);
    collector.assert_verifies();
}
