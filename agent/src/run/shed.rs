//! What is left out of one frame at a level of overload, decided from its first bytes alone.

use core::net::IpAddr;

use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::intel::Intel;

use super::overload::Level;

/// Of frames that nothing speaks for, one of so many is looked at, so that long flows stay known.
const ONE_OF: u64 = 16;
/// TCP's SYN, FIN and RST.
const BEGINS_OR_ENDS: u8 = 0b0000_0111;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// How much of a frame is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Whole,
    /// So many bytes: up to the payload.
    Headers(usize),
    No,
}

/// Decides for the frames of one worker.
#[derive(Debug, Default)]
pub(super) struct Shed {
    /// Frames that nothing spoke for.
    others: u64,
    /// Frames whose payload was left out.
    pub(super) payloads: u64,
    /// Frames left out.
    pub(super) frames: u64,
}

impl Shed {
    /// How much of this frame is looked at.
    pub(super) fn admit(&mut self, level: Level, frame: &Frame<'_>, intel: &Intel) -> Admission {
        if level < Level::Headers {
            return Admission::Whole;
        }
        // What is no plain TCP or UDP in IP is rare, or was meant to look so.
        let Some(seen) = Seen::of(frame) else { return Admission::Whole };
        let listed = |address| intel.address(address, frame.at).is_some();
        if seen.is_essential || (!intel.is_empty() && seen.ends.iter().any(|end| listed(*end))) {
            return Admission::Whole;
        }
        if level == Level::Essentials && !seen.begins_or_ends {
            self.others += 1;
            if !self.others.is_multiple_of(ONE_OF) {
                self.frames += 1;
                return Admission::No;
            }
        }
        if seen.payload < frame.bytes.len() {
            self.payloads += 1;
            return Admission::Headers(seen.payload);
        }
        Admission::Whole
    }
}

/// What the first bytes of a frame tell.
struct Seen {
    ends: [IpAddr; 2],
    /// DNS, ICMP, the opening of TLS or HTTP.
    is_essential: bool,
    begins_or_ends: bool,
    /// Where the payload begins.
    payload: usize,
}

impl Seen {
    fn of(frame: &Frame<'_>) -> Option<Self> {
        let at = network(frame)?;
        let ip = frame.bytes.get(at..)?;
        let (protocol, ends, header) = match ip.first()? >> 4 {
            4 => {
                // More follows, or it is not the first.
                let fragment = u16::from_be_bytes([*ip.get(6)?, *ip.get(7)?]) & 0x3fff != 0;
                let end = |at: usize| ip.get(at..)?.first_chunk::<4>().copied().map(IpAddr::from);
                // Whole, or its datagram would never be.
                let protocol = if fragment { return None } else { *ip.get(9)? };
                (protocol, [end(12)?, end(16)?], usize::from(ip.first()? & 0x0f) * 4)
            }
            6 => {
                let end = |at: usize| ip.get(at..)?.first_chunk::<16>().copied().map(IpAddr::from);
                (*ip.get(6)?, [end(8)?, end(24)?], 40)
            }
            _ => return None,
        };
        let segment = ip.get(header..)?;
        let from_start = |len: usize| at + header + len;
        match protocol {
            TCP => {
                let length = usize::from(segment.get(12)? >> 4) * 4;
                let flags = *segment.get(13)?;
                let is_essential = is_dns(segment)? || opens(segment.get(length..)?);
                let begins_or_ends = flags & BEGINS_OR_ENDS != 0;
                Some(Self { ends, is_essential, begins_or_ends, payload: from_start(length) })
            }
            UDP => Some(Self {
                ends,
                is_essential: is_dns(segment)?,
                begins_or_ends: false,
                payload: from_start(8),
            }),
            ICMP | ICMPV6 => {
                Some(Self { ends, is_essential: true, begins_or_ends: false, payload: frame.bytes.len() })
            }
            _ => None,
        }
    }
}

