//! `cargo xtask bench --instructions`: instructions per packet, under callgrind, on captures that never change.
//!
//! Time drifts with the weather, instructions do not: the same program on the same capture gives the same count to one in
//! ten thousand. What start-up costs is taken off. The figures are kept in the tree by all that they depend on beside our
//! code: compiler, libc, processor (libraries choose their code by it) and the capture's bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};

use super::{captures, fingerprint, frames};
use crate::command;
use crate::install::{self, Purpose};

/// Where the figures are kept.
const FILE: &str = "xtask/instructions.tsv";
/// More than this must be explained.
const RISE_PERMILLE: u64 = 30;
/// Packets of each capture: enough that the tables are in use, few enough for every change.
pub(super) const PACKETS: u64 = 200_000;

/// A capture, and the instructions that each of its packets takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    /// Compiler, libc, processor, capture.
    key: [String; 4],
    per_packet: u64,
}

impl Figure {
    fn line(&self) -> String {
        format!("{}\t{}", self.key.join("\t"), self.per_packet)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('\t').map(ToOwned::to_owned);
        let key = [columns.next()?, columns.next()?, columns.next()?, columns.next()?];
        Some(Self { key, per_packet: columns.next()?.parse().ok()? })
    }
}

/// What a figure says beside the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    New,
    Same,
    Less,
    More,
}

fn judge(known: &[Figure], figure: &Figure) -> (Judgement, u64) {
    let Some(before) = known.iter().find(|one| one.key == figure.key).map(|one| one.per_packet) else {
        return (Judgement::New, 0);
    };
    let judgement = match figure.per_packet {
        now if now * 1_000 > before * (1_000 + RISE_PERMILLE) => Judgement::More,
        now if now * 1_000 < before * (1_000 - RISE_PERMILLE) => Judgement::Less,
        _ => Judgement::Same,
    };
    (judgement, before)
}

/// Counts; false if a known figure rose by more than it may.
pub(super) fn run(root: &Path, agent: Option<&Path>) -> anyhow::Result<bool> {
    install::ensure(Purpose::Count)?;
    let agent = super::agent(root, agent)?;
    let path = root.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let known: Vec<Figure> = text.lines().skip(1).filter_map(Figure::parse).collect();
    let (mut added, mut good) = (String::new(), true);
    for figure in measure(root, &agent)? {
        let (judgement, before) = judge(&known, &figure);
        let (name, now) = (figure.key[3].as_str(), figure.per_packet);
        println!("{name:<28} {now:>6} instructions per packet");
        match judgement {
            Judgement::New => {
                println!("  new, added to {FILE}: commit it");
                writeln!(added, "{}", figure.line())?;
            }
            Judgement::Same => println!("  was {before}"),
            Judgement::Less => println!("  was {before}: put the new figure into {FILE}"),
            Judgement::More => {
                println!(
                    "  was {before}: a rise of more than {RISE_PERMILLE} ‰. Find out why (cargo xtask bench --layers; \
                     docs/performance.md); if it is worth it, say so in the commit that puts this into {FILE}:\n{}",
                    figure.line()
                );
                good = false;
            }
        }
    }
    if !added.is_empty() {
        std::fs::write(&path, text + &added)?;
    }
    Ok(good)
}

/// A step of `cargo xtask ci`.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    if !run(root, None)? {
        bail!("a packet costs more instructions than it did");
    }
    Ok(())
}

fn measure(root: &Path, agent: &Path) -> anyhow::Result<Vec<Figure>> {
    let folder = folder(root)?;
    let empty = folder.join("empty.pcap");
    std::fs::write(&empty, frames::file_header())?;
    let start_up = callgrind(agent, &empty, &folder)?.1;
    let machine = [compiler(root)?, libc()?, super::processor()];
    let captures = fixed(root, &folder)?;
    // Side by side: what is counted does not depend on who else runs.
    let counted: Vec<anyhow::Result<u64>> = std::thread::scope(|scope| {
        let count = |capture: &captures::Capture| callgrind(agent, &capture.path, &folder).map(|done| done.1);
        let running: Vec<_> = captures.iter().map(|capture| scope.spawn(move || count(capture))).collect();
        let join = |one: std::thread::ScopedJoinHandle<'_, _>| {
            one.join().unwrap_or_else(|_panic| Err(anyhow!("counting failed")))
        };
        running.into_iter().map(join).collect()
    });
    let mut out = Vec::new();
    for (capture, instructions) in captures.into_iter().zip(counted) {
        let instructions = instructions?;
        let bytes = std::fs::read(&capture.path)?;
        let name = format!("{} {:016x}", capture.name, fingerprint(&bytes));
        let [compiler, libc, processor] = machine.clone();
        let per_packet =
            instructions.saturating_sub(start_up).checked_div(capture.packets).unwrap_or_default();
        out.push(Figure { key: [compiler, libc, processor, name], per_packet });
    }
    Ok(out)
}

/// Where the captures and what callgrind writes are put: not in memory, they are small.
pub(super) fn folder(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = command::target(root).join("bench-instructions");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The captures: made from seeds alone, so that they are the same on every machine.
pub(super) fn fixed(root: &Path, folder: &Path) -> anyhow::Result<Vec<captures::Capture>> {
    Ok(vec![captures::fixed_mix(root, folder, PACKETS)?, captures::worst(folder, PACKETS)?])
}

/// Replays under callgrind; what it wrote, and all instructions.
pub(super) fn callgrind(agent: &Path, capture: &Path, folder: &Path) -> anyhow::Result<(String, u64)> {
    let name = capture.file_stem().unwrap_or_default().to_string_lossy();
    let out = folder.join(format!("{name}.callgrind"));
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", out.display()));
    valgrind
        .arg(agent)
        .args(["replay", "--quiet", "--format", "summary", "--output", "/dev/null"])
        .arg(capture);
    // Chance of the standard library's tables is the only one; the environment moves the stack.
    valgrind.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command::output(&mut valgrind)?;
    let text = std::fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    let total = total.context("callgrind wrote no total")?;
    Ok((text, total))
}

fn compiler(root: &Path) -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(command::output(Command::new(rustc).arg("--version").current_dir(root))?.trim().to_owned())
}

fn libc() -> anyhow::Result<String> {
    Ok(command::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_told_from_noise() {
        let figure = |processor: &str, per_packet| Figure {
            key: ["rustc 1".into(), "glibc 2".into(), processor.into(), "small 0".into()],
            per_packet,
        };
        let known = [figure("a", 1_000)];
        for (now, expect) in [
            (figure("b", 5_000), Judgement::New),
            (figure("a", 1_030), Judgement::Same),
            (figure("a", 1_031), Judgement::More),
            (figure("a", 970), Judgement::Same),
            (figure("a", 969), Judgement::Less),
        ] {
            assert_eq!(judge(&known, &now).0, expect, "{now:?}");
        }
        assert_eq!(Figure::parse(&known[0].line()), Some(known[0].clone()));
        assert_eq!(Figure::parse("a\tb"), None);
    }

    #[test]
    fn the_kept_figures_can_be_read() {
        let text = std::fs::read_to_string(command::root().unwrap().join(FILE)).unwrap();
        for line in text.lines().skip(1) {
            assert!(Figure::parse(line).is_some(), "{line}");
        }
    }
}
