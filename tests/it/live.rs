//! A real ring on a real interface: nmap in one namespace, the agent in the other, an incident within 30 seconds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pnet::datalink::{self, Channel};
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::tcp::{self, MutableTcpPacket, TcpFlags};
use pnet::packet::{Packet as _, ip::IpNextHeaderProtocols};
use serde_json::Value;

use crate::support::netns::Netns;
use crate::support::{Agent, Collector, Running, program, run_ok, wait_for};

mod same;

const SOON: Duration = Duration::from_secs(20);

/// A gateway with a collector and an agent, and somebody outside, connected by the cable `sk0`.
pub(crate) struct Link {
    pub(crate) outside: Netns,
    /// Name of its namespace.
    pub(crate) gateway: String,
    pub(crate) collector: Collector,
    pub(crate) agent: Agent,
    pub(crate) config: PathBuf,
}

impl Link {
    /// The agent captures what `filter` lets through.
    pub(crate) fn new(engine: &str, filter: &str) -> Self {
        let capture = format!("engine = \"{engine}\"\nfilter = \"{filter}\"\n");
        Self::with(&capture, true, |_gateway| {})
    }

    /// With these lines in `[capture]`, recorded or not, after this was done to the gateway.
    pub(crate) fn with(capture: &str, record: bool, prepare: impl FnOnce(&Netns)) -> Self {
        let gateway = Netns::new("gw");
        let outside = Netns::new("out");
        gateway.connect("198.51.100.1/24", &outside, "198.51.100.66/24", "sk0");
        prepare(&gateway);
        let name = gateway.name.clone();
        let collector = Collector::start_in(Some(gateway));
        let agent = collector.enrol("422011", "live");
        let interfaces = if capture.contains("interfaces =") { "" } else { "interfaces = [\"sk0\"]\n" };
        let record =
            if record { format!("record = {:?}\n", agent.state.join("live.pcap")) } else { String::new() };
        let config = agent.configure(&format!(
            "[capture]\n{interfaces}{capture}{record}\
             [[body]]\ncode = \"422011\"\nmodel = \"alpha\"\n\
             [[segment]]\nname = \"dmz\"\ncidr = [\"198.51.100.1/32\"]\n\
             [[segment]]\nname = \"internet\"\ncidr = [\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\"]\n",
        ));
        Self { outside, gateway: name, collector, agent, config }
    }

    /// Starts the agent and waits until its first batch is stored: then it captures.
    pub(crate) fn run(&self) -> Running {
        let before = self.through();
        let mut command = Netns::command_in(&self.gateway, &program("sekimori-agent"));
        command.args(["run", "--config"]).arg(&self.config);
        let running = Running::logged(&mut command, &self.agent.state.join("agent.log"));
        wait_for("the agent reports", SOON, || (self.through() > before).then_some(()));
        running
    }

    pub(crate) fn through(&self) -> u64 {
        self.collector.through()
    }

    /// What the agent recorded, put aside: the next run begins a new file.
    pub(crate) fn recorded(&self) -> PathBuf {
        let aside = self.agent.state.join("recorded.pcap");
        std::fs::rename(self.agent.state.join("live.pcap"), &aside).expect("the agent recorded");
        aside
    }

    pub(crate) fn replay(&self, format: &str, capture: &Path) -> Vec<Value> {
        let mut command = Command::new(program("sekimori-agent"));
        command.args(["replay", "--quiet", "--format", format, "--config"]).arg(&self.config).arg(capture);
        run_ok(&mut command).lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }

    /// The console's API, from inside the gateway.
    pub(crate) fn api(&self, path: &str) -> Value {
        let mut curl = Netns::command_in(&self.gateway, Path::new("curl"));
        curl.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(self.agent.identity("ca.pem"));
        curl.args(["--user", &format!("{}:{}", self.collector.user, self.collector.password)]);
        curl.arg(format!("https://{}/api/v1/{path}", self.collector.console));
        serde_json::from_str(&run_ok(&mut curl)).expect("JSON from the API")
    }

    /// Every finding that the collector has, by its id.
    pub(crate) fn delivered(&self) -> BTreeMap<String, Value> {
        let status = self.collector.status();
        let incidents = status["incidents"].as_array().expect("incidents");
        let ids = incidents.iter().map(|one| one["id"].as_str().expect("an id"));
        let details: Vec<Value> = ids.map(|id| self.api(&format!("incidents/{id}"))).collect();
        let findings = details.iter().flat_map(|one| one["findings_detail"].as_array().expect("findings"));
        by_id(findings.map(|one| one["finding"].clone()))
    }
}

pub(crate) fn by_id(findings: impl Iterator<Item = Value>) -> BTreeMap<String, Value> {
    findings.map(|one| (one["id"].as_str().expect("an id").to_owned(), one)).collect()
}

