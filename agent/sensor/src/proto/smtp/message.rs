//! A message's lines (RFC 5322, RFC 2045): its headers, and the names of files attached to it. The body is passed over.

use super::headers;
use crate::event::{MailMessage, MailProgress};

/// Longest line of a message that is read (RFC 5322, 2.1.1 asks for 998).
pub(super) const LINE_MAX: usize = 4096;
/// Longest header with its continuations.
const HEADER_MAX: usize = 8192;
/// Headers read of a message.
const HEADERS_MAX: u16 = 512;
/// Parts of a message whose headers are read.
const PARTS_MAX: u16 = 256;
/// Boundaries that are known at a time: parts within parts.
const BOUNDARIES_MAX: usize = 4;

/// Reading of one message.
#[derive(Debug, Default)]
pub(super) struct Content {
    reading: Reading,
    /// The header that may go on in the next line.
    header: Vec<u8>,
    headers: u16,
    parts: u16,
    boundaries: Vec<Box<[u8]>>,
    /// The beginning of a line whose end is in the next chunk.
    begun: Vec<u8>,
}

/// Where in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Headers,
    PartHeaders,
    Body,
}

impl Content {
    /// A chunk ended within a line.
    pub(super) fn begin_line(&mut self, bytes: &[u8]) {
        if self.begun.len().saturating_add(bytes.len()) <= LINE_MAX {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// One more line, without its end.
    pub(super) fn line(&mut self, line: &[u8], message: &mut MailMessage) {
        if self.begun.is_empty() {
            return self.whole_line(line, message);
        }
        let mut whole = core::mem::take(&mut self.begun);
        whole.extend_from_slice(line);
        self.whole_line(&whole, message);
    }

    fn whole_line(&mut self, line: &[u8], message: &mut MailMessage) {
        match self.reading {
            Reading::Body => {
                if self.is_boundary(line) && self.parts < PARTS_MAX {
                    self.parts += 1;
                    self.reading = Reading::PartHeaders;
                }
            }
            Reading::Headers | Reading::PartHeaders => {
                if message.progress == MailProgress::Started {
                    message.progress = MailProgress::Headers;
                }
                if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                    if self.header.len().saturating_add(line.len()) <= HEADER_MAX {
                        self.header.extend_from_slice(line);
                    }
                    return;
                }
                self.end_header(message);
                if line.is_empty() {
                    self.reading = Reading::Body;
                    message.progress = MailProgress::Body;
                } else {
                    self.header.extend_from_slice(line);
                }
            }
        }
    }

    /// Lines are missing.
    pub(super) fn lose(&mut self) {
        self.header.clear();
        self.begun.clear();
    }

    /// There are no more lines.
    pub(super) fn finish(mut self, message: &mut MailMessage) {
        self.end_header(message);
    }

    fn end_header(&mut self, message: &mut MailMessage) {
        let header = core::mem::take(&mut self.header);
        if header.is_empty() || self.headers >= HEADERS_MAX {
            return;
        }
        self.headers += 1;
        if self.reading == Reading::Headers {
            headers::keep(&header, message);
        }
        if let Some(boundary) = headers::boundary(&header).filter(|_| self.boundaries.len() < BOUNDARIES_MAX)
        {
            self.boundaries.push(boundary);
        }
        headers::keep_attachment(&header, message);
    }

    /// `--boundary`, but not the one that closes.
    fn is_boundary(&self, line: &[u8]) -> bool {
        let Some(rest) = line.strip_prefix(b"--") else { return false };
        self.boundaries
            .iter()
            .any(|boundary| rest.strip_prefix(&**boundary).is_some_and(|rest| rest.trim_ascii().is_empty()))
    }
}
