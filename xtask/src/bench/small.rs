//! The worst case: small packets, more than half of them a new flow.
//!
//! Of the packets a quarter are SYNs of a scan that are never answered, a tenth SYNs with their RST, two fifths questions
//! to a name server with their answers (random names), and a quarter segments of up to 20 bytes on 100,000 flows that
//! last. Mixed at random in chunks, 200,000 packets a second. The same seed gives the same bytes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::frames::Writer;
use crate::pcaps::capture::Rng;
use crate::pcaps::craft::{self, End, Segment, TcpFlags};

/// Changes when other bytes come out.
pub(super) const VERSION: u32 = 1;
const CHUNK: u64 = 1_000_000;
const BEGIN: u64 = 1_700_000_000 * 1_000_000;
/// Microseconds between two packets.
const STEP: u64 = 5;
/// Flows that last.
const FLOWS: u64 = 100_000;
/// The positions in a chunk are thousandths of a packet.
const FINE: u64 = 1_000;

/// What a packet will be. Both packets of a pair come from the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Scan,
    Syn,
    Refusal,
    Question,
    Answer,
    Segment,
    Reply,
}

/// Writes `packets` of them; how many flows they belong to.
pub(super) fn write(path: &Path, packets: u64, seed: u64) -> anyhow::Result<u64> {
    let mut rng = Rng::named(&format!("small {seed}"));
    let mut out = Writer::create(path)?;
    let (mut scanned, mut flows) = (0, FLOWS.min(packets));
    while out.frames < packets {
        let count = CHUNK.min(packets - out.frames);
        for (_position, kind, seed) in chunk(&mut rng, count, &mut scanned) {
            flows += u64::from(matches!(kind, Kind::Scan | Kind::Syn | Kind::Question));
            let frame = frame(kind, seed);
            out.frame(BEGIN + out.frames * STEP, u32::try_from(frame.len())?, &frame)?;
        }
    }
    out.finish()?;
    Ok(flows)
}

/// Packets in their order, without their bytes.
fn chunk(rng: &mut Rng, count: u64, scanned: &mut u64) -> Vec<(u64, Kind, u64)> {
    let (scans, refused, asked) = (count / 4, count / 20, count / 5);
    let segments = count - scans - 2 * refused - 2 * asked;
    let mut out = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let span = count * FINE;
    for _ in 0..scans {
        out.push((rng.between(0, span), Kind::Scan, *scanned));
        *scanned += 1;
    }
    for _ in 0..refused {
        let (at, seed) = (rng.between(0, span), rng.next());
        out.push((at, Kind::Syn, seed));
        out.push((at + 10 * FINE, Kind::Refusal, seed));
    }
    for _ in 0..asked {
        let (at, seed) = (rng.between(0, span), rng.next());
        out.push((at, Kind::Question, seed));
        out.push((at + 200 * FINE, Kind::Answer, seed));
    }
    for number in 0..segments {
        let kind = if number % 2 == 0 { Kind::Segment } else { Kind::Reply };
        out.push((rng.between(0, span), kind, rng.between(0, FLOWS)));
    }
    out.sort_unstable();
    out
}

/// An address of 10.0.0.0/8.
fn inside(number: u64) -> IpAddr {
    let low = u32::try_from(number & 0x00ff_ffff).unwrap_or_default();
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | low))
}

fn port(number: u64) -> u16 {
    u16::try_from(number % 64_512).unwrap_or_default() + 1_024
}

/// A frame as the link before a router shows it: between the same two machines.
pub(super) fn frame(kind: Kind, seed: u64) -> Vec<u8> {
    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let mut frame = packet(kind, seed);
    if let Some(macs) = frame.first_chunk_mut() {
        *macs = MACS;
    }
    frame
}

