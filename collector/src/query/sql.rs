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

pub(super) fn condition(expr: Option<&Expr>, entity: Entity, first: usize) -> Condition {
    let mut writer = Writer { sql: String::new(), params: Vec::new(), first, entity };
    match expr {
        Some(expr) => writer.expr(expr),
        None => writer.sql.push_str("TRUE"),
    }
    Condition { sql: writer.sql, params: writer.params }
}

struct Writer {
    sql: String,
    params: Vec<Param>,
    first: usize,
    entity: Entity,
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
                    writer.text(&["lower(", column, ") LIKE "]);
                    writer.bind(Param::Text(pattern.clone()));
                    writer.sql.push_str(" ESCAPE '!'");
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
                self.text(&["lower(", column, ") LIKE "]);
                self.bind(Param::Text(pattern.clone()));
                self.sql.push_str(" ESCAPE '!'");
            }
            Match::Addresses(low, high) => self.joined(field.keys(), " OR ", |writer, key| {
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
