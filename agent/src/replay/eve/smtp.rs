//! EVE of smtp.

use sekimori_sensor::event::{MailMessage, MailProgress, SmtpMail};
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &SmtpMail) -> Vec<Entry> {
    let mut smtp = Map::new();
    let mut put = |key: &str, value: Option<Value>| value.map(|value| smtp.insert(key.to_owned(), value));
    put("helo", one.helo.as_deref().map(Value::from));
    put("mail_from", one.mail_from.as_deref().map(Value::from));
    put("rcpt_to", texts(&one.rcpt_to));
    let entry = Entry::new("smtp", true, Value::Object(smtp)).with("tx_id", one.transaction);
    vec![match &one.message {
        Some(message) => entry.with("email", email(message)),
        None => entry,
    }]
}

fn email(message: &MailMessage) -> Value {
    let mut email = Map::new();
    let mut put = |key: &str, value: Option<Value>| value.map(|value| email.insert(key.to_owned(), value));
    put("status", Some(progress(message.progress).into()));
    put("from", message.from.as_deref().map(Value::from));
    put("to", texts(&message.to));
    put("cc", texts(&message.cc));
    put("attachment", texts(&message.attachments));
    Value::Object(email)
}

/// Suricata's name of how far a message came.
const fn progress(progress: MailProgress) -> &'static str {
    match progress {
        MailProgress::Started => "PARSE_NONE",
        MailProgress::Headers => "HEADER_STARTED",
        MailProgress::Body => "BODY_STARTED",
        MailProgress::Done => "PARSE_DONE",
    }
}

fn texts(texts: &[Box<str>]) -> Option<Value> {
    (!texts.is_empty()).then(|| texts.iter().map(|text| &**text).collect())
}
