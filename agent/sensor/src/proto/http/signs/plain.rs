//! What text means to the server that is to be fooled: without percent signs, entities, escapes and nested look-ups.

use std::borrow::Cow;

/// Bytes of one text that are looked at.
const TEXT_MAX: usize = 4 * 1024;
/// Percent signs are decoded so often: twice is how filters that decode once are passed.
const PASSES_MAX: usize = 3;

/// What a byte may be in a text, a bit each. It may begin an escape, an entity or a comment, or is not ASCII.
const BEGINS: u8 = 1;
/// It is written otherwise in plain form.
const CHANGES: u8 = 1 << 1;
const BLANK: u8 = 1 << 2;
const PLUS: u8 = 1 << 3;
/// Ordinary values of fields have none.
const SUSPECT: u8 = 1 << 4;
const DOT: u8 = 1 << 5;

/// For each byte what it may be: heads are long, and each byte is looked at.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut byte = 0_u8;
    while let [class, after @ ..] = rest {
        *class = match byte {
            b'/' | b'&' | b'\\' | 0x80.. => BEGINS,
            b' ' => BLANK,
            b'A'..=b'Z' | 0..=0x1f | 0x7f => CHANGES,
            b'+' => PLUS,
            b'$' | b'`' | b'{' | b'<' | b'\'' | b'~' => SUSPECT,
            b'.' => DOT,
            _ => 0,
        };
        rest = after;
        byte = byte.wrapping_add(1);
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// A value has what ordinary ones do not: signs of a shell or of markup, or two full stops in a row.
pub(super) fn is_suspect(value: &[u8]) -> bool {
    let (mut all, mut before) = (0, 0);
    for byte in value {
        let class = class(*byte);
        // Bits of a class beside its own: two full stops.
        all |= class & (SUSPECT | before & DOT);
        before = class;
    }
    all != 0
}

/// The text as the server may come to read it: lower case, one blank for each run of blanks and comments. `plus`: a plus
/// sign is a blank, as in forms.
pub(super) fn plain(text: &[u8], plus: bool) -> Cow<'_, str> {
    let text = text.get(..TEXT_MAX).unwrap_or(text);
    if !text.contains(&b'%')
        && let Some(plain) = undisguised(text, plus)
    {
        return plain;
    }
    let mut bytes = text.to_vec();
    if plus {
        bytes.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    }
    for _ in 0..PASSES_MAX {
        if !bytes.contains(&b'%') {
            break;
        }
        let decoded = percent(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    if let Some(plain) = undisguised(&bytes, false) {
        return plain.into_owned().into();
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let text = if text.contains("\\u00") || text.contains("&#") || text.contains("&l") || text.contains("&q")
    {
        escapes(&text)
    } else {
        text
    };
    squeeze(&text).into()
}

/// A text of ASCII without escapes, entities and comments, as nearly all are, made plain in one pass; percent signs stay.
fn undisguised(text: &[u8], plus: bool) -> Option<Cow<'_, str>> {
    let is_blank = |byte: u8| matches!(byte, 0..=b' ' | 0x7f) || (plus && byte == b'+');
    let changing = if plus { CHANGES | PLUS } else { CHANGES };
    let (mut changes, mut before) = (0, 0);
    for (at, byte) in text.iter().enumerate() {
        let class = class(*byte);
        let begins = class & BEGINS != 0
            && match byte {
                b'/' => matches!(text.get(at + 1), Some(b'*')),
                b'&' => matches!(text.get(at + 1), Some(b'#' | b'l' | b'L' | b'q' | b'Q')),
                b'\\' => matches!(text.get(at + 1), Some(b'u' | b'U')),
                _ => true,
            };
        if begins {
            return None;
        }
        // One blank is left of two.
        changes |= class & (changing | before & BLANK);
        before = class;
    }
    let same = changes == 0;
    if same {
        return str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if !is_blank(*byte) {
            out.push(byte.to_ascii_lowercase());
        } else if out.last() != Some(&b' ') {
            out.push(b' ');
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(digits: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(digits).ok()?;
    if text.starts_with('+') { None } else { u32::from_str_radix(text, 16).ok() }
}

/// One pass over `%41`, `%u0041` (IIS), and the overlong forms of full stop and slashes (CVE-2000-0884).
fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = after;
        } else if let Some(code) =
            after.get(1..5).filter(|_| matches!(after.first(), Some(b'u' | b'U'))).and_then(hex)
        {
            let mut letter = [0; 4];
            out.extend(char::from_u32(code).unwrap_or('?').encode_utf8(&mut letter).bytes());
            rest = after.get(5..).unwrap_or_default();
        } else if let Some(byte) = after.get(..2).and_then(hex).and_then(|code| u8::try_from(code).ok()) {
            out.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
        if let [.., 0xc0, last @ (0xae | 0xaf | 0x2f | 0x2e)] = &*out {
            let plain = if last & 1 == 1 { b'/' } else { b'.' };
            out.truncate(out.len() - 2);
            out.push(plain);
        }
    }
    out
}

/// `\u0041`, `\x41` is left alone (it is too common in paths of Windows), `&#65;`, `&#x41;`, `&lt;`, `&gt;`, `&quot;`.
fn escapes(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(letter) = rest.chars().next() {
        let found = rest
            .strip_prefix("\\u")
            .and_then(|digits| Some((hex(digits.get(..4)?.as_bytes())?, digits.get(4..)?)))
            .or_else(|| entity(rest));
        if let Some((code, after)) = found {
            out.push(char::from_u32(code).unwrap_or('?').to_ascii_lowercase());
            rest = after;
        } else {
            out.push(letter);
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

fn entity(text: &str) -> Option<(u32, &str)> {
    let (digits, after) = text.strip_prefix("&#")?.split_once(';')?;
    let code = match digits.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    Some((code.ok().filter(|_| digits.len() <= 7)?, after))
}

/// One blank for each run of blanks, control characters and comments of SQL (`/**/`).
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let comment = rest.strip_prefix("/*").and_then(|inner| inner.split_once("*/"));
        let (letter, after) = match comment {
            // What stands in a comment with an exclamation mark is executed by MySQL.
            Some((inner, after)) if !inner.starts_with('!') => (' ', after),
            Some(_) | None => (letter, rest.get(letter.len_utf8()..).unwrap_or_default()),
        };
        rest = after;
        if letter.is_whitespace() || letter.is_control() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// Look-ups of Log4j that stand for a text are replaced by it, from the inside: `${lower:j}`, `${::-j}`, `${env:X:-j}`.
pub(super) fn without_lookups<'t>(text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
    /// More are never needed to spell a short word.
    const ROUNDS: usize = 64;
    let mut text = text.into();
    if !text.contains("${") {
        return text;
    }
    for _ in 0..ROUNDS {
        let Some((start, end, stands_for)) = innermost(&text) else { break };
        text.to_mut().replace_range(start..end, &stands_for);
    }
    text
}

/// The first look-up without another in it that stands for a text.
fn innermost(text: &str) -> Option<(usize, usize, String)> {
    for (close, _) in text.match_indices('}') {
        let Some(open) = text.get(..close).and_then(|before| before.rfind("${")) else { continue };
        let inner = text.get(open + 2..close).unwrap_or_default();
        if inner.contains('}') {
            continue;
        }
        let plain = match inner.strip_prefix("lower:").or_else(|| inner.strip_prefix("upper:")) {
            Some(plain) => Some(plain),
            None => inner.rsplit_once(":-").map(|(_, default)| default),
        };
        if let Some(plain) = plain {
            return Some((open, close + 1, plain.to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_come_off() {
        for (text, expected) in [
            ("%2e%2e%2f", "../"),
            ("%252e%252e%252f", "../"),
            ("..%c0%af..", "../.."),
            ("%u003cscript%u003E", "<script>"),
            ("&#x3c;script&gt;", "<script>"),
            ("un/**/ion%0a%0dSELECT", "un ion select"),
            ("\\u0024{jndi", "${jndi"),
            ("100%", "100%"),
            ("%+1%zz", "% 1%zz"),
        ] {
            assert_eq!(plain(text.as_bytes(), true), expected, "{text}");
        }
    }

    #[test]
    fn the_short_way_gives_what_the_long_one_gives() {
        for text in [
            "plain-text_1.0",
            "Two  Blanks\t\r\n and \u{1}\u{7f} more ",
            "a+b++c + d",
            "/a/b/../c?x=1&y=2;z",
            "C:\\windows\\x",
            "*/ a / * b",
            "",
        ] {
            for plus in [false, true] {
                let short = undisguised(text.as_bytes(), plus).unwrap();
                let spaced = if plus { text.replace('+', " ") } else { text.to_owned() };
                assert_eq!(short, squeeze(&spaced.to_lowercase()), "{text}");
            }
        }
        for text in ["a/**/b", "&lt;", "&#60;", "&QUOT;", "\\u0041", "\\U0041", "\u{fc}"] {
            assert_eq!(undisguised(text.as_bytes(), true), None, "{text}");
        }
        assert!(matches!(plain(b"a b/c.d", false), Cow::Borrowed("a b/c.d")));
    }

    #[test]
    fn lookups_are_spelt_out() {
        for text in
            ["${${lower:j}ndi:ldap://x}", "${${::-j}${::-n}${env:none:-d}i:ldap://x}", "${jndi:ldap://x}"]
        {
            assert_eq!(without_lookups(text), "${jndi:ldap://x}", "{text}");
        }
        assert_eq!(without_lookups("a}b${c"), "a}b${c");
    }
}
