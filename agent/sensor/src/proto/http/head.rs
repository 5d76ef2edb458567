//! Heads of HTTP/1 messages (RFC 9112, 2 to 5), read as leniently as servers and the analysers read them: any method, any
//! version, fields without order or limit of their own.

use sekimori_wire::text::prefix;

use crate::event::HttpRequest;
use crate::event::http::Field;
use crate::proto::search::{find, has_line_end};

/// Fields of a message that are kept.
const FIELDS_MAX: usize = 64;
/// Bytes of names and values of a message that are kept.
const FIELDS_TEXT_MAX: usize = 8 * 1024;
/// Bytes of one value that are kept.
const VALUE_MAX: usize = 2 * 1024;
/// Bytes of a target, a method, a reason that are kept.
pub(super) const TARGET_MAX: usize = 2 * 1024;
pub(super) const WORD_MAX: usize = 64;
/// Bytes of what the detectors see.
const TEXT_MAX: usize = 256;
/// Methods that a stream may begin with whatever follows: RFC 9110, RFC 5789, and those of `WebDAV` (RFC 4918, 3253).
const METHODS: [&[u8]; 18] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
];
const RESPONSE: &[u8] = b"HTTP/1.";
/// The longest first line of another method that is waited for.
const LINE_MAX: usize = 2 * 1024;
/// Fields that are looked at.
const FIELDS_READ_MAX: usize = 1_000;
/// Room for the fields that a head usually has.
const FIELDS_USUAL: usize = 16;
/// The longest method of that kind.
const METHOD_MAX: usize = 24;

/// Which kind of head bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// Looks at the first bytes; `Err(true)` if more bytes could still make a head of them.
pub(super) fn probe(bytes: &[u8]) -> Result<Kind, bool> {
    if bytes.starts_with(RESPONSE) {
        return Ok(Kind::Response);
    }
    if let Some(method) = METHODS.iter().find(|method| bytes.starts_with(method)) {
        // SIP and RTSP took some of HTTP's methods.
        let target = bytes.get(method.len()..).unwrap_or_default();
        let foreign = [&b"sip:"[..], b"sips:", b"rtsp:"].into_iter().any(|scheme| target.starts_with(scheme));
        return if foreign { Err(false) } else { Ok(Kind::Request) };
    }
    let may = |with: &[u8]| with.starts_with(bytes);
    if may(RESPONSE) || METHODS.iter().any(|method| may(method)) {
        return Err(true);
    }
    other_method(bytes)
}

/// A method that nobody listed: the whole line must be that of HTTP/1.
fn other_method(bytes: &[u8]) -> Result<Kind, bool> {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || b"-_".contains(byte)).count();
    match bytes.get(letters) {
        None => Err(letters <= METHOD_MAX),
        _ if !(3..=METHOD_MAX).contains(&letters) => Err(false),
        Some(b' ') => match bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
                let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
                if version.starts_with(RESPONSE) { Ok(Kind::Request) } else { Err(false) }
            }
            None => {
                Err(bytes.len() < LINE_MAX && bytes.iter().all(|byte| matches!(byte, b'\r' | 0x20..=0x7e)))
            }
        },
        Some(_) => Err(false),
    }
}

/// A head, borrowed from where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// Its first line without the line end.
    pub(super) line: &'a [u8],
    /// Fields: names and values as sent, folded lines not yet unfolded.
    pub(super) fields: Vec<(&'a [u8], &'a [u8])>,
}

/// The length of the head that `bytes` begin with, with the empty line that ends it; before `from` none ended.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    loop {
        let rest = bytes.get(at..)?;
        let newline = at + find(rest, b'\n')?;
        match bytes.get(newline + 1..)? {
            [b'\n', ..] => return Some(newline + 2),
            [b'\r', b'\n', ..] => return Some(newline + 3),
            _ => at = newline + 1,
        }
    }
}

/// Reads a head, whole or cut.
pub(super) fn read(bytes: &[u8]) -> Head<'_> {
    // From here, the next line with its end.
    let next_line = |at: usize| {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        rest.get(..find(rest, b'\n').map_or(rest.len(), |end| end + 1))
    };
    let line = next_line(0).unwrap_or_default();
    let mut at = line.len();
    let value = |from, to| bytes.get(from..to).unwrap_or_default().trim_ascii();
    let mut fields: Vec<(&[u8], &[u8])> = Vec::with_capacity(FIELDS_USUAL);
    // The latest name, and from where to where the value reaches: folded lines are added.
    let mut latest: Option<(&[u8], usize, usize)> = None;
    while let Some(field) = next_line(at) {
        let (start, end) = (at, at + field.len());
        at = end;
        let full = fields.len() + usize::from(latest.is_some()) >= FIELDS_READ_MAX;
        match (field.first(), &mut latest) {
            (Some(b' ' | b'\t'), Some((_, _, to))) => *to = end,
            _ if full => break,
            _ => {
                let Some(colon) = find(field, b':') else { continue };
                let name = field.get(..colon).unwrap_or_default().trim_ascii();
                let before = latest.replace((name, start + colon + 1, end));
                fields.extend(before.map(|(name, from, to)| (name, value(from, to))));
            }
        }
    }
    fields.extend(latest.map(|(name, from, to)| (name, value(from, to))));
    Head { line: line.trim_ascii_end(), fields }
}

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    /// `HTTP/1.1`; empty: none, as before HTTP/1.0.
    pub(super) protocol: &'a [u8],
}

