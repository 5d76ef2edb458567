//! STIX 2.1 bundles: the indicators whose pattern is a choice of values.
//!
//! `[a:b = 'x' OR c:d = 'y'] OR [e:f IN ('z')]` lists each value by itself. With AND, FOLLOWEDBY, NOT or a time window a value
//! alone is not what the author meant, so such patterns are left out and counted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use sekimori_sensor::intel::{Feed, Kind};
use sekimori_wire::time::Timestamp;
use serde::Deserialize;

use super::{Import, Place, Reason, Row, stem, time_of};

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow, default)]
    objects: Vec<Object<'a>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pattern: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pattern_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    valid_until: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    created_by_ref: Option<Cow<'a, str>>,
    #[serde(default)]
    confidence: Option<u64>,
    #[serde(default)]
    revoked: bool,
}

/// The beginning of the file tells it from MISP's.
pub(super) fn is_stix(text: &str) -> bool {
    let head: String = text.chars().take(2_048).filter(|letter| !letter.is_whitespace()).collect();
    head.starts_with('{') && (head.contains("\"type\":\"bundle\"") || head.contains("\"id\":\"bundle--"))
}

pub(super) fn read(import: &mut Import, path: &Path, text: &str) -> Result<(), serde_json::Error> {
    let bundle: Bundle<'_> = serde_json::from_str(text)?;
    let identities: BTreeMap<&str, &str> = bundle
        .objects
        .iter()
        .filter(|one| one.kind == "identity")
        .filter_map(|one| Some((&*one.id, one.name.as_deref()?)))
        .collect();
    let indicators = || bundle.objects.iter().filter(|one| one.kind == "indicator");
    // As old as its newest part: the bundle as a whole was put together then.
    let made: Option<Timestamp> = indicators().filter_map(|one| one.modified.as_deref()?.parse().ok()).max();
    for indicator in indicators() {
        let author = indicator.created_by_ref.as_deref().and_then(|id| identities.get(id));
        let name = author.map_or_else(|| stem(path), |name| (*name).to_owned());
        let place = Place { path, at: &indicator.id };
        let Some(feed) = import.feed(place, Feed { made, ..Feed::named(&name) }) else { continue };
        take(import, place, (feed, &name), indicator);
    }
    Ok(())
}

fn take(import: &mut Import, place: Place<'_>, (feed, name): (u16, &str), indicator: &Object<'_>) {
    let pattern = indicator.pattern.as_deref().unwrap_or_default();
    let mut refuse = |reason| import.refuse(place, name, pattern, reason);
    if indicator.revoked {
        return refuse(Reason::Revoked);
    }
    let is_stix = indicator.pattern_type.as_deref().is_none_or(|kind| kind == "stix");
    let Some(values) = is_stix.then(|| values(pattern)).flatten() else { return refuse(Reason::Pattern) };
    let confidence = match indicator.confidence.map(u8::try_from) {
        None => None,
        Some(Ok(percent @ 0..=100)) => Some(percent),
        Some(_) => return refuse(Reason::Confidence),
    };
    let expires = match indicator.valid_until.as_deref().map(time_of) {
        None => None,
        Some(Some(at)) => Some(at),
        Some(None) => return refuse(Reason::Expires),
    };
    let note = indicator.name.as_deref().unwrap_or_default();
    for (path, value) in values {
        match kind_of(&path) {
            Some(kind) => import.take(place, feed, &Row { kind, value: &value, confidence, expires, note }),
            None => import.refuse(place, name, &path, Reason::Kind),
        }
    }
}

/// The kind of what an object path points to.
fn kind_of(path: &str) -> Option<Kind> {
    Some(match path {
        "ipv4-addr:value" | "ipv6-addr:value" | "network-traffic:dst_ref.value" => Kind::Address,
        "domain-name:value" => Kind::Domain,
        "url:value" => Kind::Url,
        "x509-certificate:hashes.SHA-256" | "x509-certificate:hashes.SHA256" => Kind::Certificate,
        _ => return None,
    })
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Paths with their values; `None` if the pattern says more than a choice.
fn values(pattern: &str) -> Option<Vec<(String, String)>> {
    let tokens = tokens(pattern)?;
    let mut rest = tokens.as_slice();
    let mut out = Vec::new();
    loop {
        rest = observation(rest, &mut out)?;
        match rest {
            [] => return Some(out),
            [Token::Word(or), after @ ..] if or == "OR" => rest = after,
            _ => return None,
        }
    }
}

/// `[a:b = 'x' OR …]`.
fn observation<'t>(tokens: &'t [Token], out: &mut Vec<(String, String)>) -> Option<&'t [Token]> {
    let [Token::Sign('['), rest @ ..] = tokens else { return None };
    let mut rest = rest;
    loop {
        let [Token::Word(path), operator, after @ ..] = rest else { return None };
        rest = match (operator, after) {
            (Token::Sign('='), [Token::Text(value), after @ ..]) => {
                out.push((path.clone(), value.clone()));
                after
            }
            (Token::Word(is), [Token::Text(value), after @ ..]) if is == "ISSUBSET" => {
                out.push((path.clone(), value.clone()));
                after
            }
            (Token::Word(is), [Token::Sign('('), after @ ..]) if is == "IN" => list(path, after, out)?,
            _ => return None,
        };
        match rest {
            [Token::Sign(']'), after @ ..] => return Some(after),
            [Token::Word(or), after @ ..] if or == "OR" => rest = after,
            _ => return None,
        }
    }
}

/// `'x', 'y')`.
fn list<'t>(path: &str, tokens: &'t [Token], out: &mut Vec<(String, String)>) -> Option<&'t [Token]> {
    let mut rest = tokens;
    loop {
        let [Token::Text(value), sign, after @ ..] = rest else { return None };
        out.push((path.to_owned(), value.clone()));
        match sign {
            Token::Sign(')') => return Some(after),
            Token::Sign(',') => rest = after,
            Token::Sign(_) | Token::Word(_) | Token::Text(_) => return None,
        }
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '[' | ']' | '(' | ')' | ',' | '=' => out.push(Token::Sign(letter)),
            '\'' => out.push(Token::Text(quoted(&mut letters)?)),
            _ if letter.is_ascii_alphanumeric() => {
                let mut word = String::from(letter);
                while let Some(next) =
                    letters.next_if(|next| next.is_ascii_alphanumeric() || ":._-'".contains(*next))
                {
                    // `hashes.'SHA-256'`: a part of a path may be quoted.
                    if next == '\'' {
                        word.push_str(&quoted(&mut letters)?);
                    } else {
                        word.push(next);
                    }
                }
                out.push(Token::Word(word));
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Up to the closing quote, which is behind.
fn quoted(letters: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut out = String::new();
    loop {
        match letters.next()? {
            '\'' => return Some(out),
            '\\' => out.push(letters.next()?),
            letter => out.push(letter),
        }
    }
}
