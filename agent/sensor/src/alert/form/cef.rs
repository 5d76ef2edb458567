//! `ArcSight` Common Event Format, version 0: seven header fields between `|`, then `key=value` pairs.
//!
//! In the header `|` and `\` are escaped, in the extension `=`, `\` and line ends. A value goes on, spaces and all, until
//! the next ` key=`.

/// Pairs read from one extension; the format's dictionary has fewer keys than this.
const PAIRS_MAX: usize = 128;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cef {
    header: Vec<String>,
    /// Key and value.
    extension: Vec<(String, String)>,
}

impl Cef {
    /// The part of a message after `CEF:`, if it is at the start.
    pub(crate) fn begins(message: &str) -> Option<&str> {
        message.strip_prefix("CEF:")
    }

    /// From what follows `CEF:`; `None` without all seven header fields.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut header = Vec::with_capacity(7);
        let mut field = String::new();
        let mut chars = text.char_indices();
        while let Some((at, ch)) = chars.next() {
            match ch {
                '\\' => field.extend(chars.next().map(|(_, escaped)| escaped)),
                '|' => {
                    header.push(core::mem::take(&mut field));
                    if header.len() == 7 {
                        let extension = pairs(text.get(at + 1..).unwrap_or_default());
                        return Some(Self { header, extension });
                    }
                }
                plain => field.push(plain),
            }
        }
        // Products leave the last `|` away when there is no extension.
        header.push(field);
        (header.len() == 7).then(|| Self { header, extension: Vec::new() })
    }

    /// Header field: 0 version, 1 vendor, 2 product, 3 product version, 4 signature id, 5 name, 6 severity.
    pub(crate) fn header(&self, index: usize) -> &str {
        self.header.get(index).map_or("", |field| field.trim())
    }

    /// Value of a key, or empty.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.extension.iter().find(|(one, _)| one == key).map_or("", |(_, value)| value)
    }
}

/// Where keys begin and their `=` is: a run of key characters at the start or after a space, then an unescaped `=`.
fn keys(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut word = Some(0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b' ' => word = Some(at + 1),
            b'=' => {
                if let Some(start) = word.filter(|start| *start < at) {
                    found.push((start, at));
                }
                word = None;
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'[' | b']' => {}
            _ => word = None,
        }
    }
    found.truncate(PAIRS_MAX);
    found
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let keys = keys(text);
    let ends = keys.iter().skip(1).map(|(start, _)| *start).chain([text.len()]);
    let pair = |((start, equals), end): (&(usize, usize), usize)| {
        let raw = text.get(equals + 1..end)?.trim_end_matches(' ');
        Some((text.get(*start..*equals)?.to_owned(), unescaped(raw)))
    };
    keys.iter().zip(ends).filter_map(pair).collect()
}

fn unescaped(raw: &str) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some(escaped @ ('\\' | '=' | '|')) => value.push(escaped),
                // Windows paths are often written without escaping: keep both.
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            plain => value.push(plain),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escape_header(text: &str) -> String {
        text.replace('\\', r"\\").replace('|', r"\|")
    }

    fn escape_value(text: &str) -> String {
        text.replace('\\', r"\\").replace('=', r"\=").replace('\n', r"\n").replace('\r', r"\r")
    }

    #[test]
    fn reads_the_examples_of_the_format() {
        let cef = Cef::parse(
            r"0|security|threat\|manager|1.0|100|detected a \\ in message|10|src=10.0.0.1 act=blocked a | dst=1.1.1.1 msg=a\=b C:\temp x",
        )
        .unwrap();
        assert_eq!(cef.header(2), "threat|manager");
        assert_eq!(cef.header(5), r"detected a \ in message");
        assert_eq!(cef.get("act"), "blocked a |");
        assert_eq!(cef.get("dst"), "1.1.1.1");
        assert_eq!(cef.get("msg"), r"a=b C:\temp x");
        assert_eq!(cef.get("nothing"), "");
        assert_eq!(Cef::parse("0|a|b|c|d|name|5").map(|cef| cef.header(6).to_owned()), Some("5".to_owned()));
        assert_eq!(Cef::parse("0|a|b|c|d|name"), None);
    }

    proptest! {
        #[test]
        fn escapes_round_trip(name in ".{0,40}", value in "[^ ]{0,40}", other in "[a-z]{1,10}") {
            let line = format!(
                "0|v|p|1|id|{}|5|msg={} {other}z=1",
                escape_header(&name), escape_value(&value)
            );
            let cef = Cef::parse(&line).unwrap();
            prop_assert_eq!(cef.header(5), name.trim());
            prop_assert_eq!(cef.get("msg"), value);
            let key = format!("{other}z");
            prop_assert_eq!(cef.get(&key), "1");
        }

        #[test]
        fn never_panics(text in ".{0,200}") {
            let _cef = Cef::parse(&text);
        }
    }
}