fn scanned_live(link: &Link) {
    let running = link.run();
    let start = Instant::now();
    run_ok(link.outside.command(Path::new("nmap")).args([
        "-n",
        "-Pn",
        "-sT",
        "-T4",
        "-p1-300",
        "198.51.100.1",
    ]));
    let incidents = link.collector.incidents("scan", Duration::from_secs(30).saturating_sub(start.elapsed()));
    assert_eq!(incidents[0]["subject"], "198.51.100.66", "{incidents:?}");
    assert!(running.stop().success(), "a clean stop");
    let recorded = link.recorded();

    // What the stop sealed is delivered by the next start.
    let running = link.run();
    wait_for("the spool is empty", SOON, || (link.agent.waiting() == 0).then_some(()));
    let live = link.delivered();
    assert!(running.stop().success(), "a clean stop");
    link.collector.assert_verifies();

    // Live = replay: what was recorded with the kernel's times gives the same findings, times included.
    let replayed = by_id(link.replay("findings", &recorded).into_iter());
    assert!(!replayed.is_empty());
    assert_eq!(live, replayed);
}

#[test]
fn nmap_becomes_an_incident_within_30_seconds_over_our_ring() {
    scanned_live(&Link::new("ring", "not udp"));
}

#[test]
fn nmap_becomes_the_same_incident_over_four_rings() {
    scanned_live(&Link::with("workers = 4\nfilter = \"not udp\"\n", true, |_gateway| {}));
}

#[test]
fn nmap_becomes_an_incident_within_30_seconds_over_libpcap() {
    scanned_live(&Link::new("pcap", "not udp"));
}

/// A SYN with these tags before it, checksums correct.
pub(crate) fn tagged_syn(tags: &[(u16, u16)], port: u16) -> Vec<u8> {
    let (source, target) = ([192, 0, 2, 66].into(), [198, 51, 100, 1].into());
    let mut segment = MutableTcpPacket::owned(vec![0; 20]).expect("20 bytes");
    segment.set_source(40_000 + port);
    segment.set_destination(port);
    segment.set_data_offset(5);
    segment.set_flags(TcpFlags::SYN);
    segment.set_window(1024);
    segment.set_checksum(tcp::ipv4_checksum(&segment.to_immutable(), &source, &target));
    let mut packet = MutableIpv4Packet::owned(vec![0; 40]).expect("40 bytes");
    packet.set_version(4);
    packet.set_header_length(5);
    packet.set_total_length(40);
    packet.set_ttl(64);
    packet.set_next_level_protocol(IpNextHeaderProtocols::Tcp);
    packet.set_source(source);
    packet.set_destination(target);
    packet.set_payload(segment.packet());
    packet.set_checksum(ipv4::checksum(&packet.to_immutable()));
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 0x66]);
    for (kind, vlan) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend([0x08, 0x00]);
    frame.extend(packet.packet());
    frame
}

/// Sends frames on an interface of the namespace of this name, one after the other.
pub(crate) fn send(netns: &str, interface: &str, frames: Vec<Vec<u8>>) {
    send_timed(netns, interface, frames.into_iter().map(|frame| (Duration::ZERO, frame)));
}

/// Sends frames on an interface of the namespace of this name, each so long after the first as it says.
pub(crate) fn send_timed(
    netns: &str,
    interface: &str,
    frames: impl IntoIterator<Item = (Duration, Vec<u8>)>,
) {
    let (path, interface) = (format!("/run/netns/{netns}"), interface.to_owned());
    let frames: Vec<_> = frames.into_iter().collect();
    // A thread of its own: entering a namespace changes the thread.
    let sender = std::thread::spawn(move || {
        let file = std::fs::File::open(path).expect("the namespace");
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may enter it");
        let interface =
            datalink::interfaces().into_iter().find(|one| one.name == interface).expect("the cable");
        let Ok(Channel::Ethernet(mut out, _)) = datalink::channel(&interface, datalink::Config::default())
        else {
            panic!("no channel on {interface}");
        };
        let start = Instant::now();
        for (at, frame) in frames {
            std::thread::sleep(at.saturating_sub(start.elapsed()));
            out.send_to(&frame, None).expect("room in the queue").expect("the frame is sent");
        }
    });
    sender.join().expect("all frames are sent");
}

#[test]
fn tags_that_the_kernel_takes_out_of_the_frames_are_kept() {
    let link = Link::new("ring", "not udp");
    let running = link.run();
    let single = (1..=20).map(|port| tagged_syn(&[(0x8100, 30)], port));
    let double = (21..=40).map(|port| tagged_syn(&[(0x88a8, 100), (0x8100, 30)], port));
    send(&link.outside.name, "sk0", single.chain(double).collect());
    link.collector.incidents("scan", Duration::from_secs(30));
    assert!(running.stop().success(), "a clean stop");
    let flows = link.replay("flows", &link.recorded());
    for port in 1..=40_u16 {
        let to = format!("198.51.100.1:{port}");
        let flow = flows.iter().find(|flow| flow["responder"] == to.as_str());
        let flow = flow.unwrap_or_else(|| panic!("no flow to {to}"));
        assert_eq!(flow["vlan"], if port <= 20 { 30 } else { 100 }, "{flow}");
    }
}
