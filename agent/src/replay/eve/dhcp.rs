//! EVE of dhcp, as Suricata writes it with `extended: yes`.

use core::fmt::Write as _;
use core::net::Ipv4Addr;

use sekimori_sensor::event::DhcpMessage;
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &DhcpMessage) -> Vec<Entry> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    let kind = if one.is_reply { "reply" } else { "request" };
    put("type", kind.into());
    put("id", one.id.into());
    put("client_mac", mac(&one.client_mac));
    let header = [
        ("assigned_ip", one.assigned_ip),
        ("client_ip", one.client_ip),
        ("relay_ip", one.relay_ip),
        ("next_server_ip", one.next_server_ip),
    ];
    let is_told = |key: &str| one.is_reply || matches!(key, "assigned_ip" | "client_ip");
    for (key, address) in header.into_iter().filter(|(key, _)| is_told(key)) {
        if let Some(address) = address {
            put(key, ip(address));
        }
    }
    if let Some(name) = one.kind_name() {
        put("dhcp_type", name.into());
    }
    let options = [
        ("subnet_mask", one.subnet_mask),
        ("requested_ip", one.requested_ip),
        ("server_identifier", one.server_id),
    ];
    for (key, address) in options {
        if let Some(address) = address {
            put(key, ip(address));
        }
    }
    if let Some(id) = &one.client_id {
        put("client_id", client_id(id));
    }
    let texts = [
        ("hostname", &one.host_name),
        ("domain", &one.domain),
        ("client_fqdn", &one.client_fqdn),
        ("vendor_class_identifier", &one.vendor_class),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            put(key, String::from_utf8_lossy(text).into());
        }
    }
    for (key, addresses) in [("routers", &one.routers), ("dns_servers", &one.dns_servers)] {
        if !addresses.is_empty() {
            put(key, addresses.iter().copied().map(ip).collect());
        }
    }
    let times = [
        ("lease_time", one.lease_time),
        ("renewal_time", one.renewal_time),
        ("rebinding_time", one.rebinding_time),
    ];
    for (key, seconds) in times {
        if let Some(seconds) = seconds {
            put(key, seconds.into());
        }
    }
    if !one.params.is_empty() {
        put("params", one.params.iter().filter_map(|code| param(*code)).collect());
    }
    vec![Entry::new("dhcp", one.from_originator, Value::Object(fields))]
}

/// Options that Suricata names in a parameter list; it leaves the others out.
const fn param(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        67 => "tftp_server_ip",
        _ => return None,
    })
}

/// A hardware address behind its type, or bytes of the client's own choice (RFC 2132, 9.14).
fn client_id(bytes: &[u8]) -> Value {
    mac(bytes.strip_prefix(&[1]).unwrap_or(bytes))
}

fn mac(bytes: &[u8]) -> Value {
    let mut text = String::with_capacity(bytes.len() * 3);
    for (nth, byte) in bytes.iter().enumerate() {
        let colon = if nth == 0 { "" } else { ":" };
        let _always_ok = write!(text, "{colon}{byte:02x}");
    }
    text.into()
}

fn ip(address: Ipv4Addr) -> Value {
    address.to_string().into()
}
