//! Protocols known by their first line: SSH, FTP; and syslog's framing.

/// The priority of a syslog message has at most three digits (RFC 5424, 6.2.1).
const PRIORITY_DIGITS_MAX: usize = 3;
/// Digits of an octet count (RFC 6587, 3.4.1).
const COUNT_DIGITS_MAX: usize = 5;
pub(super) const SYSLOG_PORT: u16 = 514;
/// Plain syslog over TCP (RFC 6587): by habit and by registration.
pub(super) const SYSLOG_STREAM_PORTS: [u16; 2] = [SYSLOG_PORT, 601];

/// SSH's identification (RFC 4253, 4.2); `Err(true)` if more bytes could still make one.
pub(super) fn probe_ssh(bytes: &[u8]) -> Result<(), bool> {
    const BANNER: &[u8] = b"SSH-";
    if bytes.starts_with(BANNER) { Ok(()) } else { Err(BANNER.starts_with(bytes)) }
}

/// A greeting with code 220: FTP (RFC 959) or SMTP.
pub(super) fn is_greeting(bytes: &[u8]) -> bool {
    bytes.starts_with(b"220 ") || bytes.starts_with(b"220-")
}

/// A greeting that names FTP in its first line.
pub(super) fn is_ftp_greeting(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    is_greeting(bytes) && line.windows(3).any(|word| word.eq_ignore_ascii_case(b"ftp"))
}

/// What an FTP client says after a greeting, and no SMTP client does.
pub(super) fn is_ftp_command(bytes: &[u8]) -> bool {
    [&b"USER "[..], b"AUTH TLS", b"AUTH SSL", b"FEAT\r\n"]
        .iter()
        .any(|command| bytes.get(..command.len()).is_some_and(|start| start.eq_ignore_ascii_case(command)))
}

/// Begins with a priority: `<13>`.
pub(super) fn is_syslog(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"<") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=PRIORITY_DIGITS_MAX).contains(&digits) && rest.get(digits) == Some(&b'>')
}

/// One message of a syslog stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The message, and how many bytes it took.
    Whole(&'a [u8], usize),
    /// More is needed.
    Partial,
    /// Not syslog.
    Malformed,
}

/// The first message of `bytes`: counted (`17 <13>…`) or ended by a line feed or NUL (RFC 6587, 3.4).
pub(super) fn syslog_line(bytes: &[u8]) -> Line<'_> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > COUNT_DIGITS_MAX {
        return Line::Malformed;
    }
    if digits > 0 {
        let (count, rest) = bytes.split_at_checked(digits).unwrap_or_default();
        let count =
            str::from_utf8(count).ok().and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
        return match rest.split_first() {
            None => Line::Partial,
            Some((b' ', message)) => match message.get(..count) {
                Some(line) if is_syslog(line) => Line::Whole(line, digits + 1 + count),
                Some(_) => Line::Malformed,
                None => Line::Partial,
            },
            Some(_) => Line::Malformed,
        };
    }
    match bytes.iter().position(|byte| matches!(byte, b'\n' | 0)) {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if is_syslog(line) { Line::Whole(line, end + 1) } else { Line::Malformed }
        }
        None if bytes.is_empty() || bytes.starts_with(b"<") => Line::Partial,
        None => Line::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_makes_syslog() {
        for (text, expected) in [
            ("<13>Oct 11 x", true),
            ("<0>", true),
            ("<191>1 -", true),
            ("<1913>1", false),
            ("<>x", false),
            ("<13", false),
            ("13>", false),
            ("", false),
        ] {
            assert_eq!(is_syslog(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn frames_syslog_streams() {
        for (text, expected) in [
            ("<13>a b\n<14>c", Line::Whole(b"<13>a b", 8)),
            ("<13>a\r\n", Line::Whole(b"<13>a", 7)),
            ("<13>a\0", Line::Whole(b"<13>a", 6)),
            ("7 <13>a\nb5 <1", Line::Whole(b"<13>a\nb", 9)),
            ("7 <13>a", Line::Partial),
            ("12", Line::Partial),
            ("<13>a", Line::Partial),
            ("", Line::Partial),
            ("123456 <13>", Line::Malformed),
            ("5 abcde", Line::Malformed),
            ("hello\n", Line::Malformed),
        ] {
            assert_eq!(syslog_line(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn tells_ftp_from_smtp() {
        assert!(is_ftp_greeting(b"220 (vsFTPd 3.0.3)\r\n"));
        assert!(
            is_greeting(b"220 mail.example.jp ESMTP\r\n")
                && !is_ftp_greeting(b"220 mail.example.jp ESMTP\r\n")
        );
        assert!(is_ftp_command(b"user anonymous\r\n") && !is_ftp_command(b"EHLO x\r\n"));
        assert_eq!(probe_ssh(b"SSH-2.0-OpenSSH_9.2"), Ok(()));
        assert_eq!(probe_ssh(b"SS"), Err(true));
        assert_eq!(probe_ssh(b"SSL"), Err(false));
    }
}
