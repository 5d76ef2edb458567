//! SMB 2 and 3 (MS-SMB2): one command of a message.

use super::connection::{Connection, Request};
use super::files::{Data, THE_ONE_BEFORE};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::smb::{
    SmbCode, SmbCreate, SmbDetail, SmbOpened, SmbSession, SmbShare, SmbShareKind, SmbStatus,
};
use crate::proto::ntlm::{self, text};
use crate::proto::reader::Reader;
use crate::proto::{Side, Sink, kerberos};

const HEADER: usize = 64;
const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const CANCEL: u16 = 12;
const GET_INFO: u16 = 16;
const SET_INFO: u16 = 17;
const COMMANDS: u16 = 19;
const OPLOCK_BREAK: u16 = 18;

const FROM_SERVER: u32 = 1;
const IS_ASYNC: u32 = 2;
const IS_RELATED: u32 = 4;
const STATUS_PENDING: u32 = 0x103;
const STATUS_BUFFER_OVERFLOW: u32 = 0x8000_0005;
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;
const OPTION_DIRECTORY: u32 = 1;
const OPTION_DELETE_ON_CLOSE: u32 = 0x1000;
const FILE_INFORMATION: u8 = 1;
const RENAME_INFORMATION: u8 = 10;
const DISPOSITION_INFORMATION: u8 = 13;
/// Dialects of a negotiation that are kept.
const DIALECTS_MAX: u16 = 32;
/// Characters of a name that are kept.
pub(super) const NAME_MAX: usize = 512;

/// A command's header and body.
struct Command<'a> {
    bytes: &'a [u8],
    /// With what was not waited for.
    length: u32,
    code: u16,
    status: u32,
    flags: u32,
    message: u64,
    tree: u32,
    session: u64,
}

/// Reads a command or the part of it that is there; none: it is malformed.
pub(super) fn read(
    connection: &mut Connection,
    side: Side,
    bytes: &[u8],
    length: u32,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let command = header(bytes, length)?;
    let is_answer = command.flags & FROM_SERVER != 0;
    connection.client = Some(if is_answer { side.other() } else { side });
    let read =
        if is_answer { answer(connection, &command, sink) } else { request(connection, &command, sink) };
    // A body that was cut by the capture says what it could.
    if read.is_none() && bytes.len() >= usize::try_from(length).unwrap_or(usize::MAX) {
        sink.counters.count(Counter::ProtoMalformed);
        sink.anomaly(Application::Smb, side, "malformed_data");
    }
    Some(())
}

fn header(bytes: &[u8], length: u32) -> Option<Command<'_>> {
    let mut reader = Reader(bytes);
    reader.take(4)?;
    let size = reader.u16_le()?;
    reader.take(2)?;
    let status = reader.u32_le()?;
    let code = reader.u16_le()?;
    reader.take(2)?;
    let (flags, _next, message) = (reader.u32_le()?, reader.u32_le()?, reader.u64_le()?);
    let (_process, tree, session) = (reader.u32_le()?, reader.u32_le()?, reader.u64_le()?);
    let tree = if flags & IS_ASYNC == 0 { tree } else { 0 };
    let fits = usize::from(size) == HEADER && code < COMMANDS;
    fits.then_some(Command { bytes, length, code, status, flags, message, tree, session })
}

impl<'a> Command<'a> {
    /// The body from `at` on.
    fn body(&self, at: usize) -> Option<Reader<'a>> {
        self.bytes.get(HEADER.checked_add(at)?..).map(Reader)
    }

    /// What lies at an offset from the header, as far as it was waited for.
    fn part(&self, at: u32, length: u32) -> &'a [u8] {
        let (Ok(at), Ok(length)) = (usize::try_from(at), usize::try_from(length)) else { return &[] };
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.get(..length).unwrap_or(rest)
    }

    /// What lies at the offset and length that the reader comes to.
    fn field(&self, reader: &mut Reader<'_>) -> Option<&'a [u8]> {
        let (at, length) = (reader.u16_le()?, reader.u16_le()?);
        Some(self.part(at.into(), length.into()))
    }

    fn request(&self, detail: SmbDetail) -> Request {
        Request {
            key: self.message,
            id: 0,
            command: SmbCode::V2(self.code),
            session: self.session,
            tree: self.tree,
            status: None,
            detail,
            file: [0; 16],
        }
    }
}

