//! Blocks of pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, and packets in their three forms.
//!
//! Own, since a hostile block of 16 MiB of empty options must not become a list of four million, and since packets are
//! borrowed from where they lie. Options of packets are not read.

use sekimori_wire::time::Timestamp;

use super::reader::Packet;

/// Interfaces that one section may describe; each costs a few bytes here.
const INTERFACES_MAX: usize = 65_536;

/// The type of a section header block: the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// What a section says of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    link: u32,
    /// Most bytes of a packet that are captured; 0 for all.
    snap_len: u32,
    ticks_per_second: u128,
    offset_seconds: i64,
}

/// What a block was.
pub(super) enum Block {
    Packet(Packet),
    Other,
}

const CONTRADICTS: &str = "a block that contradicts itself";
const UNKNOWN_INTERFACE: &str = "a packet of an interface that was not described";

/// Reads a whole block. `before` is the time of the packet before it.
pub(super) fn block(
    block: &[u8],
    big_endian: bool,
    interfaces: &mut Vec<Interface>,
    before: Timestamp,
) -> Result<Block, &'static str> {
    let end = block.len().saturating_sub(4);
    if u32_at(block, end, big_endian) != u32_at(block, 4, big_endian) {
        return Err(CONTRADICTS);
    }
    let packet = match u32_at(block, 0, big_endian) {
        _ if block.starts_with(&SECTION_HEADER) => {
            if block.len() < 28 {
                return Err(CONTRADICTS);
            }
            if u16_at(block, 12, big_endian) != 1 {
                return Err("a section of a pcapng version other than 1");
            }
            return Ok(Block::Other);
        }
        INTERFACE_DESCRIPTION => {
            if interfaces.len() >= INTERFACES_MAX {
                return Err("more interfaces than a section may have");
            }
            interfaces.push(Interface::read(block, big_endian)?);
            return Ok(Block::Other);
        }
        ENHANCED_PACKET => timed(block, u32_at(block, 8, big_endian), big_endian, interfaces),
        OBSOLETE_PACKET => timed(block, u16_at(block, 8, big_endian).into(), big_endian, interfaces),
        SIMPLE_PACKET => {
            let interface = interfaces.first().ok_or(UNKNOWN_INTERFACE)?;
            let wire_len = u32_at(block, 8, big_endian);
            let snap_len = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
            let most = end.checked_sub(12).ok_or(CONTRADICTS)?;
            let len = usize::try_from(wire_len.min(snap_len)).unwrap_or(usize::MAX).min(most);
            // It carries no time: it happened after the packet before it.
            Ok(Packet { at: before, link: interface.link, start: 12, end: 12 + len, wire_len })
        }
        _ => return Ok(Block::Other),
    };
    packet.map(Block::Packet)
}

/// A packet with a time: enhanced, or of the obsolete form, which differ in the interface's number alone.
fn timed(
    block: &[u8],
    interface: u32,
    big_endian: bool,
    interfaces: &[Interface],
) -> Result<Packet, &'static str> {
    let captured = u32_at(block, 20, big_endian);
    let end = usize::try_from(captured).unwrap_or(usize::MAX).saturating_add(28);
    if end > block.len().saturating_sub(4) {
        return Err(CONTRADICTS);
    }
    let interface = usize::try_from(interface).ok().and_then(|idx| interfaces.get(idx));
    let interface = interface.ok_or(UNKNOWN_INTERFACE)?;
    let ticks = u64::from(u32_at(block, 12, big_endian)) << 32 | u64::from(u32_at(block, 16, big_endian));
    let wire_len = u32_at(block, 24, big_endian).max(captured);
    Ok(Packet { at: interface.time(ticks), link: interface.link, start: 28, end, wire_len })
}

