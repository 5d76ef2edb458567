//! What is read of SMB 1, 2 and 3.

mod status;

use super::dcerpc::RpcCall;
use super::ntlm::Ntlm;

/// A command with its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmbCommand {
    /// Numbered within the connection, from 1, in order of the requests.
    pub id: u64,
    /// The client is the flow's originator.
    pub from_originator: bool,
    /// Dialect as it was negotiated (`NT LM 0.12`, `3.11`); empty if that was not seen.
    pub dialect: Box<str>,
    /// Which protocol the command belongs to, and its number.
    pub command: SmbCode,
    /// How the server answered; none: it did not.
    pub status: Option<SmbStatus>,
    /// Session (SMB 1: UID).
    pub session: u64,
    /// Tree (SMB 1: TID).
    pub tree: u32,
    /// What it was about.
    pub detail: SmbDetail,
}

/// A command's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmbCode {
    /// SMB 1 (MS-CIFS, 2.2.2.1).
    V1(u8),
    /// SMB 2 and 3 (MS-SMB2, 2.2.1).
    V2(u16),
}

/// How a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmbStatus {
    /// An NTSTATUS.
    Nt(u32),
    /// An error class and code of DOS (SMB 1).
    Dos(u8, u16),
}

/// What a command was about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SmbDetail {
    /// Nothing more is read of it.
    #[default]
    None,
    /// Negotiation.
    Negotiate {
        /// What the client speaks.
        client_dialects: Vec<Box<str>>,
        /// Who the server is.
        server_guid: Option<[u8; 16]>,
    },
    /// Session setup.
    SessionSetup(Box<SmbSession>),
    /// Connection to a share.
    TreeConnect(SmbShare),
    /// A file or pipe was opened or made.
    Create(Box<SmbCreate>),
    /// A file was read or written, until it was closed.
    Transfer(Box<SmbTransfer>),
    /// A file was renamed.
    Rename {
        /// Which.
        file: [u8; 16],
        /// Its name before.
        from: Box<str>,
        /// Its name after.
        to: Box<str>,
    },
    /// A file was marked to be deleted, or that mark was taken away.
    Delete {
        /// Which.
        file: [u8; 16],
        /// Its name.
        name: Box<str>,
        /// It goes when it is closed.
        delete: bool,
    },
    /// A function of a file system or device.
    Ioctl {
        /// Its code.
        function: u32,
    },
    /// A call of DCE/RPC through a named pipe.
    Rpc(Box<RpcCall>),
    /// From here on the connection is encrypted (SMB 3): said once.
    Encrypted,
    /// From here on messages are compressed (SMB 3.1.1): said once.
    Compressed,
}

/// Session setup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbSession {
    /// Names of NTLM.
    pub ntlm: Option<Ntlm>,
    /// Realm and service of a Kerberos ticket.
    pub ticket: Option<SmbTicket>,
    /// What the client says it is (SMB 1): operating system, LAN manager.
    pub client: Option<[Box<str>; 2]>,
    /// What the server says it is (SMB 1): operating system, LAN manager.
    pub server: Option<[Box<str>; 2]>,
}

/// A Kerberos ticket that was presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbTicket {
    /// Realm of the service.
    pub realm: Box<str>,
    /// Components of the service's name.
    pub service: Vec<Box<str>>,
    /// Encryption type of the ticket.
    pub encryption: i32,
}

/// A share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbShare {
    /// `\\server\share`.
    pub name: Box<str>,
    /// What it is.
    pub kind: SmbShareKind,
    /// Service that the client asked for and the server gave (SMB 1).
    pub services: Option<[Box<str>; 2]>,
}

/// What a share is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmbShareKind {
    /// Not said.
    #[default]
    Unknown,
    /// Files.
    Disk,
    /// Named pipes.
    Pipe,
    /// A printer.
    Print,
}

/// A file or pipe that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbCreate {
    /// Its name within the share; empty: the root.
    pub name: Box<str>,
    /// It must be a directory.
    pub is_directory: bool,
    /// It goes when it is closed.
    pub delete_on_close: bool,
    /// What to do where it exists or not (MS-SMB2, 2.2.13).
    pub disposition: u32,
    /// Access asked for.
    pub access: u32,
    /// What the server says of it.
    pub opened: Option<SmbOpened>,
}

/// What a server says of an opened file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmbOpened {
    /// Its identifier (SMB 1: FID in the first two bytes).
    pub file: [u8; 16],
    /// Times in 100 ns since 1601: creation, last access, last write, change.
    pub times: [u64; 4],
    /// Length.
    pub size: u64,
}

/// A file that was read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbTransfer {
    /// Its identifier.
    pub file: [u8; 16],
    /// Its name, if its opening was seen.
    pub name: Box<str>,
    /// It was written.
    pub is_write: bool,
    /// Bytes carried.
    pub bytes: u64,
    /// It was closed.
    pub is_closed: bool,
}

impl SmbCode {
    /// Suricata's name of it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::V1(number) => status::COMMANDS_V1
                .binary_search_by_key(&number, |entry| entry.0)
                .ok()
                .and_then(|at| status::COMMANDS_V1.get(at))
                .map(|entry| entry.1),
            Self::V2(number) => status::COMMANDS_V2.get(usize::from(number)).copied(),
        }
    }
}

impl SmbStatus {
    /// The usual name.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nt(number) => status::NT
                .binary_search_by_key(&number, |entry| entry.0)
                .ok()
                .and_then(|at| status::NT.get(at))
                .map(|entry| entry.1),
            Self::Dos(class, code) => {
                let one = status::DOS.iter().find(|(of, number, _)| *of == class && *number == code);
                one.map(|(_, _, name)| *name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert_eq!(SmbStatus::Nt(0).name(), Some("STATUS_SUCCESS"));
        assert_eq!(SmbStatus::Nt(0xc000_006d).name(), Some("STATUS_LOGON_FAILURE"));
        assert_eq!(SmbStatus::Nt(0xc000_0016).name(), Some("STATUS_MORE_PROCESSING_REQUIRED"));
        assert_eq!(SmbStatus::Nt(0x1234_5678).name(), None);
        assert_eq!(SmbStatus::Dos(2, 0x5b).name(), Some("SRV_BADUID"));
        assert_eq!(SmbCode::V2(5).name(), Some("SMB2_COMMAND_CREATE"));
        assert_eq!(SmbCode::V2(99).name(), None);
        assert_eq!(SmbCode::V1(0x73).name(), Some("SMB1_COMMAND_SESSION_SETUP_ANDX"));
    }

    #[test]
    fn tables_are_in_order() {
        assert!(status::NT.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(status::COMMANDS_V1.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
