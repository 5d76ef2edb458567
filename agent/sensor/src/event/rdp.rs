//! What is read of RDP: negotiation, cookie, and what a client says of itself in clear text.

use super::Certificate;

/// A step of a connection's beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdpNegotiation {
    /// Numbered from 0 in a flow.
    pub number: u32,
    /// The flow's originator sent it.
    pub from_originator: bool,
    /// Which step.
    pub step: RdpStep,
}

/// Steps of a connection's beginning (MS-RDPBCGR, 1.3.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdpStep {
    /// The client asks for a connection.
    Request {
        /// The user's name (`mstshash`), cut at nine characters by most clients. Formats print it; nothing ships it.
        cookie: Option<Box<str>>,
        /// Flags and protocols of the negotiation request, if there is one.
        negotiation: Option<(u8, u32)>,
    },
    /// The server confirms.
    Confirm {
        /// Flags and the selected protocol, if the request was negotiated.
        negotiation: Option<(u8, u32)>,
    },
    /// The server refuses, with this code.
    Refusal(u32),
    /// What the client says of itself, where nothing encrypts it.
    ClientData(Box<RdpClient>),
    /// What the server says of itself, where nothing encrypts it.
    ServerData {
        /// Method and level of RDP's own encryption.
        encryption: Option<(u32, u32)>,
        /// The server's certificates.
        certificates: Box<[Certificate]>,
    },
}

/// What a client says of itself (MS-RDPBCGR, 2.2.1.3.2 and 2.2.1.3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdpClient {
    /// RDP's version: major and minor, 16 bits each.
    pub version: u32,
    /// Width and height of the desktop.
    pub desktop: (u16, u16),
    /// Bits of a colour, if it says so in a way that is still in use.
    pub color_depth: Option<u16>,
    /// Windows' identifier of the input locale.
    pub keyboard_layout: u32,
    /// Build of the client's program.
    pub build: u32,
    /// Name of the client's computer.
    pub name: Box<str>,
    /// Kind of keyboard.
    pub keyboard_type: u32,
    /// Variant of that kind.
    pub keyboard_subtype: u32,
    /// Function keys on it.
    pub function_keys: u32,
    /// Identifies the product.
    pub product_id: Option<u16>,
    /// Flags of what the client can do.
    pub capabilities: Option<u16>,
    /// The product's serial identifier.
    pub id: Box<str>,
    /// Names of the virtual channels that it asks for.
    pub channels: Box<[Box<str>]>,
}
