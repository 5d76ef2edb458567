//! The head of a syslog line: RFC 5424, the older RFC 3164, or none.

use sekimori_wire::time::Timestamp;

/// What the head says; empty where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// Only RFC 5424 gives a whole time.
    pub(super) time: Option<Timestamp>,
    /// The time of RFC 3164, which has neither year nor zone.
    pub(super) stamp: &'a str,
    pub(super) host_name: &'a str,
    pub(super) app_name: &'a str,
}

/// Head and message. Never fails: a line without a head is all message.
pub(super) fn split(line: &str) -> (Header<'_>, &str) {
    let Some(after) = after_priority(line) else { return (Header::default(), line.trim_start()) };
    let (header, message) =
        rfc5424(after).or_else(|| rfc3164(after)).unwrap_or_else(|| (Header::default(), after));
    (header, message.trim().trim_start_matches('\u{feff}').trim_start())
}

/// What follows `<PRI>`, 0 to 191.
fn after_priority(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let priority: u8 = number.parse().ok()?;
    (number.len() <= 3 && priority <= 191).then_some(rest)
}

fn rfc5424(rest: &str) -> Option<(Header<'_>, &str)> {
    let rest = rest.strip_prefix("1 ")?;
    let mut fields = rest.splitn(6, ' ');
    let time = fields.next()?;
    let host_name = or_nil(fields.next()?);
    let app_name = or_nil(fields.next()?);
    let (_process, _message_id) = (fields.next()?, fields.next()?);
    let message = after_structured_data(fields.next()?)?;
    Some((Header { time: time.parse().ok(), stamp: "", host_name, app_name }, message))
}

fn or_nil(field: &str) -> &str {
    if field == "-" { "" } else { field }
}

/// What follows `-` or `[id name="value"…]…`; a value escapes `"`, `\` and `]`.
fn after_structured_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let (mut quoted, mut escaped, mut open) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            b'[' if !quoted => open = true,
            b']' if !quoted => open = false,
            _ if !open => return text.get(at..),
            _ => {}
        }
    }
    (!open).then_some("")
}

/// `Mmm dd hh:mm:ss HOST TAG: message`. Without a host (some firewalls), what follows the time is all message.
fn rfc3164(rest: &str) -> Option<(Header<'_>, &str)> {
    let (stamp, after) = (rest.get(..15)?, rest.get(15..)?.strip_prefix(' ')?);
    let shaped = stamp.bytes().zip(b"Aaa 00 00:00:00").all(|(byte, shape)| match shape {
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'0' => byte.is_ascii_digit() || byte == b' ',
        literal => byte == *literal,
    });
    if !shaped {
        return None;
    }
    let (host_name, message) = after.split_once(' ')?;
    let untagged = Header { time: None, stamp, host_name, app_name: "" };
    if message.starts_with("CEF:") || message.starts_with("LEEF:") {
        return Some((untagged, message));
    }
    // A tag is up to 48 letters and ends with a colon or a process number (RFC 3164, 4.1.3, is laxer).
    let tag = message.split_once([':', '[', ' ']).map_or("", |(tag, _)| tag);
    let tagged = message.get(tag.len()..).is_some_and(|rest| rest.starts_with([':', '[']));
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./()".contains(&byte);
    if !tagged || tag.is_empty() || tag.len() > 48 || !tag.bytes().all(is_word) {
        return Some((untagged, message));
    }
    let text = message.split_once(": ").map_or("", |(_, text)| text);
    Some((Header { app_name: tag, ..untagged }, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_each_kind() {
        for (line, host, app, message) in [
            ("<134>1 2026-04-01T00:00:00Z pc1 AV 12 ID1 - hello", "pc1", "AV", "hello"),
            ("<134>1 - - - - - - \u{feff}hello", "", "", "hello"),
            (r#"<134>1 - pc1 AV - - [a@1 b="x\"]y"][c] hello"#, "pc1", "AV", "hello"),
            ("<13>Apr  1 09:00:00 pc1 avd[12]: hello", "pc1", "avd", "hello"),
            ("<13>Apr  1 09:00:00 pc1 CEF:0|a", "pc1", "", "CEF:0|a"),
            ("<13>Apr  1 09:00:00 pc1 found it", "pc1", "", "found it"),
            ("<13>hello", "", "", "hello"),
            ("<13>Apr  1 09:00:00 fw1 %ASA-4-106023: Deny", "fw1", "", "%ASA-4-106023: Deny"),
            ("<13>Apr  1 09:00:00 pc1 {\"a\": 1}", "pc1", "", "{\"a\": 1}"),
            ("<13>Apr  1 09:00:00 pc1 LEEF:1.0|a", "pc1", "", "LEEF:1.0|a"),
            ("<999>hello", "", "", "<999>hello"),
            ("hello", "", "", "hello"),
            ("<13>1 2026", "", "", "1 2026"),
        ] {
            let (header, text) = split(line);
            assert_eq!((header.host_name, header.app_name, text), (host, app, message), "{line}");
        }
    }
}
