//! Lines of endpoint products, normalised to [`EndpointAlert`].
//!
//! Inside RFC 5424 syslog, the older RFC 3164, or bare: what a product's messages mean is said by its [`Mapping`], and what
//! no mapping knows is read as plain words by the tables in `words`. User names leave only as a keyed hash.

mod builtin;
mod form;
mod mapping;
mod privacy;
mod syslog;
mod time;
mod words;

use core::net::IpAddr;

use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::{Digest, FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::alert::form::Format;
use crate::alert::mapping::body::Body;
use crate::alert::mapping::{Given, Outcome};
use crate::alert::privacy::Redaction;
use crate::alert::syslog::Header;
use crate::counters::Counter;
use crate::segment::is_private;

pub use crate::alert::builtin::BUILT_IN;
pub use crate::alert::mapping::{Mapping, MappingError, Mappings};
pub(crate) use crate::alert::privacy::user_hash;
pub use crate::alert::time::Zone;

/// Longest line that is looked at; what is longer is cut.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why a line is no alert of an endpoint product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotAnAlert {
    /// There is no message.
    #[error("no message")]
    Empty,
    /// It begins as CEF and breaks its rules.
    #[error("begins as CEF, but is not whole")]
    MalformedCef,
    /// It begins as LEEF or JSON and breaks its rules.
    #[error("begins as LEEF or JSON, but is not whole")]
    Malformed,
    /// A mapping knows it, and it is no alert by its rules.
    #[error("a message of a known product that is no alert")]
    NoRule,
    /// It is CEF, LEEF or JSON of which no mapping knows what it means.
    #[error("written for machines, but no mapping knows it")]
    Unmapped,
    /// It names nothing that an endpoint product would report.
    #[error("plain words that name no alert")]
    NoPhrase,
}

impl NotAnAlert {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Empty, Self::MalformedCef, Self::Malformed, Self::NoRule, Self::Unmapped, Self::NoPhrase];

    /// What counts lines of this kind.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Empty => Counter::AlertEmpty,
            Self::MalformedCef => Counter::AlertMalformedCef,
            Self::Malformed => Counter::AlertMalformed,
            Self::NoRule => Counter::AlertNoRule,
            Self::Unmapped => Counter::AlertUnmapped,
            Self::NoPhrase => Counter::AlertNoPhrase,
        }
    }
}

/// A line as it came, and what is known of it besides.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Exactly as received.
    pub raw: &'a [u8],
    /// The same as text, however it was encoded.
    pub text: &'a str,
    /// When.
    pub received_at: Timestamp,
    /// How.
    pub intake: Intake,
    /// Who sent it.
    pub from: Option<IpAddr>,
    /// What tells lines without a time apart: where it stood. Without it, when it was received.
    pub place: Option<u64>,
    /// For times that name no zone.
    pub zone: Zone,
    /// Keys the hashes that stand for user names.
    pub user_key: &'a [u8; 32],
}

/// Reads one line.
pub fn normalise(line: &Line<'_>, mappings: &Mappings) -> Result<EndpointAlert, NotAnAlert> {
    let text = sekimori_wire::text::prefix(line.text, LINE_BYTES_MAX);
    let text = text.trim_end_matches(['\r', '\n', '\0', ' ']);
    let (header, message) = syslog::split(text);
    if message.is_empty() {
        return Err(NotAnAlert::Empty);
    }
    let given = Given {
        line: text,
        message,
        received_at: line.received_at,
        zone: line.zone,
        user_key: line.user_key,
    };
    let mut alert = match mapped(&given, mappings)? {
        Some(alert) => *alert,
        None => from_words(&header, message, line.user_key, text)?,
    };
    alert.intake = line.intake;
    alert.received_at = line.received_at;
    let told = Some(alert.time).filter(|time| *time != Timestamp::ZERO).or(header.time);
    let told = told.or_else(|| time::bsd(header.stamp, line.zone, line.received_at));
    alert.time = told.unwrap_or(line.received_at);
    // The same line of the same time is the same alert; without a time, of the same place.
    let distinct =
        told.map_or_else(|| line.place.unwrap_or_else(|| line.received_at.nanos()), Timestamp::nanos);
    if alert.host_name.is_empty() && alert.host.is_none() {
        alert.host_name = header.host_name.into();
    }
    if alert.host.is_none() {
        let named = alert.host_name.parse::<IpAddr>().ok();
        alert.host = named.or_else(|| line.from.filter(|_| alert.host_name.is_empty())).map(Host::Ip);
    }
    alert.original_sha256 = Digest::of(line.raw);
    alert.id = FindingId::of(&[b"endpoint.alert", alert.original_sha256.as_bytes(), &distinct.to_be_bytes()]);
    Ok(alert)
}

