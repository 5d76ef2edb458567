//! The machine's clock, read in one place.

use std::time::SystemTime;

use sekimori_wire::time::Timestamp;

mod kernel;

pub(crate) use kernel::is_synchronised;

/// Now; 1970 if the clock stands before that.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.plus(since)
}
