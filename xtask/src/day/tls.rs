//! TLS 1.2 in clear as far as it goes: certificates that are seen on the wire.

use super::der::{integer, object, octets, sequence, tlv};
use crate::pcaps::capture::Rng;

/// rsaEncryption.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// sha256WithRSAEncryption.
const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
/// commonName.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// subjectAltName.
const ALTERNATIVE: &[u8] = &[0x55, 0x1d, 0x11];

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &u16::try_from(body.len()).unwrap_or_default().to_be_bytes(), body].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    [&[kind, length[1], length[2], length[3]][..], body].concat()
}

fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[object(COMMON_NAME), tlv(0x0c, common.as_bytes())]);
    sequence(&[tlv(0x31, &attribute)])
}

/// A certificate of these names, with a key that nobody has.
pub(super) fn certificate(
    rng: &mut Rng,
    subject: &str,
    issuer: &str,
    (from, until): (&str, &str),
) -> Vec<u8> {
    let algorithm = |oid: &[u8]| sequence(&[object(oid), tlv(5, &[])]);
    let mut modulus = rng.bytes(256);
    if let Some(first) = modulus.first_mut() {
        *first |= 0x80;
    }
    let modulus = tlv(2, &[&[0][..], &modulus].concat());
    let key = sequence(&[modulus, integer(65_537)]);
    let key = sequence(&[algorithm(RSA), tlv(3, &[&[0][..], &key].concat())]);
    let alternative = octets(&sequence(&[tlv(0x82, subject.as_bytes())]));
    let extensions = tlv(0xa3, &sequence(&[sequence(&[object(ALTERNATIVE), alternative])]));
    let body = sequence(&[
        tlv(0xa0, &integer(2)),
        integer(rng.number() >> 1),
        algorithm(SHA256_RSA),
        name(issuer),
        sequence(&[tlv(0x17, from.as_bytes()), tlv(0x17, until.as_bytes())]),
        name(subject),
        key,
        extensions,
    ]);
    sequence(&[body, algorithm(SHA256_RSA), tlv(3, &[&[0][..], &rng.bytes(256)].concat())])
}

/// A server's first flight with a certificate that names itself as issuer.
pub(super) fn self_signed_flight(rng: &mut Rng, subject: &str) -> Vec<u8> {
    let certificate = certificate(rng, subject, subject, ("210401000000Z", "310401000000Z"));
    flight(rng, &certificate)
}

/// A server's first flight with this certificate.
pub(super) fn flight(rng: &mut Rng, certificate: &[u8]) -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend(rng.bytes(32));
    hello.push(32);
    hello.extend(rng.bytes(32));
    hello.extend([0xc0, 0x2f, 0, 0, 5, 0xff, 1, 0, 1, 0]);
    let three = |length: usize| u32::try_from(length).unwrap_or_default().to_be_bytes();
    let (all, one) = (three(certificate.len() + 3), three(certificate.len()));
    let list = [&all[1..], &one[1..], certificate].concat();
    let mut exchange = vec![3, 0, 0x1d, 32];
    exchange.extend(rng.bytes(32));
    exchange.extend([4, 1, 1, 0]);
    exchange.extend(rng.bytes(256));
    let messages = [handshake(2, &hello), handshake(11, &list), handshake(12, &exchange), handshake(14, &[])];
    record(22, &messages.concat())
}

/// A client's key, and that it encrypts from now on.
pub(super) fn key_exchange(rng: &mut Rng) -> Vec<u8> {
    let key = [&[32][..], &rng.bytes(32)].concat();
    [record(22, &handshake(16, &key)), finished(rng)].concat()
}

/// Encrypted from now on.
pub(super) fn finished(rng: &mut Rng) -> Vec<u8> {
    [record(20, &[1]), record(22, &rng.bytes(40))].concat()
}
