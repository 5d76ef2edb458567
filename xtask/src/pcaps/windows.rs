//! What Windows hosts and their services say to each other: DCE/RPC, Kerberos, RDP's first messages, remote management.
//! Built after C706, RFC 4120, MS-RDPBCGR and MS-WSMV.

use std::net::IpAddr;

use super::capture::{Capture, MILLI, Tcp};
use super::craft::{End, end};

/// An interface by its UUID as it is sent (first three fields low byte first), and its major version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface([u8; 16], u16);

/// Services (MS-SCMR).
pub(crate) const SVCCTL: Interface = Interface(
    [0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0x00, 0x10, 0x03],
    2,
);
/// Scheduled tasks (MS-TSCH).
pub(crate) const TASKS: Interface = Interface(
    [0x49, 0x59, 0xd3, 0x86, 0xc9, 0x83, 0x44, 0x40, 0xb4, 0x24, 0xdb, 0x36, 0x32, 0x31, 0xfd, 0x0c],
    1,
);
/// Management objects (MS-WMI).
pub(crate) const WMI: Interface = Interface(
    [0x99, 0xdc, 0x56, 0x95, 0x8c, 0x82, 0xcf, 0x11, 0xa3, 0x7e, 0x00, 0xaa, 0x00, 0x32, 0x40, 0xc7],
    0,
);
/// Replication of the directory (MS-DRSR).
pub(crate) const DRSUAPI: Interface = Interface(
    [0x35, 0x42, 0x51, 0xe3, 0x06, 0x4b, 0xd1, 0x11, 0xab, 0x04, 0x00, 0xc0, 0x4f, 0xc2, 0xdc, 0xd2],
    4,
);
/// Secure channel (MS-NRPC).
pub(crate) const NETLOGON: Interface = Interface(
    [0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0xcf, 0xfb],
    1,
);
/// Shares and sessions (MS-SRVS).
pub(crate) const SRVSVC: Interface = Interface(
    [0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88],
    3,
);
/// Printers (MS-RPRN).
pub(crate) const SPOOLSS: Interface = Interface(
    [0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab],
    1,
);

/// A message of DCE/RPC version 5, whole, low bytes first.
fn message(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 16).unwrap_or_default().to_le_bytes();
    let head = [5, 0, kind, 3, 0x10, 0, 0, 0, length[0], length[1], 0, 0];
    [&head[..], &call.to_le_bytes(), body].concat()
}

/// The transfer syntax that everybody speaks (NDR, version 2).
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0,
    0,
];

fn bind(interface: Interface) -> Vec<u8> {
    let sizes = [0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
    message(11, 1, &[&sizes[..], &interface.0, &interface.1.to_le_bytes(), &[0, 0], &NDR].concat())
}

fn bound() -> Vec<u8> {
    let head = [0xd0, 0x16, 0xd0, 0x16, 1, 0, 0, 0, 4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    message(12, 1, &[&head[..], &NDR].concat())
}

/// A connection on which these operations are called one after the other, each with random arguments of this length; gives
/// the time of its end.
pub(crate) fn calls(
    capture: &mut Capture,
    at: u64,
    ends: (IpAddr, End),
    interface: Interface,
    operations: &[(u16, usize)],
) -> u64 {
    let arguments: Vec<_> =
        operations.iter().map(|(operation, length)| (*operation, capture.rng.bytes(*length))).collect();
    calls_with(capture, at, ends, interface, &arguments)
}

/// The same with given arguments.
pub(crate) fn calls_with(
    capture: &mut Capture,
    at: u64,
    (from, to): (IpAddr, End),
    interface: Interface,
    operations: &[(u16, Vec<u8>)],
) -> u64 {
    let results: Vec<_> = operations.iter().map(|_| capture.rng.bytes(24)).collect();
    let from = end(from, capture.port());
    let mut tcp = Tcp::open(capture, at, from, to);
    tcp.ask(&bind(interface)).answer(&bound());
    for (call, ((operation, arguments), result)) in (2..).zip(operations.iter().zip(&results)) {
        let hint = u32::try_from(arguments.len()).unwrap_or_default().to_le_bytes();
        let ask = [&hint[..], &[0, 0], &operation.to_le_bytes(), arguments].concat();
        tcp.ask(&message(0, call, &ask)).wait(3 * MILLI);
        tcp.answer(&message(2, call, &[&[24, 0, 0, 0, 0, 0, 0, 0][..], result].concat()));
    }
    tcp.close()
}

/// An element of ASN.1's distinguished encoding.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![tag, short],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap_or_default().to_be_bytes()].concat(),
    };
    [&head[..], content].concat()
}

fn sequence(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &tlv(0x30, &parts.concat()))
}

fn number(field: u8, value: u8) -> Vec<u8> {
    tlv(field, &[2, 1, value])
}

fn string(text: &str) -> Vec<u8> {
    tlv(0x1b, text.as_bytes())
}

fn name(field: u8, name: &str) -> Vec<u8> {
    let list: Vec<u8> = name.split('/').flat_map(string).collect();
    sequence(field, &[number(0xa0, 1), tlv(0xa1, &tlv(0x30, &list))])
}

const REALM: &str = "CITY.EXAMPLE";
/// Preauthentication by an encrypted timestamp.
const TIMESTAMP: u8 = 2;
/// AES-256 and RC4.
pub(crate) const AES: u8 = 18;
/// See [`AES`].
pub(crate) const RC4: u8 = 23;

