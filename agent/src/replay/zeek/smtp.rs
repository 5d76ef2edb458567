//! `smtp.log`.

use sekimori_sensor::event::{FlowRef, MailMessage, SmtpMail};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};

static LOG: Log = Log {
    name: "smtp",
    fields: &[
        ("trans_depth", "count"),
        ("helo", "string"),
        ("mailfrom", "string"),
        ("rcptto", "set[string]"),
        ("date", "string"),
        ("from", "string"),
        ("to", "set[string]"),
        ("cc", "set[string]"),
        ("reply_to", "string"),
        ("msg_id", "string"),
        ("in_reply_to", "string"),
        ("subject", "string"),
        ("x_originating_ip", "addr"),
        ("first_received", "string"),
        ("second_received", "string"),
        ("last_reply", "string"),
        ("path", "vector[addr]"),
        ("user_agent", "string"),
        ("tls", "bool"),
        ("fuids", "vector[string]"),
    ],
};

pub(super) fn rows(at: Timestamp, flow: &FlowRef, one: &SmtpMail) -> Vec<Row> {
    // A connection in which the client did nothing leaves no line.
    if one.mail_from.is_none() && one.rcpt_to.is_empty() && !one.tls {
        return Vec::new();
    }
    let none = MailMessage::default();
    let message = one.message.as_ref().unwrap_or(&none);
    let received = |back: usize| Cell::of(message.received.iter().rev().nth(back).map(|text| &**text));
    let mut path = vec![flow.responder.address, flow.originator.address];
    for address in &message.path {
        if path.last() != Some(address) {
            path.push(*address);
        }
    }
    vec![Row {
        log: &LOG,
        at,
        cells: vec![
            Cell::Count(one.depth.into()),
            Cell::of(one.helo.as_deref()),
            Cell::of(one.mail_from.as_deref().and_then(address)),
            set(&one.rcpt_to.iter().filter_map(|path| address(path)).collect::<Vec<_>>()),
            Cell::of(message.date.as_deref()),
            Cell::of(message.from.as_deref()),
            set(&message.to.iter().map(|text| &**text).collect::<Vec<_>>()),
            set(&message.cc.iter().map(|text| &**text).collect::<Vec<_>>()),
            Cell::of(message.reply_to.as_deref()),
            Cell::of(message.message_id.as_deref()),
            Cell::of(message.in_reply_to.as_deref()),
            Cell::of(message.subject.as_deref()),
            Cell::of(message.originating_ip.map(|address| address.to_string())),
            received(0),
            received(1),
            Cell::of(one.last_reply.as_ref().map(|(code, text)| format!("{code} {text}"))),
            Cell::Many(path.iter().map(|address| Cell::text(address.to_string())).collect()),
            Cell::of(message.user_agent.as_deref()),
            Cell::Bool(one.tls),
            Cell::Many(Vec::new()),
        ],
    }]
}

/// The address within a path: `<a@b>`.
fn address(path: &str) -> Option<&str> {
    let inner = path.trim_start_matches('<').trim_end_matches('>');
    let (local, domain) = inner.split_once('@')?;
    (!local.is_empty() && !domain.is_empty()).then_some(inner)
}

/// A set: each once; unset if there is none.
fn set(texts: &[&str]) -> Cell {
    let mut once: Vec<&str> = Vec::new();
    for text in texts.iter().copied() {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    if once.is_empty() { Cell::Unset } else { Cell::Many(once.into_iter().map(Cell::text).collect()) }
}
