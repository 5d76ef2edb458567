//! Which server is asked when, how each is, and what is said about it. Pure: time and chance are given.
//!
//! ```text
//! due ─► probe ─Outcome─► take ─► Run (hysteresis) ─► tell: isolation ─► finding, grown while it lasts, ended when it is over
//! ```
//! A server that is down while something that it depends on is down too has no finding of its own: it is named in that of the
//! stage at fault. While it is not known how its dependencies are, these are asked first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sekimori_sensor::segment::Policy;
use sekimori_wire::finding::Finding;
use sekimori_wire::time::Timestamp;

use super::figures::Figures;
use super::level::{FAILURES, Level, Run};
use super::report::{self, Report};
use super::target::{Fault, Outcome, Target};

/// Probes under way at once, of all servers.
const AT_ONCE_MAX: usize = 16;
/// While a level may change, the next probe comes after so long, if not sooner anyway.
const RETRY: Duration = Duration::from_secs(10);
/// A server that is down waits no longer than this for what is known of its dependencies.
const ISOLATION_MAX: Duration = Duration::from_secs(120);
/// Down again within this after its end, a fault goes on: a server that flaps is one finding.
const FLAP: Duration = Duration::from_secs(600);

/// That a fault is another now is said no sooner after the last revision.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Both clocks at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the watch began.
    pub(super) mono: Duration,
    pub(super) wall: Timestamp,
}

/// All servers.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) watched: Vec<Watched>,
    policy: Policy,
    /// When a host was last asked.
    paces: BTreeMap<String, Duration>,
    /// Between two probes of one host.
    spacing: Duration,
    chance: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) target: Arc<Target>,
    pub(super) run: Run,
    due: Duration,
    under_way: Option<Duration>,
    /// When the last probe that found it up, and so its dependencies too, began.
    good: Option<Duration>,
    /// Since when it is as it is.
    pub(super) since: Timestamp,
    /// When the first of the failed probes in a row began.
    failing: Option<Now>,
    /// When three had failed.
    fell: Option<Duration>,
    pub(super) fault: Option<Fault>,
    /// Why it could not be asked the last time.
    pub(super) unable: Option<String>,
    /// What it depends on is at fault.
    pub(super) blocked_by: Option<usize>,
    told: Option<Told>,
    pub(super) figures: Figures,
}

/// What was said.
#[derive(Debug)]
struct Told {
    finding: Finding,
    /// When it was over.
    ended: Option<Duration>,
    level: Level,
    fault: Option<Fault>,
    affected: Vec<usize>,
    at: Duration,
}

impl Desk {
    /// Of these servers; the first probes are spread over their intervals.
    pub(super) fn new(
        targets: Vec<Arc<Target>>,
        per_second: u32,
        policy: Policy,
        seed: u64,
        now: Now,
    ) -> Self {
        let spacing = Duration::from_secs(1) / per_second.max(1);
        let mut desk =
            Self { watched: Vec::new(), policy, paces: BTreeMap::new(), spacing, chance: seed | 1 };
        for target in targets {
            let first = target.interval.min(RETRY);
            let due = now.mono + desk.between(Duration::ZERO, first);
            desk.watched.push(Watched {
                target,
                run: Run::default(),
                due,
                under_way: None,
                good: None,
                since: now.wall,
                failing: None,
                fell: None,
                fault: None,
                unable: None,
                blocked_by: None,
                told: None,
                figures: Figures::new(now.mono),
            });
        }
        desk
    }

    /// Those to be asked now; each counts as being asked until its outcome is taken.
    pub(super) fn due(&mut self, now: Duration) -> Vec<usize> {
        let mut under_way = self.watched.iter().filter(|one| one.under_way.is_some()).count();
        let mut waiting: Vec<usize> = (0..self.watched.len())
            .filter(|at| self.watched.get(*at).is_some_and(|one| one.under_way.is_none() && one.due <= now))
            .collect();
        waiting.sort_by_key(|at| self.watched.get(*at).map(|one| one.due));
        let mut begun = Vec::new();
        for at in waiting {
            let Some(one) = self.watched.get_mut(at) else { continue };
            let free = self.paces.get(&one.target.host).map_or(Duration::ZERO, |last| *last + self.spacing);
            if under_way >= AT_ONCE_MAX || free > now {
                continue;
            }
            self.paces.insert(one.target.host.clone(), now);
            one.under_way = Some(now);
            one.figures.probed();
            under_way += 1;
            begun.push(at);
        }
        begun
    }

