//! What only an attack sends in a stream that no parser reads, and the prompt of a shell in it: somebody has one where no
//! protocol for it is spoken.

use super::search::holds;
use super::{Side, Sink};
use crate::event::Application;

/// Bytes of a segment that are looked at from its beginning, and from its end.
const LOOKED_AT: usize = 256;
/// How shells and the commands typed first introduce themselves (`cmd.exe` of any version; `bash` and `dash` without a
/// terminal; `id` of the superuser).
const WORDS: [&[u8]; 6] = [
    b"Microsoft Windows [Version ",
    b"no job control in this shell",
    b"can't access tty; job control turned off",
    b"uid=0(root) gid=0(root)",
    b"Windows PowerShell running as user ",
    b"(C) Copyright 1985-2",
];

/// What is reported, how a stream begins, and what it then holds: the back door in `UnrealIRCd` (CVE-2010-2075), `distccd` asked
/// to run a shell (CVE-2004-2687), Redis told to write its database among somebody's keys or tasks.
const ATTACKS: [(&str, &[u8], &[u8]); 5] = [
    ("exploit.unrealircd_backdoor CVE-2010-2075", b"AB;", b""),
    ("exploit.distcc CVE-2004-2687", b"DIST00000001ARGC", b"ARGV00000002-c"),
    ("exploit.redis_write", b"*4\r\n$6\r\n", b"/.ssh"),
    ("exploit.redis_write", b"*4\r\n$6\r\n", b"/cron"),
    ("exploit.java_deserialisation", b"", b"org.apache.commons.collections.functors"),
];

/// Says so if `side` shows a prompt.
pub(super) fn look(side: Side, bytes: &[u8], sink: &mut Sink<'_>) {
    if is_shell(bytes) {
        sink.anomaly(Application::Unknown, side, "exploit.shell_prompt");
    }
    if side == Side::Originator
        && let Some(name) = attack(bytes)
    {
        sink.anomaly(Application::Unknown, side, name);
    }
}

fn attack(bytes: &[u8]) -> Option<&'static str> {
    /// What is held stands among the first bytes.
    const HELD_MAX: usize = 2 * 1024;
    let start = bytes.get(..HELD_MAX).unwrap_or(bytes);
    let found = ATTACKS.iter().find(|(_, begins, words)| start.starts_with(begins) && holds(start, words));
    found.map(|(name, ..)| *name)
}

fn is_shell(bytes: &[u8]) -> bool {
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let end = bytes.get(bytes.len().saturating_sub(LOOKED_AT)..).unwrap_or(bytes);
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~' | 0x80..);
    if bytes.len() < 5 || !start.iter().all(is_text) {
        return false;
    }
    let line = end.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    WORDS.iter().any(|words| holds(start, words)) || is_windows_prompt(line) || is_unix_prompt(line)
}

/// `C:\Windows\system32>`, also PowerShell's.
fn is_windows_prompt(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"PS ").unwrap_or(line).trim_ascii_end();
    let Some((drive, [b':', b'\\', path @ ..])) = line.split_first() else { return false };
    let Some((b'>', path)) = path.split_last() else { return false };
    drive.is_ascii_alphabetic()
        && !path.iter().any(|byte| matches!(byte, b'<' | b'>' | b'|' | b'"' | b'*' | b'?' | b':'))
}

/// `sh-5.1# `, `bash-4.2$ `: a shell that was started without its settings.
fn is_unix_prompt(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"sh-").or_else(|| line.strip_prefix(b"bash-")) else { return false };
    let Some((version, end)) = rest.split_last_chunk::<2>() else { return false };
    matches!(end, [b'$' | b'#', b' '])
        && version.contains(&b'.')
        && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_on_what_nobody_reads_are_known() {
        let redis = b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$15\r\n/var/lib/x/.ssh\r\n";
        assert_eq!(attack(redis), Some("exploit.redis_write"));
        assert_eq!(attack(b"AB; id\n"), Some("exploit.unrealircd_backdoor CVE-2010-2075"));
        assert_eq!(attack(b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n"), None);
        assert_eq!(attack(b"ABC"), None);
    }

    #[test]
    fn prompts_are_known_and_text_is_not() {
        for text in [
            &b"\r\nC:\\WINNT\\system32>"[..],
            b"Microsoft Windows [Version 10.0.19045]\r\n(c) Microsoft",
            b"bash: no job control in this shell\nbash-5.1$ ",
            b"sh-4.2# ",
            b"uid=0(root) gid=0(root) groups=0(root)\n",
            b"PS C:\\Users\\a> ",
        ] {
            assert!(is_shell(text), "{}", String::from_utf8_lossy(text));
        }
        for text in [
            &b"copy C:\\a to D:\\b\r\n"[..],
            b"<a>C:\\x</a>",
            b"router>",
            b"user@host:~$ ",
            b"C:\\a\\b.txt\r\n",
            b"x>",
        ] {
            assert!(!is_shell(text), "{}", String::from_utf8_lossy(text));
        }
    }
}
