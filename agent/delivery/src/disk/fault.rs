//! A disk that fails as disks do, under the real files of one folder: a process that dies at the step one chooses, power
//! that goes and takes what was not synced with it, no room, and bits that rot.
//!
//! Each [`Disk`] is the disk of one folder, for as long as it lives, in the thread that mounted it: a simulation has many.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::struct_excessive_bools,
    reason = "a disk for tests: if the real one fails, so do they; its faults come and go by themselves"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Step;

/// What a disk writes at once: of several unsynced writes each such piece is kept or lost by itself.
const SECTOR_BYTES: usize = 64;

/// A folder whose disk can fail. It is a sound one again when this is dropped.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    full: bool,
    skips_sync: bool,
    steps_left: Option<u32>,
    tears: bool,
    /// Durable content of files whose present content is not durable.
    content: BTreeMap<PathBuf, Vec<u8>>,
    /// Durable meaning of names whose present meaning is not durable; `None`: no such file.
    names: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

thread_local!(static DISKS: RefCell<BTreeMap<PathBuf, State>> = RefCell::default());

impl Disk {
    /// What is in the folder now is durable; what this thread changes from now on is so once it is synced.
    pub fn mount(root: &Path) -> Self {
        DISKS.with_borrow_mut(|disks| disks.insert(root.to_owned(), State::default()));
        Self { root: root.to_owned() }
    }

    fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        DISKS.with_borrow_mut(|disks| change(disks.entry(self.root.clone()).or_default()))
    }

    /// The process dies after `steps` more steps: each later one fails. If the last is a write, only a part of it happens
    /// if it `tears`, else all.
    pub fn crash_after(&self, steps: u32, tears: bool) {
        self.state(|state| (state.steps_left, state.tears) = (Some(steps), tears));
    }

    /// Whether the process has died.
    pub fn crashed(&self) -> bool {
        self.state(|state| state.steps_left == Some(0))
    }

    /// The process is started again on a machine that kept running: what is not durable still can be lost.
    pub fn restart_process(&self) {
        self.state(|state| state.steps_left = None);
    }

    /// From now on no file can grow, or all can again.
    pub fn set_full(&self, full: bool) {
        self.state(|state| state.full = full);
    }

    /// The mistake of whoever writes without syncing: from now on no content is made durable.
    pub fn skip_sync(&self) {
        self.state(|state| state.skips_sync = true);
    }

    /// The machine is started again. `draw(n)` draws below n: of content 0 keeps what was not durable, 1 loses it, more
    /// keeps some sectors of it; of names 1 loses a change.
    pub fn lose_power(&self, mut draw: impl FnMut(usize) -> usize) {
        let (content, names) = self.state(|state| {
            state.steps_left = None;
            (std::mem::take(&mut state.content), std::mem::take(&mut state.names))
        });
        for (path, durable) in content {
            let Ok(present) = fs::read(&path) else { continue };
            match draw(3) {
                0 => (),
                1 => fs::write(&path, &durable).unwrap(),
                _ => fs::write(&path, mixed(&durable, &present, &mut draw)).unwrap(),
            }
        }
        for (path, durable) in names {
            if draw(2) == 1 {
                match durable {
                    Some(content) => fs::write(&path, content).unwrap(),
                    None => drop(fs::remove_file(&path)),
                }
            }
        }
    }

    /// Flips one bit of one durable file that `wanted` picks; says of which.
    pub fn rot(
        &self,
        wanted: impl Fn(&Path) -> bool,
        mut draw: impl FnMut(usize) -> usize,
    ) -> Option<PathBuf> {
        let mut files = Vec::new();
        collect(&self.root, &mut files);
        let is_durable = |path: &PathBuf| self.state(|state| !state.content.contains_key(path));
        files.retain(|path| {
            wanted(path) && is_durable(path) && path.metadata().is_ok_and(|file| file.len() > 0)
        });
        files.sort();
        if files.is_empty() {
            return None;
        }
        let path = files.swap_remove(draw(files.len()));
        let mut bytes = fs::read(&path).unwrap();
        // Where something is: a file may be nearly all room for later.
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        if written.is_empty() {
            return None;
        }
        let at = written[draw(written.len())];
        bytes[at] ^= 1 << draw(8);
        fs::write(&path, bytes).unwrap();
        Some(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        DISKS.with_borrow_mut(|disks| disks.remove(&self.root));
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Some sectors of the new content and the old of the others; what was never written is zeros. The length is any between.
fn mixed(durable: &[u8], present: &[u8], draw: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let len = match present.len().checked_sub(durable.len()) {
        Some(grown) => durable.len() + draw(grown + 1),
        None if draw(2) == 0 => present.len(),
        None => durable.len(),
    };
    let mut out = durable.to_vec();
    out.resize(len, 0);
    for start in (0..len).step_by(SECTOR_BYTES) {
        let end = (start + SECTOR_BYTES).min(len).min(present.len());
        if start < end && out[start..end] != present[start..end] && draw(2) == 0 {
            out[start..end].copy_from_slice(&present[start..end]);
        }
    }
    out
}

/// The disk of a path, if somebody mounted one.
fn of<T>(path: &Path, change: impl FnOnce(&mut State) -> T) -> Option<T> {
    DISKS.with_borrow_mut(|disks| {
        disks.iter_mut().find(|(root, _)| path.starts_with(root)).map(|(_, state)| change(state))
    })
}

/// Writes a part of what is going to fail.
pub(super) fn tear(file: &mut fs::File, path: &Path, bytes: &[u8]) {
    of(path, |state| {
        let dies = state.tears && state.steps_left == Some(1);
        if (state.full && state.steps_left != Some(0)) || dies {
            state.track(Step::Content, path);
            if dies {
                state.steps_left = Some(0);
            }
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
        }
    });
}

/// The same of what is written over other bytes.
pub(super) fn tear_over(file: &fs::File, path: &Path, offset: u64, bytes: &[u8]) {
    of(path, |state| {
        if state.tears && state.steps_left == Some(1) {
            state.track(Step::Overwrite, path);
            state.steps_left = Some(0);
            file.write_all_at(&bytes[..bytes.len() / 2], offset).unwrap();
        }
    });
}

pub(super) fn before(step: Step, path: &Path) -> io::Result<()> {
    of(path, |state| {
        if state.steps_left == Some(0) {
            return Err(io::Error::other("the process is dead"));
        }
        if state.full && step == Step::Content {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.steps_left = state.steps_left.map(|steps| steps - 1);
        state.track(step, path);
        Ok(())
    })
    .unwrap_or(Ok(()))
}

impl State {
    fn track(&mut self, step: Step, path: &Path) {
        match step {
            Step::Content | Step::Overwrite | Step::Cut => {
                let durable = || fs::read(path).unwrap_or_default();
                self.content.entry(path.to_owned()).or_insert_with(durable);
            }
            Step::Create | Step::Rename | Step::Remove => {
                // What the name durably leads to: the old file, less what was not synced in it.
                let durable = self.content.remove(path).or_else(|| fs::read(path).ok());
                self.names.entry(path.to_owned()).or_insert(durable);
                if let Some(unsynced) = self.content.remove(&path.with_extension("tmp")) {
                    self.content.insert(path.to_owned(), unsynced);
                }
            }
            Step::Sync if self.skips_sync => (),
            Step::Sync => drop(self.content.remove(path)),
            Step::SyncDir => self.names.retain(|name, _| name.parent() != Some(path)),
        }
    }
}
