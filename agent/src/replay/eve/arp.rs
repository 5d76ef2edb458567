//! EVE of arp.

use sekimori_sensor::event::Arp;
use serde_json::json;

use super::Entry;

pub(super) fn entry(vlan: Option<u16>, arp: &Arp) -> Entry {
    let operation = if arp.operation == 1 { "request" } else { "reply" };
    let mut entry = Entry::new(
        "arp",
        true,
        json!({
            "hw_type": "ethernet",
            "proto_type": "ipv4",
            "opcode": operation,
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

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
