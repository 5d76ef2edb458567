//! Telling people and systems: what a notice says, to whom it goes, and the ways it goes.
//!
//! ```text
//! template ─► Message ─► Letter (with a key that stays the same) ─► mail | webhook | syslog
//! ```
//! A letter goes out at least once: its key lets receivers see that they have it already.

pub mod clean;
pub mod mail;
pub mod settings;
pub mod syslog;
pub mod template;
pub mod tls;
pub mod webhook;

use sekimori_wire::time::Timestamp;

use self::settings::{Address, Settings};

/// How long one delivery may take, connecting included.
pub const DELIVERY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// One notice to one contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What makes it one of its kind.
    pub key: String,
    /// What it is about.
    pub kind: template::NoticeKind,
    /// Which incident; none for a test.
    pub incident: Option<String>,
    /// How bad, 0 to 4.
    pub level: u8,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub message: template::Message,
}

/// Why a letter did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// Trying again does not help.
    pub lasting: bool,
    /// What the other side said, or what happened; one line.
    pub detail: String,
}

impl Failure {
    /// May be over later.
    pub fn passing(detail: impl core::fmt::Display) -> Self {
        Self { lasting: false, detail: clean::line(&detail.to_string(), clean::CHARS_MAX) }
    }

    /// Will be the same next time.
    pub fn lasting(detail: impl core::fmt::Display) -> Self {
        Self { lasting: true, ..Self::passing(detail) }
    }
}

/// Sends a letter; `now` is signed into webhooks.
///
/// # Errors
/// It did not arrive, or nobody said that it did.
pub async fn send(settings: &Settings, to: &Address, letter: &Letter, now: Timestamp) -> Result<(), Failure> {
    let sent = async {
        match to {
            Address::Mail(address) => mail::send(settings, address, letter).await,
            Address::Webhook(name) => match settings.webhook(name) {
                Some(hook) => webhook::send(hook, letter, now).await,
                None => Err(Failure::lasting(format!("there is no webhook {name} any more"))),
            },
            Address::Syslog(name) => match settings.syslog(name) {
                Some(target) => syslog::send(target, letter).await,
                None => Err(Failure::lasting(format!("there is no syslog {name} any more"))),
            },
        }
    };
    match tokio::time::timeout(DELIVERY_TIMEOUT, sent).await {
        Ok(done) => done,
        Err(_elapsed) => Err(Failure::passing(format!("no answer within {} s", DELIVERY_TIMEOUT.as_secs()))),
    }
}
