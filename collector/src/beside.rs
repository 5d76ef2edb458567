//! The store that a configuration names, for commands that work beside a running collector.

use std::path::Path;

use crate::config::Config;
use crate::store::Store;

/// To change something.
///
/// # Errors
/// If the configuration or the store cannot be used.
pub async fn open(path: &Path) -> anyhow::Result<(Config, Store)> {
    let config = Config::load(path)?;
    let store = Store::open(config.store()).await?;
    Ok((config, store))
}

/// To look at it.
///
/// # Errors
/// As [`open`].
pub async fn read_only(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::open_read_only(Config::load(path)?.store()).await?)
}
