//! SMTP (RFC 5321): the envelope and the headers of each mail, who says to be whom, the change to TLS (RFC 3207).
//!
//! Client and server are read side by side. What the client asked is remembered in a short queue, so that replies find their
//! command also when commands are sent without waiting (RFC 2920).

mod headers;
mod message;

use std::collections::VecDeque;

use super::lines::{self, Line, Lines, Reply, after, word};
use super::search::first_line;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, MailProgress, SmtpLogin, SmtpMail};
use message::Content;

pub(super) const STREAM: &[Recogniser] = &[Recogniser { application: Application::Smtp, probe, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Longest line of a command or reply (RFC 5321, 4.5.3.1.4 asks for 512, extensions for more).
const LINE_MAX: usize = 2048;
/// Commands whose reply is awaited; with more of them replies are no longer told apart.
const AWAITED_MAX: usize = 128;
/// Recipients kept of a mail.
const RECIPIENTS_MAX: usize = 100;
/// Longest path kept.
const PATH_MAX: usize = 512;
/// Ports of mail.
const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// State of a connection.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the conversation")]
pub(crate) struct Parser {
    /// What the server said before the protocol was recognised.
    greeting: Box<[u8]>,
    /// Originator (client), responder (server).
    lines: [Lines; 2],
    /// Commands whose reply has not come.
    awaited: VecDeque<Command>,
    /// Mails whose transfer ended.
    mails: u32,
    helo: Option<Box<str>>,
    login: Option<SmtpLogin>,
    mail: Option<Box<SmtpMail>>,
    /// The message that the client sends.
    content: Option<Content>,
    /// It sends it line by line (`DATA`), not in chunks.
    in_data: bool,
    /// Bytes left of a chunk (`BDAT`), and whether it is the last.
    chunk: Option<(u32, bool)>,
    /// The client answers challenges: its lines are secrets.
    secret: bool,
    welcomed: bool,
    /// Anomalies that were told: each once a connection.
    told: [bool; 2],
    /// Mails and sessions without one that were told.
    transactions: u32,
}

/// Index of what is told once.
const TOLD_REPLY: usize = 0;
const TOLD_SEQUENCE: usize = 1;

/// A command, as far as its reply matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    StartTls,
    Auth,
    Data,
    /// The end of a message.
    End,
    Rset,
    Quit,
    Other,
}

fn begin(hint: &Hint<'_>) -> Session {
    let greeting = if hint.side == Side::Originator { hint.other.into() } else { Box::default() };
    Parser { greeting, ..Parser::default() }.into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        self.read_greeting(sink);
        if side == Side::Originator
            && let Some((left, last)) = self.chunk
        {
            return self.read_chunk(bytes, left, last);
        }
        let max = if side == Side::Originator && self.in_data { message::LINE_MAX } else { LINE_MAX };
        let (text, taken, whole) = match side.of_mut(&mut self.lines).next(bytes, max).read() {
            Ok(line) => line,
            Err(awaited) => return awaited,
        };
        match side {
            Side::Responder => {
                if !whole {
                    sink.anomaly(Application::Smtp, side, "MAX_REPLY_LINE_LEN_EXCEEDED");
                }
                if self.on_reply(text, sink) {
                    self.flush(sink);
                    return Take::anew(taken);
                }
            }
            Side::Originator if self.in_data => self.on_content(text, sink),
            Side::Originator => {
                if !whole {
                    sink.anomaly(Application::Smtp, side, "MAX_COMMAND_LINE_LEN_EXCEEDED");
                }
                self.on_command(text, sink);
            }
        }
        Take::bytes(taken)
    }

    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, _sink: &mut Sink<'_>) {
        let lines = side.of_mut(&mut self.lines);
        if side == Side::Responder {
            self.awaited.clear();
            return lines.lose();
        }
        match (&mut self.chunk, &mut self.content) {
            (Some((left, _)), _) => {
                let shown = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                *left = left.saturating_sub(shown.saturating_add(missing.unwrap_or_default()));
            }
            (None, Some(content)) if self.in_data => {
                content.lose();
                lines.lose_inside();
            }
            (None, _) => lines.lose(),
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.read_greeting(sink);
        self.flush(sink);
    }
}

