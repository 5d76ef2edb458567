//! Binds and calls of one connection or named pipe, each with its answer.

use std::collections::VecDeque;

use crate::event::dcerpc::{RpcCall, RpcInterface, RpcType, RpcUuid, RpcVolume};
use crate::proto::Side;
use crate::proto::reader::Reader;

/// Length of the head that all messages of version 5 have.
pub(in crate::proto) const HEAD: usize = 16;
/// Calls that wait for an answer; one more and the oldest is given up.
const CALLS_MAX: usize = 32;
/// Interfaces of a bind that are kept.
const INTERFACES_MAX: usize = 64;
/// Bound contexts that are kept: the newest.
const CONTEXTS_MAX: usize = 32;
const FIRST_FRAGMENT: u8 = 1;
const LAST_FRAGMENT: u8 = 2;
const HAS_OBJECT: u8 = 0x80;
const LENGTH_OF_VERIFIER: u16 = 8;

/// The head that all messages of version 5 have.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Head {
    minor: u8,
    pub(in crate::proto) kind: RpcType,
    flags: u8,
    is_little: bool,
    /// Of the whole message.
    pub(in crate::proto) length: u16,
    auth_length: u16,
    call: u32,
}

/// Reads the head that `bytes` begin with, if they do.
pub(in crate::proto) fn read_head(bytes: &[u8]) -> Option<Head> {
    let mut reader = Reader(bytes);
    let (major, minor, kind, flags) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
    let [order, floats, reserved @ ..] = reader.array::<4>()?;
    if major != 5 || minor > 1 || order & 0xef != 0 || floats > 3 || reserved != [0, 0] {
        return None;
    }
    let mut number = Numbers { reader, is_little: order & 0x10 != 0 };
    let head = Head {
        minor,
        kind: RpcType::of(kind)?,
        flags,
        is_little: number.is_little,
        length: number.u16()?,
        auth_length: number.u16()?,
        call: number.u32()?,
    };
    let connectionless = matches!(
        head.kind,
        RpcType::Ping
            | RpcType::Working
            | RpcType::NoCall
            | RpcType::Reject
            | RpcType::Ack
            | RpcType::ClCancel
            | RpcType::Fack
            | RpcType::CancelAck
    );
    let fits = usize::from(head.length) >= HEAD.saturating_add(head.auth_length.into());
    (fits && !connectionless).then_some(head)
}

/// Numbers in the sender's order.
struct Numbers<'a> {
    reader: Reader<'a>,
    is_little: bool,
}

impl Numbers<'_> {
    fn u16(&mut self) -> Option<u16> {
        if self.is_little { self.reader.u16_le() } else { self.reader.u16() }
    }

    fn u32(&mut self) -> Option<u32> {
        if self.is_little { self.reader.u32_le() } else { self.reader.u32() }
    }

    fn skip(&mut self, n: usize) -> Option<()> {
        self.reader.take(n).map(|_| ())
    }

    fn uuid(&mut self) -> Option<RpcUuid> {
        self.reader.array().map(RpcUuid::from_le)
    }
}

/// Binds and calls of one connection or named pipe; `T` comes with a request and leaves with the call.
#[derive(Debug)]
pub(in crate::proto) struct Conversation<T> {
    client: Option<Side>,
    /// Context numbers and what they were bound to.
    contexts: VecDeque<(u16, RpcUuid)>,
    /// Requests without their last answer yet, oldest first.
    calls: VecDeque<(RpcCall, T)>,
}

impl<T> Default for Conversation<T> {
    fn default() -> Self {
        Self { client: None, contexts: VecDeque::new(), calls: VecDeque::new() }
    }
}

impl<T> Conversation<T> {
    /// Who asks, once that is known.
    pub(in crate::proto) const fn client(&self) -> Option<Side> {
        self.client
    }

    /// Reads a message, perhaps cut; what it ends is returned.
    pub(in crate::proto) fn read(
        &mut self,
        side: Side,
        head: &Head,
        message: &[u8],
        with: T,
    ) -> Vec<(RpcCall, T)> {
        let reader = Reader(message.get(HEAD..).unwrap_or_default());
        let body = Numbers { reader, is_little: head.is_little };
        if head.kind.is_request() {
            self.client = Some(side);
            self.request(side, head, body, message, with)
        } else {
            self.client = Some(side.other());
            self.response(side, head, body, with).into_iter().collect()
        }
    }

    /// What still waits, oldest first.
    pub(in crate::proto) fn give_up(&mut self) -> Option<(RpcCall, T)> {
        self.calls.pop_front()
    }

    fn request(
        &mut self,
        side: Side,
        head: &Head,
        body: Numbers<'_>,
        message: &[u8],
        with: T,
    ) -> Vec<(RpcCall, T)> {
        let is_more = head.flags & FIRST_FRAGMENT == 0 && head.kind == RpcType::Request;
        let known = self.calls.iter_mut().rev().map(|(call, _)| call);
        if let Some(call) =
            known.into_iter().find(|call| is_more && call.call == head.call && call.response.is_none())
        {
            add(&mut call.sent, head, 8);
            return Vec::new();
        }
        let mut call = RpcCall {
            from_originator: side == Side::Originator,
            version: (5, head.minor),
            request: Some(head.kind),
            call: head.call,
            authentication: verifier(head, message),
            ..RpcCall::default()
        };
        if head.kind == RpcType::Request {
            self.operation(&mut call, head, body);
            call.zero_challenge = is_zero_challenge(&call, head, message);
        } else if matches!(head.kind, RpcType::Bind | RpcType::AlterContext) {
            call.sent.fragments = 1;
            // A bind that was cut says what it could.
            let _cut = self.contexts(&mut call, body);
        }
        if !head.kind.is_answered() {
            return vec![(call, with)];
        }
        let oldest = if self.calls.len() >= CALLS_MAX { self.calls.pop_front() } else { None };
        self.calls.push_back((call, with));
        oldest.into_iter().collect()
    }

