//! The fields of `ClientHello` and `ServerHello` (RFC 8446, 4.1.2 and 4.1.3; RFC 5246, 7.4.1), borrowed from the message.

use super::ja4;
use crate::event::ClientHello;
use crate::proto::reader::Reader;

pub(in crate::proto) const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(in crate::proto) const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;
/// Key share of the drafts before 23.
const KEY_SHARE_OLD: u16 = 40;
/// The version of a draft of TLS 1.3 before the 16th.
const EARLY_DRAFT: u16 = 0x7f00;
/// The random of a `ServerHello` that asks for another hello (RFC 8446, 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The fields of a client's hello that matter.
#[derive(Debug, Default)]
pub(in crate::proto) struct ClientFields<'a> {
    /// `legacy_version`.
    pub(super) legacy_version: u16,
    /// Highest version offered.
    pub(in crate::proto) version: u16,
    pub(super) session: &'a [u8],
    /// GREASE left out.
    pub(super) ciphers: Vec<u16>,
    /// Types and contents, in wire order.
    pub(in crate::proto) extensions: Vec<(u16, &'a [u8])>,
    pub(super) groups: Vec<u16>,
    pub(super) point_formats: &'a [u8],
    pub(super) signature_algorithms: Vec<u16>,
    pub(in crate::proto) server_name: Option<&'a [u8]>,
    pub(in crate::proto) protocols: Vec<&'a [u8]>,
    /// A ticket that is not empty.
    pub(super) has_ticket: bool,
    pub(super) has_psk: bool,
    /// What Suricata says of the server name, if something is wrong with it.
    pub(super) name_fault: Option<&'static str>,
}

impl<'a> ClientFields<'a> {
    /// As far as it goes; true if it went to the end. A hello of DTLS has a cookie.
    pub(in crate::proto) fn read(body: &'a [u8], has_cookie: Cookie) -> (Self, bool) {
        let mut fields = Self::default();
        let whole = fields.fill(&mut Reader(body), has_cookie).is_some();
        (fields, whole)
    }

    fn fill(&mut self, reader: &mut Reader<'a>, cookie: Cookie) -> Option<()> {
        self.legacy_version = reader.u16()?;
        self.version = self.legacy_version;
        let _random = reader.take(32)?;
        self.session = reader.vec8()?.0;
        match cookie {
            Cookie::No => {}
            Cookie::Yes => {
                let _cookie = reader.vec8()?;
            }
        }
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
        let again = kind == SERVER_NAME && self.server_name.is_some();
        self.extensions.push((kind, data.0));
        let meaning = |one: &u16| !is_grease(*one);
        match kind {
            SERVER_NAME if again => self.name_fault = Some("MULTIPLE_SNI_EXTENSIONS"),
            SERVER_NAME => match first_host_name(data) {
                Ok(name) => self.server_name = name,
                Err(fault) => self.name_fault = Some(fault),
            },
            ALPN => self.protocols = protocols(data),
            SUPPORTED_GROUPS => {
                self.groups = data.vec16().into_iter().flat_map(Reader::u16s).filter(meaning).collect();
            }
            EC_POINT_FORMATS => self.point_formats = data.vec8().map_or(&[], |formats| formats.0),
            SIGNATURE_ALGORITHMS => {
                let listed = data.vec16().into_iter().flat_map(Reader::u16s);
                self.signature_algorithms = listed.filter(meaning).collect();
            }
            SUPPORTED_VERSIONS => {
                let listed = data.vec8().into_iter().flat_map(Reader::u16s).filter(meaning);
                self.version = listed.max().unwrap_or(self.version);
            }
            SESSION_TICKET => self.has_ticket = !data.0.is_empty(),
            PRE_SHARED_KEY => self.has_psk = true,
            _ => {}
        }
    }

    /// For the detectors.
    pub(in crate::proto) fn hello(&self, ja4: Box<str>) -> ClientHello {
        ClientHello {
            server_name: self.server_name.map(|name| lossy(name).to_lowercase().into_boxed_str()),
            alpn: self.protocols.first().map(|alpn| lossy(alpn).into_boxed_str()),
            ja4,
            version: self.version,
        }
    }

