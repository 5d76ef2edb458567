//! SMB 1 (MS-CIFS, MS-SMB), 2 and 3 (MS-SMB2) over TCP or the `NetBIOS` session service (RFC 1002).
//!
//! A message is read command by command; of each command the head and the names in it are waited for, the data of a file
//! never is.

mod connection;
mod exploit;
mod files;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::smb::{SmbCode, SmbDetail};
use connection::Connection;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Smb, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Length of the header of the session service.
const NBSS: usize = 4;
/// Bytes of a command that are waited for.
const HEAD_MAX: usize = 8 * 1024;
/// Protocol identifiers: SMB 1, SMB 2, encrypted SMB 3, compressed SMB 3.
const IDENTIFIERS: [&[u8; 4]; 4] = [b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\xfcSMB"];
/// A session request of the session service: two encoded names.
const SESSION_REQUEST: &[u8] = b"\x81\x00\x00\x44\x20";
const PORTS: &[u16] = &[139, 445];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    places: [Place; 2],
    connection: Connection,
}

/// Where a side's reading stands.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Bytes of the message that were not read yet.
    left: u32,
    /// Of these, bytes that belong to what was read already.
    skip: u32,
    /// Nothing is known until a segment begins with a message.
    is_lost: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn recognise(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if begins_message(bytes) || bytes.starts_with(SESSION_REQUEST) {
        return Guess::Yes;
    }
    let is_cut = bytes.len() < NBSS + 4 && bytes.first().is_some_and(|kind| matches!(kind, 0 | 0x81));
    if is_cut && hint.on_port(PORTS) { Guess::More } else { Guess::No }
}

/// A header of the session service with a message of SMB behind it.
fn begins_message(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0)
        && bytes.get(NBSS..NBSS + 4).is_some_and(|id| IDENTIFIERS.iter().any(|one| one.as_slice() == id))
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let place = side.of_mut(&mut self.places);
        if place.is_lost {
            if !begins_message(bytes) {
                return Take::All;
            }
            *place = Place::default();
        }
        if place.skip > 0 {
            return Take::Bytes(core::mem::take(&mut place.skip));
        }
        if place.left == 0 {
            return self.session_header(side, bytes, sink);
        }
        let left = place.left;
        let Some(length) = command_length(bytes, left) else { return Take::More };
        let wanted = usize::try_from(length).unwrap_or(HEAD_MAX).min(HEAD_MAX);
        let Some(command) = bytes.get(..wanted) else { return Take::More };
        place.left = left.saturating_sub(length);
        self.command(side, command, length, sink);
        Take::Bytes(length)
    }

    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        let place = side.of_mut(&mut self.places);
        let gone = missing.and_then(|missing| u32::try_from(bytes.len()).ok()?.checked_add(missing));
        let inside = place.left.saturating_add(place.skip);
        let Some(gone) = gone.filter(|gone| !place.is_lost && *gone <= inside) else {
            *place = Place { is_lost: true, ..Place::default() };
            self.connection.lose();
            return;
        };
        if gone <= place.skip {
            place.skip = place.skip.saturating_sub(gone);
            return;
        }
        let left = place.left;
        let length = command_length(bytes, left).unwrap_or(left);
        let of_command = gone.saturating_sub(place.skip);
        if of_command > length {
            *place = Place { is_lost: true, ..Place::default() };
        } else {
            *place = Place {
                left: left.saturating_sub(length),
                skip: length.saturating_sub(of_command),
                is_lost: false,
            };
        }
        self.connection.lose();
        self.command(side, bytes, length, sink);
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.connection.finish(sink);
    }
}

/// The length of the command that `bytes` begin with: the rest of the message, or up to the next command of a chain.
/// None: more bytes are needed.
fn command_length(bytes: &[u8], left: u32) -> Option<u32> {
    const MINIMUM: u32 = 64;
    if left < MINIMUM {
        return Some(left);
    }
    if !bytes.starts_with(IDENTIFIERS[1]) {
        return if bytes.len() < 4 { None } else { Some(left) };
    }
    let next = Reader(bytes.get(20..)?).u32_le()?;
    Some(if (MINIMUM..left).contains(&next) { next } else { left })
}

impl Parser {
    /// The header before a message.
    fn session_header(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let mut reader = Reader(bytes);
        let (Some(kind), Some(length)) = (reader.u8(), reader.u24()) else { return Take::More };
        let place = side.of_mut(&mut self.places);
        match kind {
            // A keep-alive of TCP repeats a byte from before a capture's begin.
            0 if !begins_message(bytes) && bytes.get(1..).is_some_and(begins_message) => Take::bytes(1),
            0 => {
                place.left = u32::try_from(length).unwrap_or_default();
                Take::bytes(NBSS)
            }
            // Session request, its answers, retarget, keep-alive.
            0x81..=0x85 => Take::bytes(NBSS.saturating_add(length & 0x1_ffff)),
            _ => {
                place.is_lost = true;
                sink.counters.count(Counter::ProtoMalformed);
                sink.anomaly(Application::Smb, side, "malformed_data");
                Take::All
            }
        }
    }

    /// One command, or the part of it that was waited for.
    fn command(&mut self, side: Side, bytes: &[u8], length: u32, sink: &mut Sink<'_>) {
        let understood = match bytes.first_chunk() {
            Some(b"\xffSMB") => v1::read(&mut self.connection, side, bytes, sink),
            Some(b"\xfeSMB") => v2::read(&mut self.connection, side, bytes, length, sink),
            Some(b"\xfdSMB") => {
                self.connection.once(side, SmbDetail::Encrypted, sink);
                Some(())
            }
            Some(b"\xfcSMB") => {
                self.connection.once(side, SmbDetail::Compressed, sink);
                Some(())
            }
            Some(_) | None => None,
        };
        if understood.is_none() {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Smb, side, "malformed_data");
        }
    }
}

/// What carries a message that has no command of its own.
const NO_COMMAND: SmbCode = SmbCode::V2(u16::MAX);
