//! Identities that change while batches flow: certificates, keys, CAs; and those that end.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Agent, Collector, Running, free_port, program, run_ok, said, wait_for};

const SOON: Duration = Duration::from_secs(40);

/// A collector whose certificates for agents are good for so long.
fn collector(seconds: u64) -> Collector {
    let mut collector = Collector::start();
    collector.kill_hard();
    let config = std::fs::read_to_string(collector.config()).expect("the configuration");
    let line = "certificate_seconds = 7776000";
    assert!(config.contains(line), "{config}");
    let config = config.replace(line, &format!("certificate_seconds = {seconds}"));
    std::fs::write(collector.config(), config).expect("our own file");
    collector.run();
    collector
}

fn run_agent(agent: &Agent, port: u16) -> Running {
    let config = agent
        .configure(&format!("[capture]\ninterfaces = [\"lo\"]\n[endpoint]\ntcp = \"127.0.0.1:{port}\"\n"));
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    Running::logged(&mut command, &log_of(agent))
}

fn log_of(agent: &Agent) -> std::path::PathBuf {
    agent.state.with_extension("log")
}

fn log(agent: &Agent) -> String {
    std::fs::read_to_string(log_of(agent)).unwrap_or_default()
}

/// Makes a batch within a second or two.
fn alert(port: u16) {
    let mut stream = wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    let line = "<134>1 2026-11-22T00:00:00Z pc edr - - - CEF:0|Example|EDR|1.0|1|Malware quarantined|8|src=192.168.0.7\n";
    stream.write_all(line.as_bytes()).expect("the agent takes it");
}

/// Batches come from here on too.
fn flows(collector: &Collector, port: u16, what: &str) {
    let before = collector.through();
    alert(port);
    wait_for(what, SOON, || (collector.through() > before).then_some(()));
}

fn agents(collector: &Collector) -> Vec<Value> {
    let listed = run_ok(collector.cli(&["agent", "list"]).arg("--json"));
    serde_json::from_str::<Value>(&listed).expect("JSON").as_array().expect("a list").clone()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

#[test]
fn a_certificate_is_renewed_again_and_again_while_batches_flow_and_not_after_a_revocation() {
    let collector = collector(12);
    let agent = collector.enrol("422011", "renewing");
    let (certificate, key) = (agent.identity("certificate.pem"), agent.identity("tls-key.pem"));
    let port = free_port();
    let mut running = run_agent(&agent, port);
    // Whoever looked whether the collector listens is a failure of TLS too.
    wait_for("the first batch", SOON, || (collector.through() > 0).then_some(()));
    let failed = collector.counter("tls.failed");
    let mut seen = vec![read(&certificate)];
    let first_key = read(&key);
    wait_for("three renewals", SOON, || {
        let now = read(&certificate);
        if !now.is_empty() && seen.last() != Some(&now) {
            seen.push(now);
        }
        assert!(!running.has_ended(), "{}", log(&agent));
        (seen.len() > 3).then_some(())
    });
    assert_ne!(read(&key), first_key, "with a new key");
    // By now the first certificate has expired twice over.
    flows(&collector, port, "batches over connections with the new certificates");
    assert!(!log(&agent).contains("ERROR"), "{}", log(&agent));
    assert_eq!(collector.counter("tls.failed"), failed);

    let id = agents(&collector)[0]["id"].as_str().expect("an identity").to_owned();
    run_ok(collector.cli(&["agent", "revoke"]).arg(&id));
    alert(port);
    wait_for("the next batch is refused", SOON, || {
        (collector.counter("refused.not_enrolled") > 0).then_some(())
    });
    let stored = collector.through();
    wait_for("the next renewal is refused", SOON, || {
        (collector.counter("refused.renew.not_enrolled") > 0).then_some(())
    });
    assert_eq!(collector.through(), stored);
    assert!(log(&agent).contains("refused the renewal"), "{}", log(&agent));
    running.kill_hard();
    collector.assert_verifies();
}

#[test]
fn keys_and_cas_change_while_batches_flow_and_every_batch_stays_verifiable() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "turning");
    let other = collector.enrol("422029", "idle");
    let port = free_port();
    let running = run_agent(&agent, port);
    wait_for("the first batch", SOON, || (collector.through() > 0).then_some(()));

    // Another signing key: a new epoch in both lanes, the same agent.
    let (signing, old_key) = (agent.identity("signing-key.p8"), read(&agent.identity("signing-key.p8")));
    run_ok(Command::new(program("sekimori-agent")).args(["rotate-key", "--state"]).arg(&agent.state));
    let mine = |list: &[Value]| list.iter().find(|one| one["name"] == "turning").expect("it").clone();
    wait_for("batches of the new key", SOON, || {
        let mine = mine(&agents(&collector));
        (mine["keys"] == 2 && mine["epoch"] == 2 && mine["through"].as_u64() > Some(0)).then_some(())
    });
    assert_ne!(read(&signing), old_key);
    collector.assert_verifies();

    // Another CA and another key for acknowledgements.
    let old_ca = read(&agent.identity("ca.pem"));
    run_ok(&mut collector.cli(&["ca", "begin-swap"]));
    let show = || -> Value {
        serde_json::from_str(&run_ok(collector.cli(&["ca", "show"]).arg("--json"))).expect("JSON")
    };
    let behind = || show()["behind"].as_array().expect("a list").clone();
    wait_for("the running agent follows", Duration::from_secs(90), || {
        (!behind().iter().any(|one| one["name"] == "turning")).then_some(())
    });
    assert!(read(&agent.identity("ca.pem")).len() > old_ca.len(), "both are trusted");
    // One that is not there cannot follow, and is not forgotten.
    let refused = collector.cli(&["ca", "finish-swap"]).output().expect("it starts");
    assert!(!refused.status.success() && said(&refused).contains("idle"), "{}", said(&refused));
    assert_eq!(show()["swapping"], true);
    run_ok(collector.cli(&["ca", "finish-swap"]).arg("--force"));
    wait_for("the running agent gives the old CA up", Duration::from_secs(90), || {
        let now = read(&agent.identity("ca.pem"));
        (!now.is_empty() && now.len() < old_ca.len() * 3 / 2 && now != old_ca).then_some(())
    });
    flows(&collector, port, "batches under the new CA, acknowledged with the new key");
    wait_for("everything is acknowledged", SOON, || (agent.waiting() == 0).then_some(()));
    assert_eq!(show()["swapping"], false);
    assert!(running.stop().success(), "a clean stop");
    assert!(!log(&agent).contains("ERROR"), "{}", log(&agent));

    // The one that did not follow is told why: it does not trust this collector.
    let mut late = Command::new(program("sekimori-agent"));
    late.args(["replay", "--ship", "--quiet", "--ship-timeout", "3", "--state"]).arg(&other.state);
    let late = late.arg(crate::support::pcap("scan.port/positive-outside.pcap")).output();
    let late = late.expect("it starts");
    assert!(!late.status.success() && said(&late).contains("certificate"), "{}", said(&late));
    // And comes back with a new token and its old key.
    let token = run_ok(&mut collector.cli(&["agent", "token", "--body", "422029", "--name", "idle"]));
    let mut again = Command::new(program("sekimori-agent"));
    again.args(["enroll", "--again", "--token", token.trim(), "--state"]).arg(&other.state);
    run_ok(&mut again);
    run_ok(&mut other.replay(None, &[crate::support::pcap("scan.port/positive-outside.pcap")]));
    let spool = run_ok(
        Command::new(program("sekimori-agent")).args(["spool", "verify", "--state"]).arg(&agent.state),
    );
    assert!(spool.contains("signed by this agent"), "{spool}");
    collector.assert_verifies();
}

