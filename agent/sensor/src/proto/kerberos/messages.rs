//! The messages of Kerberos (RFC 4120, 5) as far as they are read.

use crate::event::kerberos::{KerberosKind, KerberosReply, KerberosRequest};
use crate::event::smb::SmbTicket;
use crate::proto::ber::{Ber, INTEGER, OCTETS, SEQUENCE, number};

const TICKET: u8 = 0x61;
const AS_REQ: u8 = 0x6a;
const AS_REP: u8 = 0x6b;
const TGS_REQ: u8 = 0x6c;
const TGS_REP: u8 = 0x6d;
const AP_REQ: u8 = 0x6e;
const AP_REP: u8 = 0x6f;
const SAFE: u8 = 0x74;
const PRIV: u8 = 0x75;
const CRED: u8 = 0x76;
const ERROR: u8 = 0x7e;
const GENERAL_STRING: u8 = 0x1b;
const GENERALIZED_TIME: u8 = 0x18;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
/// Begin of a token of GSS-API (RFC 2743, 3.1).
const GSS: u8 = 0x60;

/// Encrypted timestamp, PKINIT (two), FAST: what a client proves itself with.
const PREAUTH: &[i64] = &[2, 14, 16, 136];
/// Components of a name, encryption types and preauthentication data that are looked at.
const LIST_MAX: usize = 32;
/// Bytes of a name's component that are kept.
const TEXT_MAX: usize = 256;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request(KerberosRequest),
    Reply(KerberosReply),
    /// Between client and service: nothing is read of it.
    Other,
}

/// The bytes begin with a message: its tag, a sequence, the version 5.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let Some(tag) = bytes.first() else { return false };
    let version = match *tag {
        AS_REQ | TGS_REQ => 0xa1,
        AS_REP | TGS_REP | AP_REQ | AP_REP | SAFE | PRIV | CRED | ERROR => 0xa0,
        _ => return false,
    };
    let head = |bytes: &[u8]| match bytes.get(1) {
        Some(length) if *length < 0x80 => 2,
        Some(length) => usize::from(length & 0x7f).saturating_add(2),
        None => 2,
    };
    let sequence = bytes.get(head(bytes)..).unwrap_or_default();
    let body = sequence.get(head(sequence)..).unwrap_or_default();
    sequence.first() == Some(&SEQUENCE) && body.starts_with(&[version, 3, INTEGER, 1, 5])
}

/// Reads a message; none: it is malformed.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let mut outer = Ber(bytes);
    let tag = outer.peek()?;
    let mut body = outer.enter(tag)?.enter(SEQUENCE)?;
    match tag {
        AS_REQ => request(&mut body, KerberosKind::As).map(Message::Request),
        TGS_REQ => request(&mut body, KerberosKind::Tgs).map(Message::Request),
        AS_REP => reply(&mut body, KerberosKind::As).map(Message::Reply),
        TGS_REP => reply(&mut body, KerberosKind::Tgs).map(Message::Reply),
        ERROR => error(&mut body).map(Message::Reply),
        AP_REQ | AP_REP | SAFE | PRIV | CRED => Some(Message::Other),
        _ => None,
    }
}

/// The tag of a context's field.
const fn field(number: u8) -> u8 {
    0xa0 | number
}

fn request(body: &mut Ber<'_>, kind: KerberosKind) -> Option<KerberosRequest> {
    body.expect(field(1))?;
    body.expect(field(2))?;
    let preauth = body.optional(field(3)).map(Ber);
    let has_preauth = preauth.is_some_and(has_preauth);
    let mut body = body.enter(field(4))?.enter(SEQUENCE)?;
    let mut request = KerberosRequest { kind, has_preauth, ..KerberosRequest::default() };
    while let Some((tag, content)) = body.next() {
        let mut inner = Ber(content);
        match tag & 0x1f {
            0 => request.options = options(inner.expect(BIT_STRING)?),
            1 => request.client = Some(name(inner)?),
            2 => request.realm = Some(text(inner.expect(GENERAL_STRING)?)),
            3 => request.service = Some(name(inner)?),
            5 => request.till = inner.expect(GENERALIZED_TIME).map(text),
            6 => request.renew_till = inner.expect(GENERALIZED_TIME).map(text),
            8 => {
                let mut list = inner.enter(SEQUENCE)?;
                while let (Some(one), true) = (list.integer(), request.encryptions.len() < LIST_MAX) {
                    request.encryptions.push(i32::try_from(one).ok()?);
                }
            }
            _ => {}
        }
    }
    Some(request)
}

