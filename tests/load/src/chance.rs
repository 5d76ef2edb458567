//! Chance that a seed decides (`SplitMix64`).

use std::time::Duration;

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

    /// A number below 256 at most `n`, for the parts of an address.
    pub(crate) fn byte(&mut self, n: u8) -> u8 {
        u8::try_from(self.below(n.into())).unwrap_or(0)
    }

    /// Uniform over all of `u32`.
    pub(crate) fn uniform(&mut self) -> u32 {
        u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX)
    }

    /// Somewhere within a time.
    pub(crate) fn within(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(f64::from(self.uniform()) / f64::from(u32::MAX))
    }

    /// Until the next of things that come independently of each other, so often on average.
    pub(crate) fn until_next(&mut self, mean: Duration) -> Duration {
        let uniform = (f64::from(self.uniform()) + 1.0) / (f64::from(u32::MAX) + 2.0);
        mean.mul_f64(-uniform.ln())
    }
}
