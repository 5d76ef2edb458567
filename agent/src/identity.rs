//! Who this agent is: the keys and certificates in `STATE/identity`, made by enrolment and changed by renewals.
//!
//! ```text
//! signing-key.p8    Ed25519, signs batches; its hash is the agent's id     certificate.pem   what the collector's CA issued
//! tls-key.pem       P-256, for mutual TLS                                  ca.pem            the collector's CA
//! enrolment.json    body, epoch, ingest addresses, the collector's keys, all own public keys; written last
//! renewal.json      all of it after a renewal, until each file has its new content (files)
//! ```
//! Without an enrolment there is no identity. A running agent has one [`Holder`], which a renewal gives a new identity.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekimori_wire::envelope::{Envelope, KeyError, SigningKey, VerifyingKey};
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::time::Timestamp;

use sekimori_delivery::disk::{self, DiskError};
use sekimori_delivery::seal::Signer;

mod enroll;
mod files;
mod holder;
mod renew;

pub(crate) use enroll::enroll;
pub(crate) use holder::Holder;
pub(crate) use renew::{ask_for_rotation, keep_fresh};

pub(crate) use files::Key;
use files::{CA, CERTIFICATE, ENROLMENT, Files, SIGNING_KEY, TLS_KEY};

/// An enrolled agent.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Who it is, and what its batches are signed with.
    pub(crate) signer: Arc<Signer>,
    /// A label for people.
    pub(crate) name: String,
    /// Whose gateway this is.
    pub(crate) body: BodyCode,
    /// Where batches go, in order of preference.
    pub(crate) ingest_urls: Vec<String>,
    /// Any of these signs acknowledgements.
    pub(crate) collector: Vec<VerifyingKey>,
    /// This agent's certificate and what leads to the CA.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub(crate) tls_key: PrivateKeyDer<'static>,
    /// The CAs that the collector's certificate must come from.
    pub(crate) ca: Vec<CertificateDer<'static>>,
    /// What the collector calls all that is trusted here.
    pub(crate) trust: String,
    /// When the certificate came.
    pub(crate) certified_at: Timestamp,
    /// For how long it is good; zero: not told.
    pub(crate) life: Duration,
    user_key: [u8; 32],
}

impl Identity {
    /// Reads the identity of a state folder, and changes nothing.
    ///
    /// # Errors
    /// If there is none, a file is readable by others, or one is not what it should be.
    pub(crate) fn load(state: &Path) -> Result<Self, IdentityError> {
        let dir = folder(state);
        Self::of(&Files::read(&dir)?, &dir)
    }

    fn of(files: &Files, dir: &Path) -> Result<Self, IdentityError> {
        let enrolment = &files.enrolment;
        let wrong = |key: &'static str| IdentityError::Field { path: dir.join(ENROLMENT), key };
        let pkcs8 = URL_SAFE_NO_PAD.decode(&files.signing_key).unwrap_or_default();
        let key = SigningKey::from_pkcs8(&pkcs8)
            .map_err(|cause| IdentityError::SigningKey { path: dir.join(SIGNING_KEY), cause })?;
        let keys = ring(&enrolment.keys, &key).ok_or_else(|| wrong("keys"))?;
        let agent = keys.agent();
        if enrolment.agent != agent.to_string() {
            return Err(wrong("agent"));
        }
        let user_key = match &enrolment.user_key {
            Some(hex) => *hex.parse::<Digest>().map_err(|_cause| wrong("user_key"))?.as_bytes(),
            None => user_key_of(&key),
        };
        let mut collector = vec![&enrolment.collector_key];
        collector.extend(enrolment.collector_keys.iter().filter(|key| **key != enrolment.collector_key));
        let collector = collector.into_iter().map(|key| verifying_key(key)).collect::<Option<_>>();
        let pem = |text: &str, name, what| {
            certificates(text).ok_or_else(|| IdentityError::Pem { path: dir.join(name), what })
        };
        Ok(Self {
            signer: Arc::new(Signer { agent, epoch: enrolment.epoch, key, keys }),
            name: enrolment.name.clone(),
            body: enrolment.body.parse().map_err(|_cause| wrong("body"))?,
            ingest_urls: enrolment.ingest_urls.clone(),
            collector: collector.ok_or_else(|| wrong("collector_key"))?,
            certificates: pem(&files.certificate, CERTIFICATE, "certificate")?,
            tls_key: PrivateKeyDer::from_pem_slice(files.tls_key.as_bytes())
                .map_err(|_cause| IdentityError::Pem { path: dir.join(TLS_KEY), what: "private key" })?,
            ca: pem(&files.ca, CA, "certificate")?,
            trust: enrolment.trust.clone(),
            certified_at: Timestamp::from_secs(enrolment.certified_at),
            life: Duration::from_secs(enrolment.life_seconds),
            user_key,
        })
    }

