//! Tables of a mapping: what a product's own word means, and what a field must say.

use core::fmt;
use std::collections::BTreeMap;

use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::Severity;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::body::Body;
use super::template::is_said;

/// What words mean; `*` for every other word, `3-7` for numbers. Upper and lower case are one.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Table<T>(BTreeMap<String, T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Table<T> {
    /// What this word means.
    pub(super) fn get(&self, word: &str) -> Option<&T> {
        let word = word.trim();
        let exact = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(word));
        let ranged = || {
            let number: i64 = word.parse().ok()?;
            self.0.iter().find(|(key, _)| {
                let ends = key
                    .split_once('-')
                    .and_then(|(least, most)| least.parse::<i64>().ok().zip(most.parse().ok()));
                ends.is_some_and(|(least, most)| (least..=most).contains(&number))
            })
        };
        exact.or_else(ranged).map(|(_, meaning)| meaning).or_else(|| self.0.get("*"))
    }
}

/// 0 to 4.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u8")]
pub(super) struct Level(pub(super) Severity);

impl TryFrom<u8> for Level {
    type Error = String;
    fn try_from(level: u8) -> Result<Self, String> {
        Severity::new(level).map(Self).ok_or_else(|| format!("severity {level} is not between 0 and 4"))
    }
}

/// The identifier of a class.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Class(pub(super) AlertClass);

impl TryFrom<String> for Class {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        AlertClass::from_name(&name).map(Self).ok_or_else(|| {
            let known: Vec<&str> = AlertClass::ALL.iter().map(|class| class.as_str()).collect();
            format!("there is no class `{name}`; there are {}", known.join(", "))
        })
    }
}

/// What a field must say: one of these words. `*` at either end stands for anything; alone, for anything that is said;
/// `!` before a word for anything but it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(Vec<String>);

impl Wanted {
    /// Whether the field says so.
    pub(super) fn holds(&self, body: &Body<'_>, field: &str) -> bool {
        let said = body.get(field).unwrap_or_default();
        let said = said.trim().to_lowercase();
        self.0.iter().any(|word| match word.strip_prefix('!') {
            Some(other) => !fits(other, &said),
            None => fits(word, &said),
        })
    }
}

fn fits(word: &str, said: &str) -> bool {
    match (word.strip_prefix('*'), word.strip_suffix('*')) {
        _ if word == "*" => is_said(said),
        (Some(inner), Some(_)) => said.contains(inner.strip_suffix('*').unwrap_or(inner)),
        (Some(end), None) => said.ends_with(end),
        (None, Some(start)) => said.starts_with(start),
        (None, None) => said == word,
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Wanted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, or a list of words")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Wanted, E> {
                Ok(Wanted(vec![word.to_lowercase()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Wanted, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    words.push(word.to_lowercase());
                }
                Ok(Wanted(words))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stars_and_negations() {
        for (word, said, expect) in [
            ("*", "x", true),
            ("*", "-", false),
            ("deny", "deny", true),
            ("den*", "denied", true),
            ("*ied", "denied", true),
            ("*nie*", "denied", true),
            ("*no*", "denied", false),
        ] {
            assert_eq!(fits(word, said), expect, "{word} {said}");
        }
    }

    #[test]
    fn tables_know_words_and_ranges() {
        let table =
            Table(BTreeMap::from([("High".to_owned(), 3), ("1-3".to_owned(), 1), ("*".to_owned(), 2)]));
        assert_eq!(
            ["HIGH", "2", "9", "odd"].map(|word| table.get(word).copied()),
            [Some(3), Some(1), Some(2), Some(2)]
        );
        assert_eq!(Table::<u8>::default().get("x"), None);
    }
}
