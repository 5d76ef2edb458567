//! TLS `ClientHello` (RFC 8446, 4.1.2) from the first records of a stream, whole or cut.

mod ja4;

use super::reader::Reader;
use crate::event::ClientHello;

const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const RECORD_HEADER: usize = 5;
/// A hello larger than this is none: browsers' reach some 2 KiB with post-quantum key shares.
const HELLO_MAX: usize = 16 * 1024;
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

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
    /// The whole hello.
    Whole(ClientHello),
    /// So far in order, but not all there.
    Partial,
    /// Not a hello after all.
    Malformed,
}

/// Reads the hello that `bytes` begin with; it may span records.
pub(super) fn client_hello(bytes: &[u8]) -> Read {
    let (handshake, ended) = match single_record(bytes) {
        Some(fragment) => return read_handshake(fragment),
        None => join_records(bytes),
    };
    match read_handshake(&handshake) {
        Read::Partial if ended => Read::Malformed,
        read @ (Read::Whole(_) | Read::Partial | Read::Malformed) => read,
    }
}

/// What can be said of a hello of which no more will come: the names, but no fingerprint.
pub(super) fn cut_hello(bytes: &[u8]) -> Option<ClientHello> {
    let fragment = bytes.get(RECORD_HEADER..)?;
    let fields = Fields::read(Reader(fragment.get(4..)?)).0;
    fields.server_name.is_some().then(|| fields.hello(Box::default()))
}

/// The usual case: the hello lies whole in the first record.
fn single_record(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(bytes.get(3..)?);
    let fragment = reader.vec16()?.0;
    let length = Reader(fragment.get(1..)?).u24()?;
    (fragment.len() >= length.saturating_add(4)).then_some(fragment)
}

/// The fragments of consecutive handshake records; true if something else follows them.
fn join_records(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut joined = Vec::new();
    let mut reader = Reader(bytes);
    while let Some(kind) = reader.u8() {
        if kind != RECORD_HANDSHAKE {
            return (joined, true);
        }
        let length = reader.u16().and_then(|_version| reader.u16()).map_or(0, usize::from);
        let fragment = reader.take(length).unwrap_or_else(|| reader.take(reader.0.len()).unwrap_or_default());
        joined.extend_from_slice(fragment);
    }
    (joined, false)
}

fn read_handshake(handshake: &[u8]) -> Read {
    let mut reader = Reader(handshake);
    let (Some(kind), Some(length)) = (reader.u8(), reader.u24()) else { return Read::Partial };
    if kind != CLIENT_HELLO || length > HELLO_MAX {
        return Read::Malformed;
    }
    let Some(body) = reader.take(length) else { return Read::Partial };
    match Fields::read(Reader(body)) {
        (fields, true) => {
            let ja4 = ja4::fingerprint(&fields);
            Read::Whole(fields.hello(ja4.into()))
        }
        (_, false) => Read::Malformed,
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
        let Read::Whole(read) = client_hello(&record(&hello)) else { panic!("not whole") };
        assert_eq!(read.server_name.as_deref(), Some("www.example.c"));
        assert_eq!((read.alpn.as_deref(), read.version), (Some("h2"), 0x0304));
        assert!(read.ja4.starts_with("t13d0204h2_"), "{}", read.ja4);
        for cut in 1..hello.len() {
            let (first, second) = hello.split_at(cut);
            let mut records = record(first);
            assert_eq!(client_hello(&records), Read::Partial, "cut at {cut}");
            records.extend(record(second));
            assert_eq!(client_hello(&records), Read::Whole(read.clone()), "cut at {cut}");
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
