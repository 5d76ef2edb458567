//! FTP (RFC 959), control connection: commands with their replies, and where the data goes.

mod expected;
mod path;
mod pending;

use super::lines::{self, Lines, Reply, after, word};
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, FtpCommand};
pub(crate) use expected::{Expected, FtpNote};
use pending::Pending;

pub(super) const STREAM: &[Recogniser] = &[Recogniser { application: Application::Ftp, probe, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Longest line (Suricata's default).
const LINE_MAX: usize = 4096;
/// Longest word that is believed to be a command.
const COMMAND_MAX: usize = 100;
/// Longest user name kept.
const USER_MAX: usize = 128;
/// Users whose password is no secret.
const GUESTS: [&str; 4] = ["anonymous", "ftp", "ftpuser", "guest"];
/// Longest beginning of a command that is waited for.
const COMMAND_BYTES_MAX: usize = 6;
/// Commands that use a data connection.
const TRANSFERS: [&str; 8] = ["RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD", "MLST"];
/// Notes of one flow that wait to be taken.
const NOTES_MAX: usize = 8;
/// Ports of FTP.
const PORTS: [u16; 2] = [21, 2121];

/// State of a connection.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the conversation")]
pub(crate) struct Parser {
    greeting: Box<[u8]>,
    lines: [Lines; 2],
    user: Option<Box<str>>,
    password_given: bool,
    guest_password: Option<Box<str>>,
    pending: Pending,
    /// The code that ends a reply of several lines.
    unfinished: Option<u16>,
    /// `AUTH TLS` or its like was sent.
    tls_asked: bool,
    broken: bool,
}

fn begin(hint: &Hint<'_>) -> Session {
    let greeting = if hint.side == Side::Originator { hint.other.into() } else { Box::default() };
    Parser { greeting, ..Parser::default() }.into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        self.read_greeting(sink);
        let (text, taken, whole) = match side.of_mut(&mut self.lines).next(bytes, LINE_MAX).read() {
            Ok(line) => line,
            Err(awaited) => return awaited,
        };
        match side {
            Side::Originator => self.on_command(text, !whole, sink),
            Side::Responder => {
                if self.on_reply(text, !whole, sink) {
                    return Take::anew(taken);
                }
            }
        }
        Take::bytes(taken)
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        side.of_mut(&mut self.lines).lose();
        if side == Side::Responder {
            self.unfinished = None;
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.read_greeting(sink);
        for command in self.pending.drain() {
            self.emit(command, sink);
        }
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

impl Parser {
    /// What the server said before anybody knew what this is.
    fn read_greeting(&mut self, sink: &mut Sink<'_>) {
        let greeting = core::mem::take(&mut self.greeting);
        for line in greeting.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let _never = self.on_reply(line.trim_ascii_end(), false, sink);
        }
    }

    fn emit(&self, mut command: FtpCommand, sink: &mut Sink<'_>) {
        command.user.clone_from(&self.user);
        command.password_given = self.password_given;
        command.guest_password.clone_from(&self.guest_password);
        sink.transaction(command);
    }

    fn is_guest(&self) -> bool {
        self.user.as_ref().is_some_and(|user| GUESTS.iter().any(|guest| user.eq_ignore_ascii_case(guest)))
    }

    fn on_command(&mut self, line: &[u8], cut: bool, sink: &mut Sink<'_>) {
        // Telnet's negotiation may precede a command (RFC 959, 4.1.3: ABOR).
        let (name, argument) = word(line);
        if !(3..=COMMAND_MAX).contains(&name.len()) || !name.iter().all(u8::is_ascii_graphic) {
            return sink.counters.count(Counter::ProtoMalformed);
        }
        if cut {
            sink.anomaly(Application::Ftp, Side::Originator, "FtpEventRequestCommandTooLong");
        }
        if let Some(command) = self.pending.answered() {
            self.emit(command, sink);
        }
        let name = lines::text(name, COMMAND_MAX).to_ascii_uppercase();
        let mut command = FtpCommand { command_cut: cut, ..FtpCommand::default() };
        match name.as_str() {
            "USER" => {
                self.user = Some(lines::text(argument, USER_MAX));
                (self.password_given, self.guest_password) = (false, None);
                command.argument = lines::text(argument, LINE_MAX);
            }
            "PASS" => {
                self.password_given = true;
                self.guest_password = self.is_guest().then(|| lines::text(argument, USER_MAX));
                command.argument = self.guest_password.clone().unwrap_or_default();
            }
            "ACCT" | "ADAT" => {}
            "AUTH" => {
                self.tls_asked =
                    [&b"TLS"[..], b"TLS-C", b"SSL"].iter().any(|one| argument.eq_ignore_ascii_case(one));
                command.argument = lines::text(argument, LINE_MAX);
            }
            _ => command.argument = lines::text(argument, LINE_MAX),
        }
        if name == "PORT" || name == "EPRT" {
            command.data = path::active(argument, sink.flow.responder.address);
        }
        if let Some(data) = command.data {
            note(FtpNote::Channel(data.to), sink);
        }
        if TRANSFERS.contains(&name.as_str()) {
            note(FtpNote::Transfer(name.as_str().into(), command.argument.clone()), sink);
        }
        command.command = Some(name.into());
        if !self.pending.push(command) {
            sink.counters.count(Counter::ProtoMalformed);
        }
    }

    /// A line from the server; true if TLS begins after it.
    fn on_reply(&mut self, line: &[u8], cut: bool, sink: &mut Sink<'_>) -> bool {
        if line.is_empty() {
            return false;
        }
        let parsed = Reply::parse(line);
        let (code, text, last) = match (self.unfinished, parsed) {
            (Some(code), Some(reply)) if reply.code == code && !reply.continues => {
                (Some(code), reply.text, true)
            }
            // Servers that end a reply of several lines with another code: RFC 959, 4.2 forbids such lines within one.
            (Some(_), Some(reply)) if !reply.continues && reply.text.len() >= 10 => {
                (Some(reply.code), reply.text, true)
            }
            (Some(_), reply) => {
                (reply.map(|reply| reply.code), reply.map_or(line, |reply| reply.text), false)
            }
            (None, Some(reply)) => (Some(reply.code), reply.text, !reply.continues),
            (None, None) => {
                sink.counters.count(Counter::ProtoMalformed);
                self.broken = true;
                return false;
            }
        };
        if cut {
            sink.anomaly(Application::Ftp, Side::Responder, "FtpEventResponseCommandTooLong");
        }
        let first = self.unfinished.is_none();
        self.unfinished = if last { None } else { self.unfinished.or(code) };
        let text = lines::text(text, LINE_MAX);
        let reply = pending::ReplyLine { code, text, cut, first, last };
        let (command, channel) = self.pending.answer(reply, &sink.flow);
        if let Some(channel) = channel {
            note(FtpNote::Channel(channel.to), sink);
        }
        if let Some(command) = command {
            self.emit(command, sink);
        }
        last && code == Some(234) && self.tls_asked
    }
}

/// Leaves word of a data connection for whoever sees it begin.
fn note(note: FtpNote, sink: &mut Sink<'_>) {
    let ftp = &mut sink.notes.more().ftp;
    if ftp.len() < NOTES_MAX {
        ftp.push(note);
    }
}

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.side == Side::Responder {
        return match lines::greeting(bytes) {
            None => Guess::No,
            Some(None) => Guess::More,
            Some(Some(line)) => line.windows(3).any(|word| word.eq_ignore_ascii_case(b"ftp")).into(),
        };
    }
    let greeted = lines::greeting(hint.other).is_some() && !hint.other.is_empty();
    let clear = greeted && is_ftp_command(bytes);
    let on_port = hint.on_port(&PORTS) && (greeted || hint.other.is_empty());
    if clear || (on_port && (is_ftp_command(bytes) || is_any_command(bytes))) {
        return Guess::Yes;
    }
    let short = bytes.len() < COMMAND_BYTES_MAX
        && !bytes.contains(&b'\n')
        && bytes.iter().all(u8::is_ascii_alphabetic);
    if (greeted || on_port) && short { Guess::More } else { Guess::No }
}

/// What an FTP client says after a greeting, and no SMTP client does.
fn is_ftp_command(bytes: &[u8]) -> bool {
    [&b"USER "[..], b"AUTH TLS", b"AUTH SSL", b"FEAT\r\n", b"SYST\r\n", b"OPTS ", b"HOST ", b"CLNT "]
        .iter()
        .any(|command| after(bytes, command).is_some())
}

/// What an FTP client may say and others as well.
fn is_any_command(bytes: &[u8]) -> bool {
    [
        &b"QUIT\r\n"[..],
        b"PASS ",
        b"PASV\r\n",
        b"EPSV\r\n",
        b"PORT ",
        b"CWD ",
        b"PWD\r\n",
        b"TYPE ",
        b"NOOP\r\n",
    ]
    .iter()
    .any(|command| after(bytes, command).is_some())
}

#[cfg(test)]
mod tests;
