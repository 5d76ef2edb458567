//! Text of strangers made harmless before it goes into a notice: one line, nothing that steers a reader or a protocol.

/// Longest value in a notice, in characters.
pub const CHARS_MAX: usize = 400;

/// One line: control characters, line ends, marks that turn the direction of writing and invisible characters become a
/// space, runs of space one; what is longer than `max` characters is cut and says so.
pub fn line(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut taken = 0;
    let mut gap = false;
    for character in text.chars() {
        if is_harmful(character) || character.is_whitespace() {
            gap = !out.is_empty();
            continue;
        }
        let wanted = 1 + usize::from(gap);
        if taken + wanted > max {
            out.push('…');
            break;
        }
        if gap {
            out.push(' ');
        }
        out.push(character);
        taken += wanted;
        gap = false;
    }
    out
}

/// Steers instead of being read.
pub const fn is_harmful(character: char) -> bool {
    matches!(
        character,
        // Controls, of both ranges.
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Line and paragraph ends.
        | '\u{2028}' | '\u{2029}'
        // Direction of writing.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Invisible.
        | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_strangers_write() {
        for (text, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("a\r\nBcc: all@example.jp", "a Bcc: all@example.jp"),
            ("\u{1b}[2Jgone", "[2Jgone"),
            ("exe\u{202e}gpj.txt", "exe gpj.txt"),
            ("pay\u{200b}pal.example", "pay pal.example"),
            ("  two   words \t", "two words"),
            ("\0\u{7f}\u{85}", ""),
            ("長崎市\u{2029}役所", "長崎市 役所"),
        ] {
            assert_eq!(line(text, 30), expected, "{text:?}");
        }
        assert_eq!(
            (line("0123456789abc", 10), line("0123456789", 10)),
            ("0123456789…".into(), "0123456789".into())
        );
    }

    proptest! {
        #[test]
        fn is_one_harmless_line(text in any::<String>(), max in 1_usize..50) {
            let out = line(&text, max);
            prop_assert!(out.chars().count() <= max + 1);
            prop_assert!(!out.chars().any(is_harmful));
            prop_assert_eq!(out.trim(), out.as_str());
        }
    }
}
