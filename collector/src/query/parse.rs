//! From words to a tree, with every field and value checked.

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;

use super::field::{Entity, Field, Kind};
use super::lex::{Compare, Token, TokenKind, tokens};
use super::{DEPTH_MAX, Expr, Match, QueryError, TERMS_MAX, VALUES_MAX, value};

pub(super) fn parse(text: &str, entity: Entity, now: Timestamp) -> Result<Option<Expr>, QueryError> {
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Ok(None);
    }
    let end = text.chars().count();
    let mut parser = Parser { tokens: &tokens, at: 0, end, entity, now, terms: 0 };
    let expr = parser.any(0)?;
    match parser.peek() {
        Some(token) => {
            Err(QueryError::new(token.at, "this ) has no ( before it", "この ) に対応する ( がありません"))
        }
        None => Ok(Some(expr)),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Of the text: where something is missing.
    end: usize,
    entity: Entity,
    now: Timestamp,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn place(&self) -> usize {
        self.peek().map_or(self.end, |token| token.at)
    }

    fn next_if(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<&'a Token> {
        let token = self.peek().filter(|token| wanted(token))?;
        self.at += 1;
        Some(token)
    }

    /// `a or b`.
    fn any(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut parts = vec![self.all(depth)?];
        while self.next_if(|token| is_word(token, &["or", "OR", "または"])).is_some() {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::Any(parts) })
    }

    /// `a b`, `a and b`.
    fn all(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut parts = vec![self.term(depth)?];
        loop {
            let joined = self.next_if(|token| is_word(token, &["and", "AND", "かつ"])).is_some();
            let ends = self.peek().is_none_or(|token| {
                matches!(token.kind, TokenKind::Close) || is_word(token, &["or", "OR", "または"])
            });
            if ends && !joined {
                break;
            }
            parts.push(self.term(depth)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { Expr::All(parts) })
    }

    fn term(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let place = self.place();
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(QueryError::new(
                place,
                format!("a query has at most {TERMS_MAX} conditions"),
                format!("条件は {TERMS_MAX} 個までです"),
            ));
        }
        if depth > DEPTH_MAX {
            return Err(QueryError::new(
                place,
                format!("brackets go at most {DEPTH_MAX} deep"),
                format!("括弧の入れ子は {DEPTH_MAX} 段までです"),
            ));
        }
        let negated = |token: &Token| {
            matches!(token.kind, TokenKind::Minus) || is_word(token, &["not", "NOT", "でない"])
        };
        if self.next_if(negated).is_some() {
            return Ok(Expr::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.next_if(|token| matches!(token.kind, TokenKind::Open)).is_some() {
            let inner = self.any(depth + 1)?;
            let closed = self.next_if(|token| matches!(token.kind, TokenKind::Close));
            return closed.map(|_| inner).ok_or_else(|| {
                QueryError::new(place, "this ( is not closed", "この ( が閉じられていません")
            });
        }
        let Some(Token { kind: TokenKind::Text { text, quoted }, at, .. }) = self.peek() else {
            return Err(QueryError::new(
                place,
                "a condition is missing here: field:value, or a word",
                "ここに条件（項目:値、または語）が必要です",
            ));
        };
        self.at += 1;
        let compare = self.peek().and_then(|token| match token.kind {
            TokenKind::Compare(compare) => Some(compare).filter(|_| token.joined && !quoted),
            TokenKind::Open
            | TokenKind::Close
            | TokenKind::Comma
            | TokenKind::Minus
            | TokenKind::Text { .. } => None,
        });
        let Some(mut compare) = compare else { return Ok(Expr::Words(text.clone())) };
        self.at += 1;
        // `severity:>=3`, as other tools write it.
        if compare == Compare::Matches
            && let Some(Token { kind: TokenKind::Compare(ordered), joined: true, .. }) = self.peek()
        {
            compare = *ordered;
            self.at += 1;
        }
        let field = self.entity.field(text).ok_or_else(|| self.unknown(*at, text))?;
        self.condition(field, compare)
    }

    fn unknown(&self, at: usize, name: &str) -> QueryError {
        let names: Vec<&str> = self.entity.fields().iter().map(|field| field.name).collect();
        let names = names.join(", ");
        QueryError::new(
            at,
            format!("there is no field {name:?}; there are {names}"),
            format!("項目 {name:?} はありません。使える項目: {names}"),
        )
    }

    fn condition(&mut self, field: &'static Field, compare: Compare) -> Result<Expr, QueryError> {
        let place = self.place();
        let mut matches = Vec::new();
        loop {
            let Some(Token { kind: TokenKind::Text { text, quoted }, at, joined: true }) = self.peek() else {
                let (place, name) = (self.place(), field.name);
                return Err(QueryError::new(
                    place,
                    format!("{name} needs a value here"),
                    format!("{name} の値がここに必要です"),
                ));
            };
            self.at += 1;
            if text == "*" && !quoted && compare == Compare::Matches && matches.is_empty() {
                return Ok(Expr::Present(field));
            }
            matches.push(self.one(field, compare, (text, *quoted), *at)?);
            if matches.len() > VALUES_MAX {
                return Err(QueryError::new(
                    *at,
                    format!("a condition has at most {VALUES_MAX} values"),
                    format!("一つの条件の値は {VALUES_MAX} 個までです"),
                ));
            }
            if self.next_if(|token| token.joined && matches!(token.kind, TokenKind::Comma)).is_none() {
                break;
            }
        }
        let orders = matches!(compare, Compare::More | Compare::AtLeast | Compare::Less | Compare::AtMost);
        if orders && matches.len() > 1 {
            return Err(QueryError::new(
                place,
                "only : = and != take several values",
                "複数の値を取れるのは : = != だけです",
            ));
        }
        let found = Expr::Is(field, matches);
        Ok(if compare == Compare::NotEqual { Expr::Not(Box::new(found)) } else { found })
    }

    fn one(
        &self,
        field: &'static Field,
        compare: Compare,
        (text, quoted): (&str, bool),
        at: usize,
    ) -> Result<Match, QueryError> {
        let name = field.name;
        let wrong = |wanted: &str, wanted_ja: &str| {
            let en = format!("{name} is {wanted}, and {text:?} is not");
            QueryError::new(at, en, format!("{name} は{wanted_ja}です。{text:?} は使えません"))
        };
        let is_ordered = !matches!(compare, Compare::Matches | Compare::Equal | Compare::NotEqual);
        match field.kind {
            Kind::Number => {
                let read = |text: &str| value::amount(text).map(|n| (n, n));
                spans(text, compare, read).ok_or_else(|| {
                    wrong("a whole number such as 80, 10k, 1..1024", "整数（例: 80、10k、1..1024）")
                })
            }
            Kind::Severity => spans(text, compare, severity).ok_or_else(|| {
                wrong(
                    "0 to 4, or informational, low, medium, high, critical",
                    " 0〜4、または 情報・低・中・高・重大 ",
                )
            }),
            Kind::Time => spans(text, compare, |text| value::time(text, self.now)).ok_or_else(|| {
                wrong(
                    "a time such as 2026-11-22, 2026-11-22T10:30, today, -24h, 2026-11-01..2026-11-05",
                    "時刻（例: 2026-11-22、2026-11-22T10:30、今日、-24h、2026-11-01..2026-11-05）",
                )
            }),
            Kind::Protocol if !is_ordered => {
                protocol(text).map(|number| Match::Between(Some(number), Some(number))).ok_or_else(|| {
                    wrong(
                        "tcp, udp, icmp, icmpv6, sctp, or a number",
                        " tcp・udp・icmp・icmpv6・sctp、または番号",
                    )
                })
            }
            Kind::Address { .. } if !is_ordered => value::addresses(text).ok_or_else(|| {
                wrong(
                    "an address such as 192.0.2.1, 192.0.2.0/24, 192.0.2.1-192.0.2.9, 2001:db8::/32",
                    "アドレス（例: 192.0.2.1、192.0.2.0/24、192.0.2.1-192.0.2.9、2001:db8::/32）",
                )
            }),
            Kind::Word(words) if !is_ordered => words
                .all()
                .into_iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| Match::Text(word.to_owned()))
                .ok_or_else(|| {
                    let all = words.all().join(", ");
                    wrong(&format!("one of {all}"), &format!("次のいずれか（{all}）"))
                }),
            Kind::Text if compare == Compare::Contains => {
                Ok(Match::Like(format!("%{}%", value::pattern(text, false))))
            }
            Kind::Text if !is_ordered => {
                Ok(Match::Like(value::pattern(text, compare == Compare::Matches && !quoted)))
            }
            Kind::Text | Kind::Word(_) | Kind::Address { .. } | Kind::Protocol => Err(QueryError::new(
                at,
                format!("{name} has no order: write {name}:value"),
                format!("{name} に大小はありません。{name}:値 と書いてください"),
            )),
        }
    }
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(&token.kind, TokenKind::Text { text, quoted: false } if words.contains(&text.as_str()))
}

