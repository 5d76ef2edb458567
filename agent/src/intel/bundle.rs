//! Our own format: lines of JSON, and a last line with an Ed25519 signature over every byte before it.
//!
//! ```text
//! SEKIMORI-INTEL 1
//! {"made":"2026-04-01T00:00:00Z","feeds":[{"name":"…","made":"…","max_age_seconds":604800,"entries":2}]}
//! {"t":"domain","v":"evil.example","f":0,"c":90,"e":"2026-07-01T00:00:00Z","n":"…"}
//! {"t":"ip","v":"198.51.100.7","f":0,"c":75}
//! {"key":"…","signature":"…"}
//! ```

use std::path::Path;
use std::time::Duration;

use sekimori_sensor::intel::{Feed, Intel};
use sekimori_wire::envelope::{SigningKey, VerifyingKey};
pub(super) use sekimori_wire::intel_bundle::shown;
use sekimori_wire::intel_bundle::{self, FrameError, MAGIC, Sealed};
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Import, Place, Reason, Row, kind_of};

/// Why a bundle is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("signed by {key}, which is none of the keys that are trusted")]
    Key { key: String },
    #[error("what was signed cannot be read")]
    Content(#[source] serde_json::Error),
}

/// The second line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    made: String,
    pub(super) feeds: Vec<FeedHead>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FeedHead {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age_seconds: Option<u64>,
    pub(super) entries: u64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    t: String,
    v: String,
    f: usize,
    c: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    n: String,
}

pub(super) fn is_bundle(text: &str) -> bool {
    text.starts_with(MAGIC.trim_end())
}

/// All of it as one signed file. Feeds that say nothing of their age are as old as the bundle.
pub(super) fn write(
    intel: &Intel,
    key: &SigningKey,
    made: Timestamp,
    max_age: Option<Duration>,
) -> Result<String, serde_json::Error> {
    let counts = intel.counts();
    let feeds = intel.feeds().iter().enumerate().map(|(number, feed)| FeedHead {
        name: feed.name.clone(),
        made: Some(feed.made.unwrap_or(made).to_string()),
        max_age_seconds: feed.max_age.or(max_age).map(|age| age.as_secs()),
        entries: counts.iter().filter(|((of, _), _)| *of == number).map(|(_, count)| count).sum(),
    });
    let head = Head { made: made.to_string(), feeds: feeds.collect() };
    let mut out = format!("{MAGIC}{}\n", serde_json::to_string(&head)?);
    let mut last = (String::new(), 0);
    for hit in intel.iter() {
        if last.0 != hit.feed.name {
            let number = intel.feeds().iter().position(|feed| feed.name == hit.feed.name);
            last = (hit.feed.name.clone(), number.unwrap_or_default());
        }
        let entry = Entry {
            t: hit.kind.as_str().to_owned(),
            v: hit.value(),
            f: last.1,
            c: hit.confidence,
            e: hit.expires.map(|at| at.to_string()),
            n: hit.note.to_owned(),
        };
        out.push_str(&serde_json::to_string(&entry)?);
        out.push('\n');
    }
    intel_bundle::seal(out, key)
}

/// The lines that one of the keys signed. Nothing is read before that is known.
pub(super) fn verified<'t>(text: &'t str, keys: &[VerifyingKey]) -> Result<&'t str, BundleError> {
    let sealed = Sealed::read(text)?;
    let claimed = sealed.claimed_key();
    let key = keys.iter().find(|key| shown(key) == claimed);
    let key = key.ok_or_else(|| BundleError::Key { key: claimed.chars().take(64).collect() })?;
    Ok(sealed.verified(key)?)
}

/// The first of the verified lines.
pub(super) fn head(lines: &str) -> Result<Head, BundleError> {
    serde_json::from_str(lines.lines().next().unwrap_or_default()).map_err(BundleError::Content)
}

pub(super) fn read(
    import: &mut Import,
    path: &Path,
    text: &str,
    keys: &[VerifyingKey],
) -> Result<(), BundleError> {
    let lines = verified(text, keys)?;
    let mut feeds = Vec::new();
    for feed in head(lines)?.feeds {
        let made = feed.made.and_then(|made| made.parse().ok());
        let max_age = feed.max_age_seconds.map(Duration::from_secs);
        let place = Place { path, at: &2 };
        feeds.push(import.feed(place, Feed { made, max_age, ..Feed::named(&feed.name) }));
    }
    for (number, line) in (3_u64..).zip(lines.lines().skip(1)) {
        let place = Place { path, at: &number };
        let entry: Entry = serde_json::from_str(line).map_err(BundleError::Content)?;
        let feed = feeds.get(entry.f).copied().flatten();
        let expires = entry.e.as_deref().map(str::parse).transpose();
        match (feed, kind_of(&entry.t), expires) {
            (None, _, _) => import.refuse(place, "", &entry.v, Reason::Columns),
            // Of a later version.
            (Some(_), None, _) => import.refuse(place, "", &entry.v, Reason::Kind),
            (Some(_), Some(_), Err(_)) => import.refuse(place, "", &entry.v, Reason::Expires),
            (Some(feed), Some(kind), Ok(expires)) => {
                let (value, note) = (entry.v.as_str(), entry.n.as_str());
                import.take(place, feed, &Row { kind, value, confidence: Some(entry.c), expires, note });
            }
        }
    }
    Ok(())
}
