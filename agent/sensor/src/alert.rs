//! Lines of endpoint products, normalised to [`EndpointAlert`].
//!
//! CEF and plain words, inside RFC 5424 syslog, the older RFC 3164, or bare. What kind of alert it is and how bad is
//! read from the product's own words by tables in `words`; user names leave only as a keyed hash.

mod cef;
mod privacy;
mod syslog;
mod words;

use core::net::IpAddr;

use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::{Digest, FindingId, Host};
use sekimori_wire::time::Timestamp;

use crate::alert::cef::Cef;
use crate::alert::privacy::Redaction;
use crate::alert::syslog::Header;
use crate::counters::Counter;
use crate::segment::is_private;

pub(crate) use crate::alert::privacy::user_hash;

/// Longest line that is looked at; what is longer is cut.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Why a line is no alert of an endpoint product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAlert {
    /// There is no message.
    #[error("no message")]
    Empty,
    /// It begins as CEF and breaks its rules.
    #[error("begins as CEF, but is not whole")]
    MalformedCef,
    /// It names nothing that an endpoint product would report.
    #[error("plain words that name no alert")]
    NoPhrase,
}

impl NotAnAlert {
    /// What counts lines of this kind.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Empty => Counter::AlertEmpty,
            Self::MalformedCef => Counter::AlertMalformedCef,
            Self::NoPhrase => Counter::AlertNoPhrase,
        }
    }
}

/// Reads one syslog line. `from` is who sent it; `user_key` keys the hashes that stand for user names.
pub fn normalise(
    line: &[u8],
    received_at: Timestamp,
    intake: Intake,
    from: Option<IpAddr>,
    user_key: &[u8; 32],
) -> Result<EndpointAlert, NotAnAlert> {
    let text = String::from_utf8_lossy(line.get(..LINE_BYTES_MAX).unwrap_or(line));
    let text = text.trim_end_matches(['\r', '\n', '\0', ' ']);
    let (header, message) = syslog::split(text);
    if message.is_empty() {
        return Err(NotAnAlert::Empty);
    }
    let mut alert = match cef::begins(message) {
        Some(cef) => from_cef(&Cef::parse(cef).ok_or(NotAnAlert::MalformedCef)?, user_key, text),
        None => from_words(&header, message, user_key, text)?,
    };
    alert.intake = intake;
    alert.received_at = received_at;
    if alert.time == Timestamp::ZERO {
        alert.time = header.time.unwrap_or(received_at);
    }
    if alert.host_name.is_empty() {
        alert.host_name = header.host_name.into();
    }
    if alert.host.is_none() {
        let named = alert.host_name.parse::<IpAddr>().ok();
        alert.host = named.or_else(|| from.filter(|_| alert.host_name.is_empty())).map(Host::Ip);
    }
    alert.original_sha256 = Digest::of(line);
    alert.id = FindingId::of(&[
        b"endpoint.alert",
        alert.original_sha256.as_bytes(),
        &alert.time.nanos().to_be_bytes(),
    ]);
    Ok(alert)
}

fn from_cef(cef: &Cef, user_key: &[u8; 32], line: &str) -> EndpointAlert {
    let name = cef.header(5);
    let about = [name, cef.get("cat"), cef.get("msg"), cef.header(4), cef.get("cs1")].join(" ");
    let class = words::class_of(&about).unwrap_or(AlertClass::Other);
    let mut severity = words::severity_of_cef(cef.header(6));
    if class == AlertClass::Ransomware {
        severity = Severity::CRITICAL;
    }
    let (host, host_name, remote) = ends(cef, class);
    let user =
        ["duser", "suser", "duid", "suid"].iter().map(|key| cef.get(key)).find(|user| !user.is_empty());
    let mut redaction = Redaction::new(user_key);
    for key in ["duser", "suser", "duid", "suid", "spuid", "dpuid"] {
        redaction.name(cef.get(key));
        redaction.name(cef.raw(key));
    }
    let hash = ["fileHash", "sha256", "oldFileHash"].iter().find_map(|key| cef.get(key).parse().ok());
    EndpointAlert {
        vendor: cef.header(1).into(),
        product: cef.header(2).into(),
        signature_id: cef.header(4).into(),
        name: redaction.apply(name).as_str().into(),
        severity,
        class,
        host,
        host_name: host_name.into(),
        user: user.map(|user| user_hash(user_key, user)),
        remote,
        file_sha256: hash,
        action: cef.get("act").into(),
        original: redaction.apply(line).as_str().into(),
        time: syslog::cef_time(cef.get("rt")).unwrap_or_default(),
        format: AlertFormat::Cef,
        ..blank()
    }
}

/// The endpoint concerned and the other end. A product on the endpoint writes the endpoint as destination; where the
/// endpoint itself reaches out, it is the source. A private address is the endpoint rather than a public one.
fn ends(cef: &Cef, class: AlertClass) -> (Option<Host>, &str, Option<Host>) {
    let address = |key: &str| cef.get(key).parse::<IpAddr>().ok();
    let source = (address("src"), cef.get("shost"));
    let destination = (address("dst"), cef.get("dhost"));
    let device = (address("dvc"), cef.get("dvchost"));
    let named = |end: &(Option<IpAddr>, &str)| end.0.is_some() || !end.1.is_empty();
    let outward = match class {
        AlertClass::CommandAndControl | AlertClass::DataLoss | AlertClass::Policy => true,
        AlertClass::Malware
        | AlertClass::Ransomware
        | AlertClass::Exploit
        | AlertClass::BruteForce
        | AlertClass::Scan
        | AlertClass::Phishing
        | AlertClass::Other => false,
    };
    let (mut own, mut other) = if outward { (source, destination) } else { (destination, source) };
    let stranger = own.0.is_some_and(|address| !is_private(address)) && other.0.is_some_and(is_private);
    if stranger || !named(&own) {
        core::mem::swap(&mut own, &mut other);
    }
    if !named(&own) {
        own = device;
    }
    (own.0.map(Host::Ip), own.1, other.0.map(Host::Ip))
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
        action: "".into(),
        original: "".into(),
        original_sha256: Digest::ZERO,
        body: None,
        segment: None,
    }
}

#[cfg(test)]
mod tests;
