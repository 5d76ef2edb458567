//! Which keys of a configuration differ from those of another, without keeping what they say: values may be secrets.

use std::collections::BTreeMap;

use sekimori_wire::id::Digest;
use toml::{Table, Value};

/// A digest of each key's value, by the key with its tables; a list of tables counts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys(BTreeMap<String, Digest>);

/// Tables of which a reload takes everything.
const RELOADED: [&str; 3] = ["intel", "exception", "exceptions"];

/// What a reload finds to be other than at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// In force from now on.
    pub(crate) taken: Vec<String>,
    /// In force after a restart.
    pub(crate) need_restart: Vec<String>,
}

impl Keys {
    /// Of a file's text; nothing of one that is no TOML.
    pub(super) fn of(text: &str) -> Self {
        let mut keys = BTreeMap::new();
        if let Ok(table) = text.parse::<Table>() {
            flatten("", &table, &mut keys);
        }
        Self(keys)
    }

    /// What of `now` is added, gone or other here.
    pub(crate) fn changes(&self, now: &Self) -> Changes {
        let all = self.0.keys().chain(now.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut changed: Vec<&String> = all.filter(|key| self.0.get(*key) != now.0.get(*key)).collect();
        changed.sort_unstable();
        let is_reloaded = |key: &&String| RELOADED.contains(&key.split('.').next().unwrap_or_default());
        let (taken, need_restart) = changed.into_iter().partition::<Vec<_>, _>(is_reloaded);
        let owned = |keys: Vec<&String>| keys.into_iter().cloned().collect();
        Changes { taken: owned(taken), need_restart: owned(need_restart) }
    }
}

fn flatten(above: &str, table: &Table, keys: &mut BTreeMap<String, Digest>) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Value::Table(inner) = value {
            flatten(&key, inner, keys);
        } else {
            keys.insert(key, Digest::of(value.to_string().as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_reload_takes_from_what_it_does_not() {
        let before =
            Keys::of("[capture]\nfilter = \"a\"\n[spool]\nmax_bytes = 5\n[[exception]]\nid = \"1\"\n");
        assert_eq!(before.changes(&before.clone()), Changes::default());
        let now = "[capture]\nfilter = \"b\"\n[memory]\nmax = 1\n[intel]\nfiles = [\"a\"]\n[[exception]]\nid = \"2\"\n";
        let changes = before.changes(&Keys::of(now));
        assert_eq!(changes.taken, ["exception", "intel.files"]);
        assert_eq!(changes.need_restart, ["capture.filter", "memory.max", "spool.max_bytes"]);
    }
}
