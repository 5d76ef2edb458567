//! FTP (RFC 959), control connection.

use super::{Guess, Hint, Recogniser, Session, Side};
use crate::event::Application;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Ftp, probe, begin: |_hint| Session::Opaque }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser;

impl super::Parser for Parser {}

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let greeted = hint.side == Side::Originator && is_greeting(hint.other);
    (is_ftp_greeting(bytes) || (greeted && is_ftp_command(bytes))).into()
}

/// A greeting with code 220: FTP (RFC 959) or SMTP.
fn is_greeting(bytes: &[u8]) -> bool {
    bytes.starts_with(b"220 ") || bytes.starts_with(b"220-")
}

/// A greeting that names FTP in its first line.
fn is_ftp_greeting(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    is_greeting(bytes) && line.windows(3).any(|word| word.eq_ignore_ascii_case(b"ftp"))
}

/// What an FTP client says after a greeting, and no SMTP client does.
fn is_ftp_command(bytes: &[u8]) -> bool {
    [&b"USER "[..], b"AUTH TLS", b"AUTH SSL", b"FEAT\r\n"]
        .iter()
        .any(|command| bytes.get(..command.len()).is_some_and(|start| start.eq_ignore_ascii_case(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_ftp_from_smtp() {
        assert!(is_ftp_greeting(b"220 (vsFTPd 3.0.3)\r\n"));
        assert!(
            is_greeting(b"220 mail.example.jp ESMTP\r\n")
                && !is_ftp_greeting(b"220 mail.example.jp ESMTP\r\n")
        );
        assert!(is_ftp_command(b"user anonymous\r\n") && !is_ftp_command(b"EHLO x\r\n"));
    }
}
