//! Another CA and another key for acknowledgements, while agents keep delivering.
//!
//! ```text
//! begin    the new CA and the new key lie beside the old ones. Both CAs are trusted, new certificates come from the new one; the
//!          server still shows the old one's, which every agent trusts, and acknowledges with the old key
//! renewal  agents see by a header that there is something new, renew at once, and trust both
//! finish   the new ones take their places; the server shows a certificate of the new CA; the old ones are gone
//! ```
//! Every change is one step for who looks under the [`lock`]: `begin` writes the new CA's certificate last; `finish` makes a
//! folder with all that changes, and [`complete`] puts it in its places, again if it was interrupted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::db;
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::time::Timestamp;

use super::authority::{self, Authority, AuthorityError, Paths};
use crate::store::{Store, StoreError, query};
use crate::tls::TlsError;

/// Waits for the lock; held until dropped.
///
/// # Errors
/// If the folder cannot be written.
pub fn lock(paths: &Paths) -> Result<File, SwapError> {
    let path = paths.lock();
    let failed = |cause| SwapError::Write { path: path.clone(), cause };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Makes the new CA and the new key.
///
/// # Errors
/// If a swap has begun already, or a file cannot be written.
pub fn begin(paths: &Paths, now: Timestamp) -> Result<(), SwapError> {
    let _lock = lock(paths)?;
    complete(paths)?;
    if paths.next_ca().exists() {
        return Err(SwapError::Begun);
    }
    let (ca, ca_key_pem) = authority::make_ca(now)?;
    let (_key, ack_key) = SigningKey::generate().map_err(|cause| AuthorityError::Ack { cause })?;
    replace(&paths.next_ca_key(), ca_key_pem.as_bytes())?;
    replace(&paths.next_ack_key(), &ack_key)?;
    replace(&paths.next_ca(), ca.pem().as_bytes())
}

/// The new ones take the places of the old ones.
///
/// # Errors
/// If no swap has begun, or a file cannot be written.
pub fn finish(paths: &Paths, hosts: &[String], now: Timestamp) -> Result<(), SwapError> {
    let _lock = lock(paths)?;
    complete(paths)?;
    if !paths.next_ca().exists() {
        return Err(SwapError::NotBegun);
    }
    let next = Authority::load_next(paths)?;
    let (server, server_key) = authority::make_server(next.issuer(), next.ca_pem(), hosts, now)?;
    let read = |path: PathBuf| fs::read(&path).map_err(|cause| SwapError::Read { path, cause });
    stage(
        paths,
        &[
            ("ca.pem", next.ca_pem().as_bytes()),
            ("ca.key.pem", &read(paths.next_ca_key())?),
            ("server.pem", server.as_bytes()),
            ("server.key.pem", server_key.as_bytes()),
            ("ack.pk8", &read(paths.next_ack_key())?),
        ],
    )?;
    complete(paths)
}

/// Another server certificate of the same CA: because the old one ends, or for other names.
///
/// # Errors
/// If a file cannot be written.
pub fn renew_server(paths: &Paths, hosts: &[String], now: Timestamp) -> Result<(), SwapError> {
    let _lock = lock(paths)?;
    complete(paths)?;
    let ca = Authority::load(paths)?;
    let (server, server_key) = authority::make_server(ca.issuer(), ca.ca_pem(), hosts, now)?;
    stage(paths, &[("server.pem", server.as_bytes()), ("server.key.pem", server_key.as_bytes())])?;
    complete(paths)
}

/// Writes a folder with what is to be put in its places; its name is the decision.
fn stage(paths: &Paths, files: &[(&str, &[u8])]) -> Result<(), SwapError> {
    let finished = paths.finished();
    let temporary = finished.with_extension("new");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| SwapError::Write { path, cause }
    };
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(failed(&temporary))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&temporary).map_err(failed(&temporary))?;
    for (name, content) in files {
        replace(&temporary.join(name), content)?;
    }
    fs::rename(&temporary, &finished).map_err(failed(&finished))?;
    sync_parent(&finished)
}

/// Puts a finished swap in its places, as far as that has not been done. Whoever calls holds the [`lock`].
///
/// # Errors
/// If a file cannot be moved.
pub fn complete(paths: &Paths) -> Result<(), SwapError> {
    let finished = paths.finished();
    if !finished.exists() {
        return Ok(());
    }
    for (name, place) in [
        ("ack.pk8", paths.ack_key()),
        ("ca.key.pem", paths.ca_key()),
        ("server.key.pem", paths.server_key()),
        ("server.pem", paths.server()),
        ("ca.pem", paths.ca()),
    ] {
        let from = finished.join(name);
        if from.exists() {
            fs::rename(&from, &place).map_err(|cause| SwapError::Write { path: place.clone(), cause })?;
            sync_parent(&place)?;
        }
    }
    if is_taken(paths)? {
        for path in [paths.next_ca(), paths.next_ca_key(), paths.next_ack_key()] {
            remove(&path)?;
        }
    }
    fs::remove_dir(&finished).map_err(|cause| SwapError::Write { path: finished.clone(), cause })?;
    sync_parent(&finished)
}

/// The CA that came is the CA now.
fn is_taken(paths: &Paths) -> Result<bool, SwapError> {
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(SwapError::Read { path, cause }),
    };
    let next = read(paths.next_ca())?;
    // The certificate goes first: without it the other two are what an interrupted removal left.
    Ok(next.is_none() || next == read(paths.ca())?)
}

fn remove(path: &Path) -> Result<(), SwapError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(SwapError::Write { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// A file that only we can read: after a crash the old one or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), SwapError> {
    let failed = |cause| SwapError::Write { path: path.to_owned(), cause };
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> Result<(), SwapError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| SwapError::Write { path: parent.to_owned(), cause })
}

/// An agent that does not yet go by what the collector would give now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, db::FromRow)]
pub struct Behind {
    /// Identity.
    pub id: String,
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
}

/// Every agent that is not revoked and has not said that it goes by this [`Trust`](super::trust::Trust).
///
/// # Errors
/// If the store fails.
pub async fn behind(store: &Store, trust: &str) -> Result<Vec<Behind>, StoreError> {
    db::query_as(
        "SELECT id, name, body FROM agents WHERE revoked_at IS NULL AND trust <> $1 ORDER BY body, name, id",
    )
    .bind(trust)
    .fetch_all(store.reader())
    .await
    .map_err(query("list the agents that have not followed"))
}

/// Why the collector's keys and certificates cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// There is one.
    #[error("a swap has begun already; `ca finish-swap` ends it")]
    Begun,
    /// There is none.
    #[error("no swap has begun; `ca begin-swap` begins one")]
    NotBegun,
    /// A file.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file.
    #[error("cannot write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A CA or a key.
    #[error("the collector's keys cannot be used")]
    Keys {
        /// Why.
        #[from]
        cause: AuthorityError,
    },
    /// A listener's.
    #[error("TLS cannot be set up")]
    Tls {
        /// Why.
        #[from]
        cause: TlsError,
    },
}

#[cfg(test)]
mod tests;
