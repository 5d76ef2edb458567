//! Search filters as text (RFC 4515).

use super::messages::text as short;
use crate::proto::ber::{Ber, OCTETS};

/// Filters within filters that are written; deeper ones are `...`.
const DEPTH_MAX: usize = 12;
/// Bytes of text after which nothing more is written.
const LENGTH_MAX: usize = 1024;
/// What stands for the rest.
const REST: &str = "...";

/// A filter as text, cut where it is too long or deep.
pub(super) fn text(tag: u8, content: &[u8]) -> Box<str> {
    let mut out = String::new();
    write(tag, content, DEPTH_MAX, &mut out);
    out.into()
}

fn write(tag: u8, content: &[u8], depth: usize, out: &mut String) {
    if out.len() > LENGTH_MAX || depth == 0 {
        if !out.ends_with(REST) {
            out.push_str(REST);
        }
        return;
    }
    out.push('(');
    let mut body = Ber(content);
    match tag {
        0xa0 | 0xa1 => {
            out.push(if tag == 0xa0 { '&' } else { '|' });
            each(body, depth, out);
        }
        0xa2 => {
            out.push('!');
            each(body, depth, out);
        }
        0xa3 => pair(body, "=", out),
        0xa5 => pair(body, ">=", out),
        0xa6 => pair(body, "<=", out),
        0xa8 => pair(body, "~=", out),
        0xa4 => {
            escape(body.octets().unwrap_or_default(), out);
            out.push('=');
            substrings(body.rest().map(|(_, content)| Ber(content)), out);
        }
        0x87 => {
            escape(content, out);
            out.push_str("=*");
        }
        0xa9 => extensible(body, out),
        _ => out.push('?'),
    }
    out.push(')');
}

fn each(mut body: Ber<'_>, depth: usize, out: &mut String) {
    while let Some((tag, content)) = body.rest() {
        write(tag, content, depth.saturating_sub(1), out);
        if out.len() > LENGTH_MAX {
            return;
        }
    }
}

fn pair(mut body: Ber<'_>, operator: &str, out: &mut String) {
    escape(body.octets().unwrap_or_default(), out);
    out.push_str(operator);
    escape(body.rest().filter(|(tag, _)| *tag == OCTETS).map(|(_, value)| value).unwrap_or_default(), out);
}

/// Begin (80), middles (81) and end (82).
fn substrings(list: Option<Ber<'_>>, out: &mut String) {
    let Some(mut list) = list else { return };
    let mut ended = false;
    while let (Some((tag, part)), true) = (list.rest(), out.len() <= LENGTH_MAX) {
        if tag != 0x80 {
            out.push('*');
        }
        escape(part, out);
        ended = tag == 0x82;
    }
    if !ended {
        out.push('*');
    }
}

/// Rule (81), attribute (82), value (83), also of the name (84).
fn extensible(mut body: Ber<'_>, out: &mut String) {
    let (mut rule, mut attribute, mut value, mut of_name) = (None, None, None, false);
    while let Some((tag, content)) = body.rest() {
        match tag {
            0x81 => rule = Some(content),
            0x82 => attribute = Some(content),
            0x83 => value = Some(content),
            0x84 => of_name = content.iter().any(|byte| *byte != 0),
            _ => {}
        }
    }
    escape(attribute.unwrap_or_default(), out);
    if of_name {
        out.push_str(":dn");
    }
    if let Some(rule) = rule {
        out.push(':');
        escape(rule, out);
    }
    out.push_str(":=");
    escape(value.unwrap_or_default(), out);
}

/// Text; what is none or has a meaning in filters as `\xx`.
fn escape(bytes: &[u8], out: &mut String) {
    let is_text = core::str::from_utf8(bytes).is_ok();
    for one in short(bytes).chars().take(if is_text { usize::MAX } else { 0 }) {
        match one {
            '(' | ')' | '*' | '\\' | '\0' => escape_byte(u8::try_from(one).unwrap_or_default(), out),
            other => out.push(other),
        }
    }
    if !is_text {
        bytes.iter().take(super::messages::TEXT_MAX).for_each(|byte| escape_byte(*byte, out));
    }
}

fn escape_byte(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push('\\');
    for digit in [byte >> 4, byte & 0xf] {
        out.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
    }
}
