//! How the agent is: what it captured and lost, memory, disk, load. Becomes `Record::Health`, the status file and the
//! service manager's watchdog.

mod host;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sekimori_sensor::counters::Counters;

use sekimori_wire::id::Digest;
use sekimori_wire::record::{Health, Interface, NamedCount};
use sekimori_wire::time::Timestamp;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use self::host::Host;
use crate::capture;

/// A capture thread that has not come round for so long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// What the threads of one interface show to the others, about once a second.
#[derive(Debug)]
pub(crate) struct Gauge {
    pub(crate) interface: String,
    workers: Vec<Shown<WorkerReading>>,
    stage: Shown<StageReading>,
    /// The interface was removed: its threads have ended.
    gone: AtomicBool,
}

type Shown<T> = Mutex<(T, Instant)>;

/// The state of a capture thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerReading {
    pub(crate) sensor: Counters,
    pub(crate) capture: capture::Stats,
    /// Of overload, see [`crate::run`].
    pub(crate) level: u8,
    /// The highest that it was.
    pub(crate) highest: u8,
    /// How often it became overloaded.
    pub(crate) overloads: u64,
    /// What was observed in all.
    pub(crate) events: u64,
    /// Left out because of overload: frames, payloads, events.
    pub(crate) frames_shed: u64,
    pub(crate) payloads_shed: u64,
    pub(crate) events_shed: u64,
    /// ICMP errors that the worker of the flow they quote did not get.
    pub(crate) quotes_shed: u64,
    /// Frames missing from the recording.
    pub(crate) not_recorded: u64,
}

/// The state of the thread that judges what the capture threads of an interface saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageReading {
    pub(crate) sensor: Counters,
    /// Records that were let go because the disk could not keep up.
    pub(crate) shed: u64,
    /// Frames missing from the recording.
    pub(crate) not_recorded: u64,
    /// Events that came too late for their place.
    pub(crate) late: u64,
    /// Findings that each exception came to cover.
    pub(crate) excepted: Vec<(String, u64)>,
}

impl Gauge {
    pub(crate) fn new(interface: &str, workers: usize) -> Self {
        let now = Instant::now();
        Self {
            interface: interface.to_owned(),
            workers: (0..workers).map(|_| Mutex::new((WorkerReading::default(), now))).collect(),
            stage: Mutex::new((StageReading::default(), now)),
            gone: AtomicBool::new(false),
        }
    }

    /// Shows the state of a capture thread.
    pub(crate) fn show_worker(&self, worker: usize, reading: WorkerReading) {
        if let Some(shown) = self.workers.get(worker) {
            show(shown, reading);
        }
    }

    /// Shows the state of the thread that judges.
    pub(crate) fn show_stage(&self, reading: StageReading) {
        show(&self.stage, reading);
    }

    /// From now on nothing comes from this interface. Whether that is new.
    pub(crate) fn set_gone(&self) -> bool {
        !self.gone.swap(true, Ordering::Relaxed)
    }

    /// The interface was removed.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Frames that came, and those that did not or were left out, of all capture threads.
    pub(crate) fn received_and_lost(&self) -> (u64, u64) {
        self.workers.iter().map(read).fold((0, 0), |(received, lost), (worker, _)| {
            let left_out = worker.frames_shed + worker.payloads_shed;
            (received + worker.capture.received, lost + worker.capture.dropped + left_out)
        })
    }

