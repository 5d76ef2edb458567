//! TLS `ClientHello` (RFC 8446, 4.1.2) from the first records of a stream, whole or cut.

mod ja4;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, ClientHello, FlowEvent};

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const RECORD_CHANGE_CIPHER_SPEC: u8 = 20;
const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
/// A hello larger than this is none: browsers' reach some 2 KiB with post-quantum key shares.
const HELLO_MAX: usize = 16 * 1024;
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// A server may ask for a second hello, once (RFC 8446, 4.1.4).
const HELLOS_MAX: u8 = 2;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Tls, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    /// Who sent the first hello of a client.
    client: Option<Side>,
    /// Seen so far.
    hellos: u8,
    done: bool,
}

fn begin(_hint: &Hint<'_>) -> Session {
    Parser { client: None, hellos: 0, done: false }.into()
}

fn recognise(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    match probe(bytes) {
        Ok(_) => Guess::Yes,
        Err(true) => Guess::More,
        Err(false) => Guess::No,
    }
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if self.client.is_none() && probe(bytes) == Ok(Hello::Server) {
            self.done = true;
            return Take::All;
        }
        if *self.client.get_or_insert(side) != side {
            return Take::All;
        }
        if self.hellos > 0 {
            match (change_cipher_spec(bytes), probe(bytes)) {
                (Ok(length), _) => return Take::bytes(length),
                (_, Ok(Hello::Client)) => {}
                (Err(true), _) | (_, Err(true)) => return Take::More,
                (Err(false), Ok(Hello::Server) | Err(false)) => {
                    self.done = true;
                    return Take::All;
                }
            }
        }
        match client_hello(bytes) {
            Read::Whole(hello, length) => {
                push(hello, sink);
                self.hellos += 1;
                self.done = self.hellos >= HELLOS_MAX;
                Take::bytes(length)
            }
            Read::Partial => Take::More,
            Read::Malformed => {
                sink.counters.count(Counter::ProtoMalformed);
                self.done = true;
                Take::All
            }
        }
    }

    fn lose(&mut self, side: Side, bytes: &[u8], _missing: Option<u32>, sink: &mut Sink<'_>) {
        if self.client == Some(side) {
            if let Some(hello) = cut_hello(bytes) {
                push(hello, sink);
            }
            self.done = true;
        }
    }

    fn needs_order(&self, side: Side) -> bool {
        self.client == Some(side)
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

fn push(hello: ClientHello, sink: &mut Sink<'_>) {
    sink.notes.server_name = hello.server_name.clone().or_else(|| sink.notes.server_name.take());
    if sink.notes.ja4.is_none() && !hello.ja4.is_empty() {
        sink.notes.ja4 = Some(hello.ja4.clone());
    }
    sink.push(FlowEvent::Tls(hello.into()));
}

/// Whose hello a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Client,
    Server,
}

/// Looks at the first bytes; `Err(true)` if more bytes could still make a hello of them.
pub(super) fn probe(bytes: &[u8]) -> Result<Hello, bool> {
    let fits = |at: usize, holds: fn(u8) -> bool| bytes.get(at).copied().is_none_or(holds);
    let hello = fits(0, |byte| byte == RECORD_HANDSHAKE)
        && fits(1, |major| major == 3)
        && fits(2, |minor| minor <= 4)
        && fits(5, |kind| kind == CLIENT_HELLO || kind == SERVER_HELLO)
        && fits(6, |length| length == 0);
    match bytes.get(5) {
        Some(_) | None if !hello => Err(false),
        Some(&CLIENT_HELLO) => Ok(Hello::Client),
        Some(_) => Ok(Hello::Server),
        None => Err(true),
    }
}

/// What the records so far hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The whole hello, and how many bytes of records it took.
    Whole(ClientHello, usize),
    /// So far in order, but not all there.
    Partial,
    /// Not a hello after all.
    Malformed,
}

/// Reads the hello that `bytes` begin with; it may span records.
pub(super) fn client_hello(bytes: &[u8]) -> Read {
    // The usual case: the hello lies whole in the first record.
    if let Some(fragment) = Reader(bytes).record(RECORD_HANDSHAKE)
        && handshake_length(fragment).is_some_and(|length| fragment.len() >= length)
    {
        return read_handshake(fragment, RECORD_HEADER + fragment.len());
    }
    let mut joined = Vec::new();
    let mut reader = Reader(bytes);
    while let Some(kind) = reader.0.first() {
        if *kind != RECORD_HANDSHAKE {
            return Read::Malformed;
        }
        let Some(fragment) = reader.record(RECORD_HANDSHAKE) else { break };
        joined.extend_from_slice(fragment);
        match handshake_length(&joined) {
            Some(length) if length > HELLO_MAX => return Read::Malformed,
            Some(length) if joined.len() >= length => {
                return read_handshake(&joined, bytes.len() - reader.0.len());
            }
            Some(_) | None => {}
        }
    }
    Read::Partial
}

