//! One run: agents, a network, a collector and a clock, in the order that a seed decides.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::ack::{Answer, RefusalKind};
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use crate::agent::{self, Agent, Fate};
use crate::chance::Chance;
use crate::collector::{Collector, Lives, Request};
use crate::{Mistake, check, forge};

/// When runs begin.
const START: Timestamp = Timestamp::from_secs(1_790_000_000);
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
/// How long a group waits for others.
const GROUP_DELAY: u64 = 8 * MILLISECOND;
/// How long an agent waits for an answer.
const ANSWER_TIMEOUT: u64 = 10 * SECOND;
/// Times that a healed world may turn until everything is delivered.
const HEALED_EVENTS_MAX: u64 = 20_000;
/// 団体コード of the agents' bodies: two of them share one.
const BODIES: [&str; 3] = ["422011", "131016", "270008"];

/// How bad this run is, in percent; half of the faults are away in each run.
#[derive(Debug)]
struct Weather {
    loss: u64,
    duplication: u64,
    reset: u64,
    straggling: u64,
    partition: u64,
    agent_crash: u64,
    power: u64,
    clean_stop: u64,
    collector_crash: u64,
    full: u64,
    rot: u64,
    jump: u64,
    forge: u64,
}

impl Weather {
    fn of(chance: &mut Chance) -> Self {
        Self {
            loss: chance.likelihood(30),
            duplication: chance.likelihood(20),
            reset: chance.likelihood(30),
            straggling: chance.likelihood(20),
            partition: chance.likelihood(6),
            agent_crash: chance.likelihood(25),
            power: chance.below(101),
            clean_stop: chance.likelihood(5),
            collector_crash: chance.likelihood(25),
            full: chance.likelihood(8),
            rot: if chance.percent(60) { 0 } else { chance.likelihood(6) },
            jump: chance.likelihood(10),
            forge: if chance.percent(80) { 0 } else { 3 },
        }
    }

    const fn calm() -> Self {
        Self {
            loss: 0,
            duplication: 0,
            reset: 0,
            straggling: 0,
            partition: 0,
            agent_crash: 0,
            power: 0,
            clean_stop: 0,
            collector_crash: 0,
            full: 0,
            rot: 0,
            jump: 0,
            forge: 0,
        }
    }
}

/// What happens next.
#[derive(Debug)]
enum Event {
    /// An agent has something to report, or its machine has trouble.
    Work(usize),
    /// It looks whether there is something to send.
    Ship(usize),
    /// It gives an answer up.
    Timeout(usize, u64),
    /// Its machine or process starts.
    Start(usize),
    /// Its disk has room again.
    Room(usize),
    /// It can be reached again.
    Rejoin(usize),
    /// A submission arrives.
    Arrive(Request),
    /// The collector takes what has arrived.
    Collect,
    /// An answer arrives.
    Answer(usize, u64, Arc<Vec<u8>>),
}

/// What was seen of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<&'static str, u64>);

impl Figures {
    pub(crate) fn count(&mut self, name: &'static str, n: u64) {
        *self.0.entry(name).or_default() += n;
    }
}

/// Everything of one run.
#[derive(Debug)]
pub(crate) struct World {
    chance: Chance,
    weather: Weather,
    now: Timestamp,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(crate) agents: Vec<Agent>,
    away: Vec<bool>,
    pub(crate) collector: Collector,
    inbox: Vec<Request>,
    requests: u64,
    to_seal: Vec<u64>,
    pub(crate) forged: u64,
    pub(crate) figures: Figures,
    log: Log,
    pub(crate) wrong: Vec<String>,
}

/// The run's history, as one digest.
#[derive(Debug, Default)]
pub(crate) struct Log {
    digest: Digest,
    /// Every line, if somebody reads them.
    lines: Option<Vec<String>>,
}

impl Log {
    fn line(&mut self, line: String) {
        self.digest = Digest::of(&[self.digest.as_bytes(), line.as_bytes()].concat());
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) digest: Digest,
    pub(crate) figures: Figures,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// What happened, if asked for.
    pub(crate) lines: Vec<String>,
}

