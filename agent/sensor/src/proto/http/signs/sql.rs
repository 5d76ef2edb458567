//! SQL in a value: read as tokens, so that words of a language are not mistaken for it.

/// A piece of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Word(&'t str),
    /// A number.
    Number,
    /// A text between quotes.
    Text,
    /// A quote without its pair.
    Quote,
    /// `--`, `#`.
    Comment,
    /// Any other character.
    Sign(char),
}

/// Tokens of one value that are looked at.
const TOKENS_MAX: usize = 256;
/// Words that begin a statement, with what follows them where it is one (any of these, in front).
const STATEMENTS: [(&str, &[&str]); 12] = [
    ("select", &[]),
    ("insert", &["into"]),
    ("update", &[]),
    ("delete", &["from"]),
    ("drop", &["table", "database", "schema", "view", "user"]),
    ("alter", &["table", "user", "database", "login"]),
    ("create", &["table", "user", "function", "login", "database", "procedure"]),
    ("truncate", &["table"]),
    ("exec", &["master", "xp_cmdshell", "sp_executesql", "sp_configure"]),
    ("execute", &["master", "xp_cmdshell", "immediate", "sp_executesql"]),
    ("waitfor", &["delay", "time"]),
    ("declare", &[]),
];
/// Functions and tables that only somebody who probes a database names in a value (`OWASP` "Testing for SQL Injection"), as
/// a part of a word.
const TELLTALES: [&str; 14] = [
    "information_schema.",
    "xp_cmdshell",
    "pg_sleep(",
    "dbms_pipe.receive_message",
    "dbms_lock.sleep",
    "utl_http.request",
    "utl_inaddr.",
    "extractvalue(",
    "updatexml(",
    "load_file(",
    "into outfile",
    "into dumpfile",
    "sqlite_master",
    "randomblob(",
];

/// Of these at least one stands in an injection that names no telltale, besides `'`, `"` and `;`.
const MARKS: [&str; 6] = ["select", "--", " or ", " and ", "sleep", "||"];

/// The name of what looks like SQL injection in a value that [`plain`](super::plain::plain) made plain.
pub(super) fn injection(text: &str) -> bool {
    if !is_worth_reading(text.as_bytes()) {
        return false;
    }
    let tokens = tokens(text);
    union(&tokens)
        || tautology(&tokens)
        || commented_out(&tokens)
        || stacked(&tokens)
        || timed(&tokens)
        || (TELLTALES.iter().any(|one| text.contains(one)) && tokens.len() > 2)
}

/// Something stands in it that no injection goes without.
fn is_worth_reading(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| match byte {
        b'\'' | b'"' | b';' => true,
        _ => {
            text.get(at + 1).is_some_and(|next| begins_mark(*byte, *next)) && {
                let rest = text.get(at..).unwrap_or_default();
                let mut words = MARKS.iter().chain(&TELLTALES);
                words.any(|word| rest.starts_with(word.as_bytes()))
            }
        }
    })
}

/// A mark or a telltale begins with these two: few texts are compared with all of them.
const fn begins_mark(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (b's', b'e' | b'l' | b'q')
            | (b' ', b'o' | b'a')
            | (b'-', b'-')
            | (b'|', b'|')
            | (b'i', b'n')
            | (b'x', b'p')
            | (b'p', b'g')
            | (b'd', b'b')
            | (b'u', b't' | b'p')
            | (b'e', b'x')
            | (b'l', b'o')
            | (b'r', b'a')
    )
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let (Some(letter), true) = (rest.chars().next(), found.len() < TOKENS_MAX) {
        let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '@' | '.' | '$');
        let length = if letter == ' ' {
            1
        } else if is_word(letter) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default();
            let number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                || word
                    .strip_prefix("0x")
                    .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
            found.push(if number { Token::Number } else { Token::Word(word) });
            end
        } else if matches!(letter, '\'' | '"' | '`') {
            quoted(rest, letter, &mut found)
        } else if rest.starts_with("--") || letter == '#' {
            found.push(Token::Comment);
            if letter == '#' { 1 } else { 2 }
        } else {
            found.push(Token::Sign(letter));
            letter.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

/// A quote: the first of a pair around a short text without spaces before an operator, or one that breaks out. `x' or 'a'='a`
/// is a lone quote, then texts.
fn quoted(rest: &str, quote: char, found: &mut Vec<Token<'_>>) -> usize {
    let inner = rest.get(1..).unwrap_or_default();
    let is_plain = |text: &str| text.len() <= 32 && !text.contains([' ', '=', ';', '(']);
    // The closing quote of a text may be the one that the server adds.
    let opens = matches!(
        found.last(),
        None | Some(Token::Sign('=' | '<' | '>' | '(' | ',' | '|'))
            | Some(Token::Word("or" | "and" | "like" | "select"))
    );
    match inner.split_once(quote) {
        Some((text, _)) if opens && is_plain(text) && !(found.is_empty() && text.is_empty()) => {
            found.push(Token::Text);
            text.len() + 2
        }
        None if opens && !found.is_empty() && is_plain(inner) => {
            found.push(Token::Text);
            rest.len()
        }
        Some(_) | None => {
            found.push(Token::Quote);
            1
        }
    }
}

/// Words of `tokens` from this place on.
fn word<'t>(tokens: &[Token<'t>], at: usize) -> Option<&'t str> {
    match tokens.get(at) {
        Some(Token::Word(word)) => Some(word),
        Some(Token::Number | Token::Text | Token::Quote | Token::Comment | Token::Sign(_)) | None => None,
    }
}

