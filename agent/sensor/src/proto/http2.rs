//! HTTP/2 in clear text (RFC 9113): its settings and the exchange of each stream, bodies counted and not kept.

mod hpack;
mod huffman;
mod stream;

use sekimori_wire::time::Timestamp;

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::Application;
use crate::event::http::Request;
use hpack::Decoder;
use stream::Streams;

/// What a client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// A frame that must be read whole is none of ours if it is longer: streams keep not much more.
const FRAME_MAX: usize = 12 * 1024;
/// A header block may go on over several frames.
const BLOCK_MAX: usize = 32 * 1024;
/// Settings of a frame that are kept.
const SETTINGS_MAX: usize = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Http2, probe: recognise, begin }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    client: Side,
    ends: [End; 2],
    streams: Streams,
    broken: bool,
}

/// What one side is in the middle of.
#[derive(Debug, Default)]
struct End {
    decoder: Decoder,
    /// Content that is still to come of a DATA frame, its stream, whether that ends with it.
    data: Option<(u32, u32, bool)>,
    /// A header block that goes on, its stream, whether that ends with it.
    block: Option<(Vec<u8>, u32, bool)>,
}

fn recognise(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    if bytes.starts_with(PREFACE) {
        Guess::Yes
    } else if PREFACE.starts_with(bytes) {
        Guess::More
    } else {
        Guess::No
    }
}

fn begin(hint: &Hint<'_>) -> Session {
    new(hint.side).into()
}

fn new(client: Side) -> Parser {
    Parser { client, ends: Default::default(), streams: Streams::new(client), broken: false }
}

/// A connection that HTTP/1 handed over with this request, which its first stream answers.
pub(super) fn upgraded(client: Side, request: Option<Request>, at: Timestamp) -> Session {
    let mut parser = new(client);
    if let Some(request) = request {
        parser.streams.upgraded(&request, at);
    }
    parser.into()
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (length, kind, flags) = (reader.u24()?, reader.u8()?, reader.u8()?);
        Some(Self { length, kind, flags, stream: reader.u32()? & 0x7fff_ffff })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if side == self.client && bytes.starts_with(b"PRI ") {
            return if bytes.starts_with(PREFACE) { Take::bytes(PREFACE.len()) } else { Take::More };
        }
        if let Some((left, stream, ends)) = side.of_mut(&mut self.ends).data.take() {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.streams.content(side, stream, bytes.get(..n).unwrap_or(bytes), 0);
            self.data(side, left.saturating_sub(u32::try_from(n).unwrap_or(u32::MAX)), stream, ends, sink);
            return Take::bytes(n);
        }
        let Some(frame) = Frame::read(bytes) else { return Take::More };
        match frame.kind {
            DATA => {
                let length = u32::try_from(frame.length).unwrap_or(u32::MAX);
                if frame.has(PADDED) {
                    return self.padded(side, frame, bytes, sink);
                }
                self.data(side, length, frame.stream, frame.has(END_STREAM), sink);
                Take::bytes(FRAME_HEADER)
            }
            HEADERS | RST_STREAM | SETTINGS | PUSH_PROMISE | GOAWAY | CONTINUATION => {
                let end = FRAME_HEADER + frame.length;
                match bytes.get(FRAME_HEADER..end) {
                    Some(payload) => {
                        if self.frame(side, frame, payload, sink).is_none() {
                            return self.broken(side, sink);
                        }
                        Take::bytes(end)
                    }
                    None if frame.length > FRAME_MAX => self.broken(side, sink),
                    None => Take::More,
                }
            }
            _ => Take::bytes(FRAME_HEADER + frame.length),
        }
    }

    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        let of_data = side.of_mut(&mut self.ends).data.take().filter(|_| bytes.is_empty()).zip(missing);
        match of_data {
            Some(((left, stream, ends), missing)) if missing <= left => {
                self.streams.content(side, stream, &[], missing.into());
                self.data(side, left - missing, stream, ends, sink);
            }
            // The tables of fields are lost with what is missing.
            Some(_) | None => self.broken = true,
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.streams.finish(sink);
    }

    fn is_done(&self) -> bool {
        self.broken
    }
}

