//! What a mapping says a value is made of: `{path}` stands for a field of the message, everything else for itself.

use core::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::body::Body;

/// Alternatives of one value, and fields of one template.
const ALTERNATIVES_MAX: usize = 16;
const PARTS_MAX: usize = 16;
/// What makers write for "nothing".
const NOTHING: [&str; 6] = ["", "-", "N/A", "n/a", "null", "(null)"];

/// One template. It gives nothing where one of its fields is not there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// Alternatives: the first that gives something counts. Written as one text or as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Templates(Vec<Template>);

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((field, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: a field begins with {{ and has no }}"));
            };
            if field.trim().is_empty() || field.contains('{') {
                return Err(format!("`{text}`: there is no name between {{ and }}"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(field.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: a }} without {{"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return Err(format!("`{text}`: a template has 1 to {PARTS_MAX} parts"));
        }
        Ok(Self { parts })
    }
}

impl Template {
    /// What it stands for in this message.
    fn fill(&self, body: &Body<'_>) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(path) => out.push_str(&body.get(path).filter(|value| is_said(value))?),
            }
        }
        Some(out)
    }

    /// The names of its fields.
    fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(path) => Some(path.as_str()),
            Part::Text(_) => None,
        })
    }
}

/// Whether a value says anything.
pub(super) fn is_said(value: &str) -> bool {
    !NOTHING.contains(&value.trim())
}

impl Templates {
    /// The first alternative that gives something.
    pub(super) fn fill(&self, body: &Body<'_>) -> Option<String> {
        self.0.iter().find_map(|template| template.fill(body))
    }

    /// Every alternative that gives something.
    pub(super) fn fill_all(&self, body: &Body<'_>) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|template| template.fill(body))
    }

    /// The names of all fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Template::fields)
    }
}

impl<'de> Deserialize<'de> for Templates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Templates;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Templates, E> {
                let template = Template::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(Templates(vec![template]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Templates, A::Error> {
                let mut all = Vec::new();
                while let Some(template) = list.next_element::<Template>()? {
                    if all.len() == ALTERNATIVES_MAX {
                        return Err(de::Error::custom(format_args!(
                            "more than {ALTERNATIVES_MAX} alternatives"
                        )));
                    }
                    all.push(template);
                }
                Ok(Templates(all))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}