impl Parser {
    /// What the server said before anybody knew what this is.
    fn read_greeting(&mut self, sink: &mut Sink<'_>) {
        let greeting = core::mem::take(&mut self.greeting);
        for line in greeting.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let _never = self.on_reply(line.trim_ascii_end(), sink);
        }
    }

    fn read_chunk(&mut self, bytes: &[u8], left: u32, last: bool) -> Take {
        let shown = usize::try_from(left).map_or(bytes, |left| bytes.get(..left).unwrap_or(bytes));
        let taken = match self.lines[0].next(shown, message::LINE_MAX) {
            // The end of a chunk need not be the end of a line.
            Line::More if shown.len() == usize::try_from(left).unwrap_or(usize::MAX) => {
                if let Some(content) = &mut self.content {
                    content.begin_line(shown);
                }
                self.lines[0].lose();
                shown.len()
            }
            Line::More => return Take::More,
            Line::Skip(taken) => taken,
            Line::Whole { text, taken } | Line::Cut { text, taken } => {
                if let (Some(content), Some(mail)) = (&mut self.content, self.mail.as_deref_mut()) {
                    content.line(text, mail.message.get_or_insert_default());
                }
                taken
            }
        };
        let left = left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        self.chunk = (left > 0).then_some((left, last));
        if left == 0 {
            self.end_chunk(last);
        }
        Take::bytes(taken)
    }

    fn end_chunk(&mut self, last: bool) {
        self.chunk = None;
        if last {
            self.lines[0].lose();
            self.end_message();
        }
    }

    /// Says once a connection that a rule was broken. Suricata tells such things of the transaction, from the client's side.
    fn tell(&mut self, index: usize, name: &'static str, sink: &mut Sink<'_>) {
        if let Some(told) = self.told.get_mut(index).filter(|told| !**told) {
            *told = true;
            sink.anomaly(Application::Smtp, Side::Originator, name);
        }
    }

    fn on_content(&mut self, line: &[u8], sink: &mut Sink<'_>) {
        if self.awaited.contains(&Command::Data) {
            // RFC 2920, 3.1: DATA ends a group of commands, the message waits for the server's word.
            self.tell(TOLD_SEQUENCE, "INVALID_PIPELINED_SEQUENCE", sink);
        }
        if line == b"." {
            self.end_message();
            self.expect(Command::End, sink);
            return;
        }
        // RFC 5321, 4.5.2: a dot that begins a line is doubled.
        let line = line.strip_prefix(b".").unwrap_or(line);
        if let (Some(content), Some(mail)) = (&mut self.content, self.mail.as_deref_mut()) {
            content.line(line, mail.message.get_or_insert_default());
        }
    }

    fn end_message(&mut self) {
        self.in_data = false;
        if let (Some(content), Some(mail)) = (self.content.take(), self.mail.as_deref_mut()) {
            let message = mail.message.get_or_insert_default();
            content.finish(message);
            message.progress = MailProgress::Done;
            self.mails += 1;
        }
    }

    /// The mail that is being put together, begun if need be.
    fn mail(&mut self) -> &mut SmtpMail {
        self.mail.get_or_insert_with(|| {
            Box::new(SmtpMail {
                depth: self.mails + 1,
                helo: self.helo.clone(),
                login: self.login.clone(),
                ..SmtpMail::default()
            })
        })
    }

    fn flush(&mut self, sink: &mut Sink<'_>) {
        if let Some(mut mail) = self.mail.take() {
            if let (Some(content), Some(message)) = (self.content.take(), &mut mail.message) {
                content.finish(message);
            }
            mail.transaction = self.transactions;
            self.transactions += 1;
            sink.transaction(*mail);
        }
    }

    fn expect(&mut self, command: Command, sink: &mut Sink<'_>) {
        if self.awaited.len() >= AWAITED_MAX {
            sink.counters.count(Counter::ProtoMalformed);
            self.awaited.clear();
        }
        self.awaited.push_back(command);
    }

    fn on_command(&mut self, line: &[u8], sink: &mut Sink<'_>) {
        if self.secret {
            return;
        }
        let (command, argument) = word(line);
        let is = |name: &[u8]| command.eq_ignore_ascii_case(name);
        let mut awaits = Command::Other;
        if is(b"HELO") || is(b"EHLO") || is(b"LHLO") {
            if self.helo.is_some() {
                sink.anomaly(Application::Smtp, Side::Originator, "DUPLICATE_FIELDS");
                self.flush(sink);
            }
            self.helo = Some(lines::text(argument, PATH_MAX));
            let helo = self.helo.clone();
            self.mail().helo = helo;
        } else if let Some(path) = after(line, b"MAIL FROM:") {
            if self.mail.as_ref().is_some_and(|mail| is_begun(mail)) {
                self.flush(sink);
            }
            self.mail().mail_from = Some(path_of(path));
        } else if let Some(path) = after(line, b"RCPT TO:") {
            let mail = self.mail();
            if mail.rcpt_to.len() < RECIPIENTS_MAX {
                mail.rcpt_to.push(path_of(path));
            }
        } else if is(b"DATA") {
            (self.content, self.in_data) = (Some(Content::default()), true);
            self.mail();
            awaits = Command::Data;
        } else if is(b"BDAT") {
            return self.on_chunk(argument, sink);
        } else if is(b"STARTTLS") {
            self.mail();
            awaits = Command::StartTls;
        } else if is(b"AUTH") {
            let (mechanism, _secret) = word(argument);
            self.login = Some(SmtpLogin {
                mechanism: lines::text(mechanism, 32).to_ascii_uppercase().into(),
                succeeded: None,
            });
            self.mail().login = self.login.clone();
            (self.secret, awaits) = (true, Command::Auth);
        } else if is(b"RSET") {
            awaits = Command::Rset;
        } else if is(b"QUIT") {
            awaits = Command::Quit;
        }
        self.expect(awaits, sink);
    }

    /// `BDAT` (RFC 3030).
    fn on_chunk(&mut self, argument: &[u8], sink: &mut Sink<'_>) {
        let (size, rest) = word(argument);
        let last = rest.eq_ignore_ascii_case(b"LAST");
        let Some(size) = lines::number(size, 9).filter(|_| last || rest.is_empty()) else {
            sink.anomaly(Application::Smtp, Side::Originator, "INVALID_BDAT");
            return self.expect(Command::Other, sink);
        };
        self.mail().message.get_or_insert_default();
        if self.content.is_none() {
            self.content = Some(Content::default());
        }
        self.chunk = Some((size, last));
        if size == 0 {
            self.end_chunk(last);
        }
        self.expect(if last { Command::End } else { Command::Other }, sink);
    }

    /// A line from the server; true if TLS begins after it.
    fn on_reply(&mut self, line: &[u8], sink: &mut Sink<'_>) -> bool {
        let Some(reply) = Reply::parse(line) else {
            sink.counters.count(Counter::ProtoMalformed);
            self.tell(TOLD_REPLY, "INVALID_REPLY", sink);
            return false;
        };
        if !is_code(reply.code) {
            self.tell(TOLD_REPLY, "INVALID_REPLY", sink);
        }
        let reply_text = || Some((reply.code, lines::text(reply.text, LINE_MAX)));
        if !self.welcomed {
            self.welcomed = !reply.continues;
            if matches!(reply.code, 220 | 421 | 554) && self.awaited.is_empty() {
                if !reply.continues {
                    self.mail().last_reply = reply_text();
                }
                return false;
            }
        }
        if reply.continues {
            return false;
        }
        let awaited = self.awaited.pop_front();
        if let Some(mail) = &mut self.mail {
            mail.last_reply = reply_text();
        }
        match awaited {
            Some(Command::StartTls) if reply.code == 220 => {
                self.mail().tls = true;
                return true;
            }
            Some(Command::StartTls) => sink.anomaly(Application::Smtp, Side::Responder, "TLS_REJECTED"),
            Some(Command::Auth) if reply.code == 334 => self.awaited.push_front(Command::Auth),
            Some(Command::Auth) => self.on_login(reply.code == 235),
            Some(Command::Data) if reply.code != 354 => {
                sink.anomaly(Application::Smtp, Side::Responder, "DATA_COMMAND_REJECTED");
                (self.content, self.in_data) = (None, false);
                self.lines[0].lose();
            }
            Some(Command::End) => {
                if self.mail.as_ref().is_some_and(|mail| {
                    mail.message.as_ref().is_some_and(|one| one.progress == MailProgress::Done)
                }) {
                    self.flush(sink);
                }
            }
            Some(Command::Data | Command::Rset | Command::Quit | Command::Other) | None => {}
        }
        false
    }

    fn on_login(&mut self, succeeded: bool) {
        self.secret = false;
        if let Some(login) = &mut self.login {
            login.succeeded = Some(succeeded);
        }
        if let Some(mail) = &mut self.mail {
            mail.login.clone_from(&self.login);
        }
    }
}

