//! Findings that belong together: one incident for one body, subject and category within a window; one parent for what
//! the same actor does in several bodies. Pure: the store asks, and applies the answer in the transaction of the batch.
//!
//! ```text
//! Finding ─ rule ─► Claim ─ window ─► joins an open incident, or opens one
//!                     └─ Indicators ─ wide ─► a wide-area parent: joined or opened
//! ```

pub mod pattern;
pub mod rule;
pub mod wide;
pub mod window;
