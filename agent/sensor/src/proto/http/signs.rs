//! Signs of an attack in a request: the parser sees all of it, and keeps of what it finds only which rule it was.
//!
//! Everything is judged in plain form (decoded, lower case). Fixed words come from a table; SQL, script, traversal and shell
//! commands are judged by what they are made of, in each value by itself. Every rule's name begins with `exploit.`, so that
//! the parser can also report it as an anomaly at once: the answer may be long in coming.

mod plain;
mod sql;
mod table;
mod value;

use core::net::Ipv4Addr;

use crate::event::http::{HttpForm, HttpSign};
use plain::{is_suspect, plain, without_lookups};
use table::{Place, RULES};

/// Bytes of a body that are looked at: exploits come early, and more would cost every upload.
pub(in crate::proto) const BODY_MAX: usize = 2 * 1024;
/// Signs of one request that are kept.
const SIGNS_MAX: usize = 8;
/// Hosts of one sign that are kept.
const CALLBACKS_MAX: usize = 4;
/// Values of one request that are looked at.
const VALUES_MAX: usize = 64;
/// Names of fields that only carry a password (HTML sends no other hint).
const PASSWORDS: [&str; 8] =
    ["pass", "pwd", "pw", "passwort", "passphrase", "userpass", "loginpass", "j_password"];
/// Endings of such names.
const PASSWORD_ENDINGS: [&str; 3] = ["password", "passwd", "_pwd"];
/// Names of fields that carry who logs in.
const USERS: [&str; 12] = [
    "user",
    "username",
    "user_name",
    "login",
    "uname",
    "userid",
    "user_id",
    "email",
    "log",
    "account",
    "j_username",
    "uid",
];
/// Names of fields of pages that run commands: what an attacker leaves behind calls them so (`OWASP`, "Web shells").
const COMMAND_FIELDS: [&str; 6] = ["cmd", "exec", "command", "execute", "shell", "c"];

/// Collects what is found.
#[derive(Debug, Default)]
pub(in crate::proto) struct Signs {
    found: Vec<HttpSign>,
}

impl Signs {
    fn add(&mut self, rule: &'static str, place: &'static str, calls_in: Option<&str>) {
        let callbacks: Box<[_]> = calls_in.map(callbacks).unwrap_or_default().into();
        if let Some(sign) = self.found.iter_mut().find(|sign| sign.rule == rule) {
            if sign.callbacks.is_empty() {
                sign.callbacks = callbacks;
            }
        } else if self.found.len() < SIGNS_MAX {
            self.found.push(HttpSign { rule, place, callbacks });
        }
    }

    /// What was found.
    pub(in crate::proto) fn take(self) -> Box<[HttpSign]> {
        self.found.into()
    }

    /// Looks at the target and the fields of a request's head.
    pub(in crate::proto) fn head<'f>(
        &mut self,
        target: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) {
        let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        let query = target.get(path.len() + 1..).unwrap_or_default();
        if target.iter().any(|byte| !is_harmless(*byte)) || climbs(target) {
            let whole = without_lookups(plain(target, true));
            self.rules("target", &whole, &whole, |place| matches!(place, Place::Target | Place::Anywhere));
            let path = plain(path, false);
            // `http://host/…` of a proxy has a root of its own.
            let local = path
                .split_once("://")
                .map_or(&*path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
            if value::traversal_in_path(local) {
                self.add("exploit.path_traversal", "target", None);
            }
            self.value(&path, "", "target");
            self.values(query, "target");
        } else if !query.is_empty() {
            let whole = plain(target, true);
            self.rules("target", &whole, &whole, |place| matches!(place, Place::Target | Place::Anywhere));
            self.values(query, "target");
        } else {
            let whole = plain(target, false);
            self.rules("target", &whole, &whole, |place| place == Place::Target);
        }
        for (name, value) in fields {
            self.field(name, value);
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let is = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
        let suspect = is_suspect(value)
            || ["soapaction", "range", "spring.cloud.function.routing-expression", "content-type"]
                .into_iter()
                .any(is);
        if !suspect {
            return;
        }
        let text = without_lookups(plain(value, false));
        self.rules("field", &text, "", |place| match place {
            Place::AnyField | Place::Anywhere => true,
            Place::Field(one) => is(one),
            Place::Target | Place::Body => false,
        });
        if ["user-agent", "x-forwarded-for", "cookie", "x-real-ip"].into_iter().any(is)
            && sql::injection(&text)
        {
            self.add("exploit.sql_injection", "field", None);
        }
    }

    /// Looks at the first bytes of a body.
    pub(in crate::proto) fn body(&mut self, kind: &[u8], body: &[u8], target: &str) {
        let is_form = is_form(kind);
        let target = plain(target.as_bytes(), true);
        let text = without_lookups(plain(body, is_form));
        self.rules("body", &text, &target, |place| matches!(place, Place::Body | Place::Anywhere));
        if is_form {
            self.values(body, "body");
        }
    }

    fn rules(&mut self, place: &'static str, text: &str, target: &str, fits: impl Fn(Place) -> bool) {
        let pairs = Pairs::of(text);
        for rule in RULES.iter().filter(|rule| fits(rule.place)) {
            let here = rule.words.iter().all(|word| pairs.may_hold(word) && text.contains(word));
            if here && (rule.target.is_empty() || target.contains(rule.target)) {
                self.add(rule.name, place, rule.executes.then_some(text));
            }
        }
    }

    /// Each value of `name=value&…`.
    fn values(&mut self, pairs: &[u8], place: &'static str) {
        for (name, value) in split(pairs) {
            self.value(&plain(value, true), &plain(name, true), place);
        }
    }

    fn value(&mut self, value: &str, name: &str, place: &'static str) {
        if sql::injection(value) {
            self.add("exploit.sql_injection", place, None);
        }
        if value::script(value) {
            self.add("exploit.cross_site_scripting", place, None);
        }
        if !name.is_empty() && value::traversal_in_value(value) {
            self.add("exploit.path_traversal", place, None);
        }
        if let Some(at) = value::command(value) {
            self.add("exploit.command_injection", place, value.get(at..));
        }
        if COMMAND_FIELDS.contains(&name) && value::is_command(value, false) {
            self.add("exploit.web_shell", place, Some(value));
        }
    }
}

/// Which pairs of letters stand in a text: most words of most rules are not searched for.
struct Pairs([bool; 1024]);

impl Pairs {
    fn of(text: &str) -> Self {
        let mut seen = [false; 1024];
        for pair in text.as_bytes().array_windows() {
            if let Some(one) = seen.get_mut(Self::place(*pair)) {
                *one = true;
            }
        }
        Self(seen)
    }

    /// By the lower five bits of each: letters differ in them.
    fn place([first, second]: [u8; 2]) -> usize {
        usize::from(first & 31) << 5 | usize::from(second & 31)
    }

    /// The first and the last pair of a word are there.
    fn may_hold(&self, word: &str) -> bool {
        let there = |pair: Option<&[u8; 2]>| {
            pair.is_none_or(|pair| self.0.get(Self::place(*pair)).copied().unwrap_or(true))
        };
        there(word.as_bytes().first_chunk()) && there(word.as_bytes().last_chunk())
    }
}

/// Two full stops in a row.
fn climbs(text: &[u8]) -> bool {
    text.contains(&b'.') && text.windows(2).any(|pair| pair == b"..")
}

const fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'?' | b'&' | b'=' | b'~' | b',' | b':')
}

