//! Where the addresses of a frame are, and how they change with their checksums (RFC 1624).

/// How an IPv4 address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Stays: broadcast, multicast, unspecified, loopback, or the public peer of a private address.
    None,
    /// Goes to 10.0.0.0/8 with its middle 16 bits masked.
    Private,
    /// Its middle 16 bits are masked.
    Public,
}

/// An address in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    V4(usize, Change),
    /// The fourth group of an IPv6 address, which is masked.
    V6(usize),
}

/// What changes in a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    addresses: Vec<Place>,
    /// Of the IPv4 header.
    header: Option<usize>,
    /// Of the transport (TCP, UDP, ICMP for IPv6), and whether zero means that there is none.
    transport: Option<(usize, bool)>,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// A ones' complement checksum after a 16-bit word has changed.
fn updated(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded & 0xffff).unwrap_or_default()
}

impl Fields {
    /// Finds them; a frame that is not IP has none.
    pub(super) fn find(frame: &[u8]) -> Self {
        let mut at = 12;
        let mut kind = word(frame, at);
        while matches!(kind, Some(0x8100 | 0x88a8 | 0x9100)) {
            at += 4;
            kind = word(frame, at);
        }
        match kind {
            Some(0x0800) => Self::ipv4(frame, at + 2).unwrap_or_default(),
            Some(0x86dd) => Self::ipv6(frame, at + 2).unwrap_or_default(),
            Some(_) | None => Self::default(),
        }
    }

    fn ipv4(frame: &[u8], at: usize) -> Option<Self> {
        let first = frame.get(at..at + 20)?.first()?;
        let header = usize::from(first & 15) * 4;
        if first >> 4 != 4 || header < 20 {
            return None;
        }
        let change = |place: usize| {
            let [a, b, ..] = *frame.get(place..)?.first_chunk::<4>()?;
            let is_private = a == 10 || (a == 192 && b == 168) || (a == 172 && (16..32).contains(&b));
            Some(match a {
                _ if is_private => Change::Private,
                0 | 127 | 224.. => Change::None,
                _ => Change::Public,
            })
        };
        let mut ends = [change(at + 12)?, change(at + 16)?];
        if ends.contains(&Change::Private) {
            for end in ends.iter_mut().filter(|end| **end == Change::Public) {
                *end = Change::None;
            }
        }
        let is_later_fragment = word(frame, at + 6)? & 0x1fff != 0;
        let payload = at + header;
        let transport = match frame.get(at + 9) {
            _ if is_later_fragment => None,
            Some(6) => Some((payload + 16, false)),
            Some(17) if word(frame, payload + 6) != Some(0) => Some((payload + 6, true)),
            Some(_) | None => None,
        };
        Some(Self {
            addresses: vec![Place::V4(at + 12, ends[0]), Place::V4(at + 16, ends[1])],
            header: Some(at + 10),
            transport: transport.filter(|(place, _)| place + 2 <= frame.len()),
        })
    }

    fn ipv6(frame: &[u8], at: usize) -> Option<Self> {
        let header = frame.get(at..at + 40)?;
        let is_unicast = |from: usize| {
            let address = header.get(from..from + 16).unwrap_or_default();
            address.first() != Some(&0xff) && address.iter().any(|byte| *byte != 0)
        };
        let addresses =
            [8, 24].into_iter().filter(|from| is_unicast(*from)).map(|from| Place::V6(at + from + 6));
        let addresses = addresses.collect();
        let (mut next, mut payload, mut is_later_fragment) = (*header.get(6)?, at + 40, false);
        while matches!(next, 0 | 43 | 44 | 60) {
            let Some(extension) = frame.get(payload..payload + 8) else { break };
            let length = if next == 44 { 8 } else { 8 + usize::from(*extension.get(1)?) * 8 };
            is_later_fragment |= next == 44 && word(extension, 2)? & 0xfff8 != 0;
            next = *extension.first()?;
            payload += length;
        }
        let transport = match next {
            _ if is_later_fragment => None,
            6 => Some((payload + 16, false)),
            17 => Some((payload + 6, true)),
            58 => Some((payload + 2, false)),
            _ => None,
        };
        let transport = transport.filter(|(place, _)| place + 2 <= frame.len());
        Some(Self { addresses, header: None, transport })
    }

