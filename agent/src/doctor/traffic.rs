//! What a short look at the traffic says: whether both directions are seen, which VLANs there are, whether frames were merged.
//! Pure: it is told the frames.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::segment::{Policy, Segment};

/// Pairs of addresses that are remembered; later ones are left out.
const PAIRS_MAX: usize = 4096;
/// A connection of which so many segments went one way and none the other is seen on one side only.
const ONE_SIDED: u32 = 5;
/// So many to each that is seen whole: a few may have one direction elsewhere (asymmetric routes).
const MOSTLY: usize = 4;
/// Too few packets say nothing about networks.
const PACKETS_MIN: u64 = 20;
/// Link header and two VLAN tags.
const HEADERS: u32 = 14 + 8;

const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const SYN_OR_RST: u8 = 2 | 4;
const ACK: u8 = 16;

/// What was seen on one interface.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) frames: u64,
    /// Longer than the interface can carry.
    pub(super) merged: u64,
    /// Of a VLAN, or of none.
    pub(super) vlans: BTreeMap<Option<u16>, u64>,
    packets: u64,
    /// Of a configured segment.
    placed: u64,
    /// Segments of connections that stand, from the lower address and from the higher.
    pairs: BTreeMap<(IpAddr, IpAddr), [u32; 2]>,
}

/// How much of the connections is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sides {
    pub(super) one: usize,
    pub(super) both: usize,
}

impl Sides {
    /// A mirror port that shows one half.
    pub(super) const fn is_half(self) -> bool {
        self.one > self.both * MOSTLY
    }
}

impl Seen {
    /// Takes a frame in.
    pub(super) fn note(&mut self, frame: &Frame<'_>, mtu: u32, policy: &Policy) {
        self.frames += 1;
        self.merged += u64::from(frame.wire_len > mtu.saturating_add(HEADERS));
        let (vlan, packet) = inside(frame);
        *self.vlans.entry(vlan).or_default() += 1;
        let Some(packet) = packet else { return };
        self.packets += 1;
        // The last two are what is left for addresses that no segment names.
        let is_placed = |address| {
            let segment = policy.place(address, vlan).segment;
            segment.is_some_and(|segment| !matches!(segment, Segment::Wan | Segment::Unknown))
        };
        self.placed += u64::from(is_placed(packet.from) || is_placed(packet.to));
        if packet.is_standing {
            let (pair, way) = if packet.from <= packet.to {
                ((packet.from, packet.to), 0)
            } else {
                ((packet.to, packet.from), 1)
            };
            if self.pairs.len() < PAIRS_MAX || self.pairs.contains_key(&pair) {
                let counts = self.pairs.entry(pair).or_default();
                if let Some(count) = counts.get_mut(way) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    pub(super) fn sides(&self) -> Sides {
        let both = self.pairs.values().filter(|ways| ways.iter().all(|count| *count > 0)).count();
        let is_one = |ways: &&[u32; 2]| ways.contains(&0) && ways.iter().any(|count| *count >= ONE_SIDED);
        Sides { one: self.pairs.values().filter(is_one).count(), both }
    }

    /// Enough packets, and none of them of a configured segment.
    pub(super) const fn is_elsewhere(&self) -> bool {
        self.packets >= PACKETS_MIN && self.placed == 0
    }
}

struct Packet {
    from: IpAddr,
    to: IpAddr,
    /// Of a TCP connection that is open: scans and refusals are one-sided by nature.
    is_standing: bool,
}

/// The outermost VLAN, and the packet if it is one of IP. What tunnels carry is of no interest here.
fn inside(frame: &Frame<'_>) -> (Option<u16>, Option<Packet>) {
    if frame.link != LinkType::Ethernet {
        return (frame.vlan, None);
    }
    let mut vlan = frame.vlan;
    let Some((header, mut rest)) = frame.bytes.split_first_chunk::<ETHERNET_HEADER>() else {
        return (vlan, None);
    };
    let [.., high, low] = *header;
    let mut kind = u16::from_be_bytes([high, low]);
    // 802.1Q, and 802.1ad before it.
    while matches!(kind, 0x8100 | 0x88a8) {
        let Some(([tag_high, tag_low, high, low], after)) = rest.split_first_chunk() else {
            return (vlan, None);
        };
        // Tag 0 gives a priority and names no VLAN.
        let tag = u16::from_be_bytes([*tag_high, *tag_low]) & 0xfff;
        vlan = vlan.or_else(|| (tag != 0).then_some(tag));
        kind = u16::from_be_bytes([*high, *low]);
        rest = after;
    }
    let packet = match kind {
        0x0800 => v4(rest),
        0x86dd => v6(rest),
        _ => None,
    };
    (vlan, packet)
}

fn v4(bytes: &[u8]) -> Option<Packet> {
    let address = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets));
    let header = usize::from(bytes.first()? & 0xf) * 4;
    let is_standing = *bytes.get(9)? == TCP && is_standing(bytes.get(header..)?);
    Some(Packet { from: address(12)?, to: address(16)?, is_standing })
}

fn v6(bytes: &[u8]) -> Option<Packet> {
    let address = |at: usize| bytes.get(at..)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
    let is_standing = *bytes.get(6)? == TCP && is_standing(bytes.get(40..)?);
    Some(Packet { from: address(8)?, to: address(24)?, is_standing })
}

fn is_standing(tcp: &[u8]) -> bool {
    tcp.get(13).is_some_and(|flags| flags & (ACK | SYN_OR_RST) == ACK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekimori_sensor::segment::PolicyFile;
    use sekimori_wire::time::Timestamp;

    fn policy(toml: &str) -> Policy {
        Policy::from_file(toml::from_str::<PolicyFile>(toml).unwrap()).unwrap()
    }

    fn segment(from: [u8; 4], to: [u8; 4], flags: u8, vlan: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        if let Some(vlan) = vlan {
            bytes.extend([0x81, 0]);
            bytes.extend(vlan.to_be_bytes());
        }
        bytes.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0]);
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend([0; 13]);
        bytes.push(flags);
        bytes.extend([0; 6]);
        bytes
    }

