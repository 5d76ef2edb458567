//! What is learned outlives a restart: a capture in two parts, the second going on from what was learned of the first, gives
//! what the whole gives.

use std::path::Path;
use std::process::Command;

use crate::support::pcap::Pcap;
use crate::support::{pcap, program, run_ok};

fn findings(baseline: &Path, capture: &Path) -> String {
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["replay", "--quiet", "--format", "findings", "--baseline-save", "--baseline"]);
    run_ok(command.arg(baseline).arg(capture))
}

#[test]
fn a_capture_in_two_parts_gives_what_the_whole_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    // An hour that is not over teaches nothing and begins anew: series are parted where little happens.
    for (name, parts) in [
        ("host.new/positive-device.pcap", [300, 700]),
        ("host.new/benign-first-day.pcap", [300, 700]),
        ("service.exposed/positive-remote-desktop.pcap", [300, 700]),
        ("service.exposed/benign-known-services.pcap", [300, 700]),
        ("baseline.host/positive-retries.pcap", [200, 300]),
        ("baseline.volume/positive-night.pcap", [200, 300]),
    ] {
        let capture = pcap(name);
        let whole = findings(&folder.path().join("whole"), &capture);
        assert_eq!(whole.is_empty(), name.contains("benign"), "{name}: {whole}");
        for permille in parts {
            let parts = ["before", "after"].map(|part| folder.path().join(format!("{part}.pcap")));
            Pcap::read(&capture).split(permille, parts.each_ref().map(|path| path.as_path()));
            let learned = folder.path().join(format!("{permille}"));
            let found = parts.map(|part| findings(&learned, &part)).concat();
            assert_eq!(found, whole, "{name} in two at {permille}");
            std::fs::remove_dir_all(&learned).expect("what was learned of this one");
        }
        std::fs::remove_dir_all(folder.path().join("whole")).expect("what was learned of this one");
    }
}

/// What was damaged is learned anew: the device of the second part is then one of the first day.
#[test]
fn what_was_damaged_is_learned_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = ["before", "after"].map(|part| folder.path().join(format!("{part}.pcap")));
    Pcap::read(&pcap("host.new/positive-device.pcap"))
        .split(700, parts.each_ref().map(|path| path.as_path()));
    let learned = folder.path().join("learned");
    let [before, after] = parts;
    assert_eq!(findings(&learned, &before), "");
    let file = learned.join("baseline-replay.skbl");
    let mut bytes = std::fs::read(&file).expect("what was learned");
    bytes[40] ^= 1;
    std::fs::write(&file, &bytes).expect("a folder that is ours");
    assert_eq!(findings(&learned, &after), "", "warm-up again");
    assert_ne!(std::fs::read(&file).expect("what was learned anew"), bytes);
}
