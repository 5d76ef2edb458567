//! The services through which worms spread.

use crate::detect::ports::Ports;

/// TCP services that worms looked for by trying random addresses, and whose clients do not: they know their servers. Each was
/// read in the source named, in November 2026; ports remembered for worms and not found in a source are left out.
///
/// - 23, 2323: Mirai (SANS ISC diary 21631, October 2016); 22: its later variants ("The evolution of Mirai botnet scans over a
///   six-year period", abstract)
/// - 5358, 5555, 7547: attacked by Mirai's variants, closed by Hajime behind itself (Symantec, April 2017, by security.nl
///   555959); 5555 also ADB.Miner (Netlab 360, February 2018)
/// - 8291: Hajime (Netlab 360, March 2018)
/// - 37215, 52869: Satori (Netlab 360, December 2017, by Kaspersky ICS CERT)
/// - 135: Blaster (CERT CA-2003-20); 139, 445: Sasser, Conficker, `WannaCry` (US-CERT TA17-132A)
/// - 1433: Spida, or `SQLsnake` (SANS Institute, May 2002)
/// - 3389: Morto (Microsoft Malware Protection Center and F-Secure, August 2011)
/// - 6379: `P2PInfect` (Unit 42, July 2023)
const TCP: [u16; 15] =
    [22, 23, 135, 139, 445, 1433, 2323, 3389, 5358, 5555, 6379, 7547, 8291, 37_215, 52_869];
/// SQL Slammer (CERT CA-2003-04).
const UDP: [u16; 1] = [1434];

/// UDP services above 1023 that are looked for with one question to all: SSDP, SIP, mDNS, memcached, game servers'
/// `Source` query, `BACnet`. Asking many is a sweep.
const ASKED: [u16; 6] = [1900, 5060, 5353, 11_211, 27_015, 47_808];

static KNOWN_TCP: Ports = Ports::of(&[&TCP]);

/// One datagram to many on this UDP port is discovery, not something that spreads.
pub(super) fn is_discovery(port: u16) -> bool {
    port < 1_024 || ASKED.contains(&port)
}

/// The service is one of them.
pub(super) fn is_known(protocol: u8, port: u16) -> bool {
    match protocol {
        6 => KNOWN_TCP.has(port),
        17 => UDP.contains(&port),
        _ => false,
    }
}