    /// The public keys of a state folder, oldest first, base64url: each with the epoch from which it signs and the voucher
    /// of the one before it.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub(crate) fn public_keys(state: &Path) -> Result<Vec<Key>, IdentityError> {
        let dir = folder(state);
        let files = Files::read(&dir)?;
        let signing = Self::of(&files, &dir)?;
        if !files.enrolment.keys.is_empty() {
            return Ok(files.enrolment.keys);
        }
        let key = URL_SAFE_NO_PAD.encode(signing.signer.key.verifying_key().as_bytes());
        Ok(vec![Key { key, from_epoch: 0, voucher: String::new() }])
    }

    /// Which agent: the hash of the key that it enrolled with.
    pub(crate) fn agent(&self) -> AgentId {
        self.signer.agent
    }

    /// Key of the hashes that stand for user names: the same for this agent's life, and nobody else's.
    pub(crate) const fn user_key(&self) -> [u8; 32] {
        self.user_key
    }

    /// When the certificate ends, by this machine's clock; `None` if the collector did not say.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        (self.life > Duration::ZERO).then(|| self.certified_at.plus(self.life))
    }

    /// The key of the collector with which an acknowledgement claims to be signed, if it is one that we believe.
    pub(crate) fn collector_key(&self, envelope: &Envelope) -> Option<&VerifyingKey> {
        let claimed = envelope.claimed_signer()?;
        self.collector.iter().find(|key| key.id() == claimed)
    }
}

/// The agent's keys, ending with the one that it signs with.
fn ring(keys: &[Key], signing: &SigningKey) -> Option<KeyRing> {
    let Some((first, later)) = keys.split_first() else {
        return Some(KeyRing::new(*signing.verifying_key()));
    };
    let mut ring = KeyRing::new(verifying_key(&first.key)?);
    for key in later {
        let voucher = URL_SAFE_NO_PAD.decode(&key.voucher).ok()?;
        ring.vouch(key.from_epoch, verifying_key(&key.key)?, &voucher).ok()?;
    }
    (ring.newest() == signing.verifying_key()).then_some(ring)
}

fn user_key_of(first: &SigningKey) -> [u8; 32] {
    *Digest::of(&first.sign_labelled("sekimori/user-name-key/1", &[])).as_bytes()
}

/// `STATE/identity`.
fn folder(state: &Path) -> PathBuf {
    state.join("identity")
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let mode = disk::at("read", path, fs::metadata(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    Ok(disk::at("read", path, fs::read(path))?)
}

fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn verifying_key(base64url: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&URL_SAFE_NO_PAD.decode(base64url).ok()?)
}

/// Why a state folder gives no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Never enrolled, or not to the end.
    #[error("this agent is not enrolled: {} does not exist; run `sekimori-agent enroll`", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// Others may read a secret.
    #[error("{} has mode {mode:03o}: nobody but its owner may read it (chmod 600)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not the JSON that enrolment wrote.
    #[error("{} is not what enrolment wrote", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where.
        #[source]
        cause: serde_json::Error,
    },
    /// A value in it is not valid, or does not fit the other files.
    #[error("`{key}` in {} is not valid or does not fit the other files", path.display())]
    Field {
        /// Which file.
        path: PathBuf,
        /// Which value.
        key: &'static str,
    },
    /// Not an Ed25519 key.
    #[error("{} is no signing key", path.display())]
    SigningKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: KeyError,
    },
    /// No PEM of the expected kind.
    #[error("{} holds no {what} in PEM form", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

#[cfg(test)]
pub(crate) mod tests;
