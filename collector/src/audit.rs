//! The audit log: a chain of lines, each with the hash of the one before, so that a line that is changed, taken out or
//! put in breaks the chain there. What is cut off at its end shows when the head is compared with one kept elsewhere.

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

/// What happened, without its place in the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// By the collector's clock.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// In which role.
    pub role: String,
    /// About which incident; empty: about none.
    pub incident: String,
    /// What.
    pub action: String,
    /// The state before, if there was one.
    pub from: String,
    /// The state after.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The incident's version after.
    pub version: i64,
}

/// A line as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1, without gaps.
    pub seq: i64,
    /// The hash of the line before; zeros for the first.
    pub prev: Digest,
    /// What happened.
    pub entry: Entry,
    /// Its own hash.
    pub hash: Digest,
}

impl Line {
    /// The next line after one with this number and hash.
    pub fn after(seq: i64, prev: Digest, entry: Entry) -> Self {
        let seq = seq.saturating_add(1);
        let hash = hash(seq, prev, &entry);
        Self { seq, prev, entry, hash }
    }
}

/// SHA-256 over the hash before, the number and every field, each with its length before it: no two different lines
/// have the same bytes.
fn hash(seq: i64, prev: Digest, entry: &Entry) -> Digest {
    // Exhaustive: a field that is added must be hashed.
    let Entry { at, actor, role, incident, action, from, to, reason, version } = entry;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(prev.as_bytes());
    for number in [seq, *version] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&at.nanos().to_be_bytes());
    for text in [actor, role, incident, action, from, to, reason] {
        bytes.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Digest::of(&bytes)
}

/// The first line that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// One is missing, or out of order.
    #[error("line {expected} of the audit log is missing (line {found} is there instead)")]
    Missing {
        /// Which.
        expected: i64,
        /// What is there instead.
        found: i64,
    },
    /// It does not continue the one before: that one, or this one, was replaced.
    #[error("line {0} of the audit log does not continue line {before}", before = .0 - 1)]
    NotNext(i64),
    /// Its fields are not those that were hashed.
    #[error("line {0} of the audit log was changed")]
    Changed(i64),
    /// It begins later than at its first line, and not where the log itself says that retention cut it off.
    #[error(
        "the audit log begins after line {0}, and it does not say that retention removed what was before"
    )]
    Anchor(i64),
    /// The head does not name the last line.
    #[error("the audit log ends with line {last}, but its head says line {head}")]
    Head {
        /// The last line.
        last: i64,
        /// What the head says.
        head: i64,
    },
    /// The head has another hash.
    #[error("the last line of the audit log, {0}, is not the one that its head names")]
    OtherHead(i64),
}

/// Checks a chain, line by line.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    /// The last good line.
    pub seq: i64,
    /// Its hash.
    pub head: Digest,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { seq: 0, head: Digest::ZERO }
    }
}

impl Verifier {
    /// The next line.
    ///
    /// # Errors
    /// If it is not the one that was written.
    pub fn line(&mut self, line: &Line) -> Result<(), Broken> {
        let expected = self.seq.saturating_add(1);
        if line.seq != expected {
            return Err(Broken::Missing { expected, found: line.seq });
        }
        if hash(line.seq, line.prev, &line.entry) != line.hash {
            return Err(Broken::Changed(line.seq));
        }
        if line.prev != self.head {
            return Err(Broken::NotNext(line.seq));
        }
        (self.seq, self.head) = (line.seq, line.hash);
        Ok(())
    }

    /// The end: what the store says is the head.
    ///
    /// # Errors
    /// If it names another line.
    pub fn end(&self, seq: i64, head: Digest) -> Result<(), Broken> {
        if seq != self.seq {
            return Err(Broken::Head { last: self.seq, head: seq });
        }
        if head == self.head { Ok(()) } else { Err(Broken::OtherHead(seq)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(lines: i64) -> Vec<Line> {
        let mut out: Vec<Line> = Vec::new();
        for n in 1..=lines {
            let (seq, prev) = out.last().map_or((0, Digest::ZERO), |last| (last.seq, last.hash));
            let entry = Entry {
                at: Timestamp::from_secs(1_800_000_000),
                actor: format!("actor{n}"),
                role: "control".to_owned(),
                incident: "INC-1".to_owned(),
                action: "triage".to_owned(),
                from: "received".to_owned(),
                to: "triaged".to_owned(),
                reason: "理由".to_owned(),
                version: n,
            };
            out.push(Line::after(seq, prev, entry));
        }
        out
    }

    fn verify(lines: &[Line]) -> Result<Verifier, Broken> {
        let mut verifier = Verifier::default();
        lines.iter().try_for_each(|line| verifier.line(line)).map(|()| verifier)
    }

    #[test]
    fn a_chain_is_good_until_somebody_touches_it() {
        let good = chain(4);
        let verifier = verify(&good).unwrap();
        verifier.end(4, good[3].hash).unwrap();
        assert_eq!(verifier.end(5, good[3].hash), Err(Broken::Head { last: 4, head: 5 }));
        assert_eq!(verifier.end(4, good[2].hash), Err(Broken::OtherHead(4)));
        type Touch = fn(&mut Vec<Line>);
        let table: &[(Touch, Broken)] = &[
            (|c| c[1].entry.actor.push('x'), Broken::Changed(2)),
            (|c| c[1].entry.at = Timestamp::ZERO, Broken::Changed(2)),
            (|c| c[1].entry.role.clear(), Broken::Changed(2)),
            (|c| c[1].entry.incident = "INC-2".to_owned(), Broken::Changed(2)),
            (|c| c[1].entry.action.clear(), Broken::Changed(2)),
            (|c| c[1].entry.from.clear(), Broken::Changed(2)),
            (|c| c[1].entry.to.clear(), Broken::Changed(2)),
            (|c| c[1].entry.reason.clear(), Broken::Changed(2)),
            (|c| c[1].entry.version = 9, Broken::Changed(2)),
            (|c| c[1].prev = Digest::ZERO, Broken::Changed(2)),
            (|c| c[1].hash = Digest::ZERO, Broken::Changed(2)),
            // A character moved from one field to the next is a change, too.
            (
                |c| {
                    c[1].entry.actor.pop();
                    c[1].entry.role.insert(0, '2');
                },
                Broken::Changed(2),
            ),
            (|c| drop(c.remove(2)), Broken::Missing { expected: 3, found: 4 }),
            (|c| drop(c.remove(0)), Broken::Missing { expected: 1, found: 2 }),
            (|c| c.swap(0, 1), Broken::Missing { expected: 1, found: 2 }),
            // Somebody who knows the hash function rewrites one line: the next one does not continue it.
            (
                |c| {
                    let entry = Entry { reason: "forged".to_owned(), ..c[1].entry.clone() };
                    c[1] = Line::after(1, c[0].hash, entry);
                },
                Broken::NotNext(3),
            ),
        ];
        for (at, (touch, broken)) in table.iter().enumerate() {
            let mut touched = chain(4);
            touch(&mut touched);
            assert_eq!(verify(&touched).unwrap_err(), *broken, "{at}");
        }
    }
}
