//! POP3 (RFC 1939): commands with their responses. Messages themselves are passed over, passwords are not kept.

use std::collections::VecDeque;

use super::lines::{self, Lines, after, word};
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, Pop3Command, Pop3Request, Pop3Response};

pub(super) const STREAM: &[Recogniser] = &[Recogniser { application: Application::Pop3, probe, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Longest line (RFC 2449, 4 asks for 255 and 512; messages have longer ones).
const LINE_MAX: usize = 2048;
/// Commands that wait for a response.
const PENDING_MAX: usize = 64;
/// Arguments kept of a command.
const ARGUMENTS_MAX: usize = 8;
/// Lines kept of a response.
const DATA_MAX: usize = 128;
const PORTS: [u16; 1] = [110];

/// State of a connection.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the conversation")]
pub(crate) struct Parser {
    greeting: Box<[u8]>,
    lines: [Lines; 2],
    pending: VecDeque<Pop3Command>,
    /// A response of several lines that is not over, and whether its lines are a message's.
    open: Option<(Pop3Command, bool)>,
    greeted: bool,
    /// The client answers challenges.
    secret: bool,
    tls_asked: bool,
    broken: bool,
}

fn begin(hint: &Hint<'_>) -> Session {
    let client = hint.side == Side::Originator;
    let greeting = if client { hint.other.into() } else { Box::default() };
    // Without a greeting the capture began later: nothing but responses will come.
    Parser { greeting, greeted: client && hint.other.is_empty(), ..Parser::default() }.into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        self.read_greeting(sink);
        let (text, taken, whole) = match side.of_mut(&mut self.lines).next(bytes, LINE_MAX).read() {
            Ok(line) => line,
            Err(awaited) => return awaited,
        };
        match side {
            Side::Originator => {
                if !whole {
                    sink.anomaly(Application::Pop3, side, "REQUEST_TOO_LONG");
                }
                self.on_command(text, sink);
            }
            Side::Responder => {
                if self.on_response(text, sink) {
                    return Take::anew(taken);
                }
            }
        }
        Take::bytes(taken)
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        let in_message = side == Side::Responder && self.open.is_some();
        let lines = side.of_mut(&mut self.lines);
        if in_message {
            return lines.lose_inside();
        }
        lines.lose();
        if side == Side::Responder {
            self.finish(sink);
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.read_greeting(sink);
        if let Some((command, _)) = self.open.take() {
            sink.transaction(command);
        }
        self.pending.drain(..).for_each(|command| sink.transaction(command));
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

impl Parser {
    fn read_greeting(&mut self, sink: &mut Sink<'_>) {
        let greeting = core::mem::take(&mut self.greeting);
        for line in greeting.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let _never = self.on_response(line.strip_suffix(b"\r").unwrap_or(line), sink);
        }
    }

    fn on_command(&mut self, line: &[u8], sink: &mut Sink<'_>) {
        let mut request = Pop3Request::default();
        if !self.secret {
            let (command, rest) = word(line);
            if command.is_empty() {
                return;
            }
            request.command = lines::text(command, 32).to_ascii_uppercase().into();
            let words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let keep = match &*request.command {
                "PASS" => 0,
                // A name and a digest; a mechanism and perhaps a secret.
                "APOP" | "AUTH" => 1,
                _ => ARGUMENTS_MAX,
            };
            request.arguments = words.take(keep).map(|word| lines::text(word, LINE_MAX)).collect();
            self.secret = &*request.command == "AUTH" && !rest.is_empty();
            self.tls_asked |= &*request.command == "STLS";
        }
        if self.pending.len() >= PENDING_MAX {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Pop3, Side::Originator, "TOO_MANY_TRANSACTIONS");
            self.pending.pop_front();
        }
        self.pending.push_back(Pop3Command { request: Some(request), response: None });
    }

    /// A line from the server; true if TLS begins after it.
    fn on_response(&mut self, line: &[u8], sink: &mut Sink<'_>) -> bool {
        if let Some((command, message)) = &mut self.open {
            if line == b"." {
                let command = core::mem::take(command);
                self.open = None;
                sink.transaction(command);
            } else if let Some(response) =
                command.response.as_mut().filter(|one| !*message && one.data.len() < DATA_MAX)
            {
                response.data.push(lines::text(line.strip_prefix(b".").unwrap_or(line), LINE_MAX));
            }
            return false;
        }
        let header = after(line, b"+OK").map(|rest| (true, true, rest));
        let header = header.or_else(|| after(line, b"-ERR").map(|rest| (false, true, rest)));
        let Some((success, whole, header)) =
            header.or_else(|| line.strip_prefix(b"+").map(|rest| (true, false, rest)))
        else {
            sink.counters.count(Counter::ProtoMalformed);
            // Something else than POP3: no use in reading on if not even the greeting was one.
            self.broken = !self.greeted;
            return false;
        };
        let header = lines::text(header.strip_prefix(b" ").unwrap_or(header), LINE_MAX);
        let response = Pop3Response { success, header, data: Vec::new() };
        let command =
            if self.greeted { self.pending.pop_front().unwrap_or_default() } else { Pop3Command::default() };
        self.greeted = true;
        self.secret &= !whole || command.request.is_none();
        let command = Pop3Command { response: Some(response), ..command };
        let (lines, message) = command.request.as_ref().map_or((false, false), lines_follow);
        let tls = success
            && self.tls_asked
            && command.request.as_ref().is_some_and(|request| &*request.command == "STLS");
        if success && lines {
            self.open = Some((command, message));
        } else {
            sink.transaction(command);
        }
        tls
    }
}

/// Whether the response goes on in further lines, and whether these are a message's.
fn lines_follow(request: &Pop3Request) -> (bool, bool) {
    match &*request.command {
        "LIST" | "UIDL" => (request.arguments.is_empty(), false),
        "CAPA" => (true, false),
        "AUTH" => (request.arguments.is_empty(), false),
        "TOP" | "RETR" => (true, true),
        _ => (false, false),
    }
}

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.side == Side::Responder {
        return if after(bytes, b"+OK").is_some() {
            Guess::Yes
        } else if b"+OK".starts_with(bytes) {
            Guess::More
        } else {
            Guess::No
        };
    }
    let commands = [&b"USER "[..], b"CAPA\r\n", b"APOP ", b"AUTH ", b"STLS\r\n", b"QUIT\r\n"];
    (hint.on_port(&PORTS) && commands.iter().any(|command| after(bytes, command).is_some())).into()
}

#[cfg(test)]
mod tests;
