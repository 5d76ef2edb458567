//! Alerts from real senders: rsyslog in the clear and over TLS, logger, socat, a file that Suricata would write.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::support::{Agent, Collector, Running, free_port, pcap, program, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// A counter of the agent's last status.
pub(crate) fn counter(agent: &Agent, name: &str) -> u64 {
    let Ok(json) = std::fs::read(agent.state.join("status.json")) else { return 0 };
    let status: Value = serde_json::from_slice(&json).unwrap_or_default();
    let counters = status["health"]["counters"].as_array().cloned().unwrap_or_default();
    counters.iter().find(|one| one["name"] == name).and_then(|one| one["count"].as_u64()).unwrap_or_default()
}

fn wait_for_count(agent: &Agent, name: &str, count: u64) {
    wait_for(&format!("{name} = {count}"), SOON, || (counter(agent, name) >= count).then_some(()));
    assert_eq!(counter(agent, name), count, "{name}");
}

fn run(agent: &Agent, endpoint: &str) -> Running {
    let config = agent.configure(&format!("[capture]\ninterfaces = [\"lo\"]\nfilter = \"icmp\"\n{endpoint}"));
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    Running::logged(&mut command, &agent.state.with_file_name("agents.log"))
}

fn source(name: &str, kind: &str, rest: &str) -> String {
    format!("[[endpoint.source]]\nname = \"{name}\"\nkind = \"{kind}\"\n{rest}\n")
}

fn cef(name: &str, number: usize) -> String {
    format!(
        "CEF:0|Example|EDR|1.0|{name}-{number}|Malware quarantined|8|dst=192.168.0.{} act=quarantined",
        number % 250 + 1
    )
}

/// An authority, and a certificate of it for `localhost`: certificate, key, authority.
pub(crate) fn certificates(folder: &Path, name: &str) -> [PathBuf; 3] {
    let key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, format!("{name} authority"));
    let root = ca.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(ca, key);
    let own_key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let own = own.signed_by(&own_key, &issuer).expect("a certificate");
    let files = [("pem", own.pem()), ("key", own_key.serialize_pem()), ("ca", root.pem())];
    files.map(|(kind, text)| {
        let path = folder.join(format!("{name}.{kind}"));
        std::fs::write(&path, text).expect("a file");
        path
    })
}

/// rsyslog takes lines on one port for each way and sends them on.
fn rsyslog(
    folder: &Path,
    ports: [u16; 2],
    to: [u16; 2],
    tls: &[PathBuf; 3],
    client: &[PathBuf; 3],
) -> Running {
    let config = folder.join("rsyslog.conf");
    let forward = |port: u16, more: &str| {
        format!(
            "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" {more})"
        )
    };
    let over_tls = "StreamDriver=\"gtls\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/certvalid\"";
    let text = format!(
        "global(workDirectory=\"{folder}\" DefaultNetstreamDriverCAFile=\"{ca}\" DefaultNetstreamDriverCertFile=\"{cert}\" \
         DefaultNetstreamDriverKeyFile=\"{key}\")\nmodule(load=\"imtcp\")\n\
         ruleset(name=\"plain\") {{ {plain} }}\nruleset(name=\"tls\") {{ {tls} }}\n\
         input(type=\"imtcp\" port=\"{}\" address=\"127.0.0.1\" ruleset=\"plain\")\n\
         input(type=\"imtcp\" port=\"{}\" address=\"127.0.0.1\" ruleset=\"tls\")\n",
        ports[0],
        ports[1],
        folder = folder.display(),
        ca = tls[2].display(),
        cert = client[0].display(),
        key = client[1].display(),
        plain = forward(to[0], ""),
        tls = forward(to[1], over_tls),
    );
    std::fs::write(&config, text).expect("a file");
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(folder.join("rsyslog.pid"));
    Running::logged(&mut command, &folder.join("rsyslog.log"))
}

