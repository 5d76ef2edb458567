//! Directories, sizes and addresses within FTP's commands and replies.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{Endpoint, FlowRef, FtpCommand, FtpDataChannel};

/// Longest directory kept.
const DIRECTORY_MAX: usize = 1024;

/// The directory after a reply, if it changed or was told.
pub(super) fn changed(directory: &str, command: &FtpCommand, code: u16, text: &str) -> Option<Box<str>> {
    let next = match (command.command.as_deref()?, code) {
        ("CWD", 250) => joined(directory, &command.argument),
        ("CDUP", 200 | 250) => joined(directory, ".."),
        ("PWD" | "XPWD", 257) => told(text)?.to_owned(),
        _ => return None,
    };
    (next.len() <= DIRECTORY_MAX).then(|| next.into())
}

/// `name` as seen from `directory`, without detours.
pub(super) fn joined(directory: &str, name: &str) -> String {
    let drive = matches!(name.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let whole = if name.starts_with('/') || drive { name.to_owned() } else { format!("{directory}/{name}") };
    let mut parts: Vec<&str> = Vec::new();
    for (at, part) in whole.split('/').enumerate() {
        match part {
            "" if at > 0 => {}
            "." if at > 0 => {}
            ".." => match parts.last() {
                None | Some(&"..") => parts.push(part),
                Some(&"") => {}
                Some(_) => {
                    parts.pop();
                }
            },
            part => parts.push(part),
        }
    }
    if parts == [""] { "/".to_owned() } else { parts.join("/") }
}

/// The directory in `257 "/home" is current directory`.
fn told(text: &str) -> Option<&str> {
    let quoted = text.split_once('"').and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path);
    quoted.filter(|path| path.starts_with('/')).or_else(|| text.split(' ').find(|word| word.starts_with('/')))
}

/// The last number of a text: the size in `Opening data connection for a1.txt (123 bytes)`.
pub(super) fn last_number(text: &str) -> Option<u64> {
    text.split(|char: char| !char.is_ascii_digit()).rfind(|digits| !digits.is_empty())?.parse().ok()
}

/// Where the client of `PORT` or `EPRT` waits for this server.
pub(super) fn active(argument: &[u8], server: IpAddr) -> Option<FtpDataChannel> {
    let text = str::from_utf8(argument).ok()?;
    let to = numbers(text).or_else(|| extended(text))?;
    Some(FtpDataChannel { passive: false, from: server, to })
}

/// Where the server of `PASV` or `EPSV` waits for this client.
pub(super) fn passive(code: u16, text: &str, flow: &FlowRef) -> Option<FtpDataChannel> {
    let to = if code == 227 {
        let start = text.find(|char: char| char.is_ascii_digit())?;
        numbers(text.get(start..)?)?
    } else {
        let inner = text.split_once('(')?.1;
        let port = inner.trim_start_matches('|').split('|').next()?.parse().ok()?;
        Endpoint { address: flow.responder.address, port }
    };
    Some(FtpDataChannel { passive: true, from: flow.originator.address, to })
}

/// `192,0,2,1,4,1` (RFC 959, 5.3.2), perhaps with something behind it.
fn numbers(text: &str) -> Option<Endpoint> {
    let end = text.find(|char: char| !(char.is_ascii_digit() || char == ',')).unwrap_or(text.len());
    let mut parts = text.get(..end)?.split(',').map(str::parse::<u8>);
    let mut next = || parts.next()?.ok();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    Some(Endpoint { address: address.into(), port })
}

/// `|2|2001:db8::1|1025|` (RFC 2428, 2).
fn extended(text: &str) -> Option<Endpoint> {
    let separator = text.chars().next()?;
    let mut parts = text.split(separator).skip(1);
    let family = parts.next()?;
    let address = parts.next()?;
    let address = match family {
        "1" => address.parse::<Ipv4Addr>().ok()?.into(),
        "2" => address.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    Some(Endpoint { address, port: parts.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_paths() {
        for (directory, name, expected) in [
            (".", "robots.txt", "./robots.txt"),
            (".", "", "."),
            ("/", "a", "/a"),
            ("/a/b", "../c/./d", "/a/c/d"),
            ("/a", "/x//y", "/x/y"),
            ("/", "..", "/"),
            ("/", "../..", "/"),
            (".", "../a", "a"),
        ] {
            assert_eq!(joined(directory, name), expected, "{directory} {name}");
        }
    }

    #[test]
    fn reads_addresses_and_sizes() {
        let end = |text: &str, port| Some(Endpoint { address: text.parse().unwrap(), port });
        assert_eq!(numbers("192,0,2,1,4,1)."), end("192.0.2.1", 1025));
        assert_eq!(numbers("192,0,2,256,4,1"), None);
        assert_eq!(numbers("114,115"), None);
        assert_eq!(extended("|2|2001:db8::1|1025|"), end("2001:db8::1", 1025));
        assert_eq!(extended("|1|2001:db8::1|1025|"), None);
        assert_eq!(last_number("Opening data connection for rfc1001.txt (154427 bytes)."), Some(154_427));
        assert_eq!(last_number("no"), None);
        assert_eq!(told("\"/home/a b\" is current"), Some("/home/a b"));
        assert_eq!(told("/home is current"), Some("/home"));
    }
}
