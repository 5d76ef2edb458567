//! Fragments of IP datagrams (RFC 791, RFC 8200) put together in bounded memory.
//!
//! What comes first is kept: a later fragment fills only what is missing. Overlapping fragments with other bytes are an anomaly;
//! in IPv6 they end the datagram (RFC 5722). A datagram's pieces are kept as they came and laid out once all are there, so
//! that memory follows what was received, not what an offset claims.

use core::net::IpAddr;
use core::time::Duration;

use sekimori_wire::time::Timestamp;

use super::network::{Carried, Shape};
use super::{Context, Layer, LayerContent, Vlans, len};
use crate::bounded::Map;
use crate::counters::{Counter, Counters};
use crate::limits::Limits;

/// Fragment offsets count in these.
const BLOCK: u32 = 8;
/// Of IPv6.
const FRAGMENT_HEADER: u32 = 8;
/// What a datagram costs beside its bytes, in the byte bound.
const OVERHEAD: usize = 256;
/// Likewise a piece.
const PIECE: usize = size_of::<Piece>();
/// Pieces of one datagram that are kept: a datagram of 64 KiB in packets of 68 bytes, the least that a link may carry.
const PIECES_MAX: usize = 1_366;

/// Where a packet belongs in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is all of it.
    Whole,
    /// `offset` in bytes; `more` pieces follow.
    Piece { id: u32, offset: u32, more: bool },
    /// It was put together: another fragment header breaks a rule.
    Reassembled,
}

impl Place {
    pub(super) const fn new(id: u32, offset: u32, more: bool) -> Self {
        if offset == 0 && !more { Self::Whole } else { Self::Piece { id, offset, more } }
    }
}

/// Which datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// IPv4 only: in IPv6 the first fragment tells.
    protocol: u8,
    vlans: [u16; 3],
    depth: u8,
}

/// A piece of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    context: Context,
    packet: Carried<'a>,
}

impl<'a> Fragment<'a> {
    pub(super) const fn new(context: Context, packet: &Carried<'a>) -> Self {
        Self { context, packet: *packet }
    }

    /// Sender and receiver.
    pub(crate) const fn ends(&self) -> (IpAddr, IpAddr) {
        (self.packet.source, self.packet.destination)
    }

    /// Frames whose fate it decides.
    pub(crate) const fn frames(&self) -> u32 {
        self.context.frames
    }

    fn key(&self, id: u32) -> Key {
        let Carried { source, destination, protocol, .. } = self.packet;
        let Context { vlans: Vlans(vlans), depth, .. } = self.context;
        let protocol = if source.is_ipv4() { protocol } else { 0 };
        Key { source, destination, id, protocol, vlans, depth }
    }
}

/// What became of a fragment, and the anomaly if it overlaps others.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It waits for others.
    Waits(Option<&'static str>),
    /// It contradicts its datagram.
    Refused,
    /// Its datagram is whole.
    Whole(Whole, Option<&'static str>),
}

/// A datagram put together.
#[derive(Debug)]
pub(crate) struct Whole {
    context: Context,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    header_bytes: u32,
    payload: Vec<u8>,
}

impl Whole {
    /// To be read on as any packet.
    pub(crate) fn layer(&self) -> Layer<'_> {
        let payload_bytes = len(&self.payload);
        let packet = Carried {
            source: self.source,
            destination: self.destination,
            bytes: self.header_bytes.saturating_add(payload_bytes),
            protocol: self.protocol,
            payload: &self.payload,
            payload_bytes,
            place: Place::Reassembled,
            shape: Shape::Whole,
            // Its fragments may have come by several ways.
            hops_left: 0,
            anomaly: None,
        };
        let context = Context { framed_bytes: packet.bytes, ..self.context };
        Layer { context, content: LayerContent::Carried(packet) }
    }
}

/// A datagram that waits for fragments.
#[derive(Debug)]
struct Datagram {
    /// The latest fragment.
    last: Timestamp,
    /// `frames` are those that wait.
    context: Context,
    /// The payloads, in order of arrival.
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// One bit for each block of eight bytes that is there.
    blocks: Vec<u64>,
    /// How many bits are set.
    filled: u32,
    /// The end of the piece that reaches farthest.
    reach: u32,
    /// Length of the datagram, known from the last fragment.
    end: Option<u32>,
    /// Protocol and length of the headers, known from the first fragment.
    first: Option<(u8, u32)>,
    /// Nothing more is kept of it: IPv6 fragments overlapped.
    spoiled: bool,
    /// What it counts for in the byte bound.
    charged: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: usize,
    /// Place in `bytes`.
    start: usize,
    length: usize,
}

