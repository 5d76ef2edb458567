//! The shrink guard: a feed that lost more than half of its entries is more likely broken than cured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sekimori_sensor::intel::Intel;
use serde::{Deserialize, Serialize};

use super::Sources;

/// Of the state folder: what was in force last.
const FILE: &str = "intel.json";
/// A name and a number for each of 256 feeds at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How large each feed in force is, and which files it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    files: Vec<PathBuf>,
    feeds: BTreeMap<String, u64>,
}

/// A feed that shrank by more than half.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("feed {feed} has shrunk from {before} to {now} entries, to less than half")]
pub(crate) struct Shrunk {
    pub(crate) feed: String,
    pub(crate) before: u64,
    pub(crate) now: u64,
}

impl Standing {
    pub(crate) fn of(intel: &Intel, sources: &Sources) -> Self {
        let central = sources.central.iter().map(|(path, _)| path);
        let files = sources.files.iter().chain(&sources.bundles).chain(central).cloned().collect();
        Self { files, feeds: sizes(intel) }
    }

    /// Feeds that shrank since. One that is gone with a changed list of files is what somebody wanted.
    pub(crate) fn shrunk(&self, now: &Self) -> Vec<Shrunk> {
        let mut all = shrunk(&self.feeds, &now.feeds);
        if self.files != now.files {
            all.retain(|one| one.now > 0);
        }
        all
    }

    /// What an earlier run left; nothing, if that cannot be read: then there is nothing to compare with.
    pub(crate) fn read(state: &Path) -> Option<Self> {
        let path = state.join(FILE);
        if std::fs::metadata(&path).ok()?.len() > FILE_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
    }

    /// Leaves it to later runs.
    pub(crate) fn write(&self, state: &Path) {
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        if let Err(error) = sekimori_delivery::disk::write_atomic(&state.join(FILE), &json) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the next start cannot compare threat intelligence with what is in force now"
            );
        }
    }
}

/// Entries of each feed by its name.
pub(crate) fn sizes(intel: &Intel) -> BTreeMap<String, u64> {
    let mut sizes: BTreeMap<_, _> = intel.feeds().iter().map(|feed| (feed.name.clone(), 0)).collect();
    for ((number, _), count) in intel.counts() {
        if let Some(size) = intel.feeds().get(number).and_then(|feed| sizes.get_mut(&feed.name)) {
            *size += count;
        }
    }
    sizes
}

/// Feeds that lost more than half of their entries.
pub(crate) fn shrunk(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<Shrunk> {
    let of = |(feed, before): (&String, &u64)| {
        let now = now.get(feed).copied().unwrap_or(0);
        let is_less = *before > now.saturating_mul(2);
        is_less.then(|| Shrunk { feed: feed.clone(), before: *before, now })
    };
    before.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(files: &[&str], feeds: &[(&str, u64)]) -> Standing {
        Standing {
            files: files.iter().map(PathBuf::from).collect(),
            feeds: feeds.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
        }
    }

    #[test]
    fn less_than_half_is_shrunk_and_half_is_not() {
        let before = standing(&["x"], &[("a", 10), ("b", 10), ("c", 1)]);
        let now = standing(&["x"], &[("a", 5), ("b", 4), ("d", 1)]);
        let named: Vec<_> =
            before.shrunk(&now).into_iter().map(|one| (one.feed, one.before, one.now)).collect();
        assert_eq!(named, [("b".to_owned(), 10, 4), ("c".to_owned(), 1, 0)]);
        let other_files = standing(&["y"], &[("a", 5), ("b", 4)]);
        assert_eq!(before.shrunk(&other_files).len(), 1, "`c` went with its file, `b` did not");
    }

    #[test]
    fn what_was_left_is_read_back_and_damage_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Standing::read(folder.path()), None);
        let left = standing(&["x"], &[("a", 10)]);
        left.write(folder.path());
        assert_eq!(Standing::read(folder.path()), Some(left));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Standing::read(folder.path()), None);
    }
}
