//! Commands that wait for their reply: the oldest one, unless the code or the words of a reply tell of another.

use std::collections::VecDeque;

use super::path;
use crate::event::{FlowRef, FtpCommand, FtpDataChannel};

/// Commands that a client may send without waiting.
const PENDING_MAX: usize = 20;
/// Lines kept of a reply.
const LINES_MAX: usize = 64;

/// A line of a reply.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the line")]
pub(super) struct ReplyLine {
    /// None within a reply of several lines.
    pub(super) code: Option<u16>,
    pub(super) text: Box<str>,
    /// It was too long.
    pub(super) cut: bool,
    /// It begins a reply, it ends one.
    pub(super) first: bool,
    pub(super) last: bool,
}

/// Commands without their whole reply, the oldest first.
#[derive(Debug)]
pub(super) struct Pending {
    commands: VecDeque<(u64, FtpCommand)>,
    numbered: u64,
    /// The command that the last reply was for.
    current: Option<u64>,
    last_reply: Option<(u16, Box<str>)>,
    directory: Box<str>,
}

impl Default for Pending {
    /// The greeting is awaited.
    fn default() -> Self {
        let commands = VecDeque::from([(0, FtpCommand::default())]);
        Self { commands, numbered: 0, current: None, last_reply: None, directory: ".".into() }
    }
}

impl Pending {
    /// One more command; false if too many wait.
    pub(super) fn push(&mut self, command: FtpCommand) -> bool {
        // Without a greeting (the capture began later) nothing waits for one.
        if self.numbered == 0
            && self.commands.front().is_some_and(|(_, greeting)| greeting.replies.is_empty())
        {
            self.commands.pop_front();
        }
        self.numbered += 1;
        let room = self.commands.len() < PENDING_MAX;
        if room {
            self.commands.push_back((self.numbered, command));
        }
        room
    }

    /// The command that the last reply was for, when the client goes on.
    pub(super) fn answered(&mut self) -> Option<FtpCommand> {
        self.take(self.current?)
    }

    /// All that wait; the flow is over.
    pub(super) fn drain(&mut self) -> Vec<FtpCommand> {
        let numbers: Vec<u64> = self.commands.iter().map(|(number, _)| *number).collect();
        let said = |command: &FtpCommand| command.command.is_some() || !command.replies.is_empty();
        numbers.into_iter().filter_map(|number| self.take(number)).filter(said).collect()
    }

    fn take(&mut self, number: u64) -> Option<FtpCommand> {
        let at = self.commands.iter().position(|(one, _)| *one == number)?;
        let (_, mut command) = self.commands.remove(at)?;
        command.last_reply.clone_from(&self.last_reply);
        command.path = path::joined(&self.directory, &command.argument).into();
        Some(command)
    }

    /// A line of a reply: the command that is over with it, and the data connection that it announces.
    pub(super) fn answer(
        &mut self,
        line: ReplyLine,
        flow: &FlowRef,
    ) -> (Option<FtpCommand>, Option<FtpDataChannel>) {
        if line.first {
            let best =
                self.commands.iter().max_by_key(|(number, one)| (score(one, &line), u64::MAX - number));
            self.current = best.map(|(number, _)| *number);
        }
        if let Some(code) = line.code.filter(|_| line.first || line.last) {
            self.last_reply = Some((code, line.text.clone()));
        }
        let over = line.last && self.commands.len() > 1;
        let Some(number) = self.current else { return (None, None) };
        let Some((_, command)) = self.commands.iter_mut().find(|(one, _)| *one == number) else {
            return (None, None);
        };
        let mut channel = None;
        if let Some(code) = line.code.filter(|_| line.last) {
            channel = note(command, code, &line.text, flow);
            if let Some(directory) = path::changed(&self.directory, command, code, &line.text) {
                self.directory = directory;
            }
        }
        command.reply_cut |= line.cut;
        if command.replies.len() < LINES_MAX {
            command.replies.push((line.code, line.text));
        }
        (if over { self.take(number) } else { None }, channel)
    }
}

/// What a reply tells of a file or a data connection.
fn note(command: &mut FtpCommand, code: u16, text: &str, flow: &FlowRef) -> Option<FtpDataChannel> {
    match (command.command.as_deref(), code) {
        (Some("RETR"), 150) | (Some("SIZE"), 213) => {
            command.file_bytes = path::last_number(text);
            None
        }
        (Some("PASV"), 227) | (Some("EPSV"), 229) => {
            command.data = path::passive(code, text, flow);
            command.data
        }
        _ => None,
    }
}

/// How well a reply fits a command; most of it is whether the code is one of those that RFC 959, 5.4 gives for it.
fn score(command: &FtpCommand, line: &ReplyLine) -> u8 {
    let name = command.command.as_deref().unwrap_or_default();
    let fits = line.code.is_some_and(|code| code == 500 || answers(name, code));
    let named = !name.is_empty() && line.text.contains(name);
    let quoted = !command.argument.is_empty() && line.text.contains(&*command.argument);
    u8::from(fits) * 100 + u8::from(named) * 20 + u8::from(quoted) * 10
}

/// The server may answer this command with this code (RFC 959, 5.4, and the extensions' documents).
fn answers(command: &str, code: u16) -> bool {
    let (own, refused): (&[u16], bool) = match command {
        "" => (&[120, 220, 421], false),
        "USER" => (&[230, 331, 332, 530], true),
        "PASS" | "ACCT" => (&[202, 230, 332, 503, 530], true),
        "CWD" | "SMNT" | "DELE" | "RMD" => (&[202, 250, 450, 502, 530, 550], true),
        "CDUP" => (&[200, 250, 502, 530, 550], true),
        "REIN" => (&[120, 220, 421, 502], false),
        "QUIT" => (&[221], false),
        "PORT" | "TYPE" | "STRU" | "MODE" | "ALLO" | "OPTS" | "CLNT" | "NOOP" | "SITE" => {
            (&[200, 202, 214, 451, 502, 504, 530], true)
        }
        "PASV" => (&[227, 502, 530], true),
        "EPSV" => (&[229], true),
        "EPRT" => (&[200, 522], true),
        "REST" => (&[200, 350, 502, 530], true),
        "STOR" | "STOU" | "APPE" => {
            (&[110, 125, 150, 226, 250, 425, 426, 450, 451, 452, 530, 532, 550, 551, 552, 553], true)
        }
        "RETR" | "LIST" | "NLST" | "MLST" | "MLSD" => {
            (&[110, 125, 150, 226, 250, 425, 426, 450, 451, 502, 530, 550], true)
        }
        "RNFR" => (&[350, 450, 502, 530, 550], true),
        "RNTO" => (&[250, 502, 503, 530, 532, 553], true),
        "MKD" | "PWD" | "XPWD" => (&[257, 502, 530, 550], true),
        "ABOR" => (&[225, 226, 502], true),
        "SYST" => (&[215, 502, 530], true),
        "STAT" => (&[211, 212, 213, 450, 502, 530], true),
        "HELP" | "FEAT" => (&[200, 211, 214, 502], true),
        "SIZE" | "MDTM" => (&[213, 550], true),
        "AUTH" => (&[234, 334, 431, 502, 504, 534], true),
        _ => (&[], false),
    };
    own.contains(&code) || (refused && matches!(code, 421 | 501))
}
