//! A cursor over bencoding (BEP 3). Values that nobody asks for are stepped over without recursion.

/// Lists and dictionaries within one another that are stepped over.
const DEPTH_MAX: usize = 32;
/// Digits of a number or of a length.
const DIGITS_MAX: usize = 10;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bencode<'a>(pub(super) &'a [u8]);

impl<'a> Bencode<'a> {
    /// Takes this byte if it is next.
    pub(super) fn accept(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A byte string.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.digits(b':')?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An integer; a negative one is none of ours.
    pub(super) fn number(&mut self) -> Option<u64> {
        if !self.accept(b'i') {
            return None;
        }
        self.digits(b'e')
    }

    /// Digits up to `end`, which is taken too.
    fn digits(&mut self, end: u8) -> Option<u64> {
        let count = self.0.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        let rest = rest.strip_prefix(&[end])?;
        let value = str::from_utf8(digits).ok()?.parse().ok()?;
        self.0 = rest;
        Some(value)
    }

    /// Steps over one value of any kind.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.0.first()? {
                b'l' | b'd' if depth < DEPTH_MAX => {
                    depth += 1;
                    self.0 = self.0.get(1..)?;
                }
                b'e' if depth > 0 => {
                    depth -= 1;
                    self.0 = self.0.get(1..)?;
                }
                b'i' => {
                    self.0 = self.0.get(1..)?;
                    let _negative = self.accept(b'-');
                    self.digits(b'e')?;
                }
                b'0'..=b'9' => {
                    self.bytes()?;
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bencode;

    #[test]
    fn reads_values() {
        let mut read = Bencode(b"4:spam0:i42ed3:cow");
        assert_eq!(read.bytes(), Some(&b"spam"[..]));
        assert_eq!(read.bytes(), Some(&b""[..]));
        assert_eq!(read.number(), Some(42));
        assert!(read.accept(b'd') && !read.accept(b'd'));
        assert_eq!(read.bytes(), Some(&b"cow"[..]));
        assert_eq!(read.bytes(), None);
    }

    #[test]
    fn steps_over_values() {
        for (bytes, rest) in [
            (&b"d1:ald1:bi-3eee1:ci0eex"[..], Some(&b"x"[..])),
            (b"i7e4:", Some(b"4:")),
            (b"2:abl", Some(b"l")),
            (b"le", Some(b"")),
            (b"l", None),
            (b"e", None),
            (b"x", None),
            (b"99:ab", None),
            (b"99999999999999999999:ab", None),
            (b"ie", None),
        ] {
            let mut read = Bencode(bytes);
            let skipped = read.skip();
            assert_eq!(skipped.map(|()| read.0), rest, "{bytes:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(Bencode(&[b'l'; 60_000]).skip(), None);
        let nested = [vec![b'l'; super::DEPTH_MAX], vec![b'e'; super::DEPTH_MAX]].concat();
        assert_eq!(Bencode(&nested).skip(), Some(()));
    }
}
