//! What an acknowledgement means for the spool.

use core::fmt;

use sekimori_wire::ack::Ack;
use sekimori_wire::batch::Lane;
use sekimori_wire::id::AgentId;

use crate::spool::{Position, Spool, SpoolError};

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Everything up to here is the collector's now.
    Advance(Position),
    /// The collector has what it had.
    Nothing,
    /// For another agent or chain.
    NotOurs,
    /// The collector's history is not ours.
    Forked(Fork),
}

/// Where two histories differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The collector has batches of this chain that were not sealed here: this state folder was copied, or set back.
    Ahead {
        /// What the collector has.
        theirs: Position,
        /// The last batch sealed here.
        ours: Position,
    },
    /// The collector no longer has what it acknowledged: it was set back.
    Behind {
        /// What the collector has.
        theirs: Position,
        /// What it had acknowledged.
        acked: Position,
    },
    /// The collector has another batch under this number.
    Other {
        /// Which.
        at: Position,
    },
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { theirs, ours } => write!(
                f,
                "the collector has batch {} of epoch {}, the last one sealed here is {}: this state folder was copied or set back",
                theirs.seq, theirs.epoch, ours.seq
            ),
            Self::Behind { theirs, acked } => write!(
                f,
                "the collector had acknowledged batch {} of epoch {} and now has only {}: it was set back",
                acked.seq, acked.epoch, theirs.seq
            ),
            Self::Other { at } => {
                write!(
                    f,
                    "the collector has another batch {} of epoch {} than was sealed here",
                    at.seq, at.epoch
                )
            }
        }
    }
}

/// Judges a verified acknowledgement of a submission of this agent and lane that began at `first`, and was sent when
/// everything up to `sent_after` was acknowledged: with several under way, an answer may tell less than one before it did.
pub fn judge(
    ack: &Ack,
    (agent, lane): (AgentId, Lane),
    (first, sent_after): (Position, Position),
    spool: &Spool,
) -> Result<Judgement, SpoolError> {
    if (ack.agent, ack.lane) != (agent, lane) || ack.epoch != first.epoch {
        return Ok(Judgement::NotOurs);
    }
    let theirs = Position { epoch: ack.epoch, seq: ack.through };
    let acked = spool.acked();
    let head = spool.head().at;
    let ours = Position { seq: spool.last_of(ack.epoch).unwrap_or(0), ..theirs };
    if theirs > ours {
        // An epoch that was given up because of damage: the collector got more of it than is left here.
        let is_given_up = ack.epoch < head.epoch && ours > acked;
        return Ok(if is_given_up {
            Judgement::Advance(ours)
        } else {
            Judgement::Forked(Fork::Ahead { theirs, ours })
        });
    }
    if theirs.epoch == sent_after.epoch && theirs < sent_after {
        return Ok(Judgement::Forked(Fork::Behind { theirs, acked: sent_after }));
    }
    if theirs <= acked || theirs.seq == 0 {
        return Ok(Judgement::Nothing);
    }
    let same = spool.digest_of(theirs)? == Some(ack.head);
    Ok(if same { Judgement::Advance(theirs) } else { Judgement::Forked(Fork::Other { at: theirs }) })
}
