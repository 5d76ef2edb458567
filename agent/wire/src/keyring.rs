//! The keys of one agent, one after another: each vouched for by the one before it, each for its own epochs.
//!
//! An agent is the hash of its first key for its whole life. A later key begins with an epoch that the key before it has
//! signed for, so whoever has the first key and the vouchers can tell, without believing anybody, which key was valid for
//! which batch.

use crate::batch::Batch;
use crate::envelope::{Envelope, SigningKey, Verified, VerifyError, VerifyingKey};
use crate::id::AgentId;

/// Label under which a key vouches for the next one.
pub const VOUCHER_LABEL: &str = "sekimori.rotate.v1";
/// Label under which the next key proves that its holder asked for it.
pub const SUCCESSOR_LABEL: &str = "sekimori.rotate.successor.v1";

/// Every key that an agent has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    agent: AgentId,
    first: VerifyingKey,
    /// First epoch and key, ascending.
    later: Vec<(u64, VerifyingKey)>,
}

impl KeyRing {
    /// Of an agent that still has its first key.
    pub fn new(first: VerifyingKey) -> Self {
        Self { agent: first.id(), first, later: Vec::new() }
    }

    /// Whose keys.
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// The one that signs now.
    pub fn newest(&self) -> &VerifyingKey {
        self.later.last().map_or(&self.first, |(_, key)| key)
    }

    /// The epoch that the newest one begins with; 0 for the first.
    pub fn newest_from(&self) -> u64 {
        self.later.last().map_or(0, |(from, _)| *from)
    }

    /// Adds the next key if the newest one vouches for it from this epoch on.
    ///
    /// # Errors
    /// If the epoch is not after the newest key's, the key was there before, or the signature is not good. Nothing is added.
    pub fn vouch(&mut self, from_epoch: u64, key: VerifyingKey, voucher: &[u8]) -> Result<(), VerifyError> {
        let known = self.first == key || self.later.iter().any(|(_, known)| *known == key);
        if known || from_epoch <= self.newest_from() {
            return Err(VerifyError::WrongSigner);
        }
        let text = voucher_of(self.agent, &key, from_epoch);
        if !self.newest().verifies_labelled(VOUCHER_LABEL, &text, voucher) {
            return Err(VerifyError::BadSignature);
        }
        self.later.push((from_epoch, key));
        Ok(())
    }

    /// Takes the newest key off again, if it is not the first: what is left vouched for it.
    pub fn without_newest(&self) -> Option<Self> {
        let mut before = self.clone();
        before.later.pop().map(|_| before)
    }

    /// The key with this hash.
    pub fn by_id(&self, id: AgentId) -> Option<&VerifyingKey> {
        core::iter::once(&self.first).chain(self.later.iter().map(|(_, key)| key)).find(|key| key.id() == id)
    }

    /// Whether it was one of these keys' turn to sign in this epoch.
    fn is_turn(&self, key: &VerifyingKey, epoch: u64) -> bool {
        let valid = self.later.iter().rev().find(|(from, _)| *from <= epoch);
        valid.map_or(&self.first, |(_, key)| key) == key
    }

    /// Verifies a batch with the key that was valid for its epoch.
    ///
    /// # Errors
    /// As [`Envelope::verify`]; `WrongSigner` too if another of the agent's keys was valid then.
    pub fn verify(&self, envelope: &Envelope) -> Result<Verified<Batch>, VerifyError> {
        let signer = envelope.claimed_signer().and_then(|id| self.by_id(id));
        let key = signer.ok_or(VerifyError::WrongSigner)?;
        let batch = envelope.verify(self.agent, key)?;
        if self.is_turn(key, batch.epoch) { Ok(batch) } else { Err(VerifyError::WrongSigner) }
    }
}

/// What a key signs to vouch for the next one, and the next one signs to prove that it is there.
pub fn voucher_of(agent: AgentId, next: &VerifyingKey, from_epoch: u64) -> Vec<u8> {
    [agent.as_bytes().as_slice(), next.as_bytes(), &from_epoch.to_le_bytes()].concat()
}

