//! TLS 1.0 to 1.3 and SSL 3 (RFC 8446, RFC 5246, RFC 6101) in both directions, as far as they are in clear text: hellos,
//! certificates, alerts; also the SSL 2 form of a hello (RFC 5246, E.2), and DTLS (RFC 6347, RFC 9147).
//!
//! Records are read as their bytes come, however they are cut; nothing is kept but the message that is being read.
//! A parser whose protocol goes on as TLS (STARTTLS, AUTH TLS, the confirmation of RDP) says so with
//! `Take::Switch(n, tls::session())`.

mod dtls;
pub(super) mod handshake;
pub(super) mod hello;
mod ja3;
mod ja4;
pub(super) mod message;
mod quic;
mod sslv2;
pub(super) mod x509;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::tls::Carrier;
use handshake::{CLIENT_HELLO, Handshake, SERVER_HELLO};
use message::Message;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;
const RECORD_HEADER: usize = 5;
/// Beginning of a handshake message.
const HANDSHAKE_HEADER: usize = 4;
/// Bytes of a heartbeat beside its payload: type, length, and padding (RFC 6520, 4).
const HEARTBEAT_FRAME: usize = 3 + 16;
const HEARTBEAT_REQUEST: u8 = 1;
const HEARTBEAT_RESPONSE: u8 = 2;
/// Longest fragment of a record: 2^14 and what encryption adds (RFC 5246, 6.2.3).
const FRAGMENT_MAX: usize = (1 << 14) + 2_048;
/// Where TLS is expected from the first byte: a stream that is joined in the middle of a record is believed only there.
const PORTS: [u16; 12] = [443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 5_061, 8_443];

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Tls, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Dtls, probe: dtls::recognise, begin: dtls::begin }];

/// TLS from the next byte on, in both directions.
pub(super) fn session() -> Session {
    Parser::new(Carrier::Tls).into()
}

fn begin(_hint: &Hint<'_>) -> Session {
    session()
}

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    handshake: Handshake,
    directions: [Direction; 2],
    datagrams: dtls::Datagrams,
    /// Who asked for a heartbeat with a payload that its record does not have, and how long that record was.
    overread: Option<(Side, usize)>,
    done: bool,
}

impl Parser {
    fn new(carrier: Carrier) -> Self {
        Self {
            handshake: Handshake::new(carrier),
            directions: Default::default(),
            datagrams: dtls::Datagrams::default(),
            overread: None,
            done: false,
        }
    }

