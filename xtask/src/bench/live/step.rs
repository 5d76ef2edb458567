//! What happened at one rate: what was lost, what was left out, what it cost.

use serde_json::{Value, json};

/// The generator kept its rate if it sent at least so many thousandths of it.
const KEPT_PERMILLE: u64 = 980;

pub(super) const HEAD: &str = "\
| packets/s | sent | passed (kernel) | seen | lost | seen + lost = passed | level | payloads left out | frames left out | \
events left out | flows not listed | agent CPU | generator CPU |
|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|";

/// What the agent says it has seen, lost and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) seen: u64,
    pub(super) lost: u64,
    /// The highest level of overload.
    pub(super) level: u64,
    pub(super) payloads_shed: u64,
    pub(super) frames_shed: u64,
    pub(super) events: u64,
    pub(super) events_shed: u64,
    pub(super) flows: u64,
    /// Counted in summaries, and not listed.
    pub(super) flows_shed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) wanted: u64,
    /// Packets sent a second.
    pub(super) rate: u64,
    pub(super) sent: u64,
    /// What passed the agent's interface as the kernel counts: what came, and the little that the kernel itself sent.
    pub(super) passed: u64,
    pub(super) told: Told,
    /// CPU time while the rate was held, in thousandths of one core. The generator's holds what the kernel does to bring its
    /// packets across.
    pub(super) agent_cpu: u64,
    pub(super) generator_cpu: u64,
}

impl Told {
    /// From `agent status --json`.
    pub(super) fn of(status: &Value) -> Option<Self> {
        let health = status.get("health")?;
        let one = health.get("interfaces")?.get(0)?;
        let counters = health.get("counters")?.as_array()?;
        let counter = |name: &str| {
            let one = counters.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name));
            one.and_then(|one| one.get("count")?.as_u64()).unwrap_or_default()
        };
        Some(Self {
            seen: one.get("packets")?.as_u64()?,
            lost: one.get("kernel_drops")?.as_u64()?,
            level: counter("overload.highest"),
            payloads_shed: counter("overload.payloads_shed"),
            frames_shed: counter("overload.frames_shed"),
            events: counter("overload.events"),
            events_shed: counter("overload.events_shed"),
            flows: counter("flow.ended"),
            flows_shed: counter("overload.flows_shed"),
        })
    }
}

impl Step {
    /// The agent's figures are the kernel's.
    pub(super) const fn agrees(&self) -> bool {
        self.told.seen + self.told.lost == self.passed
    }

    /// Nothing was lost.
    pub(super) const fn is_lossless(&self) -> bool {
        self.told.lost == 0 && self.agrees()
    }

    /// Nothing was lost, and nothing left out.
    pub(super) const fn is_full_work(&self) -> bool {
        let Told {
            seen: _,
            lost: _,
            level,
            payloads_shed,
            frames_shed,
            events: _,
            events_shed,
            flows: _,
            flows_shed,
        } = self.told;
        self.is_lossless() && level + payloads_shed + frames_shed + events_shed + flows_shed == 0
    }

    pub(super) const fn generator_kept_up(&self) -> bool {
        self.rate * 1_000 >= self.wanted * KEPT_PERMILLE
    }

    pub(super) fn line(&self) -> String {
        let told = &self.told;
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.rate,
            self.sent,
            self.passed,
            told.seen,
            told.lost,
            if self.agrees() { "equal" } else { "DIFFER" },
            told.level,
            share(told.payloads_shed, told.seen),
            share(told.frames_shed, told.seen),
            share(told.events_shed, told.events),
            share(told.flows_shed, told.flows),
            percent(self.agent_cpu),
            percent(self.generator_cpu),
        )
    }

    pub(super) fn to_json(self) -> Value {
        let told = self.told;
        json!({
            "packets_per_second": self.rate,
            "sent": self.sent,
            "passed": self.passed,
            "seen": told.seen,
            "lost": told.lost,
            "highest_level": told.level,
            "payloads_shed": told.payloads_shed,
            "frames_shed": told.frames_shed,
            "events": told.events,
            "events_shed": told.events_shed,
            "flows_ended": told.flows,
            "flows_not_listed": told.flows_shed,
            "agent_cpu_permille": self.agent_cpu,
            "generator_cpu_permille": self.generator_cpu,
        })
    }
}

fn share(part: u64, whole: u64) -> String {
    if part == 0 { "0".to_owned() } else { percent((part * 1_000).checked_div(whole).unwrap_or(1_000)) }
}

fn percent(per_mille: u64) -> String {
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_must_agree_with_the_kernel() {
        let told = Told { seen: 900, lost: 100, ..Told::default() };
        let step = Step { wanted: 100, rate: 99, sent: 1_000, passed: 1_000, told, ..Step::default() };
        assert!(step.agrees() && !step.is_lossless() && step.generator_kept_up());
        assert!(
            step.line().starts_with("| 99 | 1000 | 1000 | 900 | 100 | equal | 0 | 0 |"),
            "{}",
            step.line()
        );
        assert!(!Step { passed: 1_001, ..step }.agrees());
        assert!(!Step { rate: 97, ..step }.generator_kept_up());
    }

    #[test]
    fn full_work_is_more_than_no_loss() {
        let told = Told { seen: 1_000, events: 400, ..Told::default() };
        let step = Step { passed: 1_000, told, ..Step::default() };
        assert!(step.is_lossless() && step.is_full_work());
        for told in [
            Told { level: 1, ..told },
            Told { payloads_shed: 5, ..told },
            Told { frames_shed: 5, ..told },
            Told { events_shed: 5, ..told },
            Told { flows_shed: 5, ..told },
        ] {
            let step = Step { told, ..step };
            assert!(step.is_lossless() && !step.is_full_work(), "{told:?}");
        }
        let some = Step { told: Told { frames_shed: 5, events_shed: 100, ..told }, ..step };
        assert!(some.line().contains("| 0.5 % | 25.0 % | 0 |"), "{}", some.line());
    }

    #[test]
    fn a_status_is_read() {
        let status = json!({ "health": {
            "interfaces": [{ "packets": 10, "kernel_drops": 2 }],
            "counters": [{ "name": "overload.highest", "count": 3 }, { "name": "overload.frames_shed", "count": 4 }],
        }});
        let told = Told { seen: 10, lost: 2, level: 3, frames_shed: 4, ..Told::default() };
        assert_eq!(Told::of(&status), Some(told));
        assert_eq!(Told::of(&json!({ "health": {} })), None);
    }
}