/// Data of preauthentication that proves something.
fn has_preauth(mut field: Ber<'_>) -> bool {
    let Some(mut list) = field.enter(SEQUENCE) else { return false };
    let one = |list: &mut Ber<'_>| list.enter(SEQUENCE)?.enter(self::field(1))?.integer();
    (0..LIST_MAX).map_while(|_| one(&mut list)).any(|kind| PREAUTH.contains(&kind))
}

/// A bit string's first 32 bits.
fn options(content: &[u8]) -> u32 {
    content
        .iter()
        .skip(1)
        .take(4)
        .zip([24, 16, 8, 0])
        .fold(0, |sum, (byte, shift)| sum | u32::from(*byte) << shift)
}

fn reply(body: &mut Ber<'_>, kind: KerberosKind) -> Option<KerberosReply> {
    body.expect(field(0))?;
    body.expect(field(1))?;
    body.optional(field(2));
    let realm = body.enter(field(3))?.expect(GENERAL_STRING)?;
    let client = body.expect(field(4))?;
    let ticket = ticket(body.expect(field(5))?)?;
    let encryption = body.expect(field(6))?;
    Some(KerberosReply {
        kind: Some(kind),
        client: Some(name(Ber(client))?),
        realm: Some(text(realm)),
        service: Some(ticket.service.join("/").into()),
        encryption: encryption_type(encryption),
        ticket_encryption: Some(ticket.encryption),
        error: None,
    })
}

fn error(body: &mut Ber<'_>) -> Option<KerberosReply> {
    let mut reply = KerberosReply::default();
    while let Some((tag, content)) = body.next() {
        let mut inner = Ber(content);
        match tag & 0x1f {
            6 => reply.error = Some(i32::try_from(inner.integer()?).ok()?),
            7 => reply.realm = Some(text(inner.expect(GENERAL_STRING)?)),
            8 => reply.client = Some(name(inner)?),
            10 => reply.service = Some(name(inner)?),
            _ => {}
        }
    }
    reply.error.is_some().then_some(reply)
}

/// Realm, service and encryption type of a ticket.
fn ticket(bytes: &[u8]) -> Option<SmbTicket> {
    let mut body = Ber(bytes).enter(TICKET)?.enter(SEQUENCE)?;
    body.expect(field(0))?;
    let realm = text(body.enter(field(1))?.expect(GENERAL_STRING)?);
    let service = components(body.enter(field(2))?)?;
    let encryption = encryption_type(body.expect(field(3))?)?;
    Some(SmbTicket { realm, service, encryption })
}

/// The type of encrypted data.
fn encryption_type(bytes: &[u8]) -> Option<i32> {
    let kind = Ber(bytes).enter(SEQUENCE)?.enter(field(0))?.integer()?;
    i32::try_from(kind).ok()
}

/// A principal's components.
fn components(mut principal: Ber<'_>) -> Option<Vec<Box<str>>> {
    let mut body = principal.enter(SEQUENCE)?;
    body.enter(field(0))?.expect(INTEGER).and_then(number)?;
    let mut list = body.enter(field(1))?.enter(SEQUENCE)?;
    let mut components = Vec::new();
    while !list.is_empty() && components.len() < LIST_MAX {
        components.push(text(list.expect(GENERAL_STRING)?));
    }
    Some(components)
}

/// A principal, its components joined by `/`.
fn name(principal: Ber<'_>) -> Option<Box<str>> {
    components(principal).map(|components| components.join("/").into())
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into()
}

/// The ticket of an AP-REQ in a token of SPNEGO (RFC 4178) or of Kerberos itself (RFC 4121), if it has one.
pub(in crate::proto) fn ticket_in(token: &[u8]) -> Option<SmbTicket> {
    let mut outer = Ber(token).enter(GSS)?;
    outer.expect(OBJECT)?;
    if outer.peek() != Some(field(0)) {
        return ap_req(outer.0);
    }
    let mut init = outer.enter(field(0))?.enter(SEQUENCE)?;
    while let Some((tag, content)) = init.next() {
        if tag == field(2) {
            let mut inner = Ber(Ber(content).expect(OCTETS)?).enter(GSS)?;
            inner.expect(OBJECT)?;
            return ap_req(inner.0);
        }
    }
    None
}

/// The ticket of an AP-REQ behind its token identifier.
fn ap_req(bytes: &[u8]) -> Option<SmbTicket> {
    let message = bytes.strip_prefix(&[1, 0])?;
    let mut body = Ber(message).enter(AP_REQ)?.enter(SEQUENCE)?;
    body.expect(field(0))?;
    body.expect(field(1))?;
    body.expect(field(2))?;
    ticket(body.expect(field(3))?)
}
