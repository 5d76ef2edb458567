//! IMAP (RFC 9051): commands with their responses. Messages are passed over, passwords are not kept.

use std::collections::VecDeque;

use super::lines::{self, Lines, after, word};
use super::search::first_line;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, ImapCommand};

pub(super) const STREAM: &[Recogniser] = &[Recogniser { application: Application::Imap, probe, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Longest line that is read.
const LINE_MAX: usize = 4096;
/// Commands that wait for a response.
const PENDING_MAX: usize = 64;
/// Longest tag, command, argument and text kept.
const TEXT_MAX: usize = 256;
const PORTS: [u16; 1] = [143];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    lines: [Lines; 2],
    /// Bytes of a literal (RFC 9051, 4.3) that are left (client's, server's).
    literal: [u32; 2],
    /// The line goes on behind a literal.
    inside: [bool; 2],
    pending: VecDeque<ImapCommand>,
    /// The client answers challenges.
    secret: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let left = core::mem::take(side.of_mut(&mut self.literal));
        if left > 0 {
            return Take::Bytes(left);
        }
        let (text, taken, whole) = match side.of_mut(&mut self.lines).next(bytes, LINE_MAX).read() {
            Ok(line) => line,
            Err(awaited) => return awaited,
        };
        let inside = side.of_mut(&mut self.inside);
        let begins = !core::mem::take(inside);
        if let Some(length) = literal(text).filter(|_| whole) {
            *side.of_mut(&mut self.literal) = length;
            *side.of_mut(&mut self.inside) = true;
        }
        if begins {
            match side {
                Side::Originator => self.on_command(text, sink),
                Side::Responder => {
                    if self.on_response(text, sink) {
                        return Take::anew(taken);
                    }
                }
            }
        }
        Take::bytes(taken)
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        side.of_mut(&mut self.lines).lose();
        *side.of_mut(&mut self.literal) = 0;
        *side.of_mut(&mut self.inside) = false;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.pending.drain(..).for_each(|command| sink.transaction(command));
    }
}

impl Parser {
    fn on_command(&mut self, line: &[u8], sink: &mut Sink<'_>) {
        if self.secret {
            return;
        }
        let (tag, rest) = word(line);
        let (name, argument) = word(rest);
        if name.is_empty() {
            return;
        }
        let command = lines::text(name, TEXT_MAX).to_ascii_uppercase();
        let argument = match command.as_str() {
            "LOGIN" | "SELECT" | "EXAMINE" | "STATUS" | "CREATE" | "DELETE" | "RENAME" | "APPEND" => {
                first(argument)
            }
            "AUTHENTICATE" => {
                self.secret = true;
                first(argument)
            }
            _ => None,
        };
        if self.pending.len() >= PENDING_MAX {
            sink.counters.count(Counter::ProtoMalformed);
            self.pending.pop_front();
        }
        let tag = lines::text(tag, TEXT_MAX);
        self.pending.push_back(ImapCommand {
            tag,
            command: command.into(),
            argument,
            ..ImapCommand::default()
        });
    }

    /// A line from the server; true if TLS begins after it.
    fn on_response(&mut self, line: &[u8], sink: &mut Sink<'_>) -> bool {
        let (tag, rest) = word(line);
        if matches!(tag, b"*" | b"+") {
            return false;
        }
        let Some(at) = self.pending.iter().position(|command| command.tag.as_bytes() == tag) else {
            return false;
        };
        let Some(mut command) = self.pending.remove(at) else { return false };
        let (status, text) = word(rest);
        let ok = status.eq_ignore_ascii_case(b"OK");
        command.status = Some(lines::text(status, TEXT_MAX).to_ascii_uppercase().into());
        command.text = lines::text(text, TEXT_MAX);
        self.secret &= &*command.command != "AUTHENTICATE";
        let tls = ok && &*command.command == "STARTTLS";
        sink.transaction(command);
        tls
    }
}

/// The length of a literal that begins after this line: `… {123}` or `… {123+}`.
fn literal(line: &[u8]) -> Option<u32> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let start = inner.iter().rposition(|byte| *byte == b'{')?;
    lines::number(inner.get(start.saturating_add(1)..)?, 9)
}

/// The first argument, quoted or not; none if it is a literal.
fn first(arguments: &[u8]) -> Option<Box<str>> {
    let text = match arguments.strip_prefix(b"\"") {
        Some(rest) => rest.split(|byte| *byte == b'"').next()?,
        None => word(arguments).0,
    };
    (!text.is_empty() && !text.starts_with(b"{")).then(|| lines::text(text, TEXT_MAX))
}

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.side == Side::Responder {
        let greets = [&b"* OK"[..], b"* PREAUTH", b"* BYE"];
        if greets.iter().any(|greeting| after(bytes, greeting).is_some()) {
            return Guess::Yes;
        }
        return if greets.iter().any(|greeting| greeting.starts_with(bytes)) {
            Guess::More
        } else {
            Guess::No
        };
    }
    let line = first_line(bytes);
    let (_tag, rest) = word(line);
    let commands =
        [&b"CAPABILITY"[..], b"LOGIN ", b"AUTHENTICATE ", b"STARTTLS", b"SELECT ", b"NOOP", b"ID "];
    (hint.on_port(&PORTS) && commands.iter().any(|command| after(rest, command).is_some())).into()
}

#[cfg(test)]
mod tests;