/// Where the IP header of a plain frame begins.
fn network(frame: &Frame<'_>) -> Option<usize> {
    match frame.link {
        LinkType::RawIp => Some(0),
        LinkType::Ethernet => {
            let kind = |at: usize| frame.bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
            [12, 16, 20].into_iter().find_map(|at| match kind(at)? {
                0x0800 | 0x86dd => Some(Some(at + 2)),
                0x8100 | 0x88a8 => None,
                _ => Some(None),
            })?
        }
        LinkType::LinuxSll
        | LinkType::LinuxSll2
        | LinkType::Loopback
        | LinkType::Ppp
        | LinkType::PppWithDirection
        | LinkType::PppEther
        | LinkType::CiscoHdlc
        | LinkType::Wireless
        | LinkType::Radiotap
        | LinkType::PrismOrAvs
        | LinkType::Nflog
        | LinkType::Other(_) => None,
    }
}

/// DNS, its multicast kin and DHCP, by port.
fn is_dns(segment: &[u8]) -> Option<bool> {
    let port = |at: usize| segment.get(at..)?.first_chunk().copied().map(u16::from_be_bytes);
    let is = |port: u16| matches!(port, 53 | 67 | 68 | 137 | 546 | 547 | 5353 | 5355);
    Some(is(port(0)?) || is(port(2)?))
}

/// A TLS `ClientHello` or the start of an HTTP/1 request: what names a server.
fn opens(payload: &[u8]) -> bool {
    matches!(payload, [0x16, 3, _, _, _, 1, ..])
        || [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"CONNECT "]
            .iter()
            .any(|method| payload.starts_with(method))
}

#[cfg(test)]
mod tests {
    use sekimori_wire::time::Timestamp;

    use super::*;

    /// An Ethernet frame with a packet from 10.0.0.1 to 10.0.0.2.
    fn frame(protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend(transport);
        bytes
    }

    fn tcp(port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xc0, 0];
        segment.extend(port.to_be_bytes());
        segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        segment.extend(payload);
        frame(TCP, &segment)
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0xc0, 0];
        datagram.extend(port.to_be_bytes());
        datagram.extend([0, 0, 0, 0]);
        datagram.extend(payload);
        frame(UDP, &datagram)
    }

    fn admitted(level: Level, bytes: &[u8]) -> Admission {
        let frame = Frame {
            at: Timestamp::from_secs(1),
            link: LinkType::Ethernet,
            bytes,
            wire_len: u32::try_from(bytes.len()).unwrap(),
            vlan: None,
        };
        Shed::default().admit(level, &frame, &Intel::default())
    }

    #[test]
    fn dns_connections_and_openings_go_last() {
        let (syn, data, dns) = (tcp(443, 2, b""), tcp(443, 16, b"abc"), udp(53, b"query"));
        let hello = tcp(443, 24, &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
        let (ping, arp) = (frame(ICMP, &[8, 0, 0, 0]), [vec![0; 12], vec![8, 6, 0, 1]].concat());
        for level in [Level::Everything, Level::Outline, Level::Headers, Level::Essentials] {
            for kept in [&syn, &dns, &hello, &ping, &arp] {
                assert_eq!(admitted(level, kept), Admission::Whole, "{level:?} {kept:?}");
            }
        }
        assert_eq!(admitted(Level::Outline, &data), Admission::Whole);
        assert_eq!(admitted(Level::Headers, &data), Admission::Headers(54));
        assert_eq!(admitted(Level::Essentials, &data), Admission::No);
        assert_eq!(admitted(Level::Headers, &udp(4433, b"quic")), Admission::Headers(42));
        assert_eq!(admitted(Level::Essentials, &tcp(443, 17, b"bye")), Admission::Headers(54));
    }

    #[test]
    fn tags_are_looked_through_and_nonsense_is_kept() {
        let mut tagged = tcp(443, 16, b"abc");
        tagged.splice(12..12, [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]);
        assert_eq!(admitted(Level::Essentials, &tagged), Admission::No);
        for cut in 0..54 {
            assert_eq!(admitted(Level::Essentials, &tcp(443, 16, b"")[..cut]), Admission::Whole, "{cut}");
        }
    }

    #[test]
    fn one_of_sixteen_of_the_others_is_looked_at() {
        let (mut shed, data) = (Shed::default(), tcp(443, 16, b"abc"));
        let frame =
            Frame { at: Timestamp::ZERO, link: LinkType::Ethernet, bytes: &data, wire_len: 57, vlan: None };
        let admitted =
            (0..160).filter(|_| shed.admit(Level::Essentials, &frame, &Intel::default()) != Admission::No);
        assert_eq!(admitted.count(), 10);
        assert_eq!((shed.frames, shed.payloads), (150, 10));
    }
}
