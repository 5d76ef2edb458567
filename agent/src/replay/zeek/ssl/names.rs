//! Names within certificates as OpenSSL writes them, which is how Zeek's logs have them.

use sekimori_sensor::event::tls::Name;

/// A distinguished name by RFC 2253: last attribute first, everything beyond ASCII escaped.
pub(super) fn distinguished(name: &Name) -> String {
    let mut text = String::new();
    // An attribute that is joined to the one before it is, read backwards, joined to the one after it.
    let mut separator = "";
    for attribute in name.0.iter().rev() {
        text.push_str(separator);
        text.push_str(attribute_type(&attribute.oid));
        text.push('=');
        escape(&attribute.value, &mut text);
        separator = if attribute.joined { "+" } else { "," };
    }
    text
}

fn escape(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let special = matches!(byte, b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';')
            || (at == 0 && matches!(byte, b'#' | b' '))
            || (at == last && byte == b' ');
        if !(0x20..0x7f).contains(&byte) {
            text.push_str(&format!("\\{byte:02X}"));
        } else {
            if special {
                text.push('\\');
            }
            text.push(char::from(byte));
        }
    }
}

/// OpenSSL's short name of an attribute type, or its OID.
fn attribute_type(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.16" => "postalAddress",
        "2.5.4.17" => "postalCode",
        "2.5.4.20" => "telephoneNumber",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.45" => "x500UniqueIdentifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        other => other,
    }
}

/// OpenSSL's long name of an algorithm or curve, or its OID.
pub(super) fn algorithm(oid: &str) -> &str {
    match oid {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14" => "sha224WithRSAEncryption",
        "1.3.14.3.2.29" => "sha1WithRSA",
        "1.2.840.10040.4.1" => "dsaEncryption",
        "1.2.840.10040.4.3" => "dsaWithSHA1",
        "2.16.840.1.101.3.4.3.2" => "dsa_with_SHA256",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.10045.3.1.1" => "prime192v1",
        "1.2.840.10045.3.1.7" => "prime256v1",
        "1.3.132.0.10" => "secp256k1",
        "1.3.132.0.33" => "secp224r1",
        "1.3.132.0.34" => "secp384r1",
        "1.3.132.0.35" => "secp521r1",
        "1.3.36.3.3.2.8.1.1.7" => "brainpoolP256r1",
        "1.3.36.3.3.2.8.1.1.11" => "brainpoolP384r1",
        "1.3.36.3.3.2.8.1.1.13" => "brainpoolP512r1",
        "1.2.156.10197.1.301" => "SM2",
        "1.2.156.10197.1.501" => "SM2-with-SM3",
        "1.3.101.112" => "ED25519",
        "1.3.101.113" => "ED448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        other => other,
    }
}

/// Zeek's name of a kind of key.
pub(super) fn key_type(oid: &str) -> &str {
    match algorithm(oid) {
        name if oid.starts_with("1.2.840.113549.1.1.") && name != oid => "rsa",
        "dsaEncryption" => "dsa",
        "id-ecPublicKey" => "ecdsa",
        other => other,
    }
}

/// A certificate is for a host (RFC 6125): by its alternative names, or by its common name if it has none.
pub(super) fn is_for(host: &str, alternatives: &[Box<str>], common: Option<&str>) -> bool {
    match alternatives {
        [] => common.is_some_and(|pattern| matches(pattern, host)),
        names => names.iter().any(|pattern| matches(pattern, host)),
    }
}

/// A `*` stands for the whole first label.
fn matches(pattern: &str, host: &str) -> bool {
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => {
            !label.is_empty() && parent.contains('.') && parent.eq_ignore_ascii_case(rest)
        }
        (Some(_), None) => false,
        (None, _) => pattern.eq_ignore_ascii_case(host),
    }
}

/// Zeek's name of an elliptic curve or group (IANA, "TLS Supported Groups").
pub(super) fn group(group: u16) -> String {
    const FIRST: [&str; 41] = [
        "sect163k1",
        "sect163r1",
        "sect163r2",
        "sect193r1",
        "sect193r2",
        "sect233k1",
        "sect233r1",
        "sect239k1",
        "sect283k1",
        "sect283r1",
        "sect409k1",
        "sect409r1",
        "sect571k1",
        "sect571r1",
        "secp160k1",
        "secp160r1",
        "secp160r2",
        "secp192k1",
        "secp192r1",
        "secp224k1",
        "secp224r1",
        "secp256k1",
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "brainpoolP256r1",
        "brainpoolP384r1",
        "brainpoolP512r1",
        "x25519",
        "x448",
        "brainpoolP256r1tls13",
        "brainpoolP384r1tls13",
        "brainpoolP512r1tls13",
        "GC256A",
        "GC256B",
        "GC256C",
        "GC256D",
        "GC512A",
        "GC512B",
        "GC512C",
        "curveSM2",
    ];
    let name = match group {
        256 => "ffdhe2048",
        257 => "ffdhe3072",
        258 => "ffdhe4096",
        259 => "ffdhe6144",
        260 => "ffdhe8192",
        512 => "MLKEM512",
        513 => "MLKEM768",
        514 => "MLKEM1024",
        4587 => "SecP256r1MLKEM768",
        4588 => "X25519MLKEM768",
        4589 => "SecP384r1MLKEM1024",
        25_497 => "X25519Kyber768Draft00",
        25_498 => "SecP256r1Kyber768Draft00",
        other => match usize::from(other).checked_sub(1).and_then(|at| FIRST.get(at)) {
            Some(name) => name,
            None => return format!("unknown-{other}"),
        },
    };
    name.to_owned()
}

/// Zeek's name of an alert (IANA, "TLS Alerts").
pub(super) fn alert(description: u8) -> String {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        117 => "general_error",
        120 => "no_application_protocol",
        121 => "ech_required",
        other => return format!("unknown-{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use sekimori_sensor::event::tls::Attribute;

    use super::*;

    #[test]
    fn writes_names_backwards_and_escaped() {
        let attribute =
            |joined, oid: &str, value: &str| Attribute { joined, oid: oid.into(), value: value.into() };
        let name = Name(
            vec![
                attribute(false, "2.5.4.6", "JP"),
                attribute(false, "2.5.4.10", "A, Inc."),
                attribute(true, "2.5.4.3", "\u{e9} "),
                attribute(false, "1.2.3", "#x"),
            ]
            .into(),
        );
        assert_eq!(distinguished(&name), "1.2.3=\\#x,CN=\\C3\\A9\\ +O=A\\, Inc.,C=JP");
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let names = ["*.example.org".into(), "example.org".into()];
        for (host, expected) in [
            ("www.example.org", true),
            ("EXAMPLE.org", true),
            ("a.b.example.org", false),
            (".example.org", false),
            ("example.com", false),
        ] {
            assert_eq!(is_for(host, &names, Some("example.com")), expected, "{host}");
        }
        assert!(is_for("example.com", &[], Some("example.com")));
        assert!(!is_for("x.org", &["*.org".into()], None));
    }
}
