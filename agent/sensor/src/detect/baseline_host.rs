//! `baseline.host`: a host that behaves unlike its own past.
//!
//! Of each inside host three numbers an hour are learned: bytes to outside, distinct addresses tried, TCP connections that
//! failed. A host is learned once somebody answered it, so that forged sources cost nothing.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Finding};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::baseline::{Calendar, Expected, Pack, Read, Ripeness, Section, Series, Unpack, hour_of};
use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, sample, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, First, FlowEvent, FlowRef};
use crate::segment::is_unicast;

use super::baseline_volume::{Clock, Told, baseline};

/// Hosts learned; each costs some five KiB. A municipality has fewer behind one gateway.
const HOSTS_MAX: usize = 2_048;
/// IANA number of TCP.
const TCP: u8 = 6;

/// What is counted of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Bytes,
    Destinations,
    Failures,
}

impl Metric {
    const ALL: [Self; 3] = [Self::Bytes, Self::Destinations, Self::Failures];

    /// Beyond the usual by less than this is not worth a person's look.
    const fn floor(self) -> u64 {
        match self {
            // A few mails with pictures, or a shared folder: half of what Slips calls an upload worth evidence (100 MB).
            Self::Bytes => 50_000_000,
            // What a browser with a dozen pages open reaches by itself within an hour: some ten hosts a page.
            Self::Destinations => 100,
            // A drive that is no more, retried by an office program every half minute.
            Self::Failures => 120,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes_out",
            Self::Destinations => "distinct_destinations",
            Self::Failures => "failed_connections",
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Bytes => ("外部への送信量", "bytes sent to outside"),
            Self::Destinations => ("通信相手の数", "distinct addresses tried"),
            Self::Failures => ("失敗した接続の数", "failed connections"),
        }
    }
}

/// State.
#[derive(Debug)]
pub(super) struct BaselineHost {
    hosts: Map<IpAddr, Box<Habits>>,
    clock: Clock,
    distinct: usize,
    capacity: usize,
    seed: u64,
    evicted: u64,
}

/// One metric of a host.
#[derive(Debug)]
struct Habit {
    series: Series,
    value: u64,
    expected: Option<Expected>,
    told: Option<Told>,
}

impl Habit {
    const fn of(series: Series) -> Self {
        Self { series, value: 0, expected: None, told: None }
    }
}

#[derive(Debug)]
struct Habits {
    habits: [Habit; 3],
    destinations: Distinct<IpAddr>,
    first: Option<FlowRef>,
}

impl Habits {
    fn new(distinct: usize, series: [Series; 3]) -> Self {
        Self { habits: series.map(Habit::of), destinations: Distinct::new(distinct), first: None }
    }

    fn fresh(distinct: usize) -> Self {
        Self::new(distinct, Metric::ALL.map(|_| Series::new(Calendar::DayKind)))
    }

    /// The hour is over: all numbers begin anew.
    fn turn(&mut self, over: Option<u64>, hour: u64) {
        for (habit, metric) in self.habits.iter_mut().zip(Metric::ALL) {
            if let Some(over) = over {
                habit.series.learn(over, habit.value, habit.expected.as_ref());
            }
            habit.value = 0;
            habit.expected = habit.series.expected(hour, metric.floor());
        }
        self.destinations.clear();
        self.first = None;
    }

    /// More of something that a host does.
    fn add(
        &mut self,
        (host, metric): (IpAddr, Metric),
        more: u64,
        (at, flow): (Timestamp, &FlowRef),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        self.first.get_or_insert(*flow);
        let Some(habit) = self.habits.get_mut(metric as usize) else { return };
        habit.value = habit.value.saturating_add(more);
        let Some(expected) = habit.expected.filter(|expected| habit.value > expected.limit) else { return };
        let value = habit.value;
        if let Some(told) = &mut habit.told {
            let grown = out.grow(told.id, at, |finding| {
                finding.count += 1;
                input(finding, metric.name(), value.max(told.value));
                sample(finding, flow);
            });
            if grown || told.is_recent(at) {
                told.value = told.value.max(value);
                return;
            }
        }
        let mut finding = claim(host, metric, (at, flow), scene);
        input(&mut finding, metric.name(), value);
        baseline(&mut finding, &expected);
        threshold(&mut finding, "floor_above_median", metric.floor());
        habit.told = Some(Told { id: out.open(finding), at, value });
    }
}

