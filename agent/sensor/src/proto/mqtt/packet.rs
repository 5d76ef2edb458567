//! Control packets of MQTT (OASIS MQTT 5.0, chapters 2 and 3).

use super::super::reader::Reader;
use super::property::properties;
use crate::event::mqtt::{MqttBody, MqttConnect, MqttKind};

/// Bytes of a text that are kept.
const TEXT_MAX: usize = 1024;
/// Filters of a SUBSCRIBE or UNSUBSCRIBE, and codes of their answers, that are kept.
const TOPICS_MAX: usize = 100;
/// Bytes of a remaining length (2.1.4).
const LENGTH_BYTES_MAX: usize = 4;
/// Protocol version with properties and reason codes.
const V5: u8 = 5;

/// The fixed header (2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Type, 0 to 15.
    pub(super) kind: u8,
    /// Lower four bits.
    pub(super) flags: u8,
    /// Bytes after the header.
    pub(super) length: u32,
    /// Bytes of the header.
    pub(super) bytes: usize,
}

impl Header {
    /// Bytes of the packet.
    pub(super) const fn total(self) -> u32 {
        // A header has at most five bytes and a length 28 bits.
        let [header, ..] = self.bytes.to_le_bytes();
        self.length.saturating_add(header as u32)
    }
}

/// The fixed header; none if it is not whole, or its length has more than four bytes.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader(bytes);
    let first = reader.u8()?;
    let length = variable(&mut reader)?;
    Some(Header { kind: first >> 4, flags: first & 0x0f, length, bytes: bytes.len() - reader.0.len() })
}

/// The length of the fixed header has more than four bytes.
pub(super) fn is_bad_header(bytes: &[u8]) -> bool {
    bytes.get(1..=LENGTH_BYTES_MAX).is_some_and(|length| length.iter().all(|byte| byte & 0x80 != 0))
}

/// Packets with allowed flags follow one another until exactly the end of `bytes`: enough to take up again after a gap.
pub(super) fn is_aligned(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(header) = header(rest) else { return false };
        let allowed = match header.kind {
            0 => false,
            3 => true,
            6 | 8 | 10 => header.flags == 2,
            _ => header.flags == 0,
        };
        let total = usize::try_from(header.total()).unwrap_or(usize::MAX);
        match rest.get(total..) {
            Some(after) if allowed => rest = after,
            Some(_) | None => return false,
        }
    }
    true
}

/// A variable byte integer (1.5.5).
pub(super) fn variable(reader: &mut Reader<'_>) -> Option<u32> {
    let mut value = 0;
    for nth in 0..LENGTH_BYTES_MAX {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A text or bytes with a length before it (1.5.4).
pub(super) fn text(reader: &mut Reader<'_>) -> Option<Box<str>> {
    Some(lossy(reader.vec16()?.0))
}

pub(super) fn lossy(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into()
}

/// What a packet holds; `bytes` are the first ones after the header. None if they end too early or break the rules.
pub(super) fn body(kind: MqttKind, header: Header, version: u8, bytes: &[u8]) -> Option<MqttBody> {
    let mut reader = Reader(bytes);
    let reader = &mut reader;
    Some(match kind {
        MqttKind::Connect => MqttBody::Connect(Box::new(connect(reader)?)),
        MqttKind::Connack => MqttBody::Connack {
            session_present: reader.u8()? & 1 != 0,
            code: reader.u8()?,
            properties: if version == V5 { properties(reader)? } else { Vec::new() },
        },
        MqttKind::Publish => publish(header, version, reader)?,
        MqttKind::Puback | MqttKind::Pubrec | MqttKind::Pubrel | MqttKind::Pubcomp => MqttBody::Acknowledge {
            id: reader.u16()?,
            code: if version == V5 { reader.u8() } else { None },
            properties: if version == V5 { properties_if_any(reader)? } else { Vec::new() },
        },
        MqttKind::Subscribe | MqttKind::Unsubscribe => topics(kind, header, version, reader)?,
        MqttKind::Suback | MqttKind::Unsuback => MqttBody::Codes {
            id: reader.u16()?,
            properties: if version == V5 { properties(reader)? } else { Vec::new() },
            codes: reader.0.get(..TOPICS_MAX).unwrap_or(reader.0).to_vec(),
        },
        MqttKind::Disconnect | MqttKind::Auth => MqttBody::Reason {
            // 3.14.2.1: without it the reason is 0.
            code: (version == V5).then(|| reader.u8().unwrap_or_default()),
            properties: if version == V5 { properties_if_any(reader)? } else { Vec::new() },
        },
        MqttKind::Pingreq | MqttKind::Pingresp => MqttBody::Empty,
    })
}

/// Properties that may be left out where there are none.
fn properties_if_any(reader: &mut Reader<'_>) -> Option<Vec<crate::event::mqtt::MqttProperty>> {
    if reader.0.is_empty() { Some(Vec::new()) } else { properties(reader) }
}

fn connect(reader: &mut Reader<'_>) -> Option<MqttConnect> {
    let mut connect = MqttConnect {
        protocol: text(reader)?,
        version: reader.u8()?,
        flags: reader.u8()?,
        keep_alive: reader.u16()?,
        ..MqttConnect::default()
    };
    if connect.version == V5 {
        connect.properties = properties(reader)?;
    }
    connect.client_id = text(reader)?;
    if connect.has_will() {
        if connect.version == V5 {
            connect.will_properties = properties(reader)?;
        }
        connect.will_topic = Some(text(reader)?);
        let _message = reader.vec16()?;
    }
    if connect.has_username() {
        connect.username = Some(text(reader)?);
    }
    if connect.has_password() {
        let _password = reader.vec16()?;
    }
    Some(connect)
}

fn publish(header: Header, version: u8, reader: &mut Reader<'_>) -> Option<MqttBody> {
    let shown = reader.0.len();
    let topic = text(reader)?;
    let id = if header.flags & 0x06 == 0 { None } else { Some(reader.u16()?) };
    let properties = if version == V5 { properties(reader)? } else { Vec::new() };
    let read = u32::try_from(shown - reader.0.len()).unwrap_or_default();
    Some(MqttBody::Publish { topic, id, message_bytes: header.length.saturating_sub(read), properties })
}

fn topics(kind: MqttKind, header: Header, version: u8, reader: &mut Reader<'_>) -> Option<MqttBody> {
    let is_cut = usize::try_from(header.length).is_ok_and(|length| length > reader.0.len());
    let id = reader.u16()?;
    let properties = if version == V5 { properties(reader)? } else { Vec::new() };
    let (mut asked, mut left) = (Vec::new(), Vec::new());
    while !reader.0.is_empty() && asked.len().max(left.len()) < TOPICS_MAX {
        let read = text(reader).and_then(|topic| {
            if kind == MqttKind::Subscribe {
                // Bits 0 and 1 of the options are the quality of service (3.8.3.1).
                asked.push((topic, reader.u8()? & 0x03));
            } else {
                left.push(topic);
            }
            Some(())
        });
        if read.is_none() {
            if is_cut {
                break;
            }
            return None;
        }
    }
    Some(match kind == MqttKind::Subscribe {
        true => MqttBody::Subscribe { id, topics: asked, properties },
        false => MqttBody::Unsubscribe { id, topics: left, properties },
    })
}
