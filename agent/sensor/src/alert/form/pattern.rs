//! Patterns for plain text: literal text and `{name}` for what stands between it. Without going back: a field ends where
//! the text after it first occurs, so the work is proportional to the line.

use serde::Deserialize;

const FIELDS_MAX: usize = 24;

/// One pattern. `{}` passes over what is not wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    /// Text that the line must have before the first field.
    begin: String,
    /// Field, and the text that ends it; empty only for the last.
    fields: Vec<(String, String)>,
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (begin, mut rest) = match text.split_once('{') {
            Some((begin, rest)) => (begin.to_owned(), Some(rest)),
            None => (text.clone(), None),
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        while let Some(inside) = rest {
            let (name, after) = inside
                .split_once('}')
                .ok_or_else(|| format!("`{text}`: a field begins with {{ and has no }}"))?;
            let (literal, next) = match after.split_once('{') {
                Some((literal, next)) => (literal, Some(next)),
                None => (after, None),
            };
            if literal.is_empty() && next.is_some() {
                return Err(format!("`{text}`: nothing stands between two fields"));
            }
            fields.push((name.trim().to_owned(), literal.to_owned()));
            rest = next;
        }
        if begin.is_empty() && fields.len() < 2 {
            return Err(format!("`{text}`: a pattern needs some text of its own"));
        }
        if fields.len() > FIELDS_MAX {
            return Err(format!("`{text}`: more than {FIELDS_MAX} fields"));
        }
        Ok(Self { begin, fields })
    }
}

impl Pattern {
    /// Names of its fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str()).filter(|name| !name.is_empty())
    }

    /// What the fields are in this text, if it fits. The pattern may begin anywhere in the text.
    pub(crate) fn capture<'a>(&'a self, text: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut rest = after(text, &self.begin)?.1;
        let mut captured = Vec::with_capacity(self.fields.len());
        for (name, literal) in &self.fields {
            let value = if literal.is_empty() {
                core::mem::take(&mut rest)
            } else {
                let (value, left) = after(rest, literal)?;
                rest = left;
                value
            };
            if !name.is_empty() {
                captured.push((name.as_str(), value.trim()));
            }
        }
        Some(captured)
    }
}

/// What stands before and after the first occurrence.
fn after<'a>(text: &'a str, literal: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<Pattern, String> {
        Pattern::try_from(text.to_owned())
    }

    #[test]
    fn fields_end_where_the_text_goes_on() {
        let one = pattern("Deny {protocol} src {}:{src}/{port} dst {rest}").unwrap();
        assert_eq!(
            one.capture("x Deny tcp src outside:203.0.113.1/44 dst inside:192.0.2.1/22"),
            Some(vec![
                ("protocol", "tcp"),
                ("src", "203.0.113.1"),
                ("port", "44"),
                ("rest", "inside:192.0.2.1/22")
            ])
        );
        assert_eq!(one.capture("Deny tcp src outside"), None);
        assert_eq!(one.capture("Permit"), None);
        assert_eq!(pattern("only text").unwrap().capture("some only text here"), Some(vec![]));
        for bad in ["", "{a}", "x {a", "x {a}{b}"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
