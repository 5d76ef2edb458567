//! Writing that survives a power cut, in one place, so that tests can cut the power at every step.
//!
//! Every function that changes the disk first passes `fault::before`: nothing outside tests, the simulated crash in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct DiskError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub cause: io::Error,
}

impl DiskError {
    /// There is no room: a condition that passes, unlike the others.
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Adds what was being done to an IO result.
pub fn at<T>(doing: &'static str, path: &Path, result: io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|cause| DiskError { doing, path: path.to_owned(), cause })
}

/// Makes a folder that only its owner can enter, if it is not there.
pub fn create_private_dir(path: &Path) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    at("create folder", path, fs::DirBuilder::new().recursive(true).mode(0o700).create(path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Replaces a file by one with this content, readable by its owner only: after a crash there is the old or the new one.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let temporary = path.with_extension("tmp");
    let mut file = create(&temporary)?;
    append(&mut file, &temporary, content)?;
    sync(&file, &temporary)?;
    at("replace", path, before(Step::Rename, path).and_then(|()| fs::rename(&temporary, path)))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Creates or empties a file for appending. Its name is not durable before [`sync_dir`].
pub fn create(path: &Path) -> Result<File, DiskError> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    at("create", path, before(Step::Create, path).and_then(|()| open()))
}

/// Appends at the file's position.
pub fn append(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    #[cfg(any(test, feature = "fault"))]
    fault::tear(file, path, bytes);
    at("write", path, before(Step::Content, path).and_then(|()| file.write_all(bytes)))
}

/// Cuts a file.
pub fn truncate(file: &File, path: &Path, bytes: u64) -> Result<(), DiskError> {
    at("cut", path, before(Step::Content, path).and_then(|()| file.set_len(bytes)))
}

/// Makes the content durable.
pub fn sync(file: &File, path: &Path) -> Result<(), DiskError> {
    at("sync", path, before(Step::Sync, path).and_then(|()| file.sync_data()))
}

/// Removes a file.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    at("remove", path, before(Step::Remove, path).and_then(|()| fs::remove_file(path)))
}

/// Makes the names in a folder durable.
pub fn sync_dir(path: &Path) -> Result<(), DiskError> {
    let sync = || File::open(path).and_then(|dir| dir.sync_all());
    at("sync folder", path, before(Step::SyncDir, path).and_then(|()| sync()))
}

/// What a function of this module is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Content,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

#[cfg(not(any(test, feature = "fault")))]
#[expect(clippy::unnecessary_wraps, reason = "the simulated crash of the tests fails here")]
const fn before(_step: Step, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(any(test, feature = "fault"))]
use fault::before;

/// A disk that loses what was not synced, and a process that dies at the step one chooses. Per test thread.
#[cfg(any(test, feature = "fault"))]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a disk for tests: if the real one fails, so do they"
)]
pub mod fault {
    use super::{Path, PathBuf, Step, fs, io};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::io::Write as _;

    #[derive(Default, PartialEq, Eq)]
    enum Kind {
        #[default]
        Sound,
        /// No file can grow.
        Full,
        /// What is not durable is kept track of, and can be lost.
        Volatile,
    }

    #[derive(Default)]
    struct Fault {
        kind: Kind,
        steps_left: Option<u32>,
        tears: bool,
        /// Durable content of files whose present content is not durable.
        content: BTreeMap<PathBuf, Vec<u8>>,
        /// Durable meaning of names whose present meaning is not durable; `None`: no such file.
        names: BTreeMap<PathBuf, Option<Vec<u8>>>,
    }

    thread_local!(static FAULT: RefCell<Fault> = RefCell::default());

    /// From now on this thread's process dies after `steps` steps: each later one fails. If the last is a write, only a
    /// part of it happens if it `tears`, else all.
    pub fn crash_after(steps: u32, tears: bool) {
        FAULT.set(Fault { kind: Kind::Volatile, steps_left: Some(steps), tears, ..Fault::default() });
    }

    /// The process is started again on a machine that kept running: what is not durable still can be lost.
    pub fn restart_process() {
        FAULT.with_borrow_mut(|fault| fault.steps_left = None);
    }

    /// From now on no file of this thread can grow, or all can again.
    pub fn disk_full(full: bool) {
        let kind = if full { Kind::Full } else { Kind::Sound };
        FAULT.set(Fault { kind, ..Fault::default() });
    }

    /// Whether the simulated process has died.
    pub fn crashed() -> bool {
        FAULT.with_borrow(|fault| fault.steps_left == Some(0))
    }

    /// The machine is started again, and the simulation ends. `loses(n)` draws below n: 0 keeps what was not durable, 1 loses it, more tears it.
    pub fn restart(mut loses: impl FnMut(usize) -> usize) {
        let fault = FAULT.take();
        for (path, durable) in fault.content {
            let Ok(present) = fs::read(&path) else { continue };
            match loses(3) {
                0 => (),
                1 => fs::write(&path, &durable).unwrap(),
                _ => {
                    let grown = present.len().saturating_sub(durable.len());
                    fs::write(&path, &present[..present.len() - loses(grown + 1)]).unwrap();
                }
            }
        }
        for (path, durable) in fault.names {
            if loses(2) == 1 {
                match durable {
                    Some(content) => fs::write(&path, content).unwrap(),
                    None => drop(fs::remove_file(&path)),
                }
            }
        }
    }

    /// Writes a part of what is going to fail.
    pub(super) fn tear(file: &mut fs::File, path: &Path, bytes: &[u8]) {
        FAULT.with_borrow_mut(|fault| {
            if fault.kind == Kind::Full || (fault.tears && fault.steps_left == Some(1)) {
                fault.track(Step::Content, path);
                fault.steps_left = fault.steps_left.map(|_| 0);
                file.write_all(&bytes[..bytes.len() / 2]).unwrap();
            }
        });
    }

    pub(super) fn before(step: Step, path: &Path) -> io::Result<()> {
        FAULT.with_borrow_mut(|fault| {
            if fault.kind == Kind::Full && step == Step::Content {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if fault.steps_left == Some(0) {
                return Err(io::Error::other("the process is dead"));
            }
            fault.steps_left = fault.steps_left.map(|steps| steps - 1);
            fault.track(step, path);
            Ok(())
        })
    }

    impl Fault {
        fn track(&mut self, step: Step, path: &Path) {
            if self.kind != Kind::Volatile {
                return;
            }
            match step {
                Step::Content => {
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
                Step::Sync => drop(self.content.remove(path)),
                Step::SyncDir => self.names.retain(|name, _| name.parent() != Some(path)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_a_file_gives_the_old_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for steps in 0..8 {
            for loses in 0..3 {
                write_atomic(&path, b"old content").unwrap();
                fault::crash_after(steps, true);
                let written = write_atomic(&path, b"new content");
                fault::restart(|below| loses.min(below - 1));
                let found = fs::read(&path).unwrap();
                if written.is_ok() {
                    assert_eq!(found, b"new content", "after {steps} steps");
                } else {
                    assert!(
                        found == b"old content" || found == b"new content",
                        "after {steps} steps: {found:?}"
                    );
                }
            }
        }
    }
}
