//! Writing that survives a power cut, in one place, so that tests can cut the power at every step.
//!
//! Every function that changes the disk first passes `fault::before`: nothing outside tests, the simulated crash in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
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

/// Writes over bytes that the file has: a full disk has room for that (one that copies on write may not).
pub fn overwrite(file: &File, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
    #[cfg(any(test, feature = "fault"))]
    fault::tear_over(file, path, offset, bytes);
    at("write", path, before(Step::Overwrite, path).and_then(|()| file.write_all_at(bytes, offset)))
}

/// Cuts a file.
pub fn truncate(file: &File, path: &Path, bytes: u64) -> Result<(), DiskError> {
    at("cut", path, before(Step::Cut, path).and_then(|()| file.set_len(bytes)))
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
    Overwrite,
    Cut,
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

#[cfg(any(test, feature = "fault"))]
pub mod fault;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_a_file_gives_the_old_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for steps in 0..8 {
            for loses in 0..3 {
                let disk = fault::Disk::mount(dir.path());
                write_atomic(&path, b"old content").unwrap();
                disk.crash_after(steps, true);
                let written = write_atomic(&path, b"new content");
                disk.lose_power(|below| loses.min(below - 1));
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
