//! One run: makes everything, holds each rate, drains, and says what came of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sekimori_collector::clock;
use sekimori_collector::store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::agent::{Agent, Common};
use crate::books::{self, Books};
use crate::database::Database;
use crate::figures::{Board, Figures};
use crate::fleet;
use crate::host::{self, Host, Replicas, Usage};
use crate::incidents::{self, Awaited};
use crate::options::{Kind, Options};
use crate::timers::{self, Fired};

/// 99 of 100 incidents within this time of the finding.
const INCIDENT_WITHIN: Duration = Duration::from_secs(10);
/// What is due is acknowledged within this time after the end.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// Batches a second of one agent as it is, in thousandths: a summary each 10 s, health each 30 s, findings each 60 s.
const USUAL_MILLI: u32 = 150;
/// Batches a second of one agent that a collector must carry, in thousandths: with the same shares, one in ten seconds.
const PROMISED_MILLI: u32 = 100;
/// Between two looks at what the processes use.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// No machine of two cores gets there.
const STEPS_MAX: u32 = 100;
const SHOWN_WRONG: usize = 10;

/// Runs; whether every promise was kept. With a rate that rises, whether those of the first step were.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    std::fs::create_dir_all(&options.dir)?;
    let database = match options.store {
        Kind::Sqlite => None,
        Kind::Postgres => Some(Database::start(options.fail_over_after.is_some())?),
    };
    let url = database.as_ref().map(Database::url);
    let hurried = options.fails().then(timers::hurried).transpose()?;
    let host = Host::make(&options.collector, &options.dir, url, hurried).await?;
    let begin = Instant::now();
    let store = Store::open(host.config.store()).await?;
    let tokens = fleet::tokens(&store, &host.config, options.agents).await?;
    store.close().await;
    let mut hosts = vec![host.clone()];
    for number in 1..options.replicas {
        hosts.push(host.replica(&options.dir, number)?);
    }
    let ingest: Vec<SocketAddr> = hosts.iter().map(|host| host.config.ingest).collect();
    let replicas = Replicas::start(hosts).await?;
    let agents = fleet::enrol(&host.config, tokens).await?;
    let agents = fleet::connect(agents, &ingest).await?;
    println!(
        "load: {} agents enrolled and connected in {:.1} s",
        agents.len(),
        begin.elapsed().as_secs_f64()
    );
    let (over, heard) = watch::channel(false);
    let common = Arc::new(Common {
        ingest,
        board: Board::new(),
        awaited: Awaited::default(),
        permille: AtomicU32::new(1000),
        over: heard,
    });
    let store = match options.store {
        Kind::Sqlite => Store::open_read_only(host.config.store()).await?,
        // That goes to the standby as the collectors do.
        Kind::Postgres => Store::open(host.config.store()).await?,
    };
    let follower = {
        let (store, common) = (store.clone(), Arc::clone(&common));
        tokio::spawn(async move { incidents::follow(&store, &common.awaited, &common.board).await })
    };
    let start = Instant::now();
    let living: Vec<_> = agents.into_iter().map(|agent| live(agent, Arc::clone(&common), start)).collect();
    let mut stage = Stage { options, database, common: &common, replicas };
    let steps = stage.climb().await?;
    over.send_replace(true);
    let agents = drain(living).await?;
    let missing = settle(&common.awaited).await;
    follower.abort();
    let ended = clock::now();
    if options.fails() {
        timers::settle(&store, ended).await?;
    }
    stage.replicas.stop().await?;
    let books = books::check(&store, &agents).await?;
    let fired = if options.fails() { Some(timers::check(&store, ended).await?) } else { None };
    let unfired = fired.iter().flat_map(|fired| &fired.wrong);
    for line in books.wrong.iter().take(SHOWN_WRONG).chain(unfired.take(SHOWN_WRONG)) {
        println!("load: WRONG: {line}");
    }
    // Those that were acknowledged while draining count too.
    let steps: Vec<Step> =
        steps.into_iter().map(|step| Step { figures: common.board.get(step.number), ..step }).collect();
    Ok(verdict(options, &steps, &Checked { books, fired, missing }))
}

