//! How the agent is: what it captured and lost, memory, disk, load. Becomes `Record::Health`, the status file and the
//! service manager's watchdog.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sekimori_sensor::counters::Counters;

use sekimori_wire::id::Digest;
use sekimori_wire::record::{Health, Interface, NamedCount};
use sekimori_wire::time::Timestamp;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::capture;

/// A capture thread that has not come round for so long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// What one capture thread shows to the others, about once a second.
#[derive(Debug)]
pub(crate) struct Gauge {
    pub(crate) interface: String,
    latest: Mutex<(Reading, Instant)>,
}

/// The state of a capture thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) sensor: Counters,
    pub(crate) capture: capture::Stats,
    /// Records that were let go because the disk could not keep up.
    pub(crate) shed: u64,
    /// Frames missing from the recording.
    pub(crate) not_recorded: u64,
    /// Findings that each exception came to cover.
    pub(crate) excepted: Vec<(String, u64)>,
}

impl Gauge {
    pub(crate) fn new(interface: &str) -> Self {
        Self { interface: interface.to_owned(), latest: Mutex::new((Reading::default(), Instant::now())) }
    }

    pub(crate) fn show(&self, reading: Reading) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = (reading, Instant::now());
    }

    fn read(&self) -> (Reading, Instant) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
    cpu: (Instant, u64),
}

impl Monitor {
    pub(crate) fn new(gauges: Vec<Arc<Gauge>>, state: PathBuf, config_digest: Digest) -> Self {
        let started = Instant::now();
        let system = System::new()
            .inspect_err(|error| tracing::warn!(?error, "memory and load of this machine cannot be measured"))
            .ok();
        Self { started, gauges, state, config_digest, system, cpu: (started, 0) }
    }

    /// Every capture thread comes round.
    pub(crate) fn is_alive(&self) -> bool {
        self.gauges.iter().all(|gauge| gauge.read().1.elapsed() < STUCK)
    }

    /// What is known now; spool and shipping are the caller's to add.
    pub(crate) fn measure(&mut self, at: Timestamp, others: Vec<(String, u64)>) -> Health {
        let there = pnet::datalink::interfaces();
        let mut counters = others;
        let mut interfaces = Vec::new();
        for gauge in &self.gauges {
            let (reading, _) = gauge.read();
            let own = [
                ("capture.damaged", reading.capture.damaged_blocks),
                ("capture.kernel_drops", reading.capture.dropped),
                ("capture.not_recorded", reading.not_recorded),
                ("outbox.shed", reading.shed),
            ];
            counters.extend(reading.sensor.iter().chain(own).map(|(name, count)| (name.to_owned(), count)));
            counters.extend(reading.excepted);
            let up = there.iter().any(|one| one.name == gauge.interface && one.is_up() && one.is_running());
            interfaces.push(Interface {
                name: gauge.interface.as_str().into(),
                packets: reading.capture.received,
                kernel_drops: reading.capture.dropped,
                up,
            });
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
        system.refresh_memory();
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
        let gauge = Arc::new(Gauge::new("lo"));
        let capture = capture::Stats { received: 7, dropped: 3, damaged_blocks: 0 };
        gauge.show(Reading { capture, ..Reading::default() });
        let mut monitor = Monitor::new(vec![gauge], std::env::temp_dir(), Digest::of(b"x"));
        assert!(monitor.is_alive());
        let health = monitor.measure(Timestamp::from_secs(5), vec![("ship.acked".to_owned(), 9)]);
        assert_eq!((health.interfaces[0].packets, health.interfaces[0].kernel_drops), (7, 3));
        assert!(health.rss_bytes > 0 && health.memory_total_bytes > health.rss_bytes);
        assert!(health.disk_free_bytes > 0);
        let count = |name| health.counters.iter().find(|one| &*one.name == name).map(|one| one.count);
        assert_eq!((count("ship.acked"), count("capture.kernel_drops")), (Some(9), Some(3)));
    }
}
