//! Lines of bounded length out of a stream, each byte looked at once: what was scanned for an end of line is not scanned again
//! when more comes.

use super::{Take, search};

/// Where a direction stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Bytes of the unfinished line without an end of line.
    scanned: usize,
    /// The line was too long: what is left of it is skipped.
    cut: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The line's end is not there yet.
    More,
    /// So many bytes are the rest of a line that was cut.
    Skip(usize),
    /// A line without its end.
    Whole {
        text: &'a [u8],
        /// Bytes of it, with its end.
        taken: usize,
    },
    /// The beginning of a line that is longer than allowed.
    Cut {
        text: &'a [u8],
        /// Bytes of it.
        taken: usize,
    },
}

impl<'a> Line<'a> {
    /// The line's text, the bytes to take for it, and whether it is whole; else what a parser answers until there is one.
    pub(super) fn read(self) -> Result<(&'a [u8], usize, bool), Take> {
        match self {
            Self::More => Err(Take::More),
            Self::Skip(taken) => Err(Take::bytes(taken)),
            Self::Whole { text, taken } => Ok((text, taken, true)),
            Self::Cut { text, taken } => Ok((text, taken, false)),
        }
    }
}

impl Lines {
    /// The next line of `bytes`, which begin with what was not taken before; at most `max` bytes of it.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8], max: usize) -> Line<'a> {
        if self.cut {
            let end = find(bytes);
            self.cut = end.is_none();
            return Line::Skip(end.map_or(bytes.len(), |end| end.saturating_add(1)));
        }
        let window = bytes.get(..bytes.len().min(max.saturating_add(2))).unwrap_or_default();
        let from = self.scanned.min(window.len());
        let end = find(window.get(from..).unwrap_or_default()).map(|end| end.saturating_add(from));
        match end.and_then(|end| window.get(..end)) {
            Some(line) => {
                self.scanned = 0;
                Line::Whole {
                    text: line.strip_suffix(b"\r").unwrap_or(line),
                    taken: line.len().saturating_add(1),
                }
            }
            None if window.len() > max.saturating_add(1) => {
                (self.scanned, self.cut) = (0, true);
                let text = window.get(..max).unwrap_or_default();
                Line::Cut { text, taken: text.len() }
            }
            None => {
                self.scanned = window.len();
                Line::More
            }
        }
    }

    /// The rest of a cut line has not ended yet.
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Bytes are missing: the next ones are believed to begin a line.
    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }

    /// Bytes are missing, and the next ones are in the middle of a line.
    pub(super) fn lose_inside(&mut self) {
        *self = Self { scanned: 0, cut: true };
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    search::find(bytes, b'\n')
}

/// At most `max` bytes as text; what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8], max: usize) -> Box<str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes)).into()
}

/// The first word and what follows it, without blanks around either.
pub(super) fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    (word, rest.trim_ascii())
}

/// The rest of `line` after `prefix` in any case.
pub(super) fn after<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// A number of up to `digits` decimal digits and nothing else.
pub(super) fn number(bytes: &[u8], digits: usize) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > digits.min(9) {
        return None;
    }
    bytes.iter().try_fold(0_u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// A server's greeting with code 220, FTP's or SMTP's: its first line, or `None` while that is not whole.
pub(super) fn greeting(bytes: &[u8]) -> Option<Option<&[u8]>> {
    const LONGEST: usize = 512;
    let begins =
        |code: &[u8]| code.get(..bytes.len().min(code.len())).is_some_and(|start| bytes.starts_with(start));
    if !begins(b"220 ") && !begins(b"220-") {
        return None;
    }
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let line = lines.next().unwrap_or_default();
    Some((bytes.len() >= LONGEST || lines.next().is_some()).then_some(line))
}

/// One line of a reply as FTP and SMTP write it (RFC 959, 4.2): the code and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) code: u16,
    /// More lines follow.
    pub(super) continues: bool,
    pub(super) text: &'a [u8],
}

impl<'a> Reply<'a> {
    /// None if the line does not begin with a code from 100 to 999 and a blank, a hyphen or nothing.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (code, rest) = line.split_at_checked(3)?;
        let code = u16::try_from(number(code, 3)?).ok().filter(|code| *code >= 100)?;
        let (continues, text) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return None,
        };
        Some(Self { code, continues, text: text.trim_ascii_start() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of a text that arrives in pieces of `piece` bytes.
    fn lines(text: &[u8], piece: usize, max: usize) -> Vec<String> {
        let (mut lines, mut kept, mut out) = (Lines::default(), Vec::new(), Vec::new());
        for piece in text.chunks(piece) {
            kept.extend_from_slice(piece);
            loop {
                let (line, taken) = match lines.next(&kept, max) {
                    Line::More => break,
                    Line::Skip(taken) => (None, taken),
                    Line::Whole { text, taken } => (Some(String::from_utf8_lossy(text).into_owned()), taken),
                    Line::Cut { text, taken } => (Some(format!("{}…", String::from_utf8_lossy(text))), taken),
                };
                out.extend(line);
                kept.drain(..taken);
                if kept.is_empty() {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn reads_lines_in_any_pieces() {
        for piece in 1..20 {
            assert_eq!(lines(b"ab\r\n\ncd\nef", piece, 10), ["ab", "", "cd"]);
            assert_eq!(lines(b"0123456789\r\nx\n", piece, 10), ["0123456789", "x"]);
            assert_eq!(lines(b"0123456789abcdef\r\nx\n", piece, 10), ["0123456789…", "x"]);
        }
    }

    #[test]
    fn splits_words_and_replies() {
        assert_eq!(word(b" MAIL  FROM:<a> \r"), (&b"MAIL"[..], &b"FROM:<a>"[..]));
        assert_eq!(word(b""), (&b""[..], &b""[..]));
        assert_eq!(after(b"from:<a>", b"FROM:"), Some(&b"<a>"[..]));
        let reply =
            |code, continues, text: &'static str| Some(Reply { code, continues, text: text.as_bytes() });
        for (line, expected) in [
            ("220 a b", reply(220, false, "a b")),
            ("220-a", reply(220, true, "a")),
            ("220", reply(220, false, "")),
            ("99 a", None),
            ("099 a", None),
            ("220_a", None),
            ("2x0 a", None),
            ("", None),
        ] {
            assert_eq!(Reply::parse(line.as_bytes()), expected, "{line}");
        }
    }
}
