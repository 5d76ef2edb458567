//! SMB 1 (MS-CIFS, MS-SMB): one message.

use super::connection::{Connection, Request};
use super::exploit;
use super::files::Data;
use super::v2::{NAME_MAX, session};
use crate::event::ntlm::{Ntlm, NtlmAnswer};
use crate::event::smb::{SmbCode, SmbCreate, SmbDetail, SmbOpened, SmbShare, SmbShareKind, SmbStatus};
use crate::proto::ntlm::text;
use crate::proto::reader::Reader;
use crate::proto::{Side, Sink};

const CLOSE: u8 = 0x04;
const DELETE: u8 = 0x06;
const RENAME: u8 = 0x07;
const TRANS: u8 = 0x25;
const OPEN_ANDX: u8 = 0x2d;
const READ_ANDX: u8 = 0x2e;
const WRITE_ANDX: u8 = 0x2f;
const TRANS2: u8 = 0x32;
pub(super) const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP: u8 = 0x73;
const TREE_CONNECT: u8 = 0x75;
const NT_CREATE: u8 = 0xa2;

/// A negotiation is found under this number whatever its own was: its answer may be one of SMB 2.
pub(super) const NEGOTIATE_KEY: u64 = u64::MAX;
const HEADER: usize = 32;
const FROM_SERVER: u8 = 0x80;
const HAS_NT_STATUS: u16 = 0x4000;
const HAS_UNICODE: u16 = 0x8000;
const EXTENDED_SECURITY: u32 = 0x8000_0000;
const NO_ANDX: u8 = 0xff;
/// Commands chained within a message that are read: the chains of Windows have two.
const CHAIN_MAX: usize = 4;
/// Dialects of a negotiation that are kept.
const DIALECTS_MAX: usize = 32;
const OPTION_DIRECTORY: u32 = 1;
const OPTION_DELETE_ON_CLOSE: u32 = 0x1000;
const TRANSACT_NAMED_PIPE: u16 = 0x26;

/// A message's header.
struct Header {
    status: SmbStatus,
    is_answer: bool,
    unicode: bool,
    tree: u16,
    user: u16,
    key: u64,
}

/// A command of a message: its words and bytes.
#[derive(Clone, Copy)]
struct Command<'a> {
    code: u8,
    message: &'a [u8],
    words: Reader<'a>,
    bytes: &'a [u8],
    unicode: bool,
}

/// Reads a message or the part of it that is there; none: it is malformed.
pub(super) fn read(
    connection: &mut Connection,
    side: Side,
    message: &[u8],
    sink: &mut Sink<'_>,
) -> Option<()> {
    let (header, first) = header(message)?;
    connection.client = Some(if header.is_answer { side.other() } else { side });
    let (mut code, mut at) = (first, HEADER);
    for _ in 0..CHAIN_MAX {
        let (command, next) = command(message, &header, code, at)?;
        let [.., high, low] = header.key.to_be_bytes();
        let number = (u16::from_be_bytes([high, low]), code);
        if header.is_answer {
            exploit::answer(connection, side, number, header.status, sink);
            answer(connection, &header, command, sink);
        } else {
            exploit::request(connection, side, number, command.setup(), sink);
            // A command that was cut says what it could.
            let _cut = request(connection, &header, command, sink);
        }
        // Chains only go forward.
        match next {
            Some((then, offset)) if usize::from(offset) > at => (code, at) = (then, offset.into()),
            Some(_) | None => break,
        }
    }
    Some(())
}

fn header(message: &[u8]) -> Option<(Header, u8)> {
    let mut reader = Reader(message);
    reader.take(4)?;
    let code = reader.u8()?;
    let status = reader.array::<4>()?;
    let flags = reader.u8()?;
    let flags2 = reader.u16_le()?;
    let process_high = reader.u16_le()?;
    reader.take(10)?;
    let (tree, process) = (reader.u16_le()?, reader.u16_le()?);
    let (user, multiplex) = (reader.u16_le()?, reader.u16_le()?);
    let [class, _, low, high] = status;
    let status = if flags2 & HAS_NT_STATUS == 0 && class != 0 {
        SmbStatus::Dos(class, u16::from_le_bytes([low, high]))
    } else {
        SmbStatus::Nt(u32::from_le_bytes(status))
    };
    let key = u64::from(process_high) << 32 | u64::from(process) << 16 | u64::from(multiplex);
    let is_answer = flags & FROM_SERVER != 0;
    Some((Header { status, is_answer, unicode: flags2 & HAS_UNICODE != 0, tree, user, key }, code))
}

