//! What is read of `BitTorrent`'s distributed hash table (BEP 5).

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhtMessage {}
