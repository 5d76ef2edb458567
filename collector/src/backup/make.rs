//! Making a backup.

use std::fs::{self, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sekimori_wire::time::Timestamp;

use super::format::{End, Header, Writer};
use super::{BackupError, files};
use crate::config::Config;
use crate::store::Store;
use crate::store::copy::Source;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// How large.
    pub bytes: u64,
    /// What is in it.
    pub end: End,
    /// Files that the configuration names outside its folder: they are not in it.
    pub elsewhere: Vec<PathBuf>,
}

/// Writes everything into a new file, or into one named after the time in a folder. Nobody else can read it: it holds keys
/// (if `files` names the configuration) and the hashes of passwords.
///
/// # Errors
/// If the store cannot be read, or the file is there or cannot be written.
pub async fn make(
    store: &Store,
    files: Option<(&Config, &Path)>,
    output: &Path,
    now: Timestamp,
) -> Result<Made, BackupError> {
    let path = if output.is_dir() { output.join(name_of(now)) } else { output.to_owned() };
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path });
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let made = write(store, files, &temporary, now).await.and_then(|(end, elsewhere)| {
        let failed = |cause| BackupError::Write { path: path.clone(), cause };
        fs::rename(&temporary, &path).map_err(failed)?;
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        Ok(Made { path: path.clone(), bytes, end, elsewhere })
    });
    if made.is_err() {
        // What is half made is of no use; that it cannot be removed either must not hide the first error.
        fs::remove_file(&temporary).unwrap_or_default();
    }
    made
}

fn name_of(now: Timestamp) -> String {
    let text: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    format!("sekimori-{text}Z.backup")
}

async fn write(
    store: &Store,
    files: Option<(&Config, &Path)>,
    path: &Path,
    now: Timestamp,
) -> Result<(End, Vec<PathBuf>), BackupError> {
    let failed = |cause| BackupError::Write { path: path.to_owned(), cause };
    let (beside, elsewhere) = match files {
        Some((config, path)) => files::read(config, path)?,
        None => (Vec::new(), Vec::new()),
    };
    let mut source = Source::begin(store).await?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let header = Header {
        schema: source.schema,
        store: source.kind.to_owned(),
        made_at: now,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        with_keys: files.is_some(),
    };
    let mut out = Writer::new(BufWriter::new(file.map_err(failed)?), &header).map_err(failed)?;
    for (name, content) in &beside {
        out.file(name, content).map_err(failed)?;
    }
    let heads = source.heads().await?;
    for table in source.tables.clone() {
        out.table(&table).map_err(failed)?;
        source.rows(&table, async |cells| out.row(&cells).map_err(failed)).await?;
    }
    let (file, end) = out.finish(heads).map_err(failed)?;
    let file = file.into_inner().map_err(|cause| failed(cause.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok((end, elsewhere))
}
