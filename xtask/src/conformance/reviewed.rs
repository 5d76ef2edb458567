//! `tests/conformance/reviewed.tsv`: rows in which the reference itself is wrong, each with the reason. They leave numerator
//! and denominator, and may be at most 3 % of a reference's rows.

use std::collections::BTreeMap;
use std::path::Path;

use super::table;

/// Rows left out, by reference: the key that the reference's module makes of a row.
pub(super) struct Reviewed(BTreeMap<String, Vec<String>>);

impl Reviewed {
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in table::tabs(&root.join("tests/conformance/reviewed.tsv"))? {
            let cell = |name: &str| row.of(name).to_owned();
            anyhow::ensure!(!cell("reason").is_empty(), "reviewed.tsv: a row without a reason: {row:?}");
            all.entry(cell("reference")).or_default().push(cell("row"));
        }
        Ok(Self(all))
    }

    /// The row of this key is left out: a listed key ends in `*` for all that begin like it.
    pub(super) fn has(&self, reference: &str, key: &str) -> bool {
        self.0.get(reference).into_iter().flatten().any(|listed| {
            listed.strip_suffix('*').map_or_else(|| listed == key, |begin| key.starts_with(begin))
        })
    }
}