/// Runs a seed to its end.
pub(crate) async fn run(
    seed: u64,
    template: &Path,
    mistake: Option<Mistake>,
    tell: bool,
) -> anyhow::Result<Run> {
    let folder = crate::scratch()?;
    let mut world = World::new(seed, folder.path(), template, mistake).await?;
    world.log.lines = tell.then(Vec::new);
    world.log.line(format!("seed {seed}: {:?}", world.weather));
    while world.wrong.is_empty() && world.to_seal.iter().any(|left| *left > 0) {
        world.step().await?;
    }
    world.heal();
    let mut left = HEALED_EVENTS_MAX;
    while world.wrong.is_empty() && !world.is_settled() {
        left -= 1;
        if left == 0 {
            let unsettled = world.agents.iter().enumerate().filter(|(_, agent)| !agent.is_settled());
            let told: Vec<String> =
                unsettled.map(|(index, agent)| format!("agent {index} {}", agent.state())).collect();
            world.wrong(format!(
                "the world is healed, and still not everything is delivered: {told:?} {} {:?}",
                world.now.since(START).as_secs(),
                world.events
            ));
        }
        world.step().await?;
    }
    if world.wrong.is_empty() {
        let found = check::everything(&mut world).await?;
        for wrong in found {
            world.wrong(wrong);
        }
    }
    let end = check::dump(&world.collector.store).await?;
    world.log.line(end);
    world.collector.store.close().await;
    Ok(Run {
        digest: world.log.digest,
        figures: world.figures,
        wrong: world.wrong,
        lines: world.log.lines.unwrap_or_default(),
    })
}

impl World {
    async fn new(
        seed: u64,
        folder: &Path,
        template: &Path,
        mistake: Option<Mistake>,
    ) -> anyhow::Result<Self> {
        let mut chance = Chance::new(seed);
        let count = chance.between(2, 5);
        let collector = Collector::new(folder, template, agent::key(seed, 0)?, mistake).await?;
        let mut agents = Vec::new();
        for index in 0..count {
            let agent = Agent::new(index, folder, seed)?;
            if mistake == Some(Mistake::SkipFsync) {
                agent.disk.skip_sync();
            }
            let body = BODIES.iter().cycle().nth(usize::try_from(index)?).unwrap_or(&"");
            collector.enrol(agent.signer.key.verifying_key(), body).await?;
            agents.push(agent);
        }
        let weather = Weather::of(&mut chance);
        let number = agents.len();
        let to_seal = (0..number).map(|_| chance.between(5, 40)).collect();
        let mut world = Self {
            chance,
            weather,
            now: START,
            order: 0,
            events: BTreeMap::new(),
            agents,
            away: vec![false; number],
            collector,
            inbox: Vec::new(),
            requests: 0,
            to_seal,
            forged: 0,
            figures: Figures::default(),
            log: Log::default(),
            wrong: Vec::new(),
        };
        for index in 0..number {
            world.after(0, Event::Start(index));
            world.after(MILLISECOND, Event::Work(index));
        }
        Ok(world)
    }

    fn wrong(&mut self, what: String) {
        self.log.line(format!("WRONG: {what}"));
        self.wrong.push(what);
    }