fn packet(kind: Kind, seed: u64) -> Vec<u8> {
    let mut rng = Rng::seeded(seed);
    match kind {
        Kind::Scan => {
            let from = craft::end(inside(0x01_0000 + seed % 4_096), port(38_976 + seed / 4_096 % 20_000));
            let low = u16::try_from(seed * 7_919 % 65_535).unwrap_or_default();
            let to = craft::end(inside(0x80_0000 + ((seed * 2_654_435_761) & 0x3f_ffff)), 1 + low);
            tcp(from, to, TcpFlags::SYN, (rng.number(), 0), rng.word(), &[])
        }
        Kind::Syn | Kind::Refusal => {
            let from = craft::end(inside(0x02_0000 + rng.between(0, 1 << 14)), port(rng.next()));
            let to = craft::end(inside(0xc0_0000 + rng.between(0, 1 << 16)), rng.word().max(1));
            let (seq, id) = (rng.number(), rng.word());
            if kind == Kind::Syn {
                return tcp(from, to, TcpFlags::SYN, (seq, 0), id, &[]);
            }
            tcp(to, from, TcpFlags::RST_ACK, (0, seq.wrapping_add(1)), id, &[])
        }
        Kind::Question | Kind::Answer => {
            let client = craft::end(inside(0x20_0000 + rng.between(0, 1 << 18)), port(rng.next()));
            let server = craft::end(inside(0x35_0000 + rng.between(0, 8)), 53);
            let message = dns(&mut rng, kind == Kind::Answer);
            let (from, to) = if kind == Kind::Answer { (server, client) } else { (client, server) };
            craft::udp(from, to, rng.word(), &message)
        }
        Kind::Segment | Kind::Reply => {
            let client = craft::end(inside(0x64_0000 + rng.between(0, 1 << 16)), port(rng.next()));
            let service = rng.pick(&[80, 443, 22, 3_389, 8_080]).copied().unwrap_or(80);
            let server = craft::end(inside(0xc8_0000 + rng.between(0, 1 << 12)), service);
            let (seq, id) = (rng.number() >> 1, rng.word());
            if kind == Kind::Segment {
                return tcp(client, server, TcpFlags::ACK, (seq, seq), id, &[]);
            }
            let text: Vec<u8> = rng.bytes(20).into_iter().map(|byte| 32 + byte % 95).collect();
            tcp(server, client, TcpFlags::PSH_ACK, (seq, seq), id, &text)
        }
    }
}

fn tcp(from: End, to: End, flags: TcpFlags, numbers: (u32, u32), id: u16, payload: &[u8]) -> Vec<u8> {
    let (seq, ack) = numbers;
    craft::tcp(&Segment { from, to, seq, ack, flags, window: 64_240, payload }, id)
}

/// A question for the address of twelve random letters under example.com, or its answer.
fn dns(rng: &mut Rng, is_answer: bool) -> Vec<u8> {
    let id = rng.word().to_be_bytes();
    let mut out = id.to_vec();
    out.extend(if is_answer { [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0] } else { [1, 0, 0, 1, 0, 0, 0, 0, 0, 0] });
    out.push(12);
    out.extend(rng.bytes(12).into_iter().map(|byte| b'a' + byte % 26));
    out.extend(b"\x07example\x03com\0\0\x01\0\x01");
    if is_answer {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend(rng.bytes(4).into_iter().map(|byte| byte.max(1)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::frames;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_the_shape_holds() {
        let path =
            |name: &str| std::env::temp_dir().join(format!("xtask-small-{name}-{}.pcap", std::process::id()));
        let make = |name: &str, seed: u64| {
            let path = path(name);
            let flows = write(&path, 10_000, seed).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            (flows, bytes)
        };
        let (flows, bytes) = make("a", 1);
        assert_eq!((flows, &bytes), (make("b", 1).0, &make("c", 1).1));
        assert!(bytes != make("d", 2).1);
        let frames = frames::read(&bytes).unwrap();
        assert_eq!(frames.len(), 10_000);
        assert!(frames.windows(2).all(|two| two[0].at < two[1].at));
        assert!(frames.iter().all(|frame| (60..=110).contains(&frame.bytes.len())));
        let of = |protocol: u8| frames.iter().filter(|frame| frame.bytes[23] == protocol).count();
        assert_eq!((of(6), of(17)), (6_000, 4_000));
        // A fourth scan, a twentieth refused, a fifth questions, and those that last.
        assert_eq!(flows, 2_500 + 500 + 2_000 + 10_000);
    }
}
