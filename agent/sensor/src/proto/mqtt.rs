//! MQTT 3.1, 3.1.1 and 5 (OASIS MQTT 5.0).
//!
//! A control packet is looked at as far as its first [`HEAD_MAX`] bytes go, the rest is skipped unseen: a message may be as
//! long as 256 MiB. Packets that belong together (PUBLISH and what acknowledges it, …) make one transaction.

mod packet;
mod property;

use self::packet::{Header, header};
use super::{Guess, Hint, Recogniser, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::mqtt::{MqttBody, MqttKind, MqttPacket};
use crate::event::{Application, MqttMessage};

/// Bytes of a control packet that are looked at.
const HEAD_MAX: usize = 8 << 10;
/// A packet longer than this is not read, only noted (Suricata's default).
const MESSAGE_MAX: u32 = 1 << 20;
/// Transactions that wait for their end; one more and the oldest is reported as it is.
const PENDING_MAX: usize = 64;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Mqtt, probe, begin: |_hint| Parser::default().into() }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// A CONNECT says which protocol it begins (3.1.2.1).
fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    /// Fixed header of at most five bytes, length and name.
    const NEEDED: usize = 5 + 2 + 6;
    match bytes.first() {
        Some(0x10) if hint.other.is_empty() => {}
        Some(_) | None => return Guess::No,
    }
    let Some(header) = header(bytes) else {
        return if bytes.len() < NEEDED && !packet::is_bad_header(bytes) { Guess::More } else { Guess::No };
    };
    let body = bytes.get(header.bytes..).unwrap_or_default();
    for name in [&b"\0\x04MQTT"[..], b"\0\x06MQIsdp"] {
        if body.starts_with(name) {
            return Guess::Yes;
        }
        if name.starts_with(body) {
            return Guess::More;
        }
    }
    Guess::No
}

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Version of the CONNECT; 0 before it.
    version: u8,
    /// Bytes were lost: the next packet may begin anywhere (originator's, responder's).
    lost: [bool; 2],
    /// Oldest first, at most [`PENDING_MAX`].
    pending: Vec<Pending>,
    broken: bool,
}

/// A transaction that is not over.
#[derive(Debug)]
struct Pending {
    key: Key,
    message: MqttMessage,
}

/// What ties packets to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Connect,
    Ping,
    /// Packet identifier and who chose it.
    Publish(u16, Side),
    Subscribe(u16, Side),
    Unsubscribe(u16, Side),
}