    /// What a probe found.
    pub(super) fn take(&mut self, at: usize, outcome: &Outcome, now: Now) {
        let Some(one) = self.watched.get_mut(at) else { return };
        let Some(begun) = one.under_way.take() else { return };
        let before = one.run.level;
        one.run.take(outcome);
        one.unable = None;
        match outcome {
            Outcome::Up(took) => {
                one.good = Some(begun);
                (one.failing, one.fell) = (None, None);
                one.figures.took(*took);
            }
            Outcome::Degraded(fault) => {
                one.good = Some(begun);
                one.failing.get_or_insert(now);
                one.fell = None;
                one.fault = Some(fault.clone());
            }
            Outcome::Down(fault) => {
                one.failing.get_or_insert(now);
                if one.run.failed() >= FAILURES {
                    one.fell.get_or_insert(now.mono);
                }
                one.fault = Some(fault.clone());
                one.figures.failed();
            }
            Outcome::Unable(reason) => {
                one.unable = Some(reason.clone());
                one.figures.unable();
            }
        }
        if one.run.level != before {
            one.since = now.wall;
        }
        if one.run.level == Level::Up && one.run.bad() == 0 {
            one.fault = None;
        }
        let pause = if one.run.is_open() { one.target.interval.min(RETRY) } else { one.target.interval };
        let least = pause.mul_f64(0.9);
        let due = begun.max(now.mono.saturating_sub(pause)) + self.between(least, pause.mul_f64(1.1));
        if let Some(one) = self.watched.get_mut(at) {
            one.due = due.max(now.mono);
        }
    }

    /// What there is to say now, and the time up to now counted.
    pub(super) fn tell(&mut self, now: Now) -> Vec<Finding> {
        let mut said = Vec::new();
        for at in 0..self.watched.len() {
            self.isolate(at, now);
            said.extend(self.tell_of(at, now));
        }
        for one in &mut self.watched {
            let excused = one.target.maintenance.iter().any(|window| window.holds(now.wall));
            one.figures.pass(now.mono, one.run.level, (one.blocked_by.is_some(), excused));
        }
        said
    }

    /// Whether one that is down is so because of another. What is released from that has to fail anew before it is at fault.
    fn isolate(&mut self, at: usize, now: Now) {
        let culprit = self.culprit(at);
        let Some(one) = self.watched.get_mut(at) else { return };
        let is_open = one.told.as_ref().is_some_and(|told| told.ended.is_none());
        let blocked = culprit.filter(|_| one.run.level == Level::Down && !is_open);
        if one.blocked_by.is_some() && blocked.is_none() {
            one.run.forget_failures();
            (one.failing, one.fell) = (None, None);
            one.due = one.due.min(now.mono);
        }
        one.blocked_by = blocked;
    }

    /// What is down among that which it depends on: the first, for nothing that this depends on is down.
    fn culprit(&self, at: usize) -> Option<usize> {
        let is_down = |on: &usize| self.watched.get(*on).is_some_and(|one| one.run.level == Level::Down);
        self.all_before(at).into_iter().find(is_down)
    }

    /// Whether all that it depends on was found to work after it had fallen; what was not is asked now.
    fn is_isolated(&mut self, at: usize, fell: Duration, now: Duration) -> bool {
        if now.saturating_sub(fell) > ISOLATION_MAX {
            return true;
        }
        let mut all = true;
        for on in self.all_before(at) {
            let Some(other) = self.watched.get_mut(on) else { continue };
            // One that could not be asked will not be known by waiting.
            if other.unable.is_none() && other.good.is_none_or(|good| good < fell) {
                other.due = other.due.min(now);
                all = false;
            }
        }
        all
    }

    fn tell_of(&mut self, at: usize, now: Now) -> Option<Finding> {
        let one = self.watched.get(at)?;
        let level = one.run.level;
        let open = one.told.as_ref().filter(|told| told.ended.is_none());
        match (open.is_some(), level) {
            (false, Level::Unknown | Level::Up) => None,
            (true, Level::Up) => self.end(at, now),
            (true, Level::Unknown | Level::Degraded | Level::Down) => self.grow(at, now),
            (false, Level::Degraded | Level::Down) => {
                let is_excused = one.target.maintenance.iter().any(|window| window.holds(now.wall));
                if is_excused || one.blocked_by.is_some() || one.run.bad() < FAILURES {
                    return None;
                }
                if let Some(fell) = one.fell
                    && !self.is_isolated(at, fell, now.mono)
                {
                    return None;
                }
                self.begin(at, now)
            }
        }
    }

