//! What the collector answers.

use crate::batch::Lane;
use crate::codec;
use crate::codec::DecodeError;
use crate::envelope::Envelope;
use crate::id::{AgentId, Digest};
use crate::text::BoundedText;
use crate::time::Timestamp;

/// Everything of `(agent, lane, epoch)` up to and including `through` is committed and may be deleted by the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Whose batches.
    pub agent: AgentId,
    /// Of which of its chains.
    pub lane: Lane,
    /// Of which epoch.
    pub epoch: u64,
    /// The last batch committed without a gap before it; 0 if none.
    pub through: u64,
    /// Digest of the payload of batch `through`; zero if none.
    pub head: Digest,
    /// The collector's clock.
    pub at: Timestamp,
    /// Version of the policy that holds for this agent; 0 if there is none.
    pub policy_version: u64,
}

/// The answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A signed [`Ack`]; verify it with the collector's key.
    Ack(Envelope),
    /// Nothing after the last acknowledged batch was stored.
    Refused(Refusal),
}

impl Answer {
    /// As sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode_answer(self)
    }

    /// From the body of a response.
    ///
    /// # Errors
    /// If the bytes are not an answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_answer(bytes)
    }
}

/// Envelopes of one submission, oldest first.
///
/// # Errors
/// If the bytes are not a submission within the limits.
pub fn decode_submission(bytes: &[u8]) -> Result<Vec<Envelope>, DecodeError> {
    codec::decode_submission(bytes)
}

/// The body of `POST /v1/batches`.
pub fn encode_submission(envelopes: &[Envelope]) -> Vec<u8> {
    codec::encode_submission(envelopes)
}

/// Why a submission was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Refusal {
    /// Decides whether to retry.
    pub kind: RefusalKind,
    /// For a person.
    pub detail: BoundedText<256>,
    /// The batch that was refused; 0 for the whole submission.
    pub seq: u64,
    /// Not before this many seconds, where a retry makes sense.
    pub retry_after_seconds: u32,
}

/// Who is at fault, and so whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalKind {
    /// The bytes are no submission, envelope or batch.
    Malformed,
    /// The certificate is good but the agent is not (or no longer) enrolled.
    NotEnrolled,
    /// Not signed by the key of the agent that sends it.
    WrongKey,
    /// The same number with other bytes, or a `prev` that does not fit: another history exists.
    Forked,
    /// Over a limit.
    TooLarge,
    /// The collector cannot store now.
    Busy,
}

impl RefusalKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Malformed, Self::NotEnrolled, Self::WrongKey, Self::Forked, Self::TooLarge, Self::Busy];

    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotEnrolled => "not_enrolled",
            Self::WrongKey => "wrong_key",
            Self::Forked => "forked",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
        }
    }

    /// From the stable identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The same bytes may be accepted later, without anybody's help.
    pub const fn may_retry(self) -> bool {
        matches!(self, Self::Busy)
    }

    /// The HTTP status that carries it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::NotEnrolled | Self::WrongKey => 403,
            Self::Forked => 409,
            Self::TooLarge => 413,
            Self::Busy => 503,
        }
    }
}

impl core::fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
