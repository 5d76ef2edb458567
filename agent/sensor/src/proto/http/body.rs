//! How far a body reaches (RFC 9112, 6 and 7), byte by byte as it comes.

use crate::event::http::Body;

/// A line within a chunked body (size and extensions, trailer field) that is longer is no such line.
const LINE_MAX: usize = 4 * 1024;
/// Digits of a chunk's size: 15 bytes of hexadecimal are more than anyone sends.
const DIGITS_MAX: u8 = 15;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// Within its chunks.
    Chunked(Chunk),
    /// With the connection.
    Close,
}

/// Where within a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the line of a size: size and digits so far, whether the digits are over, the line's length.
    Size { size: u64, digits: u8, over: bool, line: usize },
    /// In its data.
    Data(u64),
    /// In the line end behind the data.
    DataEnd,
    /// In a trailer line of which so many bytes were seen.
    Trailer(usize),
    /// Behind the last of its lines.
    Done,
}

impl Chunk {
    pub(super) const FIRST: Self = Self::Size { size: 0, digits: 0, over: false, line: 0 };
}

/// What a step through a body did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'b> {
    /// So many bytes were framing.
    Framing(usize),
    /// These were content.
    Content(&'b [u8]),
    /// This is not how a body is framed.
    Broken,
}

impl Framing {
    /// Nothing more belongs to the body.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// One step through `bytes` of a body that is not over: takes at least one.
    pub(super) fn step<'b>(&mut self, bytes: &'b [u8]) -> Step<'b> {
        match self {
            Self::Length(left) => Step::Content(take(left, bytes)),
            Self::Close => Step::Content(bytes),
            Self::Chunked(chunk) => chunk.step(bytes),
        }
    }

    /// `missing` bytes are not there. How many of them were content; none if it is not known where in the body we are now.
    pub(super) fn skip(&mut self, missing: u64) -> Option<u64> {
        match self {
            Self::Close => {}
            Self::Length(left) if missing <= *left => *left -= missing,
            Self::Chunked(chunk @ Chunk::Data(_)) if missing <= chunk.left() => chunk.skip(missing),
            Self::Length(_) | Self::Chunked(_) => return None,
        }
        Some(missing)
    }

    /// Content that is known to be still to come in one piece.
    pub(super) const fn left(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => *left,
            Self::Chunked(_) | Self::Close => 0,
        }
    }
}

/// As many of `bytes` as are `left`.
fn take<'b>(left: &mut u64, bytes: &'b [u8]) -> &'b [u8] {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left = left.saturating_sub(u64::try_from(n).unwrap_or(u64::MAX));
    bytes.get(..n).unwrap_or(bytes)
}

impl Chunk {
    const fn left(&self) -> u64 {
        if let Self::Data(left) = self { *left } else { 0 }
    }

    fn skip(&mut self, missing: u64) {
        *self = match self.left() - missing {
            0 => Self::DataEnd,
            left => Self::Data(left),
        };
    }

    fn step<'b>(&mut self, bytes: &'b [u8]) -> Step<'b> {
        if let Self::Data(left) = self {
            let data = take(left, bytes);
            if *left == 0 {
                *self = Self::DataEnd;
            }
            return Step::Content(data);
        }
        for (nth, byte) in bytes.iter().enumerate() {
            match self.byte(*byte) {
                Some(()) if matches!(self, Self::Data(_) | Self::Done) => return Step::Framing(nth + 1),
                Some(()) => {}
                None => return Step::Broken,
            }
        }
        Step::Framing(bytes.len())
    }

    /// One byte of framing; none if it is not how chunks are framed.
    fn byte(&mut self, byte: u8) -> Option<()> {
        match self {
            Self::Size { size, digits, over, line } => {
                *line += 1;
                let digit = char::from(byte).to_digit(16).filter(|_| !*over);
                match (byte, digit) {
                    (b'\n', _) if *digits > 0 => {
                        *self = if *size == 0 { Self::Trailer(0) } else { Self::Data(*size) };
                    }
                    (_, Some(digit)) if *digits < DIGITS_MAX => {
                        *size = *size << 4 | u64::from(digit);
                        *digits += 1;
                    }
                    (b' ' | b'\t', _) if *digits == 0 => {}
                    _ if *digits == 0 || digit.is_some() || *line > LINE_MAX => return None,
                    _ => *over = true,
                }
            }
            Self::DataEnd => match byte {
                b'\r' => {}
                b'\n' => *self = Self::FIRST,
                _ => return None,
            },
            Self::Trailer(seen) => match (byte, *seen) {
                (b'\n', 0) => *self = Self::Done,
                (b'\n', _) => *seen = 0,
                (b'\r', _) => {}
                _ if *seen >= LINE_MAX => return None,
                _ => *seen += 1,
            },
            Self::Data(_) | Self::Done => {}
        }
        Some(())
    }
}

/// Counts what was seen of a body.
pub(super) fn count(body: &mut Body, content: usize, framing: usize) {
    let of = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    body.bytes = body.bytes.saturating_add(of(content));
    body.framed_bytes = body.framed_bytes.saturating_add(of(content)).saturating_add(of(framing));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and length of a body in pieces of `piece` bytes; none if it breaks or does not end.
    fn read(mut framing: Framing, bytes: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
        let (mut content, mut taken) = (Vec::new(), 0);
        for mut bytes in bytes.chunks(piece) {
            while !bytes.is_empty() && !framing.is_over() {
                let n = match framing.step(bytes) {
                    Step::Framing(n) => n,
                    Step::Content(more) => {
                        content.extend(more);
                        more.len()
                    }
                    Step::Broken => return None,
                };
                assert!(n > 0);
                taken += n;
                bytes = &bytes[n..];
            }
        }
        framing.is_over().then_some((content, taken))
    }

    #[test]
    fn bodies_end_where_their_framing_says() {
        let chunked = Framing::Chunked(Chunk::FIRST);
        for piece in [1, 2, 3, 100] {
            let check = |framing, bytes: &str, expected: Option<(&str, usize)>| {
                let expected = expected.map(|(content, taken)| (content.as_bytes().to_vec(), taken));
                assert_eq!(read(framing, bytes.as_bytes(), piece), expected, "{bytes:?} in {piece}");
            };
            check(Framing::Length(3), "abcHTTP", Some(("abc", 3)));
            check(Framing::Length(9), "abc", None);
            check(chunked, "3\r\nabc\r\n0\r\n\r\nHTTP", Some(("abc", 13)));
            check(
                chunked,
                "3;x=\"1\"\r\nabc\r\nA \r\n0123456789\r\n0\r\nX: y\r\n\r\n",
                Some(("abc0123456789", 41)),
            );
            check(chunked, "03\nabc\n0\n\n", Some(("abc", 10)));
            check(chunked, "x\r\n", None);
            check(chunked, "\r\n", None);
            check(chunked, "3\r\nabcd", None);
            check(chunked, "fffffffffffffffff\r\n", None);
            check(chunked, &format!("1{}", ";".repeat(LINE_MAX)), None);
        }
    }

    #[test]
    fn gaps_within_content_do_not_matter() {
        let mut framing = Framing::Length(10);
        assert_eq!((framing.skip(4), framing.left()), (Some(4), 6));
        assert_eq!(framing.skip(7), None);
        let mut framing = Framing::Chunked(Chunk::Data(10));
        assert_eq!(framing.skip(10), Some(10));
        assert_eq!(framing, Framing::Chunked(Chunk::DataEnd));
        assert_eq!(framing.skip(1), None);
        assert_eq!(Framing::Close.skip(99), Some(99));
    }
}
