//! What an import took and what it did not, by reason.

use std::collections::BTreeMap;

use sekimori_sensor::intel::Refused;
use sekimori_wire::text::BoundedText;

use super::Place;

/// Named with file and line, of each reason.
const EXAMPLES_PER_REASON: usize = 5;

/// Why an entry of a feed was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum Reason {
    #[error("{0}")]
    Refused(Refused),
    #[error("a type that is not looked for in traffic")]
    Kind,
    #[error("a line that is not UTF-8, or whose quotes do not end")]
    Line,
    #[error("a line without a type or value")]
    Columns,
    #[error("not a confidence between 0 and 100")]
    Confidence,
    #[error("not a time or a day such as 2027-03-31")]
    Expires,
    #[error("marked as not meant for detection (to_ids)")]
    NotForDetection,
    #[error("revoked or deleted by its author")]
    Revoked,
    #[error("a pattern that is more than a choice of values")]
    Pattern,
}

/// What an import took and what it did not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Entries taken.
    pub(crate) taken: u64,
    /// Those of them that a feed says twice.
    pub(crate) repeated: u64,
    refused: BTreeMap<Reason, (u64, Vec<String>)>,
}

impl Report {
    pub(super) fn refuse(&mut self, place: Place<'_>, feed: &str, value: &str, reason: Reason) {
        let (count, examples) = self.refused.entry(reason).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_PER_REASON {
            // Feeds are strangers: shown escaped and short.
            let (feed, value) = (BoundedText::<64>::new(feed), BoundedText::<80>::new(value));
            let value = if value.is_empty() { String::new() } else { format!(" `{value}`") };
            examples.push(format!("{}:{}: feed {feed}:{value}", place.path.display(), place.at));
        }
    }

    /// Entries not taken.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.values().map(|(count, _)| count).sum()
    }

    /// Entries not taken for one reason.
    #[cfg(test)]
    pub(super) fn count(&self, reason: Reason) -> u64 {
        self.refused.get(&reason).map_or(0, |(count, _)| *count)
    }

    /// A line for each example, and one for the rest of each reason.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (reason, (count, examples)) in &self.refused {
            out.extend(examples.iter().map(|example| format!("{example} {reason}")));
            let more = count.saturating_sub(u64::try_from(examples.len()).unwrap_or(0));
            if more > 0 {
                out.push(format!("and {more} more: {reason}"));
            }
        }
        out
    }
}
