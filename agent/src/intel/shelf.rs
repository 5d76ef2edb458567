//! What every sensor looks for and what is accepted, where threads take it from. A capture thread looks at one number
//! between two deliveries of frames, and at a lock only when that has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sekimori_sensor::intel::Intel;
use sekimori_wire::exception::Exceptions;

/// In force together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    pub(crate) intel: Arc<Intel>,
    pub(crate) exceptions: Exceptions,
    /// Names the intelligence; empty without any.
    pub(crate) version: String,
    /// Files of threat intelligence that could not be used.
    pub(crate) unread: u64,
    /// Feeds that came in much smaller than they were, and are used all the same: the agent had nothing else.
    pub(crate) shrunk: u64,
}

/// The lists in force.
#[derive(Debug)]
pub(crate) struct Shelf {
    number: AtomicU64,
    /// 1 while files wait that were not taken.
    refused: AtomicU64,
    lists: Mutex<Arc<Lists>>,
}

impl Shelf {
    pub(crate) fn new(lists: Lists) -> Self {
        Self { number: AtomicU64::new(0), refused: AtomicU64::new(0), lists: Mutex::new(Arc::new(lists)) }
    }

    /// What is in force now.
    pub(crate) fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.lists.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What came into force after the `seen`th, if anything did.
    pub(crate) fn newer(&self, seen: &mut u64) -> Option<Arc<Lists>> {
        let number = self.number.load(Ordering::Acquire);
        if number == *seen {
            return None;
        }
        *seen = number;
        Some(self.lists())
    }

    /// These are in force from now on.
    pub(crate) fn put(&self, lists: Lists) {
        *self.lists.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
        self.number.fetch_add(1, Ordering::Release);
        self.refused.store(0, Ordering::Relaxed);
    }

    /// What was there to be taken is not: the old lists stay in force.
    pub(crate) fn refuse(&self) {
        self.refused.store(1, Ordering::Relaxed);
    }

    /// 1 while the last files that were to be taken were not.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_taker_is_given_what_is_new_once() {
        let shelf = Shelf::new(Lists::default());
        let (mut one, mut other) = (0, 0);
        assert!(shelf.newer(&mut one).is_none(), "it began with these");
        shelf.refuse();
        assert_eq!((shelf.refused(), shelf.newer(&mut one).is_none()), (1, true));
        shelf.put(Lists { unread: 7, ..Lists::default() });
        assert_eq!(shelf.newer(&mut one).map(|lists| lists.unread), Some(7));
        assert!(shelf.newer(&mut one).is_none() && shelf.newer(&mut other).is_some());
        assert_eq!(shelf.refused(), 0);
    }
}
