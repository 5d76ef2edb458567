//! EVE of anomaly.

use core::net::IpAddr;

use sekimori_sensor::event::{Anomaly, Layer};
use serde_json::{Value, json};

use super::{Entry, text};

/// Events of recognising a protocol begin with this, all others are of reading it.
const DETECTION: &str = "APPLAYER_";

/// What names of anomalies begin with that Suricata has none for, and nobody but our detectors wants.
pub(super) const OURS: &str = "exploit.";

fn fields(anomaly: &Anomaly) -> Value {
    let mut fields = match anomaly.layer {
        Layer::Decode => json!({"type": "decode"}),
        Layer::Stream => json!({"type": "stream"}),
        Layer::Application => json!({
            "type": "applayer",
            "app_proto": anomaly.application.as_str(),
            "layer": if anomaly.name.starts_with(DETECTION) { "proto_detect" } else { "proto_parser" },
        }),
    };
    if let Some(map) = fields.as_object_mut() {
        map.insert("event".to_owned(), anomaly.name.into());
    }
    fields
}

pub(super) fn of_flow(anomaly: &Anomaly) -> Entry {
    Entry::new("anomaly", anomaly.from_originator, fields(anomaly))
}

pub(super) fn of_frame(vlan: Option<u16>, ends: Option<(IpAddr, IpAddr)>, anomaly: &Anomaly) -> Entry {
    let mut entry = Entry::new("anomaly", true, fields(anomaly));
    if let Some((source, destination)) = ends {
        entry = entry.with("src_ip", text(source)).with("dest_ip", text(destination));
    }
    if let Some(vlan) = vlan {
        entry = entry.with("vlan", vec![vlan]);
    }
    entry
}