/// Length of the `ChangeCipherSpec` record that `bytes` begin with: clients send one between two hellos to look like
/// TLS 1.2 (RFC 8446, D.4). `Err(true)` if more bytes could still make one.
pub(super) fn change_cipher_spec(bytes: &[u8]) -> Result<usize, bool> {
    let fragment = Reader(bytes).record(RECORD_CHANGE_CIPHER_SPEC);
    let more = bytes.first() == Some(&RECORD_CHANGE_CIPHER_SPEC) && bytes.len() < RECORD_HEADER + 1;
    fragment.filter(|fragment| fragment.len() == 1).map(|_| RECORD_HEADER + 1).ok_or(more)
}

/// What can be said of a hello of which no more will come: the names, but no fingerprint.
pub(super) fn cut_hello(bytes: &[u8]) -> Option<ClientHello> {
    let body = bytes.get(RECORD_HEADER + HANDSHAKE_HEADER..).filter(|_| probe(bytes) == Ok(Hello::Client))?;
    let fields = Fields::read(Reader(body)).0;
    fields.server_name.is_some().then(|| fields.hello(Box::default()))
}

/// Length of a handshake message with its header.
fn handshake_length(message: &[u8]) -> Option<usize> {
    Reader(message.get(1..)?).u24().map(|length| HANDSHAKE_HEADER + length)
}

/// The whole message, which took `used` bytes of records.
fn read_handshake(message: &[u8], used: usize) -> Read {
    let mut reader = Reader(message);
    if reader.u8() != Some(CLIENT_HELLO) {
        return Read::Malformed;
    }
    let body = reader.u24().and_then(|length| reader.take(length)).unwrap_or_default();
    match Fields::read(Reader(body)) {
        (fields, true) => {
            let ja4 = ja4::fingerprint(&fields);
            Read::Whole(fields.hello(ja4.into()), used)
        }
        (_, false) => Read::Malformed,
    }
}

impl<'a> Reader<'a> {
    /// The fragment of the next record, if it is whole and of this type.
    fn record(&mut self, kind: u8) -> Option<&'a [u8]> {
        let _version = (self.u8()? == kind).then(|| self.u16())??;
        self.vec16().map(|fragment| fragment.0)
    }
}

/// The fields of a hello that matter, borrowed.
#[derive(Debug, Default)]
struct Fields<'a> {
    /// Highest version offered.
    version: u16,
    ciphers: Vec<u16>,
    /// Types, in wire order.
    extensions: Vec<u16>,
    signature_algorithms: Vec<u16>,
    server_name: Option<&'a [u8]>,
    /// First protocol.
    alpn: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// As far as it goes; true if it went to the end.
    fn read(mut reader: Reader<'a>) -> (Self, bool) {
        let mut fields = Self::default();
        let whole = fields.fill(&mut reader).is_some();
        (fields, whole)
    }

    fn fill(&mut self, reader: &mut Reader<'a>) -> Option<()> {
        self.version = reader.u16()?;
        let _random = reader.take(32)?;
        let _session = reader.vec8()?;
        self.ciphers.extend(reader.vec16()?.u16s().filter(|cipher| !is_grease(*cipher)));
        let _compression = reader.vec8()?;
        if reader.0.is_empty() {
            // Extensions came with TLS 1.2 and are optional (RFC 5246, 7.4.1.2).
            return Some(());
        }
        let announced = reader.u16()?;
        let mut extensions = Reader(reader.0.get(..announced.into()).unwrap_or(reader.0));
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            self.extension(kind, extensions.vec16()?);
        }
        (reader.0.len() >= announced.into()).then_some(())
    }

    fn extension(&mut self, kind: u16, mut data: Reader<'a>) {
        if is_grease(kind) {
            return;
        }
        self.extensions.push(kind);
        match kind {
            SERVER_NAME => self.server_name = first_host_name(data),
            ALPN => self.alpn = data.vec16().and_then(|mut list| list.vec8()).map(|protocol| protocol.0),
            SIGNATURE_ALGORITHMS => {
                let listed = data.vec16().map(Reader::u16s);
                self.signature_algorithms =
                    listed.into_iter().flatten().filter(|one| !is_grease(*one)).collect();
            }
            SUPPORTED_VERSIONS => {
                let listed = data.vec8().map(Reader::u16s);
                let highest = listed.into_iter().flatten().filter(|version| !is_grease(*version)).max();
                self.version = highest.unwrap_or(self.version);
            }
            _ => {}
        }
    }

    fn hello(self, ja4: Box<str>) -> ClientHello {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ClientHello {
            server_name: self.server_name.map(|name| text(name).to_lowercase().into_boxed_str()),
            alpn: self.alpn.map(|alpn| text(alpn).into_boxed_str()),
            ja4,
            version: self.version,
        }
    }
}