fn live(mut agent: Agent, common: Arc<Common>, begin: Instant) -> JoinHandle<Agent> {
    tokio::spawn(async move {
        let until = async {
            let mut over = common.over.clone();
            // An error says so too.
            drop(over.wait_for(|over| *over).await);
            tokio::time::sleep(DRAINED_WITHIN).await;
        };
        tokio::select! {
            () = agent.live(&common, begin) => {}
            () = until => {}
        }
        agent
    })
}

async fn drain(living: Vec<JoinHandle<Agent>>) -> anyhow::Result<Vec<Agent>> {
    let mut agents = Vec::with_capacity(living.len());
    for agent in living {
        agents.push(agent.await.context("an agent failed")?);
    }
    Ok(agents)
}

/// New findings that have no incident, after a last while.
async fn settle(awaited: &Awaited) -> usize {
    let begin = Instant::now();
    while awaited.count() > 0 && begin.elapsed() < INCIDENT_WITHIN {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    awaited.count()
}

/// The collectors under one rate after another.
struct Stage<'a> {
    options: &'a Options,
    database: Option<Database>,
    common: &'a Common,
    replicas: Replicas,
}

/// One rate, held.
#[derive(Clone, Debug)]
struct Step {
    number: usize,
    /// Batches a second that were due.
    rate: f64,
    took: Duration,
    collector: Usage,
    generator: Usage,
    kills: u32,
    /// Of the database, with a change to its standby.
    restarts: u32,
    figures: Figures,
}

impl Stage<'_> {
    /// Holds the rate that is promised; with `--rate`, then more and more until a promise breaks.
    async fn climb(&mut self) -> anyhow::Result<Vec<Step>> {
        let agents = u32::try_from(self.options.agents)?;
        let promised = agents * PROMISED_MILLI / 1000;
        let mut steps = Vec::new();
        for number in 0..STEPS_MAX {
            let rate = promised.max(1) + number * self.options.rate.unwrap_or_default();
            let permille = u64::from(rate) * 1_000_000 / u64::from(agents * USUAL_MILLI);
            self.common.permille.store(u32::try_from(permille)?, Ordering::Relaxed);
            let step = self.hold(steps.len()).await?;
            println!("load: {step}");
            let is_kept = step.is_kept(self.options.within);
            steps.push(step);
            if self.options.rate.is_none() || !is_kept {
                break;
            }
            self.common.board.next_step();
        }
        Ok(steps)
    }

    async fn hold(&mut self, number: usize) -> anyhow::Result<Step> {
        let begin = Instant::now();
        let own = host::usage("self");
        let before = self.replicas.usage().cpu;
        let (mut collector, mut generator) = (Usage::default(), Usage::default());
        let (mut kills, mut last_kill) = (0, begin);
        let (mut restarts, mut last_restart) = (0, begin);
        // In the first step, and once.
        let mut fails_over = number > 0;
        let is_due =
            |every: Option<Duration>, last: Instant| every.is_some_and(|every| last.elapsed() >= every);
        while begin.elapsed() < self.options.hold {
            tokio::time::sleep(SAMPLE_EVERY).await;
            ensure!(
                self.replicas.are_running(),
                "a collector ended by itself; see the logs in {}",
                self.options.dir.display()
            );
            let now = self.replicas.usage();
            collector.cpu = now.cpu.saturating_sub(before);
            collector.rss_anon = collector.rss_anon.max(now.rss_anon);
            generator.rss_anon = generator.rss_anon.max(host::usage("self").rss_anon);
            if is_due(self.options.kill_every, last_kill) {
                self.replicas.kill_one().await?;
                (kills, last_kill) = (kills + 1, Instant::now());
            }
            if is_due(self.options.restart_every, last_restart) {
                self.database.as_mut().map_or(Ok(()), Database::restart)?;
                (restarts, last_restart) = (restarts + 1, Instant::now());
            }
            if !fails_over && is_due(self.options.fail_over_after, begin) {
                self.database.as_mut().map_or(Ok(()), Database::fail_over)?;
                fails_over = true;
            }
        }
        let took = begin.elapsed();
        generator.cpu = host::usage("self").cpu.saturating_sub(own.cpu);
        let figures = self.common.board.get(number);
        let rate = f64::from(u32::try_from(figures.sealed.count())?) / took.as_secs_f64();
        Ok(Step {
            number,
            rate,
            took,
            collector,
            generator,
            kills,
            restarts: restarts + u32::from(fails_over && number == 0),
            figures,
        })
    }
}

