//! SNMP versions 1 (RFC 1157), 2c (RFC 3416) and 3 (RFC 3412, RFC 3414), in datagrams.

mod oid;

use self::oid::dotted;
use super::ber::{Ber, OCTETS, SEQUENCE};
use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::counters::Counter;
use crate::event::snmp::SnmpCommunity;
use crate::event::{Application, SnmpMessage};

/// Variables of a message whose names are kept.
const OIDS_MAX: usize = 64;
/// Bytes of a user name or an engine that are kept (RFC 3411: both at most 32).
const NAME_MAX: usize = 32;
/// Tag of an object identifier.
const OBJECT: u8 = 0x06;
/// Tag of a trap of version 1, whose PDU has another form.
const TRAP_V1: u8 = 0xa4;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Snmp, probe, begin: |_hint| Session::from(Parser) }];

/// State of a flow: each datagram stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Parser;

fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    head(bytes).is_some().into()
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        match message(bytes) {
            Some(message) => {
                sink.transaction(SnmpMessage { from_originator: side == Side::Originator, ..message });
            }
            None => {
                sink.counters.count(Counter::ProtoMalformed);
                sink.anomaly(Application::Snmp, side, "malformed_data");
            }
        }
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// The version, and what follows it: only if a community and a PDU, or the header of version 3 does.
fn head(bytes: &[u8]) -> Option<(u8, Ber<'_>)> {
    let mut outer = Ber(bytes);
    let mut inner = outer.enter(SEQUENCE)?;
    let version = u8::try_from(inner.integer()?).ok()?;
    let mut ahead = inner;
    let version = match version {
        0 | 1 => {
            ahead.octets()?;
            matches!(ahead.peek()?, 0xa0..=0xa8).then_some(version + 1)?
        }
        3 => {
            let mut global = ahead.enter(SEQUENCE)?;
            global.integer()?;
            global.integer()?;
            (global.octets()?.len() == 1 && ahead.peek()? == OCTETS).then_some(version)?
        }
        _ => return None,
    };
    Some((version, inner))
}

fn message(bytes: &[u8]) -> Option<SnmpMessage> {
    let (version, mut ber) = head(bytes)?;
    let mut message = SnmpMessage { version, ..SnmpMessage::default() };
    if version < 3 {
        message.community = Some(match ber.octets()? {
            b"public" => SnmpCommunity::Public,
            b"private" => SnmpCommunity::Private,
            _ => SnmpCommunity::Other,
        });
        pdu(ber, &mut message)?;
        return Some(message);
    }
    ber.enter(SEQUENCE)?;
    security(ber.octets()?, &mut message);
    match ber.next()? {
        (SEQUENCE, scoped) => {
            let mut scoped = Ber(scoped);
            let (_engine, _context) = (scoped.octets()?, scoped.octets()?);
            pdu(scoped, &mut message)?;
        }
        (OCTETS, _) => message.encrypted = true,
        _ => return None,
    }
    Some(message)
}

/// Parameters of the user-based security model (RFC 3414, 2.4); those of another model are left alone.
fn security(bytes: &[u8], message: &mut SnmpMessage) {
    let read = Ber(bytes).enter(SEQUENCE).and_then(|mut ber| {
        let engine = ber.octets()?;
        let (_boots, _time) = (ber.integer()?, ber.integer()?);
        Some((engine, ber.octets()?))
    });
    if let Some((engine, user)) = read {
        message.engine = Some(engine.get(..NAME_MAX).unwrap_or(engine).into());
        let user = user.get(..NAME_MAX).unwrap_or(user);
        message.user = Some(String::from_utf8_lossy(user).into());
    }
}

fn pdu(mut ber: Ber<'_>, message: &mut SnmpMessage) -> Option<()> {
    let (tag, content) = ber.next()?;
    message.pdu_type = Some(match tag {
        0xa0 => "get_request",
        0xa1 => "get_next_request",
        0xa2 => "response",
        0xa3 => "set_request",
        TRAP_V1 => "trap_v1",
        0xa5 => "get_bulk_request",
        0xa6 => "inform_request",
        0xa7 => "trap_v2",
        0xa8 => "report",
        _ => return None,
    });
    let mut pdu = Ber(content);
    if tag == TRAP_V1 {
        message.trap_oid = Some(dotted(pdu.expect(OBJECT)?));
        let _agent = pdu.next()?;
        message.trap_type = u32::try_from(pdu.integer()?).ok();
        let (_specific, _time) = (pdu.integer()?, pdu.next()?);
    } else {
        let _request = pdu.integer()?;
        let status = pdu.integer()?;
        let _index = pdu.integer()?;
        if tag == 0xa2 || tag == 0xa8 {
            message.error_status = u32::try_from(status).unwrap_or_default();
        }
    }
    let mut variables = pdu.enter(SEQUENCE)?;
    while message.oids.len() < OIDS_MAX
        && let Some(mut variable) = variables.enter(SEQUENCE)
    {
        message.oids.push(dotted(variable.expect(OBJECT)?));
    }
    Some(())
}

#[cfg(test)]
mod tests;