    fn note(seen: &mut Seen, bytes: &[u8], policy: &Policy) {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let frame = Frame { at: Timestamp::ZERO, link: LinkType::Ethernet, bytes, wire_len, vlan: None };
        seen.note(&frame, 1500, policy);
    }

    const A: [u8; 4] = [10, 0, 2, 1];
    const B: [u8; 4] = [198, 51, 100, 2];

    #[test]
    fn half_of_a_connection_is_told_from_a_whole_one_and_from_a_scan() {
        let policy = Policy::default_private();
        let mut seen = Seen::default();
        (0..ONE_SIDED).for_each(|_| note(&mut seen, &segment(A, B, ACK, None), &policy));
        assert!(seen.sides().is_half(), "{seen:?}");
        note(&mut seen, &segment(B, A, ACK, None), &policy);
        assert_eq!(seen.sides(), Sides { one: 0, both: 1 });
        let mut scanned = Seen::default();
        (0..99).for_each(|_| note(&mut scanned, &segment(A, B, 2, None), &policy));
        assert_eq!(scanned.sides(), Sides { one: 0, both: 0 });
    }

    #[test]
    fn tags_and_places_are_read_and_nothing_short_is() {
        let policy = policy("[[segment]]\nname = \"lgwan\"\nvlan = [30]\n");
        let mut seen = Seen::default();
        (0..PACKETS_MIN).for_each(|_| note(&mut seen, &segment(A, B, ACK, Some(100)), &policy));
        assert!(seen.is_elsewhere());
        note(&mut seen, &segment(A, B, ACK, Some(30)), &policy);
        assert!(!seen.is_elsewhere());
        assert_eq!(seen.vlans.into_iter().collect::<Vec<_>>(), [(Some(30), 1), (Some(100), PACKETS_MIN)]);
        let whole = segment(A, B, ACK, Some(30));
        for length in 0..whole.len() {
            note(&mut Seen::default(), &whole[..length], &policy);
        }
    }

    #[test]
    fn what_is_longer_than_the_wire_carries_was_merged() {
        let policy = Policy::default_private();
        let mut seen = Seen::default();
        let bytes = segment(A, B, ACK, None);
        for wire_len in [1514, 1522, 1523, 65_000] {
            let frame =
                Frame { at: Timestamp::ZERO, link: LinkType::Ethernet, bytes: &bytes, wire_len, vlan: None };
            seen.note(&frame, 1500, &policy);
        }
        assert_eq!((seen.frames, seen.merged), (4, 2));
    }
}
