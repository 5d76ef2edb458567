//! EVE of tls, and the last record of an RDP connection that goes on as TLS.

use sekimori_sensor::event::tls::{Carrier, CertificateContent, Fingerprint, Name};
use sekimori_sensor::event::{Application, Certificate, TlsConnection};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &TlsConnection) -> Vec<Entry> {
    if one.carrier != Carrier::Tls {
        return Vec::new();
    }
    if one.after == Application::Rdp {
        return of_rdp(one).into_iter().collect();
    }
    if one.version == 0 {
        return Vec::new();
    }
    vec![Entry::new("tls", one.client_is_originator, Value::Object(fields(one)))]
}

fn fields(one: &TlsConnection) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    if let Some(leaf) = one.server_chain.first() {
        for (key, value) in certificate(leaf) {
            put(key, value);
        }
    }
    if let Some(leaf) = one.client_chain.first() {
        let client: Map<_, _> =
            certificate(leaf).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        put("client", Value::Object(client));
    }
    if one.resumed {
        put("session_resumed", true.into());
    }
    if one.after != Application::Unknown {
        put("from_proto", one.after.as_str().into());
    }
    if let Some(name) = &one.server_name {
        put("sni", (**name).into());
    }
    put("version", version(one.version).into());
    if let Some(ja3) = &one.ja3 {
        put("ja3", fingerprint(ja3));
    }
    if let Some(ja3s) = &one.ja3s {
        put("ja3s", fingerprint(ja3s));
    }
    if !one.ja4.is_empty() {
        put("ja4", (*one.ja4).into());
    }
    if !one.earlier_ja4.is_empty() {
        // Not Suricata's: it has room for one.
        let all = one.earlier_ja4.iter().chain([&one.ja4]);
        put("ja4_hellos", all.map(|ja4| &**ja4).collect());
    }
    for (key, protocols) in [("client_alpns", &one.client_protocols), ("server_alpns", &one.server_protocols)]
    {
        if !protocols.is_empty() {
            put(key, protocols.iter().map(|protocol| &**protocol).collect());
        }
    }
    fields
}

fn certificate(leaf: &Certificate) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    if let Some(content) = &leaf.content {
        let CertificateContent { subject, issuer, serial, names, not_before, not_after, .. } = &**content;
        fields.extend([
            ("subject", distinguished(subject).into()),
            ("issuerdn", distinguished(issuer).into()),
            ("serial", colons(serial, |byte| format!("{byte:02X}")).into()),
        ]);
        if !names.dns.is_empty() {
            fields.push(("subjectaltname", names.dns.iter().map(|name| &**name).collect()));
        }
        fields.extend([("notbefore", time(*not_before).into()), ("notafter", time(*not_after).into())]);
    }
    fields.push(("fingerprint", colons(&leaf.sha1, |byte| format!("{byte:02x}")).into()));
    fields
}

/// Certificates end RDP's negotiation.
fn of_rdp(one: &TlsConnection) -> Option<Entry> {
    let serials = one.server_chain.iter().filter_map(|certificate| certificate.content.as_deref());
    let serials = serials.map(|content| content.serial.iter().map(|byte| format!("{byte:02x}")).collect());
    let serials: Vec<String> = serials.collect();
    let fields = json!({"tx_id": 2, "event_type": "tls_handshake", "x509_serials": &serials});
    (!serials.is_empty()).then(|| Entry::new("rdp", !one.client_is_originator, fields))
}

pub(super) fn fingerprint(one: &Fingerprint) -> Value {
    let hash: String = one.md5.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"hash": hash, "string": &*one.text})
}

fn colons(bytes: &[u8], byte: fn(&u8) -> String) -> String {
    bytes.iter().map(byte).collect::<Vec<_>>().join(":")
}

/// `2015-02-12T18:07:27`.
fn time(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%S", &at.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}

/// `C=JP, O=Example, CN=example.org`.
fn distinguished(name: &Name) -> String {
    let mut text = String::new();
    for attribute in &name.0 {
        if !text.is_empty() {
            text.push_str(if attribute.joined { " + " } else { ", " });
        }
        text.push_str(&attribute_type(&attribute.oid));
        text.push('=');
        text.push_str(&attribute.value);
    }
    text
}

/// Suricata's name of an attribute type.
fn attribute_type(oid: &str) -> String {
    let name = match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "surname",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "streetAddress",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.16" => "postalAddress",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "givenName",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.45" => "uniqueIdentifier",
        "2.5.4.46" => "dnQualifier",
        "0.9.2342.19200300.100.1.1" => "uid",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "Email",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "1.3.6.1.4.1.311.60.2.1.1" => "msJurisdictionLocality",
        "1.3.6.1.4.1.311.60.2.1.2" => "msJurisdictionStateOrProvince",
        "1.3.6.1.4.1.311.60.2.1.3" => "msJurisdictionCountry",
        other => return format!("OID({other})"),
    };
    name.to_owned()
}

fn version(version: u16) -> String {
    match version {
        0x0002 => "SSLv2".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        0x7f00..=0x7f0f => "TLS 1.3 draft-<16".to_owned(),
        draft if draft >> 8 == 0x7f => format!("TLS 1.3 draft-{}", draft & 0x7f),
        _ => "UNDETERMINED".to_owned(),
    }
}
