//! Telnet (RFC 854): options, and the login as far as prompts and answers show it. Passwords are not kept, nor what follows.

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::event::{Application, TelnetSession};

pub(super) const STREAM: &[Recogniser] = &[Recogniser {
    application: Application::Telnet,
    probe,
    begin: |_hint| Session::from(Parser::default()),
}];
pub(super) const DATAGRAM: &[Recogniser] = &[];

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;
/// Options kept.
const OPTIONS_MAX: usize = 32;
/// The last bytes of the server that a prompt is looked for in.
const TAIL_MAX: usize = 80;
/// Longest user name.
const USER_MAX: usize = 64;
/// Bytes of both ends after which a login is no longer looked for.
const LOOKED_AT_MAX: usize = 64 * 1024;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    session: TelnetSession,
    /// Where in a command each end is.
    commands: [Command; 2],
    /// What the server said last, in lower case.
    tail: Vec<u8>,
    asked: Asked,
    /// What the client types as a user name.
    typed: Vec<u8>,
    looked_at: usize,
    done: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Command {
    #[default]
    None,
    Iac,
    Option,
    /// Within a subnegotiation; whether after an IAC.
    Sub(bool),
}

/// What the server asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Nothing,
    User,
    Password,
    /// The answer to a password tells.
    Outcome,
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], _sink: &mut Sink<'_>) -> Take {
        for byte in bytes {
            if let Some(byte) = self.text(side, *byte) {
                match side {
                    Side::Originator => self.on_typed(byte),
                    Side::Responder => self.on_shown(byte),
                }
            }
        }
        if side == Side::Responder {
            self.look();
        }
        self.looked_at = self.looked_at.saturating_add(bytes.len());
        self.done |= self.looked_at > LOOKED_AT_MAX;
        Take::All
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        *side.of_mut(&mut self.commands) = Command::None;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        sink.transaction(core::mem::take(&mut self.session));
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    /// The byte if it is text, not a command.
    fn text(&mut self, side: Side, byte: u8) -> Option<u8> {
        let command = side.of_mut(&mut self.commands);
        let (next, text) = match (*command, byte) {
            (Command::None, IAC) => (Command::Iac, None),
            (Command::None, byte) => (Command::None, Some(byte)),
            (Command::Iac, SB) => (Command::Sub(false), None),
            (Command::Iac, WILL..=DONT) => (Command::Option, None),
            (Command::Sub(false), IAC) => (Command::Sub(true), None),
            (Command::Sub(true), SE) | (Command::Iac, _) => (Command::None, None),
            (Command::Sub(_), _) => (Command::Sub(false), None),
            (Command::Option, option) => {
                let options = &mut self.session.options;
                if options.len() < OPTIONS_MAX && !options.contains(&option) {
                    options.push(option);
                }
                (Command::None, None)
            }
        };
        *command = next;
        text
    }

    fn on_typed(&mut self, byte: u8) {
        match (self.asked, byte) {
            (Asked::User, b'\r' | b'\n') if !self.typed.is_empty() => {
                self.session.user = Some(String::from_utf8_lossy(&self.typed).into());
                self.typed.clear();
                self.asked = Asked::Nothing;
            }
            (Asked::User, 8 | 127) => {
                self.typed.pop();
            }
            (Asked::User, byte) if byte >= b' ' && self.typed.len() < USER_MAX => self.typed.push(byte),
            (Asked::Password, b'\r' | b'\n') => {
                self.session.password_given = true;
                self.asked = Asked::Outcome;
                self.tail.clear();
            }
            _ => {}
        }
    }

    fn on_shown(&mut self, byte: u8) {
        if self.tail.len() >= TAIL_MAX {
            self.tail.drain(..TAIL_MAX / 2);
        }
        if byte != 0 {
            self.tail.push(byte.to_ascii_lowercase());
        }
    }

    /// What the server's last words ask for or tell.
    fn look(&mut self) {
        let end = self.tail.trim_ascii_end();
        let has = |what: &[u8]| self.tail.windows(what.len()).any(|at| at == what);
        let asks_user = [&b"login:"[..], b"username:", b"user:", b"user name:", b"login name:"]
            .iter()
            .any(|one| end.ends_with(one));
        let asks_password = end.ends_with(b"password:") || end.ends_with(b"passwd:");
        let refused =
            has(b"incorrect") || has(b"login failed") || has(b"failed") || has(b"denied") || has(b"invalid");
        let prompt =
            end.last().is_some_and(|byte| matches!(byte, b'$' | b'#' | b'>' | b'%')) || has(b"last login:");
        if self.asked == Asked::Outcome && refused {
            self.session.succeeded = Some(false);
        }
        if has(b"last login:") && self.asked != Asked::Outcome {
            return;
        }
        if self.asked == Asked::Outcome && prompt {
            self.session.succeeded = Some(true);
            self.done = true;
        } else if asks_password {
            self.asked = Asked::Password;
        } else if asks_user {
            if self.asked == Asked::Outcome {
                self.session.succeeded = Some(false);
            }
            if self.asked != Asked::User {
                self.typed.clear();
            }
            self.asked = Asked::User;
        }
    }
}

/// Either end begins with a negotiation: three bytes each.
fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match bytes {
        [IAC] | [IAC, WILL..=DONT] => Guess::More,
        [IAC, WILL..=DONT, option, rest @ ..]
            if *option <= 49 && rest.first().is_none_or(|byte| *byte == IAC || byte.is_ascii()) =>
        {
            Guess::Yes
        }
        _ => Guess::No,
    }
}

#[cfg(test)]
mod tests;