/// What the first mapping that knows the message makes of it; `None` for plain text that none knows.
fn mapped(given: &Given<'_>, mappings: &Mappings) -> Result<Option<Box<EndpointAlert>>, NotAnAlert> {
    let mut parsed: Option<(Format, &[String], Option<Body<'_>>)> = None;
    let mut is_known = false;
    for mapping in mappings.iter().filter(|mapping| mapping.may_be_mine(given.message)) {
        let (format, columns) = mapping.format();
        let is_same = matches!(&parsed, Some((had, names, _)) if (*had, *names) == (format, columns));
        if !is_same {
            parsed = Some((format, columns, Body::parse(format, given.message, columns)));
        }
        let body = parsed.as_ref().and_then(|(.., body)| body.as_ref());
        match mapping.read(given, body) {
            Outcome::NotMine => {}
            Outcome::NoAlert => is_known = true,
            Outcome::Alert(alert) => return Ok(Some(alert)),
        }
    }
    if is_known {
        return Err(NotAnAlert::NoRule);
    }
    let whole = |format| Body::parse(format, given.message, &[]).is_some();
    match given.message {
        cef if cef.starts_with("CEF:") => {
            Err(if whole(Format::Cef) { NotAnAlert::Unmapped } else { NotAnAlert::MalformedCef })
        }
        leef if leef.starts_with("LEEF:") => {
            Err(if whole(Format::Leef) { NotAnAlert::Unmapped } else { NotAnAlert::Malformed })
        }
        json if json.starts_with('{') => {
            Err(if whole(Format::Json) { NotAnAlert::Unmapped } else { NotAnAlert::Malformed })
        }
        _ => Ok(None),
    }
}

fn from_words(
    header: &Header<'_>,
    message: &str,
    user_key: &[u8; 32],
    line: &str,
) -> Result<EndpointAlert, NotAnAlert> {
    let (class, severity) = words::phrase_in(message).ok_or(NotAnAlert::NoPhrase)?;
    let mut redaction = Redaction::new(user_key);
    let user = words::labelled(message, words::USER_LABELS);
    redaction.name(user.unwrap_or_default());
    let address = |labels| words::labelled(message, labels).and_then(|text| text.parse::<IpAddr>().ok());
    // Without a label, a private address is the endpoint and a public one is the other end.
    let first = |private| words::addresses(message).find(|address| is_private(*address) == private);
    Ok(EndpointAlert {
        product: header.app_name.into(),
        name: redaction.apply(message).as_str().into(),
        severity,
        class,
        host: address(words::HOST_LABELS).or_else(|| first(true)).map(Host::Ip),
        host_name: words::labelled(message, words::HOST_LABELS)
            .filter(|text| text.parse::<IpAddr>().is_err())
            .unwrap_or_default()
            .into(),
        remote: address(words::REMOTE_LABELS).or_else(|| first(false)).map(Host::Ip),
        user: user.map(|user| user_hash(user_key, user)),
        file_sha256: words::labelled(message, words::HASH_LABELS).and_then(|text| text.parse().ok()),
        action: words::action_in(message).into(),
        original: redaction.apply(line).as_str().into(),
        format: AlertFormat::Plain,
        ..blank()
    })
}

fn blank() -> EndpointAlert {
    EndpointAlert {
        id: FindingId::default(),
        time: Timestamp::ZERO,
        received_at: Timestamp::ZERO,
        intake: Intake::Listener,
        format: AlertFormat::Plain,
        vendor: "".into(),
        product: "".into(),
        signature_id: "".into(),
        name: "".into(),
        severity: Severity::MEDIUM,
        class: AlertClass::Other,
        host: None,
        host_name: "".into(),
        user: None,
        remote: None,
        file_sha256: None,
        process: "".into(),
        action: "".into(),
        original: "".into(),
        original_sha256: Digest::ZERO,
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
