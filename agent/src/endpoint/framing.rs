//! Splits a stream into lines, by newline or by octet counting (RFC 6587, 3.4): a frame that begins with a digit tells its
//! length, as a syslog line itself begins with `<`.

/// The longest line that is kept.
pub(super) const LINE_BYTES_MAX: usize = 65_535;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Line(Vec<u8>),
    /// A line was too long: its rest is passed over.
    TooLong,
}

/// The splitter of one stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    /// Frames may tell their length.
    counts: bool,
    /// Bytes still missing of a counted frame; of a line that ends with a newline: `None`.
    counted: Option<usize>,
    /// The line is too long already: the rest of it is passed over.
    skipping: bool,
}

impl Lines {
    pub(super) fn new(counts: bool) -> Self {
        Self { counts, ..Self::default() }
    }

    /// Finds what these bytes complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Found)) {
        while !bytes.is_empty() {
            let (piece, ends) = self.piece(bytes);
            bytes = bytes.get(piece.len()..).unwrap_or_default();
            if let Some(missing) = &mut self.counted {
                *missing -= piece.len();
            }
            if self.begins_counted(piece) {
                continue;
            }
            if self.skipping {
                self.skipping = !ends;
            } else if self.line.len() + piece.len() > LINE_BYTES_MAX {
                found(Found::TooLong);
                self.line.clear();
                self.skipping = !ends;
            } else {
                self.line.extend_from_slice(piece);
                if ends {
                    found(Found::Line(core::mem::take(&mut self.line)));
                }
            }
            if ends {
                self.counted = None;
            }
        }
    }

    /// What remains when the stream ends: the last line may come without an end.
    pub(super) fn end(self) -> Option<Vec<u8>> {
        (!self.line.is_empty() && !self.skipping).then_some(self.line)
    }

    /// The next bytes that belong together, and whether the line ends with them.
    fn piece<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        if let Some(missing) = self.counted {
            let taken = bytes.get(..missing).unwrap_or(bytes);
            return (taken, taken.len() == missing);
        }
        let is_count =
            self.counts && !self.skipping && self.line.len() < 20 && self.line.iter().all(u8::is_ascii_digit);
        if is_count {
            // While it may be a count, byte by byte.
            let (first, _) = bytes.split_at(1);
            return (first, first == b"\n");
        }
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(at) => (bytes.get(..=at).unwrap_or(bytes), true),
            None => (bytes, false),
        }
    }

    /// Whether this space ends a count; a counted frame begins then.
    fn begins_counted(&mut self, piece: &[u8]) -> bool {
        let is_count = self.counts
            && !self.skipping
            && self.counted.is_none()
            && piece == b" "
            && !self.line.is_empty()
            && self.line.iter().all(u8::is_ascii_digit);
        if is_count {
            let text = core::str::from_utf8(&self.line).unwrap_or_default();
            // A count beyond any sense only makes a line too long.
            self.counted = Some(text.parse().unwrap_or(usize::MAX)).filter(|count| *count > 0);
            self.line.clear();
        }
        is_count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines found in these chunks of a stream, and how many were too long.
    fn split(chunks: &[&[u8]]) -> (Vec<String>, u64) {
        let mut splitter = Lines::new(true);
        let (mut lines, mut too_long) = (Vec::new(), 0);
        let mut add = |line: Vec<u8>| {
            let line = String::from_utf8(line).unwrap().trim_end().to_owned();
            if !line.is_empty() {
                lines.push(line);
            }
        };
        for chunk in chunks {
            splitter.push(chunk, |found| match found {
                Found::Line(line) => add(line),
                Found::TooLong => too_long += 1,
            });
        }
        splitter.end().map(&mut add);
        (lines, too_long)
    }

    #[test]
    fn both_framings_of_syslog_over_tcp() {
        let expect = |lines: &[&str]| (lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), 0);
        assert_eq!(split(&[b"<1>a\n<2>b\r\n\n<3"]), expect(&["<1>a", "<2>b", "<3"]));
        assert_eq!(
            split(&[b"4 <1>a", b"7 <2>b\nc", b"d<3>line\n"]),
            expect(&["<1>a", "<2>b\ncd", "<3>line"])
        );
        assert_eq!(split(&[b"1", b"0 <1>", b"4567890", b"<9>z\n"]), expect(&["<1>4567890", "<9>z"]));
        assert_eq!(split(&[b"0 <1>a\n"]), expect(&["<1>a"]));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        assert_eq!(split(&[&long, &long, b"\n<1>good\n"]), (vec!["<1>good".to_owned()], 1));
        assert_eq!(split(&[b"99999999999999999999 ", &long]), (vec![], 1));
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_does_not_matter(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'3'), Just(b'<'), any::<u8>()], 0..200), cut in 0usize..200) {
            let all = |chunks: &[&[u8]]| {
                let (mut splitter, mut found) = (Lines::new(true), Vec::new());
                chunks.iter().for_each(|chunk| splitter.push(chunk, |one| found.push(one)));
                (found, splitter.end())
            };
            let cut = cut.min(bytes.len());
            prop_assert_eq!(all(&[&bytes]), all(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}
