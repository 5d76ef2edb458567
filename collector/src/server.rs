//! The three listeners and what they share.

use std::sync::Arc;

use crate::config::Config;
use crate::store::Store;

/// What every handler gets; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Where everything is.
    pub store: Store,
    /// What the collector runs with.
    pub config: Arc<Config>,
}
