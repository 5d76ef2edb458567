//! The messages of LDAP (RFC 4511, 4): what is cut short says what it can.

use super::filter;
use crate::event::ldap::{
    LdapAttribute, LdapChange, LdapMechanism, LdapRequest, LdapResponse, LdapResponseKind, LdapResult,
    LdapSearch,
};
use crate::proto::ber::{Ber, ENUMERATED, INTEGER, SEQUENCE, Total, number, total_length};

const SET: u8 = 0x31;
const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xa3;
/// The three steps of Microsoft's own authentication.
const SICILY: core::ops::RangeInclusive<u8> = 0x89..=0x8b;
const NEW_SUPERIOR: u8 = 0x80;
const EXTENDED_NAME: u8 = 0x80;
const EXTENDED_RESPONSE_NAME: u8 = 0x8a;

/// Bytes of a text that are kept.
pub(super) const TEXT_MAX: usize = 256;
/// Attributes of an entry or request that are kept.
const ATTRIBUTES_MAX: usize = 32;
/// Values of an attribute that are kept.
const VALUES_MAX: usize = 8;
/// Attributes that are or may be passwords.
const SECRETS: &[&str] = &[
    "userpassword",
    "unicodepwd",
    "dbcspwd",
    "ntpwdhistory",
    "lmpwdhistory",
    "sambantpassword",
    "sambalmpassword",
    "krbprincipalkey",
    "ms-mcs-admpwd",
    "mslaps-password",
    "mslaps-encryptedpassword",
    "msds-managedpassword",
];

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) number: i64,
    pub(super) operation: Operation,
}

/// What it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Request(LdapRequest),
    Response(LdapResponse),
}

/// Whether the bytes begin with a message: a sequence, a number, the tag of an operation. None: more are needed.
pub(super) fn begins(bytes: &[u8]) -> Option<bool> {
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Some(false);
    }
    let total = match total_length(bytes) {
        Total::Bytes(total) => total,
        Total::More => return None,
        Total::Impossible => return Some(false),
    };
    let head = match bytes.get(1) {
        Some(long) if *long >= 0x80 => usize::from(long & 0x7f).saturating_add(2),
        Some(_) | None => 2,
    };
    match bytes.get(head..)? {
        [] => None,
        [INTEGER, length @ 1..=4, rest @ ..] => match rest.get(usize::from(*length)..)? {
            [] => None,
            [tag, ..] => Some(is_operation(*tag) && total > head.saturating_add(3)),
        },
        [INTEGER] => None,
        _ => Some(false),
    }
}

const fn is_operation(tag: u8) -> bool {
    matches!(tag, 0x60 | 0x61 | 0x42 | 0x63..=0x69 | 0x4a | 0x6b..=0x6f | 0x50 | 0x73 | 0x77..=0x79)
}

/// Reads a message, or as much of it as there is; none: it is malformed.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let (_, envelope) = Ber(bytes).rest().filter(|(tag, _)| *tag == SEQUENCE)?;
    let mut envelope = Ber(envelope);
    let number = envelope.integer()?;
    let (tag, content) = envelope.rest()?;
    let operation = match request(tag, content) {
        Some(request) => Operation::Request(request),
        None => Operation::Response(response(tag, content)?),
    };
    Some(Message { number, operation })
}

fn request(tag: u8, content: &[u8]) -> Option<LdapRequest> {
    let mut body = Ber(content);
    Some(match tag {
        0x60 => bind(&mut body)?,
        0x42 => LdapRequest::Unbind,
        0x63 => LdapRequest::Search(Box::new(search(&mut body)?)),
        0x66 => LdapRequest::Modify { object: string(&mut body)?, changes: changes(list(&mut body)?) },
        0x68 => LdapRequest::Add { entry: string(&mut body)?, attributes: attributes(list(&mut body)?) },
        0x4a => LdapRequest::Delete { entry: text(content) },
        0x6c => LdapRequest::ModifyDn {
            entry: string(&mut body)?,
            new_rdn: string(&mut body)?,
            delete_old_rdn: body.boolean()?,
            new_superior: body.optional(NEW_SUPERIOR).map(text),
        },
        0x6e => {
            let entry = string(&mut body)?;
            let mut pair = list(&mut body)?;
            let attribute = string(&mut pair)?;
            let value = string(&mut pair)?;
            let value = if is_secret(&attribute) { "".into() } else { value };
            LdapRequest::Compare { entry, attribute, value }
        }
        0x50 => LdapRequest::Abandon { message: number(content)? },
        0x77 => LdapRequest::Extended { name: text(body.expect(EXTENDED_NAME)?) },
        _ => return None,
    })
}

