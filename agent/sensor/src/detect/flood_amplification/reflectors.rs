//! Services over UDP that answer more than they are asked: what amplification attacks reflect off.

use crate::detect::ports::Ports;

/// Port and service. Sources: CISA alert TA14-017A "UDP-Based Amplification Attacks" (chargen to WS-Discovery), and NETSCOUT's
/// and Shadowserver's lists of reflectors for those that came later (from ARMS on).
const REFLECTORS: [(u16, &str); 35] = [
    (17, "QOTD"),
    (19, "chargen"),
    (53, "DNS"),
    (69, "TFTP"),
    (111, "portmapper"),
    (123, "NTP"),
    (137, "NetBIOS"),
    (161, "SNMP"),
    (389, "CLDAP"),
    (427, "SLP"),
    (500, "ISAKMP"),
    (520, "RIPv1"),
    (1_194, "OpenVPN"),
    (1_434, "MS SQL"),
    (1_900, "SSDP"),
    (2_123, "GTP-C"),
    (3_283, "ARMS"),
    (3_389, "RDP over UDP"),
    (3_478, "STUN"),
    (3_702, "WS-Discovery"),
    (4_500, "ISAKMP over NAT-T"),
    (5_060, "SIP"),
    (5_093, "Sentinel"),
    (5_353, "mDNS"),
    (5_683, "CoAP"),
    (6_881, "BitTorrent"),
    (10_001, "Ubiquiti discovery"),
    (11_211, "memcached"),
    (17_185, "VxWorks debug"),
    (27_015, "Source engine"),
    (27_960, "Quake 3"),
    (30_718, "Lantronix discovery"),
    (32_414, "Plex discovery"),
    (37_810, "DHDiscover"),
    (64_738, "Mumble"),
];

/// Services that are asked by multicast or broadcast, so that whoever asks hears from everybody at once without having sent
/// any of them a question.
const DISCOVERED: [u16; 11] = [137, 161, 427, 1_434, 1_900, 3_702, 5_353, 5_683, 10_001, 30_718, 32_414];

/// Services whose answers may be a stream between two hosts: VPNs, telephony and remote desktops.
const STREAMS: [u16; 7] = [500, 1_194, 2_123, 3_389, 3_478, 4_500, 64_738];

/// The ports of [`REFLECTORS`].
static REFLECTS: Ports = Ports::of(&[&{
    let (mut ports, mut rest) = ([0; REFLECTORS.len()], REFLECTORS.as_slice());
    let mut places: &mut [u16] = &mut ports;
    while let (Some(((port, _), after)), Some((place, others))) =
        (rest.split_first(), places.split_first_mut())
    {
        *place = *port;
        (rest, places) = (after, others);
    }
    ports
}]);

/// A service is known to reflect from `port`.
#[inline]
pub(in crate::detect) fn is_one(port: u16) -> bool {
    REFLECTS.has(port)
}

/// The service that is known to reflect from `port`.
pub(in crate::detect) fn name(port: u16) -> Option<&'static str> {
    let at = REFLECTORS.binary_search_by_key(&port, |(port, _)| *port).ok()?;
    REFLECTORS.get(at).map(|(_, name)| *name)
}

/// It is asked by multicast or broadcast.
pub(super) fn is_discovered(port: u16) -> bool {
    DISCOVERED.contains(&port)
}

/// One server of it may send a lot in good faith.
pub(super) fn carries_streams(port: u16) -> bool {
    STREAMS.contains(&port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(REFLECTORS.is_sorted_by_key(|(port, _)| *port));
        assert_eq!((name(11_211), name(443)), (Some("memcached"), None));
        assert!((0..=u16::MAX).all(|port| is_one(port) == name(port).is_some()));
        assert!(DISCOVERED.iter().all(|port| name(*port).is_some()));
    }
}
