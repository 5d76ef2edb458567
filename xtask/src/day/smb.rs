//! SMB 3.1.1 (MS-SMB2): sessions with Kerberos, shares, files read, written, missed and refused.

use std::net::IpAddr;

use super::directory;
use super::session::{Session, Way};
use super::tape::Tape;
use super::world::{Host, MINUTE, World, slowness, while_there};
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::end;

const NEGOTIATE: u16 = 0;
const SETUP: u16 = 1;
const LOGOFF: u16 = 2;
const TREE_CONNECT: u16 = 3;
const TREE_DISCONNECT: u16 = 4;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const ECHO: u16 = 13;
const QUERY_DIRECTORY: u16 = 14;
const QUERY_INFO: u16 = 16;

const SUCCESS: u32 = 0;
const NO_MORE_FILES: u32 = 0x8000_0006;
const NOT_FOUND: u32 = 0xc000_0034;
const DENIED: u32 = 0xc000_0022;
/// Longest read or write within one message here.
const CHUNK: u32 = 65_536 - 2_048;

/// One connection to a server.
pub(super) struct Smb {
    pub(super) session: Session,
    message: u64,
    id: u64,
    tree: u32,
    files: u32,
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn half(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or_default().to_le_bytes()
}

fn word(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or_default().to_le_bytes()
}

impl Smb {
    /// Negotiation and a session with a ticket.
    pub(super) fn begin(world: &mut World, at: u64, host: &Host, server: IpAddr, name: &str) -> Self {
        let tape = &mut world.tape;
        let session = Session::dial(tape, at, host.ip, end(server, 445));
        let id = 0x0400_0000_0000 | u64::from(tape.rng.number());
        let mut one = Self { session, message: 0, id: 0, tree: 0, files: 0 };
        let mut offer = vec![36, 0, 4, 0, 1, 0, 0, 0, 0x7f, 0, 0, 0];
        offer.extend(tape.rng.bytes(16));
        offer.extend([0; 8]);
        for dialect in [0x0202_u16, 0x0210, 0x0300, 0x0302] {
            offer.extend(dialect.to_le_bytes());
        }
        let mut chosen = vec![65, 0, 1, 0, 0x02, 0x03, 0, 0];
        chosen.extend([0x5a; 16]);
        chosen.extend([0x2f, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        chosen.extend([0; 16]);
        chosen.extend([128, 0, 0, 0, 0, 0, 0, 0]);
        one.both(tape, NEGOTIATE, &offer, (SUCCESS, &chosen));
        let token = directory::token(tape, &["cifs", &format!("{name}.city.example")]);
        let mut setup = vec![25, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 88, 0];
        setup.extend(half(token.len()));
        setup.extend([0; 8]);
        setup.extend(&token);
        let back = tape.rng.bytes(180);
        let mut done = vec![9, 0, 0, 0, 72, 0];
        done.extend(half(back.len()));
        done.extend(&back);
        one.id = id;
        one.both(tape, SETUP, &setup, (SUCCESS, &done));
        one
    }

    fn command(&self, tape: &mut Tape, code: u16, is_answer: bool, status: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\xfeSMB\x40\x00\x01\x00".to_vec();
        bytes.extend(if is_answer { status.to_le_bytes() } else { [0; 4] });
        bytes.extend(code.to_le_bytes());
        bytes.extend([1, 0]);
        let signed = if code > SETUP { 8 } else { 0 };
        bytes.extend((u32::from(is_answer) | signed).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.message.to_le_bytes());
        bytes.extend([0xff, 0xfe, 0, 0]);
        bytes.extend(self.tree.to_le_bytes());
        bytes.extend(if code == SETUP && !is_answer { 0 } else { self.id }.to_le_bytes());
        bytes.extend(if signed == 0 { vec![0; 16] } else { tape.rng.bytes(16) });
        bytes.extend(body);
        bytes
    }

    fn framed(&self, tape: &mut Tape, code: u16, is_answer: bool, status: u32, body: &[u8]) -> Vec<u8> {
        let command = self.command(tape, code, is_answer, status, body);
        [&u32::try_from(command.len()).unwrap_or_default().to_be_bytes()[..], &command].concat()
    }

    /// A command and its answer.
    fn both(&mut self, tape: &mut Tape, code: u16, body: &[u8], (status, back): (u32, &[u8])) {
        let question = self.framed(tape, code, false, 0, body);
        let error = [9, 0, 0, 0, 0, 0, 0, 0, 0];
        let failed = status != SUCCESS;
        let answer = self.framed(tape, code, true, status, if failed { &error } else { back });
        self.session.ask(tape, &question).answer(tape, &answer);
        self.message += 1;
    }

    /// Connects to a share.
    pub(super) fn connect(&mut self, world: &mut World, path: &str) {
        let kind = if path.ends_with("IPC$") { 2 } else { 1 };
        let path = wide(path);
        let body = [&[9, 0, 0, 0, 72, 0][..], &half(path.len()), &path].concat();
        let back = [&[16, 0, kind, 0][..], &[0; 12]].concat();
        self.tree += 1;
        self.both(&mut world.tape, TREE_CONNECT, &body, (SUCCESS, &back));
    }

    fn open(&mut self, tape: &mut Tape, name: &str, access: u32, status: u32, size: u64) -> [u8; 16] {
        let name = wide(name);
        self.files += 1;
        let mut file = [0; 16];
        file[..4].copy_from_slice(&self.files.to_le_bytes());
        file[8..12].copy_from_slice(&self.files.to_le_bytes());
        let mut body = vec![57, 0, 0, 0, 2, 0, 0, 0];
        body.extend([0; 16]);
        body.extend(access.to_le_bytes());
        body.extend([0x80, 0, 0, 0, 7, 0, 0, 0]);
        body.extend(if access & 2 == 0 { 1_u32 } else { 5 }.to_le_bytes());
        body.extend([0x40, 0, 0, 0, 120, 0]);
        body.extend(half(name.len()));
        body.extend([0; 8]);
        body.extend(&name);
        let mut back = vec![89, 0, 0, 0, 1, 0, 0, 0];
        for time in [1_u64, 2, 3, 4].map(|day| 133_000_000_000_000_000 + day * 864_000_000_000) {
            back.extend(time.to_le_bytes());
        }
        back.extend(size.to_le_bytes());
        back.extend(size.to_le_bytes());
        back.extend([0x20, 0, 0, 0, 0, 0, 0, 0]);
        back.extend(file);
        back.extend([0; 8]);
        self.both(tape, CREATE, &body, (status, &back));
        file
    }

    fn close(&mut self, tape: &mut Tape, file: [u8; 16]) {
        let body = [&[24, 0, 0, 0, 0, 0, 0, 0][..], &file].concat();
        self.both(tape, CLOSE, &body, (SUCCESS, &[&[60, 0][..], &[0; 58]].concat()));
    }

    /// Opens a file, reads it, closes it. Long ones are cut short in the file of the capture.
    pub(super) fn read_file(&mut self, world: &mut World, name: &str, size: u64) {
        let tape = &mut world.tape;
        let file = self.open(tape, name, 0x0012_0089, SUCCESS, size);
        let mut left = size;
        while left > 0 {
            let length = u32::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let body = [&[49, 0, 0x50, 0][..], &length.to_le_bytes(), &[0; 8], &file, &[0; 16]].concat();
            let question = self.framed(tape, READ, false, 0, &body);
            let head = [&[17, 0, 80, 0][..], &length.to_le_bytes(), &[0; 8]].concat();
            let whole = self.command(tape, READ, true, SUCCESS, &head);
            let total = u32::try_from(whole.len()).unwrap_or_default() + length;
            self.session.ask(tape, &question).answer(tape, &[&total.to_be_bytes()[..], &whole].concat());
            self.session.bulk(tape, Way::Down, u64::from(length), 60_000_000, 14_600);
            self.message += 1;
            left -= u64::from(length);
        }
        self.close(tape, file);
    }

    /// Writes a file.
    pub(super) fn write_file(&mut self, world: &mut World, name: &str, size: u64) {
        let tape = &mut world.tape;
        let file = self.open(tape, name, 0x0013_019f, SUCCESS, 0);
        let mut left = size;
        while left > 0 {
            let length = u32::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let head = [&[49, 0, 112, 0][..], &length.to_le_bytes(), &[0; 8], &file, &[0; 16]].concat();
            let whole = self.command(tape, WRITE, false, 0, &head);
            let total = u32::try_from(whole.len()).unwrap_or_default() + length;
            self.session.ask(tape, &[&total.to_be_bytes()[..], &whole].concat());
            self.session.bulk(tape, Way::Up, u64::from(length), 60_000_000, 14_600);
            let back = [&[17, 0, 0, 0][..], &length.to_le_bytes(), &[0; 8]].concat();
            let answer = self.framed(tape, WRITE, true, SUCCESS, &back);
            self.session.answer(tape, &answer);
            self.message += 1;
            left -= u64::from(length);
        }
        self.close(tape, file);
    }

    /// Looks into a folder.
    pub(super) fn list(&mut self, world: &mut World, folder: &str) {
        let tape = &mut world.tape;
        let file = self.open(tape, folder, 0x0010_0081, SUCCESS, 0);
        let star = wide("*");
        let body =
            [&[33, 0, 37, 0, 0, 0, 0, 0][..], &file, &[96, 0], &half(star.len()), &[0, 0, 1, 0], &star]
                .concat();
        let entries = tape.rng.bytes(1_200);
        let back = [&[9, 0, 72, 0][..], &word(entries.len()), &entries].concat();
        self.both(tape, QUERY_DIRECTORY, &body, (SUCCESS, &back));
        self.both(tape, QUERY_DIRECTORY, &body, (NO_MORE_FILES, &[]));
        self.close(tape, file);
    }

    /// A file that is not there, or that is not for everybody.
    pub(super) fn miss(&mut self, world: &mut World, name: &str, denied: bool) {
        let status = if denied { DENIED } else { NOT_FOUND };
        self.open(&mut world.tape, name, 0x0012_0089, status, 0);
        self.files -= 1;
    }

    /// Opens a pipe, sends messages of DCE/RPC through it, and takes the answers.
    pub(super) fn pipe(&mut self, world: &mut World, name: &str, calls: &[(Vec<u8>, Vec<u8>)]) {
        let tape = &mut world.tape;
        let file = self.open(tape, name, 0x0012_019f, SUCCESS, 0);
        let info = [&[41, 0, 1, 5][..], &[0; 20], &file].concat();
        self.both(tape, QUERY_INFO, &info, (SUCCESS, &[&[9, 0, 72, 0, 24, 0, 0, 0][..], &[0; 24]].concat()));
        for (question, answer) in calls {
            let mut body = vec![57, 0, 0, 0, 0x17, 0xc0, 0x11, 0];
            body.extend(file);
            body.extend([120, 0, 0, 0]);
            body.extend(word(question.len()));
            body.extend([0; 12]);
            body.extend([0, 4, 0, 0, 1, 0, 0, 0]);
            body.extend([0; 4]);
            body.extend(question);
            let mut back = vec![49, 0, 0, 0, 0x17, 0xc0, 0x11, 0];
            back.extend(file);
            back.extend([0; 8]);
            back.extend([112, 0, 0, 0]);
            back.extend(word(answer.len()));
            back.extend([0; 8]);
            back.extend(answer);
            self.both(tape, IOCTL, &body, (SUCCESS, &back));
        }
        self.close(tape, file);
    }

    fn echo(&mut self, tape: &mut Tape) {
        self.both(tape, ECHO, &[4, 0, 0, 0], (SUCCESS, &[4, 0, 0, 0]));
    }

    /// Leaves the share and the session.
    pub(super) fn end(mut self, world: &mut World) {
        let tape = &mut world.tape;
        self.both(tape, TREE_DISCONNECT, &[4, 0, 0, 0], (SUCCESS, &[4, 0, 0, 0]));
        self.both(tape, LOGOFF, &[4, 0, 0, 0], (SUCCESS, &[4, 0, 0, 0]));
        self.session.close(tape);
    }
}

/// The drives of a user stay connected all day: files are read and written, one now and then is missing.
pub(super) fn drives(world: &mut World, host: &Host, at: u64) {
    let files = world.servers.files;
    let mut smb = Smb::begin(world, at, host, files, "fs01");
    smb.connect(world, "\\\\fs01.city.example\\kyoyu");
    smb.list(world, "");
    smb.miss(world, "desktop.ini", false);
    let host = *host;
    world.at(at + 2 * MINUTE, move |world, at| {
        smb.session.until(at);
        if slowness(&host, at).is_none() {
            smb.session.close(&mut world.tape);
            return None;
        }
        work(world, &mut smb);
        Some(at + world.pause(6 * MINUTE))
    });
}

fn work(world: &mut World, smb: &mut Smb) {
    let name =
        format!("R8\\{}\\{}.xlsx", world.tape.rng.text(6, "kasumi"), world.tape.rng.text(8, "aeiouknst"));
    let size = world.tape.rng.between(12_000, 900_000);
    match world.tape.rng.between(0, 10) {
        0..5 => smb.read_file(world, &name, size),
        5..7 => smb.write_file(world, &name, size),
        7 => {
            smb.list(world, "R8");
            smb.miss(world, "R8\\Thumbs.db", false);
        }
        8 => smb.miss(world, "jinji\\hyoka.xlsx", true),
        _ => {
            smb.echo(&mut world.tape);
            smb.session.wait(300 * MILLI);
        }
    }
}

/// Now and then somebody copies a folder: hundreds of files within minutes.
pub(super) fn copies(world: &mut World) {
    for host in world.hosts.clone().into_iter().filter(|host| host.number % 12 == 4) {
        while_there(world, host, 150 * MINUTE, |world, host, at| {
            let files = world.servers.files;
            let mut smb = Smb::begin(world, at, host, files, "fs01");
            smb.connect(world, "\\\\fs01.city.example\\kyoyu");
            for number in 0..world.tape.rng.between(30, 160) {
                let size = world.tape.rng.between(8_000, 120_000);
                smb.read_file(world, &format!("shashin\\IMG_{number:04}.jpg"), size);
            }
            smb.session.wait(SECOND);
            smb.end(world);
        });
    }
}
