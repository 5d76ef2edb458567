//! What is read of SSH: banners, key exchange offers (RFC 4253).

/// An SSH connection when both key exchange offers were seen, or the flow is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshConnection {}