/// How a piece fits into its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// All of it is new.
    New,
    /// The same piece again.
    Again,
    /// Some of it is there already, with other bytes or other bounds.
    Overlaps,
    /// It contradicts the datagram's end, or is one piece too many.
    Wrong,
}

impl Datagram {
    /// Counts a fragment that belongs to it.
    fn count(&mut self, context: &Context) {
        self.context.frames = self.context.frames.saturating_add(context.frames);
        self.context.fragments = self.context.fragments.saturating_add(1);
        self.context.wire_bytes = self.context.wire_bytes.saturating_add(context.wire_bytes);
    }

    const fn new(at: Timestamp, context: Context) -> Self {
        Self {
            last: at,
            context: Context { frames: 0, fragments: 0, wire_bytes: 0, ..context },
            bytes: Vec::new(),
            pieces: Vec::new(),
            blocks: Vec::new(),
            filled: 0,
            reach: 0,
            end: None,
            first: None,
            spoiled: false,
            charged: 0,
        }
    }

    /// What it costs in the byte bound.
    fn cost(&self) -> usize {
        OVERHEAD + self.bytes.len() + self.pieces.len() * PIECE + self.blocks.len() * 8
    }

    fn fit(&self, offset: u32, more: bool, payload: &[u8]) -> Fit {
        let end = offset.saturating_add(len(payload));
        let contradicts = match self.end {
            Some(known) => end > known || !more && end != known,
            None => !more && end < self.reach,
        };
        if contradicts || self.pieces.len() >= PIECES_MAX {
            return Fit::Wrong;
        }
        if !(offset / BLOCK..end.div_ceil(BLOCK)).any(|block| self.has(block)) {
            return Fit::New;
        }
        let again = self.pieces.iter().any(|piece| {
            let kept = self.bytes.get(piece.start..piece.start + piece.length);
            u32::try_from(piece.offset) == Ok(offset) && kept == Some(payload)
        });
        if again { Fit::Again } else { Fit::Overlaps }
    }

    fn has(&self, block: u32) -> bool {
        let (word, bit) = (block / u64::BITS, block % u64::BITS);
        let word = usize::try_from(word).ok().and_then(|word| self.blocks.get(word));
        word.is_some_and(|word| word >> bit & 1 == 1)
    }

    /// Keeps a piece; what is there already stays as it is.
    fn keep(&mut self, offset: u32, more: bool, payload: &[u8]) {
        let end = offset.saturating_add(len(payload));
        let mut new = false;
        for block in offset / BLOCK..end.div_ceil(BLOCK) {
            if self.has(block) {
                continue;
            }
            let (Ok(word), bit) = (usize::try_from(block / u64::BITS), block % u64::BITS) else { return };
            if self.blocks.len() <= word {
                self.blocks.resize(word + 1, 0);
            }
            if let Some(word) = self.blocks.get_mut(word) {
                *word |= 1 << bit;
            }
            self.filled += 1;
            new = true;
        }
        if new {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX);
            self.pieces.push(Piece { offset, start: self.bytes.len(), length: payload.len() });
            self.bytes.extend_from_slice(payload);
        }
        self.reach = self.reach.max(end);
        if !more {
            self.end = Some(end);
        }
    }

    /// The payload, if all is there: pieces laid over each other, the first ones on top.
    fn whole(&self) -> Option<(u8, u32, Vec<u8>)> {
        let ((protocol, header_bytes), end) = (self.first?, self.end?);
        if self.filled != end.div_ceil(BLOCK) {
            return None;
        }
        let mut payload = vec![0; usize::try_from(end).ok()?];
        for piece in self.pieces.iter().rev() {
            let kept = self.bytes.get(piece.start..piece.start + piece.length)?;
            payload.get_mut(piece.offset..piece.offset + piece.length)?.copy_from_slice(kept);
        }
        Some((protocol, header_bytes, payload))
    }
}

