//! From a tree to a condition in SQL. Only names of columns that are written in `field` get into its text.

use super::field::{Entity, Field, Kind};
use super::{Expr, Match, value};

/// A condition, for after `WHERE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The SQL; `TRUE` if there is nothing to ask.
    pub sql: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// How a database wants it written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// `LIKE` takes letters of either case by itself, as in SQLite.
    pub folds_case: bool,
    /// Which [`AddressTerm`] may be looked up in an index …
    pub index: Option<usize>,
    /// … if the others are not to be: in SQLite a `+` before a column keeps its index out of it.
    pub hides: bool,
}

/// A condition on addresses that must hold, whatever else is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTerm {
    /// Its number, for [`Style::index`].
    pub number: usize,
    /// Column of keys, first key, last key: one of them holds.
    pub ranges: Vec<(&'static str, String, String)>,
}

pub(super) fn address_terms(expr: Option<&Expr>) -> Vec<AddressTerm> {
    let ranges = |expr: &Expr| match expr {
        Expr::Is(field, matches) => {
            let all = matches.iter().flat_map(|one| match one {
                Match::Addresses(low, high) => {
                    field.keys().iter().map(|key| (*key, low.clone(), high.clone())).collect()
                }
                Match::Between(..) | Match::Text(_) | Match::Like(_) => Vec::new(),
            });
            all.collect()
        }
        Expr::All(_) | Expr::Any(_) | Expr::Not(_) | Expr::Present(_) | Expr::Words(_) => Vec::new(),
    };
    let terms = parts(expr).iter().map(ranges).enumerate();
    let terms = terms.map(|(number, ranges)| AddressTerm { number, ranges });
    terms.filter(|term| !term.ranges.is_empty()).collect()
}

/// What must hold together.
fn parts(expr: Option<&Expr>) -> &[Expr] {
    match expr {
        Some(Expr::All(parts)) => parts,
        Some(other) => std::slice::from_ref(other),
        None => &[],
    }
}

pub(super) fn condition(expr: Option<&Expr>, entity: Entity, first: usize, style: Style) -> Condition {
    let hides = style.hides;
    let mut writer = Writer { sql: String::new(), params: Vec::new(), first, entity, style, hides };
    match expr {
        Some(Expr::All(_)) => {
            let parts: Vec<(usize, &Expr)> = parts(expr).iter().enumerate().collect();
            writer.joined(&parts, " AND ", |writer, (number, part)| {
                writer.hides = hides && style.index != Some(*number);
                writer.expr(part);
                writer.hides = hides;
            });
        }
        Some(expr) => {
            writer.hides = hides && style.index != Some(0);
            writer.expr(expr);
        }
        None => writer.sql.push_str("TRUE"),
    }
    Condition { sql: writer.sql, params: writer.params }
}

struct Writer {
    sql: String,
    params: Vec<Param>,
    first: usize,
    entity: Entity,
    style: Style,
    /// Keys of addresses are not to be looked up in an index.
    hides: bool,
}

impl Writer {
    fn text(&mut self, parts: &[&str]) {
        self.sql.extend(parts.iter().copied());
    }

    fn bind(&mut self, param: Param) {
        let number = (self.first + self.params.len()).to_string();
        self.text(&["$", &number]);
        self.params.push(param);
    }

    fn like(&mut self, column: &str, pattern: &str) {
        if self.style.folds_case {
            self.text(&[column, " LIKE "]);
        } else {
            self.text(&["lower(", column, ") LIKE "]);
        }
        self.bind(Param::Text(pattern.to_owned()));
        self.sql.push_str(" ESCAPE '!'");
    }

    fn joined<T>(&mut self, parts: &[T], with: &str, mut one: impl FnMut(&mut Self, &T)) {
        self.sql.push('(');
        for (idx, part) in parts.iter().enumerate() {
            if idx > 0 {
                self.sql.push_str(with);
            }
            one(self, part);
        }
        self.sql.push(')');
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::All(parts) => self.joined(parts, " AND ", Self::expr),
            Expr::Any(parts) => self.joined(parts, " OR ", Self::expr),
            // What is not known is not what was asked for, so the rest of the world has it too.
            Expr::Not(inner) => {
                self.sql.push_str("NOT coalesce(");
                self.expr(inner);
                self.sql.push_str(", FALSE)");
            }
            Expr::Is(field, matches) => {
                self.joined(matches, " OR ", |writer, one| writer.comparison(field, one));
            }
            Expr::Present(field) => {
                let column = field.column;
                match field.kind {
                    Kind::Address { keys } => self.joined(keys, " OR ", |writer, key| {
                        writer.text(&[key, " <> ''"]);
                    }),
                    Kind::Text | Kind::Word(_) => {
                        self.text(&["(", column, " IS NOT NULL AND ", column, " <> '')"]);
                    }
                    Kind::Number | Kind::Severity | Kind::Time | Kind::Protocol => {
                        self.text(&[column, " IS NOT NULL"]);
                    }
                }
            }
            Expr::Words(text) => {
                let pattern = format!("%{}%", value::pattern(text, false));
                self.joined(self.entity.texts(), " OR ", |writer, column| {
                    writer.like(column, &pattern);
                });
            }
        }
    }

    fn comparison(&mut self, field: &Field, one: &Match) {
        let column = field.column;
        match one {
            Match::Between(Some(low), Some(high)) if low == high => {
                self.text(&[column, " = "]);
                self.bind(Param::Int(*low));
            }
            Match::Between(low, high) => {
                let bounds = [(" >= ", low), (" <= ", high)];
                let bounds: Vec<_> =
                    bounds.iter().filter_map(|(sign, bound)| bound.map(|bound| (*sign, bound))).collect();
                if bounds.is_empty() {
                    self.sql.push_str("TRUE");
                    return;
                }
                self.joined(&bounds, " AND ", |writer, (sign, bound)| {
                    writer.sql.push_str(column);
                    writer.sql.push_str(sign);
                    writer.bind(Param::Int(*bound));
                });
            }
            Match::Text(text) => {
                self.text(&[column, " = "]);
                self.bind(Param::Text(text.clone()));
            }
            Match::Like(pattern) => {
                self.like(column, pattern);
            }
            Match::Addresses(low, high) => self.joined(field.keys(), " OR ", |writer, key| {
                if writer.hides {
                    writer.sql.push('+');
                }
                if low == high {
                    writer.text(&[key, " = "]);
                } else {
                    writer.text(&[key, " BETWEEN "]);
                    writer.bind(Param::Text(low.clone()));
                    writer.sql.push_str(" AND ");
                }
                writer.bind(Param::Text(high.clone()));
            }),
        }
    }
}
