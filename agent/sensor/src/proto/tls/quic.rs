//! The extensions of hellos that QUIC carries, for the researchers' formats.

use super::hello::{ALPN, ClientFields, SERVER_NAME, ServerFields, lossy};
use crate::event::quic::Extension;
use crate::proto::reader::Reader;

const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;
/// Values of one extension that are kept.
const VALUES_MAX: usize = 64;

pub(super) fn of_client(fields: &ClientFields<'_>) -> Box<[Extension]> {
    let one = |&(kind, data): &(u16, &[u8])| {
        let mut reader = Reader(data);
        let values = match kind {
            SERVER_NAME => fields.server_name.map(|name| texts(&[name])),
            ALPN => Some(texts(&fields.protocols)),
            SUPPORTED_VERSIONS => {
                reader.vec8().map(|list| list.u16s().take(VALUES_MAX).map(version).collect())
            }
            SIGNATURE_ALGORITHMS => {
                let list = reader.vec16();
                list.map(|list| list.u16s().take(VALUES_MAX).map(|one| one.to_string().into()).collect())
            }
            _ => None,
        };
        Extension { kind, values: values.unwrap_or_default() }
    };
    fields.extensions.iter().map(one).collect()
}

pub(super) fn of_server(fields: &ServerFields<'_>) -> Box<[Extension]> {
    let one = |&(kind, data): &(u16, &[u8])| {
        let values = match kind {
            ALPN => Some(texts(&fields.protocols)),
            SUPPORTED_VERSIONS => Some(Reader(data).u16s().take(1).map(version).collect()),
            _ => None,
        };
        Extension { kind, values: values.unwrap_or_default() }
    };
    fields.extensions.iter().map(one).collect()
}

fn texts(values: &[&[u8]]) -> Box<[Box<str>]> {
    values.iter().take(VALUES_MAX).map(|value| lossy(value).into_boxed_str()).collect()
}

fn version(version: u16) -> Box<str> {
    match version {
        0x0301 => "TLS 1.0".into(),
        0x0302 => "TLS 1.1".into(),
        0x0303 => "TLS 1.2".into(),
        0x0304 => "TLS 1.3".into(),
        other => format!("{other:#06x}").into(),
    }
}
