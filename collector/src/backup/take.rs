//! Checking and restoring a backup, and the move from one database to another.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::format::{End, Header, Reader, Record};
use super::{BackupError, files};
use crate::config::Config;
use crate::store::copy::{LoadError, Loader, Source};
use crate::store::{Place, Store};

/// Where a backup is restored.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Into the store of this configuration; files stay as they are.
    Store(Place),
    /// Into a new folder with configuration, CA and keys, and the store that the configuration names.
    Folder(PathBuf),
    /// Only configuration, CA and keys, into a new folder.
    FilesOf(PathBuf),
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup was of.
    pub header: Header,
    /// What was in it.
    pub end: End,
    /// The store; none: only files.
    pub place: Option<Place>,
}

fn open(path: &Path) -> Result<(Reader<File>, Header), BackupError> {
    let file = File::open(path).map_err(|cause| BackupError::Read { path: path.to_owned(), cause })?;
    Reader::open(file).map_err(|cause| BackupError::Bad { path: path.to_owned(), cause })
}

/// Reads a backup to its end.
///
/// # Errors
/// What is wrong with it.
pub fn verify(path: &Path) -> Result<(Header, End), BackupError> {
    let (mut reader, header) = open(path)?;
    let bad = |cause| BackupError::Bad { path: path.to_owned(), cause };
    let mut last = End::default();
    while let Some(record) = reader.read_next().map_err(bad)? {
        match record {
            Record::End(end) => last = end,
            Record::Header(_) | Record::File(..) | Record::Table(_) | Record::Row(_) => {}
        }
    }
    Ok((header, last))
}

/// Writes what is in a backup into a new store, a new folder, or both. There is everything then, or nothing.
///
/// # Errors
/// If there is something where it should go, or the backup is not whole.
pub async fn restore(path: &Path, into: &Destination) -> Result<Restored, BackupError> {
    let (reader, header) = open(path)?;
    let (dir, wants_store) = match into {
        Destination::Store(place) => {
            let end = load(path, reader, &header, place).await?;
            return Ok(Restored { header, end, place: Some(place.clone()) });
        }
        Destination::Folder(dir) => (dir, true),
        Destination::FilesOf(dir) => (dir, false),
    };
    if !header.with_keys {
        return Err(BackupError::NoFiles { path: path.to_owned() });
    }
    // Without a slash at the end, so that the temporary name stands beside it.
    let dir: PathBuf = dir.components().collect();
    if dir.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: dir });
    }
    let mut temporary = dir.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let done = fill(path, &temporary, &header, wants_store).await;
    let moved = done.and_then(|(end, place)| {
        std::fs::rename(&temporary, &dir).map_err(|cause| BackupError::Write { path: dir.clone(), cause })?;
        Ok((end, place))
    });
    if moved.is_err() {
        // What is half made is of no use; that it cannot be removed either must not hide the first error.
        std::fs::remove_dir_all(&temporary).unwrap_or_default();
    }
    let (end, place) = moved?;
    let place = place.map(|place| match place {
        Place::File(_) => Place::File(dir.join("store/sekimori.db")),
        Place::Servers(servers) => Place::Servers(servers),
    });
    Ok(Restored { header, end, place })
}

async fn fill(
    path: &Path,
    dir: &Path,
    header: &Header,
    wants_store: bool,
) -> Result<(End, Option<Place>), BackupError> {
    if dir.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: dir.to_owned() });
    }
    // Read to its end first: files are not written from a backup that is not whole.
    let (_, end) = verify(path)?;
    files::folder(&dir.join("store"))?;
    let (mut reader, _) = open(path)?;
    let bad = |cause| BackupError::Bad { path: path.to_owned(), cause };
    while let Some(record) = reader.read_next().map_err(bad)? {
        match record {
            Record::File(name, content) if files::is_below(&name) => files::write(&dir.join(name), &content)?,
            Record::File(name, _) => {
                let cause = std::io::Error::other("a name that leads out of the folder");
                return Err(BackupError::Write { path: name.into(), cause });
            }
            Record::Header(_) => {}
            Record::Table(_) | Record::Row(_) | Record::End(_) => break,
        }
    }
    if !wants_store {
        return Ok((end, None));
    }
    let place = Config::load(&dir.join("collector.toml"))?.store();
    let (reader, _) = open(path)?;
    load(path, reader, header, &place).await.map(|end| (end, Some(place)))
}

async fn load(
    path: &Path,
    mut reader: Reader<File>,
    header: &Header,
    place: &Place,
) -> Result<End, BackupError> {
    let bad = |cause| BackupError::Bad { path: path.to_owned(), cause };
    let mut loader = Loader::begin(place, header.schema).await?;
    let mut last = End::default();
    while let Some(record) = reader.read_next().map_err(bad)? {
        match record {
            Record::Table(table) => loader.table(&table).await?,
            Record::Row(cells) => loader.row(cells).await?,
            Record::End(end) => last = end,
            Record::Header(_) | Record::File(..) => {}
        }
    }
    loader.finish(&last.rows, &last.heads, true).await?;
    Ok(last)
}

/// Copies a store into a new one of either kind, through the same rows. Nothing may be written to the first meanwhile: it is
/// held until the copy is whole.
///
/// # Errors
/// If the first is in use, or there is something where it should go.
pub async fn migrate(from: &Place, to: &Place) -> Result<End, BackupError> {
    let store = Store::open_alone(from).await.map_err(|error| match error.is_busy() {
        true => BackupError::InUse { place: from.to_string() },
        false => error.into(),
    })?;
    let held = store.hold().await?;
    let mut source = Source::begin(&store).await?;
    let mut loader = Loader::begin(to, source.schema).await?;
    for table in source.tables.clone() {
        loader.table(&table).await?;
        source.rows(&table, async |cells| loader.row(cells).await.map_err(MoveError::Load)).await?;
    }
    let end = End { rows: loader.rows().clone(), heads: source.heads().await?, ..End::default() };
    loader.finish(&end.rows, &end.heads, false).await?;
    // Closing waits for every connection.
    drop((source, held));
    store.close().await;
    Ok(end)
}

/// While rows are read and written.
enum MoveError {
    Store(crate::store::StoreError),
    Load(LoadError),
}

impl From<crate::store::StoreError> for MoveError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<MoveError> for BackupError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Store(error) => Self::Store(error),
            MoveError::Load(error) => Self::Load(error),
        }
    }
}
