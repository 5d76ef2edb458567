//! Comma separated values on one line, as RFC 4180 quotes them.

use std::borrow::Cow;

/// Columns read of one line.
const COLUMNS_MAX: usize = 256;

/// The columns; `None` if there is only one.
pub(crate) fn parse(message: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut columns = Vec::new();
    let mut rest = Some(message);
    while let Some(text) = rest.filter(|_| columns.len() < COLUMNS_MAX) {
        let (value, left) = column(text);
        columns.push(value);
        rest = left;
    }
    (columns.len() > 1).then_some(columns)
}

/// A column, and what follows its comma.
fn column(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let Some(quoted) = text.strip_prefix('"') else {
        return match text.split_once(',') {
            Some((value, rest)) => (value.into(), Some(rest)),
            None => (text.into(), None),
        };
    };
    let mut at = 0;
    let bytes = quoted.as_bytes();
    let mut doubled = false;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' {
            if bytes.get(at + 1) != Some(&b'"') {
                break;
            }
            doubled = true;
            at += 1;
        }
        at += 1;
    }
    let (value, rest) = quoted.split_at_checked(at).unwrap_or((quoted, ""));
    let value = if doubled { value.replace("\"\"", "\"").into() } else { value.into() };
    (value, rest.split_once(',').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_empty_columns() {
        let columns = |text: &'static str| parse(text).unwrap_or_default();
        assert_eq!(columns(r#"1,,"a, ""b""",x"#), ["1", "", r#"a, "b""#, "x"]);
        assert_eq!(columns(r#"1,"open"#), ["1", "open"]);
        assert_eq!(columns("a,"), ["a", ""]);
        assert!(parse("alone").is_none());
    }
}
