//! The files of an identity, and how a renewal changes several of them in one step.
//!
//! A renewal is written to one file, `renewal.json`: from then on it counts, wherever the machine stops. Then each file gets its
//! new content, and `renewal.json` goes last. Whoever finds it reads it instead of the others.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_delivery::disk::{self, DiskError};
use serde::{Deserialize, Serialize};

use super::{IdentityError, read};

pub(super) const SIGNING_KEY: &str = "signing-key.p8";
pub(super) const TLS_KEY: &str = "tls-key.pem";
pub(super) const CERTIFICATE: &str = "certificate.pem";
pub(super) const CA: &str = "ca.pem";
pub(super) const ENROLMENT: &str = "enrolment.json";
const RENEWAL: &str = "renewal.json";
/// Another signing key, which the collector may know already.
pub(super) const NEXT_KEY: &str = "next-signing-key.p8";
/// Somebody asks for another signing key.
pub(super) const ROTATE: &str = "rotate-key";

/// `enrolment.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Enrolment {
    pub(super) agent: String,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) epoch: u64,
    pub(super) ingest_urls: Vec<String>,
    pub(super) collector_key: String,
    /// All keys that may sign acknowledgements; empty: only that one.
    #[serde(default)]
    pub(super) collector_keys: Vec<String>,
    /// Names what is trusted, as the collector does.
    #[serde(default)]
    pub(super) trust: String,
    /// When the certificate came, Unix seconds.
    #[serde(default)]
    pub(super) certified_at: u64,
    /// For how long it is good.
    #[serde(default)]
    pub(super) life_seconds: u64,
    /// The first key, base64url, and those after it, once there are any.
    #[serde(default)]
    pub(super) keys: Vec<Key>,
    /// Of the hashes that stand for user names, once it is not that of the signing key any more; hexadecimal.
    #[serde(default)]
    pub(super) user_key: Option<String>,
}

/// One of the agent's public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) key: String,
    pub(crate) from_epoch: u64,
    /// Of the key before it; empty for the first.
    pub(crate) voucher: String,
}

/// What renewals change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    /// PKCS#8, base64url.
    pub(super) signing_key: String,
    pub(super) tls_key: String,
    pub(super) certificate: String,
    pub(super) ca: String,
    pub(super) enrolment: Enrolment,
}

impl Files {
    /// As they are now: those of the last renewal that was written whole.
    pub(super) fn read(dir: &Path) -> Result<Self, IdentityError> {
        let renewal = dir.join(RENEWAL);
        if renewal.exists() {
            let json = read(&renewal)?;
            return serde_json::from_slice(&json)
                .map_err(|cause| IdentityError::Json { path: renewal, cause });
        }
        let enrolment = dir.join(ENROLMENT);
        if !enrolment.exists() {
            return Err(IdentityError::Missing { path: enrolment });
        }
        let json = read(&enrolment)?;
        let enrolment =
            serde_json::from_slice(&json).map_err(|cause| IdentityError::Json { path: enrolment, cause })?;
        let text = |name: &str, what| {
            let path = dir.join(name);
            String::from_utf8(read(&path)?).map_err(|_cause| IdentityError::Pem { path, what })
        };
        Ok(Self {
            signing_key: URL_SAFE_NO_PAD.encode(read(&dir.join(SIGNING_KEY))?),
            tls_key: text(TLS_KEY, "private key")?,
            certificate: text(CERTIFICATE, "certificate")?,
            ca: text(CA, "certificate")?,
            enrolment,
        })
    }

    /// Makes them count, wherever the machine stops: before this returns well, the old or the new ones; after it, the new.
    pub(super) fn commit(&self, dir: &Path) -> Result<(), DiskError> {
        disk::write_atomic(&dir.join(RENEWAL), &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Gives each file its content, the enrolment last.
    pub(super) fn place(&self, dir: &Path) -> Result<(), DiskError> {
        let signing_key = URL_SAFE_NO_PAD.decode(&self.signing_key).unwrap_or_default();
        let enrolment = serde_json::to_vec_pretty(&self.enrolment).unwrap_or_default();
        for (name, content) in [
            (SIGNING_KEY, signing_key.as_slice()),
            (TLS_KEY, self.tls_key.as_bytes()),
            (CERTIFICATE, self.certificate.as_bytes()),
            (CA, self.ca.as_bytes()),
            (ENROLMENT, enrolment.as_slice()),
        ] {
            disk::write_atomic(&dir.join(name), content)?;
        }
        Ok(())
    }

    /// Puts a renewal in its places that the last process did not get to, and takes away what it leaves.
    pub(super) fn settle(dir: &Path) -> Result<(), IdentityError> {
        if !dir.join(RENEWAL).exists() {
            return Ok(());
        }
        let files = Self::read(dir)?;
        files.place(dir)?;
        let next = dir.join(NEXT_KEY);
        if fs::read(&next).is_ok_and(|next| URL_SAFE_NO_PAD.encode(next) == files.signing_key) {
            remove(&dir.join(ROTATE))?;
            remove(&next)?;
        }
        remove(&dir.join(RENEWAL))?;
        Ok(())
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), DiskError> {
    match disk::remove(path) {
        Err(error) if error.cause.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
