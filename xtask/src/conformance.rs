//! `cargo xtask conformance`: what the agent reads of the corpora's captures, held value by value against what other
//! tools read of them. One line for each reference and type; status 1 if a promise is not kept.
//!
//! Each reference has a module that turns the agent's output for one capture into a [`Tally`]; captures are replayed by
//! the real program, each once for each set of options.

mod arkime;
mod ja4;
mod ndpi;
mod reviewed;
mod suricata;
mod table;
mod zeek;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::command;
use reviewed::Reviewed;

/// Of a reference's rows, at most so many in a hundred may be called wrong.
const REVIEWED_PERCENT_MAX: u64 = 3;
/// Replays side by side.
const WORKERS: usize = 2;

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// One reference.
    only: Option<String>,
    /// One log or event type.
    kind: Option<String>,
    /// Captures whose path contains this.
    path: Option<String>,
    /// The program to ask instead of the one built here.
    agent: Option<PathBuf>,
    /// Every value that differs.
    verbose: bool,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().map(|word| (*word).to_owned());
            match *word {
                "--only" => options.only = Some(value()?),
                "--type" => options.kind = Some(value()?),
                "--path" => options.path = Some(value()?),
                "--agent" => options.agent = Some(value()?.into()),
                "-v" | "--verbose" => options.verbose = true,
                _ => return None,
            }
        }
        Some(options)
    }

    /// Everything, with this program.
    pub(crate) fn all_with(agent: PathBuf) -> Self {
        Self { agent: Some(agent), ..Self::default() }
    }

    fn wants_path(&self, path: &str) -> bool {
        self.path.as_ref().is_none_or(|part| path.contains(part.as_str()))
    }

    fn wants_kind(&self, kind: &str) -> bool {
        self.kind.as_ref().is_none_or(|one| one == kind)
    }
}

/// Right and all of one type, and what differed.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    all: u64,
    /// Left out of both, as every such row is.
    left_out: u64,
    /// Left out of both because the reference is wrong in this row.
    reviewed: u64,
    notes: Vec<String>,
}

impl Tally {
    fn count(&mut self, right: bool, note: impl FnOnce() -> String) {
        self.all += 1;
        self.right += u64::from(right);
        if !right {
            self.notes.push(note());
        }
    }

    fn merge(&mut self, other: Self) {
        self.right += other.right;
        self.all += other.all;
        self.left_out += other.left_out;
        self.reviewed += other.reviewed;
        self.notes.extend(other.notes);
    }

    fn permille(&self) -> u64 {
        (self.right * 1_000).checked_div(self.all).unwrap_or(1_000)
    }
}

/// Tallies by type, and what each type or the whole must reach, in thousandths.
#[derive(Debug, Default)]
struct Scores(BTreeMap<String, Tally>);

impl Scores {
    fn of(&mut self, kind: &str) -> &mut Tally {
        self.0.entry(kind.to_owned()).or_default()
    }

    fn merge(&mut self, other: Self) {
        for (kind, tally) in other.0 {
            self.of(&kind).merge(tally);
        }
    }
}

/// A line of the result: what, its tally, and the promise in thousandths.
type Line = (String, Tally, Option<u64>);
/// A reference's module.
type Check = fn(&World<'_>) -> anyhow::Result<Vec<Line>>;

/// Where the captures are and who reads them.
struct World<'a> {
    root: &'a Path,
    corpora: PathBuf,
    agent: PathBuf,
    options: &'a Options,
    reviewed: Reviewed,
    folder: PathBuf,
}

