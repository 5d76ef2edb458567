//! One finding for each thing told of, which grows with every further observation.

use core::hash::Hash;

use sekimori_wire::finding::{Finding, Value};
use sekimori_wire::id::FindingId;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::Findings;

/// Findings by what they are about.
#[derive(Debug)]
pub(super) struct Notices<K> {
    open: Map<K, FindingId>,
    evicted: u64,
}

impl<K: Hash + Eq> Notices<K> {
    /// None yet, of at most `capacity` things.
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        Self { open: Map::new(capacity, seed), evicted: 0 }
    }

    /// Something was observed once more: the open finding counts it and takes `more`; without one `fresh` makes it.
    pub(super) fn tell(
        &mut self,
        (key, at): (K, Timestamp),
        out: &mut Findings,
        fresh: impl FnOnce() -> Finding,
        more: impl FnOnce(&mut Finding),
    ) {
        let grew = self.grow((&key, at), out, |finding| {
            finding.count = finding.count.saturating_add(1);
            more(finding);
        });
        if !grew {
            self.open(key, fresh(), out);
        }
    }

    /// More of something told of; false if there is no open finding about it.
    pub(super) fn grow(
        &mut self,
        (key, at): (&K, Timestamp),
        out: &mut Findings,
        change: impl FnOnce(&mut Finding),
    ) -> bool {
        self.open.get_mut(key).is_some_and(|id| out.grow(*id, at, change))
    }

    /// A new finding about something, in the place of one that is closed.
    pub(super) fn open(&mut self, key: K, finding: Finding, out: &mut Findings) {
        let id = out.open(finding);
        self.open.remove(&key);
        self.evicted += u64::from(self.open.insert(key, id).is_some());
    }

    /// There was a finding about it, and it is not forgotten.
    pub(super) fn has(&self, key: &K) -> bool {
        self.open.peek(key).is_some()
    }

    /// Things that are not forgotten.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Things forgotten because there were too many, since the last call.
    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

/// The texts of an input that is a list.
pub(super) fn list(finding: &Finding, name: &str) -> Vec<BoundedText<255>> {
    match finding.evidence.inputs.get(&BoundedText::new(name)) {
        Some(Value::List(texts)) => texts.clone(),
        Some(Value::Count(_) | Value::Number(_) | Value::Text(_)) | None => Vec::new(),
    }
}

/// Adds a text to an input that is a list, once and up to `max` texts.
pub(super) fn add_to_list(finding: &mut Finding, name: &str, text: &str, max: usize) {
    let (mut texts, text) = (list(finding, name), BoundedText::new(text));
    if texts.len() < max && !texts.contains(&text) {
        texts.push(text);
        finding.evidence.inputs.insert(name.into(), Value::List(texts));
    }
}

/// Adds one to an input that is a count.
pub(super) fn add_one(finding: &mut Finding, name: &str) {
    let before = match finding.evidence.inputs.get(&BoundedText::new(name)) {
        Some(Value::Count(count)) => *count,
        Some(Value::Number(_) | Value::Text(_) | Value::List(_)) | None => 0,
    };
    finding.evidence.inputs.insert(name.into(), Value::Count(before.saturating_add(1)));
}
