//! A gateway with a fault that was put there: the doctor finds that one, nothing else, and names what mends it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::live::{send_timed, tagged_syn};
use crate::support::netns::Netns;
use crate::support::{Agent, Collector, Running, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(10);
const LOOK: &str = "2";
const GATEWAY: &str = "198.51.100.1";
const ECHO: u16 = 9_000;
/// Where the flags of a TCP segment are, in an Ethernet frame without tags.
const FLAGS: usize = 14 + 20 + 13;
const ACK: u8 = 16;
const SEGMENTS: &str = "[[segment]]\nname = \"dmz\"\ncidr = [\"198.51.100.1/32\"]\n";

/// A gateway, somebody outside who talks with it, and an agent that could start at once.
struct Gateway {
    name: String,
    outside: Netns,
    collector: Collector,
    agent: Agent,
    config: PathBuf,
    talk: Vec<Running>,
    /// Where a small disk is mounted.
    disk: Option<PathBuf>,
}

impl Gateway {
    fn new() -> Self {
        Self::with("", SEGMENTS, None)
    }

    /// With these lines in `[capture]`, these segments, and the agent's state on a disk of this size.
    fn with(capture: &str, segments: &str, disk: Option<&str>) -> Self {
        let (gateway, outside) = (Netns::new("gw"), Netns::new("out"));
        gateway.connect("198.51.100.1/24", &outside, "198.51.100.66/24", "sk0");
        for end in [&gateway, &outside] {
            run_ok(
                end.command(Path::new("ethtool"))
                    .args(["-K", "sk0", "tso", "off", "gso", "off", "gro", "off"]),
            );
        }
        let name = gateway.name.clone();
        let collector = Collector::start_in(Some(gateway));
        let disk = disk.map(|size| {
            let place = collector.folder.path().join("agent-sick");
            std::fs::create_dir(&place).expect("a folder that is ours");
            let options = format!("size={size},mode=0700");
            run_ok(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "sekimori-test"]).arg(&place));
            place
        });
        let agent = collector.enrol("422011", "sick");
        let config = agent.configure(&format!(
            "[capture]\ninterfaces = [\"sk0\"]\n{capture}[spool]\nmax_bytes = 4194304\n\
             [[body]]\ncode = \"422011\"\nmodel = \"alpha\"\n{segments}",
        ));
        let mut gateway = Self { name, outside, collector, agent, config, talk: Vec::new(), disk };
        gateway.talk();
        gateway
    }

    /// Ten thousand bytes there and back, five times a second.
    fn talk(&mut self) {
        let mut echo = Netns::command_in(&self.name, Path::new("socat"));
        let listen = format!("TCP-LISTEN:{ECHO},fork,reuseaddr");
        self.talk.push(Running::start(echo.args([&listen, "EXEC:cat"])));
        wait_for("the echo listens", SOON, || {
            let mut ss = Netns::command_in(&self.name, Path::new("ss"));
            run_ok(ss.args(["-Hltn"])).contains(&format!(":{ECHO} ")).then_some(())
        });
        let mut client = self.outside.command(Path::new("socat"));
        let speak = "SYSTEM:while sleep 0.2; do head -c 10000 /dev/zero; done".to_owned();
        let client = client.args([speak, format!("TCP:{GATEWAY}:{ECHO}")]);
        self.talk.push(Running::start(client.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_for("they talk", SOON, || {
            let mut ss = Netns::command_in(&self.name, Path::new("ss"));
            run_ok(ss.args(["-Htn", "state", "established"])).contains(&format!(":{ECHO} ")).then_some(())
        });
    }

    fn inside(&self, words: &[&str]) {
        let (program, words) = words.split_first().expect("a program");
        run_ok(Netns::command_in(&self.name, Path::new(program)).args(words));
    }

    /// The doctor, started by these words.
    fn doctor_by(&self, before: &[&str]) -> Vec<Sick> {
        let mut command = Netns::command_in(&self.name, Path::new("env"));
        command.args(before).arg(program("sekimori-agent"));
        command.args(["doctor", "--json", "--look", LOOK, "--config"]).arg(&self.config);
        let output = command.output().expect("the doctor starts");
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|cause| panic!("{cause}: {}", crate::support::said(&output)));
        let findings = report["findings"].as_array().expect("findings");
        let is_bad = findings.iter().any(|one| one["verdict"] == "bad");
        assert_eq!((report["well"] == true, output.status.success()), (!is_bad, !is_bad), "{report:#}");
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let sick = findings.iter().filter(|one| one["verdict"] != "good").map(|one| Sick {
            check: text(one, "check"),
            verdict: text(one, "verdict"),
            what: text(one, "what"),
            mend: text(one, "mend"),
        });
        sick.collect()
    }

    fn doctor(&self) -> Vec<Sick> {
        self.doctor_by(&[])
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // What runs in the namespaces goes first, then the disk, then the folder that it is in.
        self.talk.clear();
        // What they started ends with them only when it speaks again.
        let left = Command::new("ip").args(["netns", "pids", &self.outside.name]).output();
        let left =
            left.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let echo = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let echo =
            echo.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for pid in left.lines().chain(echo.lines()).filter_map(|line| line.parse().ok()) {
            // All of these are of this test's own namespaces; one that has ended meanwhile is none to end.
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_default();
        }
        if let Some(disk) = &self.disk {
            let unmounted = Command::new("umount").arg(disk).status();
            assert!(unmounted.is_ok(), "umount can be started");
        }
    }
}