    /// A new finding, or the last one again if it ended only now.
    fn begin(&mut self, at: usize, now: Now) -> Option<Finding> {
        let affected = self.affected(at);
        let one = self.watched.get(at)?;
        let again = one
            .told
            .as_ref()
            .filter(|told| told.ended.is_some_and(|ended| now.mono.saturating_sub(ended) < FLAP));
        let first = one.failing.map_or(now.wall, |failing| failing.wall);
        let finding = self.finding(at, again.map(|told| &told.finding), first, &affected, now);
        let one = self.watched.get_mut(at)?;
        let (level, fault) = (one.run.level, one.fault.clone());
        one.figures.told();
        one.told = Some(Told { finding: finding.clone(), ended: None, level, fault, affected, at: now.mono });
        Some(finding)
    }

    /// Another revision, if there is something new to say.
    fn grow(&mut self, at: usize, now: Now) -> Option<Finding> {
        let affected = self.affected(at);
        let one = self.watched.get(at)?;
        let told = one.told.as_ref()?;
        let more = affected.iter().any(|other| !told.affected.contains(other));
        let kind = |fault: &Option<Fault>| fault.as_ref().map(|fault| fault.kind);
        let is_other = told.level != one.run.level || kind(&told.fault) != kind(&one.fault);
        // A server that fails in another way each time is not told each time.
        let is_due = now.mono.saturating_sub(told.at) >= SAY_AGAIN;
        if !(more || is_other && is_due) {
            return None;
        }
        // Those that were affected once stay named.
        let all: Vec<usize> = told.affected.iter().chain(&affected).copied().collect();
        let all: Vec<usize> = (0..self.watched.len()).filter(|other| all.contains(other)).collect();
        let finding = self.finding(at, Some(&told.finding), told.finding.time, &all, now);
        let one = self.watched.get_mut(at)?;
        let (level, fault) = (one.run.level, one.fault.clone());
        one.told =
            Some(Told { finding: finding.clone(), ended: None, level, fault, affected: all, at: now.mono });
        Some(finding)
    }

    /// The last revision: it is over.
    fn end(&mut self, at: usize, now: Now) -> Option<Finding> {
        let one = self.watched.get_mut(at)?;
        let told = one.told.as_mut()?;
        told.ended = Some(now.mono);
        report::end(&mut told.finding, now.wall);
        Some(told.finding.clone())
    }

    fn finding(
        &self,
        at: usize,
        before: Option<&Finding>,
        first: Timestamp,
        affected: &[usize],
        now: Now,
    ) -> Finding {
        let name = |at: &usize| self.watched.get(*at).map(|one| &*one.target.name);
        let one = self.watched.get(at);
        let well: Vec<usize> = self.all_before(at);
        report::finding(&Report {
            one,
            before,
            first,
            now: now.wall,
            affected: affected.iter().filter_map(name).collect(),
            well: well.iter().filter_map(name).collect(),
            policy: &self.policy,
        })
    }

    /// What it depends on, through others too.
    fn all_before(&self, at: usize) -> Vec<usize> {
        let mut all = vec![false; self.watched.len()];
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            for on in self.watched.get(at).map_or(&[][..], |one| &one.target.depends_on) {
                if let Some(is) = all.get_mut(*on)
                    && !core::mem::replace(is, true)
                {
                    next.push(*on);
                }
            }
        }
        all.iter().enumerate().filter_map(|(at, is)| is.then_some(at)).collect()
    }

    /// Those that are down because of it.
    fn affected(&self, at: usize) -> Vec<usize> {
        let is_its = |other: &usize| self.watched.get(*other).is_some_and(|one| one.blocked_by == Some(at));
        (0..self.watched.len()).filter(is_its).collect()
    }

    /// Some time of this span (xorshift: only so that not all ask at once).
    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let share = u32::try_from(self.chance % 1_000).unwrap_or_default();
        least + most.saturating_sub(least) * share / 1_000
    }
}

#[cfg(test)]
mod tests;
