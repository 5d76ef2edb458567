//! A long run on a live interface: benign conversations and attacks at a steady rate, a restart in the middle.
//!
//! Half a minute with the other tests; `cargo xtask soak` asks for an hour (`SEKIMORI_SOAK_MINUTES`). Memory, file descriptors
//! and threads of agent and collector are looked at all the time; the closing line says how they grew.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::budget::{Chance, conversation};
use crate::endpoint::counter;
use crate::kills::Ledger;
use crate::live::{Link, send_timed};
use crate::support::pcap::Pcap;
use crate::support::{Running, wait_for};

/// Of each of the two runs, where nobody asks for more.
const SHORT: Duration = Duration::from_secs(16);
/// Of traffic that is sent at once.
const ROUND: Duration = Duration::from_secs(2);
/// Benign conversations of nine packets a second.
const CONVERSATIONS: u32 = 100;
/// Packets of attacks a second, at most.
const ATTACKING: usize = 500;
/// A frame without its checksum on a cable of 1,500 bytes.
const FRAME_MAX: usize = 1_514;
/// How long the agent is away in the middle.
const AWAY: Duration = Duration::from_secs(3);
/// What a status may be older than the end of its run, and how long a start takes on a busy machine.
const LATE: Duration = Duration::from_secs(15);
/// In an hour, of the second half of a run. What is learned of hosts grows until all have been seen.
const GROWTH_KIB: f64 = 2_048.0;

/// Attacks that the project recorded or made, one after the other.
fn attacks() -> Vec<Vec<Vec<u8>>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("captures of the project")
        .flat_map(|part| std::fs::read_dir(part.expect("a folder").path()).expect("captures").flatten())
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pcap"))
        .collect();
    files.sort();
    let frames = |path: &PathBuf| Pcap::read(path).paced().map(|(_, frame)| frame).collect::<Vec<_>>();
    let usable = |frame: &Vec<u8>| (14..=FRAME_MAX).contains(&frame.len());
    files.iter().map(frames).map(|frames| frames.into_iter().filter(usable).collect()).collect()
}

/// Sends until it is told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    sender: JoinHandle<()>,
}

impl Traffic {
    fn start(netns: String) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let sender = std::thread::spawn(move || {
            let (attacks, mut chance) = (attacks(), Chance(11));
            let mut waiting = attacks.iter().flatten().cycle();
            while !stopped.load(Ordering::Relaxed) {
                let round = round(&mut chance, &mut waiting);
                let frames = u64::try_from(round.len()).expect("few");
                let begin = Instant::now();
                send_timed(&netns, "sk0", round);
                count.fetch_add(frames, Ordering::Relaxed);
                std::thread::sleep(ROUND.saturating_sub(begin.elapsed()));
            }
        });
        Self { stop, sent, sender }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().expect("the sender");
        self.sent.load(Ordering::Relaxed)
    }
}

/// What is sent within [`ROUND`], evenly.
fn round(chance: &mut Chance, attacks: &mut dyn Iterator<Item = &Vec<u8>>) -> Vec<(Duration, Vec<u8>)> {
    let seconds = u32::try_from(ROUND.as_secs()).expect("few");
    let conversations = CONVERSATIONS * seconds;
    let mut frames = Vec::new();
    for number in 0..conversations {
        let at = ROUND * number / conversations;
        frames.extend(conversation(chance).into_iter().map(|frame| (at, frame)));
        let each =
            ATTACKING * usize::try_from(seconds).expect("few") / usize::try_from(conversations).expect("few");
        frames.extend(attacks.take(each).map(|frame| (at, frame.clone())));
    }
    frames
}

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    hours: f64,
    kib: f64,
    descriptors: usize,
    threads: usize,
}

impl Sample {
    fn of(process: &Running, since: Instant) -> Self {
        let kib = u32::try_from(process.anonymous_kib().expect("it runs")).expect("less than 4 TiB");
        Self {
            hours: since.elapsed().as_secs_f64() / 3600.0,
            kib: kib.into(),
            descriptors: process.descriptors().expect("it runs"),
            threads: process.thread_statuses().len(),
        }
    }
}

/// How the second half of a run went.
#[derive(Debug)]
struct Trend {
    /// Least squares.
    kib_an_hour: f64,
    most_kib: f64,
    /// The least and the most.
    descriptors: (usize, usize),
    threads: (usize, usize),
}

impl Trend {
    fn of(samples: &[Sample]) -> Self {
        let half = &samples[samples.len() / 2..];
        let count = f64::from(u32::try_from(half.len()).expect("few"));
        let mean = |value: fn(&Sample) -> f64| half.iter().map(value).sum::<f64>() / count;
        let (hours, kib) = (mean(|one| one.hours), mean(|one| one.kib));
        let with = half.iter().map(|one| (one.hours - hours) * (one.kib - kib)).sum::<f64>();
        let over = half.iter().map(|one| (one.hours - hours).powi(2)).sum::<f64>();
        let range = |value: fn(&Sample) -> usize| {
            let values = || half.iter().map(value);
            (values().min().expect("samples"), values().max().expect("samples"))
        };
        Self {
            kib_an_hour: with / over,
            most_kib: half.iter().map(|one| one.kib).fold(0.0, f64::max),
            descriptors: range(|one| one.descriptors),
            threads: range(|one| one.threads),
        }
    }

