//! What is read of NTLM messages (MS-NLMP): names and versions, never a response or a key.

/// What the client said of itself in its AUTHENTICATE message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ntlm {
    /// Domain of the account.
    pub domain: Box<str>,
    /// Account.
    pub user: Box<str>,
    /// Name of the client.
    pub host: Box<str>,
    /// Version of the client's system, if it said so.
    pub version: Option<NtlmClient>,
    /// How it answered the challenge.
    pub answer: NtlmAnswer,
}

/// Version of the client's system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NtlmClient {
    /// Major version of Windows.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Build.
    pub build: u16,
    /// Revision of NTLM: 15.
    pub revision: u8,
}

/// How the challenge was answered, as the length of the answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NtlmAnswer {
    /// Not at all: an anonymous session.
    #[default]
    Anonymous,
    /// LM or NTLM version 1, which are broken.
    V1,
    /// NTLM version 2.
    V2,
}