    fn after(&mut self, nanos: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now.nanos() + nanos, self.order), event);
    }

    fn note(&mut self, index: usize, what: &str, more: &str) {
        let at = self.now.since(START).as_millis();
        self.log.line(format!("{at} agent {index}: {what}: {more}"));
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let Some(((at, _), event)) = self.events.pop_first() else {
            self.wrong("nothing happens any more".to_owned());
            return Ok(());
        };
        self.now = Timestamp::from_nanos(at);
        match event {
            Event::Work(index) => self.work(index),
            Event::Ship(index) => self.ship(index),
            Event::Timeout(index, request) => self.timeout(index, request),
            Event::Start(index) => self.start(index),
            Event::Room(index) => self.set_full(index, false),
            Event::Rejoin(index) => self.set_away(index, false),
            Event::Arrive(request) => self.arrive(request),
            Event::Collect => self.collect().await?,
            Event::Answer(index, request, answer) => self.answer(index, request, &answer),
        }
        Ok(())
    }

    fn agent(&mut self, index: usize) -> &mut Agent {
        #[expect(clippy::indexing_slicing, reason = "events name agents that exist")]
        &mut self.agents[index]
    }

    /// Acts on what a thing came to: whoever died starts again. Whether it is alive.
    fn follow(&mut self, index: usize, what: &str, fate: Fate) -> bool {
        match fate {
            Fate::Fine(more) => {
                self.note(index, what, &more);
                true
            }
            Fate::Dead => {
                self.note(index, what, "it dies");
                self.figures.count("crashes", 1);
                self.agent(index).kill(0);
                self.power_or_process(index);
                false
            }
            Fate::Ended(why) => {
                self.note(index, what, &why);
                let now = self.now;
                self.agent(index).stop(now);
                let pause = self.chance.between(1, 5) * SECOND;
                self.after(pause, Event::Start(index));
                false
            }
            Fate::Wrong(wrong) => {
                self.wrong(format!("agent {index}: {what}: {wrong}"));
                false
            }
        }
    }

    fn power_or_process(&mut self, index: usize) {
        let power = self.chance.percent(self.weather.power);
        let mut chance = self.chance.clone();
        let disk = &self.agent(index).disk;
        if power {
            disk.lose_power(|below| chance.index(below));
            self.figures.count("power cuts", 1);
        } else {
            disk.restart_process();
        }
        self.chance = chance;
        self.note(index, "it goes down", if power { "power" } else { "process" });
        let pause = self.chance.between(1, 20) * SECOND;
        self.after(pause, Event::Start(index));
    }

    /// The next crash may come at any step of what the agent does to its disk.
    fn arm(&mut self, index: usize) {
        if self.chance.percent(self.weather.agent_crash) {
            let most = if self.chance.percent(50) { 8 } else { 60 };
            let (steps, tears) = (self.chance.between(1, most), self.chance.percent(50));
            self.agent(index).disk.crash_after(u32::try_from(steps).unwrap_or(1), tears);
        }
    }

    fn start(&mut self, index: usize) {
        if self.agent(index).process.is_some() {
            return;
        }
        self.arm(index);
        let now = self.now;
        let fate = self.agent(index).start(now);
        if self.follow(index, "start", fate) {
            self.after(0, Event::Ship(index));
        }
    }

    fn work(&mut self, index: usize) {
        let pause = self.chance.between(50, 3000) * MILLISECOND;
        self.after(pause, Event::Work(index));
        self.trouble(index);
        if self.agent(index).process.is_none() {
            return;
        }
        let count = match self.to_seal.get_mut(index) {
            Some(left) if *left > 0 => {
                *left -= 1;
                self.chance.between(0, 6)
            }
            Some(_) | None => 0,
        };
        self.arm(index);
        let (now, mut chance) = (self.now, self.chance.clone());
        let fate = self.agent(index).seal(count, now, &mut chance);
        self.chance = chance;
        self.follow(index, "seal", fate);
    }

    fn trouble(&mut self, index: usize) {
        if self.chance.percent(self.weather.full) && !self.agent(index).full {
            self.set_full(index, true);
            let pause = self.chance.between(1, 30) * SECOND;
            self.after(pause, Event::Room(index));
        }
        if self.chance.percent(self.weather.partition) {
            self.set_away(index, true);
            let pause = self.chance.between(5, 120) * SECOND;
            self.after(pause, Event::Rejoin(index));
        }
        if self.chance.percent(self.weather.jump) {
            let jump = i64::try_from(self.chance.between(0, 14_400)).unwrap_or(0) - 7200;
            self.agent(index).skew_seconds += jump;
            self.note(index, "its clock jumps", &jump.to_string());
            self.figures.count("clock jumps", 1);
        }
        if self.chance.percent(self.weather.rot) {
            self.rot(index);
        }
        if self.chance.percent(self.weather.clean_stop) && self.agent(index).process.is_some() {
            let now = self.now;
            self.agent(index).stop(now);
            self.note(index, "it stops", "");
            if self.agent(index).disk.crashed() {
                self.power_or_process(index);
            } else {
                self.after(SECOND, Event::Start(index));
            }
        }
        if self.chance.percent(self.weather.forge) {
            self.forge(index);
        }
    }

    fn set_full(&mut self, index: usize, full: bool) {
        let agent = self.agent(index);
        agent.full = full;
        agent.disk.set_full(full);
        self.figures.count("full disks", u64::from(full));
        self.note(index, "its disk is full", &full.to_string());
    }

    fn set_away(&mut self, index: usize, away: bool) {
        if let Some(is_away) = self.away.get_mut(index) {
            *is_away = away;
        }
        self.figures.count("partitions", u64::from(away));
        self.note(index, "it is cut off", &away.to_string());
    }

    fn rot(&mut self, index: usize) {
        let mut chance = self.chance.clone();
        let agent = self.agent(index);
        let rotten = agent.disk.rot(|path| !path.ends_with("lock"), |below| chance.index(below));
        self.chance = chance;
        let Some(path) = rotten else { return };
        let account = &mut self.agent(index).account;
        account.rotten += 1;
        if path.ends_with("chain") {
            *account.rotten_chains.entry(path.clone()).or_default() += 1;
        }
        self.figures.count("rotten bits", 1);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.note(index, "a bit rots", &name);
    }

    /// Somebody with the agent's key sends another history.
    fn forge(&mut self, index: usize) {
        let Some(body) = forge::other_history(self.agent(index)) else { return };
        self.forged += 1;
        self.figures.count("forged", 1);
        let agent = self.agent(index).signer.agent;
        self.note(index, "forged", "");
        self.after(MILLISECOND, Event::Arrive(Request { agent, number: 0, body: Arc::new(body) }));
    }

    fn ship(&mut self, index: usize) {
        self.requests += 1;
        let (request, most) = (self.requests, 1 + self.chance.index(8));
        let body = match self.agent(index).submit(request, most) {
            Ok(Some(body)) => Arc::new(body),
            Ok(None) => {
                // A shipper is woken when there is something; here it looks again, while it runs and is not waiting.
                if self.agent(index).process.is_some() && self.agent(index).flight.is_none() {
                    self.after(500 * MILLISECOND, Event::Ship(index));
                }
                return;
            }
            Err(fate) => {
                self.follow(index, "read", fate);
                return;
            }
        };
        self.note(index, "send", &Digest::of(&body).to_string());
        self.after(ANSWER_TIMEOUT, Event::Timeout(index, request));
        let agent = self.agent(index).signer.agent;
        let copies = 1 + u64::from(self.chance.percent(self.weather.duplication));
        for copy in 0..copies {
            self.figures.count("duplicates", copy);
            if self.is_lost(index) {
                continue;
            }
            let delay = self.delay();
            self.after(delay, Event::Arrive(Request { agent, number: request, body: Arc::clone(&body) }));
        }
    }

    fn is_lost(&mut self, index: usize) -> bool {
        let lost = self.chance.percent(self.weather.loss) || self.away.get(index) == Some(&true);
        self.figures.count("messages lost", u64::from(lost));
        lost
    }

    /// Some arrive long after those that were sent later.
    fn delay(&mut self) -> u64 {
        if self.chance.percent(self.weather.straggling) {
            self.figures.count("stragglers", 1);
            self.chance.between(1, 60) * SECOND
        } else {
            self.chance.between(1, 200) * MILLISECOND
        }
    }

    fn timeout(&mut self, index: usize, request: u64) {
        if self.agent(index).flight.is_none_or(|flight| flight.request != request) {
            return;
        }
        let mut chance = self.chance.clone();
        let wait = self.agent(index).unanswered(&mut chance);
        self.chance = chance;
        self.note(index, "no answer", &format!("{wait:?}"));
        self.after(nanos(wait), Event::Ship(index));
    }

    fn arrive(&mut self, request: Request) {
        if self.inbox.is_empty() {
            self.after(GROUP_DELAY, Event::Collect);
        }
        self.inbox.push(request);
    }

    async fn collect(&mut self) -> anyhow::Result<()> {
        let group = std::mem::take(&mut self.inbox);
        let lives = if !self.chance.percent(self.weather.collector_crash) {
            Lives::Through
        } else if self.chance.percent(50) {
            Lives::UntilCommit
        } else {
            Lives::UntilAnswer
        };
        self.figures.count("collector crashes", u64::from(lives != Lives::Through));
        let numbers: Vec<u64> = group.iter().map(|request| request.number).collect();
        self.log.line(format!("the collector takes {numbers:?}: {lives:?}"));
        let answers = self.collector.take(group, self.now, lives).await?;
        for (request, answer) in answers {
            let Some(index) = self.agents.iter().position(|agent| agent.signer.agent == request.agent) else {
                continue;
            };
            if request.number == 0 {
                self.judge_forged(index, &answer);
                continue;
            }
            let reset = self.chance.percent(self.weather.reset);
            self.figures.count("answers lost", u64::from(reset));
            if !reset && !self.is_lost(index) {
                let delay = self.delay();
                self.after(delay, Event::Answer(index, request.number, Arc::new(answer.to_bytes())));
            }
        }
        Ok(())
    }

    fn judge_forged(&mut self, index: usize, answer: &Answer) {
        match answer {
            Answer::Refused(refusal) if refusal.kind == RefusalKind::Forked => {
                self.figures.count("forgeries refused", 1);
            }
            Answer::Refused(_) | Answer::Ack(_) => {
                self.wrong(format!("a forged history of agent {index} is answered with {answer:?}"));
            }
        }
    }

    fn answer(&mut self, index: usize, request: u64, answer: &[u8]) {
        // The answer to what was given up came over a connection that is closed.
        if self.agent(index).flight.is_none_or(|flight| flight.request != request) {
            return;
        }
        let key = *self.collector.key.verifying_key();
        let mut chance = self.chance.clone();
        let (fate, wait) = self.agent(index).answered(answer, &key, &mut chance);
        self.chance = chance;
        if self.follow(index, "answer", fate) {
            self.after(nanos(wait), Event::Ship(index));
        }
    }

    /// No faults any more, and everything that was down comes up.
    fn heal(&mut self) {
        self.weather = Weather::calm();
        self.log.line("healed".to_owned());
        for index in 0..self.agents.len() {
            self.set_away(index, false);
            self.set_full(index, false);
            self.agent(index).disk.restart_process();
            self.after(SECOND, Event::Start(index));
        }
    }

    fn is_settled(&self) -> bool {
        self.agents.iter().all(Agent::is_settled)
    }
}

fn nanos(duration: Duration) -> u64 {
    sekimori_wire::time::nanos_of(duration)
}
