//! What one connection's requests and answers have to do with each other.

use std::collections::VecDeque;

use super::NO_COMMAND;
use super::files::{Carried, Data, Files};
use crate::event::smb::{SmbCode, SmbCommand, SmbDetail, SmbStatus};
use crate::event::{Application, FileInfo, FileState};
use crate::proto::{Side, Sink};

/// Requests that wait for an answer; one more and the oldest is given up. A server grants fewer credits than this.
const REQUESTS_MAX: usize = 256;

/// A request, until its answer.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// What its answer will have too: message number (SMB 1: PID and MID).
    pub(super) key: u64,
    /// Its number in the connection, 0 if it is not a unit of its own.
    pub(super) id: u64,
    pub(super) command: SmbCode,
    pub(super) session: u64,
    pub(super) tree: u32,
    pub(super) status: Option<SmbStatus>,
    pub(super) detail: SmbDetail,
    /// File that it is about.
    pub(super) file: [u8; 16],
}

/// State of a connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) client: Option<Side>,
    pub(super) dialect: Box<str>,
    pub(super) files: Files,
    /// Oldest first.
    requests: VecDeque<Request>,
    /// Numbers given.
    last_id: u64,
    said: Said,
    said_too_many: bool,
    /// The file that an answer before in the same chain opened.
    pub(super) opened_before: Option<[u8; 16]>,
    /// What shows exploits.
    pub(super) watch: super::exploit::Watch,
}

/// Messages that could not be read were said.
#[derive(Debug, Default)]
struct Said {
    encrypted: bool,
    compressed: bool,
}

impl Connection {
    /// A number for one more unit.
    pub(super) const fn number(&mut self) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    /// A request waits for its answer.
    pub(super) fn ask(&mut self, mut request: Request, is_unit: bool, sink: &mut Sink<'_>) {
        if is_unit {
            request.id = self.number();
        }
        if self.requests.len() >= REQUESTS_MAX
            && let Some(oldest) = self.requests.pop_front()
        {
            if !core::mem::replace(&mut self.said_too_many, true) {
                sink.anomaly(Application::Smb, self.client_side(), "too_many_transactions");
            }
            self.say(oldest, sink);
        }
        self.requests.push_back(request);
    }

    /// The request of an answer, which no longer waits.
    pub(super) fn answer(&mut self, key: u64, command: SmbCode) -> Option<Request> {
        let at = self.requests.iter().position(|request| request.key == key && request.command == command)?;
        self.requests.remove(at)
    }

    /// The request that waits under this number and command.
    pub(super) fn waiting(&mut self, key: u64, command: SmbCode) -> Option<&mut Request> {
        self.requests.iter_mut().find(|request| request.key == key && request.command == command)
    }

    /// A unit is over.
    pub(super) fn say(&self, request: Request, sink: &mut Sink<'_>) {
        if request.id == 0 {
            return;
        }
        let from_originator = self.client_side() == Side::Originator;
        if let SmbDetail::Transfer(transfer) = &request.detail {
            sink.transaction(FileInfo {
                application: Application::Smb,
                from_originator: transfer.is_write == from_originator,
                transaction: request.id,
                name: transfer.name.clone(),
                size: transfer.bytes,
                state: if transfer.is_closed { FileState::Closed } else { FileState::Truncated },
                ..FileInfo::default()
            });
        }
        sink.transaction(SmbCommand {
            id: request.id,
            from_originator,
            dialect: self.dialect.clone(),
            command: request.command,
            status: request.status,
            session: request.session,
            tree: request.tree,
            detail: request.detail,
        });
    }

    pub(super) fn say_all(&self, requests: Vec<Request>, sink: &mut Sink<'_>) {
        for request in requests {
            self.say(request, sink);
        }
    }

    pub(super) fn client_side(&self) -> Side {
        self.client.unwrap_or(Side::Originator)
    }

    /// Data goes to or comes from a file. It is a unit of its own where it is a call or begins a transfer.
    pub(super) fn carry(&mut self, to_server: bool, mut data: Data<'_>, sink: &mut Sink<'_>) -> bool {
        let (file, client) = (data.request.file, self.client_side());
        let next = self.last_id.saturating_add(1);
        if to_server {
            data.request.id = next;
        }
        let is_call = crate::proto::dcerpc::read_head(data.bytes).is_some();
        match self.files.carry(file, client, to_server, &data) {
            Carried::Calls(over) => {
                if to_server && is_call {
                    self.last_id = next;
                }
                self.say_all(over, sink);
                true
            }
            Carried::File(began) => {
                if began {
                    self.last_id = next;
                    if let Some(file) = self.files.find(file) {
                        file.number(to_server, next);
                    }
                }
                false
            }
            Carried::Unknown => false,
        }
    }

    /// A message of which nothing can be read: said once.
    pub(super) fn once(&mut self, side: Side, detail: SmbDetail, sink: &mut Sink<'_>) {
        let was_said =
            if detail == SmbDetail::Encrypted { &mut self.said.encrypted } else { &mut self.said.compressed };
        if !core::mem::replace(was_said, true) {
            self.client.get_or_insert(side);
            let id = self.number();
            let (session, tree, file) = (0, 0, [0; 16]);
            let request =
                Request { key: 0, id, command: NO_COMMAND, session, tree, status: None, detail, file };
            self.say(request, sink);
        }
    }

    /// A side's place in its messages was lost: chains are broken.
    pub(super) const fn lose(&mut self) {
        self.opened_before = None;
    }

    /// The connection is over: what still waits is said.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        let files = self.files.close_all();
        let mut all: Vec<_> = self.requests.drain(..).chain(files).collect();
        all.sort_by_key(|request| request.id);
        self.say_all(all, sink);
    }
}
