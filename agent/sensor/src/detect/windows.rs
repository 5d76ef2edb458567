//! What the detectors of movement between Windows hosts read alike: calls, wherever they are carried, and shares.

use core::net::IpAddr;

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::event::dcerpc::{RpcCall, RpcType};
use crate::event::smb::{SmbCommand, SmbDetail, SmbStatus};
use crate::event::{Event, FlowEvent, FlowRef, Transaction};
use crate::limits::Limits;

/// A bind or call of DCE/RPC, over TCP or through a named pipe of SMB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'e> {
    pub(super) at: Timestamp,
    /// The client is its originator.
    pub(super) flow: FlowRef,
    pub(super) rpc: &'e RpcCall,
}

impl<'e> Call<'e> {
    /// The one that an event is about.
    pub(super) fn of(event: &'e Event) -> Option<Self> {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return None };
        let rpc = if let Transaction::DceRpc(rpc) = &**transaction {
            rpc
        } else if let Transaction::Smb(command) = &**transaction
            && let SmbDetail::Rpc(rpc) = &command.detail
        {
            rpc
        } else {
            return None;
        };
        Some(Self { at: *at, flow: from_client(flow, rpc.from_originator), rpc })
    }

    /// Interface and operation, if it is a call.
    pub(super) fn operation(&self) -> Option<(&'static str, u16)> {
        let is_call = self.rpc.request == Some(RpcType::Request);
        let interface = self.rpc.interface?.interface_name()?;
        is_call.then_some((interface, self.rpc.operation))
    }

    /// The operation's name.
    pub(super) fn name(&self) -> &'static str {
        self.rpc.interface.and_then(|uuid| uuid.operation_name(self.rpc.operation)).unwrap_or("?")
    }

    /// The server would not do it.
    pub(super) fn is_refused(&self) -> bool {
        self.rpc.response == Some(RpcType::Fault)
    }

    /// Client and server.
    pub(super) const fn ends(&self) -> (IpAddr, IpAddr) {
        (self.flow.originator.address, self.flow.responder.address)
    }
}

/// The flow with the client as its originator.
pub(super) const fn from_client(flow: &FlowRef, client_is_originator: bool) -> FlowRef {
    if client_is_originator { *flow } else { flow.reversed() }
}

/// The command of SMB that an event is about, its flow with the client as originator.
pub(super) fn smb(event: &Event) -> Option<(Timestamp, FlowRef, &SmbCommand)> {
    let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return None };
    let Transaction::Smb(command) = &**transaction else { return None };
    Some((*at, from_client(flow, command.from_originator), command))
}

/// The server did what it was asked for.
pub(super) fn is_done(command: &SmbCommand) -> bool {
    command.status == Some(SmbStatus::Nt(0)) || command.status == Some(SmbStatus::Dos(0, 0))
}

/// The server said that the client may not.
pub(super) fn is_denied(command: &SmbCommand) -> bool {
    const ACCESS_DENIED: u32 = 0xc000_0022;
    command.status == Some(SmbStatus::Nt(ACCESS_DENIED))
}

/// The share's last part, if it is one that Windows makes for administrators: a drive, or the folder of Windows.
pub(super) fn admin_share(name: &str) -> Option<&str> {
    let share = name.rsplit('\\').next()?;
    let is_drive =
        share.len() == 2 && share.ends_with('$') && share.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_drive || share.eq_ignore_ascii_case("ADMIN$")).then_some(share)
}

/// What Windows runs when it is opened, by the end of its name.
pub(super) fn is_program(name: &str) -> bool {
    const ENDINGS: [&str; 12] =
        ["exe", "dll", "sys", "scr", "com", "bat", "cmd", "ps1", "vbs", "js", "hta", "msi"];
    name.rsplit_once('.').is_some_and(|(_, end)| ENDINGS.iter().any(|one| end.eq_ignore_ascii_case(one)))
}

/// Trees that were connected to administrators' shares, by flow and number.
#[derive(Debug)]
pub(super) struct AdminTrees {
    trees: Map<(u64, u32), ()>,
}

impl AdminTrees {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self { trees: Map::new(limits.detector_entries, seed) }
    }

    /// Learns from the connection of a tree; true if the command is about a file in such a share.
    pub(super) fn hold(&mut self, flow: &FlowRef, command: &SmbCommand) -> bool {
        let key = (flow.id, command.tree);
        if let SmbDetail::TreeConnect(share) = &command.detail {
            if is_done(command) && admin_share(&share.name).is_some() {
                // A tree that is not disconnected ages out; nothing is lost with it.
                let _left = self.trees.insert(key, ());
            }
            return false;
        }
        self.trees.peek(&key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_administrators_are_told_from_others() {
        for name in [r"\\files\ADMIN$", r"\\files\c$", "admin$"] {
            assert!(admin_share(name).is_some(), "{name}");
        }
        for name in [r"\\files\IPC$", r"\\files\print$", r"\\files\public", r"\\files\1$", ""] {
            assert_eq!(admin_share(name), None, "{name}");
        }
    }

    #[test]
    fn programs_are_told_by_their_ending() {
        assert!(is_program(r"Windows\Temp\setup.EXE") && is_program("a.ps1"));
        assert!(!is_program("report.xlsx") && !is_program("exe") && !is_program(""));
    }
}