    /// Types of extensions without GREASE.
    pub(super) fn kinds(&self) -> impl Iterator<Item = u16> {
        self.extensions.iter().map(|(kind, _)| *kind).filter(|kind| !is_grease(*kind))
    }

    /// JA4 of a hello that is whole.
    pub(in crate::proto) fn ja4(&self, carrier: char) -> Box<str> {
        ja4::fingerprint(self, carrier).into_boxed_str()
    }
}

/// Whether a hello of a client has a cookie (DTLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Cookie {
    No,
    Yes,
}

/// The fields of a server's hello that matter.
#[derive(Debug, Default)]
pub(in crate::proto) struct ServerFields<'a> {
    pub(super) legacy_version: u16,
    /// The version chosen.
    pub(super) version: u16,
    /// It asks for another hello.
    pub(super) is_retry: bool,
    pub(super) session: &'a [u8],
    pub(super) cipher: u16,
    /// Types and contents, in wire order.
    pub(in crate::proto) extensions: Vec<(u16, &'a [u8])>,
    pub(super) group: Option<u16>,
    pub(super) protocols: Vec<&'a [u8]>,
    pub(super) has_psk: bool,
}

impl<'a> ServerFields<'a> {
    pub(in crate::proto) fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let mut fields = Self { legacy_version: reader.u16()?, ..Self::default() };
        fields.version = fields.legacy_version;
        fields.is_retry = reader.take(32)? == RETRY_RANDOM;
        // The drafts of TLS 1.3 before 22 had neither session nor compression here; those before 16 called themselves 1.3.
        let is_draft = matches!(fields.legacy_version, 0x0304 | 0x7f00..=0x7f15);
        if fields.legacy_version == 0x0304 {
            fields.version = EARLY_DRAFT;
        }
        if !is_draft {
            fields.session = reader.vec8()?.0;
        }
        fields.cipher = reader.u16()?;
        if !is_draft {
            let _compression = reader.u8()?;
        }
        if reader.0.is_empty() {
            return Some(fields);
        }
        let mut extensions = reader.vec16()?;
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            fields.extension(kind, extensions.vec16()?);
        }
        Some(fields)
    }

    fn extension(&mut self, kind: u16, mut data: Reader<'a>) {
        self.extensions.push((kind, data.0));
        match kind {
            ALPN => self.protocols = protocols(data),
            SUPPORTED_VERSIONS => self.version = data.u16().unwrap_or(self.version),
            KEY_SHARE | KEY_SHARE_OLD => self.group = data.u16(),
            PRE_SHARED_KEY => self.has_psk = true,
            _ => {}
        }
    }
}

/// RFC 7301, 3.1.
fn protocols(mut data: Reader<'_>) -> Vec<&[u8]> {
    let mut listed = Vec::new();
    let mut list = data.vec16().unwrap_or(Reader(&[]));
    while let Some(protocol) = list.vec8() {
        listed.push(protocol.0);
    }
    listed
}

/// RFC 6066, 3: a list of (type, name), type 0 is a host name.
fn first_host_name(mut data: Reader<'_>) -> Result<Option<&[u8]>, &'static str> {
    if data.0.is_empty() {
        return Ok(None);
    }
    let mut list = data.vec16().ok_or("INVALID_SNI_LENGTH")?;
    let mut found = None;
    while let Some(kind) = list.u8() {
        let name = list.vec16().ok_or("INVALID_SNI_LENGTH")?.0;
        if kind == 0 && !name.is_empty() && found.is_none() {
            found = Some(name);
        }
    }
    Ok(found)
}

/// RFC 8701: 0x0a0a, 0x1a1a, … 0xfafa are reserved and mean nothing.
pub(in crate::proto) const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

pub(in crate::proto) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names of protocols for an event.
pub(super) fn texts(protocols: &[&[u8]]) -> Box<[Box<str>]> {
    protocols.iter().map(|protocol| lossy(protocol).into_boxed_str()).collect()
}
