//! Identifiers, observables and markings of STIX 2.1.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};

use crate::export::Tlp;
use crate::export::text::Observable;

/// The standard's namespace for observables (STIX 2.1, 2.9).
const OBSERVABLES: [u8; 16] =
    [0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7];
/// Ours, for everything else: made once at random.
const SEKIMORI: [u8; 16] =
    [0x5e, 0x0b, 0x1f, 0x6a, 0x93, 0xc4, 0x4d, 0x27, 0xa8, 0x31, 0x7e, 0x52, 0xd9, 0x0c, 0x68, 0xf4];
/// The OASIS extension for TLP 2.0.
const TLP_2: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";

/// What one producer's identifiers are made in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespace([u8; 16]);

impl Namespace {
    /// Two producers never have the same identifier for different things.
    pub(super) fn of(producer: &str) -> Self {
        Self(version_5(&SEKIMORI, producer.as_bytes()))
    }

    /// The identifier of a thing with this name. Parts may hold anything: each has its length before it.
    pub(super) fn id(self, kind: &str, name: &[&str]) -> String {
        let mut bytes = kind.as_bytes().to_vec();
        for part in name {
            bytes.extend_from_slice(format!("/{}:", part.len()).as_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        format!("{kind}--{}", shown(&version_5(&self.0, &bytes)))
    }
}

/// RFC 9562, 5.5.
fn version_5(namespace: &[u8; 16], name: &[u8]) -> [u8; 16] {
    let mut bytes = namespace.to_vec();
    bytes.extend_from_slice(name);
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut id;
    *version = *version & 0x0f | 0x50;
    *variant = *variant & 0x3f | 0x80;
    id
}

fn shown(id: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// An observable, under the identifier that everybody gives it: of its kind and the properties that make it what it is, as
/// canonical JSON (RFC 8785; keys in order, nothing but ASCII in these).
fn observable(kind: &str, made_of: &Value) -> Value {
    let id = shown(&version_5(&OBSERVABLES, made_of.to_string().as_bytes()));
    let mut object = made_of.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("type".to_owned(), kind.into());
        fields.insert("spec_version".to_owned(), "2.1".into());
        fields.insert("id".to_owned(), format!("{kind}--{id}").into());
    }
    object
}

/// An address, a domain, a file.
pub(super) fn sco(of: &Observable) -> Value {
    match of {
        Observable::Ip(address) => {
            let kind = if address.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" };
            observable(kind, &json!({ "value": address.to_string() }))
        }
        Observable::Mac(value) => observable("mac-addr", &json!({ "value": value })),
        Observable::Domain(value) => observable("domain-name", &json!({ "value": value })),
        Observable::FileSha256(value) => observable("file", &json!({ "hashes": { "SHA-256": value } })),
    }
}

/// From one address to another.
pub(super) fn traffic(from: &Value, to: &Value, protocol: &str) -> Value {
    let id = |end: &Value| end.get("id").cloned().unwrap_or_default();
    let made_of = json!({ "src_ref": id(from), "dst_ref": id(to), "protocols": [protocol] });
    observable("network-traffic", &made_of)
}

/// With whom things may be shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marking {
    tlp: Tlp,
    /// Its identifier; everybody uses the same.
    pub(super) id: &'static str,
}

impl Marking {
    pub(super) const fn of(tlp: Tlp) -> Self {
        let id = match tlp {
            Tlp::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
            Tlp::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
            Tlp::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
            Tlp::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
            Tlp::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
        };
        Self { tlp, id }
    }

    /// As OASIS publishes it.
    pub(super) fn object(self) -> Value {
        let name = self.tlp.as_str();
        json!({
            "type": "marking-definition", "spec_version": "2.1", "id": self.id,
            "created": "2022-10-01T00:00:00.000Z", "name": format!("TLP:{}", name.to_ascii_uppercase()),
            "extensions": { TLP_2: { "extension_type": "property-extension", "tlp_2_0": name } },
        })
    }

    /// An object that bears it.
    pub(super) fn on(self, mut object: Value) -> Value {
        if let Some(fields) = object.as_object_mut() {
            fields.insert("object_marking_refs".to_owned(), json!([self.id]));
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_of_the_standards() {
        // RFC 9562, A.4: www.example.com in the namespace of DNS.
        let dns =
            [0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];
        assert_eq!(shown(&version_5(&dns, b"www.example.com")), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
        // STIX 2.1, 2.9 and 6.4, the examples there.
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        let address = sco(&Observable::Ip("198.51.100.3".parse().unwrap()));
        assert_eq!(id(&address), "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4");
        let domain = sco(&Observable::Domain("example.com".to_owned()));
        assert_eq!(id(&domain), "domain-name--bedb4899-d24b-5401-bc86-8f6b4cc18ec7");
    }

    #[test]
    fn names_that_run_into_one_another_are_two() {
        let one = Namespace::of("長崎県");
        assert_ne!(one.id("note", &["a", "b"]), one.id("note", &["ab", ""]));
        assert_ne!(one.id("note", &["a"]), Namespace::of("佐賀県").id("note", &["a"]));
        assert_eq!(one.id("note", &["a"]), Namespace::of("長崎県").id("note", &["a"]));
        assert_eq!(one.id("note", &["a"]).len(), "note--".len() + 36);
    }
}
