//! EVE of rdp.

use sekimori_sensor::event::rdp::RdpClient;
use sekimori_sensor::event::{RdpNegotiation, RdpStep};
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &RdpNegotiation) -> Vec<Entry> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("tx_id", one.number.into());
    match &one.step {
        RdpStep::Request { cookie, negotiation } => {
            put("event_type", "initial_request".into());
            if let Some(cookie) = cookie {
                put("cookie", (**cookie).into());
            }
            const FLAGS: [(u16, &str); 3] = [
                (0x01, "restricted_admin_mode_required"),
                (0x02, "redirected_authentication_mode_required"),
                (0x08, "correlation_info_present"),
            ];
            let flags = names(negotiation.map_or(0, |(flags, _)| flags.into()), &FLAGS);
            if !flags.is_empty() {
                put("flags", flags.into());
            }
        }
        RdpStep::Confirm { negotiation } => {
            put("event_type", "initial_response".into());
            if let Some((flags, protocol)) = negotiation {
                const SUPPORTS: [(u16, &str); 4] = [
                    (0x01, "extended_client_data"),
                    (0x02, "dynvc_gfx"),
                    (0x08, "restricted_admin"),
                    (0x10, "redirected_authentication"),
                ];
                let supports = names((*flags).into(), &SUPPORTS);
                if !supports.is_empty() {
                    put("server_supports", supports.into());
                }
                put("protocol", self::protocol(*protocol).into());
            }
        }
        RdpStep::Refusal(code) => {
            put("event_type", "initial_response".into());
            put("error_code", (*code).into());
            put("reason", reason(*code).into());
        }
        RdpStep::ClientData(client) => {
            put("event_type", "connect_request".into());
            put("client", Value::Object(self::client(client)));
            if !client.channels.is_empty() {
                put("channels", client.channels.iter().map(|channel| &**channel).collect());
            }
        }
        RdpStep::ServerData { .. } => {
            put("event_type", "connect_response".into());
        }
    }
    vec![Entry::new("rdp", one.from_originator, Value::Object(fields))]
}

fn names(flags: u16, known: &[(u16, &'static str)]) -> Vec<&'static str> {
    known.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect()
}

fn protocol(number: u32) -> String {
    match number {
        0 => "rdp".to_owned(),
        1 => "ssl".to_owned(),
        2 => "hybrid".to_owned(),
        4 => "rds_tls".to_owned(),
        8 => "hybrid_ex".to_owned(),
        other => format!("unknown ({other})"),
    }
}

/// MS-RDPBCGR, 2.2.1.2.2.
const fn reason(code: u32) -> &'static str {
    match code {
        1 => "ssl required by server",
        2 => "ssl not allowed by server",
        3 => "ssl cert not on server",
        4 => "inconsistent flags",
        5 => "hybrid required by server",
        6 => "ssl with user auth required by server",
        _ => "unknown",
    }
}

fn client(one: &RdpClient) -> Map<String, Value> {
    const CAPABILITIES: [(u16, &str); 9] = [
        (0x0001, "support_errinfo_pdf"),
        (0x0002, "want_32bpp_session"),
        (0x0004, "support_statusinfo_pdu"),
        (0x0008, "strong_asymmetric_keys"),
        (0x0020, "valid_connection_type"),
        (0x0040, "support_monitor_layout_pdu"),
        (0x0080, "support_netchar_autodetect"),
        (0x0100, "support_dynvc_gfx_protocol"),
        (0x0200, "support_dynamic_time_zone"),
    ];
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("version", version(one.version).into());
    put("desktop_width", one.desktop.0.into());
    put("desktop_height", one.desktop.1.into());
    if let Some(depth) = one.color_depth {
        put("color_depth", depth.into());
    }
    put("keyboard_layout", keyboard_layout(one.keyboard_layout).into());
    put("build", build(one.build).into());
    for (key, text) in [("client_name", &one.name), ("id", &one.id)] {
        if !text.is_empty() {
            put(key, (**text).into());
        }
    }
    if let Some(kind) = keyboard_type(one.keyboard_type) {
        put("keyboard_type", kind.into());
    }
    if one.keyboard_subtype != 0 {
        put("keyboard_subtype", one.keyboard_subtype.into());
    }
    if one.function_keys != 0 {
        put("function_keys", one.function_keys.into());
    }
    if let Some(product) = one.product_id {
        put("product_id", product.into());
    }
    let capabilities = names(one.capabilities.unwrap_or_default(), &CAPABILITIES);
    if !capabilities.is_empty() {
        put("capabilities", capabilities.into());
    }
    fields
}

fn version(version: u32) -> String {
    match version {
        0x0008_0001 => "4".to_owned(),
        0x0008_0004 => "5".to_owned(),
        0x0008_0005..=0x0008_0011 => format!("10.{}", (version & 0xff).saturating_sub(5)),
        other => format!("unknown-{other:#010x}"),
    }
}

fn build(build: u32) -> String {
    let name = match build {
        419 => "RDP 4.0",
        2_195 => "Windows 2000",
        2_221 => "Windows NT",
        2_600 => "Windows XP",
        3_790 => "Windows Server 2003",
        6_000 => "Windows Vista",
        6_001 | 6_002 => "Windows Server 2008",
        7_600 | 7_601 => "Windows 7",
        9_200 => "Windows 8",
        9_600 => "Windows 8.1",
        10_240..22_000 => "Windows 10",
        other => return format!("unknown-{other}"),
    };
    name.to_owned()
}

const fn keyboard_type(kind: u32) -> Option<&'static str> {
    Some(match kind {
        1 => "xt",
        2 => "ico",
        3 => "at",
        4 => "enhanced",
        5 => "1050",
        6 => "9140",
        7 => "jp",
        _ => return None,
    })
}

/// The locale of Windows' identifier, for those that are common; else the number.
fn keyboard_layout(id: u32) -> String {
    let name = match id & 0xffff {
        0x0404 => "zh-TW",
        0x0405 => "cs-CZ",
        0x0406 => "da-DK",
        0x0407 => "de-DE",
        0x0408 => "el-GR",
        0x0409 => "en-US",
        0x040a => "es-ES",
        0x040b => "fi-FI",
        0x040c => "fr-FR",
        0x040d => "he-IL",
        0x040e => "hu-HU",
        0x0410 => "it-IT",
        0x0411 => "ja-JP",
        0x0412 => "ko-KR",
        0x0413 => "nl-NL",
        0x0414 => "nb-NO",
        0x0415 => "pl-PL",
        0x0416 => "pt-BR",
        0x0418 => "ro-RO",
        0x0419 => "ru-RU",
        0x041d => "sv-SE",
        0x041e => "th-TH",
        0x041f => "tr-TR",
        0x0421 => "id-ID",
        0x0422 => "uk-UA",
        0x042a => "vi-VN",
        0x0804 => "zh-CN",
        0x0807 => "de-CH",
        0x0809 => "en-GB",
        0x080a => "es-MX",
        0x080c => "fr-BE",
        0x0816 => "pt-PT",
        0x0c0c => "fr-CA",
        0x1009 => "en-CA",
        _ => return format!("unknown-{id:#010x}"),
    };
    name.to_owned()
}
