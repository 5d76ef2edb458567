//! Medians, ratios, the promises, and how they are said. In whole picoseconds: no rounding to argue about.

use serde_json::{Value, json};

use super::captures::Capture;
use super::measure::Usage;
use super::peer::{FLOOR, NDPI, NFPCAPD, OURS, OURS_TWO, SOFTFLOWD, SURICATA};

/// All rounds of a program on a capture.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) capture: String,
    pub(super) program: &'static str,
    pub(super) command: String,
    pub(super) version: String,
    /// Packets that it read: fewer than the capture has if it was cut.
    pub(super) packets: u64,
    pub(super) is_cut: bool,
    /// CPU time on a capture of one packet, in milliseconds.
    pub(super) start_up: u64,
    pub(super) runs: Vec<Usage>,
}

impl Series {
    fn median(&self, of: impl Fn(&Usage) -> u128) -> u64 {
        let mut values: Vec<u128> = self.runs.iter().map(of).collect();
        values.sort_unstable();
        let middle = values.get(values.len() / 2).copied().unwrap_or_default();
        u64::try_from(middle).unwrap_or(u64::MAX)
    }

    /// CPU time of a packet, in picoseconds.
    pub(super) fn cpu(&self) -> u64 {
        self.median(|run| run.cpu.as_nanos() * 1_000 / u128::from(self.packets.max(1)))
    }

    /// Time that passed, by packet.
    fn wall(&self) -> u64 {
        self.median(|run| run.wall.as_nanos() * 1_000 / u128::from(self.packets.max(1)))
    }

    fn rss_anon(&self) -> u64 {
        self.runs.iter().map(|run| run.rss_anon).max().unwrap_or_default()
    }

    fn peak(&self) -> u64 {
        self.runs.iter().map(|run| run.peak).max().unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        json!({
            "capture": self.capture,
            "program": self.program,
            "command": self.command,
            "version": self.version,
            "packets": self.packets,
            "cut": self.is_cut,
            "start_up_cpu_ms": self.start_up,
            "cpu_ps_per_packet": self.cpu(),
            "wall_ps_per_packet": self.wall(),
            "peak_rss_anon_kib": self.rss_anon(),
            "peak_rss_kib": self.peak(),
            "cpu_ms": self.runs.iter().map(|run| run.cpu.as_millis()).collect::<Vec<_>>(),
            "wall_ms": self.runs.iter().map(|run| run.wall.as_millis()).collect::<Vec<_>>(),
        })
    }
}

/// What a promise is about.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Our CPU time by packet is at most so many thousandths of this program's.
    Cpu(&'static str, u64),
    /// Our `RssAnon` is at most so many MiB.
    RssAnon(u64),
    /// Two workers read at least so many thousandths of what one reads in the same time.
    Workers(u64),
}

/// What must hold, on which capture.
const PROMISES: [(&str, Measure); 9] = [
    ("mix", Measure::Cpu(SURICATA, 166)),
    ("mix", Measure::Cpu(NDPI, 250)),
    ("mix", Measure::Cpu(SOFTFLOWD, 999)),
    ("mix", Measure::Cpu(FLOOR, 2_500)),
    ("mix", Measure::RssAnon(96)),
    ("mix", Measure::Workers(1_600)),
    ("small", Measure::Cpu(NFPCAPD, 200)),
    ("small", Measure::Cpu(SOFTFLOWD, 800)),
    ("small", Measure::RssAnon(256)),
];

/// Whether a promise holds; `None` if it was not measured.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) holds: Option<bool>,
    pub(super) text: String,
}

fn thousandths(value: u64) -> String {
    format!("{}.{:02}", value / 1_000, value % 1_000 / 10)
}

/// `ours` in thousandths of `other`.
fn ratio(ours: u64, other: u64) -> u64 {
    ours.saturating_mul(1_000).checked_div(other).unwrap_or(u64::MAX)
}

/// Holds the promises against what was measured.
pub(super) fn verdicts(series: &[Series]) -> Vec<Verdict> {
    let find = |capture: &str, program: &str| {
        series.iter().find(|one| one.capture == capture && one.program == program)
    };
    let judge = |(capture, measure): &(&str, Measure)| {
        let ours = find(capture, OURS);
        let (what, value, holds) = match *measure {
            Measure::Cpu(peer, most) => {
                let value = ours.zip(find(capture, peer)).map(|(ours, peer)| ratio(ours.cpu(), peer.cpu()));
                let what = format!("CPU per packet ≤ {} of {peer}", thousandths(most));
                (what, value.map(thousandths), value.map(|value| value <= most))
            }
            Measure::RssAnon(most) => {
                let value = ours.map(|ours| ours.rss_anon().div_ceil(1_024));
                (
                    format!("RssAnon ≤ {most} MiB"),
                    value.map(|value| format!("{value} MiB")),
                    value.map(|value| value <= most),
                )
            }
            Measure::Workers(least) => {
                let value = ours.zip(find(capture, OURS_TWO)).map(|(one, two)| ratio(one.wall(), two.wall()));
                let what = format!("two workers ≥ {} × one", thousandths(least));
                (what, value.map(thousandths), value.map(|value| value >= least))
            }
        };
        let said = match holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "not measured",
        };
        let value = value.unwrap_or_else(|| "–".to_owned());
        Verdict { holds, text: format!("{said:<14} {capture:<6} {what}: {value}") }
    };
    PROMISES.iter().map(judge).collect()
}

