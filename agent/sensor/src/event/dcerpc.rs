//! What is read of DCE/RPC (C706).

/// A bind or call with its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcCall {}
