//! What is read of QUIC: the hellos of both sides, out of Initial packets.

use super::tls::Fingerprint;

/// A hello in an Initial packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuicHello {
    /// QUIC's version: 1, `0x6b33_43cf` is 2, `0x5130_3530` is Google's Q050.
    pub version: u32,
    /// A client sent it.
    pub is_client: bool,
    /// The flow's originator sent it.
    pub from_originator: bool,
    /// Server name indication as sent.
    pub server_name: Option<Box<str>>,
    /// Google QUIC: the client's program.
    pub user_agent: Option<Box<str>>,
    /// JA3 of a client, JA3S of a server.
    pub ja3: Option<Fingerprint>,
    /// JA4 of a client; empty otherwise.
    pub ja4: Box<str>,
    /// Extensions in the order in which they were sent.
    pub extensions: Box<[Extension]>,
}

/// An extension of a hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// Its type (IANA, TLS `ExtensionType`).
    pub kind: u16,
    /// What it lists, for the types where that says something: names, protocols, versions, algorithms.
    pub values: Box<[Box<str>]>,
}