fn request(connection: &mut Connection, command: &Command<'_>, sink: &mut Sink<'_>) -> Option<()> {
    let mut request = command.request(SmbDetail::None);
    if command.flags & IS_RELATED == 0 {
        connection.opened_before = None;
    }
    let mut is_unit = !matches!(command.code, READ | WRITE | GET_INFO | SET_INFO);
    let understood = match command.code {
        NEGOTIATE => negotiate(command, &mut request),
        SESSION_SETUP => session_setup(command, &mut request, sink),
        TREE_CONNECT => tree_connect(command, &mut request),
        CREATE => create(command, &mut request),
        CLOSE => file_at(command, 8).map(|file| {
            request.file = file;
            let over = connection.files.close(file);
            connection.say_all(over, sink);
        }),
        READ => file_at(command, 16).map(|file| request.file = file),
        WRITE => write(connection, command, &mut request, sink),
        IOCTL => ioctl(connection, command, &mut request, sink).map(|is_call| is_unit = !is_call),
        SET_INFO => set_info(connection, command, &mut request).map(|is_change| is_unit = is_change),
        _ => Some(()),
    };
    // Nobody answers a cancellation; an oplock break that a client sends is an answer itself.
    if command.code == CANCEL || command.code == OPLOCK_BREAK {
        request.id = connection.number();
        connection.say(request, sink);
    } else {
        connection.ask(request, is_unit, sink);
    }
    understood
}

/// The file identifier at `at` of the body.
fn file_at(command: &Command<'_>, at: usize) -> Option<[u8; 16]> {
    command.body(at)?.array()
}

fn negotiate(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let count = command.body(2)?.u16_le()?;
    let mut reader = command.body(36)?;
    let mut client_dialects = Vec::new();
    for _ in 0..count.min(DIALECTS_MAX) {
        let number = reader.u16_le()?;
        client_dialects.push(dialect(number).map_or_else(|| format!("{number:#06x}").into(), Into::into));
    }
    request.detail = SmbDetail::Negotiate { client_dialects, server_guid: None };
    Some(())
}

/// A dialect's number as Suricata writes it.
const fn dialect(number: u16) -> Option<&'static str> {
    Some(match number {
        0x202 => "2.02",
        0x210 => "2.10",
        0x222 => "2.22",
        0x224 => "2.24",
        0x2ff => "2.??",
        0x300 => "3.00",
        0x302 => "3.02",
        0x310 => "3.10",
        0x311 => "3.11",
        _ => return None,
    })
}

fn session_setup(command: &Command<'_>, request: &mut Request, sink: &mut Sink<'_>) -> Option<()> {
    let token = command.field(&mut command.body(12)?)?;
    request.detail = SmbDetail::SessionSetup(Box::new(session(token, sink)));
    Some(())
}

/// Who presents a token.
pub(super) fn session(token: &[u8], sink: &mut Sink<'_>) -> SmbSession {
    let mut session = SmbSession { ticket: kerberos::ticket_in(token), ..SmbSession::default() };
    match ntlm::find(token) {
        Some(ntlm::Message::Authenticate(ntlm)) => session.ntlm = Some(ntlm),
        Some(ntlm::Message::Malformed) => sink.counters.count(Counter::ProtoMalformed),
        Some(ntlm::Message::Early) | None => {}
    }
    session
}

fn tree_connect(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let path = command.field(&mut command.body(4)?)?;
    request.detail =
        SmbDetail::TreeConnect(SmbShare { name: text(path, true, NAME_MAX), ..SmbShare::default() });
    Some(())
}

fn create(command: &Command<'_>, request: &mut Request) -> Option<()> {
    let mut reader = command.body(24)?;
    let access = reader.u32_le()?;
    reader.take(8)?;
    let (disposition, options) = (reader.u32_le()?, reader.u32_le()?);
    let name = text(command.field(&mut reader)?, true, NAME_MAX);
    request.detail = SmbDetail::Create(Box::new(SmbCreate {
        name,
        is_directory: options & OPTION_DIRECTORY != 0,
        delete_on_close: options & OPTION_DELETE_ON_CLOSE != 0,
        disposition,
        access,
        opened: None,
    }));
    Some(())
}

