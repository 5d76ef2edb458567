//! Kerberos (RFC 4120) over UDP and TCP: requests with their replies or errors; of keys and tickets only the types.

mod messages;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::ber::{Total, total_length};
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::kerberos::{KerberosExchange, KerberosKind, KerberosReply, KerberosRequest};
use messages::Message;
pub(super) use messages::ticket_in;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Kerberos, probe: recognise_stream, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Kerberos, probe: recognise_datagram, begin }];

const PORT: u16 = 88;
/// Length of the mark before a message in a stream (RFC 4120, 7.2.2).
const MARK: usize = 4;
/// Bytes of a message that are waited for; tickets with many groups come near this.
const MESSAGE_MAX: usize = 12 * 1024;
/// A mark that says more than this is none.
const RECORD_MAX: usize = 1 << 20;
/// Requests that wait for a reply; one more and the oldest is given up.
const REQUESTS_MAX: usize = 32;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Oldest first, with the side that asks.
    requests: VecDeque<(Side, KerberosRequest)>,
    /// A side whose place was lost goes on where a segment begins with a message.
    lost: [bool; 2],
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn recognise_stream(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match record(bytes) {
        Some(Some(_)) => Guess::Yes,
        Some(None) if hint.on_port(&[PORT]) => Guess::More,
        Some(None) | None => Guess::No,
    }
}

fn recognise_datagram(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let whole = matches!(total_length(bytes), Total::Bytes(length) if length == bytes.len());
    // Some servers leave the version of an error out.
    let short_error = || hint.on_port(&[PORT]) && matches!(messages::read(bytes), Some(Message::Reply(_)));
    (whole && (messages::begins(bytes) || short_error())).into()
}

/// The length of the message behind the mark that `bytes` begin with; `Some(None)`: more bytes are needed.
fn record(bytes: &[u8]) -> Option<Option<usize>> {
    /// Mark, tag and length of the message, of the sequence, version: so much is looked at.
    const LOOK: usize = 20;
    let Some((mark, message)) = bytes.split_first_chunk::<MARK>() else {
        return bytes.iter().all(|byte| *byte == 0).then_some(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*mark)).ok()?;
    if length == 0 || length > RECORD_MAX {
        return None;
    }
    match total_length(message) {
        Total::Bytes(total) if total != length => return None,
        Total::Impossible => return None,
        Total::More if message.len() >= length => return None,
        Total::Bytes(_) | Total::More => {}
    }
    if message.len() < LOOK.min(length) {
        return Some(None);
    }
    messages::begins(message).then_some(Some(length))
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let is_lost = side.of_mut(&mut self.lost);
        let length = match record(bytes) {
            Some(Some(length)) => length,
            Some(None) if !*is_lost => return Take::More,
            Some(None) | None => {
                if !core::mem::replace(is_lost, true) {
                    malformed(side, sink);
                }
                return Take::All;
            }
        };
        *is_lost = false;
        let message = bytes.get(MARK..).unwrap_or_default();
        let wanted = length.min(MESSAGE_MAX);
        let Some(message) = message.get(..wanted) else { return Take::More };
        self.read(side, message, sink);
        Take::bytes(length.saturating_add(MARK))
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        self.read(side, bytes, sink);
    }

    fn lose(&mut self, side: Side, bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        if let (false, Some(Some(_))) = (*side.of(&self.lost), record(bytes)) {
            self.read(side, bytes.get(MARK..).unwrap_or_default(), sink);
        }
        *side.of_mut(&mut self.lost) = true;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        for (side, request) in self.requests.drain(..) {
            say(side, Some(request), None, sink);
        }
    }
}

fn malformed(side: Side, sink: &mut Sink<'_>) {
    sink.counters.count(Counter::ProtoMalformed);
    sink.anomaly(Application::Kerberos, side, "malformed_data");
}

fn say(client: Side, request: Option<KerberosRequest>, reply: Option<KerberosReply>, sink: &mut Sink<'_>) {
    sink.transaction(KerberosExchange { from_originator: client == Side::Originator, request, reply });
}

impl Parser {
    fn read(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) {
        match messages::read(bytes) {
            Some(Message::Request(request)) => {
                if self.requests.len() >= REQUESTS_MAX
                    && let Some((side, oldest)) = self.requests.pop_front()
                {
                    say(side, Some(oldest), None, sink);
                }
                self.requests.push_back((side, request));
            }
            Some(Message::Reply(reply)) => {
                let request = self.answered(side, reply.kind);
                say(side.other(), request, Some(reply), sink);
            }
            Some(Message::Other) => {}
            None => malformed(side, sink),
        }
    }

    /// The oldest request that a reply of this kind, or an error, may answer.
    fn answered(&mut self, side: Side, kind: Option<KerberosKind>) -> Option<KerberosRequest> {
        let fits = |(from, request): &(Side, KerberosRequest)| {
            *from != side && kind.is_none_or(|kind| kind == request.kind)
        };
        let at = self.requests.iter().position(fits)?;
        self.requests.remove(at).map(|(_, request)| request)
    }
}
