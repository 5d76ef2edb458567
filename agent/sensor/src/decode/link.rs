//! Link layers: what stands before the first `EtherType` or IP header; ARP.

use core::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpPacketSlice, EtherType};

use super::tags::{self, Next, walk};
use super::{Context, Encapsulation, Layer, Met, Reason, Skip, Span, half, wireless};
use crate::event::Arp;
use crate::frame::LinkType;

const SLL_PROTOCOL: usize = 14;
const SLL_HEADER: usize = 16;
const SLL2_HEADER: usize = 20;
/// Pseudo `EtherType` of Linux (`if_ether.h`): logical link control follows.
const ETH_P_802_2: u16 = 4;
const LOOPBACK_HEADER: usize = 4;
/// `AF_INET`, and `AF_INET6` of Linux, `NetBSD`, `FreeBSD` and macOS.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];
/// First byte of Cisco's HDLC: unicast, multicast.
const HDLC_ADDRESSES: [u8; 2] = [0x0f, 0x8f];
/// NFLOG: address families of the packet, and the type of the field that holds it.
const NFLOG_FAMILIES: [u8; 2] = [2, 10];
const NFLOG_PAYLOAD: u16 = 9;

/// The network protocols that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Arp,
    Ipv4,
    Ipv6,
}

/// Takes the link layer off.
pub(super) fn parse<'a>(
    context: Context,
    link: LinkType,
    span: Span<'a>,
    met: &mut Met,
) -> Result<Layer<'a>, Skip> {
    let (next, span) = match link {
        LinkType::Ethernet => (Next::Ethernet, span),
        LinkType::LinuxSll => cooked(span, SLL_PROTOCOL, SLL_HEADER)?,
        LinkType::LinuxSll2 => cooked(span, 0, SLL2_HEADER)?,
        LinkType::RawIp => (Next::Ip, span),
        LinkType::Loopback => (Next::Ip, loopback(span)?),
        LinkType::Ppp if span.bytes.first().is_some_and(|first| HDLC_ADDRESSES.contains(first)) => {
            hdlc(span)?
        }
        LinkType::Ppp => (Next::Ppp, span),
        LinkType::PppWithDirection => {
            (Next::Ppp, span.after(1).ok_or(Skip::link("decoder.ppp.pkt_too_small"))?)
        }
        LinkType::PppEther => {
            met.add(Encapsulation::Pppoe);
            (Next::Ppp, tags::pppoe(span)?)
        }
        LinkType::CiscoHdlc => hdlc(span)?,
        LinkType::Wireless => return wireless::data(context, span, met),
        LinkType::Radiotap => return wireless::data(context, wireless::radiotap(span)?, met),
        LinkType::PrismOrAvs => return wireless::data(context, wireless::prism_or_avs(span)?, met),
        LinkType::Nflog => (Next::Ip, nflog(span)?),
        LinkType::Other(_) => return Err(Skip::of(Reason::LinkType)),
    };
    walk(context, next, span, met)
}

/// Linux cooked: the protocol stands at `at`, the packet after `header` bytes.
fn cooked(span: Span<'_>, at: usize, header: usize) -> Result<(Next, Span<'_>), Skip> {
    const SMALL: &str = "decoder.sll.pkt_too_small";
    let protocol = half(span.bytes, at).ok_or(Skip::link(SMALL))?;
    let span = span.after(header).ok_or(Skip::link(SMALL))?;
    let next = if protocol == ETH_P_802_2 { Next::Llc } else { Next::Typed(EtherType(protocol)) };
    Ok((next, span))
}

/// The family is in the byte order of the machine that captured.
fn loopback(span: Span<'_>) -> Result<Span<'_>, Skip> {
    const SMALL: &str = "decoder.ltnull.pkt_too_small";
    let family = span.bytes.first_chunk::<LOOPBACK_HEADER>().ok_or(Skip::link(SMALL))?;
    let known = [u32::from_be_bytes(*family), u32::from_le_bytes(*family)]
        .iter()
        .any(|family| FAMILIES.contains(family));
    if !known {
        return Err(Skip::of(Reason::EtherType));
    }
    span.after(LOOPBACK_HEADER).ok_or(Skip::link(SMALL))
}

/// Cisco's HDLC: address, control, `EtherType`.
fn hdlc(span: Span<'_>) -> Result<(Next, Span<'_>), Skip> {
    const SMALL: &str = "decoder.chdlc.pkt_too_small";
    let protocol = half(span.bytes, 2).ok_or(Skip::link(SMALL))?;
    Ok((Next::Typed(EtherType(protocol)), span.after(4).ok_or(Skip::link(SMALL))?))
}

/// A family, a version, a resource, and fields in the byte order of the machine, which every known one has little-endian.
fn nflog(span: Span<'_>) -> Result<Span<'_>, Skip> {
    const BAD: Skip = Skip::link("decoder.nflog.header_invalid");
    let [family, version, _, _, ref fields @ ..] = *span.bytes else { return Err(BAD) };
    if version != 0 || !NFLOG_FAMILIES.contains(&family) {
        return Err(Skip::of(Reason::EtherType));
    }
    let mut fields = fields;
    while let [a, b, c, d, ..] = *fields {
        let (length, kind) = (usize::from(u16::from_le_bytes([a, b])), u16::from_le_bytes([c, d]));
        if length < 4 {
            return Err(BAD);
        }
        if kind == NFLOG_PAYLOAD {
            let end = length.min(fields.len());
            return Ok(Span { bytes: fields.get(4..end).ok_or(BAD)?, ..span });
        }
        fields = fields.get(length.next_multiple_of(4)..).ok_or(BAD)?;
    }
    Err(BAD)
}

/// ARP for IPv4 over Ethernet; any other kind is an `EtherType` that is not decoded.
pub(super) fn arp(payload: &[u8]) -> Result<Arp, Skip> {
    const SMALL: Skip = Skip::link("decoder.arp.pkt_too_small");
    let slice = ArpPacketSlice::from_slice(payload).map_err(|_cause| SMALL)?;
    if slice.hw_addr_type() != ArpHardwareId::ETHERNET || slice.proto_addr_type() != EtherType::IPV4 {
        return Err(Skip::of(Reason::EtherType));
    }
    let mac =
        |bytes: &[u8]| bytes.try_into().map_err(|_cause| Skip::link("decoder.arp.invalid_hardware_size"));
    let ip = |bytes: &[u8]| {
        <[u8; 4]>::try_from(bytes)
            .map(Ipv4Addr::from)
            .map_err(|_cause| Skip::link("decoder.arp.invalid_protocol_size"))
    };
    Ok(Arp {
        operation: slice.operation().0,
        sender_mac: mac(slice.sender_hw_addr())?,
        sender_ip: ip(slice.sender_protocol_addr())?,
        target_mac: mac(slice.target_hw_addr())?,
        target_ip: ip(slice.target_protocol_addr())?,
        frame: None,
    })
}
