//! What is read of IMAP (RFC 9051).

/// A command with its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImapCommand {
    /// The client's tag.
    pub tag: Box<str>,
    /// In upper case.
    pub command: Box<str>,
    /// Who logs in (`LOGIN`), which mechanism (`AUTHENTICATE`), which mailbox (`SELECT` and its like); never a password.
    pub argument: Option<Box<str>>,
    /// `OK`, `NO` or `BAD`, if it was answered.
    pub status: Option<Box<str>>,
    /// What the server said with it.
    pub text: Box<str>,
}
