//! EVE of arp.

use sekimori_sensor::event::Arp;
use serde_json::json;

use super::Entry;

pub(super) fn entry(vlan: Option<u16>, arp: &Arp) -> Entry {
    let mut entry = Entry::new(
        "arp",
        true,
        json!({
            "hw_type": "ethernet",
            "proto_type": "ipv4",
            "opcode": operation(arp.operation),
            "src_mac": mac(arp.sender_mac),
            "src_ip": arp.sender_ip.to_string(),
            "dest_mac": mac(arp.target_mac),
            "dest_ip": arp.target_ip.to_string(),
        }),
    );
    if let Some(vlan) = vlan {
        entry = entry.with("vlan", vec![vlan]);
    }
    entry
}

/// Operation codes as IANA registers them, in the manner of Suricata's first two.
fn operation(code: u16) -> &'static str {
    match code {
        1 => "request",
        2 => "reply",
        3 => "request_reverse",
        4 => "reply_reverse",
        8 => "request_inverse",
        9 => "reply_inverse",
        10 => "arp_nak",
        _ => "unknown",
    }
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