    /// Something broke the rules of records: nothing after it can be trusted.
    fn fail(&mut self, side: Side, name: &'static str, sink: &mut Sink<'_>) {
        sink.counters.count(Counter::ProtoMalformed);
        sink.anomaly(Application::Tls, side, name);
        self.done = true;
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// Header of the record, and where the next may be a message in clear text after all the message's header too.
    header: [u8; RECORD_HEADER + HANDSHAKE_HEADER],
    filled: usize,
    /// What the fragment that is being read is.
    fragment: Fragment,
    /// Bytes of it that have not come yet.
    left: usize,
    /// The first bytes of an alert or a heartbeat.
    start: Vec<u8>,
    message: Message,
    /// A gap: bytes are records again where they look like it.
    is_lost: bool,
    began: bool,
}

/// What a record's fragment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fragment {
    /// There is none: the next byte is a record's first.
    #[default]
    None,
    Handshake,
    Alert,
    Heartbeat,
    /// A hello of SSL 2, which has no record around it.
    Version2,
    /// Encrypted, or of no interest.
    Skipped,
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let direction = side.of_mut(&mut self.directions);
        if direction.is_lost {
            if !looks_like_record(bytes) {
                return Take::All;
            }
            direction.is_lost = false;
        }
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() && !self.done {
            if side.of(&self.directions).fragment == Fragment::None {
                self.header(side, &mut reader, sink);
            } else {
                self.fragment(side, &mut reader, sink);
            }
        }
        let direction = side.of_mut(&mut self.directions);
        if self.done || direction.fragment != Fragment::Skipped {
            return Take::All;
        }
        // What is left of this record need not be seen.
        let left = core::mem::take(&mut direction.left);
        direction.fragment = Fragment::None;
        Take::bytes(bytes.len() + left)
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        self.done |= self.datagrams.read(side, bytes, &mut self.handshake, sink);
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        let direction = side.of_mut(&mut self.directions);
        if let Some(body) = direction.message.cut_hello() {
            self.handshake.cut_hello(side, body, sink);
        }
        direction.message = Message::default();
        direction.start.clear();
        let missing = missing.and_then(|missing| usize::try_from(missing).ok());
        match missing.and_then(|missing| direction.left.checked_sub(missing)) {
            Some(left) if direction.fragment != Fragment::None => {
                direction.fragment = if left > 0 { Fragment::Skipped } else { Fragment::None };
                direction.left = left;
            }
            Some(_) | None => {
                direction.is_lost = true;
                direction.fragment = Fragment::None;
            }
        }
        direction.filled = 0;
    }

    fn needs_order(&self, _side: Side) -> bool {
        !self.done
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.handshake.finish(sink);
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    /// Reads on in a record's header.
    fn header(&mut self, side: Side, reader: &mut Reader<'_>, sink: &mut Sink<'_>) {
        let direction = side.of_mut(&mut self.directions);
        let first = if direction.filled > 0 { direction.header.first() } else { reader.0.first() };
        let is_version_2 = !direction.began && first.is_some_and(|first| first & 0x80 != 0);
        let wanted = if is_version_2 { sslv2::HEADER } else { RECORD_HEADER };
        if !direction.fill(wanted, reader) {
            return;
        }
        let [kind, major, minor, high, low, ..] = direction.header;
        if is_version_2 {
            direction.begin(Fragment::Version2, sslv2::length([kind, major]));
            return;
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) {
            return self.fail(side, "INVALID_RECORD_TYPE", sink);
        }
        if major != 3 || minor > 4 {
            // The drafts of TLS 1.3 wrote their own number here.
            if major != 0x7f {
                return self.fail(side, "INVALID_TLS_HEADER", sink);
            }
        }
        if length > FRAGMENT_MAX {
            return self.fail(side, "INVALID_RECORD_LENGTH", sink);
        }
        if self.handshake.is_encrypted(side) {
            self.encrypted_record(side, kind, length, reader);
        } else {
            self.clear_record(side, kind, length);
        }
    }

    /// After `ChangeCipherSpec` a hello may still come: clients send one between two hellos to look like TLS 1.2
    /// (RFC 8446, D.4).
    fn encrypted_record(&mut self, side: Side, kind: u8, length: usize, reader: &mut Reader<'_>) {
        let direction = side.of_mut(&mut self.directions);
        if kind == HANDSHAKE && length > HANDSHAKE_HEADER {
            if !direction.fill(RECORD_HEADER + HANDSHAKE_HEADER, reader) {
                return;
            }
            let [.., kind, a, b, c] = direction.header;
            let inner = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if [CLIENT_HELLO, SERVER_HELLO].contains(&kind) && inner + HANDSHAKE_HEADER == length {
                direction.message.begin(kind, inner);
                direction.begin(Fragment::Handshake, inner);
                return;
            }
            direction.begin(Fragment::Skipped, length - HANDSHAKE_HEADER);
        } else {
            direction.begin(Fragment::Skipped, length);
        }
        if kind != CHANGE_CIPHER_SPEC {
            self.done = self.handshake.ciphertext();
        }
    }

    fn clear_record(&mut self, side: Side, kind: u8, length: usize) {
        let direction = side.of_mut(&mut self.directions);
        let fragment = match kind {
            HANDSHAKE => Fragment::Handshake,
            ALERT if length == 2 => Fragment::Alert,
            HEARTBEAT => Fragment::Heartbeat,
            _ => Fragment::Skipped,
        };
        direction.begin(fragment, length);
        match kind {
            CHANGE_CIPHER_SPEC => self.handshake.change_cipher_spec(side),
            // Without `ChangeCipherSpec` this is how encryption shows; an alert longer than two bytes is encrypted too.
            APPLICATION_DATA | ALERT if fragment == Fragment::Skipped => {
                self.handshake.encrypts(side);
                self.done = self.handshake.ciphertext();
            }
            _ => {}
        }
    }

    /// Reads on in a record's fragment.
    fn fragment(&mut self, side: Side, reader: &mut Reader<'_>, sink: &mut Sink<'_>) {
        let direction = side.of_mut(&mut self.directions);
        let Some(bytes) = reader.take(direction.left.min(reader.0.len())) else { return };
        direction.left -= bytes.len();
        let is_whole = direction.left == 0;
        match direction.fragment {
            Fragment::None | Fragment::Skipped => {}
            Fragment::Handshake => {
                if !direction.message.read(side, bytes, &mut self.handshake, sink) {
                    self.handshake.encrypts(side);
                    direction.message = Message::default();
                    direction.fragment = Fragment::Skipped;
                }
            }
            Fragment::Alert => {
                direction.start.extend_from_slice(bytes);
                if let &[_level, description] = &*direction.start {
                    self.handshake.alert(side, description);
                    direction.start.clear();
                }
            }
            Fragment::Heartbeat => {
                let length = direction.left + bytes.len() + direction.start.len();
                if direction.heartbeat(bytes) {
                    self.handshake.heartbeat(side);
                    if direction.claims_more_than(length) {
                        sink.anomaly(Application::Tls, side, "OVERFLOW_HEARTBEAT_MESSAGE");
                    }
                    let start = core::mem::take(&mut direction.start);
                    self.overread(side, &start, length, sink);
                    let direction = side.of_mut(&mut self.directions);
                    direction.fragment = Fragment::Skipped;
                }
            }
            Fragment::Version2 => {
                direction.start.extend_from_slice(bytes);
                if is_whole {
                    let hello = core::mem::take(&mut direction.start);
                    if !sslv2::read(side, &hello, &mut self.handshake, sink) {
                        return self.fail(side, "INVALID_SSLV2_HEADER", sink);
                    }
                }
            }
        }
        if is_whole {
            let direction = side.of_mut(&mut self.directions);
            direction.fragment = Fragment::None;
            direction.start.clear();
        }
    }
}

