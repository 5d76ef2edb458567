//! Link layers down to the network protocol: Ethernet II with nested VLAN tags, raw IP, Linux cooked, BSD loopback; ARP.

use core::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpPacketSlice, EtherType, Ethernet2HeaderSlice, SingleVlanSlice};

use super::Skip;
use crate::event::Arp;
use crate::frame::{Frame, LinkType};

/// VLAN tags of one frame that are read; a frame with more is malformed.
const TAGS_MAX: usize = 8;
/// TPID of old `QinQ` switches beside 0x8100, 0x88a8 and 0x9100.
const TPID_9200: EtherType = EtherType(0x9200);
const SLL_PROTOCOL: usize = 14;
const SLL_HEADER: usize = 16;
const SLL2_HEADER: usize = 20;
const LOOPBACK_HEADER: usize = 4;
/// `AF_INET`, and `AF_INET6` of Linux, `NetBSD`, `FreeBSD` and macOS.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// A frame without its link layer.
pub(super) struct Link<'a> {
    pub(super) vlan: Option<u16>,
    pub(super) network: Network,
    pub(super) payload: &'a [u8],
}

/// The network protocols that are decoded.
#[derive(Clone, Copy)]
pub(super) enum Network {
    Arp,
    Ipv4,
    Ipv6,
}

pub(super) fn parse<'a>(frame: &Frame<'a>) -> Result<Link<'a>, Skip> {
    let bytes = frame.bytes;
    let vlan = frame.vlan.filter(|vlan| *vlan != 0);
    let typed = |at: usize, header: usize| {
        let ether_type = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(Skip::MalformedLink)?;
        let payload = bytes.get(header..).ok_or(Skip::MalformedLink)?;
        tagged(vlan, EtherType(u16::from_be_bytes(*ether_type)), payload)
    };
    match frame.link {
        LinkType::Ethernet => {
            let header = Ethernet2HeaderSlice::from_slice(bytes).map_err(|_cause| Skip::MalformedLink)?;
            tagged(vlan, header.ether_type(), bytes.get(header.slice().len()..).unwrap_or_default())
        }
        LinkType::LinuxSll => typed(SLL_PROTOCOL, SLL_HEADER),
        LinkType::LinuxSll2 => typed(0, SLL2_HEADER),
        LinkType::RawIp => by_version(vlan, bytes),
        LinkType::Loopback => {
            let (family, payload) =
                bytes.split_first_chunk::<LOOPBACK_HEADER>().ok_or(Skip::MalformedLink)?;
            let known = [u32::from_be_bytes(*family), u32::from_le_bytes(*family)]
                .iter()
                .any(|family| FAMILIES.contains(family));
            if known { by_version(vlan, payload) } else { Err(Skip::EtherType) }
        }
        LinkType::Other(_) => Err(Skip::LinkType),
    }
}

/// Raw IP has no type field: the version says it.
fn by_version(vlan: Option<u16>, payload: &[u8]) -> Result<Link<'_>, Skip> {
    let network = match payload.first().map(|byte| byte >> 4) {
        Some(4) => Network::Ipv4,
        Some(6) => Network::Ipv6,
        Some(_) | None => return Err(Skip::MalformedNetwork),
    };
    Ok(Link { vlan, network, payload })
}

/// Walks VLAN tags; the first that names a VLAN is the outermost.
fn tagged(mut vlan: Option<u16>, mut ether_type: EtherType, mut payload: &[u8]) -> Result<Link<'_>, Skip> {
    for _ in 0..=TAGS_MAX {
        let network = match ether_type {
            EtherType::IPV4 => Network::Ipv4,
            EtherType::IPV6 => Network::Ipv6,
            EtherType::ARP => Network::Arp,
            EtherType::VLAN_TAGGED_FRAME
            | EtherType::PROVIDER_BRIDGING
            | EtherType::VLAN_DOUBLE_TAGGED_FRAME
            | TPID_9200 => {
                let tag = SingleVlanSlice::from_slice(payload).map_err(|_cause| Skip::MalformedLink)?;
                let id = tag.vlan_identifier().value();
                vlan = vlan.or_else(|| (id != 0).then_some(id));
                ether_type = tag.ether_type();
                payload = tag.payload_slice();
                continue;
            }
            // Values below 0x0600 are the length of an 802.3 frame: LLC, spanning tree and the like.
            EtherType(_) => return Err(Skip::EtherType),
        };
        return Ok(Link { vlan, network, payload });
    }
    Err(Skip::MalformedLink)
}

/// ARP for IPv4 over Ethernet; any other kind is an `EtherType` that is not decoded.
pub(super) fn arp(payload: &[u8]) -> Result<Arp, Skip> {
    let slice = ArpPacketSlice::from_slice(payload).map_err(|_cause| Skip::MalformedLink)?;
    if slice.hw_addr_type() != ArpHardwareId::ETHERNET || slice.proto_addr_type() != EtherType::IPV4 {
        return Err(Skip::EtherType);
    }
    let mac = |bytes: &[u8]| bytes.try_into().map_err(|_cause| Skip::MalformedLink);
    let ip =
        |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map_err(|_cause| Skip::MalformedLink);
    Ok(Arp {
        operation: slice.operation().0,
        sender_mac: mac(slice.sender_hw_addr())?,
        sender_ip: ip(slice.sender_protocol_addr())?,
        target_mac: mac(slice.target_hw_addr())?,
        target_ip: ip(slice.target_protocol_addr())?,
    })
}