fn is_form(kind: &[u8]) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    kind.get(..FORM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(FORM))
}

fn split(pairs: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pairs.split(|byte| *byte == b'&').take(VALUES_MAX).map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let first = parts.next().unwrap_or_default();
        parts.next().map_or((&[][..], first), |value| (first, value))
    })
}

/// What a form says of a login.
pub(in crate::proto) fn form(kind: &[u8], body: &[u8]) -> Option<HttpForm> {
    let fields: Vec<(&[u8], &[u8])> = if is_form(kind) {
        split(body).collect()
    } else if kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json")) {
        json_fields(body)
    } else {
        return None;
    };
    let mut form = HttpForm::default();
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        let name = plain(name, true);
        // `user[password]`, `ctl00$Login1$Password`.
        let last = name.rsplit(['[', '$', ':', '.']).next().unwrap_or_default().trim_end_matches(']');
        if PASSWORDS.contains(&last) || PASSWORD_ENDINGS.iter().any(|ending| last.ends_with(ending)) {
            form.has_password = true;
        } else if USERS.contains(&last) && form.user.is_none() {
            form.user = Some(super::head::text(plain(value, true).as_bytes(), 256));
        }
    }
    Some(form)
}

/// Names and texts of `"name": "text"`, wherever they stand; escapes within them do not matter for a name.
fn json_fields(body: &[u8]) -> Vec<(&[u8], &[u8])> {
    let parts: Vec<&[u8]> = body.split(|byte| *byte == b'"').take(2 * VALUES_MAX).collect();
    let pairs =
        parts.windows(3).filter(|part| matches!(part, [_, between, _] if between.trim_ascii() == b":"));
    pairs.filter_map(|part| Some((*part.first()?, *part.get(2)?))).collect()
}

/// Hosts of addresses and links in a text, with the port where there is one.
fn callbacks(text: &str) -> Vec<(Box<str>, Option<u16>)> {
    let mut found: Vec<(Box<str>, Option<u16>)> = Vec::new();
    let mut add = |host: &str, port: Option<u16>| {
        let host = host.trim_matches('.');
        if !host.is_empty()
            && host.len() <= 253
            && found.len() < CALLBACKS_MAX
            && found.iter().all(|(one, _)| **one != *host)
        {
            found.push((host.into(), port));
        }
    };
    let is_host = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    for (at, slashes) in text.match_indices("://") {
        let rest = text.get(at + slashes.len()..).unwrap_or_default();
        let end = rest.find(|letter| !is_host(letter)).unwrap_or(rest.len());
        let (host, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let digits = after.strip_prefix(':').unwrap_or_default();
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        add(host, digits.get(..end).and_then(|digits| digits.parse().ok()));
    }
    for word in text.split(|letter: char| !letter.is_ascii_digit() && letter != '.') {
        if word.trim_matches('.').parse::<Ipv4Addr>().is_ok() {
            add(word, None);
        }
    }
    found
}

#[cfg(test)]
mod tests;
