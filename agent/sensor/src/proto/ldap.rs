//! LDAP (RFC 4511) over TCP and UDP: requests with their responses; never a password.

mod filter;
mod messages;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::ber::{Total, total_length};
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::ldap::{LdapMechanism, LdapOperation, LdapRequest, LdapResponse, LdapResponseKind};
use messages::{Message, Operation};

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Ldap, probe: recognise_stream, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Ldap, probe: recognise_datagram, begin }];

const PORTS: &[u16] = &[389, 3268];
/// Bytes of a message that are waited for.
const MESSAGE_MAX: usize = 8 * 1024;
/// A message that says it is longer is none.
const LENGTH_MAX: usize = 64 << 20;
/// Requests that wait for responses; one more and the oldest is given up.
const OPERATIONS_MAX: usize = 32;
/// Responses of an operation that are kept.
const RESPONSES_MAX: usize = 32;
/// Bytes of text that the responses of an operation may have together; more are kept without their attributes.
const TEXT_MAX: usize = 8 * 1024;
/// The operation that goes on as TLS (RFC 4511, 4.14).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
const SUCCESS: i64 = 0;
/// Length of what stands before sealed messages (RFC 4422, 3.7).
const SEAL: usize = 4;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Oldest first.
    operations: VecDeque<Waiting>,
    /// A side whose place was lost goes on where a segment begins with a message.
    lost: [bool; 2],
    /// A SASL mechanism was agreed: what follows may be sealed.
    may_seal: bool,
    done: bool,
}

/// An operation without its last response.
#[derive(Debug, Default)]
struct Waiting {
    operation: LdapOperation,
    text: usize,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser::default().into()
}

fn recognise_stream(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match messages::begins(bytes) {
        Some(true) => Guess::Yes,
        None if hint.on_port(PORTS) => Guess::More,
        Some(false) | None => Guess::No,
    }
}

fn recognise_datagram(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let whole = matches!(total_length(bytes), Total::Bytes(length) if length <= bytes.len());
    (whole && messages::begins(bytes) == Some(true)).into()
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let is_lost = *side.of(&self.lost);
        match messages::begins(bytes) {
            Some(true) => {}
            None if !is_lost => return Take::More,
            Some(false) | None => return self.not_a_message(side, bytes, sink),
        }
        let Total::Bytes(length) = total_length(bytes) else { return Take::More };
        if length > LENGTH_MAX {
            return self.not_a_message(side, bytes, sink);
        }
        *side.of_mut(&mut self.lost) = false;
        let Some(message) = bytes.get(..length.min(MESSAGE_MAX)) else { return Take::More };
        if self.read(side, message, sink) {
            return Take::Switch(u32::try_from(length).unwrap_or_default(), Session::default());
        }
        Take::bytes(length)
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        let mut rest = bytes;
        while let Total::Bytes(length) = total_length(rest) {
            let message = rest.get(..length).unwrap_or(rest);
            self.read(side, message, sink);
            rest = rest.get(length..).unwrap_or_default();
        }
        if !rest.is_empty() {
            sink.counters.count(Counter::ProtoMalformed);
        }
    }

    fn lose(&mut self, side: Side, bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        if !*side.of(&self.lost) && messages::begins(bytes) == Some(true) {
            self.read(side, bytes, sink);
        }
        *side.of_mut(&mut self.lost) = true;
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        for waiting in self.operations.drain(..) {
            sink.transaction(waiting.operation);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    /// Sealed by SASL, garbage, or the middle of a message.
    fn not_a_message(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if let Some(sealed) = Sealed::read(bytes, self.may_seal) {
            *side.of_mut(&mut self.lost) = false;
            if let Some(at) = sealed.open_at {
                let wanted = sealed.length.min(MESSAGE_MAX);
                let Some(message) = bytes.get(..wanted) else { return Take::More };
                self.read(side, message.get(at..).unwrap_or_default(), sink);
            }
            return Take::bytes(sealed.length);
        }
        if !core::mem::replace(side.of_mut(&mut self.lost), true) {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Ldap, side, "invalid_data");
        }
        Take::All
    }

    /// Reads a message, or as much of it as there is; true: what follows is TLS.
    fn read(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> bool {
        let Some(Message { number, operation }) = messages::read(bytes) else {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Ldap, side, "invalid_data");
            return false;
        };
        match operation {
            Operation::Request(request) => {
                self.request(side, number, request, sink);
                false
            }
            Operation::Response(response) => self.response(side, number, response, sink),
        }
    }

    fn request(&mut self, side: Side, number: i64, request: LdapRequest, sink: &mut Sink<'_>) {
        let is_answered = !matches!(request, LdapRequest::Unbind | LdapRequest::Abandon { .. });
        let operation = LdapOperation {
            from_originator: side == Side::Originator,
            message: number,
            request: Some(request),
            ..LdapOperation::default()
        };
        if !is_answered {
            sink.transaction(operation);
            return;
        }
        self.wait_for(operation, sink);
    }

    fn wait_for(&mut self, operation: LdapOperation, sink: &mut Sink<'_>) {
        if self.operations.len() >= OPERATIONS_MAX
            && let Some(oldest) = self.operations.pop_front()
        {
            sink.anomaly(Application::Ldap, Side::Originator, "too_many_transactions");
            sink.transaction(oldest.operation);
        }
        self.operations.push_back(Waiting { operation, text: 0 });
    }

    fn response(&mut self, side: Side, number: i64, response: LdapResponse, sink: &mut Sink<'_>) -> bool {
        let is_success = response.result.as_ref().is_some_and(|result| result.code == SUCCESS);
        let is_last = !matches!(
            response.kind,
            LdapResponseKind::SearchEntry
                | LdapResponseKind::SearchReference
                | LdapResponseKind::Intermediate
        );
        let at = self.operations.iter().position(|one| one.operation.message == number);
        let at = at.unwrap_or_else(|| {
            let from_originator = side == Side::Responder;
            let operation = LdapOperation { from_originator, message: number, ..LdapOperation::default() };
            self.wait_for(operation, sink);
            self.operations.len().saturating_sub(1)
        });
        if let Some(waiting) = self.operations.get_mut(at) {
            waiting.add(response, is_last);
        }
        let over = if is_last { self.operations.remove(at) } else { None };
        let Some(Waiting { operation, .. }) = over else { return false };
        let mut starts_tls = false;
        if is_success {
            match &operation.request {
                Some(LdapRequest::Extended { name }) => starts_tls = &**name == START_TLS,
                Some(LdapRequest::Bind { mechanism, .. }) => {
                    self.may_seal = matches!(mechanism, LdapMechanism::Sasl { .. } | LdapMechanism::Sicily);
                }
                _ => {}
            }
        }
        sink.transaction(operation);
        starts_tls
    }
}

