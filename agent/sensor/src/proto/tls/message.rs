//! Handshake messages out of fragments: a message may span records, a record may hold many (RFC 8446, 5.1).

use super::HANDSHAKE_HEADER;
use super::handshake::{
    CERTIFICATE, CERTIFICATE_REQUEST, CLIENT_HELLO, Handshake, SERVER_HELLO, SERVER_KEY_EXCHANGE,
};
use crate::proto::reader::Reader;
use crate::proto::{Side, Sink};

/// A message longer than this is not kept: browsers' hellos reach some 2 KiB with post-quantum key shares, lists of
/// authorities some 20 KiB.
const MESSAGE_MAX: usize = 32 * 1024;
/// A certificate longer than this is not kept.
const CERTIFICATE_MAX: usize = 16 * 1024;
/// No message of a handshake in clear text is longer.
const LENGTH_MAX: usize = 1 << 18;
/// Length of a vector of up to 2^24 bytes.
const LENGTH_24: usize = 3;

/// The message that is being read.
#[derive(Debug, Default)]
pub(in crate::proto) struct Message {
    part: Part,
    kind: u8,
    /// Bytes of it that have not come yet.
    left: usize,
    kept: Vec<u8>,
}

/// What the next bytes of a message are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Header,
    /// All of it is kept.
    Body,
    /// The length of the chain.
    ChainLength,
    /// A certificate, with its length before it.
    Certificate,
    /// Of no interest.
    Skipped,
}

impl Message {
    /// The header was read already.
    pub(super) fn begin(&mut self, kind: u8, length: usize) {
        self.kept.clear();
        self.kind = kind;
        self.left = length;
        self.part = match kind {
            CLIENT_HELLO | SERVER_HELLO | SERVER_KEY_EXCHANGE | CERTIFICATE_REQUEST
                if length <= MESSAGE_MAX =>
            {
                Part::Body
            }
            CERTIFICATE => Part::ChainLength,
            _ => Part::Skipped,
        };
    }

    /// Reads what a record holds; false if this is no handshake, so that it must be encrypted.
    pub(in crate::proto) fn read(
        &mut self,
        side: Side,
        bytes: &[u8],
        handshake: &mut Handshake,
        sink: &mut Sink<'_>,
    ) -> bool {
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() {
            if self.part == Part::Header {
                if self.kept.is_empty() && self.read_in_place(side, &mut reader, handshake, sink) {
                    continue;
                }
                let Some(header) = self.collect(HANDSHAKE_HEADER, usize::MAX, &mut reader) else { break };
                let mut header = Reader(&header);
                let (kind, length) = (header.u8().unwrap_or_default(), header.u24().unwrap_or_default());
                if !is_known(kind) || length > LENGTH_MAX {
                    return false;
                }
                self.begin(kind, length);
            } else {
                self.read_on(side, &mut reader, handshake, sink);
            }
            if self.left == 0 && self.part != Part::Header {
                self.end(side, handshake, sink);
            }
        }
        true
    }

    /// The usual case: a hello lies whole in what is there.
    fn read_in_place(
        &self,
        side: Side,
        reader: &mut Reader<'_>,
        handshake: &mut Handshake,
        sink: &mut Sink<'_>,
    ) -> bool {
        let mut ahead = *reader;
        let Some(kind) = ahead.u8() else { return false };
        if ![CLIENT_HELLO, SERVER_HELLO].contains(&kind) {
            return false;
        }
        let body = ahead.u24().filter(|length| *length <= MESSAGE_MAX).and_then(|length| ahead.take(length));
        let Some(body) = body else { return false };
        handshake.message(side, kind, body, sink);
        *reader = ahead;
        true
    }

    fn read_on(
        &mut self,
        side: Side,
        reader: &mut Reader<'_>,
        handshake: &mut Handshake,
        sink: &mut Sink<'_>,
    ) {
        match self.part {
            Part::Header => {}
            Part::Skipped => {
                let n = self.left.min(reader.0.len());
                let _skipped = reader.take(n);
                self.left -= n;
            }
            Part::Body => {
                let n = self.left.min(reader.0.len());
                self.kept.extend_from_slice(reader.take(n).unwrap_or_default());
                self.left -= n;
            }
            Part::ChainLength => {
                let before = self.kept.len();
                let whole = self.collect(LENGTH_24, self.left, reader).is_some();
                self.left -= if whole { LENGTH_24 - before } else { self.kept.len() - before };
                if whole {
                    self.part = Part::Certificate;
                }
            }
            Part::Certificate => self.read_certificate(side, reader, handshake, sink),
        }
    }

    fn read_certificate(
        &mut self,
        side: Side,
        reader: &mut Reader<'_>,
        handshake: &mut Handshake,
        sink: &mut Sink<'_>,
    ) {
        let before = self.kept.len();
        let wanted = LENGTH_24 + Reader(&self.kept).u24().unwrap_or(0);
        if wanted > LENGTH_24 + CERTIFICATE_MAX || wanted - before > self.left {
            handshake.certificate_fault(side, sink);
            self.kept = Vec::new();
            self.part = Part::Skipped;
            return;
        }
        let n = (wanted - before).min(reader.0.len());
        self.kept.extend_from_slice(reader.take(n).unwrap_or_default());
        self.left -= n;
        if self.kept.len() < wanted {
            return;
        }
        match Reader(&self.kept).u24() {
            Some(length) if wanted == LENGTH_24 && length > 0 => {}
            Some(_) | None => {
                handshake.certificate(side, self.kept.get(LENGTH_24..).unwrap_or_default(), sink);
                self.kept.clear();
            }
        }
    }

    /// Collects `wanted` bytes, of which at most `left` may come.
    fn collect(&mut self, wanted: usize, left: usize, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
        let n = wanted.saturating_sub(self.kept.len()).min(reader.0.len()).min(left);
        self.kept.extend_from_slice(reader.take(n).unwrap_or_default());
        (self.kept.len() == wanted).then(|| core::mem::take(&mut self.kept))
    }

    fn end(&mut self, side: Side, handshake: &mut Handshake, sink: &mut Sink<'_>) {
        let (part, body) = (self.part, core::mem::take(&mut self.kept));
        self.part = Part::Header;
        match part {
            Part::Header => {}
            Part::Body => handshake.message(side, self.kind, &body, sink),
            Part::ChainLength | Part::Certificate | Part::Skipped => {
                if !body.is_empty() {
                    handshake.certificate_fault(side, sink);
                }
                handshake.note_message(side, self.kind);
            }
        }
    }

    /// What is there of a client's hello.
    pub(super) fn cut_hello(&self) -> Option<&[u8]> {
        (self.part == Part::Body && self.kind == CLIENT_HELLO).then_some(&*self.kept)
    }
}

/// Types of messages that were ever in use (IANA, TLS `HandshakeType`).
const fn is_known(kind: u8) -> bool {
    matches!(kind, 0..=6 | 8 | 11..=16 | 20..=26 | 67 | 254)
}