impl Parser {
    fn broken(&mut self, side: Side, sink: &mut Sink<'_>) -> Take {
        sink.counters.count(Counter::ProtoMalformed);
        sink.anomaly(Application::Http2, side, "INVALID_FRAME_HEADER");
        self.broken = true;
        Take::All
    }

    /// So many bytes of a DATA frame are still to come.
    fn data(&mut self, side: Side, left: u32, stream: u32, ends: bool, sink: &mut Sink<'_>) {
        if left > 0 {
            side.of_mut(&mut self.ends).data = Some((left, stream, ends));
        } else if ends {
            self.streams.end(side, stream, sink);
        }
    }

    /// A DATA frame with padding is read whole: nobody sends long ones.
    fn padded(&mut self, side: Side, frame: Frame, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let end = FRAME_HEADER + frame.length;
        match bytes.get(FRAME_HEADER..end) {
            Some(payload) => {
                let Some(content) = unpadded(frame, payload) else { return self.broken(side, sink) };
                self.streams.content(side, frame.stream, content, 0);
                self.data(side, 0, frame.stream, frame.has(END_STREAM), sink);
                Take::bytes(end)
            }
            None if frame.length > FRAME_MAX => Take::bytes(end),
            None => Take::More,
        }
    }

    /// A frame that is all there; none if it breaks the rules.
    fn frame(&mut self, side: Side, frame: Frame, payload: &[u8], sink: &mut Sink<'_>) -> Option<()> {
        let end = side.of_mut(&mut self.ends);
        match frame.kind {
            SETTINGS if !frame.has(ACK) => {
                let pairs = payload.as_chunks::<6>().0.iter().take(SETTINGS_MAX);
                let settings = pairs.map(|[a, b, c, d, e, f]| {
                    (u16::from_be_bytes([*a, *b]), u32::from_be_bytes([*c, *d, *e, *f]))
                });
                self.streams.settings(side, settings.collect(), sink);
            }
            RST_STREAM => self.streams.error(frame.stream, Reader(payload).u32()?, sink),
            GOAWAY => {
                let mut reader = Reader(payload);
                let (_last, error) = (reader.u32()?, reader.u32()?);
                self.streams.error(0, error, sink);
            }
            HEADERS => {
                let mut block = Reader(unpadded(frame, payload)?);
                if frame.has(PRIORITY) {
                    block.take(5)?;
                }
                end.block = Some((block.0.to_vec(), frame.stream, frame.has(END_STREAM)));
            }
            PUSH_PROMISE => {
                let mut block = Reader(unpadded(frame, payload)?);
                let promised = block.u32()? & 0x7fff_ffff;
                end.block = Some((block.0.to_vec(), promised, false));
            }
            CONTINUATION => {
                let (block, _, _) = end.block.as_mut()?;
                block.extend(payload);
            }
            _ => {}
        }
        let is_block = matches!(frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION);
        if is_block && end.block.as_ref().is_some_and(|(block, _, _)| block.len() > BLOCK_MAX) {
            return None;
        }
        if is_block && frame.has(END_HEADERS) {
            self.block(side, frame.kind, sink)?;
        }
        Some(())
    }

    /// A header block is all there.
    fn block(&mut self, side: Side, kind: u8, sink: &mut Sink<'_>) -> Option<()> {
        let end = side.of_mut(&mut self.ends);
        let (block, stream, ends) = end.block.take()?;
        let block = end.decoder.read(&block)?;
        // What a server promises is a request that it makes for the client.
        let of = if kind == PUSH_PROMISE { side.other() } else { side };
        self.streams.head(of, stream, block, sink);
        if kind == PUSH_PROMISE || ends {
            self.streams.end(of, stream, sink);
        }
        Some(())
    }
}

/// A frame's payload without its padding.
fn unpadded(frame: Frame, payload: &[u8]) -> Option<&[u8]> {
    if !frame.has(PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

#[cfg(test)]
mod tests;