    fn told(&self) -> String {
        let Self { kib_an_hour, most_kib, descriptors, threads } = self;
        format!(
            "{most_kib:.0} KiB ({kib_an_hour:+.0} an hour), {}-{} descriptors, {}-{} threads",
            descriptors.0, descriptors.1, threads.0, threads.1
        )
    }

    fn assert_flat(&self, who: &str, is_long: bool) {
        // Connections and the threads of a pool come and go.
        for (least, most) in [self.descriptors, self.threads] {
            assert!(most - least <= 8, "{who}: {self:?}");
        }
        assert!(!is_long || self.kib_an_hour <= GROWTH_KIB, "{who}: {self:?}");
    }
}

/// Runs the agent so long. What agent and collector held, what was sent before it was told to stop, and thousandths of a core
/// that the agent took.
fn watched(link: &Link, traffic: &Traffic, long: Duration) -> ([Trend; 2], u64, f64) {
    let (running, begin) = (link.run(), Instant::now());
    // What was begun before it captured has ended by then.
    std::thread::sleep(ROUND * 2);
    let ready = traffic.sent();
    let mut samples = [Vec::new(), Vec::new()];
    let every = (long / 60).min(Duration::from_secs(10));
    while begin.elapsed() < long {
        samples[0].push(Sample::of(&running, begin));
        samples[1].push(Sample::of(link.collector.running(), begin));
        std::thread::sleep(every);
    }
    let sent = traffic.sent() - ready;
    let busy = running.cpu_time().as_secs_f64() * 1000.0 / begin.elapsed().as_secs_f64();
    assert!(running.stop().success(), "a clean stop");
    (samples.each_ref().map(|samples| Trend::of(samples)), sent, busy)
}

/// Nothing was left out in the run that ended last: frames that it took, and how long nobody looked before it.
fn accounted(link: &Link) -> (u64, u64) {
    for lost in [
        "capture.kernel_drops",
        "overload.frames_shed",
        "overload.payloads_shed",
        "overload.events_shed",
        "outbox.shed",
        "seal.dropped",
    ] {
        assert_eq!(counter(&link.agent, lost), 0, "{lost}");
    }
    let received = (0..8).map(|worker| counter(&link.agent, &format!("capture.sk0.{worker}.received"))).sum();
    (received, counter(&link.agent, "capture.unwatched_ms"))
}

#[test]
fn a_long_run_holds_no_more_at_its_end_and_says_what_it_did_not_see() {
    let minutes = std::env::var("SEKIMORI_SOAK_MINUTES").ok();
    let minutes = minutes.map(|minutes| minutes.parse::<u64>().expect("SEKIMORI_SOAK_MINUTES: a number"));
    let run = minutes.map_or(SHORT, |minutes| Duration::from_secs(minutes * 30));
    let link = Link::with("", false, |_gateway| {});
    let traffic = Traffic::start(link.outside.name.clone());
    let (before, sent, busy) = watched(&link, &traffic, run);
    let left = Instant::now();
    let (received, unwatched) = accounted(&link);
    assert!(received >= sent, "{received} of {sent}");
    assert_eq!(unwatched, 0, "there was no run before");
    std::thread::sleep(AWAY);
    let (after, sent_again, busy_again) = watched(&link, &traffic, run);
    let away = left.elapsed().saturating_sub(run);
    let (received_again, unwatched) = accounted(&link);
    assert!(received_again >= sent_again, "{received_again} of {sent_again}");
    let unwatched = Duration::from_millis(unwatched);
    assert!((AWAY..away + LATE).contains(&unwatched), "{unwatched:?} of {away:?}");
    let all = traffic.end();

    let running = link.run();
    wait_for("the spool is empty", Duration::from_secs(60), || (link.agent.waiting() == 0).then_some(()));
    assert!(running.stop().success(), "a clean stop");
    let ledger = Ledger::of(&link.collector);
    let findings = ledger.number("SELECT count(*) FROM findings");
    assert_eq!(ledger.number("SELECT count(*) FROM gaps"), 0);
    assert!(findings > 0, "attacks were among it");
    link.collector.assert_verifies();
    println!(
        "soak: 2 runs of {} s, {all} packets sent, {received} and {received_again} received, 0 dropped, {} ms unwatched between; {findings} findings; agent {busy:.0} and {busy_again:.0} permille of a core, {}; then {}; collector {}; then {}",
        run.as_secs(),
        unwatched.as_millis(),
        before[0].told(),
        after[0].told(),
        before[1].told(),
        after[1].told(),
    );
    for (who, trend) in
        [("agent", &before[0]), ("agent", &after[0]), ("collector", &before[1]), ("collector", &after[1])]
    {
        trend.assert_flat(who, minutes.is_some());
    }
}
