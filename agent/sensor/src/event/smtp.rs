//! What is read of SMTP (RFC 5321): envelope and headers, never the body.

use core::net::IpAddr;

/// A mail transaction, or a connection that had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpMail {
    /// Number of this in its connection, from 0.
    pub transaction: u32,
    /// Number of the mail in its connection, from 1, as far as messages were transferred.
    pub depth: u32,
    /// What the client calls itself.
    pub helo: Option<Box<str>>,
    /// Reverse path as sent, with its brackets.
    pub mail_from: Option<Box<str>>,
    /// Forward paths as sent, with their brackets; bounded.
    pub rcpt_to: Vec<Box<str>>,
    /// The message, if its transfer began.
    pub message: Option<MailMessage>,
    /// The server's last reply: code and last line.
    pub last_reply: Option<(u16, Box<str>)>,
    /// The connection went on in TLS.
    pub tls: bool,
    /// How the client said who it is; never with what secret.
    pub login: Option<SmtpLogin>,
}

/// `AUTH` (RFC 4954).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpLogin {
    /// Mechanism.
    pub mechanism: Box<str>,
    /// Whether the server took it, if it said so.
    pub succeeded: Option<bool>,
}

/// How far a message came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MailProgress {
    /// Nothing of it was seen.
    #[default]
    Started,
    /// Its headers have begun.
    Headers,
    /// Its body has begun.
    Body,
    /// Its end was seen.
    Done,
}

/// The headers of a message (RFC 5322).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailMessage {
    /// How far it came.
    pub progress: MailProgress,
    /// `From`.
    pub from: Option<Box<str>>,
    /// Mailboxes of `To`; bounded.
    pub to: Vec<Box<str>>,
    /// Mailboxes of `Cc`; bounded.
    pub cc: Vec<Box<str>>,
    /// `Reply-To`.
    pub reply_to: Option<Box<str>>,
    /// `Subject`.
    pub subject: Option<Box<str>>,
    /// `Date`.
    pub date: Option<Box<str>>,
    /// `Message-ID`.
    pub message_id: Option<Box<str>>,
    /// `In-Reply-To`.
    pub in_reply_to: Option<Box<str>>,
    /// `X-Mailer`, `User-Agent` or `X-User-Agent`.
    pub user_agent: Option<Box<str>>,
    /// The address in `X-Originating-IP`.
    pub originating_ip: Option<IpAddr>,
    /// The last two `Received` headers: the earliest hop and the one after it.
    pub received: Vec<Box<str>>,
    /// Addresses in the `Received` headers, in their order; bounded.
    pub path: Vec<IpAddr>,
    /// Names of attached files; bounded.
    pub attachments: Vec<Box<str>>,
}
