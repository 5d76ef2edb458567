//! What is read of LDAP (RFC 4511).

/// A request with its responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapOperation {}
