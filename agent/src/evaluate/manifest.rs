//! The manifest: tab-separated, one capture a line, columns by the names in its first line.

use std::path::{Path, PathBuf};

/// A labelled capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the manifest's folder.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// What happens in it: a label of the table, `benign`, or `benign_policy:` and what.
    pub(super) expected: String,
    pub(super) attacker: String,
    pub(super) victim: String,
    /// A: sure, B: likely, C: weak, judged but not counted.
    pub(super) quality: String,
}

/// Whether there is something to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Attack,
    Benign,
}

impl Entry {
    /// It counts in the figures.
    pub(super) fn is_counted(&self) -> bool {
        self.quality != "C"
    }
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{}: no column `{column}` in the first line (tab-separated names)", path.display())]
    Column { path: PathBuf, column: &'static str },
    #[error("{}: no line of kind attack or benign", path.display())]
    Empty { path: PathBuf },
}

/// Every attack and benign capture, of those whose path holds `only`.
pub(super) fn read(path: &Path, only: Option<&str>) -> Result<Vec<Entry>, ManifestError> {
    let bytes =
        std::fs::read(path).map_err(|cause| ManifestError::Read { path: path.to_path_buf(), cause })?;
    parse(&String::from_utf8_lossy(&bytes), path, only)
}

pub(super) fn parse(text: &str, path: &Path, only: Option<&str>) -> Result<Vec<Entry>, ManifestError> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').map(str::trim).collect();
    let place = |column: &'static str| {
        let at = header.iter().position(|name| *name == column);
        at.ok_or_else(|| ManifestError::Column { path: path.to_path_buf(), column })
    };
    let [path_at, kind_at, expected_at] = [place("path")?, place("kind")?, place("expected")?];
    let [attacker_at, victim_at] = [place("attacker")?, place("victim")?];
    let quality_at = place("quality").ok();
    let mut entries = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: usize| cells.get(at).map(|cell| cell.trim().to_owned()).unwrap_or_default();
        let kind = match cell(kind_at).as_str() {
            "attack" => Kind::Attack,
            "benign" => Kind::Benign,
            _ => continue,
        };
        let name = cell(path_at);
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        entries.push(Entry {
            path: name.into(),
            kind,
            expected: cell(expected_at),
            attacker: cell(attacker_at),
            victim: cell(victim_at),
            quality: quality_at.map(cell).unwrap_or_default(),
        });
    }
    if entries.is_empty() { Err(ManifestError::Empty { path: path.to_path_buf() }) } else { Ok(entries) }
}
