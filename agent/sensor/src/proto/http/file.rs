//! Files within bodies: the body itself, or the parts of a form (RFC 7578).

use aws_lc_rs::digest::{Context, SHA256};

use super::head::{self, Head};
use crate::event::http::{Field, value};
use crate::event::{Application, FileInfo, FileState};

/// Bytes of a name that are kept.
const NAME_MAX: usize = 512;
/// A file's digest is kept of no more than this.
const HASHED_MAX: u64 = 8 * 1024 * 1024;
/// Files of one exchange that are kept.
pub(super) const FILES_MAX: usize = 16;
/// A boundary is at most 70 bytes (RFC 2046, 5.1.1), with its line end and dashes.
const DELIMITER_MAX: usize = 4 + 70;
/// Heads of a form's parts that are waited for.
const PART_HEAD_MAX: usize = 2 * 1024;

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Transfer {
    name: Box<str>,
    size: u64,
    missing: u64,
    range: Option<(u64, u64)>,
    digest: Option<Digest>,
}

/// SHA-256 of what came so far.
struct Digest(Context);

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SHA-256")
    }
}

impl Transfer {
    pub(crate) fn new(name: Box<str>, range: Option<(u64, u64)>) -> Self {
        Self { name, size: 0, missing: 0, range, digest: Some(Digest(Context::new(&SHA256))) }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(length(bytes));
        if self.size > HASHED_MAX {
            self.digest = None;
        }
        if let Some(Digest(digest)) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// Bytes that the capture lacks.
    pub(crate) fn miss(&mut self, bytes: u64) {
        if bytes > 0 {
            self.missing = self.missing.saturating_add(bytes);
            self.digest = None;
        }
    }

    /// Bytes behind the announced end: they count, the digest is of what was announced.
    pub(super) fn add_surplus(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(length(bytes));
    }

    /// It is over; none if there was nothing of it.
    pub(crate) fn finish(self, complete: bool, of: (Application, bool, u64)) -> Option<FileInfo> {
        if self.size == 0 && self.missing == 0 {
            return None;
        }
        let (application, from_originator, transaction) = of;
        let whole = complete && self.missing == 0;
        let digest = self.digest.filter(|_| whole).map(|Digest(digest)| digest.finish());
        Some(FileInfo {
            application,
            from_originator,
            transaction,
            name: self.name,
            size: self.size.saturating_add(self.missing),
            gaps: self.missing > 0,
            state: if whole { FileState::Closed } else { FileState::Truncated },
            range: self.range,
            sha256: digest.and_then(|digest| digest.as_ref().try_into().ok()),
        })
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// First byte, last byte and size of the whole in a Content-Range field (RFC 9110, 14.4).
pub(super) fn content_range(value: &[u8]) -> Option<(u64, u64)> {
    let text = str::from_utf8(value).ok()?.trim();
    let (range, _whole) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// The file name of a Content-Disposition field, or of a parameter alike.
pub(super) fn filename(value: &[u8]) -> Option<Box<str>> {
    parameter(value, b"filename").map(|name| head::text(name, NAME_MAX)).filter(|name| !name.is_empty())
}

/// The name of a message's body: what its fields say, else the path of the request.
pub(crate) fn name_of(fields: &[Field], path: &str) -> Box<str> {
    let disposed = value(fields, "content-disposition").and_then(|value| filename(value.as_bytes()));
    disposed.unwrap_or_else(|| {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        sekimori_wire::text::prefix(path, NAME_MAX).into()
    })
}

/// Which part of a larger file a message's body is.
pub(crate) fn range_of(fields: &[Field]) -> Option<(u64, u64)> {
    value(fields, "content-range").and_then(|value| content_range(value.as_bytes()))
}

/// A parameter of a field, quoted or not.
fn parameter<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let mut rest = value;
    loop {
        let next = rest.iter().position(|byte| *byte == b';')?;
        rest = rest.get(next + 1..)?.trim_ascii_start();
        let Some(behind) = rest
            .get(name.len()..)
            .filter(|_| rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)))
        else {
            continue;
        };
        let Some(value) = behind.trim_ascii_start().strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        return Some(match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.split(|byte| *byte == b'"').next().unwrap_or_default(),
            None => value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii(),
        });
    }
}

