//! XMPP (RFC 6120): recognised, and followed into TLS.

use super::{Guess, Hint, Recogniser, Side, Sink, Take};
use crate::event::Application;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Xmpp, probe, begin: |_hint| Parser::default().into() }];

/// Bytes of either end in the clear that are searched for the change to TLS: after that it will not come.
const CLEAR_MAX: usize = 64 * 1024;
/// What the server says before TLS begins (RFC 6120, 5.4.2.3).
const PROCEED: &[u8] = b"<proceed";
/// Longest element that is waited for.
const ELEMENT_MAX: usize = 128;
/// Where a stream begins, within the first bytes.
const STREAM_WITHIN: usize = 256;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    seen: usize,
    done: bool,
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], _sink: &mut Sink<'_>) -> Take {
        self.seen = self.seen.saturating_add(bytes.len());
        self.done = self.seen > CLEAR_MAX;
        if side == Side::Originator {
            return Take::All;
        }
        // An element is whole when its `>` is there; only one that is not is shown again.
        let mut taken = 0_usize;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let Some(end) = rest.iter().position(|byte| *byte == b'>') else { break };
            let element = rest.get(..end).unwrap_or_default();
            taken = taken.saturating_add(end).saturating_add(1);
            if element.windows(PROCEED.len()).any(|at| at == PROCEED) {
                return Take::anew(taken);
            }
        }
        let rest = bytes.get(taken..).unwrap_or_default();
        if rest.len() >= ELEMENT_MAX || rest.is_empty() {
            Take::All
        } else if taken == 0 {
            Take::More
        } else {
            Take::bytes(taken)
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let start = bytes.get(..STREAM_WITHIN).unwrap_or(bytes);
    let declared = start.starts_with(b"<?xml");
    let has = |what: &[u8]| start.windows(what.len()).any(|at| at == what);
    let stanza = [&b"<stream:"[..], b"</stream:stream>", b"<iq ", b"<message ", b"<presence "];
    if stanza.iter().any(|one| start.starts_with(one)) || (declared && has(b"<stream:stream")) {
        return Guess::Yes;
    }
    let cut = [&b"<?xml "[..], b"<stream:stream"].iter().any(|whole| whole.starts_with(start));
    if cut || (declared && bytes.len() < STREAM_WITHIN && !has(b"><")) { Guess::More } else { Guess::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_stream() {
        let hint = Hint::of_port(5222);
        let begun = b"<?xml version='1.0'?><stream:stream to='a' xmlns='jabber:client'>";
        assert_eq!(probe(&hint, begun), Guess::Yes);
        assert_eq!(probe(&hint, b"<stream:stream to='a'>"), Guess::Yes);
        assert_eq!(probe(&hint, b"<?xml version='1.0'?>"), Guess::More);
        assert_eq!(probe(&hint, b"<?xml version='1.0'?><html>"), Guess::No);
        assert_eq!(probe(&hint, b"<iq type='get' id='1'>"), Guess::Yes, "in the middle of a stream");
        assert_eq!(probe(&hint, b"<html>"), Guess::No);
    }
}
