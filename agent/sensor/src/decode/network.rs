//! IPv4 and IPv6 with options, extension headers and fragments.

use core::net::IpAddr;

use etherparse::{Ipv6ExtensionSlice, LaxIpv4Slice, LaxIpv6Slice};

use super::{Ip, Ports, Quoted, Skip, transport};

/// The network layer's answer to the transport layer.
pub(super) struct Carried<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Length by the IP header.
    pub(super) bytes: u32,
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
    /// Length of the payload by the IP header.
    pub(super) payload_bytes: u32,
    pub(super) truncated: bool,
}

/// `beyond`: how many bytes of the frame were not captured.
pub(super) fn ipv4(bytes: &[u8], beyond: u32) -> Result<Ip<'_>, Skip> {
    let (slice, stopped) = LaxIpv4Slice::from_slice(bytes).map_err(|_cause| Skip::MalformedNetwork)?;
    let header = slice.header();
    if header.fragments_offset().value() != 0 {
        return Err(Skip::Fragment);
    }
    if stopped.is_some() {
        return Err(Skip::MalformedNetwork);
    }
    let announced = u32::from(header.total_len());
    let has_length = usize::from(header.total_len()) >= header.slice().len();
    let total = if has_length { announced } else { len(bytes.len()).saturating_add(beyond) };
    let payload = slice.payload();
    let headers = header.slice().len() + slice.extensions().auth.map_or(0, |auth| auth.slice().len());
    transport::parse(&Carried {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        bytes: total,
        protocol: payload.ip_number.0,
        payload: payload.payload,
        payload_bytes: total.saturating_sub(len(headers)),
        truncated: payload.incomplete || (!has_length && beyond > 0),
    })
}

pub(super) fn ipv6(bytes: &[u8], beyond: u32) -> Result<Ip<'_>, Skip> {
    let (slice, stopped) = LaxIpv6Slice::from_slice(bytes).map_err(|_cause| Skip::MalformedNetwork)?;
    let payload = slice.payload();
    if payload.fragmented && fragment_offset(&slice) != 0 {
        return Err(Skip::Fragment);
    }
    if stopped.is_some() {
        return Err(Skip::MalformedNetwork);
    }
    let header = slice.header();
    let announced = u32::from(header.payload_length());
    let has_length = announced != 0;
    let total = if has_length {
        announced.saturating_add(len(header.slice().len()))
    } else {
        len(bytes.len()).saturating_add(beyond)
    };
    let headers = header.slice().len() + slice.extensions().slice().len();
    transport::parse(&Carried {
        source: IpAddr::V6(header.source_addr()),
        destination: IpAddr::V6(header.destination_addr()),
        bytes: total,
        protocol: payload.ip_number.0,
        payload: payload.payload,
        payload_bytes: total.saturating_sub(len(headers)),
        truncated: payload.incomplete || (!has_length && beyond > 0),
    })
}

fn fragment_offset(slice: &LaxIpv6Slice<'_>) -> u16 {
    slice
        .extensions()
        .clone()
        .into_iter()
        .find_map(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment.fragment_offset().value()),
            Ipv6ExtensionSlice::HopByHop(_)
            | Ipv6ExtensionSlice::Routing(_)
            | Ipv6ExtensionSlice::DestinationOptions(_)
            | Ipv6ExtensionSlice::Authentication(_) => None,
        })
        .unwrap_or_default()
}

/// The packet that an ICMP error quotes: its IP header and at least the ports.
pub(super) fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let (slice, _) = LaxIpv4Slice::from_slice(bytes).ok()?;
            let header = slice.header();
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), slice.payload().ip_number.0, slice.payload().payload)
        }
        6 => {
            let (slice, _) = LaxIpv6Slice::from_slice(bytes).ok()?;
            let header = slice.header();
            let (source, destination) = (header.source_addr(), header.destination_addr());
            (source.into(), destination.into(), slice.payload().ip_number.0, slice.payload().payload)
        }
        _ => return None,
    };
    let [a, b, c, d, ..] = *payload else { return None };
    let ports = if transport::is_icmp(protocol) {
        Ports { source: a.into(), destination: b.into() }
    } else {
        Ports { source: u16::from_be_bytes([a, b]), destination: u16::from_be_bytes([c, d]) }
    };
    Some(Quoted { source, destination, protocol, ports })
}

fn len(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