fn write(
    connection: &mut Connection,
    command: &Command<'_>,
    request: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut reader = command.body(2)?;
    let (at, length) = (reader.u16_le()?, reader.u32_le()?);
    request.file = file_at(command, 16)?;
    let length = length.min(command.length);
    let data = Data {
        bytes: command.part(at.into(), length),
        length,
        is_pipe: connection.files.is_pipe_tree(command.session, command.tree),
        request: request.clone(),
    };
    connection.carry(true, data, sink);
    Some(())
}

/// Whether the function is a call through a pipe.
fn ioctl(
    connection: &mut Connection,
    command: &Command<'_>,
    request: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<bool> {
    let mut reader = command.body(4)?;
    let function = reader.u32_le()?;
    request.file = reader.array()?;
    let (at, length) = (reader.u32_le()?, reader.u32_le()?);
    request.detail = SmbDetail::Ioctl { function };
    if function != PIPE_TRANSCEIVE {
        return Some(false);
    }
    let length = length.min(command.length);
    let data = Data {
        bytes: command.part(at, length),
        length,
        is_pipe: Some(true),
        request: Request { detail: SmbDetail::None, ..request.clone() },
    };
    let is_call = crate::proto::dcerpc::read_head(data.bytes).is_some();
    connection.carry(true, data, sink);
    Some(is_call)
}

/// Whether it renames or deletes.
fn set_info(connection: &mut Connection, command: &Command<'_>, request: &mut Request) -> Option<bool> {
    let mut reader = command.body(2)?;
    let (class, level) = (reader.u8()?, reader.u8()?);
    let (length, at) = (reader.u32_le()?, reader.u16_le()?);
    request.file = file_at(command, 16)?;
    if class != FILE_INFORMATION {
        return Some(false);
    }
    let name = connection.files.find(request.file).map(|file| file.name.clone());
    let name = name.or_else(|| created_before(connection, command, request.file)).unwrap_or_default();
    let mut information = Reader(command.part(at.into(), length));
    request.detail = match level {
        RENAME_INFORMATION => {
            information.take(16)?;
            let length = usize::try_from(information.u32_le()?).ok()?;
            let to = text(information.take(length)?, true, NAME_MAX);
            SmbDetail::Rename { file: request.file, from: name, to }
        }
        DISPOSITION_INFORMATION => {
            SmbDetail::Delete { file: request.file, name, delete: information.u8()? != 0 }
        }
        _ => return Some(false),
    };
    Some(true)
}

/// The name in the request before this one of a chain, whose answer is not there yet.
fn created_before(connection: &mut Connection, command: &Command<'_>, file: [u8; 16]) -> Option<Box<str>> {
    if file != THE_ONE_BEFORE {
        return None;
    }
    let before = connection.waiting(command.message.checked_sub(1)?, SmbCode::V2(CREATE))?;
    if let SmbDetail::Create(create) = &before.detail { Some(create.name.clone()) } else { None }
}

fn answer(connection: &mut Connection, command: &Command<'_>, sink: &mut Sink<'_>) -> Option<()> {
    if command.status == STATUS_PENDING {
        return Some(());
    }
    if command.flags & IS_RELATED == 0 {
        connection.opened_before = None;
    }
    let code = SmbCode::V2(command.code);
    let asked = connection.answer(command.message, code);
    let asked = asked.or_else(|| {
        // The answer to a negotiation that began as SMB 1.
        let first = command.code == NEGOTIATE && command.message == 0;
        if first {
            connection.answer(super::v1::NEGOTIATE_KEY, SmbCode::V1(super::v1::NEGOTIATE))
        } else {
            None
        }
    });
    let Some(mut asked) = asked else {
        // Its request was not seen, or a change is announced.
        return if command.code == READ { Some(()) } else { learn(connection, command, None, sink) };
    };
    asked.status = Some(SmbStatus::Nt(command.status));
    let understood = learn(connection, command, Some(&mut asked), sink);
    connection.say(asked, sink);
    understood
}

/// What an answer teaches of the connection and of its request.
fn learn(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: Option<&mut Request>,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let is_error = command.status != 0 && command.status != STATUS_BUFFER_OVERFLOW;
    if command.code == NEGOTIATE && !is_error {
        let mut reader = command.body(4)?;
        let number = reader.u16_le()?;
        connection.dialect = dialect(number).unwrap_or_default().into();
        reader.take(2)?;
        let guid = reader.array()?;
        if let Some(Request { detail: SmbDetail::Negotiate { server_guid, .. }, .. }) = asked {
            *server_guid = Some(guid);
        }
        return Some(());
    }
    let Some(asked) = asked else { return Some(()) };
    if let (SESSION_SETUP, true) = (command.code, asked.session == 0) {
        asked.session = command.session;
    }
    if is_error {
        return Some(());
    }
    match command.code {
        TREE_CONNECT => {
            let kind = command.body(2)?.u8()?;
            asked.tree = command.tree;
            connection.files.connect(command.session, command.tree, kind == 2);
            if let SmbDetail::TreeConnect(share) = &mut asked.detail {
                share.kind = share_kind(kind);
            }
        }
        CREATE => created(connection, command, asked, sink)?,
        READ => read_data(connection, command, asked, sink)?,
        WRITE => {
            if let Some(file) = connection.files.find(asked.file) {
                file.written(SmbStatus::Nt(command.status));
            }
        }
        IOCTL => ioctl_data(connection, command, asked, sink)?,
        CLOSE => {
            let file = resolve(connection, asked.file);
            let over = connection.files.close(file);
            connection.say_all(over, sink);
        }
        _ => {}
    }
    Some(())
}

const fn share_kind(number: u8) -> SmbShareKind {
    match number {
        1 => SmbShareKind::Disk,
        2 => SmbShareKind::Pipe,
        3 => SmbShareKind::Print,
        _ => SmbShareKind::Unknown,
    }
}

/// The file that a request means.
fn resolve(connection: &Connection, file: [u8; 16]) -> [u8; 16] {
    if file == THE_ONE_BEFORE { connection.opened_before.unwrap_or(file) } else { file }
}

fn created(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: &mut Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut reader = command.body(8)?;
    let times = [reader.u64_le()?, reader.u64_le()?, reader.u64_le()?, reader.u64_le()?];
    let (_allocated, size) = (reader.u64_le()?, reader.u64_le()?);
    reader.take(8)?;
    let file = reader.array()?;
    let is_pipe = connection.files.is_pipe_tree(asked.session, asked.tree);
    if let SmbDetail::Create(create) = &mut asked.detail {
        create.opened = Some(SmbOpened { file, times, size });
        connection.opened_before = Some(file);
        // Pipes where the share was not seen are known by what goes through them.
        if is_pipe.is_some() || times != [0; 4] {
            let over = connection.files.open(file, create.name.clone(), is_pipe.unwrap_or(false));
            connection.say_all(over, sink);
        }
    }
    Some(())
}

fn read_data(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: &Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut reader = command.body(2)?;
    let at = reader.u16_le()?.to_le_bytes()[0];
    let length = reader.u32_le()?.min(command.length);
    let file = resolve(connection, asked.file);
    let data = Data {
        bytes: command.part(at.into(), length),
        length,
        is_pipe: connection.files.is_pipe_tree(asked.session, asked.tree),
        request: Request { file, ..asked.clone() },
    };
    connection.carry(false, data, sink);
    Some(())
}

fn ioctl_data(
    connection: &mut Connection,
    command: &Command<'_>,
    asked: &Request,
    sink: &mut Sink<'_>,
) -> Option<()> {
    let mut reader = command.body(4)?;
    if reader.u32_le()? != PIPE_TRANSCEIVE {
        return Some(());
    }
    let mut reader = command.body(32)?;
    let (at, length) = (reader.u32_le()?, reader.u32_le()?);
    let length = length.min(command.length);
    let request = asked.clone();
    let data = Data { bytes: command.part(at, length), length, is_pipe: Some(true), request };
    connection.carry(false, data, sink);
    Some(())
}
