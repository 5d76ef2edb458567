//! What is read of LDAP (RFC 4511).

mod results;

pub use results::result_name;

/// A request with its responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapOperation {
    /// The client is the flow's originator.
    pub from_originator: bool,
    /// Message number.
    pub message: i64,
    /// What was asked, if that was seen.
    pub request: Option<LdapRequest>,
    /// The first responses, and the last.
    pub responses: Vec<LdapResponse>,
    /// How many there were.
    pub response_count: u64,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapRequest {
    /// Authentication.
    Bind {
        /// Version of the protocol.
        version: i64,
        /// Who.
        name: Box<str>,
        /// How; a password is never kept.
        mechanism: LdapMechanism,
    },
    /// End of the connection.
    Unbind,
    /// Search.
    Search(Box<LdapSearch>),
    /// Change of an entry.
    Modify {
        /// Which.
        object: Box<str>,
        /// How.
        changes: Vec<LdapChange>,
    },
    /// New entry.
    Add {
        /// Its name.
        entry: Box<str>,
        /// What it has.
        attributes: Vec<LdapAttribute>,
    },
    /// An entry goes.
    Delete {
        /// Which.
        entry: Box<str>,
    },
    /// An entry gets another name or place.
    ModifyDn {
        /// Which.
        entry: Box<str>,
        /// Its new name.
        new_rdn: Box<str>,
        /// The old name goes.
        delete_old_rdn: bool,
        /// Its new place.
        new_superior: Option<Box<str>>,
    },
    /// Comparison of a value.
    Compare {
        /// Which entry.
        entry: Box<str>,
        /// Which attribute.
        attribute: Box<str>,
        /// With what.
        value: Box<str>,
    },
    /// A request is given up.
    Abandon {
        /// Which message.
        message: i64,
    },
    /// Extended operation.
    Extended {
        /// Its object identifier.
        name: Box<str>,
    },
}

/// How a client authenticates itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LdapMechanism {
    /// With a password in clear text.
    Simple {
        /// There was none: anonymous, or unauthenticated.
        is_empty: bool,
    },
    /// SASL.
    Sasl {
        /// Mechanism.
        name: Box<str>,
    },
    /// NTLM as Microsoft's first servers wanted it (MS-ADTS, 5.1.1.1.3).
    Sicily,
    /// Another choice, by its tag.
    Other(u8),
}

/// A search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapSearch {
    /// Where it begins.
    pub base: Box<str>,
    /// How deep: 0 that object, 1 one level, 2 all below.
    pub scope: i64,
    /// When aliases are followed.
    pub deref: i64,
    /// Entries at most; 0 any number.
    pub size_limit: i64,
    /// Seconds at most; 0 any time.
    pub time_limit: i64,
    /// Only the types of attributes are wanted.
    pub types_only: bool,
    /// As text (RFC 4515), cut where it is too long or deep.
    pub filter: Box<str>,
    /// Wanted attributes.
    pub attributes: Vec<Box<str>>,
}

/// An attribute with its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapAttribute {
    /// Its type.
    pub name: Box<str>,
    /// Its first values; those of passwords are left out.
    pub values: Vec<Box<str>>,
}

/// A change of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapChange {
    /// 0 add, 1 delete, 2 replace, 3 increment.
    pub operation: i64,
    /// What.
    pub attribute: LdapAttribute,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapResponse {
    /// To what.
    pub kind: LdapResponseKind,
    /// Result, if it has one.
    pub result: Option<LdapResult>,
    /// Name: of the entry, of the extended operation.
    pub name: Box<str>,
    /// An entry's attributes.
    pub attributes: Vec<LdapAttribute>,
}

/// What a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapResponseKind {
    /// To a bind.
    Bind,
    /// An entry that was found.
    SearchEntry,
    /// A reference to other servers.
    SearchReference,
    /// The end of a search.
    SearchDone,
    /// To a modification.
    Modify,
    /// To an addition.
    Add,
    /// To a deletion.
    Delete,
    /// To a change of name.
    ModifyDn,
    /// To a comparison.
    Compare,
    /// To an extended operation.
    Extended,
    /// In between.
    Intermediate,
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapResult {
    /// Code; [`result_name`] names it.
    pub code: i64,
    /// Which part of the name was found.
    pub matched: Box<str>,
    /// For people.
    pub message: Box<str>,
}
