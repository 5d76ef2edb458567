//! `cargo xtask day`: a day of a town hall as a capture, made on demand, to see how often the agent cries wolf.
//!
//! ```text
//! office ─► world (who is there, what happens next) ─► web, mail, directory, smb, rpc, lan, watch, bulk, outside
//!                                                        ─► session, names, tls, quic, der ─► tape ─► FILE.pcap
//! --judge: agent replay --quiet --format findings FILE ─► what was found, by category and severity, a day
//! ```
//!
//! The same seed gives the same bytes. Names and addresses are those for documentation and benchmarks (RFC 2606, 5737,
//! 2544, 1918). Long data segments are cut as by a snap length; their headers tell their true length.

mod bulk;
mod der;
mod directory;
mod judge;
mod lan;
mod mail;
mod names;
mod outside;
mod quic;
mod rpc;
mod session;
mod smb;
mod tape;
mod tls;
mod watch;
mod web;
mod world;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use tape::Tape;
use world::{HOUR, World};

/// A short day begins before people come.
const MORNING: u64 = 8;

/// What was asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    hours: u64,
    from: Option<u64>,
    hosts: u8,
    seed: u64,
    output: Option<PathBuf>,
    judge: bool,
}

impl Options {
    /// From the words after `day`; `None` if they are not understood.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut out = Self { hours: 24, from: None, hosts: 60, seed: 1, output: None, judge: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--hours" => out.hours = words.next()?.parse().ok().filter(|hours| *hours > 0)?,
                "--from" => out.from = Some(words.next()?.parse().ok()?),
                "--hosts" => out.hosts = words.next()?.parse().ok().filter(|hosts| *hosts > 0)?,
                "--seed" => out.seed = words.next()?.parse().ok()?,
                "--output" => out.output = Some(PathBuf::from(words.next()?)),
                "--judge" => out.judge = true,
                _ => return None,
            }
        }
        Some(out)
    }

    /// From when to when, in the time of the tape. Less than a day begins in the morning.
    fn span(&self) -> (u64, u64) {
        let first = self.from.unwrap_or(if self.hours < 24 { MORNING } else { 0 });
        (first * HOUR, (first + self.hours) * HOUR)
    }
}

/// Makes the day, and judges what the agent says of it; false if it cries wolf too often.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<bool> {
    let path = match &options.output {
        Some(path) => path.clone(),
        None => crate::command::target(root).join(format!("day-{}h-{}.pcap", options.hours, options.seed)),
    };
    let (frames, bytes) =
        write(&path, options).with_context(|| format!("cannot write {}", path.display()))?;
    let size = std::fs::metadata(&path)?.len() >> 20;
    println!(
        "{}: {size} MiB, {frames} frames of {} MiB, {} hours",
        path.display(),
        bytes >> 20,
        options.hours
    );
    if options.judge { judge::judge(root, &path, options.hours) } else { Ok(true) }
}

fn write(path: &Path, options: &Options) -> anyhow::Result<(u64, u64)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut world = office(options);
    let (from, until) = options.span();
    Tape::begin(&mut out)?;
    world.run(from, until, &mut out)?;
    out.flush()?;
    Ok(world.tape.written)
}

/// The whole town hall.
fn office(options: &Options) -> World {
    let mut world = World::new(options.seed, options.hosts);
    lan::begin(&mut world);
    directory::begin(&mut world);
    smb::copies(&mut world);
    web::begin(&mut world);
    mail::begin(&mut world);
    watch::begin(&mut world);
    bulk::begin(&mut world);
    outside::begin(&mut world);
    world
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let usual = Options { hours: 24, from: None, hosts: 60, seed: 1, output: None, judge: false };
        assert_eq!(Options::parse(&[]), Some(usual.clone()));
        assert_eq!(usual.span(), (0, 24 * HOUR));
        let short = Options::parse(&["--hours", "2", "--hosts", "5", "--seed", "9", "--judge"]).unwrap();
        assert_eq!((short.span(), short.hosts, short.seed, short.judge), ((8 * HOUR, 10 * HOUR), 5, 9, true));
        assert_eq!(Options::parse(&["--hours"]), None);
        assert_eq!(Options::parse(&["--hosts", "0"]), None);
        assert_eq!(Options::parse(&["--days", "2"]), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let options = Options::parse(&["--hours", "1", "--hosts", "2", "--from", "8"]).unwrap();
        let make = |seed: u64| {
            let (mut out, mut world) = (Vec::new(), office(&Options { seed, ..options.clone() }));
            world.run(8 * HOUR, 8 * HOUR + HOUR / 2, &mut out).unwrap();
            out
        };
        let one = make(1);
        assert!(one.len() > 100_000);
        assert!(one == make(1) && one != make(2));
    }
}