#[test]
fn real_senders_are_heard() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "intake");
    let folder = tempfile::tempdir().expect("a folder");
    let (own, client) = (certificates(folder.path(), "own"), certificates(folder.path(), "client"));
    let [udp, tcp, tls, json] = [0; 4].map(|_| free_port());
    let at = |port: u16| format!("address = \"127.0.0.1:{port}\"\n");
    let eve = folder.path().join("eve.json");
    std::fs::write(&eve, "").expect("a file");
    let secured = format!(
        "{}certificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n",
        at(tls),
        own[0].display(),
        own[1].display(),
        client[2].display()
    );
    let config = [
        source("udp", "syslog-udp", &at(udp)),
        source("tcp", "syslog-tcp", &at(tcp)),
        source("tls", "syslog-tls", &secured),
        source("json", "json-tcp", &at(json)),
        source("eve", "file", &format!("path = \"{}\"\n", eve.display())),
    ];
    let running = run(&agent, &config.concat());
    wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", json)).ok());

    let logger = |ways: &[&str], port: u16, text: &str| {
        let port = port.to_string();
        run_ok(Command::new("logger").args(["-n", "127.0.0.1", "-P", &port]).args(ways).arg(text));
    };
    logger(&["-d", "--rfc3164"], udp, &cef("udp3164", 1));
    logger(&["-d", "--rfc5424"], udp, &cef("udp5424", 2));
    logger(&["-T", "--rfc5424"], tcp, &cef("tcp", 1));
    logger(&["-T", "--rfc5424", "--octet-count"], tcp, &cef("counted", 2));

    let ports = [free_port(), free_port()];
    let sender = rsyslog(folder.path(), ports, [tcp, tls], &own, &client);
    for port in ports {
        wait_for("rsyslog's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
        for number in 0..50 {
            logger(&["-T", "--rfc5424"], port, &cef(&format!("rsyslog{port}"), number));
        }
    }

    let line = |number: usize| {
        format!(
            "{{\"timestamp\":\"2026-04-01T12:00:00.000000+0900\",\"event_type\":\"alert\",\"src_ip\":\"192.168.0.7\",\
             \"dest_ip\":\"203.0.113.9\",\"alert\":{{\"action\":\"allowed\",\"signature_id\":{number},\"signature\":\"ET MALWARE\",\
             \"category\":\"A Network Trojan was detected\",\"severity\":1}}}}\n"
        )
    };
    let lines = folder.path().join("lines.json");
    std::fs::write(&lines, (0..20).map(line).collect::<String>()).expect("a file");
    run_ok(Command::new("socat").args([
        "-u",
        &format!("FILE:{}", lines.display()),
        &format!("TCP:127.0.0.1:{json}"),
    ]));
    std::thread::sleep(Duration::from_secs(1));
    let mut file = std::fs::File::options().append(true).open(&eve).expect("the file");
    file.write_all((100..130).map(line).collect::<String>().as_bytes()).expect("written");

    for (name, count) in [("udp", 2), ("tcp", 52), ("tls", 50), ("json", 20), ("eve", 30)] {
        wait_for_count(&agent, &format!("endpoint.{name}.alerts"), count);
    }
    assert_eq!(counter(&agent, "endpoint.dropped") + counter(&agent, "endpoint.limited"), 0);
    drop(sender);
    assert!(running.stop().success(), "a clean stop");
    assert!(!collector.incidents("malware_infection", SOON).is_empty());
}

#[test]
fn an_alert_that_knows_only_a_name_meets_the_beacon_of_its_machine() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "joining");
    run_ok(&mut agent.replay(None, &[pcap("endpoint.alert/positive-named.pcap")]));
    let both = wait_for("one incident of both", SOON, || {
        let status = collector.status();
        let all = status["incidents"].as_array().expect("a list of incidents").clone();
        all.iter().any(|one| one["severity"] == 3).then_some(all)
    });
    assert_eq!(both.len(), 1, "alert and beacon are one incident: {both:#?}");
    let one = &both[0];
    assert_eq!(one["findings"], 2, "{one:#}");
    assert_eq!(one["subject"], "192.168.10.61", "the address that DHCP gave the machine: {one:#}");
    collector.assert_verifies();
}

