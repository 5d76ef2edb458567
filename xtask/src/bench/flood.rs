//! `--flood`: what a flood of new flows leaves behind in memory.
//!
//! A capture goes into the standard input of a replay, made as it is read: minutes of ordinary traffic, then the flood beside
//! it, then ordinary traffic again. Where a part ends nothing is written until the program has taken all of it and rests, and
//! its anonymous memory is read. The same seed gives the same bytes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::frames::Writer;
use super::measure::kib;
use super::small::{self, Kind};
use crate::command;
use crate::pcaps::capture::Rng;
use crate::pcaps::craft::{self, Segment, TcpFlags};

const BEGIN: u64 = 1_700_000_000 * 1_000_000;
const SECOND: u64 = 1_000_000;
/// Packets a second of ordinary traffic.
const ORDINARY: u64 = 2_000;
/// And of the flood.
const FLOOD: u64 = 300_000;
/// Conversations that last.
const FLOWS: u64 = 5_000;
/// New flows of the flood, if fewer packets were not asked for.
const FLOWS_MAX: u64 = 10_000_000;
/// Seconds of ordinary traffic before the flood: longer than whatever a table keeps of a flow that ended.
const BEFORE: u64 = 900;
/// After it: when the promise counts, and later.
const AFTER: [u64; 3] = [60, 180, 600];
/// Memory 60 s after the flood, in hundredths of that before it.
const PROMISE: u64 = 110;
/// A program that takes no time for so long rests.
const REST: Duration = Duration::from_millis(400);
/// After the flood each second of event time takes so long at least.
const PACE: Duration = Duration::from_millis(50);
/// It takes no longer for one part.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures; whether the promise holds.
pub(super) fn run(agent: &Path, packets: u64) -> anyhow::Result<bool> {
    let mut program = Command::new(agent);
    program.args(["replay", "-", "--quiet", "--format", "summary"]);
    program.stdin(Stdio::piped()).stdout(Stdio::null());
    let shown = command::show(&program);
    let mut child = program.spawn().with_context(|| format!("cannot start {shown}"))?;
    let into = child.stdin.take().context("no standard input")?;
    let mut replayed = Replayed { child, traffic: Traffic::begin(into)? };

    replayed.traffic.ordinary(BEFORE, Duration::ZERO)?;
    let before = replayed.memory()?;
    println!("{before:>9} KiB after {BEFORE} s of {ORDINARY} packets a second");
    let flows = packets.min(FLOWS_MAX);
    replayed.traffic.flood(flows)?;
    println!("{:>9} KiB at the end of {flows} new flows, {FLOOD} a second", replayed.memory()?);
    let mut passed = 0;
    let mut promised = 0;
    for seconds in AFTER {
        replayed.traffic.ordinary(seconds - passed, PACE)?;
        passed = seconds;
        let after = replayed.memory()?;
        if promised == 0 {
            promised = after * 100 / before.max(1);
        }
        println!("{after:>9} KiB {seconds} s after it");
    }
    replayed.end()?;
    let holds = promised <= PROMISE;
    let word = if holds { "holds" } else { "does not hold" };
    println!(
        "{word}: RssAnon 60 s after a flood is {}.{:02} of that before it, promised {}.{:02}",
        promised / 100,
        promised % 100,
        PROMISE / 100,
        PROMISE % 100
    );
    Ok(holds)
}

/// The program, and what it reads.
struct Replayed {
    child: Child,
    traffic: Traffic,
}

impl Replayed {
    /// Its anonymous memory once it has taken everything, in KiB.
    fn memory(&mut self) -> anyhow::Result<u64> {
        self.traffic.out.flush()?;
        let began = Instant::now();
        let mut last = self.cpu_ticks()?;
        loop {
            std::thread::sleep(REST);
            let now = self.cpu_ticks()?;
            if now == last {
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "the program does not come to rest");
            last = now;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(kib(&status, "RssAnon:"))
    }

    /// Time that it took so far, of all its threads.
    fn cpu_ticks(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("no such line in /proc")?;
        // utime and stime, the 14th and 15th of proc_pid_stat(5), of which two are before the bracket.
        Ok(fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum())
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.traffic.out.flush()?;
        drop(self.traffic);
        let status = self.child.wait()?;
        ensure!(status.success(), "the program ended with {status}");
        Ok(())
    }
}

/// Packets, one after another in event time.
struct Traffic {
    out: Writer<ChildStdin>,
    rng: Rng,
    at: u64,
}

impl Traffic {
    fn begin(into: ChildStdin) -> anyhow::Result<Self> {
        Ok(Self { out: Writer::to(into)?, rng: Rng::named("flood"), at: BEGIN })
    }

    /// Conversations that last, and one question to a name server in five packets. An allocator gives memory back after a time
    /// on the wall, and never without being called: after the flood, event time may not fly a thousand times as fast.
    fn ordinary(&mut self, seconds: u64, pause: Duration) -> anyhow::Result<()> {
        for _ in 0..seconds {
            for _ in 0..ORDINARY / 5 {
                self.five(SECOND / ORDINARY)?;
            }
            if !pause.is_zero() {
                self.out.flush()?;
                std::thread::sleep(pause);
            }
        }
        Ok(())
    }

    fn five(&mut self, step: u64) -> anyhow::Result<()> {
        let question = self.rng.next();
        self.put(step, &small::frame(Kind::Question, question))?;
        self.put(step, &small::frame(Kind::Answer, question))?;
        for kind in [Kind::Segment, Kind::Reply, Kind::Segment] {
            let flow = self.rng.between(0, FLOWS);
            self.put(step, &small::frame(kind, flow))?;
        }
        Ok(())
    }

    /// New flows, each of one packet from an address of its own: three of four ask for a connection with one of eight servers,
    /// the fourth is a datagram. Beside them the ordinary packets.
    fn flood(&mut self, flows: u64) -> anyhow::Result<()> {
        for done in 0..flows {
            if done % (FLOOD * 5 / ORDINARY) == 0 {
                self.five(0)?;
            }
            let from = Ipv4Addr::from_bits(0x1000_0000 + u32::try_from(self.rng.between(0, 0xb000_0000))?);
            let from = craft::end(IpAddr::V4(from), self.rng.word().max(1024));
            let server = Ipv4Addr::from_bits(0x0a35_0000 + u32::try_from(self.rng.between(0, 8))?);
            let (seq, id) = (self.rng.number(), self.rng.word());
            let frame = if done % 4 == 3 {
                craft::udp(from, craft::end(IpAddr::V4(server), self.rng.word().max(1)), id, b"0123456789ab")
            } else {
                let to = craft::end(IpAddr::V4(server), 443);
                let flags = TcpFlags::SYN;
                craft::tcp(&Segment { from, to, seq, ack: 0, flags, window: 64_240, payload: &[] }, id)
            };
            self.put(if done % 3 == 0 { 4 } else { 3 }, &frame)?;
        }
        Ok(())
    }

    fn put(&mut self, step: u64, frame: &[u8]) -> anyhow::Result<()> {
        self.out.frame(self.at, u32::try_from(frame.len())?, frame)?;
        self.at += step;
        Ok(())
    }
}
