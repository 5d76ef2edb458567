//! The captures that are measured, made when they are not there yet. In memory where there is room: what a disk adds is
//! noise.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use nix::sys::statvfs::statvfs;

use super::{Options, fingerprint, frames, mix, small};
use crate::day;

/// What the issue asks of the mix.
const MIX_BYTES: u64 = 545_000_000;
const SEED: u64 = 1;
/// So much must be free in memory before captures are put there.
const MEMORY_FREE: u64 = 4 << 30;
/// Bytes that suffice for a packet of the mix from seeds.
const FIXED_BYTES: u64 = 200;
/// Of the corpora, the folders that make a realistic mix.
const FOLDERS: [&str; 4] = ["benign", "benign/app", "protocol/suricata", "protocol/zeek"];

/// A capture to measure.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    /// `mix`, `small` or the file's name.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// What it is made of.
    pub(super) about: String,
}

/// Where captures and what the programs write are put.
pub(super) fn folder(root: &Path) -> anyhow::Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let free = statvfs(memory).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
    let folder = memory.join("sekimori-bench");
    let in_memory = folder.is_dir() || free > MEMORY_FREE;
    let folder = if in_memory { folder } else { crate::command::target(root).join("bench") };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The mix (or the files given in its place) and the worst case.
pub(super) fn prepare(root: &Path, folder: &Path, options: &Options) -> anyhow::Result<Vec<Capture>> {
    let mut out = Vec::new();
    if options.files.is_empty() {
        out.push(mix(root, folder)?);
    }
    for file in &options.files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        out.push(capture(&name, file, "given".to_owned())?);
    }
    if options.packets > 0 {
        out.push(worst(folder, options.packets)?);
    }
    Ok(out)
}

/// The realistic mix.
fn mix(root: &Path, folder: &Path) -> anyhow::Result<Capture> {
    let paths = match std::env::var_os("SEKIMORI_CORPORA") {
        Some(corpora) => mix::sources(&FOLDERS.map(|name| Path::new(&corpora).join(name)))?,
        None => seeded_sources(root, folder)?,
    };
    mix_of(&paths, "mix", folder, MIX_BYTES)
}

fn mix_of(paths: &[PathBuf], name: &str, folder: &Path, bytes: u64) -> anyhow::Result<Capture> {
    let mut key = format!("{} {SEED} {bytes}", mix::VERSION);
    for path in paths {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        key.push_str(&format!(" {:016x}", fingerprint(&bytes)));
    }
    let key = format!("mix {:016x}", fingerprint(key.as_bytes()));
    made(name, folder, &key, |path| mix::write(path, paths, bytes, SEED))
}

/// A morning of a town hall and the demo's incidents.
fn seeded_sources(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let day = folder.join("day");
    std::fs::create_dir_all(&day)?;
    let path = day.join("day.pcap");
    let path = path.to_string_lossy();
    let words = ["--hours", "1", "--hosts", "20", "--output", &*path];
    let options = day::Options::parse(&words).context("the day's options")?;
    ensure!(day::run(root, &options)?, "the day could not be made");
    mix::sources(&[day, root.join("pcaps/demo")])
}

/// A mix made from seeds alone: a morning of a town hall, and the demo's incidents.
pub(super) fn fixed_mix(root: &Path, folder: &Path, packets: u64) -> anyhow::Result<Capture> {
    let paths = seeded_sources(root, folder)?;
    let bytes = packets * FIXED_BYTES;
    let whole = mix_of(&paths, "mix-seeded", folder, bytes)?;
    ensure!(whole.packets >= packets, "{} packets of {packets}", whole.packets);
    whole.cut(folder, packets)
}

/// The worst case.
pub(super) fn worst(folder: &Path, packets: u64) -> anyhow::Result<Capture> {
    let key = format!("small {} {SEED} {packets}", small::VERSION);
    let name = format!("small-{packets}");
    let capture = made(&name, folder, &key, |path| {
        let flows = small::write(path, packets, SEED)?;
        Ok(format!("{flows} flows"))
    })?;
    Ok(Capture { name: WORST.to_owned(), ..capture })
}

/// A capture that is made unless the one that is there has this key.
fn made(
    name: &str,
    folder: &Path,
    key: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<Capture> {
    let (path, note) = (folder.join(format!("{name}.pcap")), folder.join(format!("{name}.key")));
    let said = std::fs::read_to_string(&note).unwrap_or_default();
    if let Some((known, about)) = said.split_once('\n')
        && known == key
        && path.exists()
    {
        return capture(name, &path, about.to_owned());
    }
    eprintln!("xtask: making {}", path.display());
    let about = make(&path)?;
    std::fs::write(note, format!("{key}\n{about}"))?;
    capture(name, &path, about)
}

fn capture(name: &str, path: &Path, about: String) -> anyhow::Result<Capture> {
    let bytes = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    Ok(Capture { name: name.to_owned(), path: path.to_owned(), packets: frames::count(path)?, bytes, about })
}

/// As the worst case is called.
pub(super) const WORST: &str = "small";

impl Capture {
    pub(super) fn is_worst(&self) -> bool {
        self.name == WORST
    }

    /// The capture itself, or its first packets as one of its own.
    pub(super) fn cut(&self, folder: &Path, most: u64) -> anyhow::Result<Self> {
        if self.packets <= most {
            return Ok(self.clone());
        }
        let path = folder.join(format!("{}-{most}.slice.pcap", self.name));
        let packets = frames::slice(&self.path, &path, most)?;
        let bytes = std::fs::metadata(&path)?.len();
        Ok(Self { path, packets, bytes, ..self.clone() })
    }
}