/// What a packet does to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is one by itself.
    Alone,
    /// It begins one.
    Begin(Key),
    /// It goes on with one.
    Continue(Key),
    /// It ends one; if that was never seen, this anomaly.
    End(Key, &'static str),
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if *side.of(&self.lost) {
            if !packet::is_aligned(bytes) {
                return Take::All;
            }
            *side.of_mut(&mut self.lost) = false;
        }
        let Some(header) = header(bytes) else {
            if packet::is_bad_header(bytes) {
                return self.fail(side, sink);
            }
            return Take::More;
        };
        let Some(kind) = MqttKind::of(header.kind) else {
            sink.anomaly(Application::Mqtt, side, "unassigned_msg_type");
            return take(header);
        };
        if header.total() > MESSAGE_MAX {
            let body = MqttBody::Skipped { bytes: header.total() };
            self.place(packet_of(side, header, kind, body), sink);
            return take(header);
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let wanted = header.bytes.saturating_add(length).min(HEAD_MAX);
        let Some(head) = bytes.get(header.bytes..wanted) else { return Take::More };
        let is_whole = head.len() == length;
        // Without a CONNECT: MQTT 3.1.1 is the most common.
        let version = if self.version == 0 { 4 } else { self.version };
        let Some(body) = packet::body(kind, header, version, head) else {
            if is_whole {
                sink.counters.count(Counter::ProtoMalformed);
                sink.anomaly(Application::Mqtt, side, "malformed_traffic");
            } else {
                let body = MqttBody::Skipped { bytes: header.total() };
                self.place(packet_of(side, header, kind, body), sink);
            }
            return take(header);
        };
        self.check(side, header, &body, sink);
        self.place(packet_of(side, header, kind, body), sink);
        take(header)
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], _missing: Option<u32>, _sink: &mut Sink<'_>) {
        *side.of_mut(&mut self.lost) = true;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        for pending in self.pending.drain(..) {
            sink.transaction(pending.message);
        }
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

impl Parser {
    fn fail(&mut self, side: Side, sink: &mut Sink<'_>) -> Take {
        sink.counters.count(Counter::ProtoMalformed);
        sink.anomaly(Application::Mqtt, side, "malformed_traffic");
        self.broken = true;
        Take::All
    }

    /// What breaks the standard's order.
    fn check(&mut self, side: Side, header: Header, body: &MqttBody, sink: &mut Sink<'_>) {
        if let MqttBody::Connect(connect) = body {
            if self.version != 0 {
                sink.anomaly(Application::Mqtt, side, "double_connect");
            }
            self.version = connect.version;
        } else if self.version == 0 {
            sink.anomaly(Application::Mqtt, side, "unintroduced_message");
        }
        if matches!(body, MqttBody::Publish { .. }) && header.flags & 0x06 == 0x06 {
            sink.anomaly(Application::Mqtt, side, "invalid_qos_level");
        }
    }

    /// Puts a packet into its transaction and reports those that are over.
    fn place(&mut self, packet: MqttPacket, sink: &mut Sink<'_>) {
        let side = if packet.from_originator { Side::Originator } else { Side::Responder };
        let (key, ends) = match step(&packet, side) {
            Step::Alone => return sink.transaction(MqttMessage { packets: vec![packet] }),
            Step::Begin(key) => {
                if self.pending.len() >= PENDING_MAX {
                    sink.anomaly(Application::Mqtt, side, "too_many_transactions");
                    sink.transaction(self.pending.remove(0).message);
                }
                self.pending.push(Pending { key, message: MqttMessage { packets: vec![packet] } });
                return;
            }
            Step::Continue(key) => (key, None),
            Step::End(key, missing) => (key, Some(missing)),
        };
        let Some(at) = self.pending.iter().position(|pending| pending.key == key) else {
            if let Some(missing) = ends {
                sink.anomaly(Application::Mqtt, side, missing);
            }
            return sink.transaction(MqttMessage { packets: vec![packet] });
        };
        let Some(pending) = self.pending.get_mut(at) else { return };
        if pending.message.packets.iter().all(|one| one.kind != packet.kind) {
            pending.message.packets.push(packet);
        }
        if ends.is_some() {
            sink.transaction(self.pending.remove(at).message);
        }
    }
}

fn packet_of(side: Side, header: Header, kind: MqttKind, body: MqttBody) -> MqttPacket {
    MqttPacket { from_originator: side == Side::Originator, flags: header.flags, kind, body }
}

const fn take(header: Header) -> Take {
    Take::Bytes(header.total())
}

fn step(packet: &MqttPacket, side: Side) -> Step {
    let id = match &packet.body {
        MqttBody::Publish { id, .. } => *id,
        MqttBody::Acknowledge { id, .. }
        | MqttBody::Subscribe { id, .. }
        | MqttBody::Unsubscribe { id, .. }
        | MqttBody::Codes { id, .. } => Some(*id),
        MqttBody::Skipped { .. } => return Step::Alone,
        MqttBody::Connect(_) | MqttBody::Connack { .. } | MqttBody::Reason { .. } | MqttBody::Empty => None,
    };
    let asked = side.other();
    match (packet.kind, id) {
        (MqttKind::Connect, _) => Step::Begin(Key::Connect),
        (MqttKind::Connack, _) => Step::End(Key::Connect, "missing_connect"),
        (MqttKind::Pingreq, _) => Step::Begin(Key::Ping),
        (MqttKind::Pingresp, _) => Step::End(Key::Ping, "missing_pingreq"),
        (MqttKind::Publish, Some(id)) => Step::Begin(Key::Publish(id, side)),
        (MqttKind::Puback | MqttKind::Pubcomp, Some(id)) => {
            Step::End(Key::Publish(id, asked), "missing_publish")
        }
        (MqttKind::Pubrec, Some(id)) => Step::Continue(Key::Publish(id, asked)),
        (MqttKind::Pubrel, Some(id)) => Step::Continue(Key::Publish(id, side)),
        (MqttKind::Subscribe, Some(id)) => Step::Begin(Key::Subscribe(id, side)),
        (MqttKind::Suback, Some(id)) => Step::End(Key::Subscribe(id, asked), "missing_subscribe"),
        (MqttKind::Unsubscribe, Some(id)) => Step::Begin(Key::Unsubscribe(id, side)),
        (MqttKind::Unsuback, Some(id)) => Step::End(Key::Unsubscribe(id, asked), "missing_unsubscribe"),
        (
            MqttKind::Publish
            | MqttKind::Puback
            | MqttKind::Pubcomp
            | MqttKind::Pubrec
            | MqttKind::Pubrel
            | MqttKind::Subscribe
            | MqttKind::Suback
            | MqttKind::Unsubscribe
            | MqttKind::Unsuback,
            None,
        )
        | (MqttKind::Disconnect | MqttKind::Auth, _) => Step::Alone,
    }
}

#[cfg(test)]
mod tests;
