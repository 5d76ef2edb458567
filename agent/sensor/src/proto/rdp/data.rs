//! What client and server say of themselves in the user data of GCC's conference (MS-RDPBCGR, 2.2.1.3 and 2.2.1.4).
//!
//! The conference's BER and PER around it say nothing that matters, so the blocks are found by the keys before them.

use crate::event::rdp::RdpClient;
use crate::event::{Certificate, RdpStep};
use crate::proto::reader::Reader;
use crate::proto::tls::x509;

/// Keys before the blocks of client and server (T.124, h221NonStandard).
const CLIENT_KEY: &[u8; 4] = b"Duca";
const SERVER_KEY: &[u8; 4] = b"McDn";
/// Bytes before such a key.
const BEFORE_KEY_MAX: usize = 512;
const CLIENT_CORE: u16 = 0xc001;
const CLIENT_NETWORK: u16 = 0xc003;
const SERVER_SECURITY: u16 = 0x0c02;
/// Channels that are kept; a client may ask for 31.
const CHANNELS_MAX: usize = 31;
/// Certificates that are read.
const CERTIFICATES_MAX: u32 = 16;

/// The blocks behind a key: type and content.
fn blocks<'a>(message: &'a [u8], key: &[u8; 4]) -> Option<impl Iterator<Item = (u16, &'a [u8])>> {
    let start = message.get(..BEFORE_KEY_MAX).unwrap_or(message);
    let at = start.windows(key.len()).position(|four| four == key)?;
    let mut reader = Reader(message.get(at + key.len()..)?);
    // A PER length: one byte, or two with the highest bit set.
    if reader.u8()? & 0x80 != 0 {
        let _low = reader.u8()?;
    }
    Some(core::iter::from_fn(move || {
        let (kind, length) = (reader.u16_le()?, reader.u16_le()?);
        Some((kind, reader.take(usize::from(length).checked_sub(4)?)?))
    }))
}

pub(super) fn client(message: &[u8]) -> Option<RdpClient> {
    let mut found = None;
    let mut channels = Vec::new();
    for (kind, content) in blocks(message, CLIENT_KEY)? {
        match kind {
            CLIENT_CORE => found = core(Reader(content)),
            CLIENT_NETWORK => {
                let listed = content.get(4..).unwrap_or_default().as_chunks::<12>().0.iter();
                channels = listed.take(CHANNELS_MAX).map(|channel| text(&channel[..8])).collect();
            }
            _ => {}
        }
    }
    found.map(|client| RdpClient { channels: channels.into(), ..client })
}

fn core(mut reader: Reader<'_>) -> Option<RdpClient> {
    let version = reader.u32_le()?;
    let desktop = (reader.u16_le()?, reader.u16_le()?);
    let old_depth = reader.u16_le()?;
    let _sequence = reader.u16_le()?;
    let (keyboard_layout, build) = (reader.u32_le()?, reader.u32_le()?);
    let name = wide(reader.take(32)?);
    let (keyboard_type, keyboard_subtype) = (reader.u32_le()?, reader.u32_le()?);
    let function_keys = reader.u32_le()?;
    let _input_method = reader.take(64)?;
    let mut client = RdpClient {
        version,
        desktop,
        color_depth: depth(old_depth),
        keyboard_layout,
        build,
        name,
        keyboard_type,
        keyboard_subtype,
        function_keys,
        ..RdpClient::default()
    };
    // What follows came with later versions: as far as it goes.
    let _all = later(&mut client, &mut reader);
    Some(client)
}

fn later(client: &mut RdpClient, reader: &mut Reader<'_>) -> Option<()> {
    client.color_depth = depth(reader.u16_le()?).or(client.color_depth);
    client.product_id = Some(reader.u16_le()?);
    let _serial = reader.u32_le()?;
    client.color_depth = match reader.u16_le()? {
        0 => client.color_depth,
        high => Some(high),
    };
    let _supported = reader.u16_le()?;
    client.capabilities = Some(reader.u16_le()?);
    client.id = wide(reader.take(64)?);
    Some(())
}

/// `RNS_UD_COLOR_*`.
const fn depth(code: u16) -> Option<u16> {
    match code {
        0xca00 => Some(4),
        0xca01 => Some(8),
        0xca02 => Some(15),
        0xca03 => Some(16),
        0xca04 => Some(24),
        _ => None,
    }
}

pub(super) fn server(message: &[u8]) -> Option<RdpStep> {
    let (mut encryption, mut certificates) = (None, Vec::new());
    for (kind, content) in blocks(message, SERVER_KEY)? {
        if kind == SERVER_SECURITY {
            let mut reader = Reader(content);
            encryption = reader.u32_le().zip(reader.u32_le());
            certificates = security(&mut reader).unwrap_or_default();
        }
    }
    Some(RdpStep::ServerData { encryption, certificates: certificates.into() })
}

/// A chain of X.509 certificates (MS-RDPELE, 2.2.1.4.2), if that is what the server sent.
fn security(reader: &mut Reader<'_>) -> Option<Vec<Certificate>> {
    const X509_CHAIN: u32 = 2;
    const IS_TEMPORARY: u32 = 1 << 31;
    let (random, _certificate) = (reader.u32_le()?, reader.u32_le()?);
    let _random = reader.take(usize::try_from(random).ok()?)?;
    let version = reader.u32_le()?;
    let mut certificates = Vec::new();
    if version & !IS_TEMPORARY == X509_CHAIN {
        for _ in 0..reader.u32_le()?.min(CERTIFICATES_MAX) {
            let length = usize::try_from(reader.u32_le()?).ok()?;
            certificates.push(x509::certificate(reader.take(length)?));
        }
    }
    Some(certificates)
}

/// Text in bytes, up to the first zero.
fn text(bytes: &[u8]) -> Box<str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into()
}

/// Text in UTF-16, up to the first zero.
fn wide(bytes: &[u8]) -> Box<str> {
    let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units).into()
}
