//! Which exception covers what the watch finds, and how many findings each came to cover: as for what is seen in packets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sekimori_wire::exception::Facts;
use sekimori_wire::finding::Finding;
use sekimori_wire::id::FindingId;

use crate::health::excepted;
use crate::intel::shelf::Shelf;

/// Findings whose last revision's exception is remembered: more than are open at once.
const REMEMBERED_MAX: usize = 1_024;

/// What is accepted, and what of it came.
#[derive(Debug)]
pub(super) struct Accepted {
    shelf: Arc<Shelf>,
    covered: VecDeque<(FindingId, String)>,
    counts: BTreeMap<String, u64>,
}

impl Accepted {
    pub(super) fn new(shelf: Arc<Shelf>) -> Self {
        Self { shelf, covered: VecDeque::new(), counts: BTreeMap::new() }
    }

    /// Says which exception in force covers a revision that leaves, by the time of its last evidence.
    pub(super) fn judge(&mut self, finding: &mut Finding) {
        let lists = self.shelf.lists();
        let facts = Facts::from(&*finding);
        let exception =
            lists.exceptions.judge(&facts, finding.end).map(|(_, exception)| exception.id.clone());
        if let Some(id) = &exception {
            self.count(finding.id, id);
        }
        finding.excepted_by = exception;
    }

    fn count(&mut self, finding: FindingId, id: &str) {
        let before = self.covered.iter().position(|(known, _)| *known == finding);
        let before = before.and_then(|place| self.covered.remove(place));
        if before.is_none_or(|(_, before)| before != id) {
            *self.counts.entry(id.to_owned()).or_default() += 1;
        }
        if self.covered.len() >= REMEMBERED_MAX {
            self.covered.pop_front();
        }
        self.covered.push_back((finding, id.to_owned()));
    }

    /// Of those exceptions that are still in force.
    pub(super) fn counters(&self) -> Vec<(String, u64)> {
        let lists = self.shelf.lists();
        let in_force = self.counts.iter().filter(|(id, _)| lists.exceptions.by_id(id).is_some());
        excepted(in_force.map(|(id, count)| (id, *count)))
    }
}

#[cfg(test)]
mod tests {
    use sekimori_sensor::segment::Policy;
    use sekimori_wire::exception::{ExceptionFile, Exceptions};
    use sekimori_wire::time::Timestamp;

    use super::*;
    use crate::intel::shelf::Lists;
    use crate::watch::report::{self, Report};

    fn lists(category: &str) -> Lists {
        let file: ExceptionFile = toml::from_str(&format!(
            "id = \"EX-1\"\nreason = \"known\"\nowner = \"soc\"\ncreated = \"2026-04-01\"\nexpires = \"2027-03-31\"\ncategory = \"{category}\"\n"
        ))
        .unwrap();
        Lists { exceptions: Exceptions::from_files(vec![file]).unwrap(), ..Lists::default() }
    }

    fn finding(number: u32) -> Finding {
        let at: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let (affected, well, policy) = (Vec::new(), Vec::new(), Policy::default_private());
        let report = Report { one: None, before: None, first: at, now: at, affected, well, policy: &policy };
        Finding { id: FindingId::of(&[&number.to_be_bytes()]), ..report::finding(&report) }
    }

    #[test]
    fn a_finding_counts_once_for_the_exception_that_covers_it() {
        let shelf = Arc::new(Shelf::new(lists("service.down")));
        let mut accepted = Accepted::new(Arc::clone(&shelf));
        for number in [1, 1, 2, 1] {
            let mut finding = finding(number);
            accepted.judge(&mut finding);
            assert_eq!(finding.excepted_by.as_deref(), Some("EX-1"));
        }
        assert_eq!(accepted.counters(), [("excepted.EX-1".to_owned(), 2)]);
        shelf.put(lists("scan.host"));
        let mut other = finding(1);
        accepted.judge(&mut other);
        assert_eq!(other.excepted_by, None);
        assert_eq!(accepted.counters(), [("excepted.EX-1".to_owned(), 2)]);
        shelf.put(Lists::default());
        assert!(accepted.counters().is_empty(), "no longer in force");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut accepted = Accepted::new(Arc::new(Shelf::new(lists("service.down"))));
        for number in 0..3_000_u32 {
            accepted.judge(&mut finding(number));
        }
        assert_eq!(accepted.covered.len(), REMEMBERED_MAX);
        assert_eq!(accepted.counters(), [("excepted.EX-1".to_owned(), 3_000)]);
    }
}
