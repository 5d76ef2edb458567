//! Records of one agent, numbered and chained.

use crate::id::{AgentId, Digest};
use crate::record::Record;
use crate::text::BoundedText;
use crate::time::Timestamp;

/// Records of one agent. `(agent, lane, epoch, seq)` names it; `prev` chains it to the batch before.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Who sealed it.
    pub agent: AgentId,
    /// Which of the agent's chains it belongs to.
    pub lane: Lane,
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

/// Which of an agent's two chains: after an outage the findings of a month need not wait for its summaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What matters at once: findings, endpoint alerts, health, gaps.
    #[default]
    Urgent,
    /// What can wait: summaries.
    Detail,
}

impl Lane {
    /// Both, in the order in which they are delivered.
    pub const ALL: [Self; 2] = [Self::Urgent, Self::Detail];

    /// The number on the wire and in the store.
    pub const fn number(self) -> u8 {
        match self {
            Self::Urgent => 0,
            Self::Detail => 1,
        }
    }

    /// From the number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Urgent),
            1 => Some(Self::Detail),
            _ => None,
        }
    }

    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Detail => "detail",
        }
    }

    /// Where a record goes.
    pub const fn of(record: &Record) -> Self {
        match record {
            Record::Finding(_) | Record::EndpointAlert(_) | Record::Health(_) | Record::Gap(_) => {
                Self::Urgent
            }
            Record::Summary(_) => Self::Detail,
        }
    }
}

impl core::fmt::Display for Lane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
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
