//! Looking for bytes and words: sixteen at a time, as every head and every stream that nobody knows is searched.

/// Bytes that are compared at once.
const AT_ONCE: usize = 16;

/// Where the first `wanted` is.
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (chunks, rest) = bytes.as_chunks::<AT_ONCE>();
    // No early end within a chunk: that makes it one comparison.
    let has = |chunk: &[u8; AT_ONCE]| chunk.iter().fold(false, |has, byte| has | (*byte == wanted));
    let whole = chunks.iter().position(has);
    let (from, within) = match whole.and_then(|at| Some((at, chunks.get(at)?))) {
        Some((at, chunk)) => (at * AT_ONCE, &chunk[..]),
        None => (chunks.len() * AT_ONCE, rest),
    };
    within.iter().position(|byte| *byte == wanted).map(|at| from + at)
}

/// A line feed or a carriage return is there.
pub(super) fn has_line_end(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<AT_ONCE>();
    let is_end = |byte: u8| byte == b'\n' || byte == b'\r';
    let has = |chunk: &[u8; AT_ONCE]| chunk.iter().fold(false, |has, byte| has | is_end(*byte));
    chunks.iter().any(has) || rest.iter().any(|byte| is_end(*byte))
}

/// The bytes before the first line feed, or all.
pub(super) fn first_line(bytes: &[u8]) -> &[u8] {
    find(bytes, b'\n').and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

/// A word stands somewhere in it; the empty one always does.
pub(super) fn holds(bytes: &[u8], word: &[u8]) -> bool {
    let Some((first, others)) = word.split_first() else { return true };
    let mut rest = bytes;
    while let Some(at) = find(rest, *first) {
        rest = rest.get(at + 1..).unwrap_or_default();
        if rest.starts_with(others) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_wherever_it_is() {
        for length in 0..70 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(find(&bytes, b'\n'), None);
            assert_eq!(first_line(&bytes), bytes);
            assert!(!has_line_end(&bytes));
            for at in (0..length).rev() {
                bytes[at] = b'\n';
                assert_eq!(find(&bytes, b'\n'), Some(at));
                assert_eq!(first_line(&bytes), &bytes[..at]);
                assert!(has_line_end(&bytes) && has_line_end(&[&bytes[..at], b"\r"].concat()));
            }
        }
    }

    #[test]
    fn holds_what_windows_hold() {
        let text = b"aababaabbabaaabbbababaabaabbaabab";
        for from in 0..text.len() {
            for to in from + 1..text.len() {
                let word = &text[from..to];
                for of in [&text[..to], &text[from..], &text[..to - 1], &text[from + 1..]] {
                    let expected = of.windows(word.len()).any(|at| at == word);
                    assert_eq!(holds(of, word), expected, "{of:?} {word:?}");
                }
            }
        }
        assert!(holds(b"", b"") && !holds(b"", b"a"));
    }
}