/// RFC 6066, 3: a list of (type, name), type 0 is a host name.
fn first_host_name(mut data: Reader<'_>) -> Option<&[u8]> {
    let mut list = data.vec16()?;
    while let Some(kind) = list.u8() {
        let name = list.vec16()?.0;
        if kind == 0 && !name.is_empty() {
            return Some(name);
        }
    }
    None
}

/// RFC 8701: 0x0a0a, 0x1a1a, … 0xfafa are reserved and mean nothing.
const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello of TLS 1.3 with a GREASE cipher, SNI, ALPN, two signature algorithms and versions.
    fn hello() -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, data) in [
            (0x0000, &b"\0\x10\0\0\x0dWww.Example.C"[..]),
            (0x2a2a, b""),
            (0x0010, b"\0\x03\x02h2"),
            (0x000d, b"\0\x04\x04\x03\x08\x04"),
            (0x002b, b"\x06\x7a\x7a\x03\x04\x03\x03"),
        ] {
            extensions.extend(u16::to_be_bytes(kind));
            extensions.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            extensions.extend(data);
        }
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.extend([0, 0, 6, 0x1a, 0x1a, 0x13, 0x02, 0x13, 0x01, 1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut handshake = vec![CLIENT_HELLO, 0, 0, u8::try_from(body.len()).unwrap()];
        handshake.extend(body);
        handshake
    }

    fn record(fragment: &[u8]) -> Vec<u8> {
        let mut record = vec![RECORD_HANDSHAKE, 3, 1];
        record.extend(u16::try_from(fragment.len()).unwrap().to_be_bytes());
        record.extend(fragment);
        record
    }

    #[test]
    fn reads_a_hello_in_one_record_or_many() {
        let hello = hello();
        let Read::Whole(read, _) = client_hello(&record(&hello)) else { panic!("not whole") };
        assert_eq!(read.server_name.as_deref(), Some("www.example.c"));
        assert_eq!((read.alpn.as_deref(), read.version), (Some("h2"), 0x0304));
        assert!(read.ja4.starts_with("t13d0204h2_"), "{}", read.ja4);
        for cut in 1..hello.len() {
            let (first, second) = hello.split_at(cut);
            let mut records = record(first);
            assert_eq!(client_hello(&records), Read::Partial, "cut at {cut}");
            records.extend(record(second));
            let used = records.len();
            records.extend(b"\x14\x03\x03\x00\x01\x01");
            assert_eq!(client_hello(&records), Read::Whole(read.clone(), used), "cut at {cut}");
        }
    }

    #[test]
    fn a_cut_hello_gives_its_name_only() {
        let whole = record(&hello());
        for cut in 0..whole.len() {
            let Some(read) = cut_hello(&whole[..cut]) else { continue };
            assert_eq!(read.server_name.as_deref(), Some("www.example.c"));
            assert_eq!(&*read.ja4, "");
        }
        assert!(cut_hello(&whole[..90]).is_some());
    }

    #[test]
    fn probes_by_content() {
        for (bytes, expected) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00"[..], Ok(Hello::Client)),
            (b"\x16\x03\x03\x00\x7a\x02\x00", Ok(Hello::Server)),
            (b"\x16", Err(true)),
            (b"\x16\x03\x01\x02\x00", Err(true)),
            (b"\x16\x03\x09", Err(false)),
            (b"\x17\x03\x03\x00\x20", Err(false)),
            (b"\x16\x03\x01\x02\x00\x0b", Err(false)),
            (b"", Err(true)),
        ] {
            assert_eq!(probe(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn lies_about_lengths_are_malformed() {
        let mut hello = hello();
        // The cipher list claims more than the hello holds.
        hello[4 + 2 + 32 + 1] = 0xff;
        assert_eq!(client_hello(&record(&hello)), Read::Malformed);
        // Application data follows half a hello.
        let mut half = record(&hello[..20]);
        half.extend(b"\x17\x03\x03\x00\x01x");
        assert_eq!(client_hello(&half), Read::Malformed);
    }
}
