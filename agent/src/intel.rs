//! Threat intelligence from files: read, checked, counted, and signed for others.
//!
//! ```text
//! CSV or TSV ─► table ─┐
//! MISP JSON  ─► misp  ─┼─► Import (Builder + Report) ─► Intel, for the sensors
//! STIX 2.1   ─► stix  ─┤                             └► bundle: one signed file for many agents
//! bundle     ─► verify ┘
//! ```
//!
//! What is not taken is counted by reason, and the first few of each are named with file and line: a feed that breaks is
//! seen, not silently smaller.

mod bundle;
pub(crate) mod command;
pub(crate) mod guard;
mod misp;
mod report;
pub(crate) mod shelf;
mod stix;
mod table;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekimori_sensor::intel::{Builder, Feed, Indicator, Intel, Kind};
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::finding::Severity;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

pub(crate) use bundle::BundleError;
pub(crate) use report::{Reason, Report};

/// Largest table or bundle: two million lines of 128 bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Largest JSON: as a tree it takes several times as much.
const JSON_BYTES_MAX: u64 = 64 << 20;
/// Of the digest that names what was read: enough to compare.
const VERSION_DIGITS: usize = 16;
/// What a feed that does not say is taken to mean: it was worth listing.
const CONFIDENCE: u8 = 75;

/// Which files to read, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Of any kind.
    pub(crate) files: Vec<PathBuf>,
    /// Signed by one of the keys.
    pub(crate) bundles: Vec<PathBuf>,
    pub(crate) keys: Vec<VerifyingKey>,
    /// Of the collector's policy, each with the key that it names.
    pub(crate) central: Vec<(PathBuf, VerifyingKey)>,
    /// Tables of prefixes behind which many stand.
    pub(crate) shared: Vec<PathBuf>,
    /// For feeds that do not say themselves when they should have been replaced.
    pub(crate) max_age: Option<Duration>,
    /// The most that a match of a feed can be.
    pub(crate) severities: Vec<(String, Severity)>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntelError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} is larger than {} MiB", path.display(), max_bytes >> 20)]
    TooLarge { path: PathBuf, max_bytes: u64 },
    #[error("{} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
    #[error("{}: the first line must name the columns, `type` and `value` among them", path.display())]
    NoHeader { path: PathBuf },
    #[error("{} is neither a MISP event nor a STIX 2.1 bundle", path.display())]
    NotJson {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("{}: signed bundles belong under `bundles`, where their signature is checked", path.display())]
    Unverified { path: PathBuf },
    #[error("{}:{line}: not a prefix, a tab and its operator, or one line too many", path.display())]
    Shared { path: PathBuf, line: usize },
    #[error("{}", path.display())]
    Bundle {
        path: PathBuf,
        #[source]
        cause: BundleError,
    },
}

/// Indicators while they are gathered.
#[derive(Debug, Default)]
pub(crate) struct Import {
    builder: Builder,
    report: Report,
    /// Of every file that was read.
    digests: Vec<u8>,
}

/// One indicator as a file gives it.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    kind: Kind,
    value: &'a str,
    confidence: Option<u8>,
    expires: Option<Timestamp>,
    note: &'a str,
}

/// Where something stands: the line of a table, or the identifier in a JSON file.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    at: &'a dyn core::fmt::Display,
}

impl Import {
    /// Reads a file of whatever kind it is. A bundle is refused: nothing checked its signature.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), IntelError> {
        let text = self.text(path)?;
        let start = text.trim_start();
        if bundle::is_bundle(start) {
            return Err(IntelError::Unverified { path: path.to_owned() });
        }
        if !start.starts_with(['{', '[']) {
            return table::read(self, path, &text);
        }
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > JSON_BYTES_MAX {
            return Err(IntelError::TooLarge { path: path.to_owned(), max_bytes: JSON_BYTES_MAX });
        }
        let read =
            if stix::is_stix(start) { stix::read(self, path, start) } else { misp::read(self, path, start) };
        read.map_err(|cause| IntelError::NotJson { path: path.to_owned(), cause })
    }

    /// Reads a bundle that one of the keys signed.
    pub(crate) fn bundle(&mut self, path: &Path, keys: &[VerifyingKey]) -> Result<(), IntelError> {
        let text = self.text(path)?;
        bundle::read(self, path, &text, keys)
            .map_err(|cause| IntelError::Bundle { path: path.to_owned(), cause })
    }

    /// Reads a table of prefixes behind which many stand. `#` begins a comment.
    fn shared(&mut self, path: &Path) -> Result<(), IntelError> {
        for (number, line) in read(path)?.lines().enumerate() {
            let is_empty = line.trim().is_empty() || line.starts_with('#');
            if !is_empty && !self.builder.share(line) {
                return Err(IntelError::Shared { path: path.to_owned(), line: number + 1 });
            }
        }
        Ok(())
    }

    fn text(&mut self, path: &Path) -> Result<String, IntelError> {
        let text = read(path)?;
        self.digests.extend(Digest::of(text.as_bytes()).as_bytes());
        Ok(text)
    }

    /// What was taken, and what not.
    pub(crate) fn finish(self) -> (Intel, Report) {
        let taken = self.report.taken;
        let intel = self.builder.build();
        let mut report = self.report;
        report.repeated = taken.saturating_sub(u64::try_from(intel.len()).unwrap_or(u64::MAX));
        (intel, report)
    }

    /// The number of a feed; `None` if there are too many, which is counted.
    fn feed(&mut self, place: Place<'_>, feed: Feed) -> Option<u16> {
        let name = feed.name.clone();
        match self.builder.feed(feed) {
            Ok(number) => Some(number),
            Err(refused) => {
                self.refuse(place, &name, "", Reason::Refused(refused));
                None
            }
        }
    }

    fn take(&mut self, place: Place<'_>, feed: u16, row: &Row<'_>) {
        let Row { kind, value, confidence, expires, note } = *row;
        let confidence = confidence.unwrap_or(CONFIDENCE);
        match self.builder.add(feed, &Indicator { kind, value, confidence, expires, note }) {
            Ok(()) => self.report.taken += 1,
            Err(refused) => {
                let name = self.builder.feeds().get(usize::from(feed)).map(|feed| feed.name.clone());
                self.refuse(place, &name.unwrap_or_default(), value, Reason::Refused(refused));
            }
        }
    }

    fn refuse(&mut self, place: Place<'_>, feed: &str, value: &str, reason: Reason) {
        self.report.refuse(place, feed, value, reason);
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) intel: Arc<Intel>,
    /// Names it: the same files, the same version. Empty without any.
    pub(crate) version: String,
}

