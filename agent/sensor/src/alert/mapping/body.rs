//! A message taken apart: fields by name, whatever they were written as.

use std::borrow::Cow;

use serde_json::Value;

use crate::alert::form::{Format, cef::Cef, csv, leef, pairs};
use crate::alert::words;

/// Steps of a path into JSON.
const STEPS_MAX: usize = 12;

/// One message.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    Cef(Cef),
    /// Name and value.
    Pairs(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    Json(Value),
    /// Columns in order, with the names that the mapping gives them.
    Columns(Vec<Cow<'a, str>>, &'a [String]),
    /// Captured from plain text, and the text.
    Text(Vec<(&'a str, &'a str)>),
}

impl<'a> Body<'a> {
    /// Takes a message apart; `None` if it is not of this format.
    pub(crate) fn parse(format: Format, message: &'a str, columns: &'a [String]) -> Option<Self> {
        match format {
            Format::Cef => Cef::parse(Cef::begins(message)?).map(Self::Cef),
            Format::Leef => leef::parse(message).map(Self::Pairs),
            Format::Pairs => pairs::parse(message).map(Self::Pairs),
            Format::Json => {
                let start = message.trim_start();
                // Some senders put a word such as `@cee:` before the object.
                let start = start.strip_prefix("@cee:").unwrap_or(start).trim_start();
                if !start.starts_with('{') {
                    return None;
                }
                serde_json::from_str(start).ok().map(Self::Json)
            }
            Format::Csv => csv::parse(message).map(|fields| Self::Columns(fields, columns)),
            Format::Text => Some(Self::Text(Vec::new())),
        }
    }

    /// The value of a field. In JSON, `a.b.0.c` goes into objects and lists, and `*` is the first of a list that has the rest.
    pub(crate) fn get(&self, path: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Cef(cef) => match path {
                "device_vendor" => Some(cef.header(1).into()),
                "device_product" => Some(cef.header(2).into()),
                "device_version" => Some(cef.header(3).into()),
                "signature_id" => Some(cef.header(4).into()),
                "event_name" => Some(cef.header(5).into()),
                "severity" => Some(cef.header(6).into()),
                key => Some(cef.get(key).into()),
            },
            Self::Pairs(pairs) => {
                pairs.iter().find(|(name, _)| name == path).map(|(_, value)| Cow::Borrowed(&**value))
            }
            Self::Json(value) => match value.get(path) {
                Some(found) => told(found),
                None => {
                    let steps: Vec<&str> = path.split('.').take(STEPS_MAX).collect();
                    step(value, &steps)
                }
            },
            Self::Columns(fields, columns) => {
                let at = columns.iter().position(|name| name == path)?;
                fields.get(at).map(|value| Cow::Borrowed(&**value))
            }
            Self::Text(captured) => {
                captured.iter().find(|(name, _)| *name == path).map(|(_, value)| Cow::Borrowed(*value))
            }
        }
    }

    /// The value behind a label inside a field's text, such as `MD5=…,SHA256=…`.
    pub(crate) fn labelled(text: &str, label: &str) -> Option<String> {
        words::labelled(text, &[label]).map(str::to_owned)
    }
}

fn step<'v>(value: &'v Value, steps: &[&str]) -> Option<Cow<'v, str>> {
    let Some((first, rest)) = steps.split_first() else { return told(value) };
    match value {
        Value::Object(map) => step(map.get(*first)?, rest),
        Value::Array(list) if *first == "*" => {
            list.iter().take(64).find_map(|one| step(one, rest).filter(|text| !text.is_empty()))
        }
        Value::Array(list) => step(list.get(first.parse::<usize>().ok()?)?, rest),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn told(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(is) => Some(if *is { "true" } else { "false" }.into()),
        Value::Array(list) => list.first().and_then(|first| match first {
            Value::String(text) => Some(text.as_str().into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }),
        Value::Null | Value::Object(_) => None,
    }
}
