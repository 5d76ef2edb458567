//! A query as words: brackets, operators, quoted and plain texts, each with its place.

use super::{QUERY_CHARS_MAX, QueryError};

/// A word of a query, and the character where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: TokenKind,
    /// No space before it.
    pub(super) joined: bool,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Open,
    Close,
    Comma,
    /// `-` in front of a condition.
    Minus,
    Compare(Compare),
    /// `quoted` texts are never a keyword, a field or a wildcard.
    Text {
        text: String,
        quoted: bool,
    },
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// `:`, wildcards allowed.
    Matches,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `~`: contains.
    Contains,
}

/// Full-width signs mean what their narrow forms mean: people write with an input method.
fn narrow(one: char) -> char {
    match one {
        '：' => ':',
        '（' => '(',
        '）' => ')',
        '，' | '、' => ',',
        '＝' => '=',
        '＞' => '>',
        '＜' => '<',
        '～' => '~',
        '　' => ' ',
        '”' | '“' => '"',
        other => other,
    }
}

/// The words of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let chars: Vec<char> = text.chars().take(QUERY_CHARS_MAX + 1).map(narrow).collect();
    if chars.len() > QUERY_CHARS_MAX {
        return Err(QueryError::new(
            QUERY_CHARS_MAX,
            format!("a query has at most {QUERY_CHARS_MAX} characters"),
            format!("検索式は {QUERY_CHARS_MAX} 文字までです"),
        ));
    }
    let mut out = Vec::new();
    let mut at = 0;
    let mut joined = false;
    while let Some(one) = chars.get(at).copied() {
        if one.is_whitespace() {
            (at, joined) = (at + 1, false);
            continue;
        }
        let (kind, len) = next(&chars, at, joined, out.last())?;
        out.push(Token { at, kind, joined });
        (at, joined) = (at + len, true);
    }
    Ok(out)
}

fn next(
    chars: &[char],
    at: usize,
    joined: bool,
    before: Option<&Token>,
) -> Result<(TokenKind, usize), QueryError> {
    let rest = chars.get(at..).unwrap_or_default();
    let after_compare =
        joined && before.is_some_and(|token| matches!(token.kind, TokenKind::Compare(_) | TokenKind::Comma));
    Ok(match rest {
        ['(', ..] => (TokenKind::Open, 1),
        [')', ..] => (TokenKind::Close, 1),
        [',', ..] => (TokenKind::Comma, 1),
        ['"', ..] => quoted(rest, at)?,
        ['-', next, ..] if !after_compare && !next.is_whitespace() => (TokenKind::Minus, 1),
        ['!', '=', ..] => (TokenKind::Compare(Compare::NotEqual), 2),
        ['>', '=', ..] => (TokenKind::Compare(Compare::AtLeast), 2),
        ['<', '=', ..] => (TokenKind::Compare(Compare::AtMost), 2),
        ['>', ..] => (TokenKind::Compare(Compare::More), 1),
        ['<', ..] => (TokenKind::Compare(Compare::Less), 1),
        ['=', ..] => (TokenKind::Compare(Compare::Equal), 1),
        ['~', ..] => (TokenKind::Compare(Compare::Contains), 1),
        // `src:::1`: an address may begin with colons.
        [':', ..] if !after_compare => (TokenKind::Compare(Compare::Matches), 1),
        _ => plain(rest, after_compare),
    })
}

fn quoted(rest: &[char], at: usize) -> Result<(TokenKind, usize), QueryError> {
    let mut text = String::new();
    let mut chars = rest.iter().enumerate().skip(1);
    while let Some((idx, one)) = chars.next() {
        match one {
            '"' => return Ok((TokenKind::Text { text, quoted: true }, idx + 1)),
            '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
            other => text.push(*other),
        }
    }
    Err(QueryError::new(
        at,
        "this quotation has no end: a \" is missing",
        "引用が閉じていません (\" が足りません)",
    ))
}

/// A text up to a space or a sign. In a value colons belong to it: addresses, times.
fn plain(rest: &[char], is_value: bool) -> (TokenKind, usize) {
    let ends = |one: &char| {
        one.is_whitespace()
            || matches!(one, '(' | ')' | ',' | '"')
            || (!is_value && matches!(one, ':' | '=' | '>' | '<' | '~' | '!'))
    };
    // At least one character: a lone `!` or `-` is a text too.
    let len = rest.iter().skip(1).position(ends).map_or(rest.len(), |at| at + 1);
    let text = rest.iter().take(len).collect();
    (TokenKind::Text { text, quoted: false }, len)
}
