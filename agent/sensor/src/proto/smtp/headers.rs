//! Header fields of a message (RFC 5322, 3.6; RFC 2045, 5.1; RFC 2183).

use core::net::IpAddr;

use crate::event::MailMessage;
use crate::proto::lines::{self, after};

/// Longest value kept of a header.
const VALUE_MAX: usize = 4096;
/// Mailboxes kept of `To`, and of `Cc`.
const MAILBOXES_MAX: usize = 100;
/// `Received` headers kept.
const RECEIVED_MAX: usize = 2;
/// Addresses kept of the path.
const PATH_MAX: usize = 64;
/// Attachments named.
const ATTACHMENTS_MAX: usize = 64;
/// Longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// Keeps what a header of the whole message says.
pub(super) fn keep(header: &[u8], message: &mut MailMessage) {
    let Some(colon) = header.iter().position(|byte| *byte == b':') else { return };
    let (name, value) = header.split_at_checked(colon).unwrap_or_default();
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let text = || Some(lines::text(value, VALUE_MAX));
    match name.trim_ascii_end().to_ascii_lowercase().as_slice() {
        b"from" => message.from = text(),
        b"to" => keep_mailboxes(value, &mut message.to),
        b"cc" => keep_mailboxes(value, &mut message.cc),
        b"reply-to" => message.reply_to = text(),
        b"subject" => message.subject = text(),
        b"date" => message.date = text(),
        b"message-id" => message.message_id = text(),
        b"in-reply-to" => message.in_reply_to = text(),
        b"x-mailer" | b"user-agent" | b"x-user-agent" => message.user_agent = text(),
        b"x-originating-ip" => message.originating_ip = addresses(value).first().copied(),
        b"received" => {
            if message.received.len() >= RECEIVED_MAX {
                message.received.remove(0);
            }
            message.received.extend(text());
            // The first is often what a host calls itself, the second where it really was.
            let found = addresses(value);
            if let Some(address) = found.get(1).or_else(|| found.first())
                && message.path.len() < PATH_MAX
            {
                message.path.push(*address);
            }
        }
        _ => {}
    }
}

/// The mailboxes of a list, as they stand: separated by commas outside quotes.
fn keep_mailboxes(list: &[u8], to: &mut Vec<Box<str>>) {
    let mut quoted = false;
    let parts = list.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    for part in parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        if to.len() >= MAILBOXES_MAX {
            return;
        }
        to.push(lines::text(part, VALUE_MAX));
    }
}

/// The first two IP addresses in a text; IPv6 may be written as RFC 5321, 4.1.3 has it.
fn addresses(text: &[u8]) -> Vec<IpAddr> {
    const LONGEST: usize = 52;
    let words = text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':')));
    let words = words.filter(|word| (3..=LONGEST).contains(&word.len()));
    let parsed = words.filter_map(|word| {
        let word = str::from_utf8(after(word, b"IPv6:").unwrap_or(word)).ok()?;
        word.trim_end_matches(['.', ':']).parse().or_else(|_cut_too_much| word.parse()).ok()
    });
    parsed.take(2).collect()
}

/// The boundary of a message in several parts.
pub(super) fn boundary(header: &[u8]) -> Option<Box<[u8]>> {
    let value = after(header, b"Content-Type:")?;
    let multipart = after(value.trim_ascii(), b"multipart/").is_some();
    let boundary = parameter(value, b"boundary")?;
    (multipart && (1..=BOUNDARY_MAX).contains(&boundary.len())).then(|| boundary.into())
}

/// Keeps the name of an attached file.
pub(super) fn keep_attachment(header: &[u8], message: &mut MailMessage) {
    let name = after(header, b"Content-Disposition:").and_then(|value| parameter(value, b"filename"));
    let name = name.or_else(|| after(header, b"Content-Type:").and_then(|value| parameter(value, b"name")));
    if let Some(name) = name.map(|name| lines::text(name, VALUE_MAX))
        && message.attachments.len() < ATTACHMENTS_MAX
        && message.attachments.last() != Some(&name)
    {
        message.attachments.push(name);
    }
}

/// The value of a parameter (`; name=value` or `; name="value"`).
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut quoted = false;
    let mut parts = value.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b';' && !quoted
    });
    parts.find_map(|part| {
        let rest = after(part.trim_ascii(), name)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        Some(rest.strip_prefix(b"\"").map_or(rest, |rest| rest.strip_suffix(b"\"").unwrap_or(rest)))
    })
}
