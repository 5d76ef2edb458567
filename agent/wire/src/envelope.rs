//! Signed bytes: sealed by one side, verified by the other, stored as they came.
//!
//! The signature covers `"SEKIMORI-V1" NUL payload_type NUL SHA-256(payload)`: domain-separated as DSSE does it, over
//! the digest so that signing costs the same for every size. What is decoded is what was signed: decoding happens after
//! verification, from the very bytes that were verified, and these are what the store keeps.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use core::fmt;
use core::ops::Deref;

use crate::ack::Ack;
use crate::batch::Batch;
use crate::codec::{self, DecodeError};
use crate::id::{AgentId, Digest};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::policy::Policy;

/// Type of a payload that holds a compressed [`Batch`].
pub const BATCH_TYPE: &str = "application/vnd.sekimori.batch.v1+protobuf+zstd";
/// Type of a payload that holds an [`Ack`].
pub const ACK_TYPE: &str = "application/vnd.sekimori.ack.v1+protobuf";
/// Type of a payload that holds a [`Policy`].
pub const POLICY_TYPE: &str = "application/vnd.sekimori.policy.v1+protobuf";
const DOMAIN: &[u8] = b"SEKIMORI-V1\0";

/// A key that signs, and the identity that it gives.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// A new key from the system's random source, with its PKCS#8 form for storage.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<(Self, Vec<u8>), KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_cause| KeyError::Random)?;
        Ok((Self::from_pkcs8(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// From the PKCS#8 form.
    ///
    /// # Errors
    /// If the bytes are not an Ed25519 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_cause| KeyError::NotEd25519)?;
        let public = VerifyingKey::from_bytes(pair.public_key().as_ref()).ok_or(KeyError::NotEd25519)?;
        Ok(Self { pair, public })
    }

    /// The key that verifies what this one signs.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs arbitrary bytes under a label of our own (proof of possession at enrolment).
    pub fn sign_labelled(&self, label: &str, bytes: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        let signature = self.pair.sign(&to_be_signed(label, Digest::of(bytes)));
        for (to, from) in out.iter_mut().zip(signature.as_ref()) {
            *to = *from;
        }
        out
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// A raw Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// From exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identity of whoever holds the signing key.
    pub fn id(&self) -> AgentId {
        AgentId::of_public_key(&self.0)
    }

    /// Checks a signature made by [`SigningKey::sign_labelled`].
    pub fn verifies_labelled(&self, label: &str, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&to_be_signed(label, Digest::of(bytes)), signature)
            .is_ok()
    }
}

/// Signed bytes, as stored and sent. Nothing in it may be trusted before [`Envelope::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(crate) payload_type: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signer: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Envelope {
    /// Encodes, compresses and signs a batch.
    ///
    /// # Errors
    /// If the batch is larger than the limits allow.
    pub fn seal(batch: &Batch, key: &SigningKey) -> Result<Self, SealError> {
        Ok(Self::sign(BATCH_TYPE, codec::encode_batch(batch)?, key))
    }

    /// Signs an acknowledgement.
    pub fn seal_ack(ack: &Ack, key: &SigningKey) -> Self {
        Self::sign(ACK_TYPE, codec::encode_ack(ack), key)
    }

    /// Signs a policy.
    ///
    /// # Errors
    /// If it is larger than the limits allow.
    pub fn seal_policy(policy: &Policy, key: &SigningKey) -> Result<Self, SealError> {
        let payload = codec::policy::encode(policy);
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SealError::TooLarge { bytes: payload.len() });
        }
        Ok(Self::sign(POLICY_TYPE, payload, key))
    }

    fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let signature = key.sign_labelled(payload_type, &payload).to_vec();
        let signer = key.verifying_key().id().as_bytes().to_vec();
        Self { payload_type: payload_type.to_owned(), payload, signer, signature }
    }

    /// From the bytes that [`Envelope::to_bytes`] made. Checks form and size only.
    ///
    /// # Errors
    /// If the bytes are not an envelope, or one that is too large.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_envelope(bytes)
    }

    /// As stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode_envelope(self)
    }

    /// Digest of the payload: what the next batch's `prev` must be.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The hash of the key that claims to have signed; a claim until verified. Of an agent with its first key: its identity.
    pub fn claimed_signer(&self) -> Option<AgentId> {
        AgentId::from_bytes(&self.signer)
    }

    /// Verifies the signature with a key of this agent, and decodes the batch from the verified bytes. Whether it was the
    /// key's turn to sign only [`KeyRing::verify`](crate::keyring::KeyRing::verify) knows.
    ///
    /// # Errors
    /// Wrong type, wrong signer, bad signature, or bytes that are no batch of that agent.
    pub fn verify(&self, agent: AgentId, key: &VerifyingKey) -> Result<Verified<Batch>, VerifyError> {
        self.check(BATCH_TYPE, key)?;
        let batch = codec::decode_batch(&self.payload)?;
        if batch.agent != agent {
            return Err(VerifyError::WrongSigner);
        }
        Ok(Verified { value: batch, digest: self.digest() })
    }

    /// Verifies an acknowledgement.
    ///
    /// # Errors
    /// As [`Envelope::verify`].
    pub fn verify_ack(&self, key: &VerifyingKey) -> Result<Verified<Ack>, VerifyError> {
        self.check(ACK_TYPE, key)?;
        Ok(Verified { value: codec::decode_ack(&self.payload)?, digest: self.digest() })
    }

    /// Verifies a policy.
    ///
    /// # Errors
    /// As [`Envelope::verify`].
    pub fn verify_policy(&self, key: &VerifyingKey) -> Result<Verified<Policy>, VerifyError> {
        self.check(POLICY_TYPE, key)?;
        Ok(Verified { value: codec::policy::decode(&self.payload)?, digest: self.digest() })
    }

    fn check(&self, payload_type: &'static str, key: &VerifyingKey) -> Result<(), VerifyError> {
        if self.payload_type != payload_type {
            return Err(VerifyError::WrongType);
        }
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(VerifyError::Decode(DecodeError::TooLarge));
        }
        if self.claimed_signer() != Some(key.id()) {
            return Err(VerifyError::WrongSigner);
        }
        if key.verifies_labelled(payload_type, &self.payload, &self.signature) {
            Ok(())
        } else {
            Err(VerifyError::BadSignature)
        }
    }
}