/// Splits the first line of a request.
pub(super) fn request_line(line: &[u8]) -> RequestLine<'_> {
    let line = line.trim_ascii();
    let (method, rest) = word(line);
    let rest = rest.trim_ascii();
    let last = rest.iter().rposition(|byte| matches!(byte, b' ' | b'\t')).map_or(0, |blank| blank + 1);
    match rest.split_at_checked(last) {
        Some((target, protocol))
            if last > 0 && protocol.get(..5).is_some_and(|it| it.eq_ignore_ascii_case(b"HTTP/")) =>
        {
            RequestLine { method, target: target.trim_ascii(), protocol }
        }
        _ => RequestLine { method, target: rest, protocol: b"" },
    }
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine<'a> {
    pub(super) protocol: &'a [u8],
    pub(super) status: &'a [u8],
    pub(super) reason: &'a [u8],
}

/// Splits the first line of a response.
pub(super) fn status_line(line: &[u8]) -> StatusLine<'_> {
    let (protocol, rest) = word(line.trim_ascii());
    let (status, reason) = word(rest.trim_ascii());
    StatusLine { protocol, status, reason: reason.trim_ascii() }
}

/// The first word and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}

impl<'a> Head<'a> {
    /// The value of the first field of this name.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.fields.iter().find(|(one, _)| one.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| *value)
    }

    /// What its fields say about its body.
    pub(super) fn length(&self) -> Length {
        let codings = self.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding"));
        let mut codings = codings.flat_map(|(_, value)| value.split(|byte| *byte == b','));
        // RFC 9112, 6.3: a transfer coding overrides a length.
        if codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked")) {
            return Length::Chunked;
        }
        match self.value("content-length").map(str::from_utf8) {
            None => Length::Unsaid,
            Some(text) => text.ok().and_then(|text| text.parse().ok()).map_or(Length::Unclear, Length::Bytes),
        }
    }

    /// The fields to keep, without credentials.
    pub(super) fn kept(&self) -> Box<[Field]> {
        let mut left = FIELDS_TEXT_MAX;
        let mut kept = Vec::with_capacity(self.fields.len().min(FIELDS_MAX));
        for (name, value) in self.fields.iter().take(FIELDS_MAX) {
            let name = text(name, WORD_MAX);
            let value = if is_secret(name.as_bytes()) { "".into() } else { text(value, VALUE_MAX) };
            let Some(rest) = left.checked_sub(name.len() + value.len()) else { break };
            left = rest;
            kept.push(Field { name, value });
        }
        kept.into()
    }

    /// What the detectors want of a request.
    pub(super) fn summary(&self, line: &RequestLine<'_>) -> HttpRequest {
        let target = String::from_utf8_lossy(line.target);
        let (authority, path) = split_target(&target, line.method == b"CONNECT");
        let in_header = || self.value("host").map(String::from_utf8_lossy);
        let host = authority.map(Into::into).or_else(in_header);
        HttpRequest {
            method: text(line.method, WORD_MAX),
            host: host.as_deref().map(host_name).filter(|host| !host.is_empty()),
            path: prefix(path, TEXT_MAX).into(),
            user_agent: self.value("user-agent").map(|agent| text(agent, TEXT_MAX)),
            has_authorization: self.value("authorization").is_some(),
        }
    }

    /// The user of Basic credentials (RFC 7617); the password goes no further than this.
    pub(super) fn user(&self) -> Option<Box<str>> {
        let credentials = self.value("authorization").or_else(|| self.value("proxy-authorization"))?;
        let (scheme, rest) = word(credentials);
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let decoded = base64(rest.trim_ascii())?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(text(decoded.get(..colon)?, TEXT_MAX))
    }
}

/// Fields whose values let somebody in.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    let secrets: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"];
    secrets.iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// A name or a value as it is kept.
pub(crate) fn field_text(bytes: &[u8]) -> Box<str> {
    text(bytes, VALUE_MAX)
}

/// What a head says about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Nothing.
    Unsaid,
    /// Something that nobody can follow.
    Unclear,
    /// So many bytes.
    Bytes(u64),
    /// In chunks.
    Chunked,
}

/// Authority and path of a target without its query. RFC 9112, 3.2: the authority of an absolute or CONNECT target goes
/// before the Host header.
pub(super) fn split_target(target: &str, connect: bool) -> (Option<&str>, &str) {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        _ if connect => (Some(target), ""),
        Some((_scheme, rest)) => rest.split_once('/').map_or((Some(rest), "/"), |(authority, _)| {
            (Some(authority), rest.split_at_checked(authority.len()).map_or("/", |(_, path)| path))
        }),
        None => (None, target),
    }
}

/// A host without user, port and brackets, lower case.
fn host_name(authority: &str) -> Box<str> {
    let host = authority.trim().rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    prefix(&host.to_lowercase(), TEXT_MAX).into()
}

/// Bytes as text of at most `max` bytes, line ends as blanks.
pub(super) fn text(bytes: &[u8], max: usize) -> Box<str> {
    let cut = bytes.get(..max.saturating_mul(2)).unwrap_or(bytes);
    let lossy;
    let text = match str::from_utf8(cut) {
        Ok(text) => text,
        Err(_) => {
            lossy = String::from_utf8_lossy(cut);
            &*lossy
        }
    };
    let text = prefix(text, max);
    if has_line_end(text.as_bytes()) { text.replace(['\r', '\n'], " ").into() } else { text.into() }
}

/// RFC 4648, 4; padding may lack.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            let [.., low] = (bits >> held).to_be_bytes();
            out.push(low);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
