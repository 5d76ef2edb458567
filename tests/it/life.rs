//! The life of an agent at one place: told to read its configuration again, to stop, and to hand over what helps others help.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::live::{Link, send, tagged_syn};
use crate::support::{Agent, Collector, Running, program, run_ok, wait_for};

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
fn an_agent_with_little_to_do_leaves_the_processor_alone() {
    let link = Link::new("ring", "tcp");
    let running = link.run();
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before) = (Instant::now(), running.cpu_time());
    std::thread::sleep(Duration::from_secs(5));
    let (busy, of) = (running.cpu_time().saturating_sub(before), begun.elapsed());
    assert!(busy * 10 < of, "{busy:?} of {of:?} on a silent cable");
    assert!(running.stop().success(), "a clean stop");
}

/// How long a stop may take.
const STOP_MAX: Duration = Duration::from_secs(1);

/// Stops it, cleanly; how long that took.
fn stopped(running: Running) -> Duration {
    let start = Instant::now();
    let ended = running.stop_closely();
    assert!(ended.success(), "{ended}");
    start.elapsed()
}

#[test]
fn a_stop_takes_less_than_a_second_and_loses_nothing() {
    let mut link = Link::new("ring", "tcp");
    let running = link.run();
    link.collector.kill_hard();
    send(&link.outside.name, "sk0", (1..=40).map(|port| tagged_syn(&[], port)).collect());
    // A block that is not full comes after 40 ms at most.
    std::thread::sleep(Duration::from_millis(200));
    let mut took = stopped(running);
    assert!(link.agent.waiting() > 0, "what was seen is in the spool");
    // A machine that does other things now and then is not the agent's: the quickest of three counts.
    for _again in 0..2 {
        if took >= STOP_MAX {
            took = took.min(stopped(link.run()));
        }
    }
    assert!(took < STOP_MAX, "stopped after {took:?}");
    let mut verify = Command::new(program("sekimori-agent"));
    run_ok(verify.args(["spool", "verify", "--state"]).arg(&link.agent.state));
    link.collector.run();
    let running = link.run();
    let incidents = link.collector.incidents("scan", SOON);
    assert_eq!(incidents[0]["subject"], "192.0.2.66", "{incidents:?}");
    assert!(running.stop().success(), "a clean stop");
    link.collector.assert_verifies();
}

/// Things that must not leave, and where they were put.
const PLANTED: [&str; 9] = [
    "hunter-two-of-the-proxy",
    "sekimori-proxy-user",
    "skt1_one-time-token-in-a-comment",
    "pr1vate-c0mmunity",
    "url-user:url-pass",
    "bearer-4711-in-the-log",
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    "smtp-pass-in-the-log",
    "/etc/sekimori/the-only.key",
];

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

/// The bundle's files as one text, unpacked by the system's own tar.
fn bundle(agent: &Agent, config: &Path, folder: &str) -> String {
    let folder = agent.state.with_file_name(folder);
    std::fs::create_dir(&folder).expect("a folder");
    let output = folder.join("bundle.tar");
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["support-bundle", "--look", "0", "--config"]).arg(config);
    command.arg("--log").arg(agent.state.join("planted.log")).arg(&output);
    let said = run_ok(&mut command);
    assert_eq!(output.metadata().expect("the bundle").permissions().mode() & 0o777, 0o600);
    let again = command.output().expect("the agent starts");
    assert!(!again.status.success(), "a file that is there stays as it is");
    run_ok(Command::new("tar").arg("-xf").arg(&output).arg("-C").arg(&folder));
    let mut all = said;
    for name in ["manifest.txt", "agent.toml", "doctor.txt", "doctor.json", "versions.txt", "log.txt"] {
        let text =
            std::fs::read_to_string(folder.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"));
        assert!(!text.is_empty(), "{name} is empty");
        all.push_str(&text);
    }
    let raw = std::fs::read(&output).expect("the bundle");
    all.push_str(&String::from_utf8_lossy(&raw));
    all
}

#[test]
fn a_support_bundle_holds_no_secret() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "helped");
    secret(&agent.state.join("credentials"), &format!("{}:{}\n", PLANTED[1], PLANTED[0]));
    let log = format!(
        "proxy says no to {} with {}\nvia http://{}@proxy.example:1/\nAuthorization: Bearer {}\n\
         -----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\nsmtp password = {}\nan ordinary line\n",
        PLANTED[1], PLANTED[0], PLANTED[4], PLANTED[5], PLANTED[6], PLANTED[7],
    );
    std::fs::write(agent.state.join("planted.log"), log).expect("a file");
    let toml = format!(
        "# enrolled with {}\n[capture]\ninterfaces = [\"lo\"]\n[collector]\nproxy = \"http://127.0.0.1:9\"\n\
         proxy_credentials = \"credentials\"\n[[endpoint.source]]\nname = \"fw1\"\nkind = \"syslog-tls\"\n\
         address = \"127.0.0.1:6514\"\ncertificate = \"c.pem\"\nkey = \"{}\"\n",
        PLANTED[2], PLANTED[8],
    );
    let config = agent.configure(&toml);
    let mut all = bundle(&agent, &config, "valid");
    for there in ["an ordinary line", "endpoint.source.key", "name = \"fw1\"", "enrolled as", "status.json"] {
        assert!(all.contains(there), "`{there}` helps: {all}");
    }
    // A configuration that the agent does not take is when help is needed most.
    let wrong = format!(
        "{toml}[watch]\ncommunity = \"{}\"\n[collector.more]\nproxy = \"{}\"\n",
        PLANTED[3], PLANTED[4]
    );
    std::fs::write(agent.state.join("wrong.toml"), wrong).expect("a file");
    all.push_str(&bundle(&agent, &agent.state.join("wrong.toml"), "wrong"));
    std::fs::write(agent.state.join("broken.toml"), format!("community = \"{}\n", PLANTED[3]))
        .expect("a file");
    all.push_str(&bundle(&agent, &agent.state.join("broken.toml"), "broken"));
    for planted in PLANTED {
        assert!(!all.contains(planted), "{planted} is in the bundle");
    }
    for part in PLANTED[4].split(':') {
        assert!(!all.contains(part), "{part} is in the bundle");
    }
    let key = std::fs::read_to_string(agent.identity("tls-key.pem")).expect("the agent's key");
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!all.contains(line), "the agent's key is in the bundle");
    }
    let enrolment = std::fs::read_to_string(agent.identity("enrolment.json")).expect("the enrolment");
    let enrolment: serde_json::Value = serde_json::from_str(&enrolment).expect("JSON");
    if let Some(user_key) = enrolment["user_key"].as_str() {
        assert!(!all.contains(user_key), "the key of user names is in the bundle");
    }
}
