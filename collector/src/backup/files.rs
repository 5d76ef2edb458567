//! The files beside the store: the configuration, what it names below its folder, the CA and the keys.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::BackupError;
use crate::config::Config;
use crate::fleet::authority::Paths;
use crate::fleet::swap;

/// Largest file that is taken in.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Each file, by its name below the folder; and those that the configuration names elsewhere, which are left where they are.
pub(super) type Found = (Vec<(String, Vec<u8>)>, Vec<PathBuf>);

/// Reads them all, so that CA and keys are of one moment.
pub(super) fn read(config: &Config, path: &Path) -> Result<Found, BackupError> {
    let paths = Paths::of(&config.dir);
    let _lock = swap::lock(&paths)?;
    swap::complete(&paths)?;
    let mut files = vec![("collector.toml".to_owned(), one(path)?)];
    for folder in ["ca", "keys"] {
        let folder_path = config.dir.join(folder);
        let unreadable = |cause| BackupError::Read { path: folder_path.clone(), cause };
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder_path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_type().map_err(unreadable)?.is_file() && entry.path() != paths.lock() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        for name in names {
            files.push((format!("{folder}/{name}"), one(&folder_path.join(&name))?));
        }
    }
    let timing = &config.timing;
    let timing = [&timing.holidays, &timing.calendar, &timing.obligations, &timing.timers];
    let named =
        config.exceptions.iter().chain(timing.into_iter().chain([&config.notify, &config.notices]).flatten());
    let mut elsewhere = Vec::new();
    for path in named {
        match path.strip_prefix(&config.dir).ok().and_then(Path::to_str).filter(|name| is_below(name)) {
            Some(name) if path.is_file() => files.push((name.to_owned(), one(path)?)),
            Some(_) | None => elsewhere.push(path.clone()),
        }
    }
    Ok((files, elsewhere))
}

fn one(path: &Path) -> Result<Vec<u8>, BackupError> {
    let unreadable = |cause| BackupError::Read { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(unreadable(std::io::Error::other("the file is larger than any of ours")));
    }
    fs::read(path).map_err(unreadable)
}

/// A plain name below a folder: no `..`, nothing absolute.
pub(super) fn is_below(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// A new folder that only we can enter.
pub(super) fn folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path)
        .map_err(|cause| BackupError::Write { path: path.to_owned(), cause })
}

/// A new file that only we can read, on the disk when this returns.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let failed = |cause| BackupError::Write { path: path.to_owned(), cause };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}
