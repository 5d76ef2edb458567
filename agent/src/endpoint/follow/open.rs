//! A file that is open for following, and the search for one that was rotated away.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sekimori_wire::id::Digest;

use crate::endpoint::marks::{HEAD_BYTES, Position};

/// Files beside a followed one that are looked at.
const SIBLINGS_MAX: usize = 1024;
/// Rotated away and no longer lines.
const PACKED: [&str; 6] = ["gz", "xz", "bz2", "zst", "lz4", "zip"];

/// An open file.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// What was read of it.
    pub(super) offset: u64,
    /// Its first bytes, as far as they were read.
    head: Vec<u8>,
    /// Digest of so many of them.
    digest: (usize, String),
}

impl Open {
    /// Opens a file for reading on from `offset`. Pipes and devices are not followed.
    pub(super) fn at(path: &Path, offset: u64) -> io::Result<Self> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC;
        let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut head = vec![0; HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES))];
        let len = file.read_at(&mut head, 0)?;
        head.truncate(len);
        file.seek(SeekFrom::Start(offset))?;
        let digest = (0, String::new());
        Ok(Self { file, device: meta.dev(), inode: meta.ino(), offset, head, digest })
    }

    /// Reads what comes next.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        let room = HEAD_BYTES.saturating_sub(self.head.len());
        if room > 0 && u64::try_from(self.head.len()).is_ok_and(|head| head == self.offset) {
            self.head.extend_from_slice(buffer.get(..len.min(room)).unwrap_or_default());
        }
        self.offset += u64::try_from(len).unwrap_or_default();
        Ok(len)
    }

    /// Length, as it is now.
    pub(super) fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|meta| meta.len())
    }

    /// Whether it is this file.
    pub(super) fn is(&self, meta: &Metadata) -> bool {
        (self.device, self.inode) == (meta.dev(), meta.ino())
    }

    /// Whether it still begins as it did: another file in its place with the same inode does not.
    pub(super) fn begins_as_before(&self) -> io::Result<bool> {
        let mut head = vec![0; self.head.len()];
        let len = self.file.read_at(&mut head, 0)?;
        Ok(head.get(..len).unwrap_or_default() == self.head)
    }

    /// Where reading goes on behind a line that ends at `offset`.
    pub(super) fn position(&mut self, path: &Path, offset: u64) -> Position {
        let known = self.head.len().min(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        if self.digest.0 != known || self.digest.1.is_empty() {
            self.digest = (known, Digest::of(self.head.get(..known).unwrap_or_default()).to_string());
        }
        Position {
            path: path.to_owned(),
            device: self.device,
            inode: self.inode,
            offset,
            head_bytes: known,
            head: self.digest.1.clone(),
        }
    }
}

/// Opens the file of a position, if this is it: long enough, and with the same beginning.
pub(super) fn reopen(path: &Path, position: &Position) -> Option<Open> {
    let open = Open::at(path, position.offset).ok()?;
    if open.len().ok()? < position.offset {
        return None;
    }
    let head = open.head.get(..position.head_bytes)?;
    (Digest::of(head).to_string() == position.head).then_some(open)
}

/// The file of a position under another name: renamed away (the same inode), or copied before it was emptied. With it, those
/// that were rotated away after it, in order.
pub(super) fn rotated(
    path: &Path,
    position: &Position,
    current: Option<&Metadata>,
) -> Option<(Open, Vec<PathBuf>)> {
    let mut siblings = siblings(path, current);
    siblings.sort_by_key(|(path, meta)| (meta.mtime(), meta.mtime_nsec(), path.clone()));
    let is_same = |meta: &Metadata| (meta.dev(), meta.ino()) == (position.device, position.inode);
    let by_inode = siblings.iter().position(|(path, meta)| is_same(meta) && reopen(path, position).is_some());
    let by_head = || {
        (position.head_bytes > 0)
            .then(|| siblings.iter().position(|(path, _)| reopen(path, position).is_some()))
            .flatten()
    };
    let at = by_inode.or_else(by_head)?;
    let open = reopen(&siblings.get(at)?.0, position)?;
    let later = siblings.into_iter().skip(at + 1).map(|(path, _)| path).collect();
    Some((open, later))
}

/// Files beside this one whose names go on after its own.
fn siblings(path: &Path, current: Option<&Metadata>) -> Vec<(PathBuf, Metadata)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let sibling = |entry: std::fs::DirEntry| {
        let other = entry.file_name();
        let rest = other.to_str()?.strip_prefix(name)?;
        let is_rotated = rest.starts_with(['.', '-', '_']);
        let is_packed = PACKED.iter().any(|packed| rest.ends_with(packed));
        let meta = entry.metadata().ok().filter(Metadata::is_file)?;
        let is_current = current.is_some_and(|now| (now.dev(), now.ino()) == (meta.dev(), meta.ino()));
        (is_rotated && !is_packed && !is_current).then(|| (entry.path(), meta))
    };
    entries.flatten().take(SIBLINGS_MAX).filter_map(sibling).collect()
}
