//! What is read of SNMP (RFC 1157, RFC 3416, RFC 3412).

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnmpMessage {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// 1, 2 (2c) or 3.
    pub version: u8,
    /// Community of versions 1 and 2c.
    pub community: Option<SnmpCommunity>,
    /// Version 3: who sends it, as the user-based security model names them.
    pub user: Option<Box<str>>,
    /// Version 3: the authoritative engine.
    pub engine: Option<Box<[u8]>>,
    /// Version 3: the data are encrypted, what follows is not known.
    pub encrypted: bool,
    /// What is asked or answered: `get_request`, `trap_v2` …
    pub pdu_type: Option<&'static str>,
    /// Error status of a response; 0 is no error.
    pub error_status: u32,
    /// Names of the variables, as dotted numbers.
    pub oids: Vec<Box<str>>,
    /// Version 1 trap: the enterprise.
    pub trap_oid: Option<Box<str>>,
    /// Version 1 trap: the generic trap's number.
    pub trap_type: Option<u32>,
}

/// A community works as a password: kept is whether it is one that everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnmpCommunity {
    /// `public`.
    Public,
    /// `private`.
    Private,
    /// Any other.
    Other,
}
