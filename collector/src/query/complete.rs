//! What may come next while somebody types.

use super::field::{Entity, Kind};

/// Suggestions at once.
const SUGGESTIONS_MAX: usize = 20;

/// A text that may take the place of the last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What stays before it.
    pub kept: String,
    /// The whole last word, completed.
    pub text: String,
    /// More is to follow: a field without its value.
    pub open: bool,
}

/// Completions of the last word before the cursor.
pub fn complete(before: &str, entity: Entity) -> Vec<Suggestion> {
    let start = before
        .rfind([' ', '　', '(', '-'])
        .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let word = before.get(start..).unwrap_or_default();
    let kept = before.get(..start).unwrap_or_default();
    let mut out: Vec<Suggestion> = match word.split_once([':', '=']) {
        Some((name, typed)) => values(name, typed, word, entity),
        None => names(word, entity),
    };
    out.truncate(SUGGESTIONS_MAX);
    for one in &mut out {
        kept.clone_into(&mut one.kept);
    }
    out
}

fn names(typed: &str, entity: Entity) -> Vec<Suggestion> {
    let typed = typed.to_lowercase();
    let fits = |name: &&str| name.to_lowercase().starts_with(&typed);
    entity
        .fields()
        .iter()
        .filter_map(|field| {
            std::iter::once(&field.name).chain(field.aliases).copied().find(|name| fits(name))
        })
        .map(|name| Suggestion { kept: String::new(), text: format!("{name}:"), open: true })
        .collect()
}

fn values(name: &str, typed: &str, word: &str, entity: Entity) -> Vec<Suggestion> {
    let Some(field) = entity.field(name) else { return Vec::new() };
    let last = typed.rsplit(',').next().unwrap_or_default();
    let head = word.strip_suffix(last).unwrap_or(word);
    let known: Vec<&str> = match field.kind {
        Kind::Word(words) => words.all(),
        Kind::Severity => vec!["informational", "low", "medium", "high", "critical"],
        Kind::Time => vec!["today", "yesterday"],
        Kind::Protocol => vec!["tcp", "udp", "icmp", "icmpv6"],
        Kind::Text | Kind::Number | Kind::Address { .. } => Vec::new(),
    };
    let fits = known.into_iter().filter(|value| value.starts_with(&last.to_lowercase()));
    fits.map(|value| Suggestion { kept: String::new(), text: format!("{head}{value}"), open: false })
        .collect()
}