#[test]
fn who_would_follow_an_agent_that_is_there_waits_for_an_operator() {
    let collector = Collector::start();
    let first = collector.enrol("422011", "gateway");
    let capture = [crate::support::pcap("scan.port/positive-outside.pcap")];
    run_ok(&mut first.replay(None, &capture));
    let before = agents(&collector)[0]["id"].as_str().expect("an identity").to_owned();

    // The machine was installed again: no key, no spool, a token with the same name.
    let token = run_ok(&mut collector.cli(&["agent", "token", "--body", "422011", "--name", "gateway"]));
    let second = Agent { state: collector.folder.path().join("agent-installed-again") };
    let mut enroll = Command::new(program("sekimori-agent"));
    enroll.args(["enroll", "--token", token.trim(), "--state"]).arg(&second.state);
    let mut waiting = Running::logged(&mut enroll, &log_of(&second));
    let id = wait_for("it says plainly what it waits for", SOON, || {
        let log = log(&second);
        let (_, rest) = log.split_once("agent confirm ")?;
        rest.get(..64).map(str::to_owned)
    });
    wait_for("it is counted", SOON, || (collector.counter("refused.enroll.held") > 0).then_some(()));
    let listed = run_ok(&mut collector.cli(&["agent", "list"]));
    assert!(listed.contains("WAITS FOR") && listed.contains(&id) && listed.contains(&before), "{listed}");
    assert_eq!(agents(&collector).len(), 1);
    run_ok(&mut first.replay(None, &capture));

    let wrong = collector.cli(&["agent", "confirm"]).arg(&before).output().expect("it starts");
    assert!(!wrong.status.success(), "that agent does not wait");
    run_ok(collector.cli(&["agent", "confirm"]).arg(&id));
    wait_for("it is let in", SOON, || waiting.has_ended().then_some(()));
    run_ok(&mut second.replay(None, &capture));
    let listed = agents(&collector);
    let revoked = |id: &str| {
        let row = listed.iter().find(|one| one["id"] == id).expect("listed");
        !row["revoked_at"].is_null()
    };
    assert!(revoked(&before) && !revoked(&id), "{listed:?}");

    // With its own key again, by a token that says so: at once, in a new epoch.
    let token = run_ok(&mut collector.cli(&["agent", "token", "--body", "422011", "--replaces", &id]));
    let mut again = Command::new(program("sekimori-agent"));
    again.args(["enroll", "--again", "--token", token.trim(), "--state"]).arg(&second.state);
    run_ok(&mut again);
    run_ok(&mut second.replay(None, &capture));
    let listed = agents(&collector);
    let row = listed.iter().find(|one| one["id"] == id.as_str()).expect("listed");
    assert_eq!((row["epoch"].as_u64(), listed.len()), (Some(2), 2), "{row}");
    collector.assert_verifies();
}
