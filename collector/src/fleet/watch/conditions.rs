//! What makes a sensor's silence credible no more, as data: a measure of its health, from where on it is bad, and why there.

use std::collections::BTreeMap;
use std::time::Duration;

use sekimori_wire::finding::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Limits, Verdict};

/// One thing that can be wrong.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// The stable identifier.
    pub key: &'static str,
    /// In Japanese.
    pub ja: &'static str,
    /// In English.
    pub en: &'static str,
    /// What is looked at.
    pub(crate) measure: Measure,
    /// How long it must hold before somebody is told.
    pub hold: Duration,
    /// How long it must be over before that is told.
    pub clear: Duration,
    /// How bad it is.
    pub severity: Severity,
    /// Why here.
    pub why: &'static str,
}

/// A figure of a health record: bad from `on`, good below `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// Growth of the first in thousandths of the growth of both, if the first grew by at least so many.
    Share { part: &'static str, of: &'static str, least: u64, on: u64, off: u64 },
    /// The first in thousandths of the second.
    Fill { part: &'static str, of: &'static str, on: u64, off: u64 },
    /// Growth per minute.
    Rate { name: &'static str, on: u64, off: u64 },
    /// As it is.
    Level { name: &'static str, on: u64, off: u64 },
    /// Bad below `on`, good from `off`; what was not measured is neither.
    Least { name: &'static str, on: u64, off: u64 },
    /// The agent's clock, against the limit of the configuration; good below half of it.
    Clock,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Of silence itself, see [`super::silence`].
pub const SILENT: &str = "silent";

/// Everything that is looked at beside silence.
pub const CONDITIONS: &[Condition] = &[
    Condition {
        key: "clock",
        ja: "時刻ずれ",
        en: "clock is off",
        measure: Measure::Clock,
        hold: MINUTE,
        clear: MINUTE,
        severity: Severity::MEDIUM,
        why: "evidence with a wrong time does not fit that of others; a minute lets NTP set the clock after a start",
    },
    Condition {
        key: "ntp",
        ja: "時刻同期なし",
        en: "clock is not synchronised",
        measure: Measure::Level { name: "clock.unsynchronised", on: 1, off: 1 },
        hold: Duration::from_secs(3_600),
        clear: MINUTE,
        severity: Severity::LOW,
        why: "the kernel says that nobody disciplines its clock: it will be off one day; an hour is for a start without a network",
    },
    Condition {
        key: "kernel_loss",
        ja: "カーネルでの取りこぼし",
        en: "frames lost in the kernel",
        measure: Measure::Share { part: "kernel_drops", of: "packets", least: 100, on: 10, off: 2 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "from 1 % on, counts of detectors fall below their thresholds; shorter bursts are in the counters",
    },
    Condition {
        key: "nic_loss",
        ja: "NICでの取りこぼし",
        en: "frames lost in the network card",
        measure: Measure::Share { part: "host.rx_missed", of: "packets", least: 100, on: 10, off: 2 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "as with the kernel; the card's ring is too short, or nobody empties it in time",
    },
    Condition {
        key: "nic_damaged",
        ja: "破損フレーム",
        en: "damaged frames on the link",
        measure: Measure::Share { part: "host.rx_errors", of: "packets", least: 100, on: 10, off: 2 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "a cable, a module or a port is failing: what is damaged is not seen by any detector",
    },
    Condition {
        key: "merging",
        ja: "受信フレームの結合(GRO/LRO)",
        en: "received frames are merged (GRO, LRO)",
        measure: Measure::Level { name: "host.merging", on: 1, off: 1 },
        hold: Duration::from_secs(3_600),
        clear: MINUTE,
        severity: Severity::LOW,
        why: "numbers and sizes of packets are not those of the wire; `sekimori-agent doctor` names the command that ends it",
    },
    Condition {
        key: "cpu",
        ja: "CPU高負荷",
        en: "processors are busy",
        measure: Measure::Level { name: "host.cpu_permille", on: 950, off: 850 },
        hold: Duration::from_secs(1_800),
        clear: Duration::from_secs(600),
        severity: Severity::LOW,
        why: "half an hour is no burst: something else runs there, or the machine is too small for its link",
    },
    Condition {
        key: "memory",
        ja: "メモリ不足",
        en: "memory is short",
        measure: Measure::Least { name: "host.memory_available_mib", on: 32, off: 64 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(300),
        severity: Severity::MEDIUM,
        why: "the kernel will soon end a program, and it may be this one; our own memory is bounded",
    },
    Condition {
        key: "temperature",
        ja: "高温",
        en: "the machine is hot",
        measure: Measure::Level { name: "host.temperature_celsius", on: 90, off: 80 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "processors slow down near 100 degrees, and then frames are lost",
    },
    Condition {
        key: "overload",
        ja: "過負荷",
        en: "overload",
        measure: Measure::Level { name: "overload.level", on: 2, off: 2 },
        hold: Duration::from_secs(300),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "from level 2 on payload is not looked at; level 1 only shortens summaries",
    },
    Condition {
        key: "records_lost",
        ja: "記録の喪失",
        en: "records lost before sealing",
        measure: Measure::Rate { name: "records_lost", on: 1, off: 1 },
        hold: Duration::ZERO,
        clear: Duration::from_secs(600),
        severity: Severity::HIGH,
        why: "what was found is gone: each one counts",
    },
    Condition {
        key: "spool",
        ja: "スプール逼迫",
        en: "spool nearly full",
        measure: Measure::Fill { part: "spool_bytes", of: "spool.quota_bytes", on: 800, off: 600 },
        hold: MINUTE,
        clear: MINUTE,
        severity: Severity::MEDIUM,
        why: "at the quota summaries go; a fifth of it is still hours",
    },
    Condition {
        key: "disk",
        ja: "ディスク残量不足",
        en: "disk nearly full",
        measure: Measure::Least { name: "disk_free_bytes", on: 128 << 20, off: 256 << 20 },
        hold: MINUTE,
        clear: MINUTE,
        severity: Severity::MEDIUM,
        why: "some minutes of the full uplink; then nothing can be sealed",
    },
    Condition {
        key: "seal",
        ja: "封印失敗",
        en: "batches cannot be sealed",
        measure: Measure::Rate { name: "seal.failed", on: 1, off: 1 },
        hold: MINUTE,
        clear: Duration::from_secs(300),
        severity: Severity::HIGH,
        why: "the disk refuses or the chain is broken; a single failure is tried again",
    },
    Condition {
        key: "interface",
        ja: "監視インタフェース停止",
        en: "an interface is down",
        measure: Measure::Level { name: "interfaces_down", on: 1, off: 1 },
        hold: Duration::from_secs(120),
        clear: MINUTE,
        severity: Severity::MEDIUM,
        why: "nothing of that link is seen; a restart of the switch takes less than two minutes",
    },
    Condition {
        key: "parsers",
        ja: "解析の省略",
        en: "conversations are not read to their end",
        measure: Measure::Rate { name: "proto.parsers_shed", on: 600, off: 60 },
        hold: Duration::from_secs(600),
        clear: Duration::from_secs(600),
        severity: Severity::MEDIUM,
        why: "ten a second for ten minutes is no burst: detectors of content see a part only",
    },
    Condition {
        key: "intel_unread",
        ja: "脅威情報の読込失敗",
        en: "threat intelligence is incomplete",
        measure: Measure::Level { name: "intel.files_unread", on: 1, off: 1 },
        hold: Duration::from_secs(600),
        clear: Duration::ZERO,
        severity: Severity::MEDIUM,
        why: "the agent looks for nothing of these lists; ten minutes are for whoever is copying them now",
    },
    Condition {
        key: "intel_stale",
        ja: "脅威情報の更新停止",
        en: "threat intelligence is too old",
        measure: Measure::Level { name: "intel.feeds_stale", on: 1, off: 1 },
        hold: Duration::from_secs(3_600),
        clear: Duration::ZERO,
        severity: Severity::MEDIUM,
        why: "each feed says itself when it should have been replaced; an hour is for a late import",
    },
    Condition {
        key: "source_quiet",
        ja: "警告の送信元の沈黙",
        en: "a source of endpoint alerts went quiet",
        measure: Measure::Level { name: "endpoint.quiet", on: 1, off: 1 },
        hold: Duration::ZERO,
        clear: Duration::ZERO,
        severity: Severity::MEDIUM,
        why: "how long a source may say nothing is set for it on the agent: that time is over already",
    },
    Condition {
        key: "watch_unable",
        ja: "死活監視の実行不能",
        en: "a watched server cannot be asked",
        measure: Measure::Level { name: "watch.unable", on: 1, off: 1 },
        hold: Duration::from_secs(600),
        clear: Duration::ZERO,
        severity: Severity::LOW,
        why: "the agent's machine does not allow the probe (net.ipv4.ping_group_range): nobody watches that server",
    },
];

/// What is looked at of one health record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    uptime: u64,
    counts: BTreeMap<String, u64>,
    /// Offset and error of the agent's clock, in milliseconds.
    clock: Option<(i64, u64)>,
}

impl Facts {
    /// From a stored health record.
    pub fn of(health: &Value) -> Self {
        let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
        let list =
            |key: &str| health.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for one in list("counters") {
            if let Some((name, count)) = one.get("name").and_then(Value::as_str).zip(number(one, "count")) {
                counts.insert(name.to_owned(), count);
            }
        }
        let interfaces = list("interfaces");
        let sum =
            |key: &str| interfaces.iter().filter_map(|one| number(one, key)).fold(0, u64::saturating_add);
        let down = interfaces.iter().filter(|one| one.get("up") == Some(&Value::Bool(false))).count();
        let of = |name: &str| counts.get(name).copied().unwrap_or_default();
        let lost = of("outbox.shed").saturating_add(of("seal.dropped"));
        counts.insert("records_lost".to_owned(), lost);
        counts.insert("packets".to_owned(), sum("packets"));
        counts.insert("kernel_drops".to_owned(), sum("kernel_drops"));
        counts.insert("interfaces_down".to_owned(), u64::try_from(down).unwrap_or(u64::MAX));
        counts.insert("spool_bytes".to_owned(), number(health, "spool_bytes").unwrap_or_default());
        // A replay does not measure the machine that it happens to run on.
        if number(health, "memory_total_bytes").is_some_and(|bytes| bytes > 0) {
            counts
                .insert("disk_free_bytes".to_owned(), number(health, "disk_free_bytes").unwrap_or_default());
        }
        let clock = health
            .get("clock")
            .and_then(|clock| Some((clock.get("offset_ms")?.as_i64()?, clock.get("error_ms")?.as_u64()?)));
        Self { uptime: number(health, "uptime_seconds").unwrap_or_default(), counts, clock }
    }

    /// Offset and error of the agent's clock, in milliseconds.
    pub const fn clock(&self) -> Option<(i64, u64)> {
        self.clock
    }

    /// A counter; 0 if there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

impl Measure {
    /// Judges a health record by itself and by the one before. `ahead_ms`: how far the newest batch was sealed in the future.
    pub(crate) fn judge(
        &self,
        limits: Limits,
        now: &Facts,
        before: Option<&Facts>,
        ahead_ms: i64,
    ) -> Verdict {
        let begun_again = before.is_none_or(|before| before.uptime > now.uptime);
        let nothing = Facts::default();
        let before = before.filter(|_| !begun_again).unwrap_or(&nothing);
        let growth = |name: &str| now.count(name).saturating_sub(before.count(name));
        match *self {
            Self::Share { part, of, least, on, off } => {
                let (part, of) = (growth(part), growth(of));
                let share = part.saturating_mul(1000) / part.saturating_add(of).max(1);
                let share = if part < least { 0 } else { share };
                graded(share, on, off, || json!({ "lost": part, "seen": of, "permille": share }))
            }
            Self::Fill { part, of, on, off } => {
                let (part, of) = (now.count(part), now.count(of));
                if of == 0 {
                    return Verdict::Open;
                }
                let share = part.saturating_mul(1000) / of;
                graded(share, on, off, || json!({ "used": part, "quota": of, "permille": share }))
            }
            Self::Rate { name, on, off } => {
                let grown = growth(name);
                let seconds = now.uptime.saturating_sub(before.uptime).max(1);
                // Whatever grew at all is at least one.
                let rate = (grown.saturating_mul(60) / seconds).max(u64::from(grown > 0));
                graded(rate, on, off, || json!({ "counter": name, "grown": grown, "per_minute": rate }))
            }
            Self::Level { name, on, off } => {
                let level = now.count(name);
                graded(level, on, off, || json!({ "counter": name, "value": level }))
            }
            Self::Least { name, on, off } => match now.counts.get(name) {
                None => Verdict::Open,
                Some(value) if *value < on => Verdict::Bad(None, json!({ "name": name, "value": value })),
                Some(value) if *value >= off => Verdict::Good,
                Some(_) => Verdict::Open,
            },
            Self::Clock => clock(limits, now.clock, ahead_ms),
        }
    }

    /// From where on it is bad, for whoever asks why.
    pub(crate) fn threshold(&self, limits: Limits) -> Value {
        match *self {
            Self::Share { least, on, .. } => json!({ "permille": on, "least": least }),
            Self::Fill { on, .. } => json!({ "permille": on }),
            Self::Rate { on, .. } => json!({ "per_minute": on }),
            Self::Level { on, .. } => json!({ "value": on }),
            Self::Least { on, .. } => json!({ "below": on }),
            Self::Clock => json!({ "seconds": limits.skew.as_secs() }),
        }
    }
}

fn graded(value: u64, on: u64, off: u64, inputs: impl FnOnce() -> Value) -> Verdict {
    if value >= on {
        Verdict::Bad(None, inputs())
    } else if value < off {
        Verdict::Good
    } else {
        Verdict::Open
    }
}

/// The agent's own figure less its error; and a batch sealed in the future, whatever the agent says. One sealed in the past
/// proves nothing: it may have waited for the line.
fn clock(limits: Limits, said: Option<(i64, u64)>, ahead_ms: i64) -> Verdict {
    let limit = u64::try_from(limits.skew.as_millis()).unwrap_or(u64::MAX);
    let ahead = u64::try_from(ahead_ms).unwrap_or_default();
    let sure = said.map(|(offset, error)| offset.unsigned_abs().saturating_sub(error));
    let worst = sure.unwrap_or_default().max(ahead);
    if worst > limit {
        let (offset, error) = said.unwrap_or_default();
        Verdict::Bad(None, json!({ "offset_ms": offset, "error_ms": error, "sealed_ahead_ms": ahead }))
    } else if worst <= limit / 2 && sure.is_some() {
        Verdict::Good
    } else {
        Verdict::Open
    }
}
