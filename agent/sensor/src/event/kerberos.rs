//! What is read of Kerberos (RFC 4120).

/// A request with its reply or error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KerberosExchange {}