/// A value whose signature was checked. Only this module makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T> {
    value: T,
    digest: Digest,
}

impl<T> Verified<T> {
    /// Digest of the signed payload.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The value without the proof.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

fn to_be_signed(label: &str, digest: Digest) -> Vec<u8> {
    [DOMAIN, label.as_bytes(), b"\0", digest.as_bytes()].concat()
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness.
    #[error("the system's random source failed")]
    Random,
    /// The bytes are not an Ed25519 key in PKCS#8.
    #[error("not an Ed25519 key in PKCS#8")]
    NotEd25519,
}

/// Why a batch cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More than the wire format allows.
    #[error("a batch of {bytes} bytes is larger than {} allows", crate::limits::BATCH_BYTES_MAX)]
    TooLarge {
        /// Its uncompressed size.
        bytes: usize,
    },
    /// More records than the wire format allows.
    #[error("a batch of {records} records is longer than {} allows", crate::limits::BATCH_RECORDS_MAX)]
    TooMany {
        /// How many records it has.
        records: usize,
    },
    /// The compressor failed.
    #[error("cannot compress the batch")]
    Compress,
}

/// Why an envelope is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The payload is of another type.
    #[error("the envelope holds another type of payload")]
    WrongType,
    /// Signed by another key, or a batch of another agent.
    #[error("the envelope is not signed by the key of the agent that it names")]
    WrongSigner,
    /// The signature does not fit the bytes.
    #[error("the signature does not fit the bytes")]
    BadSignature,
    /// The signature is good and the content is not.
    #[error("the signed content cannot be decoded")]
    Decode(#[from] DecodeError),
}
