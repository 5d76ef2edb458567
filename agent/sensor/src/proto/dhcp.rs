//! DHCP (RFC 2131, RFC 2132); DHCP for IPv6 (RFC 8415) is recognised.

use core::net::Ipv4Addr;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::counters::Counter;
use crate::event::{Application, DhcpMessage};

/// RFC 2131, 3.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes before the cookie.
const HEADER: usize = 236;
/// Options of a message that are looked at.
const OPTIONS_MAX: usize = 128;
/// Addresses of one option that are kept.
const ADDRESSES_MAX: usize = 16;
/// Relays that a message may have passed (RFC 1542, 4.1.1).
const HOPS_MAX: u8 = 16;
/// Ports of DHCP for IPv6 (RFC 8415, 7.2).
const PORTS_V6: [u16; 2] = [546, 547];

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] = &[
    Recogniser { application: Application::Dhcp, probe, begin: |_hint| Session::from(Parser) },
    Recogniser { application: Application::Dhcpv6, probe: probe_v6, begin: |_hint| Session::Opaque },
];

/// State of a flow: each datagram stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Parser;

fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let plausible = matches!(bytes, [1 | 2, _, hardware, hops, ..] if *hardware <= 16 && *hops <= HOPS_MAX);
    (plausible && bytes.get(HEADER..HEADER + COOKIE.len()) == Some(&COOKIE)).into()
}

/// A message of a known type whose first option fits (RFC 8415, 8 and 9).
fn probe_v6(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let mut reader = Reader(bytes);
    let options = match reader.u8() {
        Some(1..=11) => reader.take(3),
        Some(12 | 13) => reader.take(33),
        Some(_) | None => None,
    };
    let first = options.and_then(|_| Some((reader.u16()?, reader.vec16()?)));
    (hint.on_port(&PORTS_V6) && first.is_some()).into()
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        let Some(mut message) = header(bytes) else { return sink.counters.count(Counter::ProtoMalformed) };
        message.from_originator = side == Side::Originator;
        match bytes.get(HEADER..).and_then(|rest| rest.strip_prefix(&COOKIE)) {
            Some(rest) => {
                if options(rest, &mut message).is_none() {
                    sink.counters.count(Counter::ProtoMalformed);
                    sink.anomaly(Application::Dhcp, side, "malformed_options");
                }
            }
            None => sink.counters.count(Counter::ProtoMalformed),
        }
        sink.transaction(message);
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// The fields before the options (RFC 2131, 2).
fn header(bytes: &[u8]) -> Option<DhcpMessage> {
    let mut reader = Reader(bytes);
    let is_reply = match reader.u8()? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let _hardware = reader.take(3)?;
    let id = reader.u32()?;
    let _seconds_and_flags = reader.take(4)?;
    let client_ip = address(reader.take(4)?);
    let assigned_ip = address(reader.take(4)?);
    let next_server_ip = address(reader.take(4)?);
    let relay_ip = address(reader.take(4)?);
    let client_mac = reader.take(6)?.try_into().ok()?;
    Some(DhcpMessage {
        is_reply,
        id,
        client_ip,
        assigned_ip,
        next_server_ip,
        relay_ip,
        client_mac,
        ..DhcpMessage::default()
    })
}

/// Reads options up to their end; none if one is cut.
fn options(bytes: &[u8], message: &mut DhcpMessage) -> Option<()> {
    let mut codes = Vec::with_capacity(16);
    let whole = each_option(bytes, |code, value| {
        codes.push(code);
        option(code, value, message);
    });
    message.options = codes.into();
    whole
}

fn each_option(bytes: &[u8], mut take: impl FnMut(u8, &[u8])) -> Option<()> {
    let mut reader = Reader(bytes);
    for _ in 0..OPTIONS_MAX {
        match reader.u8() {
            // Padding has no length.
            Some(0) => {}
            Some(255) | None => return Some(()),
            Some(code) => take(code, reader.vec8()?.0),
        }
    }
    Some(())
}

fn option(code: u8, value: &[u8], message: &mut DhcpMessage) {
    let bytes = || Some(Box::from(value));
    let seconds = || value.first_chunk().map(|seconds| u32::from_be_bytes(*seconds));
    match code {
        1 => message.subnet_mask = address(value),
        3 => message.routers = addresses(value),
        6 => message.dns_servers = addresses(value),
        12 => message.host_name = bytes(),
        15 => message.domain = bytes(),
        50 => message.requested_ip = address(value),
        51 => message.lease_time = seconds(),
        53 => message.kind = value.first().copied(),
        54 => message.server_id = address(value),
        55 => message.params = value.into(),
        58 => message.renewal_time = seconds(),
        59 => message.rebinding_time = seconds(),
        60 => message.vendor_class = bytes(),
        61 => message.client_id = bytes(),
        // Flags and two obsolete response codes stand before the name (RFC 4702, 2).
        81 => message.client_fqdn = value.get(3..).map(Box::from),
        _ => {}
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk().map(|address: &[u8; 4]| Ipv4Addr::from(*address))
}

fn addresses(bytes: &[u8]) -> Vec<Ipv4Addr> {
    bytes.as_chunks().0.iter().take(ADDRESSES_MAX).map(|address: &[u8; 4]| Ipv4Addr::from(*address)).collect()
}

#[cfg(test)]
mod tests;