fn bind(body: &mut Ber<'_>) -> Option<LdapRequest> {
    let (version, name) = (body.integer()?, string(body)?);
    let (tag, credentials) = body.rest()?;
    let mechanism = match tag {
        SIMPLE => LdapMechanism::Simple { is_empty: credentials.is_empty() },
        SASL => LdapMechanism::Sasl { name: string(&mut Ber(credentials))? },
        tag if SICILY.contains(&tag) => LdapMechanism::Sicily,
        other => LdapMechanism::Other(other),
    };
    Some(LdapRequest::Bind { version, name, mechanism })
}

fn search(body: &mut Ber<'_>) -> Option<LdapSearch> {
    let mut search = LdapSearch {
        base: string(body)?,
        scope: body.enumerated()?,
        deref: body.enumerated()?,
        size_limit: body.integer()?,
        time_limit: body.integer()?,
        types_only: body.boolean()?,
        ..LdapSearch::default()
    };
    if let Some((tag, content)) = body.rest() {
        search.filter = filter::text(tag, content);
    }
    if let Some(mut wanted) = list(body) {
        while let (Some(one), true) = (wanted.octets(), search.attributes.len() < ATTRIBUTES_MAX) {
            search.attributes.push(text(one));
        }
    }
    Some(search)
}

fn response(tag: u8, content: &[u8]) -> Option<LdapResponse> {
    let mut body = Ber(content);
    let kind = match tag {
        0x61 => LdapResponseKind::Bind,
        0x64 => LdapResponseKind::SearchEntry,
        0x65 => LdapResponseKind::SearchDone,
        0x67 => LdapResponseKind::Modify,
        0x69 => LdapResponseKind::Add,
        0x6b => LdapResponseKind::Delete,
        0x6d => LdapResponseKind::ModifyDn,
        0x6f => LdapResponseKind::Compare,
        0x73 => LdapResponseKind::SearchReference,
        0x78 => LdapResponseKind::Extended,
        0x79 => LdapResponseKind::Intermediate,
        _ => return None,
    };
    let mut response = LdapResponse { kind, result: None, name: "".into(), attributes: Vec::new() };
    match kind {
        LdapResponseKind::SearchEntry => {
            response.name = string(&mut body)?;
            response.attributes = list(&mut body).map(attributes).unwrap_or_default();
        }
        LdapResponseKind::SearchReference => response.name = string(&mut body)?,
        LdapResponseKind::Intermediate => {
            response.name = body.optional(EXTENDED_NAME).map(text).unwrap_or_default();
        }
        LdapResponseKind::Bind
        | LdapResponseKind::SearchDone
        | LdapResponseKind::Modify
        | LdapResponseKind::Add
        | LdapResponseKind::Delete
        | LdapResponseKind::ModifyDn
        | LdapResponseKind::Compare
        | LdapResponseKind::Extended => {
            let code = body.expect(ENUMERATED).and_then(number)?;
            response.result =
                Some(LdapResult { code, matched: string(&mut body)?, message: string(&mut body)? });
            while let Some((tag, content)) = body.next() {
                if tag == EXTENDED_RESPONSE_NAME {
                    response.name = text(content);
                }
            }
        }
    }
    Some(response)
}

/// Operation and attribute, each.
fn changes(mut list: Ber<'_>) -> Vec<LdapChange> {
    let one = |list: &mut Ber<'_>| {
        let (_, content) = list.rest()?;
        let mut body = Ber(content);
        let operation = body.enumerated()?;
        Some(LdapChange { operation, attribute: attribute(&mut body)? })
    };
    (0..ATTRIBUTES_MAX).map_while(|_| one(&mut list)).collect()
}

fn attributes(mut list: Ber<'_>) -> Vec<LdapAttribute> {
    (0..ATTRIBUTES_MAX).map_while(|_| attribute(&mut list)).collect()
}

/// A type and a set of values.
fn attribute(list: &mut Ber<'_>) -> Option<LdapAttribute> {
    let (_, content) = list.rest()?;
    let mut body = Ber(content);
    let name = string(&mut body)?;
    let mut values = Vec::new();
    if let Some((SET, content)) = body.rest()
        && !is_secret(&name)
    {
        let mut set = Ber(content);
        while let (Some(value), true) = (set.octets(), values.len() < VALUES_MAX) {
            values.push(text(value));
        }
    }
    Some(LdapAttribute { name, values })
}

fn is_secret(attribute: &str) -> bool {
    SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(attribute))
}

/// A sequence, or as much of it as there is.
fn list<'a>(body: &mut Ber<'a>) -> Option<Ber<'a>> {
    body.rest().filter(|(tag, _)| *tag == SEQUENCE).map(|(_, content)| Ber(content))
}

fn string(body: &mut Ber<'_>) -> Option<Box<str>> {
    body.octets().map(text)
}

/// Text, at most so much of it as is kept.
pub(super) fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into()
}