/// The table, as it stands in the documentation.
pub(super) fn table(captures: &[Capture], series: &[Series]) -> String {
    let mut out = String::new();
    for capture in captures {
        let (packets, bytes) = (capture.packets, capture.bytes);
        let length = bytes.saturating_sub(24).checked_div(packets).unwrap_or_default().saturating_sub(16);
        out.push_str(&format!(
            "\n### {}: {packets} packets of {length} bytes on average ({})\n\n",
            capture.name, capture.about
        ));
        out.push_str(
            "| program | CPU ns/packet | ours ÷ it | ns/packet | RssAnon MiB | VmHWM MiB | start-up ms |\n",
        );
        out.push_str("|---|---:|---:|---:|---:|---:|---:|\n");
        let here = || series.iter().filter(|one| one.capture == capture.name);
        let ours = here().find(|one| one.program == OURS).map_or(0, Series::cpu);
        for one in here() {
            out.push_str(&format!(
                "| {}{} | {} | {} | {} | {} | {} | {} |\n",
                one.program,
                if one.is_cut { format!(" (first {} packets)", one.packets) } else { String::new() },
                tenths(one.cpu()),
                thousandths(ratio(ours, one.cpu())),
                tenths(one.wall()),
                one.rss_anon().div_ceil(1_024),
                one.peak().div_ceil(1_024),
                one.start_up,
            ));
        }
    }
    out
}

/// Picoseconds as nanoseconds.
fn tenths(picoseconds: u64) -> String {
    format!("{}.{}", picoseconds / 1_000, picoseconds % 1_000 / 100)
}

/// All of it for a program to read.
pub(super) fn to_json(machine: &Value, captures: &[Capture], series: &[Series]) -> Value {
    let capture = |one: &Capture| json!({ "name": one.name, "packets": one.packets, "bytes": one.bytes, "about": one.about });
    json!({
        "machine": machine,
        "captures": captures.iter().map(capture).collect::<Vec<_>>(),
        "series": series.iter().map(Series::to_json).collect::<Vec<_>>(),
        "promises": verdicts(series)
            .iter()
            .map(|one| json!({ "holds": one.holds, "text": one.text }))
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn series(capture: &str, program: &'static str, millis: &[u64]) -> Series {
        let run = |cpu: &u64| Usage {
            cpu: Duration::from_millis(*cpu),
            wall: Duration::from_millis(*cpu),
            rss_anon: 1_024,
            peak: 2_048,
        };
        Series {
            capture: capture.to_owned(),
            program,
            command: String::new(),
            version: String::new(),
            packets: 1_000_000,
            is_cut: false,
            start_up: 0,
            runs: millis.iter().map(run).collect(),
        }
    }

    #[test]
    fn medians_and_ratios() {
        let ours = series("mix", OURS, &[300, 900, 310]);
        assert_eq!(ours.cpu(), 310_000);
        assert_eq!(thousandths(ratio(310_000, 620_000)), "0.50");
        assert_eq!(tenths(310_450), "310.4");
    }

    #[test]
    fn promises_are_held_against_what_was_measured() {
        let all = [series("mix", OURS, &[100]), series("mix", NDPI, &[500]), series("mix", SOFTFLOWD, &[90])];
        let verdicts = verdicts(&all);
        let of = |text: &str| verdicts.iter().find(|one| one.text.contains(text)).unwrap();
        assert_eq!(of("of ndpiReader").holds, Some(true));
        assert_eq!(of("mix    CPU per packet ≤ 0.99 of softflowd").holds, Some(false));
        assert_eq!(of("of suricata").holds, None);
        assert_eq!(of("RssAnon ≤ 96").holds, Some(true));
        assert_eq!(verdicts.len(), PROMISES.len());
    }

    #[test]
    fn a_line_for_each_program() {
        let capture = Capture {
            name: "mix".into(),
            path: "x".into(),
            packets: 10,
            bytes: 24 + 10 * 76,
            about: "a".into(),
        };
        let text = table(&[capture], &[series("mix", OURS, &[100]), series("mix", NDPI, &[500])]);
        assert!(text.contains("10 packets of 60 bytes"), "{text}");
        assert!(text.contains("| ndpiReader | 500.0 | 0.20 | 500.0 | 1 | 2 | 0 |"), "{text}");
    }
}