/// A finding that is not good.
#[derive(Debug)]
struct Sick {
    check: String,
    verdict: String,
    what: String,
    mend: String,
}

/// Exactly one, of this check, bad, mended by something with these words.
fn only(found: &[Sick], check: &str, what: &str, mend: &str) {
    let [one] = found else { panic!("not one finding of `{check}`: {found:#?}") };
    assert_eq!((one.check.as_str(), one.verdict.as_str()), (check, "bad"), "{one:?}");
    assert!(one.what.contains(what), "`{what}` in {one:?}");
    assert!(one.mend.contains(mend), "`{mend}` in {one:?}");
}

fn nothing(found: &[Sick]) {
    assert!(found.is_empty(), "{found:#?}");
}

/// Segments of connections that stand, all from one side, while the doctor looks.
fn one_way(gateway: &Gateway, tags: &'static [(u16, u16)]) -> std::thread::JoinHandle<()> {
    let outside = gateway.outside.name.clone();
    std::thread::spawn(move || {
        let frames = (0..40_u16).map(|number| {
            let mut frame = tagged_syn(tags, 1 + number % 4);
            frame[FLAGS + 4 * tags.len()] = ACK;
            // Four hosts that somebody elsewhere answers.
            frame[14 + 4 * tags.len() + 15] = 10 + u8::try_from(number % 4).expect("small");
            (Duration::from_millis(u64::from(number) * 50), frame)
        });
        send_timed(&outside, "sk0", frames.collect::<Vec<_>>());
    })
}

#[test]
fn a_healthy_gateway_has_nothing_to_say() {
    let gateway = Gateway::new();
    nothing(&gateway.doctor());
    // The same beside a running agent.
    let mut command = Netns::command_in(&gateway.name, &program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&gateway.config);
    let running = Running::logged(&mut command, &gateway.agent.state.join("agent.log"));
    wait_for("the agent reports", SOON * 2, || (gateway.collector.through() > 0).then_some(()));
    nothing(&gateway.doctor());
    assert!(running.stop().success(), "a clean stop");
    let mut text = Netns::command_in(&gateway.name, &program("sekimori-agent"));
    let text = run_ok(text.args(["doctor", "--look", "0", "--config"]).arg(&gateway.config));
    assert!(text.lines().all(|line| line.starts_with("good  ")), "{text}");
}

#[test]
fn an_interface_that_is_down() {
    let gateway = Gateway::new();
    gateway.inside(&["ip", "link", "set", "sk0", "down"]);
    only(&gateway.doctor(), "interface", "sk0 is down", "ip link set dev sk0 up");
    gateway.inside(&["ip", "link", "set", "dev", "sk0", "up"]);
    gateway.outside.ip(&["link", "set", "sk0", "down"]);
    only(&gateway.doctor(), "interface", "sk0 has no carrier", "ip link show dev sk0");
}

#[test]
fn an_mtu_that_keeps_frames_out() {
    let gateway = Gateway::new();
    gateway.inside(&["ip", "link", "set", "sk0", "mtu", "1280"]);
    only(&gateway.doctor(), "mtu", "an MTU of 1280", "ip link set dev sk0 mtu 1500");
    gateway.inside(&["ip", "link", "set", "dev", "sk0", "mtu", "1500"]);
    nothing(&gateway.doctor());
}

#[test]
fn offloads_that_merge_what_is_captured() {
    let gateway = Gateway::new();
    gateway.inside(&["ethtool", "-K", "sk0", "tso", "on", "gso", "on", "gro", "on"]);
    let found = gateway.doctor();
    only(&found, "offload", "GRO, TSO on, and", "ethtool -K sk0 gro off tso off");
    assert!(found[0].what.contains("frames were longer than any on the wire"), "{found:?}");
    // What it names mends it.
    let words: Vec<&str> = found[0].mend.split(' ').collect();
    gateway.inside(&words);
    nothing(&gateway.doctor());
}

#[test]
fn no_permission_to_capture() {
    let gateway = Gateway::new();
    let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    only(&gateway.doctor_by(&without), "permission", "CAP_NET_RAW", "setcap cap_net_raw+ep ");
}

