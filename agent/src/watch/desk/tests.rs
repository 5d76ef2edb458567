//! The desk by a clock of its own: when targets are asked, what is down, which stage is at fault, what is told.

use sekimori_wire::finding::Value;

use super::*;
use crate::watch::target::{FaultKind, Probe, Server};
use crate::watch::window::Window;

/// 2026-11-23 00:00:00 in Japan.
const WALL: u64 = 1_795_359_600;
const STEP: Duration = Duration::from_millis(100);

fn target(name: &str, server: Server, host: &str, depends_on: &[usize]) -> Target {
    Target {
        name: name.to_owned(),
        server,
        host: host.to_owned(),
        port: 0,
        probe: Probe::Icmp,
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        slow_after: None,
        depends_on: depends_on.to_vec(),
        maintenance: Vec::new(),
    }
}

/// Line, resolver behind it, proxy behind it, a page behind all.
fn way() -> Vec<Target> {
    vec![
        target("line", Server::Line, "192.0.2.1", &[]),
        target("dns", Server::Resolver, "192.0.2.2", &[0]),
        target("proxy", Server::Proxy, "192.0.2.3", &[1]),
        target("web", Server::Web, "192.0.2.4", &[2]),
    ]
}

struct World {
    desk: Desk,
    clock: Duration,
    said: Vec<Finding>,
    /// When each was asked.
    asked: Vec<(usize, Duration)>,
    /// Who, until when, and whether it will be up.
    under_way: Vec<(usize, Duration, bool)>,
}

impl World {
    fn new(targets: Vec<Target>, per_second: u32) -> Self {
        let targets = targets.into_iter().map(Arc::new).collect();
        let now = Now { mono: Duration::ZERO, wall: Timestamp::from_secs(WALL) };
        let desk = Desk::new(targets, per_second, Policy::default_private(), 7, now);
        Self { desk, clock: Duration::ZERO, said: Vec::new(), asked: Vec::new(), under_way: Vec::new() }
    }

    /// Lets time pass, with the world as `is_up` says; what fails does so after a second.
    fn pass(&mut self, seconds: u64, is_up: impl Fn(&str) -> bool) {
        let until = self.clock + Duration::from_secs(seconds);
        while self.clock < until {
            for at in self.desk.due(self.clock) {
                let up = is_up(&self.desk.watched[at].target.name);
                let takes = if up { STEP } else { Duration::from_secs(1) };
                self.under_way.push((at, self.clock + takes, up));
                self.asked.push((at, self.clock));
            }
            let now = Now { mono: self.clock, wall: Timestamp::from_secs(WALL).plus(self.clock) };
            let desk = &mut self.desk;
            self.under_way.retain(|(at, ends, up)| {
                let is_over = *ends <= self.clock;
                if is_over {
                    let failed = || Outcome::Down(Fault::new(FaultKind::NoAnswer, "test"));
                    let outcome = if *up { Outcome::Up(STEP) } else { failed() };
                    desk.take(*at, &outcome, now);
                }
                !is_over
            });
            self.said.extend(self.desk.tell(now));
            self.clock += STEP;
        }
    }

    /// Target, revision, state and stage of what was said since the last call.
    fn heard(&mut self) -> Vec<String> {
        let said = core::mem::take(&mut self.said);
        let shown = |finding: &Finding| {
            let text = |name: &str| match finding.evidence.inputs.get(&name.into()) {
                Some(Value::Text(text)) => text.to_string(),
                _ => String::new(),
            };
            format!("{} {} {} {}", text("target"), finding.revision, text("state"), text("stage"))
        };
        said.iter().map(shown).collect()
    }
}

#[test]
fn a_server_that_is_down_is_one_finding_until_it_is_up() {
    let mut world = World::new(way(), 1);
    world.pass(120, |_| true);
    assert!(world.said.is_empty() && world.desk.watched.iter().all(|one| one.run.level == Level::Up));
    world.pass(300, |name| name != "web");
    let finding = world.said.first().cloned().unwrap();
    assert_eq!(
        finding.evidence.inputs[&"working".into()],
        Value::List(["line", "dns", "proxy"].map(Into::into).into())
    );
    assert!(finding.explanation.ja.contains("障害箇所はサーバです"), "{}", finding.explanation.ja);
    assert_eq!(world.heard(), ["web 1 down server"]);
    // Interval, three failures with retries in between, isolation.
    let seconds = finding.detected_at.since(Timestamp::from_secs(WALL + 120)).as_secs();
    assert!((10..=70).contains(&seconds), "{seconds}");
    world.pass(60, |_| true);
    let ended = world.said.first().cloned().unwrap();
    assert_eq!(ended.id, finding.id);
    assert!(ended.title.ja.starts_with("復旧: ") && ended.end > finding.end);
    assert_eq!(world.heard(), ["web 2 up server"]);
}

#[test]
fn the_first_stage_that_is_down_is_at_fault() {
    for (broken, stage, others) in [
        (&["line", "dns", "proxy", "web"][..], "line 1 down line", &["dns", "proxy", "web"][..]),
        (&["dns", "proxy", "web"], "dns 1 down dns", &["proxy", "web"]),
        (&["proxy", "web"], "proxy 1 down proxy", &["web"]),
        (&["web"], "web 1 down server", &[]),
    ] {
        for (is_known, seed) in [(true, 1), (false, 99), (true, 12_345), (false, 4)] {
            let mut world = World::new(way(), 1);
            world.desk.chance = seed;
            world.pass(if is_known { 120 } else { 0 }, |_| true);
            world.pass(300, |name| !broken.contains(&name));
            let last = world.said.last().cloned().unwrap();
            let heard = world.heard();
            assert_eq!(heard[0], stage, "{heard:?}");
            let name = stage.split(' ').next().unwrap();
            assert!(heard.iter().all(|one| one.starts_with(name)), "only one is at fault: {heard:?}");
            let affected = Value::List(others.iter().map(|name| (*name).into()).collect());
            assert_eq!(last.evidence.inputs[&"affected".into()], affected, "{stage}");
            world.pass(120, |_| true);
            let heard = world.heard();
            assert!(heard.len() == 1 && heard[0].contains(" up "), "{heard:?}");
            assert!(
                world.desk.watched.iter().all(|one| one.blocked_by.is_none() && one.run.level == Level::Up)
            );
        }
    }
}