impl Parser {
    /// Heartbleed (CVE-2014-0160): a request that says more than its record holds with the padding that has to be there, and
    /// a server that answers with more than it was sent.
    fn overread(&mut self, side: Side, start: &[u8], record: usize, sink: &mut Sink<'_>) {
        let &[kind, high, low] = start else { return };
        let payload = usize::from(u16::from_be_bytes([high, low]));
        if kind == HEARTBEAT_REQUEST && payload + HEARTBEAT_FRAME > record {
            self.overread = Some((side, record));
            sink.anomaly(Application::Tls, side, "exploit.heartbleed_request");
        } else if let Some((asker, asked)) = self.overread
            && kind == HEARTBEAT_RESPONSE
            && asker != side
            && record > asked
        {
            sink.anomaly(Application::Tls, side, "exploit.heartbleed_response");
        }
    }
}

impl Direction {
    /// Fills the header up to `wanted`; true if that many are there.
    fn fill(&mut self, wanted: usize, reader: &mut Reader<'_>) -> bool {
        while self.filled < wanted {
            let (Some(byte), Some(place)) = (reader.u8(), self.header.get_mut(self.filled)) else {
                return false;
            };
            *place = byte;
            self.filled += 1;
        }
        true
    }

    fn begin(&mut self, fragment: Fragment, length: usize) {
        self.began = true;
        self.filled = 0;
        self.left = length;
        self.fragment = if length == 0 { Fragment::None } else { fragment };
    }

    /// Keeps the three bytes of a heartbeat that matter; true once they are there.
    fn heartbeat(&mut self, bytes: &[u8]) -> bool {
        let wanted = 3_usize.saturating_sub(self.start.len());
        self.start.extend_from_slice(bytes.get(..wanted).unwrap_or(bytes));
        self.start.len() == 3
    }

    /// A heartbeat's payload is longer than its record (RFC 6520, 4).
    fn claims_more_than(&self, record: usize) -> bool {
        matches!(&*self.start, &[_, high, low] if usize::from(u16::from_be_bytes([high, low])) + 3 > record)
    }
}

fn recognise(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match probe(bytes) {
        Guess::No if hint.on_port(&PORTS) && looks_like_record(bytes) => Guess::Yes,
        Guess::No if is_whole_records(bytes) => Guess::Yes,
        Guess::No => sslv2::recognise(bytes),
        guess @ (Guess::Yes | Guess::More) => guess,
    }
}

/// Bytes begin with the record of a hello.
fn probe(bytes: &[u8]) -> Guess {
    let fits = |at: usize, holds: fn(u8) -> bool| bytes.get(at).copied().is_none_or(holds);
    let hello = fits(0, |byte| byte == HANDSHAKE)
        && fits(1, |major| major == 3)
        && fits(2, |minor| minor <= 4)
        && fits(5, |kind| kind == CLIENT_HELLO || kind == SERVER_HELLO)
        && fits(6, |length| length == 0);
    match bytes.get(5) {
        _ if !hello => Guess::No,
        Some(_) => Guess::Yes,
        None => Guess::More,
    }
}

/// Bytes are records of encrypted data and nothing else: a stream that is joined in the middle, on whatever port.
fn is_whole_records(bytes: &[u8]) -> bool {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let kind = reader.0.first();
        if !matches!(kind, Some(&(ALERT | APPLICATION_DATA))) || !looks_like_record(reader.0) {
            return false;
        }
        let _header = reader.take(RECORD_HEADER - 2);
        if reader.vec16().is_none() {
            return false;
        }
    }
    !bytes.is_empty()
}

/// Bytes begin with a header that a record may have.
fn looks_like_record(bytes: &[u8]) -> bool {
    let Some((&[kind, major, minor, high, low], _)) = bytes.split_first_chunk() else { return false };
    let length = usize::from(u16::from_be_bytes([high, low]));
    (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind)
        && major == 3
        && minor <= 4
        && (1..=FRAGMENT_MAX).contains(&length)
}

#[cfg(test)]
pub(super) mod tests;
