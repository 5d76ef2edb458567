//! JA3 and JA3S, the older fingerprints of TLS clients and servers (Salesforce's, BSD-3): MD5 of what they offer and choose.

use md5::{Digest as _, Md5};

use super::hello::{ClientFields, ServerFields};
use crate::event::tls::Fingerprint;
use crate::proto::digits::push_decimal;

pub(super) fn of_client(fields: &ClientFields<'_>) -> Fingerprint {
    let mut text = fields.legacy_version.to_string();
    list(&mut text, fields.ciphers.iter().copied());
    list(&mut text, fields.kinds());
    list(&mut text, fields.groups.iter().copied());
    list(&mut text, fields.point_formats.iter().copied().map(u16::from));
    hashed(text)
}

pub(super) fn of_server(fields: &ServerFields<'_>) -> Fingerprint {
    let mut text = format!("{},{}", fields.legacy_version, fields.cipher);
    list(&mut text, fields.extensions.iter().map(|(kind, _)| *kind));
    hashed(text)
}

/// `,1-2-3`.
fn list(text: &mut String, values: impl Iterator<Item = u16>) {
    let mut between = ',';
    for value in values {
        text.push(between);
        push_decimal(text, value.into());
        between = '-';
    }
    if between == ',' {
        text.push(',');
    }
}

fn hashed(text: String) -> Fingerprint {
    Fingerprint { md5: Md5::digest(text.as_bytes()).into(), text: text.into_boxed_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The two examples of the method's own description.
    #[test]
    fn agrees_with_the_description() {
        let extensions = [0, 10, 11].map(|kind| (kind, &[][..])).to_vec();
        let fields = ClientFields {
            legacy_version: 769,
            ciphers: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions,
            groups: vec![23, 24, 25],
            point_formats: &[0],
            ..ClientFields::default()
        };
        let ja3 = of_client(&fields);
        assert_eq!(&*ja3.text, "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0");
        assert_eq!(hex(&ja3.md5), "ada70206e40642a3e4461f35503241d5");

        let bare = ClientFields {
            legacy_version: 769,
            ciphers: vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99],
            ..ClientFields::default()
        };
        let ja3 = of_client(&bare);
        assert_eq!(&*ja3.text, "769,4-5-10-9-100-98-3-6-19-18-99,,,");
        assert_eq!(hex(&ja3.md5), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn a_server_is_told_by_version_cipher_and_extensions() {
        let extensions = [65281, 11, 35].map(|kind| (kind, &[][..])).to_vec();
        let fields =
            ServerFields { legacy_version: 769, cipher: 49171, extensions, ..ServerFields::default() };
        let ja3s = of_server(&fields);
        assert_eq!(&*ja3s.text, "769,49171,65281-11-35");
        assert_eq!(hex(&ja3s.md5), "39f74f5618836d3c5f7dcccc9f67ba75");
    }
}