    /// Allocation hint, context, operation, perhaps an object, then arguments.
    fn operation(&self, call: &mut RpcCall, head: &Head, mut body: Numbers<'_>) {
        let object = if head.flags & HAS_OBJECT == 0 { 0 } else { 16 };
        add(&mut call.sent, head, 8 + object);
        let mut read = || {
            body.skip(4)?;
            Some((body.u16()?, body.u16()?))
        };
        if let Some((context, operation)) = read() {
            call.operation = operation;
            call.interface = self.contexts.iter().rev().find(|(id, _)| *id == context).map(|(_, uuid)| *uuid);
        }
    }

    /// Sizes and group, then a list of contexts: number, abstract syntax, transfer syntaxes.
    fn contexts(&mut self, call: &mut RpcCall, mut body: Numbers<'_>) -> Option<()> {
        body.skip(8)?;
        let contexts = body.reader.u8()?;
        body.skip(3)?;
        for _ in 0..usize::from(contexts).min(INTERFACES_MAX) {
            let context = body.u16()?;
            let syntaxes = body.reader.u8()?;
            body.skip(1)?;
            let uuid = body.uuid()?;
            let version = (body.u16()?, body.u16()?);
            body.skip(usize::from(syntaxes).saturating_mul(20))?;
            call.interfaces.push(RpcInterface { uuid, version, answer: None });
            self.contexts.retain(|(id, _)| *id != context);
            if self.contexts.len() >= CONTEXTS_MAX {
                self.contexts.pop_front();
            }
            self.contexts.push_back((context, uuid));
        }
        Some(())
    }

    fn response(&mut self, side: Side, head: &Head, body: Numbers<'_>, with: T) -> Option<(RpcCall, T)> {
        let at = self.calls.iter().position(|(call, _)| call.call == head.call && answers(call, head.kind));
        let Some(at) = at else {
            let mut call = RpcCall {
                from_originator: side == Side::Responder,
                version: (5, head.minor),
                response: Some(head.kind),
                call: head.call,
                ..RpcCall::default()
            };
            add(&mut call.received, head, 8);
            return (head.flags & LAST_FRAGMENT != 0).then_some((call, with));
        };
        let (call, _) = self.calls.get_mut(at)?;
        call.response = Some(head.kind);
        if matches!(head.kind, RpcType::BindAck | RpcType::AlterContextResponse) {
            call.received.fragments = 1;
            // An answer that was cut says what it could.
            let _cut = results(call, body);
        } else {
            add(&mut call.received, head, 8);
        }
        if head.flags & LAST_FRAGMENT == 0 { None } else { self.calls.remove(at) }
    }
}

/// A message of this type answers the call.
fn answers(call: &RpcCall, kind: RpcType) -> bool {
    match call.request {
        Some(RpcType::Bind) => matches!(kind, RpcType::BindAck | RpcType::BindNak | RpcType::Fault),
        Some(RpcType::AlterContext) => matches!(kind, RpcType::AlterContextResponse | RpcType::Fault),
        Some(_) => matches!(kind, RpcType::Response | RpcType::Fault | RpcType::Shutdown),
        None => false,
    }
}

/// Sizes and group, the secondary address, then a result for each context.
fn results(call: &mut RpcCall, mut body: Numbers<'_>) -> Option<()> {
    body.skip(8)?;
    let address = usize::from(body.u16()?);
    // The list begins at a multiple of four, counted from the head: the address begins two bytes behind one.
    body.skip(address.saturating_add(2).next_multiple_of(4).saturating_sub(2))?;
    let count = body.reader.u8()?;
    body.skip(3)?;
    for interface in call.interfaces.iter_mut().take(count.into()) {
        interface.answer = Some((body.u16()?, body.u16()?));
        body.skip(20)?;
    }
    Some(())
}

/// One more fragment, whose arguments or results begin `before` bytes behind the head.
fn add(volume: &mut RpcVolume, head: &Head, before: u16) {
    let mut rest = head.length.saturating_sub(16).saturating_sub(before).saturating_sub(head.auth_length);
    if head.auth_length > 0 {
        rest = rest.saturating_sub(LENGTH_OF_VERIFIER);
    }
    volume.fragments = volume.fragments.saturating_add(1);
    volume.bytes = volume.bytes.saturating_add(rest.into());
}

/// The challenge is the last of the arguments, and nothing is behind them where nobody is authenticated yet.
fn is_zero_challenge(call: &RpcCall, head: &Head, message: &[u8]) -> bool {
    const REQUEST_CHALLENGE: u16 = 4;
    let is_challenge = call.operation == REQUEST_CHALLENGE
        && call.interface.and_then(RpcUuid::interface_name) == Some("netlogon");
    let whole = head.auth_length == 0 && message.len() == usize::from(head.length);
    is_challenge && whole && call.sent.bytes > 8 && message.ends_with(&[0; 8])
}

/// The type of authentication, from the verifier at the end of the message.
fn verifier(head: &Head, message: &[u8]) -> Option<u8> {
    if head.auth_length == 0 {
        return None;
    }
    let at = head.length.checked_sub(head.auth_length)?.checked_sub(LENGTH_OF_VERIFIER)?;
    message.get(usize::from(at)).copied()
}
