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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Transaction;
    use crate::event::dcerpc::{RpcCall, RpcType};
    use crate::proto::Side::{Originator, Responder};
    use crate::proto::bench::Bench;

    fn calls(bench: &Bench) -> Vec<RpcCall> {
        let all = bench.all(|one| if let Transaction::DceRpc(call) = one { Some(&**call) } else { None });
        all.into_iter().cloned().collect()
    }

    /// A message of version 5, low bytes first.
    fn message(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len() + 16).unwrap().to_le_bytes();
        let head = [5, 0, kind, flags, 0x10, 0, 0, 0, length[0], length[1], 0, 0];
        [&head[..], &call.to_le_bytes(), body].concat()
    }

    /// Bind of drsuapi 4.0.
    fn bind() -> Vec<u8> {
        let mut body = vec![0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
        body.extend([
            0x35, 0x42, 0x51, 0xe3, 0x06, 0x4b, 0xd1, 0x11, 0xab, 0x04, 0, 0xc0, 0x4f, 0xc2, 0xdc, 0xd2,
        ]);
        body.extend([4, 0, 0, 0]);
        body.extend([0; 20]);
        message(11, 3, 1, &body)
    }

    #[test]
    fn a_bind_and_a_call_are_read() {
        let mut bench = Bench::to_port(49_155);
        let mut ack =
            vec![0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        ack.extend([0; 20]);
        bench.stream(Originator, &bind()).stream(Responder, &message(12, 3, 1, &ack));
        bench.stream(Originator, &message(0, 3, 2, &[0, 0, 0, 0, 0, 0, 3, 0, 1, 2, 3]));
        bench.stream(Responder, &message(2, 3, 2, &[0, 0, 0, 0, 0, 0, 0, 0, 1]));
        let all = calls(&bench);
        assert_eq!((all[0].request, all[0].response), (Some(RpcType::Bind), Some(RpcType::BindAck)));
        assert_eq!((all[0].interfaces[0].version, all[0].interfaces[0].answer), ((4, 0), Some((0, 0))));
        assert_eq!(all[0].interfaces[0].uuid.to_string(), "e3514235-4b06-11d1-ab04-00c04fc2dcd2");
        let uuid = all[1].interface.unwrap();
        assert_eq!(uuid.operation_name(all[1].operation), Some("DRSGetNCChanges"));
        assert_eq!((all[1].sent.bytes, all[1].received.bytes), (3, 1));
    }

    #[test]
    fn fragments_are_counted() {
        let mut bench = Bench::to_port(49_155);
        bench
            .stream(Originator, &message(0, 1, 2, &[0; 108]))
            .stream(Originator, &message(0, 2, 2, &[0; 58]));
        bench.stream(Responder, &message(2, 1, 2, &[0; 18])).stream(Responder, &message(2, 0, 2, &[0; 18]));
        assert!(calls(&bench).is_empty());
        bench.stream(Responder, &message(2, 2, 2, &[0; 9]));
        let all = calls(&bench);
        assert_eq!((all[0].sent.fragments, all[0].sent.bytes), (2, 150));
        assert_eq!((all[0].received.fragments, all[0].received.bytes), (3, 21));
    }

    #[test]
    fn an_answer_to_what_was_not_seen_is_said() {
        let mut bench = Bench::to_port(49_155);
        bench.stream(Originator, &bind()).stream(Responder, &message(15, 3, 1, &[0; 32]));
        let all = calls(&bench);
        assert_eq!((all[0].request, all[0].response), (None, Some(RpcType::AlterContextResponse)));
        bench.finish();
        assert_eq!(calls(&bench)[1].response, None, "the bind had no answer");
    }

    #[test]
    fn either_order_of_bytes_is_read() {
        let mut bench = Bench::to_port(49_155);
        bench.stream(Originator, b"\x05\x00\x00\x03\x00\x00\x00\x00\x00\x18\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x2d");
        bench.finish();
        let all = calls(&bench);
        assert_eq!((all[0].call, all[0].operation), (7, 45));
    }

    #[test]
    fn datagrams_are_read() {
        let head = |kind: u8, sequence: u8| {
            let mut bytes = vec![4, kind, 0, 0, 0x10, 0, 0, 0];
            bytes.extend([0; 16]);
            bytes.extend([0x11; 16]);
            bytes.extend([0x22; 16]);
            bytes.extend([
                0, 0, 0, 0, 1, 0, 0, 0, sequence, 0, 0, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0,
            ]);
            bytes.extend([7, 7]);
            bytes
        };
        let mut bench = Bench::to_port(34_964);
        bench
            .datagram(Originator, &head(0, 9))
            .datagram(Responder, &head(2, 9))
            .datagram(Originator, &head(0, 10));
        let all = calls(&bench);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].version, all[0].call, all[0].operation), ((4, 0), 9, 5));
        assert_eq!((all[0].sent.bytes, all[0].received.bytes), (2, 2));
        assert!(all[0].activity.is_some());
        bench.finish();
        assert_eq!(calls(&bench).len(), 2);
    }

    #[test]
    fn what_is_none_is_not_recognised() {
        let hint = Hint::of_port(135);
        assert_eq!(recognise(&hint, &bind()), Guess::Yes);
        assert_eq!(recognise(&hint, &bind()[..8]), Guess::More);
        assert_eq!(
            recognise(&hint, b"\x05\x00\x0b\x03\x11\x00\x00\x00\x48\x00\x00\x00\x02\x00\x00\x00"),
            Guess::No
        );
        assert_eq!(
            recognise(&hint, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x08\x00\x00\x00\x02\x00\x00\x00"),
            Guess::No
        );
        assert_eq!(recognise(&hint, b"\x05\x01\x00"), Guess::More);
        assert_eq!(recognise(&Hint::of_port(1080), b"\x05\x01\x00"), Guess::No, "SOCKS");
    }

    #[test]
    fn unanswered_calls_are_bounded() {
        let mut bench = Bench::to_port(49_155);
        for call in 0..1000 {
            bench.stream(Originator, &message(0, 3, call, &[0; 8]));
        }
        assert_eq!(calls(&bench).len(), 1000 - 32);
        let mut bench = Bench::to_port(49_155);
        bench.stream(Originator, &message(11, 3, 1, &[0xff; 60_000]));
        bench.finish();
        assert_eq!(calls(&bench).len(), 1, "a bind of nonsense is one all the same");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(kind in 0_u8..20, flags: u8, body: Vec<u8>, piece in 1_usize..300) {
            let all = [message(kind, flags, 1, &body), bind(), message(2, 3, 1, &body), body].concat();
            Bench::to_port(135).torture(&all, piece);
            Bench::to_port(135).torture(&all, all.len());
        }
    }
}