impl Interface {
    /// An interface description block. Options that break their rules end the options.
    fn read(block: &[u8], big_endian: bool) -> Result<Self, &'static str> {
        let options = block.get(16..block.len().saturating_sub(4)).ok_or(CONTRADICTS)?;
        let link = u16_at(block, 8, big_endian).into();
        let mut interface = Self {
            link,
            snap_len: u32_at(block, 12, big_endian),
            ticks_per_second: 1_000_000,
            offset_seconds: 0,
        };
        let mut rest = options;
        while rest.len() >= 4 {
            let (code, len) = (u16_at(rest, 0, big_endian), usize::from(u16_at(rest, 2, big_endian)));
            let Some(value) = rest.get(4..4 + len) else { break };
            match (code, value) {
                (OPTION_END, _) => break,
                (OPTION_TSRESOL, [resolution]) => {
                    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    let ticks = base.checked_pow(u32::from(resolution & 0x7f));
                    interface.ticks_per_second = ticks.unwrap_or(u128::MAX);
                }
                (OPTION_TSOFFSET, value) => {
                    if let Ok(value) = <[u8; 8]>::try_from(value) {
                        let decode = if big_endian { i64::from_be_bytes } else { i64::from_le_bytes };
                        interface.offset_seconds = decode(value);
                    }
                }
                _ => {}
            }
            rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(interface)
    }

    /// Nanoseconds since 1970 of a packet's ticks; what lies outside of 1970 to 2554 is set to the nearer end.
    fn time(self, ticks: u64) -> Timestamp {
        const NANOS: u64 = 1_000_000_000;
        let nanos = match (self.ticks_per_second, self.offset_seconds) {
            // By far the most.
            (1_000_000, 0) => ticks.saturating_mul(1_000),
            (1_000_000_000, 0) => ticks,
            (per_second, offset) => {
                let nanos = u128::from(ticks) * u128::from(NANOS) / per_second;
                let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
                let nanos = nanos.saturating_add(i128::from(offset) * i128::from(NANOS));
                u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
            }
        };
        Timestamp::from_nanos(nanos)
    }
}

/// Zero beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

fn u16_at(bytes: &[u8], at: usize, big_endian: bool) -> u16 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_parser::pcapng::Block as Theirs;
    use pcap_parser::traits::PcapNGPacketBlock as _;
    use pcap_parser::{parse_block_be, parse_block_le};
    use proptest::prelude::*;

    /// The same block by pcap-parser: interface, length and wire length of a packet.
    fn theirs(block: &[u8], big_endian: bool) -> Option<(u32, usize, u32)> {
        let parsed = if big_endian { parse_block_be(block) } else { parse_block_le(block) };
        let Theirs::EnhancedPacket(packet) = parsed.ok()?.1 else { return None };
        Some((packet.if_id, packet.packet_data().len(), packet.origlen))
    }

    proptest! {
        #[test]
        fn packets_are_those_of_pcap_parser(
            big_endian: bool, id in 0_u32..3, captured in 0_u32..40, wire in 0_u32..40,
            data in prop::collection::vec(any::<u8>(), 0..48),
        ) {
            let put = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            let body = data.len() / 4 * 4;
            let length = u32::try_from(body + 32).unwrap();
            let mut bytes = [6, length, id, 0, 7, captured, wire].map(put).concat();
            bytes.extend_from_slice(&data[..body]);
            bytes.extend(put(length));
            let mut interfaces =
                vec![Interface { link: 1, snap_len: 0, ticks_per_second: 1_000_000, offset_seconds: 0 }; 2];
            let ours = match block(&bytes, big_endian, &mut interfaces, Timestamp::ZERO) {
                Ok(Block::Packet(packet)) => Some((packet.end - packet.start, packet.wire_len)),
                Ok(Block::Other) | Err(_) => None,
            };
            let theirs = theirs(&bytes, big_endian)
                .filter(|(id, ..)| *id < 2)
                .map(|(_id, len, wire)| (len, wire.max(u32::try_from(len).unwrap())));
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn no_bytes_panic(big_endian: bool, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut interfaces = Vec::new();
            for kind in 0_u8..8 {
                let mut bytes = bytes.clone();
                if let Some(first) = bytes.get_mut(if big_endian { 3 } else { 0 }) {
                    *first = kind;
                }
                let len = bytes.len().to_le_bytes();
                for at in [4, bytes.len().saturating_sub(4)] {
                    if let Some(place) = bytes.get_mut(at..at + 4) {
                        place.copy_from_slice(&len[..4]);
                    }
                }
                if let Ok(Block::Packet(packet)) = block(&bytes, big_endian, &mut interfaces, Timestamp::ZERO) {
                    prop_assert!(packet.start <= packet.end && packet.end <= bytes.len());
                }
            }
        }
    }
}
