//! Open files, pipes and shares of a connection.

use std::collections::VecDeque;

use super::connection::Request;
use crate::event::smb::{SmbDetail, SmbStatus, SmbTransfer};
use crate::proto::Side;
use crate::proto::dcerpc::{Conversation, read_head};

/// Open files that are known; one more and the oldest is forgotten.
const FILES_MAX: usize = 256;
/// Shares that are known; one more and the oldest is forgotten.
const SHARES_MAX: usize = 64;

/// Identifier of a file that stands for the one that the command before opened.
pub(super) const THE_ONE_BEFORE: [u8; 16] = [0xff; 16];

/// Files, pipes and shares.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: VecDeque<File>,
    shares: VecDeque<Share>,
}

/// An open file or pipe.
#[derive(Debug)]
pub(super) struct File {
    id: [u8; 16],
    pub(super) name: Box<str>,
    is_pipe: bool,
    /// Reading and writing of it, as far as there was any.
    transfers: [Option<Box<Request>>; 2],
    /// What is called through it.
    pipe: Option<Box<Pipe>>,
}

/// What goes through a named pipe.
#[derive(Debug, Default)]
struct Pipe {
    conversation: Conversation<Request>,
    /// Bytes of the message before that are still to come (client's, server's).
    rest: [u32; 2],
}

/// A connected share.
#[derive(Debug)]
struct Share {
    session: u64,
    tree: u32,
    is_pipe: bool,
}

impl Files {
    /// A tree was connected.
    pub(super) fn connect(&mut self, session: u64, tree: u32, is_pipe: bool) {
        self.shares.retain(|share| (share.session, share.tree) != (session, tree));
        if self.shares.len() >= SHARES_MAX {
            self.shares.pop_front();
        }
        self.shares.push_back(Share { session, tree, is_pipe });
    }

    /// The tree has named pipes; none: its connection was not seen.
    pub(super) fn is_pipe_tree(&self, session: u64, tree: u32) -> Option<bool> {
        let find = |share: &&Share| (share.session, share.tree) == (session, tree);
        self.shares.iter().rev().find(find).map(|share| share.is_pipe)
    }

    /// A file was opened; what an older one of this number, or the oldest of all, had to say is returned.
    pub(super) fn open(&mut self, id: [u8; 16], name: Box<str>, is_pipe: bool) -> Vec<Request> {
        let mut said = self.close(id);
        if self.files.len() >= FILES_MAX
            && let Some(oldest) = self.files.pop_front()
        {
            said.extend(oldest.say(false));
        }
        self.files.push_back(File { id, name, is_pipe, transfers: [None, None], pipe: None });
        said
    }

    /// A file was closed: what it had to say.
    pub(super) fn close(&mut self, id: [u8; 16]) -> Vec<Request> {
        let at = self.files.iter().rposition(|file| file.id == id);
        at.and_then(|at| self.files.remove(at)).map(|file| file.say(true)).unwrap_or_default()
    }

    /// All files that are left: what they had to say.
    pub(super) fn close_all(&mut self) -> Vec<Request> {
        self.files.drain(..).flat_map(|file| file.say(false)).collect()
    }

    pub(super) fn find(&mut self, id: [u8; 16]) -> Option<&mut File> {
        self.files.iter_mut().rev().find(|file| file.id == id)
    }

    /// Data goes to or comes from a file: whether it is calls, which come back when they are over. A file whose opening was
    /// not seen is judged by the data.
    pub(super) fn carry(&mut self, id: [u8; 16], client: Side, to_server: bool, data: &Data<'_>) -> Carried {
        let looks_like_calls = read_head(data.bytes).is_some();
        if self.find(id).is_none() {
            if id == [0; 16] || id == THE_ONE_BEFORE {
                return Carried::Unknown;
            }
            let over = self.open(id, "".into(), data.is_pipe.unwrap_or(looks_like_calls));
            if !over.is_empty() {
                return Carried::Calls(over);
            }
        }
        let Some(file) = self.find(id) else { return Carried::Unknown };
        if file.is_pipe {
            let from = if to_server { client } else { client.other() };
            let pipe = file.pipe.get_or_insert_default();
            return Carried::Calls(pipe.carry(from, to_server, data));
        }
        file.carry(to_server, data)
    }
}