    /// Adds what its threads counted, and tells what was captured in all.
    fn count(&self, counters: &mut Vec<(String, u64)>) -> capture::Stats {
        let mut total = capture::Stats::default();
        let mut add = |name: &str, count| counters.push((name.to_owned(), count));
        for (number, worker) in self.workers.iter().enumerate() {
            let (reading, _) = read(worker);
            reading.sensor.iter().for_each(|(name, count)| add(name, count));
            let WorkerReading { capture, .. } = reading;
            add("capture.damaged", capture.damaged_blocks);
            add("capture.kernel_drops", capture.dropped);
            add("capture.not_recorded", reading.not_recorded);
            add("overload.begun", reading.overloads);
            add("overload.events", reading.events);
            add("overload.frames_shed", reading.frames_shed);
            add("overload.payloads_shed", reading.payloads_shed);
            add("overload.events_shed", reading.events_shed);
            add("overload.quotes_shed", reading.quotes_shed);
            let own = format!("capture.{}.{number}", self.interface);
            add(&format!("{own}.received"), capture.received);
            add(&format!("{own}.kernel_drops"), capture.dropped);
            add(&format!("{own}.level"), reading.level.into());
            total.received += capture.received;
            total.dropped += capture.dropped;
        }
        let (stage, _) = read(&self.stage);
        stage.sensor.iter().for_each(|(name, count)| add(name, count));
        add("capture.not_recorded", stage.not_recorded);
        add("outbox.shed", stage.shed);
        add("merge.late", stage.late);
        counters.extend(stage.excepted);
        counters.push(("capture.interfaces_gone".to_owned(), self.is_gone().into()));
        total
    }

    fn is_alive(&self) -> bool {
        let ages = self.workers.iter().map(|worker| read(worker).1).chain([read(&self.stage).1]);
        self.is_gone() || ages.into_iter().all(|shown| shown.elapsed() < STUCK)
    }
}

fn show<T>(shown: &Shown<T>, reading: T) {
    *shown.lock().unwrap_or_else(PoisonError::into_inner) = (reading, Instant::now());
}

fn read<T: Clone>(shown: &Shown<T>) -> (T, Instant) {
    shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Counters of a sensor and its surroundings as the record wants them: names ascending.
pub(crate) fn named<N: Into<String>>(counters: impl IntoIterator<Item = (N, u64)>) -> Vec<NamedCount<64>> {
    let mut sums = BTreeMap::<String, u64>::new();
    for (name, count) in counters {
        let sum = sums.entry(name.into()).or_default();
        *sum = sum.saturating_add(count);
    }
    sums.into_iter().map(|(name, count)| NamedCount { name: name.into(), count }).collect()
}

/// Findings that each exception came to cover, as counters.
pub(crate) fn excepted(
    by_id: impl IntoIterator<Item = (impl core::fmt::Display, u64)>,
) -> Vec<(String, u64)> {
    by_id.into_iter().map(|(id, count)| (format!("excepted.{id}"), count)).collect()
}

/// Takes the measurements.
#[derive(Debug)]
pub(crate) struct Monitor {
    started: Instant,
    gauges: Vec<Arc<Gauge>>,
    state: PathBuf,
    config_digest: Digest,
    system: Option<System>,
    host: Host,
    cpu: (Instant, u64),
}

impl Monitor {
    pub(crate) fn new(gauges: Vec<Arc<Gauge>>, state: PathBuf, config_digest: Digest) -> Self {
        let started = Instant::now();
        let system = System::new()
            .inspect_err(|error| tracing::warn!(?error, "memory and load of this machine cannot be measured"))
            .ok();
        Self { started, gauges, state, config_digest, system, host: Host::new(), cpu: (started, 0) }
    }

    /// Every thread that captures or judges comes round.
    pub(crate) fn is_alive(&self) -> bool {
        self.gauges.iter().all(|gauge| gauge.is_alive())
    }

    /// The highest level of overload of any capture thread.
    pub(crate) fn level(&self) -> u8 {
        let workers = self.gauges.iter().filter(|gauge| !gauge.is_gone()).flat_map(|gauge| &gauge.workers);
        workers.map(|worker| read(worker).0.level).max().unwrap_or_default()
    }

    /// The highest level of overload that any capture thread reached since it started.
    fn highest(&self) -> u8 {
        let workers = self.gauges.iter().flat_map(|gauge| &gauge.workers);
        workers.map(|worker| read(worker).0.highest).max().unwrap_or_default()
    }

    /// What is known now; spool and shipping are the caller's to add.
    pub(crate) fn measure(&mut self, at: Timestamp, others: Vec<(String, u64)>) -> Health {
        let there = pnet::datalink::interfaces();
        let mut counters = others;
        let mut interfaces = Vec::new();
        counters.push(("overload.level".to_owned(), self.level().into()));
        counters.push(("overload.highest".to_owned(), self.highest().into()));
        for gauge in &self.gauges {
            let total = gauge.count(&mut counters);
            let up = there.iter().any(|one| one.name == gauge.interface && one.is_up() && one.is_running());
            interfaces.push(Interface {
                name: gauge.interface.as_str().into(),
                packets: total.received,
                kernel_drops: total.dropped,
                up: up && !gauge.is_gone(),
            });
        }
        if let Some(system) = &mut self.system {
            let names = self.gauges.iter().map(|gauge| gauge.interface.clone());
            self.host.measure(system, &self.state, names, &mut counters);
        }
        let mut health = Health {
            at,
            uptime_seconds: self.started.elapsed().as_secs(),
            counters: named(counters),
            interfaces,
            disk_free_bytes: disk_free(&self.state),
            load_centi: load_centi(),
            config_digest: self.config_digest,
            ..Health::default()
        };
        self.measure_process(&mut health);
        health
    }

    fn measure_process(&mut self, health: &mut Health) {
        let Some(system) = &mut self.system else { return };
        let this = Pid::from_u32(std::process::id());
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[this]),
            false,
            ProcessRefreshKind::nothing().with_memory().with_cpu(),
        );
        health.memory_total_bytes = system.total_memory();
        let Some(process) = system.process(this) else { return };
        health.rss_bytes = process.memory();
        let (before, used_before) = self.cpu;
        let used = process.accumulated_cpu_time();
        let elapsed = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let permille = used.saturating_sub(used_before).saturating_mul(1000) / elapsed;
        health.cpu_permille = u32::try_from(permille).unwrap_or(u32::MAX);
        self.cpu = (Instant::now(), used);
    }
}

