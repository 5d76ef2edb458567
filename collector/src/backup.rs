//! Backup, restore, and the move to another database.
//!
//! A backup is one file, of either kind of store and for either: a stream of records (zstd) with a header, the files that lie
//! beside the store and without which it is of no use (configuration, CA, keys), every row by table, and an end with the number
//! of rows by table, the ends of all chains and a SHA-256 over everything before it. It is written from one view of the store
//! while the collector runs, and read in one pass; neither holds more than a few rows in memory.
//!
//! What is restored is written in one transaction into a new store, and compared with the end before it is kept.

mod files;
mod format;
mod make;
mod take;

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::fleet::swap::SwapError;
use crate::store::StoreError;
use crate::store::copy::LoadError;

pub use format::{BadBackup, End, Header, Reader, Record};
pub use make::{Made, make};
pub use take::{Destination, Restored, migrate, restore, verify};

/// Why there is no backup, or no store from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A file.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Nothing is written over.
    #[error("{path} is there already; nothing is written over it")]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// Damaged, cut off, or something else.
    #[error("{path} is not a whole backup")]
    Bad {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: BadBackup,
    },
    /// CA and keys.
    #[error("CA and keys cannot be read")]
    Keys(#[from] SwapError),
    /// The new store.
    #[error("the store cannot be restored")]
    Load(#[from] LoadError),
    /// The backup has no files.
    #[error(
        "{path} was made without keys: it restores a store beside a configuration (`--config`), not a folder"
    )]
    NoFiles {
        /// Which.
        path: PathBuf,
    },
    /// The configuration in it.
    #[error("the configuration in the backup cannot be used")]
    Config(#[from] ConfigError),
    /// Somebody works on the store.
    #[error("the store {place} is in use: stop the collector first")]
    InUse {
        /// Which.
        place: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests;
