//! Link-layer bytes as captured, borrowed.

use sekimori_wire::time::Timestamp;

/// One captured frame. It never leaves the thread that captured it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The capture time.
    pub at: Timestamp,
    /// What the first byte is the start of.
    pub link: LinkType,
    /// The bytes that were captured; may be fewer than were on the wire.
    pub bytes: &'a [u8],
    /// Length on the wire.
    pub wire_len: u32,
    /// VLAN identifier (12 bits) that the kernel took out of the bytes and put in the ring's header.
    pub vlan: Option<u16>,
}

/// What the first byte of a frame is the start of. Values as in pcap's link types (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`, 1.
    Ethernet,
    /// `LINKTYPE_RAW` 101, `LINKTYPE_IPV4` 228, `LINKTYPE_IPV6` 229, and `DLT_RAW` 12 and 14.
    RawIp,
    /// `LINKTYPE_LINUX_SLL`, 113.
    LinuxSll,
    /// `LINKTYPE_LINUX_SLL2`, 276.
    LinuxSll2,
    /// `LINKTYPE_NULL` 0 and `LINKTYPE_LOOP` 108.
    Loopback,
    /// Any other: named and counted frame by frame.
    Other(u32),
}

impl LinkType {
    /// From the number in a capture file.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            0 | 108 => Self::Loopback,
            other => Self::Other(other),
        }
    }
}
