//! Records of one agent, numbered and chained.

use crate::id::{AgentId, Digest};
use crate::record::Record;
use crate::text::BoundedText;
use crate::time::Timestamp;

/// Records of one agent. `(agent, epoch, seq)` names it; `prev` chains it to the batch before.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Who sealed it.
    pub agent: AgentId,
    /// Grows when an agent starts a new chain (re-installation, replay state).
    pub epoch: u64,
    /// 1, 2, 3 … within the epoch.
    pub seq: u64,
    /// Digest of the payload of batch `seq - 1`; zero for the first.
    pub prev: Digest,
    /// When it was sealed, by the agent's clock. Clock skew is judged on this, never on event time.
    pub sealed_at: Timestamp,
    /// Live or replayed.
    pub mode: Mode,
    /// The agent's version.
    pub version: BoundedText<32>,
    /// What is reported.
    pub records: Vec<Record>,
    /// Records of kinds that this version does not know: counted, never fatal.
    pub unknown_records: u64,
}

/// Where the packets came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A live link.
    #[default]
    Live,
    /// A capture file.
    Replay,
}
