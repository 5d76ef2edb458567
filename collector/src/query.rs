//! The one small query language of the console, the API and the command line.
//!
//! ```text
//! severity>=3 state:detected,received -category:scan            all of these
//! (originator:10.1.0.0/16 or responder:203.0.113.5) bytes>10M   brackets, or
//! server:*.example.jp time:2026-11-22 "exact words"             wildcards, a day of Japan, text anywhere
//! opened>=-24h assignee:*                                       the last 24 hours; there is one
//! ```
//! `text → parse → Expr` (words, fields and values checked) `→ sql → WHERE text and parameters`. Nothing of what a person
//! writes becomes part of the SQL; every error says where in the text it is and what would be right.

mod complete;
mod field;
mod lex;
mod parse;
mod sql;
mod value;

pub use self::complete::{Suggestion, complete};
pub use self::field::{Entity, Field, Kind, Words};
pub use self::sql::{AddressTerm, Condition, Param, Style};

use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

/// Characters of a query.
pub const QUERY_CHARS_MAX: usize = 2000;
/// Conditions in a query.
pub const TERMS_MAX: usize = 64;
/// Brackets in brackets.
pub const DEPTH_MAX: usize = 16;
/// Values of one condition: `state:a,b,c`.
pub const VALUES_MAX: usize = 64;

/// A query that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    entity: Entity,
    /// `None` matches everything.
    expr: Option<Expr>,
}

impl Query {
    /// Reads a query about `entity`; `now` is what `-24h` and `today` count from.
    ///
    /// # Errors
    /// If it is not one: where, and why.
    pub fn parse(text: &str, entity: Entity, now: Timestamp) -> Result<Self, QueryError> {
        Ok(Self { entity, expr: parse::parse(text, entity, now)? })
    }

    /// As a condition whose parameters begin with `$first`.
    pub fn condition(&self, first: usize) -> Condition {
        self.condition_in(first, Style::default())
    }

    /// As [`Query::condition`], for a database that wants it in this style.
    pub fn condition_in(&self, first: usize, style: Style) -> Condition {
        sql::condition(self.expr.as_ref(), self.entity, first, style)
    }

    /// The conditions on addresses that must hold.
    pub fn address_terms(&self) -> Vec<AddressTerm> {
        sql::address_terms(self.expr.as_ref())
    }

    /// What it is about.
    pub const fn entity(&self) -> Entity {
        self.entity
    }

    /// Whether it matches everything.
    pub const fn is_empty(&self) -> bool {
        self.expr.is_none()
    }
}

/// A query as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// One of the values.
    Is(&'static Field, Vec<Match>),
    /// There is a value.
    Present(&'static Field),
    /// This text in one of the entity's texts.
    Words(String),
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    /// Whole numbers, both ends included; times are nanoseconds.
    Between(Option<i64>, Option<i64>),
    /// This text.
    Text(String),
    /// A text with wildcards: the pattern, for `LIKE … ESCAPE '!'`.
    Like(String),
    /// Addresses, both ends included, as [`address_key`]s.
    Addresses(String, String),
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct QueryError {
    /// The character, from 1.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub what: String,
    /// The same in Japanese.
    pub what_ja: String,
}

impl QueryError {
    fn new(at: usize, what: impl Into<String>, what_ja: impl Into<String>) -> Self {
        Self { at: at + 1, what: what.into(), what_ja: what_ja.into() }
    }

    /// All of it in Japanese.
    pub fn ja(&self) -> String {
        format!("{} 文字目: {}", self.at, self.what_ja)
    }
}

/// The span of time that a value names, as in a query: `2026-11-22`, `-24h`, `today`. Both ends included, nanoseconds.
pub fn span(text: &str, now: Timestamp) -> Option<(i64, i64)> {
    value::time(text, now)
}

/// An address as short text that sorts as addresses do: `4` and 8, `6` and 32, or `m` (of a link) and 12 hexadecimal digits.
/// What conditions on addresses look at in the store.
pub fn address_key(host: impl Into<Host>) -> String {
    value::address_key(host)
}

#[cfg(test)]
mod tests;
