//! What is read of SMTP (RFC 5321): envelope and headers, never the body.

/// A mail transaction, or a connection that had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpMail {}
