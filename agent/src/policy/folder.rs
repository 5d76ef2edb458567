//! `STATE/policy`: the policy in force and the one before it, durably.
//!
//! ```text
//! record.json    which versions, whether the newer is on trial, what was refused; replaced at once: the moment of the change
//! N.policy       an envelope as it came        DIGEST.intel   a bundle
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_delivery::disk::{self, DiskError};
use sekimori_wire::envelope::{Envelope, VerifyingKey};
use sekimori_wire::id::Digest;
use sekimori_wire::policy::Policy;
use serde::{Deserialize, Serialize};

const RECORD: &str = "record.json";
/// An envelope holds half a mebibyte at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
}

/// What is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) current: Option<Stored>,
    pub(crate) previous: Option<Stored>,
    pub(crate) on_trial: bool,
    /// Starts of the agent while on trial.
    pub(crate) starts: u32,
    pub(crate) refused: Option<Refused>,
}

/// A policy that was verified when it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) version: u64,
    /// What verified it: the collector's key may be another by now.
    pub(crate) key: String,
}

/// A version that is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) version: u64,
    /// As reported.
    pub(crate) words: String,
}

/// What a stored policy is not any more.
#[derive(Debug, thiserror::Error)]
#[error("the stored policy {version} is damaged: {what}")]
pub(crate) struct Damaged {
    version: u64,
    what: String,
}

impl Folder {
    pub(crate) fn of(state: &Path) -> Self {
        Self { dir: state.join("policy") }
    }

    /// Where a bundle is.
    pub(crate) fn bundle(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.intel"))
    }

    /// Nothing, if there is none or it cannot be read: the policy is then fetched anew.
    pub(crate) fn record(&self) -> Record {
        let path = self.dir.join(RECORD);
        match bounded(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, path = %path.display(), "cannot be read: the policy is fetched anew");
                Record::default()
            }),
            Err(_none) => Record::default(),
        }
    }

    /// Of the version that was stored, with its signature checked again: disks forget.
    pub(crate) fn read(&self, stored: &Stored) -> Result<Policy, Damaged> {
        let damaged = |what: String| Damaged { version: stored.version, what };
        let bytes = bounded(&self.envelope(stored.version)).map_err(|cause| damaged(cause.to_string()))?;
        let envelope = Envelope::from_bytes(&bytes).map_err(|cause| damaged(cause.to_string()))?;
        let key = URL_SAFE_NO_PAD.decode(&stored.key).ok().and_then(|key| VerifyingKey::from_bytes(&key));
        let key = key.ok_or_else(|| damaged("its key cannot be read".to_owned()))?;
        let policy = envelope.verify_policy(&key).map_err(|cause| damaged(cause.to_string()))?.into_inner();
        if policy.version == stored.version { Ok(policy) } else { Err(damaged("another version".to_owned())) }
    }

    /// Keeps an envelope; [`Folder::write`] makes it count.
    pub(crate) fn keep(
        &self,
        version: u64,
        envelope: &Envelope,
        key: &VerifyingKey,
    ) -> Result<Stored, DiskError> {
        disk::create_private_dir(&self.dir)?;
        disk::write_atomic(&self.envelope(version), &envelope.to_bytes())?;
        Ok(Stored { version, key: URL_SAFE_NO_PAD.encode(key.as_bytes()) })
    }

    /// Keeps a bundle, whose digest was checked.
    pub(crate) fn keep_bundle(&self, digest: Digest, bytes: &[u8]) -> Result<(), DiskError> {
        disk::create_private_dir(&self.dir)?;
        disk::write_atomic(&self.bundle(digest), bytes)
    }

    /// A bundle is here and whole.
    pub(crate) fn has_bundle(&self, digest: Digest) -> bool {
        fs::read(self.bundle(digest)).is_ok_and(|bytes| Digest::of(&bytes) == digest)
    }

    /// From now on this holds, whatever happens. Files that nothing needs any more go.
    pub(crate) fn write(&self, record: &Record) -> Result<(), DiskError> {
        disk::create_private_dir(&self.dir)?;
        disk::write_atomic(&self.dir.join(RECORD), &serde_json::to_vec_pretty(record).unwrap_or_default())?;
        self.tidy(record);
        Ok(())
    }

    fn tidy(&self, record: &Record) {
        let mut needed = vec![self.dir.join(RECORD)];
        for stored in [&record.current, &record.previous].into_iter().flatten() {
            needed.push(self.envelope(stored.version));
            let policy = self.read(stored);
            needed.extend(
                policy.iter().flat_map(|policy| &policy.rules.intel).map(|one| self.bundle(one.digest)),
            );
        }
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| !needed.contains(path)) {
            if let Err(error) = disk::remove(&path) {
                tracing::debug!(error = &error as &dyn std::error::Error, "an old file of a policy stays");
            }
        }
    }

    fn envelope(&self, version: u64) -> PathBuf {
        self.dir.join(format!("{version}.policy"))
    }
}

fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}
