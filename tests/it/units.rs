//! How far systemd locks both programs down, by systemd's own judgement, and that the agent captures with what it is left.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Agent, Collector, Running, program, run_ok, wait_for};

/// An address list like that of a gateway whose collector has one address.
const ALLOW: &str = "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost 203.0.113.10\n";

/// Judges a unit of ours: fails above `tenths` of systemd's measure of exposure.
fn assert_exposure(unit: &str, more: &str, tenths: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(unit);
    let text = std::fs::read_to_string(&source).expect("the unit");
    let copy = folder.path().join(unit);
    std::fs::write(&copy, format!("{text}\n{more}")).expect("a file");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", &format!("--threshold={tenths}")])
        .arg(&copy)
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(said.contains("Overall exposure level"), "{unit}: systemd-analyze did not judge: {judged:?}");
    assert!(judged.status.success(), "{unit}: exposed by more than {tenths} tenths\n{said}");
}

#[test]
fn units_are_locked_down() {
    assert_exposure("sekimori-agent.service", "", 16);
    assert_exposure("sekimori-agent.service", ALLOW, 15);
    assert_exposure("sekimori-collector.service", "", 15);
    let loose = std::panic::catch_unwind(|| {
        assert_exposure("sekimori-agent.service", "[Service]\nProtectSystem=no\nNoNewPrivileges=no\n", 16);
    });
    assert!(loose.is_err(), "a looser unit is noticed");
}

#[test]
fn one_capability_is_enough_to_capture() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "bounded");
    let config = agent.configure("[capture]\ninterfaces = [\"lo\"]\n");
    let own = ["--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw", "--no-new-privs"];
    let mut command = Command::new("setpriv");
    command.args(own).arg(program("sekimori-agent")).args(["run", "--config"]).arg(&config);
    let log = agent.state.with_extension("log");
    let mut running = Running::logged(&mut command, &log);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for("the agent capturing", Duration::from_secs(60), || {
        assert!(!running.has_ended(), "the agent ended: {}", said());
        said().contains("capturing").then_some(())
    });
    assert!(said().contains("sandboxed"), "{}", said());
    assert_walled_in(&running);
    assert!(running.stop().success(), "a clean stop: {}", said());
}

/// Every thread, also those that were started before the walls, and those of libraries.
fn assert_walled_in(running: &Running) {
    let statuses = running.thread_statuses();
    assert!(statuses.len() > 5, "threads of capture, judging, sealing, shipping: {}", statuses.len());
    for status in statuses {
        for line in
            ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        {
            assert!(status.contains(line), "{line} of {status}");
        }
    }
}

/// As the unit starts it: another user, with the capability in the ambient set.
#[test]
fn a_service_starts_itself_again_without_privileges_and_captures() {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a mode");
    // Where that user reaches them.
    let (state, sekimori) = (folder.path().join("state"), folder.path().join("sekimori-agent"));
    std::fs::rename(collector.enrol("422011", "service").state, &state).expect("one file system");
    let config = Agent { state }.configure("[capture]\ninterfaces = [\"lo\"]\nworkers = 2\n");
    run_ok(Command::new("chown").args(["-R", "65534:65534"]).arg(folder.path()));
    std::fs::copy(program("sekimori-agent"), &sekimori).expect("a copy of the program");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+net_raw"])
        .args(["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--no-new-privs"])
        .arg(&sekimori)
        .args(["run", "--config"])
        .arg(&config);
    let log = folder.path().join("agent.log");
    let mut running = Running::logged(&mut command, &log);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for("the agent capturing", Duration::from_secs(60), || {
        assert!(!running.has_ended(), "the agent ended: {}", said());
        said().contains("capturing").then_some(())
    });
    assert!(said().contains("started again without privileges"), "{}", said());
    assert_walled_in(&running);
    assert!(running.stop().success(), "a clean stop: {}", said());
}
