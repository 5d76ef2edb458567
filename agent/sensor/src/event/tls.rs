//! What is read of TLS: hellos, certificates, alerts.

use core::net::IpAddr;

use super::Application;

/// A TLS `ClientHello` (RFC 8446, 4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name indication (RFC 6066), lower case.
    pub server_name: Option<Box<str>>,
    /// First protocol of ALPN (RFC 7301).
    pub alpn: Option<Box<str>>,
    /// JA4 fingerprint of the client.
    pub ja4: Box<str>,
    /// Highest version offered, GREASE left out: 0x0304 is TLS 1.3.
    pub version: u16,
}

/// A TLS connection when its handshake is over, or the flow is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConnection {
    /// What carries the handshake.
    pub carrier: Carrier,
    /// What the flow spoke before (STARTTLS and its like); `Unknown` if it began with TLS.
    pub after: Application,
    /// The client is the flow's originator.
    pub client_is_originator: bool,
    /// The version that the server chose; until it did, the version of the client's hello. 0: neither was seen; `0x7f00`:
    /// a draft of TLS 1.3 before the 16th, which calls itself 1.3.
    pub version: u16,
    /// The cipher suite that the server chose.
    pub cipher: Option<u16>,
    /// The named group that the server chose.
    pub group: Option<u16>,
    /// Server name indication as sent.
    pub server_name: Option<Box<str>>,
    /// Protocols that the client offered (ALPN).
    pub client_protocols: Box<[Box<str>]>,
    /// Protocols that the server answered with.
    pub server_protocols: Box<[Box<str>]>,
    /// JA3 of the client's last hello.
    pub ja3: Option<Fingerprint>,
    /// JA3S of the server's last hello.
    pub ja3s: Option<Fingerprint>,
    /// JA4 of the client's last hello; empty if it was cut.
    pub ja4: Box<str>,
    /// JA4 of the hellos before that, which the server did not want.
    pub earlier_ja4: Box<[Box<str>]>,
    /// The server's chain, its own certificate first.
    pub server_chain: Box<[Certificate]>,
    /// The client's chain, its own certificate first.
    pub client_chain: Box<[Certificate]>,
    /// Names of the authorities that the server asks the client's certificate to be from.
    pub authorities: Box<[Name]>,
    /// Description of the last alert in clear text.
    pub alert: Option<u8>,
    /// How far it came.
    pub progress: Progress,
    /// An earlier session was taken up again.
    pub resumed: bool,
    /// Messages in the order in which they were seen, as Zeek's `ssl_history`: upper case from the client.
    pub history: Box<str>,
}

/// What carries a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// TLS over a stream.
    #[default]
    Tls,
    /// TLS over datagrams.
    Dtls,
    /// CRYPTO frames of QUIC.
    Quic,
}

/// How far a handshake came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// No hello of a server was seen.
    #[default]
    Offered,
    /// The server answered.
    Answered,
    /// One side encrypts what it sends.
    Encrypting,
    /// Both sides do, and something was sent so.
    Established,
}

/// A fingerprint whose text is worth having as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// What was hashed.
    pub text: Box<str>,
    /// MD5 of it.
    pub md5: [u8; 16],
}

/// An X.509 certificate (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-1 of its DER.
    pub sha1: [u8; 20],
    /// SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// What it says, if it could be read.
    pub content: Option<Box<CertificateContent>>,
}

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateContent {
    /// 1, 2 or 3.
    pub version: u32,
    /// Serial number, as encoded.
    pub serial: Box<[u8]>,
    /// Whom it is for.
    pub subject: Name,
    /// Who signed it.
    pub issuer: Name,
    /// Seconds since 1970; before it is possible.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// OID of the signature's algorithm, dotted.
    pub signature_algorithm: Box<str>,
    /// The public key.
    pub key: PublicKey,
    /// Alternative names of the subject.
    pub names: AlternativeNames,
    /// The subject is an authority, if the certificate has basic constraints.
    pub authority: Option<bool>,
    /// How many authorities may stand between it and a host.
    pub path_len: Option<u32>,
}

/// A public key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKey {
    /// OID of its algorithm, dotted.
    pub algorithm: Box<str>,
    /// OID of its curve, dotted.
    pub curve: Option<Box<str>>,
    /// Length of an RSA modulus, of an elliptic curve's field, or of the key as encoded.
    pub bits: u32,
    /// Exponent of an RSA key.
    pub exponent: Option<u64>,
}

/// Alternative names of a certificate's subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// Host names.
    pub dns: Box<[Box<str>]>,
    /// URIs.
    pub uri: Box<[Box<str>]>,
    /// Mail addresses.
    pub email: Box<[Box<str>]>,
    /// Addresses.
    pub ip: Box<[IpAddr]>,
}

/// A distinguished name: its attributes in the order in which they are encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(pub Box<[Attribute]>);

/// An attribute of a distinguished name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    /// It stands in one set with the attribute before it.
    pub joined: bool,
    /// OID of its type, dotted.
    pub oid: Box<str>,
    /// Its value.
    pub value: Box<str>,
}

impl Name {
    /// The first value of an attribute type, by its dotted OID.
    pub fn first(&self, oid: &str) -> Option<&str> {
        self.0.iter().find(|one| &*one.oid == oid).map(|one| &*one.value)
    }
}