#[test]
fn what_stays_down_after_its_dependency_is_back_is_told_by_itself() {
    let mut world = World::new(way(), 1);
    world.pass(120, |_| true);
    world.pass(300, |name| name == "dns" || name == "proxy");
    assert!(world.heard().iter().all(|one| one.starts_with("line ")));
    world.pass(200, |name| name != "web");
    assert_eq!(world.heard(), ["line 3 up line", "web 1 down server"]);
}

#[test]
fn twenty_flaps_are_one_finding() {
    let mut world = World::new(vec![target("web", Server::Web, "192.0.2.4", &[])], 1);
    world.pass(120, |_| true);
    for _flap in 0..20 {
        world.pass(90, |_| false);
        world.pass(60, |_| true);
    }
    let ids: std::collections::BTreeSet<_> = world.said.iter().map(|finding| finding.id).collect();
    let last = world.said.last().unwrap();
    assert_eq!((ids.len(), world.said.len(), last.revision, last.count), (1, 40, 40, 20));
    // An hour later it is another.
    world.pass(3_600, |_| true);
    world.pass(90, |_| false);
    assert_ne!(world.said.last().unwrap().id, *ids.first().unwrap());
}

#[test]
fn a_host_is_never_asked_more_often_than_stated() {
    for (per_second, spacing) in [(1, Duration::from_secs(1)), (4, Duration::from_millis(250))] {
        let mut targets: Vec<Target> =
            (0..30).map(|n| target(&format!("t{n}"), Server::Other, "192.0.2.4", &[])).collect();
        for one in &mut targets {
            one.interval = Duration::from_secs(1);
        }
        let mut world = World::new(targets, per_second);
        world.pass(60, |name| name != "t3");
        world.pass(60, |_| false);
        let times: Vec<Duration> = world.asked.iter().map(|(_, at)| *at).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= spacing), "{per_second} a second");
        // All have had their turn.
        let each = (0..30).map(|at| world.asked.iter().filter(|(asked, _)| *asked == at).count());
        assert!(each.min().unwrap() > 2);
    }
}

#[test]
fn intervals_vary_so_that_not_all_ask_at_once() {
    let targets = (0..20).map(|n| target(&format!("t{n}"), Server::Other, &format!("192.0.2.{n}"), &[]));
    let mut world = World::new(targets.collect(), 1);
    world.pass(600, |_| true);
    let of = |at: usize| world.asked.iter().filter(move |(asked, _)| *asked == at).map(|(_, time)| *time);
    let gaps: Vec<Duration> = (0..20)
        .flat_map(|at| {
            of(at).skip(3).zip(of(at).skip(2)).map(|(later, earlier)| later - earlier).collect::<Vec<_>>()
        })
        .collect();
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*least >= Duration::from_secs(27) && *most <= Duration::from_secs(34), "{least:?} to {most:?}");
    assert!(*most - *least > Duration::from_secs(3), "{least:?} to {most:?}");
}

#[test]
fn maintenance_is_silent_and_counted_apart() {
    let mut web = target("web", Server::Web, "192.0.2.4", &[]);
    web.maintenance = vec![Window::try_from("daily 00:05-00:20".to_owned()).unwrap()];
    let mut world = World::new(vec![web], 1);
    world.pass(400, |_| true);
    world.pass(600, |_| false);
    world.pass(100, |_| true);
    assert!(world.said.is_empty(), "{:?}", world.said);
    world.pass(200, |_| false);
    assert_eq!(world.heard(), ["web 1 down server"], "it is down when the window is over");
    let figures: BTreeMap<_, _> = world.desk.watched[0].figures.iter().collect();
    assert!((500..700).contains(&figures["excused_seconds"]), "{figures:?}");
    assert!((50..200).contains(&figures["down_seconds"]), "{figures:?}");
    assert!((400..600).contains(&figures["up_seconds"]), "{figures:?}");
}

#[test]
fn what_cannot_be_asked_is_no_fault_of_the_server() {
    let mut world = World::new(vec![target("a", Server::Web, "192.0.2.4", &[])], 1);
    for second in 0..600 {
        let now = Now { mono: Duration::from_secs(second), wall: Timestamp::from_secs(WALL + second) };
        for at in world.desk.due(now.mono) {
            world.desk.take(at, &Outcome::Unable("forbidden".to_owned()), now);
        }
        assert!(world.desk.tell(now).is_empty());
    }
    let one = &world.desk.watched[0];
    assert_eq!((one.run.level, one.unable.as_deref()), (Level::Unknown, Some("forbidden")));
}

#[test]
fn many_that_depend_on_each_other_are_judged_at_once() {
    let targets: Vec<Target> = (0..64)
        .map(|n: usize| {
            let before: Vec<usize> = (n.saturating_sub(8)..n).collect();
            target(&format!("t{n}"), Server::Other, &format!("192.0.2.{n}"), &before)
        })
        .collect();
    let mut world = World::new(targets, 1);
    let begun = std::time::Instant::now();
    world.pass(60, |_| true);
    world.pass(60, |_| false);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(world.heard().iter().all(|one| one.starts_with("t0 ")));
}
