//! Frames as they were on the wire: what a sender's network card still had to cut is cut.

use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::tcp::{self, MutableTcpPacket};
use pnet::packet::{MutablePacket as _, Packet as _};

use super::Frame;

/// Data of a segment with the time stamp option on Ethernet.
const SEGMENT: usize = 1_448;
const ETHERNET: usize = 14;

/// The frame itself, the segments of a TCP super-frame, or nothing for what no wire carries.
pub(super) fn as_on_the_wire(frame: Frame, most: usize) -> Vec<Frame> {
    let longest = frame.bytes.len().max(usize::try_from(frame.wire_len).unwrap_or(usize::MAX));
    if longest <= 1_514 {
        return vec![frame];
    }
    let is_whole = frame.bytes.len() == longest;
    let parts = if is_whole { split(&frame.bytes) } else { None };
    match parts {
        Some(parts) => parts
            .into_iter()
            .map(|bytes| Frame {
                at: frame.at,
                wire_len: u32::try_from(bytes.len()).unwrap_or_default(),
                bytes,
            })
            .collect(),
        None if longest <= most => vec![frame],
        None => Vec::new(),
    }
}

/// The segments of a super-frame of TCP over IPv4 without VLAN tag; the captures have hardly any other.
fn split(frame: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (link, packet) = frame.split_at_checked(ETHERNET)?;
    if link.get(12..) != Some(&[0x08, 0x00]) || packet.get(9) != Some(&6) {
        return None;
    }
    let header = usize::from(packet.first()? & 15) * 4;
    let is_fragment = packet.get(6)? & 0x3f != 0 || *packet.get(7)? != 0;
    let options = usize::from(packet.get(header + 12)? >> 4) * 4;
    let (headers, data) = packet.split_at_checked(header + options)?;
    if header < 20 || options < 20 || is_fragment || data.is_empty() {
        return None;
    }
    let last = data.len().div_ceil(SEGMENT) - 1;
    let part = |(number, data): (usize, &[u8])| {
        let mut bytes = [headers, data].concat();
        let mut ip = MutableIpv4Packet::new(&mut bytes)?;
        ip.set_total_length(u16::try_from(headers.len() + data.len()).ok()?);
        ip.set_identification(ip.get_identification().wrapping_add(u16::try_from(number).ok()?));
        ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
        let (from, to) = (ip.get_source(), ip.get_destination());
        let mut tcp = MutableTcpPacket::new(ip.payload_mut())?;
        tcp.set_sequence(tcp.get_sequence().wrapping_add(u32::try_from(number * SEGMENT).ok()?));
        if number < last {
            // FIN and PSH belong to the end.
            tcp.set_flags(tcp.get_flags() & !(tcp::TcpFlags::FIN | tcp::TcpFlags::PSH));
        }
        tcp.set_checksum(tcp::ipv4_checksum(&tcp.to_immutable(), &from, &to));
        Some([link, ip.packet()].concat())
    };
    data.chunks(SEGMENT).enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcaps::craft::{self, Segment, TcpFlags, end, v4};

    fn frame(payload: &[u8]) -> Frame {
        let (from, to) = (end(v4([10, 0, 0, 1]), 80), end(v4([10, 0, 0, 2]), 40_000));
        let flags = TcpFlags::FIN_ACK;
        let bytes = craft::tcp(&Segment { from, to, seq: u32::MAX, ack: 1, flags, window: 9, payload }, 7);
        Frame { at: 3, wire_len: u32::try_from(bytes.len()).unwrap(), bytes }
    }

    #[test]
    fn a_super_frame_becomes_segments() {
        let payload: Vec<u8> = (0..4_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
        let parts = as_on_the_wire(frame(&payload), 1_522);
        assert_eq!(parts.iter().map(|part| part.bytes.len()).collect::<Vec<_>>(), [1_502, 1_502, 1_158]);
        let data: Vec<u8> = parts.iter().flat_map(|part| part.bytes[54..].to_vec()).collect();
        assert_eq!(data, payload);
        let sequence = |part: &Frame| u32::from_be_bytes(part.bytes[38..42].try_into().unwrap());
        assert_eq!(parts.iter().map(sequence).collect::<Vec<_>>(), [u32::MAX, 1_447, 2_895]);
        let flags: Vec<u8> = parts.iter().map(|part| part.bytes[47]).collect();
        assert_eq!(flags, [0x10, 0x10, 0x11], "FIN only at the end");
        for part in &parts {
            let whole = frame(&part.bytes[54..]);
            assert_eq!(whole.bytes.len(), part.bytes.len());
        }
    }

    #[test]
    fn ordinary_frames_stay_and_impossible_ones_go() {
        let small = frame(b"x");
        assert_eq!(as_on_the_wire(small.clone(), 1_522), [small]);
        let cut = Frame { wire_len: 9_000, ..frame(&[0; 100]) };
        assert!(as_on_the_wire(cut, 1_522).is_empty());
    }
}