/// `UNION SELECT` with what is selected: a column list, no English sentence.
fn union(tokens: &[Token<'_>]) -> bool {
    (0..tokens.len()).any(|at| {
        if word(tokens, at) != Some("union") {
            return false;
        }
        let mut next = at + 1;
        while matches!(tokens.get(next), Some(Token::Sign('(' | '!' | '/' | '*')))
            || matches!(word(tokens, next), Some("all" | "distinct"))
            || (tokens.get(next) == Some(&Token::Number) && word(tokens, next + 1) == Some("select"))
        {
            next += 1;
        }
        if word(tokens, next) != Some("select") {
            return false;
        }
        match (tokens.get(next + 1), tokens.get(next + 2)) {
            (Some(Token::Number | Token::Text | Token::Quote | Token::Sign('(' | '*')), _) => true,
            (Some(Token::Word(first)), after) => {
                *first == "null"
                    || first.starts_with("@@")
                    || matches!(
                        after,
                        Some(Token::Sign('(' | ',')) | Some(Token::Word("from")) | Some(Token::Comment)
                    )
            }
            _ => false,
        }
    })
}

/// `or`/`and` between two values that are equal or compared, behind a quote, a bracket or a number.
fn tautology(tokens: &[Token<'_>]) -> bool {
    let is_value = |at: usize| matches!(tokens.get(at), Some(Token::Number | Token::Text));
    (1..tokens.len()).any(|at| {
        let joins = match tokens.get(at) {
            Some(Token::Word("or" | "and" | "xor" | "having" | "where")) => 1,
            Some(Token::Sign('|')) if tokens.get(at + 1) == Some(&Token::Sign('|')) => 2,
            Some(Token::Sign('&')) if tokens.get(at + 1) == Some(&Token::Sign('&')) => 2,
            _ => return false,
        };
        let behind = tokens.get(..at).unwrap_or_default();
        let breaks_out = behind.iter().any(|token| matches!(token, Token::Quote | Token::Text));
        let after_value =
            matches!(behind.last(), Some(Token::Number | Token::Sign(')') | Token::Quote | Token::Text));
        let mut next = at + joins;
        while matches!(tokens.get(next), Some(Token::Sign('(' | '!' | '~')))
            || word(tokens, next) == Some("not")
        {
            next += 1;
        }
        let compares = matches!(tokens.get(next + 1), Some(Token::Sign('=' | '<' | '>' | '!')))
            || matches!(word(tokens, next + 1), Some("like" | "rlike" | "is" | "between" | "in"));
        let second = (next + 2..next + 4).any(is_value);
        let is_true = matches!(word(tokens, next), Some("true")) && breaks_out;
        (breaks_out || after_value) && ((is_value(next) && compares && second) || is_true)
    })
}

/// A quote, and right behind it the rest of the statement made a comment; or a word of SQL in between.
fn commented_out(tokens: &[Token<'_>]) -> bool {
    let Some(comment) = tokens.iter().rposition(|token| *token == Token::Comment) else { return false };
    let Some(before) = tokens.get(..comment) else { return false };
    // What follows the comment is at most the blank or sign that keeps it one.
    if tokens.len() > comment + 2 {
        return false;
    }
    let Some(quote) = before.iter().position(|token| *token == Token::Quote) else { return false };
    let between = before.get(quote + 1..).unwrap_or_default();
    let sql = |token: &Token<'_>| {
        matches!(
            token,
            Token::Word("or" | "and" | "union" | "order" | "group" | "having" | "select" | "limit")
        )
    };
    between.iter().all(|token| matches!(token, Token::Sign(')' | ';'))) || between.iter().any(sql)
}

/// Another statement behind a semicolon.
fn stacked(tokens: &[Token<'_>]) -> bool {
    (0..tokens.len()).any(|at| {
        if tokens.get(at) != Some(&Token::Sign(';')) {
            return false;
        }
        let (Some(verb), next) = (word(tokens, at + 1), tokens.get(at + 2)) else { return false };
        STATEMENTS.iter().any(|(statement, follow)| {
            let next_word = word(tokens, at + 2);
            *statement == verb
                && match *statement {
                    "select" => {
                        !matches!(next, None | Some(Token::Word(_)))
                            || next_word.is_some_and(|one| {
                                one.starts_with("@@")
                                    || matches!(tokens.get(at + 3), Some(Token::Sign('(' | ',')))
                            })
                    }
                    "update" => word(tokens, at + 3) == Some("set"),
                    "insert" => {
                        let into = next_word == Some("into");
                        into && (matches!(tokens.get(at + 4), Some(Token::Sign('(')))
                            || matches!(word(tokens, at + 4), Some("values" | "select")))
                    }
                    "delete" => {
                        let from = next_word == Some("from") && word(tokens, at + 3).is_some();
                        from && (matches!(tokens.get(at + 4), None | Some(Token::Comment | Token::Sign(';')))
                            || word(tokens, at + 4) == Some("where"))
                    }
                    "declare" => next_word.is_some_and(|one| one.starts_with('@')),
                    _ => next_word.is_some_and(|one| follow.iter().any(|two| one.starts_with(two))),
                }
        })
    })
}

/// A call that makes the server wait, where a condition or a statement would stand.
fn timed(tokens: &[Token<'_>]) -> bool {
    (1..tokens.len()).any(|at| {
        let calls = matches!(word(tokens, at), Some("sleep" | "benchmark"))
            && tokens.get(at + 1) == Some(&Token::Sign('('))
            && tokens.get(at + 2) == Some(&Token::Number);
        let before = tokens.get(..at).unwrap_or_default();
        let in_sql = before.iter().any(|token| {
            matches!(
                token,
                Token::Word("or" | "and" | "select" | "if" | "xor" | "union" | "when")
                    | Token::Quote
                    | Token::Text
            )
        });
        calls && in_sql
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mark_is_passed_over() {
        for word in MARKS.iter().chain(&TELLTALES).chain(&["'", "\"", ";"]) {
            assert!(is_worth_reading(format!("a{word}b").as_bytes()), "{word}");
        }
        assert!(!is_worth_reading(b"sel-ect the orange | andes"));
    }

    #[test]
    fn injections_are_found() {
        for text in [
            "%' or 0=0 union select null, version() #",
            "1' or '1'='1",
            "' or ''='",
            "admin'--",
            "admin') #",
            "1 or 1=1",
            "1) and (2=2",
            "1 and 1=2 union all select 1,2,3",
            "-1 union select username, password from users",
            "1; drop table users",
            "1'; waitfor delay '0:0:5'--",
            "1' and sleep(5)#",
            "1 and (select 1 from (select sleep(5))a)",
            "x' and extractvalue(1,concat(0x7e,version()))",
            "1' order by 3-- -",
            "1;select pg_sleep(5)",
            "a' || '1'='1",
        ] {
            assert!(injection(text), "{text}");
        }
    }

    #[test]
    fn language_is_not() {
        for text in [
            "rock 'n' roll or blues",
            "student union select committee",
            "o'brien",
            "it's 5 o'clock and we're late",
            "select a union or create a table",
            "drop table; insert into a drawer",
            "'or'",
            "a -- b",
            "c# and f#",
            "\"exact words\" and more",
            "x=1 and y",
            "price>100 and price<200",
            "sleep(5)",
            "update your profile; select an option",
            "a=b;id=5",
        ] {
            assert!(!injection(text), "{text}");
        }
    }
}
