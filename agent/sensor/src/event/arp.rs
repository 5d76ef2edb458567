//! ARP (RFC 826).

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender hardware address.
    pub sender_mac: [u8; 6],
    /// Sender protocol address.
    pub sender_ip: core::net::Ipv4Addr,
    /// Target hardware address.
    pub target_mac: [u8; 6],
    /// Target protocol address.
    pub target_ip: core::net::Ipv4Addr,
    /// Ethernet addresses of its frame: sender, receiver; none where it came in a tunnel or over another link.
    pub frame: Option<[[u8; 6]; 2]>,
}