impl Step {
    /// Whether the promises about time hold; while something is killed there are none.
    fn is_kept(&self, within: Duration) -> bool {
        let [_, acknowledged, _] = self.figures.acknowledged.quantiles();
        let [_, incident, _] = self.figures.incidents.quantiles();
        // What is due and not acknowledged has waited too.
        let waiting = self.figures.sealed.count().saturating_sub(self.figures.acknowledged.count());
        let few = waiting * 100 <= self.figures.sealed.count();
        self.kills + self.restarts > 0 || (acknowledged < within && incident <= INCIDENT_WITHIN && few)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |times: [Duration; 3]| {
            let [p50, p99, max] = times.map(|time| time.as_millis());
            format!("{p50}/{p99}/{max} ms")
        };
        let cores = |usage: &Usage| usage.cpu.as_secs_f64() / self.took.as_secs_f64();
        let figures = &self.figures;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{:.0} batches/s ({} KiB/s) for {seconds:.0} s; acknowledged p50/p99/max {}; finding to incident {} ({}); \
             sealed late {}; busy {}, broken {}; collector {:.2} cores, {} MiB; generator {:.2} cores, {} MiB",
            self.rate,
            figures.bytes / 1024 / self.took.as_secs().max(1),
            shown(figures.acknowledged.quantiles()),
            shown(figures.incidents.quantiles()),
            figures.incidents.count(),
            shown(figures.sealed.quantiles()),
            figures.busy,
            figures.broken,
            cores(&self.collector),
            self.collector.rss_anon / 1024,
            cores(&self.generator),
            self.generator.rss_anon / 1024,
        )?;
        if self.kills > 0 {
            write!(f, "; {} kills", self.kills)?;
        }
        if self.restarts > 0 { write!(f, "; {} failures of the database", self.restarts) } else { Ok(()) }
    }
}

/// What was looked at when all was over.
#[derive(Debug)]
struct Checked {
    books: Books,
    fired: Option<Fired>,
    /// New findings that have no incident.
    missing: usize,
}

/// Prints the closing line; whether every promise was kept.
fn verdict(options: &Options, steps: &[Step], checked: &Checked) -> bool {
    let Checked { books, fired, missing } = checked;
    let unfired = fired.as_ref().map_or(0, |fired| fired.wrong.len());
    let wrong: u64 = steps.iter().map(|step| step.figures.wrong).sum();
    if let Some(first) = steps.iter().find_map(|step| step.figures.first_wrong.as_ref()) {
        println!("load: WRONG: {first}");
    }
    if *missing > 0 {
        println!("load: WRONG: {missing} new findings have no incident");
    }
    let wrong = wrong + (books.wrong.len() + missing + unfired) as u64;
    let are_books_good = wrong == 0;
    let first_kept = steps.first().is_some_and(|step| step.is_kept(options.within));
    let held = steps.iter().take_while(|step| step.is_kept(options.within)).last();
    let broke = steps.iter().find(|step| !step.is_kept(options.within));
    let shown = held.or(broke);
    let is_good = are_books_good && first_kept;
    let mut line = format!(
        "load: {} agents, {} batches sealed, {} acknowledged, {} stored, {wrong} wrong; ",
        options.agents, books.sealed, books.acknowledged, books.stored,
    );
    if let Some(step) = shown {
        line += &step.to_string();
    }
    if let Some(fired) = fired {
        line += &format!("; {fired}");
    }
    if let (Some(_), Some(broke)) = (options.rate, broke) {
        line += &format!("; breaks at {:.0} batches/s", broke.rate);
    }
    println!("{line}; {}", if is_good { "kept" } else { "BROKEN" });
    is_good
}
