//! `key=value` pairs between spaces or commas; a value in double quotes may hold either, and escapes with `\`.

use std::borrow::Cow;

/// Pairs read from one message.
const PAIRS_MAX: usize = 256;

/// The pairs; `None` if there are none.
pub(crate) fn parse(message: &str) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let mut pairs = Vec::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('=') {
        if pairs.len() == PAIRS_MAX {
            break;
        }
        // What stands before the key without being one is passed over.
        let key = before.rsplit([' ', ',', ';', '\t']).next().unwrap_or_default();
        let (value, left) = value(after);
        if is_key(key) {
            pairs.push((key.into(), value));
        }
        rest = left;
    }
    (!pairs.is_empty()).then_some(pairs)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte))
}

/// A value, and what follows it.
fn value(text: &str) -> (Cow<'_, str>, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',', ';', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.into(), rest);
    };
    let mut is_escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    let (value, rest) = end.and_then(|end| quoted.split_at_checked(end)).unwrap_or((quoted, ""));
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    // Only what must be escaped is: a Windows path is often written as it is.
    let value = if value.contains("\\\"") { value.replace("\\\"", "\"").into() } else { value.into() };
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_plain_and_broken_values() {
        let pairs = |text: &'static str| -> Vec<(String, String)> {
            let pairs = parse(text).unwrap_or_default();
            pairs.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
        };
        let expect = |all: &[(&str, &str)]| -> Vec<(String, String)> {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            pairs(r#"date=2026-04-01 msg="a \"b\" = c, d" n="" x=1"#),
            expect(&[("date", "2026-04-01"), ("msg", r#"a "b" = c, d"#), ("n", ""), ("x", "1")])
        );
        assert_eq!(pairs(r#"words a=C:\x,b="open"#), expect(&[("a", r"C:\x"), ("b", "open")]));
        assert_eq!(pairs("no pairs = here =="), expect(&[]));
    }
}
