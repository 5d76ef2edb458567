//! A gateway whose collector is away for long, then back: everything in order, findings first, in memory that does not grow.
//!
//! A few hours of event time with the other tests; `cargo xtask catchup` asks for a week (`SEKIMORI_CATCHUP_HOURS`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Agent, Collector, Running, pcap, program, run_ok, said};

/// Where nobody asks for more.
const HOURS: u64 = 3;
/// However long the outage was: its database's cache fills up to 64 MiB while it runs, and 96 hours came to 111 MiB.
const COLLECTOR_MOST_KIB: u64 = 160 * 1024;
/// Of event time; a summary tells of as much.
const WINDOW_SECONDS: u64 = 10;
/// Connections of an office in such a window.
const FLOWS: u64 = 12;
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

/// A capture of an office: twelve short connections every ten seconds, and once an hour somebody outside looks for open
/// ports. Raw IPv4, seconds and microseconds.
fn office(path: &Path, hours: u64) {
    let mut file = BufWriter::new(File::create(path).expect("a capture"));
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101];
    header.iter().for_each(|word| file.write_all(&word.to_le_bytes()).expect("a header"));
    let mut packet =
        |micros: u64, from: [u8; 4], to: [u8; 4], (from_port, to_port, flags): (u16, u16, u8)| {
            let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
            bytes.extend(from);
            bytes.extend(to);
            bytes.extend(from_port.to_be_bytes());
            bytes.extend(to_port.to_be_bytes());
            bytes.extend([0, 0, 0, 1, 0, 0, 0, u8::from(flags != 0x02), 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
            let seconds = u32::try_from(1_700_000_000 + micros / 1_000_000).expect("before 2106");
            let micros = u32::try_from(micros % 1_000_000).expect("below a million");
            let len = u32::try_from(bytes.len()).expect("forty");
            [seconds, micros, len, len]
                .iter()
                .for_each(|word| file.write_all(&word.to_le_bytes()).expect("a record"));
            file.write_all(&bytes).expect("a packet");
        };
    let byte = |number: u64| u8::try_from(number % 250 + 1).expect("at most 250");
    for window in 0..hours * 3600 / WINDOW_SECONDS {
        let start = window * WINDOW_SECONDS * 1_000_000;
        for flow in 0..FLOWS {
            let (host, server) = ([192, 168, 0, byte(flow)], [203, 0, 113, byte(window * 7 + flow)]);
            let port = u16::try_from(20_000 + (window * FLOWS + flow) % 40_000).expect("a port");
            let at = start + flow * 700_000;
            packet(at, host, server, (port, 443, 0x02));
            packet(at + 9_000, server, host, (443, port, 0x12));
            packet(at + 9_500, host, server, (port, 443, 0x11));
            packet(at + 20_000, server, host, (443, port, 0x11));
        }
        if window % (3600 / WINDOW_SECONDS) == 30 {
            let outsider = [198, 51, 100, byte(window / 360)];
            for port in 1..=60_u16 {
                let at = start + 9_000_000 + u64::from(port) * 10_000;
                packet(at, outsider, [192, 168, 0, 10], (50_000 + port, port, 0x02));
                packet(at + 300, [192, 168, 0, 10], outsider, (port, 50_000 + port, 0x14));
            }
        }
    }
}

fn replay(agent: &Agent, capture: &Path, timeout: &str) -> Command {
    let mut replay = Command::new(program("sekimori-agent"));
    replay.args(["replay", "--ship", "--rebase-time", "--quiet", "--ship-timeout", timeout, "--state"]);
    replay.arg(&agent.state).arg("--format").arg("findings").arg("--output").arg("/dev/null").arg(capture);
    replay
}

/// The largest anonymous memory in the first and in the second half of the samples, in KiB.
fn halves(samples: &[u64]) -> (u64, u64) {
    let (first, second) = samples.split_at(samples.len() / 2);
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    (most(first), most(second))
}

/// Of each lane, when its batches came, in the order of their numbers.
fn received(collector: &Collector) -> [Vec<String>; 2] {
    let bundle = collector.folder.path().join("all.jsonl");
    run_ok(collector.cli(&["export"]).arg("--output").arg(&bundle));
    let mut lanes = [Vec::new(), Vec::new()];
    for line in BufReader::new(File::open(bundle).expect("our own file")).lines() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON lines");
        if line["type"] == "batch" {
            let lane = usize::try_from(line["lane"].as_u64().expect("a number")).expect("small");
            lanes[lane].push(line["received_at"].as_str().expect("a time").to_owned());
        }
    }
    lanes
}

#[expect(clippy::cast_precision_loss, reason = "small numbers that become rates")]
#[test]
fn a_collector_that_was_away_gets_everything_in_order() {
    let hours =
        std::env::var("SEKIMORI_CATCHUP_HOURS").map_or(HOURS, |hours| hours.parse().expect("a number"));
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "island");
    collector.kill_hard();
    let capture = collector.folder.path().join("office.pcap");
    office(&capture, hours);
    let away = replay(&agent, &capture, "1").output().expect("the program starts");
    assert!(said(&away).contains("they stay in the spool"), "{}", said(&away));
    let spool = agent.spool();
    let held = ["urgent", "detail"].map(|lane| spool[lane]["pending_batches"].as_u64().expect("a number"));
    let [urgent, detail] = held.map(|held| usize::try_from(held).expect("some"));
    let bytes: u64 = ["urgent", "detail"].iter().filter_map(|lane| spool[lane]["bytes"].as_u64()).sum();
    assert!(urgent as u64 >= hours / 8 && detail as u64 >= hours * 40, "{urgent} and {detail}");

    collector.run();
    let began = Instant::now();
    let mut back = Running::start(&mut replay(&agent, &pcap("scan.port/positive-outside.pcap"), "3600"));
    let (mut agents, mut collectors) = (Vec::new(), Vec::new());
    while !back.has_ended() {
        agents.extend(back.anonymous_kib());
        collectors.extend(collector.running().anonymous_kib());
        std::thread::sleep(SAMPLE);
    }
    let took = began.elapsed().as_secs_f64();
    assert_eq!(agent.waiting(), 0);
    collector.assert_verifies();
    let lanes = received(&collector);
    assert!(lanes[0].len() >= urgent && lanes[1].len() >= detail, "{} {}", lanes[0].len(), lanes[1].len());
    assert!(lanes.iter().all(|lane| lane.is_sorted()), "in the order in which they were sealed");
    // What was on its way when the last finding was sent may arrive beside it.
    let last_finding = &lanes[0][urgent - 1];
    let before = lanes[1].iter().filter(|at| *at < last_finding).count();
    assert!(
        before * 10 <= lanes[1].len(),
        "{before} of {} summaries came before the findings",
        lanes[1].len()
    );
    let (agents, collectors) = (halves(&agents), halves(&collectors));
    assert!(agents.1 <= agents.0 * 5 / 4 + 8 * 1024, "the agent grows: {} to {} KiB", agents.0, agents.1);
    let most = collectors.0.max(collectors.1);
    assert!(most <= COLLECTOR_MOST_KIB, "the collector takes {most} KiB");
    let event_hours = hours as f64;
    println!(
        "catchup: {hours} h in {} batches ({urgent} urgent), {} KiB, in {took:.1} s: {:.0} batches/s, {:.1} h of event time a second; \
         RssAnon agent {} then {} KiB, collector {} then {} KiB",
        urgent + detail,
        bytes / 1024,
        (urgent + detail) as f64 / took,
        event_hours / took,
        agents.0,
        agents.1,
        collectors.0,
        collectors.1,
    );
}