/// Codes that a server may answer with (RFC 5321, 4.2.3, and the registered extensions).
const fn is_code(code: u16) -> bool {
    matches!(
        code,
        211 | 214 | 220 | 221 | 235 | 250..=253 | 334 | 354 | 421 | 432 | 435 | 450..=455 | 500..=504 | 510..=515 | 521..=525 | 530
            | 534 | 535 | 538 | 541 | 543 | 550..=556 | 571
    )
}

/// Has an envelope or a message: another `MAIL` begins another one.
fn is_begun(mail: &SmtpMail) -> bool {
    mail.mail_from.is_some() || !mail.rcpt_to.is_empty() || mail.message.is_some()
}

/// The path of `MAIL FROM:` and `RCPT TO:` without the parameters behind it.
fn path_of(argument: &[u8]) -> Box<str> {
    let argument = argument.trim_ascii();
    let end = argument.iter().position(|byte| *byte == b'>').map(|end| end.saturating_add(1));
    let path = match end.filter(|_| argument.starts_with(b"<")) {
        Some(end) => argument.get(..end).unwrap_or(argument),
        None => word(argument).0,
    };
    lines::text(path, PATH_MAX)
}

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let line = first_line(bytes);
    if hint.side == Side::Responder {
        return match lines::greeting(bytes) {
            None => Guess::No,
            Some(None) => Guess::More,
            Some(Some(line)) => {
                let named =
                    line.windows(4).any(|at| at.eq_ignore_ascii_case(b"smtp")) || has_word(line, b"mail");
                let ftp = line.windows(3).any(|at| at.eq_ignore_ascii_case(b"ftp"));
                (named && !ftp).into()
            }
        };
    }
    let says = |commands: &[&[u8]]| commands.iter().any(|command| after(line, command).is_some());
    if says(&[b"EHLO ", b"HELO ", b"MAIL FROM:", b"RCPT TO:"]) {
        return Guess::Yes;
    }
    let after_greeting = hint.other.starts_with(b"220") && hint.on_port(&PORTS);
    if after_greeting && says(&[b"EHLO", b"HELO", b"QUIT", b"NOOP", b"RSET", b"STARTTLS", b"AUTH ", b"HELP"])
    {
        return Guess::Yes;
    }
    let could = [&b"EHLO "[..], b"HELO "].iter().any(|command| {
        bytes.len() < command.len()
            && command.get(..bytes.len()).is_some_and(|start| start.eq_ignore_ascii_case(bytes))
    });
    if could { Guess::More } else { Guess::No }
}

fn has_word(line: &[u8], name: &[u8]) -> bool {
    line.split(|byte| !byte.is_ascii_alphanumeric()).skip(1).any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests;
