//! DNS messages (RFC 1035) over UDP and TCP, and what looks like them: multicast DNS, LLMNR, `NetBIOS` names.

mod message;
mod name;
mod record;

use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, FlowEvent};
use message::{Dialect, Message, may_be_plausible, parse};

const DNS: u16 = 53;
const MDNS: u16 = 5353;
const LLMNR: u16 = 5355;
const NETBIOS_NAMES: u16 = 137;
/// Ports whose datagrams are read as DNS or its like even when damaged.
const PORTS: [u16; 3] = [DNS, MDNS, LLMNR];
/// Bytes of the length before each message over TCP.
const PREFIX: usize = 2;
/// A longer message over TCP is read from its first so many bytes: what streams keep is not much more.
const MESSAGE_MAX: usize = 12 * 1024;
/// Messages of one flow that may be unreadable before it is left alone.
const MALFORMED_MAX: u8 = 8;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Dns, probe: probe_stream, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[
    Recogniser { application: Application::Mdns, probe: probe_mdns, begin },
    Recogniser { application: Application::Llmnr, probe: probe_llmnr, begin },
    Recogniser { application: Application::Nbns, probe: probe_nbns, begin },
    Recogniser { application: Application::Dns, probe: probe_datagram, begin },
];

/// State of a flow.
#[derive(Debug)]
pub(crate) struct Parser {
    application: Application,
    /// Messages read.
    number: u32,
    /// Messages that could not be read.
    malformed: u8,
    places: [Place; 2],
}

/// Where in its messages one side of a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A message begins here.
    #[default]
    Message,
    /// Somewhere: the next message is looked for where segments begin.
    Lost,
}

fn begin(hint: &Hint<'_>) -> Session {
    let application = match hint.flow.protocol {
        17 if hint.on_port(&[MDNS]) => Application::Mdns,
        17 if hint.on_port(&[LLMNR]) => Application::Llmnr,
        17 if hint.on_port(&[NETBIOS_NAMES]) => Application::Nbns,
        _ => Application::Dns,
    };
    Parser { application, number: 0, malformed: 0, places: [Place::Message; 2] }.into()
}

fn probe_stream(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let on_port = hint.on_port(&PORTS);
    let Some(length) = announced(bytes) else { return if on_port { Guess::More } else { Guess::No } };
    match bytes.get(PREFIX..length) {
        Some(message) => {
            let may_be = on_port || may_be_plausible(message);
            let is_one =
                || parse(message, Dialect::Dns).is_some_and(|message| on_port || message.is_plausible());
            (may_be && is_one()).into()
        }
        None if on_port && bytes.len() >= MESSAGE_MAX => {
            parse(bytes.get(PREFIX..).unwrap_or_default(), Dialect::Dns).is_some().into()
        }
        None if on_port => Guess::More,
        None => Guess::No,
    }
}

fn probe_datagram(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if hint.on_port(&PORTS) {
        return Guess::Yes;
    }
    let plausible = || {
        may_be_plausible(bytes)
            && parse(bytes, Dialect::Dns).is_some_and(|message: Message| message.is_plausible())
    };
    (!hint.on_port(&[NETBIOS_NAMES]) && plausible()).into()
}

fn probe_mdns(hint: &Hint<'_>, _bytes: &[u8]) -> Guess {
    hint.on_port(&[MDNS]).into()
}

fn probe_llmnr(hint: &Hint<'_>, _bytes: &[u8]) -> Guess {
    hint.on_port(&[LLMNR]).into()
}

fn probe_nbns(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    (hint.on_port(&[NETBIOS_NAMES]) && parse(bytes, Dialect::NetBios).is_some()).into()
}

/// A message that HTTP carried (RFC 8484), as the body of an exchange of this number.
pub(super) fn over_http(side: Side, bytes: &[u8], number: u64, sink: &mut Sink<'_>) {
    let places = [Place::Message; 2];
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Parser { application: Application::Dns, number, malformed: 0, places }.read(
        side,
        bytes,
        bytes.len(),
        sink,
    );
}