/// A value or `first..last` of something that has an order, as one range.
fn spans(text: &str, compare: Compare, read: impl Fn(&str) -> Option<value::Span>) -> Option<Match> {
    if let Some((first, last)) = text.split_once("..")
        && matches!(compare, Compare::Matches | Compare::Equal | Compare::NotEqual)
    {
        let end = |text: &str| if text.is_empty() { Some(None) } else { read(text).map(Some) };
        let (first, last) = (end(first)?, end(last)?);
        return Some(Match::Between(first.map(|span| span.0), last.map(|span| span.1)));
    }
    let (start, end) = read(text)?;
    Some(match compare {
        Compare::Matches | Compare::Equal | Compare::NotEqual => Match::Between(Some(start), Some(end)),
        Compare::More => Match::Between(Some(end.checked_add(1)?), None),
        Compare::AtLeast => Match::Between(Some(start), None),
        Compare::Less => Match::Between(None, Some(start.checked_sub(1)?)),
        Compare::AtMost => Match::Between(None, Some(end)),
        Compare::Contains => return None,
    })
}

fn severity(text: &str) -> Option<value::Span> {
    const NAMES: [&[&str]; 5] = [
        &["informational", "info", "情報", "L0"],
        &["low", "低", "L1"],
        &["medium", "中", "L2"],
        &["high", "高", "L3"],
        &["critical", "重大", "L4"],
    ];
    let by_name = || {
        let names = NAMES.iter().position(|names| names.iter().any(|name| name.eq_ignore_ascii_case(text)));
        names.and_then(|level| i64::try_from(level).ok())
    };
    let highest = i64::from(Severity::CRITICAL.level());
    let level = text.parse().ok().filter(|level| (0..=highest).contains(level)).or_else(by_name)?;
    Some((level, level))
}

fn protocol(text: &str) -> Option<i64> {
    Some(match text.to_ascii_lowercase().as_str() {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" => 58,
        "sctp" => 132,
        number => i64::from(number.parse::<u8>().ok()?),
    })
}