/// The signature with which `key` vouches for `next`.
pub fn voucher(key: &SigningKey, agent: AgentId, next: &VerifyingKey, from_epoch: u64) -> [u8; 64] {
    key.sign_labelled(VOUCHER_LABEL, &voucher_of(agent, next, from_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Lane, Mode};
    use crate::id::Digest;
    use crate::time::Timestamp;

    fn key() -> SigningKey {
        SigningKey::generate().unwrap().0
    }

    fn seal(agent: AgentId, key: &SigningKey, epoch: u64) -> Envelope {
        let batch = Batch {
            agent,
            lane: Lane::Urgent,
            epoch,
            seq: 1,
            prev: Digest::ZERO,
            sealed_at: Timestamp::ZERO,
            mode: Mode::Live,
            version: "1".into(),
            records: Vec::new(),
            unknown_records: 0,
        };
        Envelope::seal(&batch, key).unwrap()
    }

    #[test]
    fn each_key_signs_for_its_own_epochs_only() {
        let (first, second, third, stranger) = (key(), key(), key(), key());
        let mut ring = KeyRing::new(*first.verifying_key());
        let agent = ring.agent();
        for (from, key, next) in [(4, &first, &second), (9, &second, &third)] {
            let next = next.verifying_key();
            ring.vouch(from, *next, &voucher(key, agent, next, from)).unwrap();
        }
        assert_eq!((ring.newest(), ring.newest_from()), (third.verifying_key(), 9));
        for (signer, epochs) in [(&first, 1..=3_u64), (&second, 4..=8), (&third, 9..=11)] {
            for epoch in 1..=11 {
                let verified = ring.verify(&seal(agent, signer, epoch));
                if epochs.contains(&epoch) {
                    assert_eq!(verified.unwrap().epoch, epoch);
                } else {
                    assert_eq!(verified, Err(VerifyError::WrongSigner), "{epoch}");
                }
            }
        }
        assert_eq!(ring.verify(&seal(agent, &stranger, 9)), Err(VerifyError::WrongSigner));
        // A later key is not an identity of its own.
        let own = seal(third.verifying_key().id(), &third, 9);
        assert_eq!(ring.verify(&own), Err(VerifyError::WrongSigner));
    }

    #[test]
    fn nothing_but_the_newest_key_vouches_for_the_next_one() {
        let (first, second, third) = (key(), key(), key());
        let mut ring = KeyRing::new(*first.verifying_key());
        let agent = ring.agent();
        let good = voucher(&first, agent, second.verifying_key(), 2);
        for (from, next, signature, error) in [
            (3, &second, good, VerifyError::BadSignature),
            (2, &third, good, VerifyError::BadSignature),
            (0, &second, voucher(&first, agent, second.verifying_key(), 0), VerifyError::WrongSigner),
            (2, &first, voucher(&first, agent, first.verifying_key(), 2), VerifyError::WrongSigner),
            (
                2,
                &second,
                voucher(&first, second.verifying_key().id(), second.verifying_key(), 2),
                VerifyError::BadSignature,
            ),
            // Signed as something else.
            (
                2,
                &second,
                first.sign_labelled("sekimori.renew.v1", &voucher_of(agent, second.verifying_key(), 2)),
                VerifyError::BadSignature,
            ),
        ] {
            assert_eq!(ring.vouch(from, *next.verifying_key(), &signature), Err(error));
        }
        ring.vouch(2, *second.verifying_key(), &good).unwrap();
        let old = voucher(&first, agent, third.verifying_key(), 3);
        assert_eq!(ring.vouch(3, *third.verifying_key(), &old), Err(VerifyError::BadSignature));
        assert_eq!(ring.without_newest(), Some(KeyRing::new(*first.verifying_key())));
    }
}
