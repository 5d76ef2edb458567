//! SSH (RFC 4253).

use super::{Guess, Hint, Recogniser, Session};
use crate::event::Application;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Ssh, probe, begin: |_hint| Session::Opaque }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser;

impl super::Parser for Parser {}

/// SSH's identification (RFC 4253, 4.2).
fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const BANNER: &[u8] = b"SSH-";
    if BANNER.starts_with(bytes) && bytes.len() < BANNER.len() {
        return Guess::More;
    }
    bytes.starts_with(BANNER).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_banner() {
        let hint = Hint::of_port(22);
        assert_eq!(probe(&hint, b"SSH-2.0-OpenSSH_9.2"), Guess::Yes);
        assert_eq!(probe(&hint, b"SS"), Guess::More);
        assert_eq!(probe(&hint, b"SSL"), Guess::No);
    }
}