/// The command at `at`, and code and place of the one chained to it.
fn command<'a>(
    message: &'a [u8],
    header: &Header,
    code: u8,
    at: usize,
) -> Option<(Command<'a>, Option<(u8, u16)>)> {
    let mut reader = Reader(message.get(at..)?);
    let count = usize::from(reader.u8()?);
    let words = Reader(reader.take(count.saturating_mul(2))?);
    let length = usize::from(reader.u16_le().unwrap_or_default());
    let bytes = reader.0.get(..length).unwrap_or(reader.0);
    let mut next = None;
    if is_andx(code) {
        let mut andx = words;
        let then = andx.u8();
        let offset = andx.u8().and_then(|_| andx.u16_le());
        next = then.filter(|then| *then != NO_ANDX).zip(offset);
    }
    Some((Command { code, message, words, bytes, unicode: header.unicode }, next))
}

const fn is_andx(code: u8) -> bool {
    matches!(
        code,
        0x24 | OPEN_ANDX | READ_ANDX | WRITE_ANDX | SESSION_SETUP | 0x74 | TREE_CONNECT | NT_CREATE
    )
}

impl<'a> Command<'a> {
    /// Function of a transaction, and the word behind it.
    fn setup(&self) -> Option<(u16, u16)> {
        let mut words = self.words(28)?;
        Some((words.u16_le()?, words.u16_le().unwrap_or_default()))
    }

    /// The words from byte `at` on.
    fn words(&self, at: usize) -> Option<Reader<'a>> {
        self.words.0.get(at..).map(Reader)
    }

    /// What lies at an offset from the header, as far as it was waited for.
    fn part(&self, at: u16, length: u32) -> &'a [u8] {
        let rest = self.message.get(usize::from(at)..).unwrap_or_default();
        usize::try_from(length).ok().and_then(|length| rest.get(..length)).unwrap_or(rest)
    }

    /// Strings that follow each other from byte `at` of the bytes on.
    fn strings(&self, at: usize) -> Strings<'a> {
        Strings {
            rest: self.bytes.get(at..).unwrap_or_default(),
            message: self.message,
            unicode: self.unicode,
        }
    }
}

/// Strings that end with NUL; those of UTF-16 begin at even places of the message.
struct Strings<'a> {
    rest: &'a [u8],
    message: &'a [u8],
    unicode: bool,
}

