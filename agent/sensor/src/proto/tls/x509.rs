//! X.509 certificates and names (RFC 5280): what they say, in owned and bounded form.

use core::net::IpAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::der_parser::asn1_rs::{Any, BmpString, FromDer as _, Oid, Tag};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::public_key::{PublicKey as Parsed, RSAPublicKey};
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};
use x509_parser::{certificate::X509Certificate, parse_x509_certificate};

use crate::event::Certificate;
use crate::event::tls::{AlternativeNames, Attribute, CertificateContent, Name, PublicKey};
use crate::proto::digits::push_decimal;
use crate::proto::reader::Reader;

/// Attributes of a name that are kept; real ones have fewer than twenty.
const ATTRIBUTES_MAX: usize = 64;
/// Alternative names of one kind that are kept; the largest certificates in use have some hundred.
const NAMES_MAX: usize = 1_024;
/// Elliptic curve P-521: its field is no whole number of bytes.
const P521: &str = "1.3.132.0.35";

/// Reads a certificate; what cannot be read still has its fingerprints.
pub(in crate::proto) fn certificate(der: &[u8]) -> Certificate {
    let content = parse_x509_certificate(der).ok().map(|(_, parsed)| Box::new(content(&parsed)));
    Certificate {
        sha1: hash(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
        sha256: hash(digest(&SHA256, der).as_ref()),
        content,
    }
}

/// Reads a distinguished name; empty if it is none.
pub(super) fn name(der: &[u8]) -> Name {
    X509Name::from_der(der).map(|(_, parsed)| attributes(&parsed)).unwrap_or_default()
}

fn hash<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.try_into().unwrap_or([0; N])
}

fn content(parsed: &X509Certificate<'_>) -> CertificateContent {
    let mut content = CertificateContent {
        version: parsed.version.0.saturating_add(1),
        serial: parsed.raw_serial().into(),
        subject: attributes(&parsed.subject),
        issuer: attributes(&parsed.issuer),
        not_before: parsed.validity.not_before.timestamp(),
        not_after: parsed.validity.not_after.timestamp(),
        signature_algorithm: dotted(&parsed.signature_algorithm.algorithm),
        key: public_key(&parsed.tbs_certificate.subject_pki),
        ..CertificateContent::default()
    };
    for extension in parsed.extensions() {
        let parsed = extension.parsed_extension();
        if let ParsedExtension::BasicConstraints(constraints) = parsed {
            content.authority = Some(constraints.ca);
            content.path_len = constraints.path_len_constraint;
        } else if let ParsedExtension::SubjectAlternativeName(names) = parsed {
            content.names = alternatives(&names.general_names);
        }
    }
    content
}

