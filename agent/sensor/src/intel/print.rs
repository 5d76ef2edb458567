//! Fingerprints of what is listed and of what is looked up, and the filter that answers most look-ups with "no".
//!
//! Names are hashed from their end, so that one pass gives the fingerprints of a name and of every name above it. Whoever
//! chooses values that fall together gains nothing: what the filter lets pass is compared in full.

use core::hash::BuildHasher as _;
use core::net::IpAddr;

use foldhash::quality::FixedState;

use super::Kind;
use crate::bounded::fold;

/// Factors and starting values are the prime of FNV-1a for 64 bits and digits of pi, as foldhash and others use them:
/// numbers that nobody picked.
const PRIME: u64 = 0x0000_0100_0000_01b3;
const PI: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];
/// Bits that each entry sets in its bucket's word.
const BITS: u32 = 3;

/// Of an address and the length of its prefix; the bits beyond it are zero.
pub(super) fn of_address(network: IpAddr, length: u8) -> u64 {
    let [start, first, second, last] = PI;
    let length = u64::from(length);
    match network {
        IpAddr::V4(v4) => fold(u64::from(v4.to_bits()) ^ length << 32 ^ start, first),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let half = |from: usize| {
                octets.iter().skip(from).take(8).fold(0, |sum, octet| sum << 8 | u64::from(*octet))
            };
            fold(fold(half(0) ^ second, last) ^ half(8), first ^ length)
        }
    }
}

/// Of a text of any kind but [`Kind::Address`].
pub(super) fn of_text(kind: Kind, text: &[u8]) -> u64 {
    match kind {
        Kind::Domain => {
            let mut tail = Tail::EMPTY;
            text.iter().rev().for_each(|byte| tail.prepend(*byte));
            tail.print()
        }
        Kind::Address | Kind::Sni | Kind::Url | Kind::Path | Kind::Ja4 | Kind::Certificate => {
            FixedState::with_seed(kind as u64).hash_one(text)
        }
    }
}

/// The end of a name, growing to the left.
#[derive(Clone, Copy)]
pub(super) struct Tail(u64);

impl Tail {
    pub(super) const EMPTY: Self = Self(PI[2]);

    pub(super) fn prepend(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
    }

    /// Of the domain that this is.
    pub(super) fn print(self) -> u64 {
        fold(self.0, PI[3])
    }
}

/// Which bits of its bucket's word stand for a fingerprint: of its last bits, where the bucket is told by the first.
pub(super) const fn mask(fingerprint: u64) -> u64 {
    let mut mask = 0;
    let mut at = 0;
    while at < BITS {
        mask |= 1 << (fingerprint >> (6 * at) & 63);
        at += 1;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_gives_the_fingerprint_of_every_name_above() {
        let name = b"a.bc.example";
        let mut tail = Tail::EMPTY;
        for (at, byte) in name.iter().enumerate().rev() {
            tail.prepend(*byte);
            assert_eq!(tail.print(), of_text(Kind::Domain, &name[at..]));
        }
    }

    #[test]
    fn fingerprints_of_neighbours_spread_over_the_leading_bits() {
        let addresses = (0..65_536_u32).map(|n| of_address(IpAddr::from(n.to_be_bytes()), 32));
        let names = (0..65_536_u32).map(|n| of_text(Kind::Domain, format!("h{n}.example").as_bytes()));
        let sixes = (0..65_536_u128).map(|n| of_address(IpAddr::from((n << 64).to_be_bytes()), 64));
        for (what, prints) in [
            ("addresses", addresses.collect::<Vec<_>>()),
            ("names", names.collect()),
            ("IPv6", sixes.collect()),
        ] {
            let mut buckets = vec![0_u32; 4_096];
            prints.iter().for_each(|print| buckets[(print >> 52) as usize] += 1);
            // Sixteen each; a Poisson variable of that mean exceeds 48 once in ten billion times.
            assert!(buckets.iter().all(|count| *count <= 48), "{what}: {:?}", buckets.iter().max());
        }
    }
}
