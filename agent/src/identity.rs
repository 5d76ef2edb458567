//! Who this agent is: the keys and certificates in `STATE/identity`, made once by enrolment.
//!
//! ```text
//! signing-key.p8    Ed25519, signs batches; its hash is the agent's id     certificate.pem   what the collector's CA issued
//! tls-key.pem       P-256, for mutual TLS                                  ca.pem            the collector's CA
//! enrolment.json    body, epoch, ingest addresses, the collector's key; written last: without it there is no identity
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekimori_wire::envelope::{KeyError, SigningKey, VerifyingKey};
use sekimori_wire::id::{AgentId, BodyCode, Digest};
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use sekimori_delivery::disk::{self, DiskError};
use sekimori_delivery::seal::Signer;

mod enroll;

pub(crate) use enroll::enroll;

const SIGNING_KEY: &str = "signing-key.p8";
const TLS_KEY: &str = "tls-key.pem";
const CERTIFICATE: &str = "certificate.pem";
const CA: &str = "ca.pem";
const ENROLMENT: &str = "enrolment.json";

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
    /// Signs acknowledgements.
    pub(crate) collector: VerifyingKey,
    /// This agent's certificate and what leads to the CA.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub(crate) tls_key: PrivateKeyDer<'static>,
    /// The CAs that the collector's certificate must come from.
    pub(crate) ca: Vec<CertificateDer<'static>>,
}

/// `enrolment.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Enrolment {
    agent: String,
    name: String,
    body: String,
    epoch: u64,
    ingest_urls: Vec<String>,
    collector_key: String,
}

impl Identity {
    /// Reads the identity of a state folder.
    ///
    /// # Errors
    /// If there is none, a file is readable by others, or one is not what it should be.
    pub(crate) fn load(state: &Path) -> Result<Self, IdentityError> {
        let dir = folder(state);
        let enrolment = dir.join(ENROLMENT);
        if !enrolment.exists() {
            return Err(IdentityError::Missing { path: enrolment });
        }
        let json = read(&enrolment)?;
        let enrolment: Enrolment = serde_json::from_slice(&json)
            .map_err(|cause| IdentityError::Json { path: enrolment.clone(), cause })?;
        let wrong = |key: &'static str| IdentityError::Field { path: dir.join(ENROLMENT), key };
        let key_path = dir.join(SIGNING_KEY);
        let signing = SigningKey::from_pkcs8(&read(&key_path)?)
            .map_err(|cause| IdentityError::SigningKey { path: key_path, cause })?;
        let agent = signing.verifying_key().id();
        if enrolment.agent != agent.to_string() {
            return Err(wrong("agent"));
        }
        let tls_key = dir.join(TLS_KEY);
        Ok(Self {
            signer: Arc::new(Signer { agent, epoch: enrolment.epoch, key: signing }),
            name: enrolment.name,
            body: enrolment.body.parse().map_err(|_cause| wrong("body"))?,
            ingest_urls: enrolment.ingest_urls,
            collector: verifying_key(&enrolment.collector_key).ok_or_else(|| wrong("collector_key"))?,
            certificates: certificates(&dir.join(CERTIFICATE))?,
            tls_key: PrivateKeyDer::from_pem_slice(&read(&tls_key)?)
                .map_err(|_cause| IdentityError::Pem { path: tls_key, what: "private key" })?,
            ca: certificates(&dir.join(CA))?,
        })
    }

    /// Which agent: the hash of the key that it enrolled with.
    pub(crate) fn agent(&self) -> AgentId {
        self.signer.agent
    }

    /// When the certificate ends.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let (_, certificate) = x509_parser::parse_x509_certificate(self.certificates.first()?).ok()?;
        u64::try_from(certificate.validity().not_after.timestamp()).ok().map(Timestamp::from_secs)
    }

    /// Key of the hashes that stand for user names: the same for this agent's life, and nobody else's.
    pub(crate) fn user_key(&self) -> [u8; 32] {
        *Digest::of(&self.signer.key.sign_labelled("sekimori/user-name-key/1", &[])).as_bytes()
    }
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

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    match CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(IdentityError::Pem { path: path.to_owned(), what: "certificate" }),
    }
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
