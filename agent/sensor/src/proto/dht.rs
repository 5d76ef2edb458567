//! `BitTorrent`'s distributed hash table (BEP 5, IPv6 by BEP 32): one bencoded dictionary in each datagram.

mod bencode;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use self::bencode::Bencode;
use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::counters::Counter;
use crate::event::dht::{DhtBody, DhtNode, DhtValues};
use crate::event::{Application, DhtMessage};

/// Bytes of an identifier, a token or a version that are kept; identifiers have 20.
const BYTES_MAX: usize = 64;
/// Bytes of a text that are kept.
const TEXT_MAX: usize = 256;
/// Nodes or peers of a message that are kept.
const ADDRESSES_MAX: usize = 64;
/// Keys of one dictionary that are looked at.
const KEYS_MAX: usize = 32;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Dht, probe, begin: |_hint| Session::from(Parser) }];

/// State of a flow: each datagram stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Parser;

/// A dictionary that begins with one of the keys of BEP 5 and ends.
fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const BEGINNINGS: [&[u8]; 5] = [b"d1:ad2:id20:", b"d1:rd2:id20:", b"d1:rd2:ip", b"d1:el", b"d2:ip"];
    let begins = BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning));
    (begins && bytes.ends_with(b"e") && bytes.windows(4).any(|four| four == b"1:y1")).into()
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, side: Side, bytes: &[u8], _wire_bytes: u32, sink: &mut Sink<'_>) {
        let mut message = DhtMessage { from_originator: side == Side::Originator, ..DhtMessage::default() };
        let read = read(bytes, &mut message);
        let whole = read.is_some() && !message.transaction_id.is_empty() && message.body != DhtBody::Unknown;
        if !whole {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Dht, side, "malformed_packet");
        }
        if whole || message.body != DhtBody::Unknown {
            sink.transaction(message);
        }
    }

    fn is_light(&self) -> bool {
        true
    }
}

/// Calls `each` with every key; it must take the value, or step over it.
fn dictionary<'a>(
    bencode: &mut Bencode<'a>,
    mut each: impl FnMut(&[u8], &mut Bencode<'a>) -> Option<()>,
) -> Option<()> {
    if !bencode.accept(b'd') {
        return None;
    }
    for _ in 0..KEYS_MAX {
        if bencode.accept(b'e') {
            return Some(());
        }
        let key = bencode.bytes()?;
        each(key, bencode)?;
    }
    None
}

fn read(bytes: &[u8], message: &mut DhtMessage) -> Option<()> {
    let (mut name, mut values, mut error, mut kind) = (None, None, None, None);
    let result = dictionary(&mut Bencode(bytes), |key, value| {
        match key {
            b"a" | b"r" => {
                let mut read = DhtValues::default();
                arguments(value, &mut read)?;
                values = Some(read);
            }
            b"e" => error = Some(refusal(value)?),
            b"q" => name = Some(value.bytes()?),
            b"t" => message.transaction_id = kept(value.bytes()?),
            b"v" => message.client_version = Some(kept(value.bytes()?)),
            b"y" => kind = Some(value.bytes()?),
            _ => value.skip()?,
        }
        Some(())
    });
    message.body = match (kind, name, values, error) {
        (Some(b"q"), Some(name), Some(arguments), _) => DhtBody::Request { name: text(name), arguments },
        (Some(b"r"), _, Some(values), _) => DhtBody::Response(values),
        (Some(b"e"), _, _, Some((number, message))) => DhtBody::Error { number, message },
        (Some(_) | None, _, _, _) => DhtBody::Unknown,
    };
    result
}

fn refusal(value: &mut Bencode<'_>) -> Option<(u32, Box<str>)> {
    if !value.accept(b'l') {
        return None;
    }
    let read = (u32::try_from(value.number()?).ok()?, text(value.bytes()?));
    value.accept(b'e').then_some(read)
}

fn arguments(bencode: &mut Bencode<'_>, values: &mut DhtValues) -> Option<()> {
    dictionary(bencode, |key, value| {
        match key {
            b"id" => values.id = kept(value.bytes()?),
            b"target" => values.target = Some(kept(value.bytes()?)),
            b"info_hash" => values.info_hash = Some(kept(value.bytes()?)),
            b"token" => values.token = Some(kept(value.bytes()?)),
            b"implied_port" => values.implied_port = u32::try_from(value.number()?).ok(),
            b"port" => values.port = u16::try_from(value.number()?).ok(),
            b"nodes" => nodes::<4>(value.bytes()?, &mut values.nodes),
            b"nodes6" => nodes::<16>(value.bytes()?, &mut values.nodes),
            b"values" => peers(value, &mut values.values)?,
            _ => value.skip()?,
        }
        Some(())
    })
}

/// Identifier, address and port after one another (BEP 5, "Contact Encoding"); what is left over at the end is ignored.
fn nodes<const ADDRESS: usize>(bytes: &[u8], nodes: &mut Vec<DhtNode>) {
    let mut reader = Reader(bytes);
    while nodes.len() < ADDRESSES_MAX
        && let Some(id) = reader.take(20).and_then(|id| id.try_into().ok())
        && let Some(address) = reader.take(ADDRESS + 2).and_then(contact)
    {
        nodes.push(DhtNode { id, address });
    }
}

fn peers(value: &mut Bencode<'_>, peers: &mut Vec<SocketAddr>) -> Option<()> {
    // Some send one string of all peers instead of a list.
    if !value.accept(b'l') {
        return value.skip();
    }
    while !value.accept(b'e') {
        let peer = contact(value.bytes()?);
        peers.extend(peer.filter(|_| peers.len() < ADDRESSES_MAX));
    }
    Some(())
}

/// An address and a port.
fn contact(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_last_chunk()?;
    let address = match address.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(*port)))
}

fn kept(bytes: &[u8]) -> Box<[u8]> {
    bytes.get(..BYTES_MAX).unwrap_or(bytes).into()
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into()
}

#[cfg(test)]
mod tests;