fn alternatives(listed: &[GeneralName<'_>]) -> AlternativeNames {
    let (mut dns, mut uri, mut email, mut ip) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in listed.iter().take(NAMES_MAX) {
        match name {
            GeneralName::DNSName(name) => dns.push((*name).into()),
            GeneralName::URI(name) => uri.push((*name).into()),
            GeneralName::RFC822Name(name) => email.push((*name).into()),
            GeneralName::IPAddress(bytes) => ip.extend(address(bytes)),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => {}
        }
    }
    AlternativeNames { dns: dns.into(), uri: uri.into(), email: email.into(), ip: ip.into() }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn public_key(info: &SubjectPublicKeyInfo<'_>) -> PublicKey {
    /// PKCS #1: also the signature algorithms, which some name instead of the key's.
    const RSA: &str = "1.2.840.113549.1.1.";
    let algorithm = dotted(&info.algorithm.algorithm);
    let data = &info.subject_public_key.data;
    let parameter = info.algorithm.parameters.as_ref().and_then(|any| any.clone().oid().ok());
    let curve = parameter.as_ref().map(dotted);
    let bits = |bytes: usize| u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX);
    let mut key = PublicKey { bits: bits(data.len()), curve: None, exponent: None, algorithm };
    if key.algorithm.starts_with(RSA)
        && let Ok((_, rsa)) = RSAPublicKey::from_der(data)
    {
        key.bits = modulus_bits(rsa.modulus);
        key.exponent = rsa.try_exponent().ok();
        return key;
    }
    match info.parsed() {
        Ok(Parsed::EC(point)) => {
            let size = u32::try_from(point.key_size()).unwrap_or(u32::MAX);
            key.bits = if curve.as_deref() == Some(P521) { 521 } else { size };
            key.curve = curve;
        }
        Ok(Parsed::DSA(_)) => {
            let parameters = info.algorithm.parameters.as_ref();
            key.bits = parameters.and_then(|any| first_integer(any.data)).map_or(key.bits, modulus_bits);
        }
        Ok(Parsed::RSA(_) | Parsed::GostR3410(_) | Parsed::GostR3410_2012(_) | Parsed::Unknown(_))
        | Err(_) => {}
    }
    key
}

/// The first integer of a DER sequence's content.
fn first_integer(sequence: &[u8]) -> Option<&[u8]> {
    Any::from_der(sequence).ok().map(|(_, any)| any.data)
}

fn modulus_bits(modulus: &[u8]) -> u32 {
    let significant = modulus.iter().position(|byte| *byte != 0).and_then(|zeros| modulus.get(zeros..));
    let significant = significant.unwrap_or_default();
    let unused = significant.first().map_or(0, |first| first.leading_zeros());
    u32::try_from(significant.len().saturating_mul(8)).unwrap_or(u32::MAX).saturating_sub(unused)
}

fn attributes(name: &X509Name<'_>) -> Name {
    let mut list = Vec::new();
    for set in name.iter_rdn() {
        for (place, attribute) in set.iter().enumerate() {
            if list.len() < ATTRIBUTES_MAX {
                list.push(Attribute {
                    joined: place > 0,
                    oid: dotted(attribute.attr_type()),
                    value: text(attribute.attr_value()).into(),
                });
            }
        }
    }
    Name(list.into_boxed_slice())
}

/// A directory string, whatever its encoding.
fn text(value: &Any<'_>) -> String {
    match value.tag() {
        Tag::BmpString => {
            let text = BmpString::try_from(value.clone()).map(|text| text.string());
            text.unwrap_or_default()
        }
        Tag::UniversalString => {
            let chars = value.data.as_chunks::<4>().0.iter().map(|four| u32::from_be_bytes(*four));
            chars.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Tag::T61String => match core::str::from_utf8(value.data) {
            Ok(text) => text.to_owned(),
            // T.61 is used as if it were Latin-1.
            Err(_) => value.data.iter().map(|byte| char::from(*byte)).collect(),
        },
        _ => String::from_utf8_lossy(value.data).into_owned(),
    }
}

/// `1.2.840.113549`; an arc that does not fit 64 bits ends it.
fn dotted(oid: &Oid<'_>) -> Box<str> {
    let mut reader = Reader(oid.as_bytes());
    let mut text = String::with_capacity(2 * oid.as_bytes().len() + 4);
    let mut arc = 0_u64;
    while let Some(byte) = reader.u8() {
        let Some(shifted) = arc.checked_mul(128) else { break };
        arc = shifted | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if text.is_empty() {
                let first = (arc / 40).min(2);
                push_decimal(&mut text, first);
                arc -= first * 40;
            }
            text.push('.');
            push_decimal(&mut text, arc);
            arc = 0;
        }
    }
    text.into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_object_identifiers() {
        for (der, expected) in [
            (&b"\x55\x04\x03"[..], "2.5.4.3"),
            (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", "1.2.840.113549.1.1.11"),
            (b"\x88\x37", "2.999"),
            (b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "1.2"),
            (b"\x2a\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "1.2.18446744073709551615"),
            (b"", ""),
        ] {
            assert_eq!(&*dotted(&Oid::new(der.into())), expected, "{der:x?}");
        }
    }

    #[test]
    fn counts_the_bits_of_a_modulus() {
        for (modulus, expected) in [(&b"\0\x80\0"[..], 16), (b"\x01\0", 9), (b"\0\0", 0), (b"", 0)] {
            assert_eq!(modulus_bits(modulus), expected, "{modulus:x?}");
        }
    }

    #[test]
    fn what_is_no_certificate_still_has_fingerprints() {
        let broken = certificate(b"no certificate");
        assert_eq!(broken.content, None);
        assert_ne!(broken.sha1, [0; 20]);
        assert_ne!(broken.sha256, [0; 32]);
        assert_eq!(name(b"no name"), Name::default());
    }
}
