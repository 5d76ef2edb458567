//! User names never leave the body in the clear (`DOMAIN` 3.14): a keyed hash stands for them, also inside the original
//! line and inside the paths of home folders.

use sekimori_wire::id::FindingId;

/// ASCII names shorter than this are only replaced where they stand alone: as part of other words they mean nothing.
const FREE_TEXT_BYTES_MIN: usize = 3;
/// What a home folder's name comes after, with `\` for either separator.
const HOME_FOLDERS: [&str; 3] = ["\\users\\", "\\home\\", "\\documents and settings\\"];

/// The keyed hash that stands for a user: equal accounts of one body give equal hashes, another key other ones. Upper and
/// lower case are one user, and so are `DOMAIN\account` and `account@domain`.
pub(crate) fn user_hash(key: &[u8; 32], user: &str) -> FindingId {
    FindingId::of(&[b"sekimori user", key, account(user).to_lowercase().as_bytes()])
}

fn account(user: &str) -> &str {
    let after = user.rsplit('\\').next().unwrap_or(user);
    after.split('@').next().unwrap_or(after)
}

/// What is to be replaced in a line.
#[derive(Debug)]
pub(super) struct Redaction<'k> {
    key: &'k [u8; 32],
    names: Vec<String>,
}

impl<'k> Redaction<'k> {
    /// Nothing yet but home folders.
    pub(super) const fn new(key: &'k [u8; 32]) -> Self {
        Self { key, names: Vec::new() }
    }

    /// A user name, and the account in it.
    pub(super) fn name(&mut self, name: &str) {
        for name in [name, account(name)] {
            if !name.is_empty() && !self.names.iter().any(|one| one == name) {
                self.names.push(name.to_owned());
            }
        }
        // As JSON writes it.
        if name.chars().any(|ch| !ch.is_ascii() || matches!(ch, '\\' | '"' | '/')) {
            let written = ascii_json(account(name));
            if !self.names.contains(&written) {
                self.names.push(written);
            }
        }
        // The longest first, or a part of a name would be replaced and the rest left.
        self.names.sort_by_key(|name| core::cmp::Reverse(name.len()));
    }

    /// The text with hashes in the places of names, in whatever case they are written.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text = self.without_home_folders(text);
        for name in &self.names {
            text = replaced(&text, name, &self.stand_in(name));
        }
        text
    }

    fn stand_in(&self, name: &str) -> String {
        format!("user#{}", user_hash(self.key, name))
    }

    fn without_home_folders(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = home_folder(rest) {
            let (before, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
            let end = from.find(['\\', '/', '"', '\'', ' ', '|', ';', ',']).unwrap_or(from.len());
            let (name, after) = from.split_at_checked(end).unwrap_or((from, ""));
            out.push_str(before);
            out.push_str(&self.stand_in(name));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// A name as JSON may write it: everything but plain letters as `\\uXXXX`.
fn ascii_json(name: &str) -> String {
    let mut out = String::with_capacity(name.len() * 6);
    for unit in name.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(char::from(byte)),
            Ok(_) | Err(_) => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

fn replaced(text: &str, name: &str, with: &str) -> String {
    // ASCII lower case keeps every byte in its place.
    let (lower, needle) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let alone = name.is_ascii() && name.len() < FREE_TEXT_BYTES_MIN;
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, found) in lower.match_indices(&needle) {
        let end = at + found.len();
        let before = lower.get(..at).and_then(|before| before.chars().next_back());
        let after = lower.get(end..).and_then(|after| after.chars().next());
        if alone && [before, after].into_iter().flatten().any(char::is_alphanumeric) {
            continue;
        }
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str(with);
        done = end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Where the name of the first home folder begins. Separators may be doubled by escaping.
fn home_folder(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // Only where a run of separators begins: a line full of them would take the square of its length.
    let begins = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        bytes.get(*at).is_some_and(is_separator) && !before.is_some_and(is_separator)
    };
    (0..bytes.len()).filter(begins).find_map(|at| {
        HOME_FOLDERS.iter().find_map(|folder| {
            let mut at = at;
            for letter in folder.bytes() {
                if letter == b'\\' {
                    let run = bytes.iter().skip(at).take_while(|byte| is_separator(byte)).count();
                    if run == 0 {
                        return None;
                    }
                    at += run;
                } else if bytes.get(at)?.eq_ignore_ascii_case(&letter) {
                    at += 1;
                } else {
                    return None;
                }
            }
            (at < bytes.len()).then_some(at)
        })
    })
}

const fn is_separator(byte: &u8) -> bool {
    matches!(*byte, b'\\' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_full_of_separators_is_soon_read() {
        let (key, long) = ([7; 32], "/".repeat(1 << 20));
        assert_eq!(Redaction::new(&key).apply(&long), long);
    }

    #[test]
    fn names_go_and_the_rest_stays() {
        let key = [7; 32];
        let mut redaction = Redaction::new(&key);
        redaction.name(r"TOWN\yamada");
        redaction.name("ab");
        redaction.name("林");
        let hash = user_hash(&key, "yamada");
        for (text, expect) in [
            ("mail of Yamada, table", format!("mail of user#{hash}, table")),
            ("duser=ab", format!("duser=user#{}", user_hash(&key, "ab"))),
            ("利用者林です", format!("利用者user#{}です", user_hash(&key, "林"))),
            (r"TOWN\yamada", format!("user#{hash}")),
            (r"C:\Users\yamada\x.exe", format!(r"C:\Users\user#{hash}\x.exe")),
            (r"C:\\Users\\Yamada\\x", format!(r"C:\\Users\\user#{hash}\\x")),
            ("/home/YAMADA/x", format!("/home/user#{hash}/x")),
            ("no names, 関守 /home/", "no names, 関守 /home/".to_owned()),
        ] {
            assert_eq!(redaction.apply(text), expect);
        }
        assert_ne!(hash, user_hash(&[8; 32], "yamada"));
    }
}
