//! The Internet checksum (RFC 1071).

use core::net::IpAddr;

/// The checksum of `bytes`: 0 if they contain a right one.
pub(super) fn of(bytes: &[u8]) -> u16 {
    folded(sum(bytes))
}

/// The checksum of a transport with its pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): 0 if it is right.
pub(super) fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    folded(address(source) + address(destination) + u64::from(protocol) + length + sum(bytes))
}

/// Sum of 16-bit words: 2^48 of them fit.
fn sum(bytes: &[u8]) -> u64 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let last = odd.first().map_or(0, |byte| u64::from(*byte) << 8);
    pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>() + last
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(of(&[0xff]), 0x00ff);
        assert_eq!(of(&[]), 0xffff);
    }

    #[test]
    fn what_others_computed_is_right() {
        for v6 in [false, true] {
            let mut bytes = Vec::new();
            let builder = if v6 {
                etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64)
            } else {
                etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 64)
            };
            builder.tcp(1, 2, 3, 4).write(&mut bytes, b"odd").unwrap();
            let (source, destination, header): (IpAddr, IpAddr, _) =
                if v6 { ([1; 16].into(), [2; 16].into(), 40) } else { ([1; 4].into(), [2; 4].into(), 20) };
            if !v6 {
                assert_eq!(of(&bytes[..20]), 0);
            }
            assert_eq!(with_pseudo_header(source, destination, 6, &bytes[header..]), 0);
            bytes[header + 4] ^= 1;
            assert_ne!(with_pseudo_header(source, destination, 6, &bytes[header..]), 0);
        }
    }
}