/// Length of the first message over TCP with its prefix (RFC 1035, 4.2.2).
fn announced(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|length| PREFIX + usize::from(u16::from_be_bytes(*length)))
}

impl super::Parser for Parser {
    fn is_light(&self) -> bool {
        true
    }

    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let Some(length) = announced(bytes) else { return Take::More };
        let whole = bytes.get(PREFIX..length);
        if *side.of(&self.places) == Place::Lost {
            match whole.and_then(|message| parse(message, Dialect::Dns)) {
                Some(message) if message.whole => *side.of_mut(&mut self.places) = Place::Message,
                Some(_) | None => return Take::All,
            }
        }
        match whole {
            Some(message) => self.read(side, message, message.len(), sink),
            None if bytes.len() >= MESSAGE_MAX => {
                sink.counters.count(Counter::PrefixTruncated);
                self.read(side, bytes.get(PREFIX..).unwrap_or_default(), length - PREFIX, sink);
            }
            None => return Take::More,
        }
        Take::bytes(length)
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        self.read(side, bytes, usize::try_from(wire_bytes).unwrap_or(usize::MAX), sink);
    }

    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        let place = side.of_mut(&mut self.places);
        // A message of which the middle is gone; what was read of it counts, and the next may begin right behind the gap.
        let gone = missing.and_then(|missing| usize::try_from(missing).ok()?.checked_add(bytes.len()));
        let length = announced(bytes).filter(|_| *place == Place::Message);
        *place = if length.is_some() && length == gone { Place::Message } else { Place::Lost };
        if let Some((length, cut)) = length.zip(bytes.get(PREFIX..)) {
            sink.counters.count(Counter::PrefixTruncated);
            if let Some(message) = parse(cut, self.dialect()) {
                self.push(side, message, length - PREFIX, sink);
            }
        }
    }

    fn needs_order(&self, side: Side) -> bool {
        *side.of(&self.places) == Place::Message
    }

    fn is_done(&self) -> bool {
        self.malformed >= MALFORMED_MAX
    }
}

impl Parser {
    fn dialect(&self) -> Dialect {
        if self.application == Application::Nbns { Dialect::NetBios } else { Dialect::Dns }
    }

    /// A message of `wire_bytes`, of which `bytes` are there.
    fn read(&mut self, side: Side, bytes: &[u8], wire_bytes: usize, sink: &mut Sink<'_>) {
        match parse(bytes, self.dialect()) {
            Some(message) => {
                if !message.whole && bytes.len() == wire_bytes {
                    sink.counters.count(Counter::ProtoMalformed);
                }
                self.push(side, message, wire_bytes, sink);
            }
            None => {
                self.malformed = self.malformed.saturating_add(u8::from(sink.flow.protocol == 6));
                sink.counters.count(Counter::ProtoMalformed);
                sink.anomaly(self.application, side, "MALFORMED_DATA");
            }
        }
    }

    fn push(&mut self, side: Side, mut message: Message, wire_bytes: usize, sink: &mut Sink<'_>) {
        let dns = &mut message.dns;
        dns.application = self.application;
        dns.from_originator = side == Side::Originator;
        dns.message_bytes = u32::try_from(wire_bytes).unwrap_or(u32::MAX);
        dns.number = self.number.into();
        self.number = self.number.saturating_add(1);
        if sink.notes.server_name.is_none() && !dns.qname.is_empty() {
            sink.notes.server_name = Some(dns.qname.clone());
        }
        let ports = (sink.flow.originator.port, sink.flow.responder.port);
        let from_server = match (ports, side) {
            ((DNS, DNS), _) => None,
            ((_, DNS), side) => Some(side == Side::Responder),
            ((DNS, _), side) => Some(side == Side::Originator),
            _ => None,
        };
        message.violations(from_server).for_each(|name| sink.anomaly(self.application, side, name));
        if self.application == Application::Nbns {
            sink.transaction(*message.dns);
        } else {
            sink.push(FlowEvent::Dns(message.dns));
        }
    }
}

#[cfg(test)]
mod tests;
