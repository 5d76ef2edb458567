//! From records to batches that the collector has acknowledged.
//!
//! ```text
//! Record ─seal─► Envelope ─► spool ─oldest_unacked─► (somebody sends it) ─► Ack ─judge─► acknowledge, or wait (pace), or stop
//! ```
//! Here is what must hold whatever the disk, the network and the clock do; so it does no IO but on the disk, through
//! [`disk`] alone, and reads no clock. The agent gives it both, and the simulation gives it bad ones.

pub mod disk;
pub mod flight;
pub mod judge;
pub mod lanes;
pub mod pace;
pub mod seal;
pub mod spool;
