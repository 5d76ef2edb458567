//! Whether a batch is the next one of its agent's chain. Pure.
//!
//! An agent has one chain in force, its epoch; a new epoch must be greater and start at 1 after nothing. Whatever was
//! stored once may come again with the same bytes, and never with others.

use sekimori_wire::id::Digest;

/// The end of the chain in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Which chain; 0 if there is none yet.
    pub epoch: u64,
    /// Its last batch; 0 if there is none.
    pub through: u64,
    /// Digest of that batch; zero if there is none.
    pub digest: Digest,
}

/// What a batch says about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its chain.
    pub epoch: u64,
    /// Its number.
    pub seq: u64,
    /// What it says came before.
    pub prev: Digest,
    /// Its own digest.
    pub digest: Digest,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Store it.
    Next,
    /// It is stored already, with the same bytes: acknowledge again.
    Repeat,
    /// Batches before it are missing: acknowledge what there is, and the agent sends the rest.
    Gap,
    /// Another history exists.
    Forked(Fork),
}

/// How two histories differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// A batch with this number is stored, and it has other bytes.
    OtherBytes,
    /// It does not follow the batch that is stored before it.
    OtherPast,
    /// It continues a chain that was given up, or fills a place that was passed.
    OldChain,
}

impl Fork {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherBytes => "a batch with this number and other bytes is stored",
            Self::OtherPast => "it does not follow the batch stored before it",
            Self::OldChain => "it continues a chain that was given up",
        }
    }
}

/// Judges a batch against the chain in force and `stored`, the digest of the batch stored under the same number.
pub fn judge(head: &Head, stored: Option<Digest>, place: &Place) -> Verdict {
    if let Some(stored) = stored {
        return if stored == place.digest { Verdict::Repeat } else { Verdict::Forked(Fork::OtherBytes) };
    }
    let (through, before) = match place.epoch.cmp(&head.epoch) {
        std::cmp::Ordering::Less => return Verdict::Forked(Fork::OldChain),
        std::cmp::Ordering::Equal => (head.through, head.digest),
        std::cmp::Ordering::Greater => (0, Digest::ZERO),
    };
    match place.seq.checked_sub(through) {
        None | Some(0) => Verdict::Forked(Fork::OldChain),
        Some(1) if place.prev == before => Verdict::Next,
        Some(1) => Verdict::Forked(Fork::OtherPast),
        Some(_) => Verdict::Gap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_batch_of_the_chain_is_stored() {
        let digest = |n: u8| if n == 0 { Digest::ZERO } else { Digest::of(&[n]) };
        // Head (epoch, through, digest), digest stored under the number, batch (epoch, seq, prev, digest).
        for (head, stored, (epoch, seq, prev, own), expected) in [
            ((0, 0, 0), None, (1, 1, 0, 1), Verdict::Next),
            ((0, 0, 0), None, (1, 1, 9, 1), Verdict::Forked(Fork::OtherPast)),
            ((0, 0, 0), None, (1, 2, 1, 2), Verdict::Gap),
            ((1, 1, 1), None, (1, 2, 1, 2), Verdict::Next),
            ((1, 1, 1), None, (1, 2, 9, 2), Verdict::Forked(Fork::OtherPast)),
            ((1, 1, 1), None, (1, 3, 2, 3), Verdict::Gap),
            ((1, 2, 2), Some(1), (1, 1, 0, 1), Verdict::Repeat),
            ((1, 2, 2), Some(2), (1, 2, 1, 2), Verdict::Repeat),
            ((1, 2, 2), Some(1), (1, 1, 0, 9), Verdict::Forked(Fork::OtherBytes)),
            ((1, 2, 2), Some(2), (1, 2, 1, 9), Verdict::Forked(Fork::OtherBytes)),
            ((1, 2, 2), None, (2, 1, 0, 5), Verdict::Next),
            ((1, 2, 2), None, (2, 1, 2, 5), Verdict::Forked(Fork::OtherPast)),
            ((1, 2, 2), None, (7, 2, 5, 6), Verdict::Gap),
            ((2, 1, 5), Some(2), (1, 2, 1, 2), Verdict::Repeat),
            ((2, 1, 5), None, (1, 3, 2, 3), Verdict::Forked(Fork::OldChain)),
            ((2, 5, 5), None, (2, 3, 2, 3), Verdict::Forked(Fork::OldChain)),
            ((1, u64::MAX, 1), None, (1, 1, 0, 3), Verdict::Forked(Fork::OldChain)),
        ] {
            let head = Head { epoch: head.0, through: head.1, digest: digest(head.2) };
            let place = Place { epoch, seq, prev: digest(prev), digest: digest(own) };
            assert_eq!(judge(&head, stored.map(digest), &place), expected, "{head:?} {stored:?} {place:?}");
        }
    }
}
