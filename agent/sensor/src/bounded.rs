//! Collections with a fixed capacity. Full means: something leaves, and the caller gets it.
//!
//! Hashes are keyed with the seed, because strangers choose the keys. Iteration follows the order of use, never that
//! of a hash, so that two seeds give the same output.

mod distinct;
mod keyed;
mod map;
mod stand_in;

pub use distinct::Distinct;
pub(crate) use keyed::fold;
pub use keyed::{Keyed, Mixer};
#[cfg(test)]
pub(crate) use map::PROMISED;
pub use map::{Map, Place};
pub use stand_in::stand_in;
