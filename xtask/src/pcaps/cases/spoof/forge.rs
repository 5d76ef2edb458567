//! Frames that claim to come from somebody else, and DHCP.

use std::net::{IpAddr, Ipv4Addr};

use super::super::super::capture::Capture;
use super::super::super::craft::{self, End, end, v4};

/// Six bytes of an Ethernet address.
pub(super) type Mac = [u8; 6];

/// Everybody.
pub(super) const ALL: Mac = [0xff; 6];

/// The address at which the crafted frames have a host.
pub(super) fn mac(ip: IpAddr) -> Mac {
    craft::mac(ip).octets()
}

/// An ARP packet: `operation` 1 asks, 2 answers.
pub(super) fn arp(operation: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let told = if operation == 2 { target.0 } else { [0; 6] };
    let mut frame = [&target.0[..], &sender.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
    for bytes in [&sender.0[..], &sender.1.octets(), &told, &target.1.octets()] {
        frame.extend_from_slice(bytes);
    }
    frame.resize(60, 0);
    frame
}

/// The same frame between other Ethernet addresses.
pub(super) fn between(from: Mac, to: Mac, frame: &[u8]) -> Vec<u8> {
    [&to[..], &from, frame.get(12..).unwrap_or_default()].concat()
}

/// The same frame on a VLAN.
pub(super) fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at_checked(12).unwrap_or_default();
    [addresses, &[0x81, 0], &vlan.to_be_bytes(), rest].concat()
}

/// What a DHCP server gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) own: [u8; 4],
    pub(super) router: [u8; 4],
    pub(super) dns: [u8; 4],
    pub(super) lease: u32,
}

fn message(operation: u8, id: u32, (client, given): (Mac, [u8; 4]), options: &[u8]) -> Vec<u8> {
    let mut bytes =
        [&[operation, 1, 6, 0][..], &id.to_be_bytes(), &[0; 8], &given, &[0; 8], &client].concat();
    bytes.resize(236, 0);
    [&bytes[..], &[99, 130, 83, 99], options, &[255]].concat()
}

/// A discovery (1) or a request (3) of `client`, sent by `from`.
pub(super) fn ask(c: &mut Capture, at: u64, (kind, id): (u8, u32), (from, client): (Mac, Mac), name: &str) {
    let mut options = vec![53, 1, kind];
    if let Ok(length @ 1..) = u8::try_from(name.len()) {
        options.extend([12, length]);
        options.extend_from_slice(name.as_bytes());
    }
    let bytes = message(1, id, (client, [0; 4]), &options);
    let frame = craft::udp(end(v4([0; 4]), 68), end(v4([255; 4]), 67), 1, &bytes);
    c.push(at, between(from, ALL, &frame));
}

/// An offer (2) or acknowledgement (5).
pub(super) fn give(
    c: &mut Capture,
    at: u64,
    (kind, id): (u8, u32),
    (client, given): (Mac, [u8; 4]),
    server: Server,
) {
    let mut options = vec![53, 1, kind, 54, 4];
    options.extend(server.own);
    options.extend([51, 4]);
    options.extend(server.lease.to_be_bytes());
    options.extend([1, 4, 255, 255, 255, 0, 3, 4]);
    options.extend(server.router);
    options.extend([6, 4]);
    options.extend(server.dns);
    let bytes = message(2, id, (client, given), &options);
    let frame = craft::udp(end(v4(server.own), 67), end(v4([255; 4]), 68), 1, &bytes);
    c.push(at, between(mac(v4(server.own)), ALL, &frame));
}

/// A TCP segment with data, as if `from` had sent it.
pub(super) fn data(from: End, to: End, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let flags = craft::TcpFlags::PSH_ACK;
    craft::tcp(&craft::Segment { from, to, seq, ack, flags, window: 64_240, payload }, 1)
}
