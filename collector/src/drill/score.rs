//! What a drill came to: what was expected of each role against what the histories of its incidents say was done.

use std::collections::BTreeMap;

use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::scenario::{Expected, Scenario};
use crate::auth::role::Role;

/// Nanoseconds of a minute.
const MINUTE_NANOS: u64 = 60_000_000_000;

closed_words! {
    /// What became of something that was expected.
    Verdict {
        /// Done by the role, in time.
        Met "met" "期限内に実施" "Done in time",
        /// Done by the role, too late.
        Late "late" "遅れて実施" "Done late",
        /// Done in time, but by another role.
        Other "other" "他の役割が実施" "Done by another role",
        /// Not done, and there is still time.
        Open "open" "未実施(期限前)" "Not done yet",
        /// Not done.
        Missed "missed" "未実施" "Not done",
    }
}

/// Something that somebody did, as the history of an incident has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// In which role.
    pub role: Role,
    /// What, by its stable identifier; a proposal counts as what it proposes.
    pub action: String,
    /// Of a task: which step of the playbook.
    pub step: Option<String>,
    /// Of which incident.
    pub incident: String,
}

/// One thing that was expected, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What was expected.
    pub expected: Expected,
    /// What became of it.
    pub verdict: Verdict,
    /// Who did it.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// In which incident.
    pub incident: Option<String>,
}

/// What one role came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleScore {
    /// Which.
    pub role: Role,
    /// Expected of it.
    pub expected: u32,
    /// Done in time.
    pub met: u32,
    /// Done late.
    pub late: u32,
    /// In hundredths: in time counts whole, late half, of all that was expected.
    pub percent: u32,
}

/// What a drill came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// In the order of the scenario.
    pub lines: Vec<Line>,
    /// In the order of the roles.
    pub roles: Vec<RoleScore>,
}

/// A minute of a drill on the clock.
pub fn minute(started: Timestamp, minutes: u32) -> Timestamp {
    Timestamp::from_nanos(started.nanos().saturating_add(u64::from(minutes).saturating_mul(MINUTE_NANOS)))
}

/// Holds what was done, in the order of time, against what was expected; `now` says what can still be done.
pub fn score(scenario: &Scenario, started: Timestamp, done: &[Done], now: Timestamp) -> Score {
    let lines: Vec<Line> = scenario.expected.iter().map(|one| line(one, started, done, now)).collect();
    let mut roles: BTreeMap<Role, (u32, u32, u32)> = BTreeMap::new();
    for one in &lines {
        let (expected, met, late) = roles.entry(one.expected.role).or_default();
        *expected += 1;
        *met += u32::from(one.verdict == Verdict::Met);
        *late += u32::from(one.verdict == Verdict::Late);
    }
    let role = |(role, (expected, met, late)): (Role, (u32, u32, u32))| {
        let halves = met.saturating_mul(2).saturating_add(late);
        let percent = halves.saturating_mul(50).checked_div(expected).unwrap_or_default();
        RoleScore { role, expected, met, late, percent }
    };
    Score { roles: roles.into_iter().map(role).collect(), lines }
}

fn line(expected: &Expected, started: Timestamp, done: &[Done], now: Timestamp) -> Line {
    let deadline = minute(started, expected.by);
    let fits = |one: &&Done| one.action == expected.action.as_str() && one.step == expected.step;
    let own = done.iter().filter(fits).find(|one| one.role == expected.role);
    let other = done.iter().filter(fits).find(|one| one.at <= deadline);
    let (verdict, by) = match (own, other) {
        (Some(own), _) if own.at <= deadline => (Verdict::Met, Some(own)),
        (_, Some(other)) => (Verdict::Other, Some(other)),
        (Some(own), None) => (Verdict::Late, Some(own)),
        (None, None) if now <= deadline => (Verdict::Open, None),
        (None, None) => (Verdict::Missed, None),
    };
    Line {
        expected: expected.clone(),
        verdict,
        by: by.map(|one| one.actor.clone()),
        at: by.map(|one| one.at),
        incident: by.map(|one| one.incident.clone()),
    }
}

impl Score {
    /// What to get better at: what was not done in time by whom it was expected of.
    pub fn improvements(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| match line.verdict {
            Verdict::Late | Verdict::Other | Verdict::Missed => true,
            Verdict::Met | Verdict::Open => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::scenario::load;

    fn did(started: Timestamp, minutes: u32, role: Role, action: &str, step: Option<&str>) -> Done {
        Done {
            at: minute(started, minutes),
            actor: format!("person-{role}"),
            role,
            action: action.to_owned(),
            step: step.map(str::to_owned),
            incident: "DRL-422011-20261124-1".to_owned(),
        }
    }

    #[test]
    fn each_role_is_held_against_the_clock_and_its_own_deeds() {
        let scenario = load("lost_device").unwrap();
        let started = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let done = [
            did(started, 10, Role::Reception, "acknowledge", None),
            did(started, 21, Role::Reception, "do_task", Some("interview")),
            did(started, 24, Role::Control, "triage", None),
            did(started, 30, Role::BodyOfficer, "do_task", Some("mdm")),
        ];
        let found = score(&scenario, started, &done, minute(started, 60));
        let verdicts: Vec<Verdict> = found.lines.iter().map(|line| line.verdict).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Met,
                Verdict::Late,
                Verdict::Other,
                Verdict::Met,
                Verdict::Missed,
                Verdict::Open,
                Verdict::Open,
                Verdict::Open
            ]
        );
        let of = |role: Role| found.roles.iter().find(|one| one.role == role).unwrap();
        assert_eq!(
            (of(Role::Reception).met, of(Role::Reception).late, of(Role::Reception).percent),
            (1, 1, 75)
        );
        assert_eq!(of(Role::Monitor).percent, 0, "another role did it");
        assert_eq!(of(Role::BodyOfficer).percent, 20, "one of five");
        assert_eq!(found.improvements().count(), 3);
        let after = score(&scenario, started, &done, minute(started, 91));
        assert_eq!(after.improvements().count(), 6);
    }
}
