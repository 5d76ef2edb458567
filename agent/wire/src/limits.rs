//! Every bound of the wire format.

/// Uncompressed size of a batch; a larger one is refused before it is decoded.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Compressed payload of one envelope.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;
/// Body of `POST /v1/batches`.
pub const SUBMISSION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Envelopes in one submission.
pub const SUBMISSION_ENVELOPES_MAX: usize = 64;
/// Records in one batch.
pub const BATCH_RECORDS_MAX: usize = 4096;
/// Targets named in a finding; `count` tells how many there were.
pub const TARGETS_MAX: usize = 32;
/// Ports named in a finding.
pub const PORTS_MAX: usize = 64;
/// Sample flows named in a finding.
pub const COMMUNITY_IDS_MAX: usize = 8;
/// Entries of each evidence map.
pub const EVIDENCE_ENTRIES_MAX: usize = 32;
/// Entries of each list of a summary.
pub const SUMMARY_ENTRIES_MAX: usize = 1024;
/// Counters and interfaces in a health record.
pub const HEALTH_ENTRIES_MAX: usize = 512;
/// Bundles of threat intelligence in one policy.
pub const POLICY_INTEL_MAX: usize = 8;
/// One such bundle: on a line of 10 Mbit/s it takes a quarter of a minute.
pub const POLICY_INTEL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Feeds whose severity one policy bounds: as many as an agent can have.
pub const POLICY_FEEDS_MAX: usize = 256;
