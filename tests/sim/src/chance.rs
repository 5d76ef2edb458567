//! Chance that a seed decides (`SplitMix64`).

/// A stream of it.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `n`; 0 if `n` is.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw() % n }
    }

    pub(crate) fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap_or(0)
    }

    pub(crate) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in `n` of a hundred cases.
    pub(crate) const fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    /// A likelihood of up to `most` percent, and none at all in half of the cases: faults hide each other.
    pub(crate) const fn likelihood(&mut self, most: u64) -> u64 {
        if self.percent(50) { 0 } else { self.between(1, most) }
    }

    /// Uniform over all of `u32`.
    pub(crate) fn uniform(&mut self) -> u32 {
        u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX)
    }
}
