//! What is read of SSH: banners, key exchange offers (RFC 4253).

/// An SSH connection when its login was decided, or the flow is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshConnection {
    /// Who opened it.
    pub client: SshEnd,
    /// Who answered.
    pub server: SshEnd,
    /// What both ends' offers come down to, if both were seen.
    pub agreed: Option<SshAgreement>,
    /// SHA-256 of the server's host key as it was sent.
    pub host_key_sha256: Option<[u8; 32]>,
    /// What the sizes of the server's encrypted messages tell of the login: whether it succeeded.
    pub login: Option<bool>,
    /// Attempts that these sizes tell of.
    pub login_attempts: u32,
}

/// What one end said in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshEnd {
    /// `SSH-2.0-OpenSSH_9.2 comment`.
    pub banner: Option<Box<str>>,
    /// What it offered.
    pub hassh: Option<Hassh>,
}

/// Fingerprint of an offer (HASSH of a client, `hasshServer` of a server).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hassh {
    /// MD5 of the text, in hexadecimal digits.
    pub hash: Box<str>,
    /// `key exchanges;ciphers;MACs;compressions`.
    pub text: Box<str>,
}

/// The first of the client's algorithms that the server has too (RFC 4253, 7.1); none where they have none in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshAgreement {
    /// Key exchange.
    pub key_exchange: Option<Box<str>>,
    /// Host key.
    pub host_key: Option<Box<str>>,
    /// Cipher (client to server, server to client).
    pub cipher: [Option<Box<str>>; 2],
    /// Message authentication (client to server, server to client).
    pub mac: [Option<Box<str>>; 2],
    /// Compression (client to server, server to client).
    pub compression: [Option<Box<str>>; 2],
}