impl Strings<'_> {
    fn next(&mut self) -> Box<str> {
        if !self.unicode {
            return self.next_narrow();
        }
        // The message goes on behind the bytes of the command, if there is a chain: the place counts from its begin.
        let at = self.rest.as_ptr().addr().saturating_sub(self.message.as_ptr().addr());
        if at % 2 == 1 {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        let pairs = self.rest.as_chunks::<2>().0;
        let length = pairs.iter().position(|pair| *pair == [0, 0]).unwrap_or(pairs.len()).saturating_mul(2);
        let (one, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest.get(2..).unwrap_or_default();
        text(one, true, NAME_MAX)
    }

    /// One byte a character.
    fn next_narrow(&mut self) -> Box<str> {
        let length = self.rest.iter().position(|byte| *byte == 0).unwrap_or(self.rest.len());
        let (one, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest.get(1..).unwrap_or_default();
        text(one, false, NAME_MAX)
    }
}

/// A file number as an identifier.
const fn file_of(number: u16) -> [u8; 16] {
    let [low, high] = number.to_le_bytes();
    [low, high, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn request(
    connection: &mut Connection,
    header: &Header,
    command: Command<'_>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut request = Request {
        key: if command.code == NEGOTIATE { NEGOTIATE_KEY } else { header.key },
        id: 0,
        command: SmbCode::V1(command.code),
        session: header.user.into(),
        tree: header.tree.into(),
        status: None,
        detail: SmbDetail::None,
        file: [0; 16],
    };
    let is_unit = !matches!(command.code, READ_ANDX | WRITE_ANDX | TRANS | TRANS2);
    let understood = match command.code {
        NEGOTIATE => {
            negotiate(&command, &mut request);
            Some(())
        }
        SESSION_SETUP => session_setup(&command, &mut request, sink),
        TREE_CONNECT => tree_connect(&command, &mut request),
        NT_CREATE => create(&command, &mut request),
        OPEN_ANDX => open(&command, &mut request),
        CLOSE => file_at(&command, 0).map(|file| {
            request.file = file;
            let over = connection.files.close(file);
            connection.say_all(over, sink);
        }),
        DELETE | RENAME => named(&command, &mut request),
        READ_ANDX => file_at(&command, 4).map(|file| request.file = file),
        WRITE_ANDX => write(connection, &command, &mut request, sink),
        TRANS => transact(connection, &command, &mut request, sink),
        _ => Some(()),
    };
    connection.ask(request, is_unit, sink);
    understood
}

fn file_at(command: &Command<'_>, at: usize) -> Option<[u8; 16]> {
    command.words(at)?.u16_le().map(file_of)
}

fn negotiate(command: &Command<'_>, request: &mut Request) {
    let mut client_dialects = Vec::new();
    for one in command.bytes.split(|byte| *byte == 0).take(DIALECTS_MAX) {
        if let [2, name @ ..] = one {
            client_dialects.push(text(name, false, NAME_MAX));
        }
    }
    request.detail = SmbDetail::Negotiate { client_dialects, server_guid: None };
}

fn session_setup(command: &Command<'_>, request: &mut Request, sink: &mut Sink<'_>) -> Option<()> {
    const EXTENDED: usize = 24;
    let mut lengths = command.words(14)?;
    let (first, second) = (usize::from(lengths.u16_le()?), lengths.u16_le());
    let is_extended = command.words.0.len() == EXTENDED;
    let mut session = session(command.bytes.get(..first).unwrap_or_default(), sink);
    let mut strings = if is_extended {
        command.strings(first)
    } else {
        let answers = first.saturating_add(second?.into());
        command.strings(answers)
    };
    if !is_extended {
        let (user, domain) = (strings.next(), strings.next());
        let answer = match (first, second) {
            (0 | 1, Some(0)) => NtlmAnswer::Anonymous,
            (_, Some(0..=24)) => NtlmAnswer::V1,
            _ => NtlmAnswer::V2,
        };
        session.ntlm = Some(Ntlm { domain, user, answer, ..Ntlm::default() });
    }
    session.client = Some([strings.next(), strings.next()]);
    request.detail = SmbDetail::SessionSetup(Box::new(session));
    Some(())
}

fn tree_connect(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let password = command.words(6)?.u16_le()?;
    let mut strings = command.strings(password.into());
    let (name, service) = (strings.next(), strings.next_narrow());
    request.detail = SmbDetail::TreeConnect(SmbShare {
        name,
        kind: SmbShareKind::Unknown,
        services: Some([service, "".into()]),
    });
    Some(())
}

fn create(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let mut words = command.words(15)?;
    let access = words.u32_le()?;
    words.take(16)?;
    let (disposition, options) = (words.u32_le()?, words.u32_le()?);
    request.detail = SmbDetail::Create(Box::new(SmbCreate {
        name: command.strings(0).next(),
        is_directory: options & OPTION_DIRECTORY != 0,
        delete_on_close: options & OPTION_DELETE_ON_CLOSE != 0,
        disposition,
        access,
        opened: None,
    }));
    Some(())
}

/// The older way to open a file.
fn open(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let access = command.words(6)?.u16_le()?;
    let name = command.strings(0).next();
    let access = access.into();
    request.detail =
        SmbDetail::Create(Box::new(SmbCreate { name, access, disposition: 1, ..SmbCreate::default() }));
    Some(())
}

/// Names that a byte of format (4) stands before.
fn named(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let mut strings = command.strings(1);
    let from = strings.next();
    request.detail = if command.code == DELETE {
        SmbDetail::Delete { file: [0; 16], name: from, delete: true }
    } else {
        strings.rest = strings.rest.get(1..)?;
        SmbDetail::Rename { file: [0; 16], from, to: strings.next() }
    };
    Some(())
}

fn write(
    connection: &mut Connection,
    command: &Command<'_>,
    request: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    request.file = file_at(command, 4)?;
    let mut words = command.words(18)?;
    let (high, low, at) = (words.u16_le()?, words.u16_le()?, words.u16_le()?);
    let length = u32::from(high) << 16 | u32::from(low);
    carry(connection, true, request, (command.part(at, length), length), sink);
    Some(())
}

/// Data through a pipe, both ways in one.
fn transact(
    connection: &mut Connection,
    command: &Command<'_>,
    request: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut words = command.words(22)?;
    let (length, at) = (words.u16_le()?, words.u16_le()?);
    words.take(2)?;
    let (function, file) = (words.u16_le()?, words.u16_le()?);
    if function == TRANSACT_NAMED_PIPE {
        request.file = file_of(file);
        carry(connection, true, request, (command.part(at, length.into()), length.into()), sink);
    }
    Some(())
}

fn carry(
    connection: &mut Connection,
    to_server: bool,
    request: &Request,
    (bytes, length): (&[u8], u32),
    sink: &mut Sink<'_>,
) {
    let is_pipe = connection.files.is_pipe_tree(request.session, request.tree);
    connection.carry(to_server, Data { bytes, length, is_pipe, request: request.clone() }, sink);
}

fn answer(connection: &mut Connection, header: &Header, command: Command<'_>, sink: &mut Sink<'_>) {
    let key = if command.code == NEGOTIATE { NEGOTIATE_KEY } else { header.key };
    let Some(mut asked) = connection.answer(key, SmbCode::V1(command.code)) else { return };
    asked.status = Some(header.status);
    // An answer that was cut, or an error that has no words, teaches nothing.
    let _cut = learn(connection, header, &command, &mut asked, sink);
    connection.say(asked, sink);
}

/// What an answer teaches of the connection and of its request.
fn learn(
    connection: &mut Connection,
    header: &Header,
    command: &Command<'_>,
    asked: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    match command.code {
        NEGOTIATE => negotiated(connection, command, asked)?,
        SESSION_SETUP => {
            asked.session = header.user.into();
            let token = if command.words.0.len() == 8 { command.words(6)?.u16_le()? } else { 0 };
            let mut strings = command.strings(token.into());
            if let SmbDetail::SessionSetup(session) = &mut asked.detail {
                session.server = Some([strings.next(), strings.next()]);
            }
        }
        TREE_CONNECT => {
            asked.tree = header.tree.into();
            let service = command.strings(0).next_narrow();
            connection.files.connect(asked.session, asked.tree, &*service == "IPC");
            if let SmbDetail::TreeConnect(share) = &mut asked.detail {
                share.kind = share_kind(&service);
                if let Some([_, given]) = &mut share.services {
                    *given = service;
                }
            }
        }
        NT_CREATE => created(connection, command, asked, sink)?,
        OPEN_ANDX => opened(connection, command, asked, sink)?,
        READ_ANDX => {
            let mut words = command.words(10)?;
            let (low, at, high) = (words.u16_le()?, words.u16_le()?, words.u16_le()?);
            let length = u32::from(high) << 16 | u32::from(low);
            carry(connection, false, asked, (command.part(at, length), length), sink);
        }
        WRITE_ANDX => {
            if let Some(file) = connection.files.find(asked.file) {
                file.written(header.status);
            }
        }
        TRANS if asked.file != [0; 16] => {
            let mut words = command.words(12)?;
            let (length, at) = (words.u16_le()?, words.u16_le()?);
            carry(connection, false, asked, (command.part(at, length.into()), length.into()), sink);
        }
        _ => {}
    }
    Some(())
}

fn share_kind(service: &str) -> SmbShareKind {
    match service {
        "A:" => SmbShareKind::Disk,
        "IPC" => SmbShareKind::Pipe,
        "LPT1:" => SmbShareKind::Print,
        _ => SmbShareKind::Unknown,
    }
}

fn negotiated(connection: &mut Connection, command: &Command<'_>, asked: &mut Request) -> Option<()> {
    let SmbDetail::Negotiate { client_dialects, server_guid } = &mut asked.detail else { return None };
    let chosen = command.words(0)?.u16_le()?;
    connection.dialect = client_dialects.get(usize::from(chosen)).cloned().unwrap_or_default();
    let capabilities = command.words(19)?.u32_le()?;
    if capabilities & EXTENDED_SECURITY != 0 {
        *server_guid = command.bytes.first_chunk().copied();
    }
    Some(())
}

fn created(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut words = command.words(5)?;
    let file = file_of(words.u16_le()?);
    words.take(4)?;
    let times = [words.u64_le()?, words.u64_le()?, words.u64_le()?, words.u64_le()?];
    words.take(4 + 8)?;
    let size = words.u64_le()?;
    remember(connection, asked, SmbOpened { file, times, size }, sink);
    Some(())
}

fn opened(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut words = command.words(4)?;
    let file = file_of(words.u16_le()?);
    words.take(6)?;
    let size = words.u32_le()?.into();
    remember(connection, asked, SmbOpened { file, times: [0; 4], size }, sink);
    Some(())
}

/// A file is open. Pipes where the share was not seen are known by what goes through them.
fn remember(connection: &mut Connection, asked: &mut Request, opened: SmbOpened, sink: &mut Sink<'_>) {
    let is_pipe = connection.files.is_pipe_tree(asked.session, asked.tree);
    if let SmbDetail::Create(create) = &mut asked.detail {
        create.opened = Some(opened);
        if is_pipe.is_some() || opened.times != [0; 4] {
            let over = connection.files.open(opened.file, create.name.clone(), is_pipe.unwrap_or(false));
            connection.say_all(over, sink);
        }
    }
}
