//! A keyed hash for the short keys of tables: addresses, ports, numbers.
//!
//! Each word is mixed in with one multiplication to twice its width, whose halves are folded together, as wyhash and foldhash do
//! for a whole block. Start and factor come from the seed: who does not know it cannot choose keys that collide.

use core::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// What makes [`Mixer`]s.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    start: u64,
    factor: u64,
}

impl Keyed {
    /// Another hash for each seed.
    pub fn with_seed(seed: u64) -> Self {
        let state = FixedState::with_seed(seed);
        Self { start: state.hash_one(0_u8), factor: state.hash_one(1_u8) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Mixer;

    #[inline]
    fn build_hasher(&self) -> Mixer {
        Mixer { state: self.start, factor: self.factor }
    }
}

/// The state of one hash.
#[derive(Clone, Copy, Debug)]
pub struct Mixer {
    state: u64,
    factor: u64,
}

impl Hasher for Mixer {
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state, self.factor)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((word, after)) = rest.split_first_chunk() {
            self.write_u64(u64::from_le_bytes(*word));
            rest = after;
        }
        if let Some((word, after)) = rest.split_first_chunk() {
            self.write_u32(u32::from_le_bytes(*word));
            rest = after;
        }
        if !rest.is_empty() {
            self.write_u64(rest.iter().fold(1, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.state = fold(self.state ^ number, self.factor);
    }

    /// Lengths of arrays and numbers of variants tell keys apart that what follows them does not: no multiplication is needed.
    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.state = self.state.rotate_left(5) ^ number as u64;
    }

    #[inline]
    fn write_isize(&mut self, number: isize) {
        self.state = self.state.rotate_left(5) ^ number.cast_unsigned() as u64;
    }
}

/// Both halves of the product, so that every bit of the one depends on every bit of the other.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let (low, high) = a.carrying_mul(b, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_spread_and_every_seed_spreads_them_anew() {
        let keys = || (0..=255_u8).flat_map(|a| (0..=255_u8).map(move |b| IpAddr::from([10, 0, a, b])));
        for seed in 0..4 {
            let keyed = Keyed::with_seed(seed);
            let hashes: BTreeSet<u64> = keys().map(|key| keyed.hash_one((key, 53_u16))).collect();
            assert_eq!(hashes.len(), 65_536);
            for shift in [0, 25, 57] {
                let mut buckets = [0_u32; 128];
                hashes.iter().for_each(|hash| buckets[usize::try_from(hash >> shift & 127).unwrap()] += 1);
                // 512 are expected in each; six standard deviations are 136.
                assert!(buckets.iter().all(|count| count.abs_diff(512) < 136), "{seed} {shift} {buckets:?}");
            }
        }
        let of = |seed| Keyed::with_seed(seed).hash_one(IpAddr::from([10, 0, 0, 1]));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn texts_of_every_length_differ() {
        let keyed = Keyed::with_seed(7);
        let text = "abcdefghijklmnopqrstuvwxyz";
        let hashes: BTreeSet<u64> =
            (0..=text.len()).filter_map(|end| text.get(..end)).map(|part| keyed.hash_one(part)).collect();
        assert_eq!(hashes.len(), text.len() + 1);
    }
}
