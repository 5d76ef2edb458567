//! DCE/RPC over connections (version 5) and datagrams (version 4): C706, MS-RPCE.
//!
//! Of a message only the head is read: what a bind asks for, which operation a call is for, how long its arguments are.

mod conversation;
mod datagram;

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
pub(super) use conversation::{Conversation, Head, read_head};

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::DceRpc, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::DceRpc, probe: datagram::recognise, begin }];

/// Bytes of a message that are waited for: a bind of Windows has some 160, one of an attacker may try a hundred interfaces.
const HEAD_MAX: usize = 6 * 1024;
/// Connections begin at the endpoint mapper.
const PORT: u16 = 135;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    conversation: Conversation<()>,
    datagrams: datagram::Calls,
    /// A side whose place was lost goes on where a segment begins with a message.
    lost: [bool; 2],
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn recognise(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match read_head(bytes) {
        Some(_) => Guess::Yes,
        None if bytes.len() < conversation::HEAD && hint.on_port(&[PORT]) && bytes.first() == Some(&5) => {
            Guess::More
        }
        None => Guess::No,
    }
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if bytes.len() < conversation::HEAD && !*side.of(&self.lost) {
            return Take::More;
        }
        let Some(head) = read_head(bytes) else {
            if !core::mem::replace(side.of_mut(&mut self.lost), true) {
                sink.counters.count(Counter::ProtoMalformed);
            }
            return Take::All;
        };
        let wanted = usize::from(head.length).min(HEAD_MAX);
        *side.of_mut(&mut self.lost) = false;
        let Some(message) = bytes.get(..wanted) else { return Take::More };
        self.read(side, &head, message, sink);
        Take::Bytes(head.length.into())
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        self.datagrams.read(side, bytes, sink);
    }

    fn lose(&mut self, side: Side, bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        if let (false, Some(head)) = (*side.of(&self.lost), read_head(bytes)) {
            self.read(side, &head, bytes, sink);
        }
        *side.of_mut(&mut self.lost) = true;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        while let Some((call, ())) = self.conversation.give_up() {
            sink.transaction(call);
        }
        self.datagrams.finish(sink);
    }
}

impl Parser {
    fn read(&mut self, side: Side, head: &Head, message: &[u8], sink: &mut Sink<'_>) {
        if head.kind.is_request() == (self.conversation.client() == Some(side.other()))
            && head.kind.is_answered()
        {
            sink.anomaly(Application::DceRpc, side, "request_to_client");
        }
        for (call, ()) in self.conversation.read(side, head, message, ()) {
            sink.transaction(call);
        }
    }
}