/// What a body is, as a file.
#[derive(Debug)]
pub(super) enum Content {
    /// Nobody's.
    None,
    /// One file.
    File(Box<Transfer>),
    /// A form with files.
    Form(Box<Form>),
}

impl Content {
    /// Of a request with this path.
    pub(super) fn of_request(head: &Head<'_>, method: &[u8], path: &str) -> Self {
        if !matches!(method, b"POST" | b"PUT") {
            return Self::None;
        }
        let kind = head.value("content-type").unwrap_or_default();
        let is_form = kind.get(..10).is_some_and(|it| it.eq_ignore_ascii_case(b"multipart/"));
        match parameter(kind, b"boundary").filter(|_| is_form) {
            Some(boundary) => Form::new(boundary).map_or(Self::None, |form| Self::Form(Box::new(form))),
            None => Self::file(head, path),
        }
    }

    /// Of a response to a request for this path.
    pub(super) fn of_response(head: &Head<'_>, path: &str) -> Self {
        Self::file(head, path)
    }

    fn file(head: &Head<'_>, path: &str) -> Self {
        let disposed = head.value("content-disposition").and_then(filename);
        let name = disposed.unwrap_or_else(|| sekimori_wire::text::prefix(path, NAME_MAX).into());
        let range = head.value("content-range").and_then(content_range);
        Self::File(Box::new(Transfer::new(name, range)))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::File(file) => file.add(bytes),
            Self::Form(form) => form.add(bytes),
        }
    }

    pub(super) fn miss(&mut self, bytes: u64) {
        match self {
            Self::None => {}
            Self::File(file) => file.miss(bytes),
            Self::Form(form) => form.miss(bytes),
        }
    }

    /// The body is over: its files.
    pub(super) fn finish(self, complete: bool, of: (Application, bool, u64)) -> Vec<FileInfo> {
        match self {
            Self::None => Vec::new(),
            Self::File(file) => file.finish(complete, of).into_iter().collect(),
            Self::Form(form) => form.finish(complete, of),
        }
    }
}

/// A form on its way.
#[derive(Debug)]
pub(super) struct Form {
    /// Line end, two dashes, boundary.
    delimiter: Box<[u8]>,
    /// The last bytes, which could be the beginning of a delimiter, or of the head of a part.
    held: Vec<u8>,
    in_head: bool,
    file: Option<Transfer>,
    over: Vec<(Transfer, bool)>,
}

impl Form {
    fn new(boundary: &[u8]) -> Option<Self> {
        let delimiter: Box<[u8]> = [b"\r\n--", boundary].concat().into();
        let valid = !boundary.is_empty() && delimiter.len() <= DELIMITER_MAX;
        // As if the first delimiter followed a line.
        let held = b"\r\n".to_vec();
        valid.then_some(Self { delimiter, held, in_head: false, file: None, over: Vec::new() })
    }

    fn add(&mut self, bytes: &[u8]) {
        let mut held = core::mem::take(&mut self.held);
        held.extend(bytes);
        let mut at = 0;
        while let Some(rest) = held.get(at..) {
            let step = if self.in_head { self.part_head(rest) } else { self.part_body(rest) };
            match step {
                Some(n) => at += n,
                None => break,
            }
        }
        self.held = held.get(at..).unwrap_or_default().to_vec();
    }