    /// Changes the addresses by a mask, and the checksums with them.
    pub(super) fn translate(&self, frame: &mut [u8], mask: u16) {
        for place in &self.addresses {
            match place {
                Place::V4(_, Change::None) => {}
                Place::V4(at, change) => {
                    let (Some(high), Some(low)) = (word(frame, *at), word(frame, at + 2)) else { continue };
                    let network = if *change == Change::Private { 10 << 8 } else { high & 0xff00 };
                    self.replace(frame, *at, network | ((high & 0xff) ^ (mask >> 8)));
                    self.replace(frame, at + 2, low ^ ((mask & 0xff) << 8));
                }
                Place::V6(at) => {
                    if let Some(group) = word(frame, *at) {
                        self.replace(frame, *at, group ^ mask);
                    }
                }
            }
        }
    }

    fn replace(&self, frame: &mut [u8], at: usize, new: u16) {
        let Some(old) = word(frame, at) else { return };
        set(frame, at, new);
        if let Some(checksum) = self.header.and_then(|place| word(frame, place)) {
            set(frame, self.header.unwrap_or_default(), updated(checksum, old, new));
        }
        if let Some((place, zero_is_none)) = self.transport
            && let Some(checksum) = word(frame, place)
        {
            let checksum = updated(checksum, old, new);
            set(frame, place, if zero_is_none && checksum == 0 { 0xffff } else { checksum });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use pnet::packet::Packet as _;
    use pnet::packet::ipv4::{self, Ipv4Packet};
    use pnet::packet::ipv6::Ipv6Packet;
    use pnet::packet::{tcp, udp};

    use super::*;
    use crate::pcaps::craft::{self, Segment, TcpFlags, end, v4};

    fn segment(from: IpAddr, to: IpAddr) -> Vec<u8> {
        let (from, to) = (end(from, 40_000), end(to, 80));
        craft::tcp(
            &Segment { from, to, seq: 1, ack: 2, flags: TcpFlags::ACK, window: 9, payload: b"hello!!" },
            7,
        )
    }

    #[test]
    fn ipv4_addresses_move_and_checksums_stay_right() {
        for (from, to, mask, expect) in [
            (v4([192, 168, 1, 2]), v4([203, 0, 113, 9]), 0x1234_u16, ("10.186.53.2", "203.0.113.9")),
            (v4([203, 0, 113, 9]), v4([10, 1, 2, 3]), 0xffff, ("203.0.113.9", "10.254.253.3")),
            (v4([203, 0, 113, 9]), v4([198, 51, 100, 1]), 0x0101, ("203.1.112.9", "198.50.101.1")),
            (v4([10, 0, 0, 1]), v4([224, 0, 0, 251]), 1, ("10.0.1.1", "224.0.0.251")),
        ] {
            let mut frame = segment(from, to);
            Fields::find(&frame).translate(&mut frame, mask);
            let ip = Ipv4Packet::new(&frame[14..]).unwrap();
            assert_eq!(
                (ip.get_source().to_string(), ip.get_destination().to_string()),
                (expect.0.into(), expect.1.into())
            );
            assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
            let tcp = tcp::TcpPacket::new(ip.payload()).unwrap();
            assert_eq!(tcp.get_checksum(), tcp::ipv4_checksum(&tcp, &ip.get_source(), &ip.get_destination()));
        }
    }

    #[test]
    fn ipv6_too_and_a_wrong_checksum_stays_wrong() {
        let (from, to): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let mut frame = craft::udp(end(from, 1), end(to, 2), 0, b"data");
        Fields::find(&frame).translate(&mut frame, 0xabcd);
        let ip = Ipv6Packet::new(&frame[14..]).unwrap();
        assert_eq!(ip.get_source().to_string(), "2001:db8:0:abcd::1");
        let datagram = udp::UdpPacket::new(ip.payload()).unwrap();
        let right = udp::ipv6_checksum(&datagram, &ip.get_source(), &ip.get_destination());
        assert_eq!(datagram.get_checksum(), right);
        let mut wrong = craft::udp(end(from, 1), end(to, 2), 0, b"data");
        wrong[14 + 40 + 6] ^= 0x40;
        Fields::find(&wrong).translate(&mut wrong, 0xabcd);
        assert_ne!(wrong[14 + 40 + 6..][..2], frame[14 + 40 + 6..][..2]);
    }

    #[test]
    fn cut_and_strange_frames_are_left_as_they_are() {
        let frame = segment(v4([192, 168, 1, 2]), v4([10, 0, 0, 2]));
        for length in 0..frame.len() {
            let mut cut = frame[..length].to_vec();
            Fields::find(&cut).translate(&mut cut, 0xffff);
            assert_eq!(cut.len(), length);
        }
        let mut arp = craft::arp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), None);
        let before = arp.clone();
        Fields::find(&arp).translate(&mut arp, 0xffff);
        assert_eq!(arp, before);
    }
}
