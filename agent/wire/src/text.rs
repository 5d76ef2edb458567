//! Text from strangers: bounded when taken in, escaped when shown.

use core::fmt;
use core::ops::Deref;

use serde::{Serialize, Serializer};

/// At most `MAX` bytes of text, cut at a character boundary. `Display` escapes control, direction and zero-width
/// characters, so that a line from the network cannot forge log lines or hide what it says.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedText<const MAX: usize>(Box<str>);

impl<const MAX: usize> BoundedText<MAX> {
    /// The first `MAX` bytes of `text`, less the character that the cut would split.
    pub fn new(text: &str) -> Self {
        Self(prefix(text, MAX).into())
    }

    /// From bytes that should be UTF-8; what is not becomes U+FFFD.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&String::from_utf8_lossy(bytes))
    }

    /// The text as it came, unescaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for BoundedText<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> From<&str> for BoundedText<MAX> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<const MAX: usize> From<String> for BoundedText<MAX> {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl<const MAX: usize> fmt::Display for BoundedText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Debug for BoundedText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl<const MAX: usize> Serialize for BoundedText<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The longest prefix of `text` of at most `max` bytes that ends at a character boundary.
pub fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for ch in text.chars() {
        if ch.is_control() || is_invisible(ch) {
            write!(f, "{}", ch.escape_unicode())?;
        } else {
            fmt::Write::write_char(f, ch)?;
        }
    }
    Ok(())
}

/// Direction overrides and zero-width characters (Unicode TR 36, 3.1): they change what a reader sees.
fn is_invisible(ch: char) -> bool {
    matches!(ch, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_a_character_boundary() {
        assert_eq!(BoundedText::<4>::new("関守").as_str(), "関");
        assert_eq!(BoundedText::<6>::new("関守").as_str(), "関守");
        assert_eq!(BoundedText::<2>::new("関守").as_str(), "");
        assert_eq!(BoundedText::<8>::from_bytes(b"a\xffb").as_str(), "a\u{fffd}b");
    }

    #[test]
    fn shows_control_and_direction_characters_escaped() {
        let text = BoundedText::<64>::new("ok\n\u{202e}exe.txt\u{1b}[2J 関守");
        assert_eq!(text.to_string(), "ok\\u{a}\\u{202e}exe.txt\\u{1b}[2J 関守");
    }
}
