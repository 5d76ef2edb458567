//! Ports by which Zeek guesses who of two serves (`likely_server_ports` of its standard scripts).

use crate::flow::{TCP, UDP};

const BOTH: [u16; 6] = [53, 88, 111, 389, 443, 3389];
const TCP_ONLY: [u16; 43] = [
    21, 22, 25, 79, 80, 81, 110, 135, 139, 143, 445, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993,
    995, 1080, 1434, 1883, 2811, 3128, 3268, 3306, 5222, 5223, 5269, 5432, 6379, 6666, 6667, 6668, 6669,
    8000, 8080, 8888, 20_000,
];
const UDP_ONLY: [u16; 20] = [
    67, 123, 137, 161, 162, 514, 784, 853, 1812, 2123, 2152, 3544, 4789, 5060, 5072, 5353, 5355, 6081,
    20_000, 4011,
];

/// A port that servers use.
pub(crate) fn is_likely_server(protocol: u8, port: u16) -> bool {
    let own: &[u16] = match protocol {
        TCP => &TCP_ONLY,
        UDP => &UDP_ONLY,
        _ => return false,
    };
    BOTH.contains(&port) || own.contains(&port)
}
