//! Files of JSON Lines that carry signed batches by hand; `sekimori-collector verify` checks them with nothing but the file.
//!
//! Written by the collector (evidence) and by agents (what waits in a spool).

/// Of the lines and their meaning; a reader refuses others.
pub const FORMAT: u64 = 1;
/// Label under which the collector signs the digest of a bundle of evidence.
pub const SEAL_LABEL: &str = "sekimori.evidence.v1";
/// Label under which an agent signs the digest of what it takes out of its spool.
pub const CARRY_LABEL: &str = "sekimori.carry.v1";
