//! TFTP (RFC 1350): the request that begins a transfer. The data come from a port of their own: another flow.

use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::counters::Counter;
use crate::event::{Application, TftpRequest};

/// Modes of a transfer (RFC 1350, 1).
const MODES: [&[u8]; 3] = [b"octet", b"netascii", b"mail"];
/// Bytes of a file's name that are kept; a datagram's worth is allowed (RFC 1350, 5).
const FILE_MAX: usize = 512;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Tftp, probe, begin: |_hint| Session::from(Parser) }];

/// State of a flow.
#[derive(Debug, Default)]
pub(crate) struct Parser;

fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    request(bytes).is_some().into()
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, _side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        match (request(bytes), bytes.first_chunk()) {
            (Some(request), _) => sink.transaction(request),
            // Data, acknowledgement, error, options acknowledged (RFC 2347).
            (None, Some([0, 3..=6])) => {}
            (None, _) => sink.counters.count(Counter::ProtoMalformed),
        }
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// A request whose name can be read and whose mode is known.
fn request(bytes: &[u8]) -> Option<TftpRequest> {
    let (operation, rest) = bytes.split_first_chunk()?;
    let is_write = match operation {
        [0, 1] => false,
        [0, 2] => true,
        _ => return None,
    };
    let mut parts = rest.split(|byte| *byte == 0);
    let (file, mode) = (parts.next()?, parts.next()?);
    // A part after the mode: the mode was ended.
    let _ended = parts.next()?;
    if file.is_empty() || file.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mode = MODES.iter().find(|known| known.eq_ignore_ascii_case(mode))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
    Some(TftpRequest { is_write, file: text(file.get(..FILE_MAX).unwrap_or(file)), mode: text(mode) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        for (bytes, expected) in [
            (&b"\0\x01rfc1350.txt\0octet\0"[..], Some((false, "rfc1350.txt", "octet"))),
            (
                b"\0\x02/conf/router-1\0NETASCII\0blksize\x001428\0",
                Some((true, "/conf/router-1", "netascii")),
            ),
            (b"\0\x03\0\x01data", None),
            (b"\0\x01name\0octet", None),
            (b"\0\x01name\0bytes\0", None),
            (b"\0\x01\0octet\0", None),
            (b"\0\x01a\x07b\0octet\0", None),
            (b"\0", None),
            (b"", None),
        ] {
            let read = request(bytes);
            let read = read.as_ref().map(|one| (one.is_write, &*one.file, &*one.mode));
            assert_eq!(read, expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let bytes = [&b"\0\x01"[..], &[b'x'; 60_000], b"\0octet\0"].concat();
        assert_eq!(request(&bytes).unwrap().file.len(), FILE_MAX);
    }
}
