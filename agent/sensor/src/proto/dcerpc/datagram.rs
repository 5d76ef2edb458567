//! DCE/RPC over datagrams: version 4 (C706, 12.5).

use std::collections::VecDeque;

use crate::counters::Counter;
use crate::event::dcerpc::{RpcCall, RpcType, RpcUuid, RpcVolume};
use crate::proto::reader::Reader;
use crate::proto::{Guess, Hint, Side, Sink};

/// Calls that wait for an answer; one more and the oldest is given up.
const CALLS_MAX: usize = 32;
const HEAD: u16 = 80;
const IS_FRAGMENT: u8 = 4;
const IS_LAST: u8 = 2;

/// Calls without their last answer yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Calls(VecDeque<RpcCall>);

/// A message's head.
struct Head {
    kind: RpcType,
    flags: u8,
    interface: RpcUuid,
    activity: RpcUuid,
    sequence: u32,
    operation: u16,
    length: u16,
}

pub(super) fn recognise(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    read(bytes).is_some_and(|head| usize::from(head.length).saturating_add(HEAD.into()) <= bytes.len()).into()
}

fn read(bytes: &[u8]) -> Option<Head> {
    let mut reader = Reader(bytes);
    let (version, kind, flags, flags2) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    let [order, floats, pad] = reader.array::<3>()?;
    if version != 4 || kind > 10 || flags2 & 0xfc != 0 || order & 0xef != 0 || floats > 3 || pad != 0 {
        return None;
    }
    // High byte of the serial number, object.
    reader.take(1 + 16)?;
    let is_little = order != 0;
    let interface = RpcUuid::from_le(reader.array()?);
    // Suricata prints it so in either order.
    let activity = RpcUuid::from_le(reader.array()?);
    // When the server was started, version of the interface.
    reader.take(4 + 4)?;
    let sequence = if is_little { reader.u32_le() } else { reader.u32() }?;
    let mut short = || if is_little { reader.u16_le() } else { reader.u16() };
    let operation = short()?;
    let (_interface_hint, _activity_hint, length, _fragment) = (short()?, short()?, short()?, short()?);
    // Type of authentication, low byte of the serial number.
    reader.take(2)?;
    Some(Head { kind: RpcType::of(kind)?, flags, interface, activity, sequence, operation, length })
}

impl Calls {
    pub(super) fn read(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) {
        let Some(head) = read(bytes) else {
            sink.counters.count(Counter::ProtoMalformed);
            return;
        };
        let is_last = head.flags & IS_FRAGMENT == 0 || head.flags & IS_LAST != 0;
        if head.kind == RpcType::Request {
            self.request(side, &head, sink);
        } else if matches!(head.kind, RpcType::Response | RpcType::Fault | RpcType::Reject) {
            self.response(side, &head, is_last, sink);
        }
    }

    fn request(&mut self, side: Side, head: &Head, sink: &mut Sink<'_>) {
        if let Some(call) = self.0.iter_mut().find(|call| is_of(call, head) && call.response.is_none()) {
            add(&mut call.sent, head.length);
            return;
        }
        if self.0.len() >= CALLS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            sink.transaction(oldest);
        }
        self.0.push_back(RpcCall {
            from_originator: side == Side::Originator,
            request: Some(RpcType::Request),
            sent: RpcVolume { fragments: 1, bytes: head.length.into() },
            ..call(head)
        });
    }

    fn response(&mut self, side: Side, head: &Head, is_last: bool, sink: &mut Sink<'_>) {
        let at = self.0.iter().position(|call| is_of(call, head));
        let at = at.unwrap_or_else(|| {
            self.0.push_back(RpcCall { from_originator: side == Side::Responder, ..call(head) });
            self.0.len().saturating_sub(1)
        });
        if let Some(call) = self.0.get_mut(at) {
            call.response = Some(head.kind);
            add(&mut call.received, head.length);
        }
        let too_many = self.0.len() > CALLS_MAX;
        if (is_last || too_many)
            && let Some(call) = self.0.remove(at)
        {
            sink.transaction(call);
        }
    }

    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        for call in self.0.drain(..) {
            sink.transaction(call);
        }
    }
}

fn call(head: &Head) -> RpcCall {
    RpcCall {
        version: (4, 0),
        call: head.sequence,
        activity: Some(head.activity),
        interface: Some(head.interface),
        operation: head.operation,
        ..RpcCall::default()
    }
}

fn is_of(call: &RpcCall, head: &Head) -> bool {
    call.activity == Some(head.activity) && call.call == head.sequence
}

fn add(volume: &mut RpcVolume, bytes: u16) {
    volume.fragments = volume.fragments.saturating_add(1);
    volume.bytes = volume.bytes.saturating_add(bytes.into());
}
