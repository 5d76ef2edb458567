//! Keeps what came once apart from what came again.
//!
//! Whoever can spoof addresses can make a table remember an entry per packet. The sieve holds such one-timers in a small
//! table of their own; only a second, different value for the same key lets the key through to a detector's real table.

use core::hash::Hash;

use crate::bounded::Map;

/// First values by key.
#[derive(Debug)]
pub struct Sieve<K, V> {
    once: Map<K, V>,
}

impl<K: Hash + Eq + Copy, V: PartialEq + Copy> Sieve<K, V> {
    /// Remembers the first value of at most `capacity` keys.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { once: Map::new(capacity, seed) }
    }

    /// The first value of `key` if `same` tells that this one is another; the key is then forgotten here.
    pub fn pass(&mut self, key: K, value: V, same: impl FnOnce(&V, &V) -> bool) -> Option<V> {
        // The least recent one-timer leaves: this is what the sieve is for, and no loss worth counting.
        self.once.insert_or_take(key, value, |first| !same(first, &value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_different_value_passes() {
        let mut sieve = Sieve::new(2, 0);
        let mut pass = |key: u8, value: u8| sieve.pass(key, value, |a, b| a == b);
        assert_eq!(pass(1, 10), None);
        assert_eq!(pass(1, 10), None);
        assert_eq!(pass(1, 11), Some(10));
        assert_eq!(pass(1, 12), None);
        assert_eq!((pass(2, 0), pass(3, 0), pass(1, 13)), (None, None, None));
    }
}