#[test]
fn a_mirror_that_shows_one_half() {
    let gateway = Gateway::with("filter = \"not port 9000\"\n", "", None);
    let sender = one_way(&gateway, &[]);
    let found = gateway.doctor();
    sender.join().expect("all frames are sent");
    only(
        &found,
        "mirror",
        "of 4 connections only one direction is seen",
        "monitor session 1 source interface",
    );
}

#[test]
fn a_configuration_that_leaves_out_one_half() {
    let gateway = Gateway::with("ignore_outgoing = true\n", SEGMENTS, None);
    only(&gateway.doctor(), "mirror", "only one direction", "write ignore_outgoing = false in ");
}

#[test]
fn vlans_other_than_those_of_the_segments() {
    let segments =
        "[[segment]]\nname = \"lgwan\"\ncidr = [\"10.9.0.0/16\", \"198.51.100.0/24\"]\nvlan = [30]\n";
    let gateway = Gateway::with("", segments, None);
    let sender = one_way(&gateway, &[(0x8100, 100)]);
    let found = gateway.doctor();
    sender.join().expect("all frames are sent");
    // What comes on that VLAN goes one way only, which is another matter.
    let (vlan, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.check == "vlan");
    only(&vlan, "vlan", "the segments name VLAN 30, seen are: 100", "monitor session 1 source vlan 30");
    assert!(others.iter().all(|one| one.check == "mirror"), "{others:#?}");
    let sender = one_way(&gateway, &[(0x8100, 30)]);
    let found = gateway.doctor();
    sender.join().expect("all frames are sent");
    assert!(found.iter().all(|one| one.check == "mirror"), "{found:#?}");
}

#[test]
fn a_clock_that_is_not_the_collectors() {
    let gateway = Gateway::new();
    let library = format!("LD_PRELOAD={}", crate::clock::library().display());
    // The third is beyond the end of every certificate.
    for (offset, seconds, word) in [
        ("+300", 300_u64, " s ahead of"),
        ("-3000", 3_000, " s behind"),
        ("+4000d", 4_000 * 86_400, " s ahead of"),
    ] {
        let faked = format!("FAKETIME={offset}");
        let found = gateway.doctor_by(&[&library, &faked, "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        only(&found, "clock", word, "timedatectl set-ntp true");
        let told = found[0].what.split(' ').find_map(|word| word.parse::<u64>().ok()).expect("a number");
        assert!(told.abs_diff(seconds) <= 2, "{seconds} s: {found:?}");
    }
}

#[test]
fn a_collector_that_is_down() {
    let mut gateway = Gateway::new();
    gateway.collector.kill_hard();
    only(&gateway.doctor(), "collector", "Connection refused", "systemctl start sekimori-collector");
    gateway.collector.run();
    nothing(&gateway.doctor());
}

/// A certificate of the collector's own CA that is good no longer, and its key.
fn expired(collector: &Collector) -> (String, String) {
    let folder = collector.folder.path().join("collector/ca");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the CA");
    let key = KeyPair::from_pem(&text("ca.key.pem")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&text("ca.pem"), key).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 2, 1);
    (params.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
}

fn replace(path: &Path, text: &str) {
    assert!(path.is_file(), "{} is what is used", path.display());
    let mut file = std::fs::File::create(path).expect("a file of the test's own");
    file.write_all(text.as_bytes()).expect("a file of the test's own");
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

#[test]
fn a_certificate_of_the_agent_that_has_expired() {
    let gateway = Gateway::new();
    let (certificate, key) = expired(&gateway.collector);
    replace(&gateway.agent.identity("certificate.pem"), &certificate);
    replace(&gateway.agent.identity("tls-key.pem"), &key);
    let what = "this agent's certificate expired at 2026-02-01";
    only(&gateway.doctor(), "certificate", what, "sekimori-agent enroll --again --state ");
}

#[test]
fn a_certificate_of_the_collector_that_has_expired() {
    let mut gateway = Gateway::new();
    let (certificate, key) = expired(&gateway.collector);
    let folder = gateway.collector.folder.path().join("collector/keys");
    replace(&folder.join("server.pem"), &certificate);
    replace(&folder.join("server.key.pem"), &key);
    gateway.collector.kill_hard();
    gateway.collector.run();
    let what = "the collector's certificate expired at 2026-02-01";
    only(&gateway.doctor(), "certificate", what, "sekimori-collector ca renew-server");
}

#[test]
fn a_disk_that_is_full() {
    let gateway = Gateway::with("", SEGMENTS, Some("32m"));
    nothing(&gateway.doctor());
    let full = gateway.agent.state.join("fills-the-disk");
    std::fs::write(&full, vec![1; 20 << 20]).expect("room until now");
    only(&gateway.doctor(), "disk", "is full", "journalctl --vacuum-size=");
    std::fs::remove_file(&full).expect("our own file");
    nothing(&gateway.doctor());
}
