//! What is read of TLS: hellos, certificates, alerts.

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
pub struct TlsConnection {}