impl BaselineHost {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let capacity = HOSTS_MAX.min(setup.limits.detector_entries);
        Self {
            hosts: Map::new(capacity, setup.seed),
            clock: Clock::default(),
            distinct: setup.limits.distinct_per_entry,
            capacity,
            seed: setup.seed,
            evicted: 0,
        }
    }

    /// Learns a host from now on.
    fn meet(&mut self, host: IpAddr, at: Timestamp) {
        if self.hosts.peek(&host).is_some() {
            return;
        }
        let mut fresh = Habits::fresh(self.distinct);
        fresh.turn(None, hour_of(at));
        self.evicted += u64::from(self.hosts.insert(host, fresh.into()).is_some());
    }

    fn add(
        &mut self,
        (host, metric): (IpAddr, Metric),
        more: u64,
        (at, flow): (Timestamp, &FlowRef),
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let Some(habits) = self.hosts.get_mut(&host) else { return };
        habits.add((host, metric), more, (at, flow), (scene, out));
    }

    fn ended(&mut self, at: Timestamp, flow: &FlowRef, bytes: (u64, u64), to: (&Scene<'_>, &mut Findings)) {
        let (scene, out) = to;
        let (from, other) = (flow.originator.address, flow.responder.address);
        let inside = (scene.inside.originator, scene.inside.responder);
        if inside.0 && bytes.1 > 0 && is_unicast(from) {
            self.meet(from, at);
        }
        if !is_unicast(other) {
            return;
        }
        match inside {
            (true, false) => self.add((from, Metric::Bytes), bytes.0, (at, flow), (scene, out)),
            (false, true) => self.add((other, Metric::Bytes), bytes.1, (at, flow), (scene, out)),
            (true, true) | (false, false) => {}
        }
    }
}

fn claim(host: IpAddr, metric: Metric, (at, flow): (Timestamp, &FlowRef), scene: &Scene<'_>) -> Finding {
    let who = Who {
        originator: Some(Host::Ip(host)),
        responder: None,
        places: (host, host),
        vlan: flow.vlan,
        what: metric.name(),
    };
    let mut finding = draft(Category::BaselineHost, BaselineHost::RULE, scene.policy, who, (at, at));
    let (ja, en) = metric.words();
    finding.title =
        Bilingual::new(&format!("普段と違う動き: {host} の{ja}"), &format!("Unlike its past: {host}, {en}"));
    finding.explanation = Bilingual::new(
        &format!(
            "{host} の1時間あたりの{ja}が、同じ時間帯のこれまでの値を大きく超えています。\
             業務上の心当たりがなければ、不正な操作やマルウェアの可能性を確認してください。"
        ),
        &format!(
            "Within an hour, {en} of {host} went far beyond what is usual for it at this time. \
             If no work explains it, look for misuse or malware."
        ),
    );
    sample(&mut finding, flow);
    finding
}

impl Detect for BaselineHost {
    const RULE: &'static str = "baseline.host/1";
    const WANTS: Kinds = Kinds::STARTED.and(Kinds::REJECTED).and(Kinds::UNANSWERED).and(Kinds::ENDED);

    #[inline]
    fn is_due(&self, now: Timestamp) -> bool {
        self.clock.is_over(now)
    }

    fn on_time(&mut self, now: Timestamp, _scene: &Scene<'_>, _out: &mut Findings) {
        if let Some((over, hour)) = self.clock.turn(now) {
            self.hosts.for_each_mut(|_, habits| habits.turn(over, hour));
        }
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        let (from, to) = (flow.originator.address, flow.responder.address);
        if let FlowEvent::Ended(record) = what {
            let bytes = (record.originator.bytes, record.responder.bytes);
            self.ended(*at, flow, bytes, (scene, out));
            return;
        }
        let begins = matches!(what, FlowEvent::Started(First::Syn | First::Datagram));
        let fails = flow.protocol == TCP && matches!(what, FlowEvent::Rejected | FlowEvent::Unanswered);
        if !(begins || fails) || !scene.inside.originator || !is_unicast(to) {
            return;
        }
        if fails {
            self.add((from, Metric::Failures), 1, (*at, flow), (scene, out));
        } else if let Some(habits) = self.hosts.get_mut(&from)
            && habits.destinations.insert(to)
        {
            habits.add((from, Metric::Destinations), 1, (*at, flow), (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    fn learned(&self) -> Option<(Section, Vec<u8>)> {
        let mut pack = Pack::default();
        for (host, habits) in self.hosts.iter() {
            pack.address(*host);
            habits.habits.iter().for_each(|habit| habit.series.pack(&mut pack));
        }
        Some((Section::Host, pack.0))
    }

    fn recall(&mut self, file: &Read<'_>) -> bool {
        let Some(mut section) = file.section(Section::Host) else { return true };
        let mut hosts = Map::new(self.capacity, self.seed);
        while !section.is_empty() {
            let one = |section: &mut Unpack<'_>| Series::unpack(Calendar::DayKind, section);
            let Some(host) = section.address() else { return false };
            let (Some(a), Some(b), Some(c)) = (one(&mut section), one(&mut section), one(&mut section))
            else {
                return false;
            };
            hosts.insert(host, Habits::new(self.distinct, [a, b, c]).into());
        }
        self.hosts = hosts;
        true
    }

    fn ripeness(&self) -> Ripeness {
        let hour = self.clock.hour().unwrap_or_default();
        let habits = || self.hosts.iter().flat_map(|(_, habits)| &habits.habits);
        let ripe = habits().filter(|habit| habit.series.is_ripe(hour)).count();
        Ripeness { series: habits().count() as u64, ripe: ripe as u64 }
    }
}

#[cfg(test)]
mod tests;