/// A request for a ticket: 10 of the authentication service, 12 of the ticket granting service.
fn request(kind: u8, client: Option<&str>, service: &str, proof: bool, encryption: u8) -> Vec<u8> {
    let mut body = vec![tlv(0xa0, &[3, 5, 0, 0x40, 0x81, 0, 0x10])];
    body.extend(client.map(|client| name(0xa1, client)));
    body.push(tlv(0xa2, &string(REALM)));
    body.push(name(0xa3, service));
    body.push(tlv(0xa5, &tlv(0x18, b"20370913024805Z")));
    body.push(number(0xa7, 9));
    body.push(tlv(0xa8, &tlv(0x30, &[2, 1, encryption])));
    let mut parts = vec![number(0xa1, 5), number(0xa2, kind)];
    if proof {
        let data = [number(0xa1, TIMESTAMP), tlv(0xa2, &tlv(4, &[0x5a; 56]))];
        parts.push(tlv(0xa3, &sequence(0x30, &data)));
    }
    parts.push(sequence(0xa4, &body));
    sequence(0x60 | kind, &parts)
}

fn error(code: u8) -> Vec<u8> {
    let parts = [
        number(0xa0, 5),
        number(0xa1, 30),
        tlv(0xa4, &tlv(0x18, b"20261102090000Z")),
        number(0xa5, 1),
        number(0xa6, code),
        tlv(0xa9, &string(REALM)),
        name(0xaa, &format!("krbtgt/{REALM}")),
    ];
    sequence(0x7e, &parts)
}

/// A reply: 11 of the authentication service, 13 of the ticket granting service.
fn reply(kind: u8, client: &str, service: &str, encryption: u8) -> Vec<u8> {
    let sealed = |field, bytes: usize| {
        sequence(field, &[number(0xa0, encryption), tlv(0xa2, &tlv(4, &vec![0x5a; bytes]))])
    };
    let ticket = [number(0xa0, 5), tlv(0xa1, &string(REALM)), name(0xa2, service), sealed(0xa3, 200)];
    let parts = [
        number(0xa0, 5),
        number(0xa1, kind),
        tlv(0xa3, &string(REALM)),
        name(0xa4, client),
        tlv(0xa5, &sequence(0x61, &ticket)),
        sealed(0xa6, 120),
    ];
    sequence(0x60 | kind, &parts)
}

fn kerberos(
    capture: &mut Capture,
    at: u64,
    (client, controller): (IpAddr, IpAddr),
    messages: (&[u8], &[u8]),
) {
    let ends = (end(client, capture.port()), end(controller, 88));
    capture.exchange(at, 2 * MILLI, ends, messages);
}

/// A log-on: a request without proof, which is refused, then one with proof and its outcome, an error's code or none.
pub(crate) fn log_on(
    capture: &mut Capture,
    at: u64,
    ends: (IpAddr, IpAddr),
    user: &str,
    outcome: Option<u8>,
) {
    const UNKNOWN: u8 = 6;
    const PROOF_REQUIRED: u8 = 25;
    let service = format!("krbtgt/{REALM}");
    let first = if outcome == Some(UNKNOWN) { UNKNOWN } else { PROOF_REQUIRED };
    kerberos(capture, at, ends, (&request(10, Some(user), &service, false, AES), &error(first)));
    if first == UNKNOWN {
        return;
    }
    let answer = outcome.map_or_else(|| reply(11, user, &service, AES), error);
    kerberos(capture, at + 6 * MILLI, ends, (&request(10, Some(user), &service, true, AES), &answer));
}

/// A service's ticket is asked for and given, with this encryption.
pub(crate) fn ticket(capture: &mut Capture, at: u64, ends: (IpAddr, IpAddr), service: &str, encryption: u8) {
    let messages = (request(12, None, service, true, encryption), reply(13, "yamada", service, encryption));
    kerberos(capture, at, ends, (&messages.0, &messages.1));
}

/// A remote desktop: negotiation, then TLS.
pub(crate) fn desktop(capture: &mut Capture, at: u64, from: IpAddr, to: IpAddr) {
    const REQUEST: &[u8] = b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=yamada\r\n\x01\x00\x08\x00\x0b\x00\x00\x00";
    const CONFIRM: &[u8] = b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x08\x00\x00\x00";
    let from = end(from, capture.port());
    let hello = super::app::client_hello(&mut capture.rng, "desktop.city.example");
    let first = super::app::server_hello(&mut capture.rng);
    let (keys, screen) =
        (super::app::tls_data(&mut capture.rng, 400), super::app::tls_data(&mut capture.rng, 4_000));
    let mut tcp = Tcp::open(capture, at, from, end(to, 3_389));
    tcp.ask(REQUEST).answer(CONFIRM).ask(&hello).answer(&first).ask(&keys).answer(&screen);
    tcp.close();
}

/// Requests to remote management, each answered with 200; content is encrypted, as between members of a domain.
pub(crate) fn management(capture: &mut Capture, at: u64, ends: (IpAddr, IpAddr), target: &str, times: usize) {
    let from = end(ends.0, capture.port());
    let bodies: Vec<_> = (0..times).map(|_| (capture.rng.bytes(900), capture.rng.bytes(700))).collect();
    let mut tcp = Tcp::open(capture, at, from, end(ends.1, 5_985));
    for (question, answer) in &bodies {
        let kind = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
        let head = format!(
            "POST {target} HTTP/1.1\r\nUser-Agent: Microsoft WinRM Client\r\nHost: pc24:5985\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            question.len()
        );
        tcp.ask(&[head.as_bytes(), question].concat()).wait(40 * MILLI);
        let head =
            format!("HTTP/1.1 200 \r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", answer.len());
        tcp.answer(&[head.as_bytes(), answer].concat()).wait(200 * MILLI);
    }
    tcp.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_agree() {
        let bind = bind(SVCCTL);
        assert_eq!(usize::from(u16::from_le_bytes([bind[8], bind[9]])), bind.len());
        let error = error(24);
        assert_eq!((error[0], usize::from(error[1])), (0x7e, error.len() - 2));
    }
}