#[test]
fn a_thousand_alerts_of_one_outbreak_are_one_incident() {
    const ALERTS: usize = 1_000;
    let collector = Collector::start();
    let agent = collector.enrol("422011", "outbreak");
    let port = free_port();
    let rest = format!("address = \"127.0.0.1:{port}\"\nalerts_per_minute = {ALERTS}\n");
    let running = run(&agent, &source("edr", "syslog-tcp", &rest));
    let mut stream = wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    for number in 0..ALERTS {
        let line = format!(
            "CEF:0|Example|EDR|1.0|MAL-7|Malware running|9|src=10.1.{}.{} shost=PC-{number} act=detected \
             fileHash=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            number / 250,
            number % 250 + 1
        );
        stream.write_all(line.as_bytes()).expect("the agent takes it");
    }
    wait_for_count(&agent, "endpoint.edr.alerts", ALERTS as u64);
    let one = wait_for("every alert in an incident", SOON, || {
        let all = collector.incidents("malware_infection", SOON);
        let findings: u64 = all.iter().filter_map(|one| one["findings"].as_u64()).sum();
        (findings >= ALERTS as u64).then_some(all)
    });
    assert_eq!(one.len(), 1, "one outbreak is one incident: {one:#?}");
    assert!(running.stop().success(), "a clean stop");
    collector.assert_verifies();
}

/// Messages a second over TCP, and for how long: the long form is asked for with `SEKIMORI_INTAKE_SECONDS=60`.
#[test]
fn twenty_thousand_messages_a_second_over_tcp_are_all_read() {
    const PER_SECOND: u32 = 20_000;
    let seconds =
        std::env::var("SEKIMORI_INTAKE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let collector = Collector::start();
    let agent = collector.enrol("422011", "throughput");
    let port = free_port();
    let running = run(&agent, &source("fw", "syslog-tcp", &format!("address = \"127.0.0.1:{port}\"\n")));
    let mut stream = wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    let tenth: String = (0..PER_SECOND / 10).map(message).collect();
    let (begun, before) = (Instant::now(), running.cpu_time());
    for tick in 0..seconds * 10 {
        stream.write_all(tenth.as_bytes()).expect("the agent takes it");
        let due = Duration::from_millis(100) * (tick + 1);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    drop(stream);
    let took = begun.elapsed();
    let sent = u64::from(PER_SECOND) * u64::from(seconds);
    wait_for_count(&agent, "endpoint.fw.lines", sent);
    let busy = running.cpu_time().saturating_sub(before);
    let [alerts, other] =
        ["endpoint.fw.alerts", "endpoint.fw.skip.no_rule"].map(|name| counter(&agent, name));
    println!("{sent} messages in {took:?}: {alerts} alerts, {other} others, {busy:?} of processor time");
    assert_eq!(alerts + other, sent, "every message was read");
    assert!(
        took < Duration::from_secs(seconds.into()) + Duration::from_secs(2),
        "the sender waited: {took:?}"
    );
    assert!(running.stop().success(), "a clean stop");
}

/// What a firewall says: mostly what it let through, a denial in a hundred.
fn message(number: u32) -> String {
    let action = if number.is_multiple_of(100) { "deny" } else { "accept" };
    format!(
        "<189>date=2026-04-01 time=12:00:00 devname=\"FGT60F\" devid=\"FGT60F0000000000\" logid=\"0000000013\" type=\"traffic\" \
         subtype=\"forward\" level=\"notice\" srcip=10.1.100.11 srcport={} dstip=203.0.113.9 dstport=443 action=\"{action}\" \
         policyid=1 sentbyte=1850 rcvdbyte=39898\n",
        1024 + number
    )
}