    /// Reads the head of a part; how long it was, if it is all there.
    fn part_head(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = if bytes.starts_with(b"\r\n\r\n") { Some(4) } else { head::end(bytes, 0) };
        if end.is_none() && bytes.len() < PART_HEAD_MAX {
            return None;
        }
        let end = end.unwrap_or(bytes.len());
        let head = head::read(bytes.get(..end).unwrap_or_default());
        let name = head.value("content-disposition").and_then(filename);
        self.file = name.map(|name| Transfer::new(name, None));
        self.in_head = false;
        Some(end)
    }

    /// Reads a part up to a delimiter, or up to what could be the beginning of one; none if it needs more.
    fn part_body(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = find(bytes, &self.delimiter);
        let end = found.unwrap_or_else(|| bytes.len().saturating_sub(self.delimiter.len() - 1));
        if let Some(file) = &mut self.file {
            file.add(bytes.get(..end).unwrap_or_default());
        }
        match found {
            Some(end) => {
                self.over.extend(
                    self.file.take().map(|file| (file, true)).filter(|_| self.over.len() < FILES_MAX),
                );
                self.in_head = true;
                Some(end + self.delimiter.len())
            }
            None if end > 0 => {
                // What is held is shorter than a delimiter: the next call has nothing to do.
                Some(end)
            }
            None => None,
        }
    }

    fn miss(&mut self, bytes: u64) {
        if let Some(file) = &mut self.file {
            file.miss(bytes);
        }
    }

    fn finish(mut self, complete: bool, of: (Application, bool, u64)) -> Vec<FileInfo> {
        if let Some(mut file) = self.file.take() {
            file.add(&self.held);
            self.over.push((file, complete));
        }
        let files = self.over.into_iter().take(FILES_MAX);
        files.filter_map(|(file, complete)| file.finish(complete, of)).collect()
    }
}

/// Where `needle` begins.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        // A delimiter begins with a carriage return and holds no other.
        let next = at + rest.iter().position(|byte| *byte == b'\r')?;
        if bytes.get(next..).is_some_and(|rest| rest.starts_with(needle)) {
            return Some(next);
        }
        at = next + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: (Application, bool, u64) = (Application::Http, true, 0);

    #[test]
    fn names_and_ranges_of_fields() {
        assert_eq!(filename(b"attachment; filename=\"a b.txt\"").as_deref(), Some("a b.txt"));
        assert_eq!(filename(b"attachment;FileName = x.bin ; size=3").as_deref(), Some("x.bin"));
        assert_eq!(filename(b"inline; name=\"f\""), None);
        assert_eq!(content_range(b"bytes 500-1000/146515"), Some((500, 1000)));
        assert_eq!(content_range(b"bytes */5"), None);
    }

    #[test]
    fn finds_the_files_of_a_form_in_any_pieces() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"one.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            \r\n--X1\r\n\r\n--XX\r\nContent-Disposition: form-data; filename=two\r\n\r\nabc\r\n--XX--\r\n";
        for piece in [1, 2, 7, 64, 4_096] {
            let mut form = Form::new(b"XX").unwrap();
            body.chunks(piece).for_each(|bytes| form.add(bytes));
            let files = form.finish(true, OF);
            let seen: Vec<_> = files.iter().map(|file| (&*file.name, file.size, file.state)).collect();
            let closed = FileState::Closed;
            assert_eq!(seen, [("one.txt", 8, closed), ("two", 3, closed)], "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut file = Transfer::new("f".into(), None);
        file.add(b"abc");
        assert_eq!(
            file.finish(false, OF).map(|file| (file.state, file.sha256)),
            Some((FileState::Truncated, None))
        );
        let mut file = Transfer::new("f".into(), None);
        file.add(b"abc");
        file.miss(7);
        let file = file.finish(true, OF).unwrap();
        assert_eq!((file.size, file.gaps, file.state), (10, true, FileState::Truncated));
        let mut file = Transfer::new("f".into(), None);
        file.add(b"abc");
        let digest = file.finish(true, OF).unwrap().sha256.unwrap();
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