pub(crate) fn disk_free(path: &std::path::Path) -> u64 {
    nix::sys::statvfs::statvfs(path)
        .map_or(0, |stat| stat.blocks_available().saturating_mul(stat.fragment_size()))
}

fn load_centi() -> u32 {
    let Ok(load) = System::load_average() else { return 0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and a load is small and positive"
    )]
    {
        (load.one * 100.0).round() as u32
    }
}

/// Tells the service manager, if there is one. That it cannot be told is no reason to stop.
pub(crate) fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_name_in_order() {
        let named = named([("b", 1), ("a", 2), ("b", u64::MAX)]);
        let named: Vec<_> = named.iter().map(|one| (one.name.as_str(), one.count)).collect();
        assert_eq!(named, [("a", 2), ("b", u64::MAX)]);
    }

    #[test]
    fn measures_this_process_and_the_gauges() {
        let gauge = Arc::new(Gauge::new("lo", 2));
        let capture = capture::Stats { received: 7, dropped: 3, damaged_blocks: 0 };
        gauge.show_worker(0, WorkerReading { capture, level: 1, ..WorkerReading::default() });
        let capture = capture::Stats { received: 70, dropped: 0, damaged_blocks: 0 };
        gauge.show_worker(1, WorkerReading { capture, frames_shed: 4, ..WorkerReading::default() });
        assert_eq!(gauge.received_and_lost(), (77, 7));
        let mut monitor = Monitor::new(vec![gauge], std::env::temp_dir(), Digest::of(b"x"));
        assert!(monitor.is_alive());
        let health = monitor.measure(Timestamp::from_secs(5), vec![("ship.acked".to_owned(), 9)]);
        assert_eq!((health.interfaces[0].packets, health.interfaces[0].kernel_drops), (77, 3));
        assert!(health.rss_bytes > 0 && health.memory_total_bytes > health.rss_bytes);
        assert!(health.disk_free_bytes > 0);
        let count = |name| health.counters.iter().find(|one| &*one.name == name).map(|one| one.count);
        assert_eq!((count("ship.acked"), count("capture.kernel_drops")), (Some(9), Some(3)));
        assert_eq!((count("capture.lo.0.kernel_drops"), count("capture.lo.1.received")), (Some(3), Some(70)));
        assert_eq!((count("overload.level"), count("overload.frames_shed")), (Some(1), Some(4)));
    }
}