impl World<'_> {
    /// EVE lines of a capture.
    fn eve(&self, path: &str, extra: &[&str]) -> anyhow::Result<Vec<Value>> {
        let text = self.replay(path, &[&["--format", "eve"], extra].concat())?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("{path}: {line}")))
            .collect()
    }

    /// A table that the agent writes as CSV.
    fn csv(&self, path: &str) -> anyhow::Result<Vec<table::Row>> {
        Ok(table::comma(&self.replay(path, &["--format", "csv"])?))
    }

    fn replay(&self, path: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.agent);
        command.args(["replay", "--quiet"]).args(words).arg(self.corpora.join(path));
        let done = command.stdin(Stdio::null()).output()?;
        // 1: the capture is damaged; what could be read was written all the same.
        if !matches!(done.status.code(), Some(0 | 1)) {
            bail!("{}: {} {}", path, done.status, String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Work on every capture of `groups`, two at a time.
    fn each<T: Sync>(
        &self,
        groups: &BTreeMap<String, T>,
        work: impl Fn(&str, &T) -> anyhow::Result<Scores> + Sync,
    ) -> anyhow::Result<Scores> {
        let wanted: Vec<_> = groups.iter().filter(|(path, _)| self.options.wants_path(path)).collect();
        let next = AtomicUsize::new(0);
        let result = Mutex::new((Scores::default(), Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some((path, group)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let done = work(path, group);
                        let mut result = result.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        match done {
                            Ok(scores) => result.0.merge(scores),
                            Err(error) => result.1.push(format!("{path}: {error:#}")),
                        }
                    }
                });
            }
        });
        let (scores, errors) = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !errors.is_empty() {
            bail!("{}", errors.join("\n"));
        }
        Ok(scores)
    }
}

/// Runs all or what was asked for; whether every promise was kept.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let corpora = std::env::var_os("SEKIMORI_CORPORA")
        .map(PathBuf::from)
        .or_else(|| Some(root.parent()?.join("shared/corpora")))
        .filter(|path| path.join("expected").is_dir())
        .context("no corpora: set SEKIMORI_CORPORA to the folder that holds `expected`")?;
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => built(root)?,
    };
    let folder = command::target(root).join("conformance");
    let world = World { root, corpora, agent, options, reviewed: Reviewed::load(root)?, folder };
    let references: [(&str, Check); 6] = [
        ("ja4", ja4::check),
        ("community", ja4::community),
        ("arkime", arkime::check),
        ("zeek", zeek::check),
        ("suricata", suricata::check),
        ("ndpi", ndpi::check),
    ];
    let mut kept = true;
    println!(
        "{:<10} {:<28} {:>13} {:>7} {:>7} {:>6} {:>8}",
        "reference", "what", "right/all", "%", "promise", "out", "reviewed"
    );
    for (name, check) in references {
        if options.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        for (kind, tally, promise) in check(&world)? {
            kept &= print(name, &kind, &tally, promise, options.verbose);
        }
    }
    Ok(kept)
}

/// One line, and what differed; whether the promise was kept.
fn print(name: &str, kind: &str, tally: &Tally, promise: Option<u64>, verbose: bool) -> bool {
    let percent = |permille: u64| format!("{}.{}", permille / 10, permille % 10);
    let few_reviewed = tally.reviewed * 100 <= REVIEWED_PERCENT_MAX * (tally.all + tally.reviewed);
    let kept = few_reviewed && promise.is_none_or(|promise| tally.permille() >= promise);
    println!(
        "{name:<10} {kind:<28} {:>13} {:>7} {:>7} {:>6} {:>8}{}",
        format!("{}/{}", tally.right, tally.all),
        percent(tally.permille()),
        promise.map_or_else(String::new, percent),
        tally.left_out,
        tally.reviewed,
        if kept { "" } else { "  not kept" },
    );
    if verbose {
        tally.notes.iter().for_each(|note| println!("    {note}"));
    }
    kept
}

/// The agent that the tests use.
pub(crate) fn agent(root: &Path) -> PathBuf {
    command::target(root).join("debug/sekimori-agent")
}

/// Builds the agent as the tests do and says where it is.
fn built(root: &Path) -> anyhow::Result<PathBuf> {
    command::run(command::cargo().current_dir(root).args(["build", "--workspace", "--bins"]))?;
    Ok(agent(root))
}