/// What goes to or comes from a file.
pub(super) struct Data<'a> {
    /// What was seen of it.
    pub(super) bytes: &'a [u8],
    /// Its length.
    pub(super) length: u32,
    /// The tree is one of named pipes, if that is known.
    pub(super) is_pipe: Option<bool>,
    /// The request that carries or asked for it.
    pub(super) request: Request,
}

/// What became of data.
pub(super) enum Carried {
    /// It belongs to calls; those that are over.
    Calls(Vec<Request>),
    /// It belongs to a file: a transfer began (true) or went on.
    File(bool),
    /// Nobody knows.
    Unknown,
}

impl File {
    /// Counts data of a file.
    fn carry(&mut self, is_write: bool, data: &Data<'_>) -> Carried {
        let [reading, writing] = &mut self.transfers;
        let place = if is_write { writing } else { reading };
        let is_new = place.is_none();
        let transfer = place.get_or_insert_with(|| {
            let file =
                SmbTransfer { file: self.id, name: self.name.clone(), is_write, ..SmbTransfer::default() };
            Box::new(Request { detail: SmbDetail::Transfer(Box::new(file)), ..data.request.clone() })
        });
        transfer.status = data.request.status.or(transfer.status);
        if let SmbDetail::Transfer(file) = &mut transfer.detail {
            file.bytes = file.bytes.saturating_add(data.length.into());
        }
        Carried::File(is_new)
    }

    /// Gives a transfer its number, once it began.
    pub(super) fn number(&mut self, is_write: bool, id: u64) {
        let [reading, writing] = &mut self.transfers;
        if let Some(transfer) = if is_write { writing } else { reading } {
            transfer.id = id;
        }
    }

    /// How the server answered the last write.
    pub(super) fn written(&mut self, status: SmbStatus) {
        if let [_, Some(transfer)] = &mut self.transfers {
            transfer.status = Some(status);
        }
    }

    fn say(self, is_closed: bool) -> Vec<Request> {
        let mut said: Vec<_> = self.transfers.into_iter().flatten().map(|transfer| *transfer).collect();
        for one in &mut said {
            if let SmbDetail::Transfer(file) = &mut one.detail {
                file.is_closed = is_closed;
            }
        }
        if let Some(mut pipe) = self.pipe {
            while let Some((call, request)) = pipe.conversation.give_up() {
                said.push(Request { detail: SmbDetail::Rpc(Box::new(call)), ..request });
            }
        }
        said
    }
}

impl Pipe {
    /// Messages begin with the data, behind what is left of the one before.
    fn carry(&mut self, from: Side, to_server: bool, data: &Data<'_>) -> Vec<Request> {
        let [to, back] = &mut self.rest;
        let rest = if to_server { to } else { back };
        let skip = (*rest).min(data.length);
        *rest = rest.saturating_sub(skip);
        let (mut bytes, mut length) = (data.bytes, data.length.saturating_sub(skip));
        bytes = bytes.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        let mut over = Vec::new();
        while let Some(head) = read_head(bytes) {
            let message = u32::from(head.length);
            let seen = bytes.get(..head.length.into()).unwrap_or(bytes);
            let answered = self.conversation.read(from, &head, seen, data.request.clone());
            over.extend(answered.into_iter().map(|(call, request)| {
                let status = data.request.status.or(request.status);
                Request { detail: SmbDetail::Rpc(Box::new(call)), status, ..request }
            }));
            *rest = message.saturating_sub(length);
            length = length.saturating_sub(message);
            bytes = bytes.get(head.length.into()..).unwrap_or_default();
        }
        over
    }
}
