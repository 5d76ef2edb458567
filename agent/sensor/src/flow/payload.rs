//! What the first payload of a direction looks like, and which ICMP echo messages are odd. Nothing here is kept but hashes.

use crate::decode::{Icmp, Ip};
use crate::event::{Echo, Opening};
use crate::proto::Side;

use super::{ECHO_REPLY, ECHO_REPLY6, ECHO_REQUEST, ECHO_REQUEST6};

/// Bytes that a shape is made of: what protocols begin with, before their content differs.
const SHAPE_BYTES: usize = 64;
/// Bytes at the beginning of an echo that implementations of `ping` fill with times and numbers of their own: iputils takes 16
/// for a `timeval`, others 8, pro-bing 24 (a time and a UUID).
const STAMP_BYTES: usize = 24;
/// Bytes behind those that are looked at.
const PATTERN_BYTES: usize = 128;
/// The longest pattern that is repeated: Windows has 23 letters, iputils' `-p` takes 16 bytes.
const PERIOD_MAX: usize = 32;

/// The first payload of a direction.
pub(super) fn opening(side: Side, ip: &Ip<'_>) -> Opening {
    let head = ip.payload.get(..SHAPE_BYTES).unwrap_or(ip.payload);
    let mut seen = [0_u8; 256];
    for byte in head {
        if let Some(one) = seen.get_mut(usize::from(*byte)) {
            *one = 1;
        }
    }
    // At most so many as bytes are looked at: no sum overflows.
    let distinct_bytes = seen.iter().fold(0_u8, |sum, one| sum.wrapping_add(*one));
    // No branches: many bytes are looked at together.
    let is_printable =
        |byte: u8| (byte.wrapping_sub(b' ') < 0x5f) | (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
    let printable = head.iter().fold(0_u8, |sum, byte| sum.wrapping_add(u8::from(is_printable(*byte))));
    let percent = (usize::from(printable) * 100).checked_div(head.len()).unwrap_or_default();
    Opening {
        from_originator: side == Side::Originator,
        bytes: ip.payload_bytes,
        shape: hash(head),
        printable_percent: u8::try_from(percent).unwrap_or(100),
        distinct_bytes,
    }
}

/// The last echo request of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Identifier and sequence number.
    pub(super) number: u32,
    /// Hash of its payload; 0: there was none, or the capture cut it.
    pub(super) payload: u32,
}

impl Asked {
    /// Takes an ICMP message; gives what is odd about it, if it is an echo.
    pub(super) fn look(&mut self, side: Side, icmp: &Icmp, ip: &Ip<'_>) -> Option<Echo> {
        let (request, reply) =
            if icmp.v6 { (ECHO_REQUEST6, ECHO_REPLY6) } else { (ECHO_REQUEST, ECHO_REPLY) };
        let whole = usize::try_from(ip.payload_bytes).is_ok_and(|bytes| bytes <= ip.payload.len());
        let payload = if whole { folded(hash(ip.payload)) } else { 0 };
        let mut differs = false;
        if icmp.kind == request {
            *self = Self { number: icmp.echo, payload };
        } else if icmp.kind == reply {
            let comparable = self.number == icmp.echo && self.payload != 0 && payload != 0;
            differs = comparable && self.payload != payload;
        } else {
            return None;
        }
        let regular = is_regular(ip.payload);
        let odd = differs || !regular;
        odd.then_some(Echo {
            from_originator: side == Side::Originator,
            bytes: ip.payload_bytes,
            differs,
            regular,
        })
    }
}

/// Each byte follows from those before: it is the one before, one more than it, or the one a period before.
fn is_regular(payload: &[u8]) -> bool {
    let rest = payload.get(STAMP_BYTES..).unwrap_or_default();
    let rest = rest.get(..PATTERN_BYTES).unwrap_or(rest);
    let steps = |step: u8| rest.iter().zip(rest.iter().skip(1)).all(|(a, b)| a.wrapping_add(step) == *b);
    let repeats =
        |period: usize| rest.len() > period && rest.iter().zip(rest.iter().skip(period)).all(|(a, b)| a == b);
    steps(0) || steps(1) || (2..=PERIOD_MAX).any(repeats)
}

/// A hash of bytes, eight at a time. It is compared and never shown; whoever makes two contents that it cannot tell apart
/// only hides himself from the one check.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    hash_on(SEED, bytes)
}

/// What [`hash`] begins with.
pub(super) const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// Goes on with a hash; the same as of all bytes at once where those before were a multiple of eight.
pub(super) fn hash_on(before: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(FACTOR);
        mixed ^ mixed >> 32
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(before, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    if rest.is_empty() {
        return hash;
    }
    // The length of the rest tells it from one with zeros behind it.
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
    let length = u64::try_from(rest.len()).unwrap_or_default();
    mix(mix(hash, u64::from_le_bytes(last)), length)
}

/// Both halves of a hash in one, never 0.
pub(super) fn folded(hash: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]) ^ u32::from_be_bytes([e, f, g, h])).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ping_programs_send_is_regular() {
        let iputils: Vec<u8> =
            [&[7, 99, 3, 250, 1, 2, 9, 9, 200, 4, 0, 0, 0, 0, 0, 0][..], &counting(0x10, 1_400)].concat();
        let windows: Vec<u8> = (b'a'..=b'w').cycle().take(1_000).collect();
        let cisco = [&[0, 0, 0, 0, 12, 34, 56, 78][..], &[0xab, 0xcd].repeat(700)].concat();
        for payload in
            [&iputils[..], &iputils[..56], &windows, &windows[..32], &cisco, &[0; 1_472], &[], b"short"]
        {
            assert!(is_regular(payload), "{payload:?}");
        }
        let carried = b"............E..<....@.@.....GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n";
        assert!(!is_regular(carried));
    }

    fn counting(from: u8, length: usize) -> Vec<u8> {
        (0..length).map(|at| from.wrapping_add(at.to_le_bytes()[0])).collect()
    }

    #[test]
    fn the_hash_tells_contents_and_lengths_apart() {
        let bytes = counting(1, 40);
        let mut seen: Vec<u64> = (0..=bytes.len()).map(|length| hash(&bytes[..length])).collect();
        seen.extend((0..=16).map(|length| hash(&vec![0; length])));
        seen.extend((0..bytes.len()).map(|at| {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            hash(&other)
        }));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        // The empty one is there twice.
        assert_eq!(seen.len(), all - 1);
        assert_eq!(hash_on(hash(&bytes[..16]), &bytes[16..]), hash(&bytes));
        assert_ne!(folded(0), 0);
    }
}