/// The datagrams that wait.
#[derive(Debug)]
pub(crate) struct Fragments {
    waiting: Map<Key, Datagram>,
    /// What they cost.
    bytes: usize,
    bytes_max: usize,
    timeout: Duration,
}

impl Fragments {
    /// `seed` keys the hash.
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            waiting: Map::new(limits.datagrams, seed),
            bytes: 0,
            bytes_max: limits.datagram_bytes,
            timeout: limits.datagram_timeout,
        }
    }

    /// Takes a fragment.
    pub(crate) fn add(&mut self, at: Timestamp, fragment: &Fragment<'_>, counters: &mut Counters) -> Outcome {
        self.expire(at, counters);
        let Fragment { context, packet } = fragment;
        let Place::Piece { id, offset, more } = packet.place else { return Outcome::Refused };
        let key = fragment.key(id);
        let (datagram, evicted) = self.waiting.get_or_insert_with(key, || Datagram::new(at, *context));
        let Some(datagram) = datagram else { return Outcome::Refused };
        datagram.last = at;
        let v6 = packet.source.is_ipv6();
        let fit = datagram.fit(offset, more, packet.payload);
        let mut anomaly = None;
        match fit {
            Fit::Wrong => {}
            Fit::New if !datagram.spoiled => datagram.keep(offset, more, packet.payload),
            Fit::Overlaps if !v6 => {
                anomaly = Some("decoder.ipv4.frag_overlap");
                datagram.keep(offset, more, packet.payload);
            }
            Fit::Overlaps => {
                anomaly = Some("decoder.ipv6.frag_overlap");
                (datagram.spoiled, datagram.bytes, datagram.pieces) = (true, Vec::new(), Vec::new());
            }
            Fit::New | Fit::Again => {}
        }
        if anomaly.is_some() {
            counters.count(Counter::FragmentOverlap);
        }
        if fit != Fit::Wrong {
            datagram.count(context);
        }
        if offset == 0 && fit == Fit::New {
            // The whole has no fragment header.
            let fragment_header = if v6 { FRAGMENT_HEADER } else { 0 };
            let headers = packet.bytes.saturating_sub(packet.payload_bytes + fragment_header);
            datagram.first = Some((packet.protocol, headers));
        }
        let cost = datagram.cost();
        self.bytes = (self.bytes + cost).saturating_sub(core::mem::replace(&mut datagram.charged, cost));
        let whole = if datagram.spoiled { None } else { datagram.whole() };
        if let Some((_, evicted)) = evicted {
            self.give_up(&evicted, Counter::FragmentEvicted, counters);
        }
        if let Some((protocol, header_bytes, payload)) = whole
            && let Some(datagram) = self.waiting.remove(&key)
        {
            self.bytes = self.bytes.saturating_sub(datagram.charged);
            counters.count(Counter::Reassembled);
            let (source, destination) = (packet.source, packet.destination);
            let context = datagram.context;
            return Outcome::Whole(
                Whole { context, source, destination, protocol, header_bytes, payload },
                anomaly,
            );
        }
        while self.bytes > self.bytes_max
            && let Some((_, evicted)) = self.waiting.pop_oldest()
        {
            self.give_up(&evicted, Counter::FragmentEvicted, counters);
        }
        if fit == Fit::Wrong { Outcome::Refused } else { Outcome::Waits(anomaly) }
    }

    /// Gives up what has waited too long.
    fn expire(&mut self, now: Timestamp, counters: &mut Counters) {
        while self.waiting.oldest().is_some_and(|(_, oldest)| now.since(oldest.last) > self.timeout)
            && let Some((_, expired)) = self.waiting.pop_oldest()
        {
            self.give_up(&expired, Counter::FragmentTimeout, counters);
        }
    }

    /// Gives up all: nothing more will come.
    pub(crate) fn finish(&mut self, counters: &mut Counters) {
        while let Some((_, waiting)) = self.waiting.pop_oldest() {
            self.give_up(&waiting, Counter::FragmentTimeout, counters);
        }
    }

    fn give_up(&mut self, datagram: &Datagram, why: Counter, counters: &mut Counters) {
        self.bytes = self.bytes.saturating_sub(datagram.charged);
        counters.count(why);
        counters.add(Counter::SkipFragment, datagram.context.frames.into());
    }
}
