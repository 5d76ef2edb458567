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
    /// `LINKTYPE_PPP` 9 and `LINKTYPE_PPP_HDLC` 50 (RFC 1662, or Cisco's HDLC).
    Ppp,
    /// `LINKTYPE_PPP_WITH_DIR`, 204: PPP behind a byte that tells the direction.
    PppWithDirection,
    /// `LINKTYPE_PPP_ETHER`, 51: a `PPPoE` session without its Ethernet header.
    PppEther,
    /// `LINKTYPE_C_HDLC`, 104: Cisco's HDLC.
    CiscoHdlc,
    /// `LINKTYPE_IEEE802_11`, 105.
    Wireless,
    /// `LINKTYPE_IEEE802_11_RADIOTAP`, 127.
    Radiotap,
    /// `LINKTYPE_IEEE802_11_PRISM` 119 and `LINKTYPE_IEEE802_11_AVS` 163: drivers write either under both numbers.
    PrismOrAvs,
    /// `LINKTYPE_NFLOG`, 239: packets that Linux's packet filter logs.
    Nflog,
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
            9 | 50 => Self::Ppp,
            204 => Self::PppWithDirection,
            51 => Self::PppEther,
            104 => Self::CiscoHdlc,
            105 => Self::Wireless,
            127 => Self::Radiotap,
            119 | 163 => Self::PrismOrAvs,
            239 => Self::Nflog,
            other => Self::Other(other),
        }
    }

    /// The name of the registry, for those that captures are met with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "Ethernet",
            Self::RawIp => "raw IP",
            Self::LinuxSll => "Linux cooked v1",
            Self::LinuxSll2 => "Linux cooked v2",
            Self::Loopback => "BSD loopback",
            Self::Ppp => "PPP",
            Self::PppWithDirection => "PPP with direction",
            Self::PppEther => "PPPoE",
            Self::CiscoHdlc => "Cisco HDLC",
            Self::Wireless => "IEEE 802.11",
            Self::Radiotap => "IEEE 802.11 radiotap",
            Self::PrismOrAvs => "IEEE 802.11 Prism or AVS",
            Self::Nflog => "NFLOG",
            Self::Other(6) => "IEEE 802.5 token ring",
            Self::Other(7) => "ARCNET",
            Self::Other(8) => "SLIP",
            Self::Other(10) => "FDDI",
            Self::Other(100 | 123) => "ATM RFC 1483",
            Self::Other(106) => "Linux classical IP over ATM",
            Self::Other(107) => "Frame Relay",
            Self::Other(117) => "OpenBSD pflog",
            Self::Other(129) => "Linux ARCNET",
            Self::Other(147..=162) => "private use",
            Self::Other(187) => "Bluetooth HCI H4",
            Self::Other(189 | 220) => "Linux USB",
            Self::Other(195 | 230) => "IEEE 802.15.4",
            Self::Other(227) => "SocketCAN",
            Self::Other(249) => "USBPcap",
            Self::Other(253) => "netlink",
            Self::Other(272) => "D-Bus",
            Self::Other(_) => "unknown link type",
        }
    }
}
