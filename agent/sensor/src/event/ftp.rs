//! What is read of FTP (RFC 959): commands and replies.

use core::net::IpAddr;

use super::Endpoint;

/// A command with its reply, or a greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the command")]
pub struct FtpCommand {
    /// This is the data connection of the command, when it is over; replies are told on the control connection.
    pub transfer: bool,
    /// Who is logged in or trying to.
    pub user: Option<Box<str>>,
    /// A password was given in this connection.
    pub password_given: bool,
    /// What a guest (`anonymous`, `ftp`, `ftpuser`, `guest`) gave for a password; nobody else's is kept.
    pub guest_password: Option<Box<str>>,
    /// In upper case; none for the greeting.
    pub command: Option<Box<str>>,
    /// What followed it, without passwords.
    pub argument: Box<str>,
    /// The command's line was too long.
    pub command_cut: bool,
    /// Lines of the reply: code, if the line has one, and text; bounded.
    pub replies: Vec<(Option<u16>, Box<str>)>,
    /// A line of the reply was too long.
    pub reply_cut: bool,
    /// The last reply in the connection when the command was over: code and text.
    pub last_reply: Option<(u16, Box<str>)>,
    /// The argument as a path, from the client's directory as far as that is known, else from `.`.
    pub path: Box<str>,
    /// The data connection that was agreed upon.
    pub data: Option<FtpDataChannel>,
    /// Size of the file as the server gave it.
    pub file_bytes: Option<u64>,
}

/// A data connection that is going to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FtpDataChannel {
    /// The client opens it.
    pub passive: bool,
    /// Who opens it.
    pub from: IpAddr,
    /// Where to.
    pub to: Endpoint,
}