/// Reads everything: what cannot be read ends it.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, IntelError> {
    let (loaded, problems) = gather(sources);
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(loaded),
    }
}

/// Reads what can be read: a gateway with half its lists is better than none.
pub(crate) fn gather(sources: &Sources) -> (Loaded, Vec<IntelError>) {
    let mut import = Import::default();
    let files = sources.files.iter().map(|path| (path, false));
    let bundles = sources.bundles.iter().map(|path| (path, true));
    let mut problems = Vec::new();
    for (path, is_bundle) in files.chain(bundles) {
        let read = if is_bundle { import.bundle(path, &sources.keys) } else { import.file(path) };
        problems.extend(read.err());
    }
    for (path, key) in &sources.central {
        problems.extend(import.bundle(path, core::slice::from_ref(key)).err());
    }
    problems.extend(sources.shared.iter().filter_map(|path| import.shared(path).err()));
    for feed in import.builder.feeds_mut() {
        feed.max_age = feed.max_age.or(sources.max_age);
        if let Some((_, severity)) = sources.severities.iter().find(|(name, _)| *name == feed.name) {
            feed.severity_max = *severity;
        }
    }
    let version = match import.digests.as_slice() {
        [] => String::new(),
        digests => Digest::of(digests).to_string().chars().take(VERSION_DIGITS).collect(),
    };
    let (intel, report) = import.finish();
    if !intel.is_empty() || report.refused() > 0 {
        tracing::info!(indicators = intel.len(), kib = intel.bytes() >> 10, "threat intelligence is loaded");
    }
    for line in report.lines() {
        tracing::warn!("{line}");
    }
    (Loaded { intel: Arc::new(intel), version }, problems)
}

/// How old a feed is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    pub(crate) feed: String,
    pub(crate) days: u64,
}

/// Feeds that should have been replaced by now.
pub(crate) fn stale(intel: &Intel, now: Timestamp) -> Vec<Age> {
    let age = |feed: &Feed| {
        let age = now.since(feed.made?);
        feed.is_stale(now).then(|| Age { feed: feed.name.clone(), days: age.as_secs() / 86_400 })
    };
    intel.feeds().iter().filter_map(age).collect()
}

fn read(path: &Path) -> Result<String, IntelError> {
    let failed = |cause| IntelError::Read { path: path.to_owned(), cause };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(IntelError::TooLarge { path: path.to_owned(), max_bytes: FILE_BYTES_MAX });
    }
    let text = String::from_utf8(bytes).map_err(|_cause| IntelError::NotText { path: path.to_owned() })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The name of a feed that does not say it: its file's.
fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A kind by the names that tables, MISP and other tools use for it.
fn kind_of(name: &str) -> Option<Kind> {
    Some(match name.trim().to_ascii_lowercase().as_str() {
        "ip" | "ipv4" | "ipv6" | "ip-dst" | "ip-src" | "ip-dst|port" | "ip-src|port" | "cidr" | "address" => {
            Kind::Address
        }
        "domain" | "hostname" | "host" | "fqdn" | "domain|ip" | "hostname|port" => Kind::Domain,
        "sni" => Kind::Sni,
        "url" | "uri" | "link" => Kind::Url,
        "url_path" | "path" => Kind::Path,
        "ja4" | "ja4-fingerprint" => Kind::Ja4,
        "cert_sha256" | "x509-fingerprint-sha256" => Kind::Certificate,
        _ => return None,
    })
}

/// A time, or a day, which ends with it in UTC.
fn time_of(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| format!("{text}T23:59:59Z").parse().ok())
}

/// `7d`, `12h`, `30m`.
pub(crate) fn age_of(text: &str) -> Result<Duration, String> {
    let seconds = |unit: char| match unit {
        'd' => Some(86_400),
        'h' => Some(3_600),
        'm' => Some(60),
        _ => None,
    };
    let unit = text.chars().last().and_then(seconds);
    let number = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<u64>().ok());
    match (number, unit) {
        (Some(number @ 1..=10_000), Some(unit)) => Ok(Duration::from_secs(number * unit)),
        _ => Err(format!("`{text}` is not an age such as 7d, 12h or 30m")),
    }
}