/// A message as SASL wraps it.
struct Sealed {
    /// Of the whole.
    length: usize,
    /// Where it can be read: it is signed, not encrypted.
    open_at: Option<usize>,
}

impl Sealed {
    /// Reads the length, and the head of a token of Kerberos (RFC 4121, 4.2.6.2), which is believed without a bind too.
    fn read(bytes: &[u8], may_seal: bool) -> Option<Self> {
        const HEAD: usize = 16;
        const IS_ENCRYPTED: u8 = 2;
        let (mark, token) = bytes.split_first_chunk::<SEAL>()?;
        let length = usize::try_from(u32::from_be_bytes(*mark))
            .ok()
            .filter(|length| (1..LENGTH_MAX).contains(length))?;
        let mut open_at = None;
        if let [5, 4, flags, 0xff, _, _, high, low, ..] = token {
            let rotated = usize::from(u16::from_be_bytes([*high, *low]));
            let at = SEAL.saturating_add(HEAD).saturating_add(rotated);
            open_at = (flags & IS_ENCRYPTED == 0).then_some(at);
        } else if !may_seal {
            return None;
        }
        Some(Self { length: length.saturating_add(SEAL), open_at })
    }
}

impl Waiting {
    /// Keeps a response, as far as there is room; the last one always.
    fn add(&mut self, mut response: LdapResponse, is_last: bool) {
        self.operation.response_count = self.operation.response_count.saturating_add(1);
        let text: usize = response
            .attributes
            .iter()
            .map(|one| {
                one.values.iter().map(|value| value.len()).sum::<usize>().saturating_add(one.name.len())
            })
            .sum();
        self.text = self.text.saturating_add(text);
        if self.text > TEXT_MAX {
            response.attributes = Vec::new();
        }
        if is_last || self.operation.responses.len() < RESPONSES_MAX {
            self.operation.responses.push(response);
        }
    }
}
