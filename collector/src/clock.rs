//! The collector's clock: the one place that reads it, as the wire's [`Timestamp`].

use std::time::SystemTime;

use sekimori_wire::time::{Timestamp, nanos_of};

/// Now, by the system's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(nanos_of(since))
}

/// As the store keeps it; times after 2262 become the last one that fits.
pub fn stored(at: Timestamp) -> i64 {
    i64::try_from(at.nanos()).unwrap_or(i64::MAX)
}

/// Back from the store.
pub fn from_stored(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or_default())
}
