//! Community ID v1: the same name for a flow in every tool (github.com/corelight/community-id-spec).

use core::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// IANA protocol numbers that the specification treats by name.
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const PORTED: [u8; 3] = [6, 17, 132];

/// The identifier of a flow, such as `1:LQU9qZlK+B5F3KDmev6m5PMibrg=`. For ICMP, `source_port` is the type and
/// `destination_port` the code of a packet from `source`. `seed` is 0 unless an operator chose another.
pub fn community_id(
    seed: u16,
    protocol: u8,
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
) -> String {
    let (ports, one_way) = match protocol {
        ICMP => icmp_ports(source_port, destination_port, icmp4_reply),
        ICMP6 => icmp_ports(source_port, destination_port, icmp6_reply),
        _ => ((source_port, destination_port), false),
    };
    let mut low = (source, ports.0);
    let mut high = (destination, ports.1);
    if !one_way && high < low {
        core::mem::swap(&mut low, &mut high);
    }
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(&seed.to_be_bytes());
    for (address, _) in [low, high] {
        match address {
            IpAddr::V4(v4) => sha1.update(&v4.octets()),
            IpAddr::V6(v6) => sha1.update(&v6.octets()),
        }
    }
    sha1.update(&[protocol, 0]);
    if PORTED.contains(&protocol) || protocol == ICMP || protocol == ICMP6 {
        sha1.update(&low.1.to_be_bytes());
        sha1.update(&high.1.to_be_bytes());
    }
    let mut id = String::from("1:");
    STANDARD.encode_string(sha1.finish().as_ref(), &mut id);
    id
}

/// The ICMP type that answers `kind`, if there is one.
pub fn icmp_counterpart(protocol: u8, kind: u16) -> Option<u16> {
    match protocol {
        ICMP => icmp4_reply(kind),
        ICMP6 => icmp6_reply(kind),
        _ => None,
    }
}

/// Type and code become ports; where a type has a counterpart the flow has two ways, else one.
fn icmp_ports(kind: u16, code: u16, reply: fn(u16) -> Option<u16>) -> ((u16, u16), bool) {
    match reply(kind) {
        Some(counterpart) => ((kind, counterpart), false),
        None => ((kind, code), true),
    }
}

fn icmp4_reply(kind: u16) -> Option<u16> {
    Some(match kind {
        8 => 0,
        0 => 8,
        9 => 10,
        10 => 9,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

fn icmp6_reply(kind: u16) -> Option<u16> {
    Some(match kind {
        128 => 129,
        129 => 128,
        130 => 131,
        131 => 130,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of the specification's own baseline.
    #[test]
    fn agrees_with_the_specification() {
        for (protocol, source, destination, expected) in [
            (6, ("128.232.110.120", 34_855), ("66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (6, ("66.35.250.204", 80), ("128.232.110.120", 34_855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (17, ("192.168.1.52", 54_585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
            (1, ("192.168.0.89", 8), ("192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
            (1, ("192.168.0.1", 0), ("192.168.0.89", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        ] {
            let of = |(address, port): (&str, u16)| (address.parse().unwrap(), port);
            assert_eq!(community_id(0, protocol, of(source), of(destination)), expected);
        }
    }
}
