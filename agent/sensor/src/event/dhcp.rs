//! What is read of DHCP (RFC 2131, RFC 2132).

use core::net::Ipv4Addr;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhcpMessage {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// Sent by a server.
    pub is_reply: bool,
    /// Transaction identifier.
    pub id: u32,
    /// Hardware address of the client.
    pub client_mac: [u8; 6],
    /// The client's address as the client says it.
    pub client_ip: Option<Ipv4Addr>,
    /// The address that it is given.
    pub assigned_ip: Option<Ipv4Addr>,
    /// The next server in bootstrap.
    pub next_server_ip: Option<Ipv4Addr>,
    /// Relay agent.
    pub relay_ip: Option<Ipv4Addr>,
    /// Message type (option 53).
    pub kind: Option<u8>,
    /// Client identifier (option 61), as sent.
    pub client_id: Option<Box<[u8]>>,
    /// Host name (option 12).
    pub host_name: Option<Box<[u8]>>,
    /// Fully qualified domain name of the client (option 81, RFC 4702).
    pub client_fqdn: Option<Box<[u8]>>,
    /// Vendor class identifier (option 60).
    pub vendor_class: Option<Box<[u8]>>,
    /// Domain name (option 15).
    pub domain: Option<Box<[u8]>>,
    /// Requested address (option 50).
    pub requested_ip: Option<Ipv4Addr>,
    /// Server identifier (option 54).
    pub server_id: Option<Ipv4Addr>,
    /// Subnet mask (option 1).
    pub subnet_mask: Option<Ipv4Addr>,
    /// Routers (option 3).
    pub routers: Vec<Ipv4Addr>,
    /// DNS servers (option 6).
    pub dns_servers: Vec<Ipv4Addr>,
    /// Seconds (option 51).
    pub lease_time: Option<u32>,
    /// Seconds (option 58).
    pub renewal_time: Option<u32>,
    /// Seconds (option 59).
    pub rebinding_time: Option<u32>,
    /// Options that the client wants to know (option 55).
    pub params: Box<[u8]>,
    /// Codes of all options in their order.
    pub options: Box<[u8]>,
    /// Ethernet addresses of its frame: sender, receiver; not in a tunnel.
    pub frame: Option<[[u8; 6]; 2]>,
}

impl DhcpMessage {
    /// Name of the message type (RFC 2132, 9.6; RFC 4388; RFC 6926).
    pub const fn kind_name(&self) -> Option<&'static str> {
        match self.kind {
            Some(1) => Some("discover"),
            Some(2) => Some("offer"),
            Some(3) => Some("request"),
            Some(4) => Some("decline"),
            Some(5) => Some("ack"),
            Some(6) => Some("nak"),
            Some(7) => Some("release"),
            Some(8) => Some("inform"),
            Some(10) => Some("leasequery"),
            Some(11) => Some("leaseunassigned"),
            Some(12) => Some("leaseunknown"),
            Some(13) => Some("leaseactive"),
            Some(_) | None => None,
        }
    }
}
