//! A policy as its file writes it: checked to the end before it is kept, and an error names file, line and key.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use sekimori_wire::exception::{ExceptionError, ExceptionFile, Exceptions};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::Digest;
use sekimori_wire::intel_bundle::{FrameError, Sealed};
use sekimori_wire::limits::{POLICY_FEEDS_MAX, POLICY_INTEL_BYTES_MAX, POLICY_INTEL_MAX};
use sekimori_wire::policy::{IntelBundle, Rules, Settings};
use serde::Deserialize;
use toml::Spanned;

use super::Scope;
use crate::exceptions::file::Lines;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// A smaller spool loses findings in a short outage; a larger one is a mistake.
const SPOOL_BYTES: RangeInclusive<u64> = (64 << 20)..=(1 << 40);
/// From an hour to a year.
const INTEL_AGE_HOURS: RangeInclusive<u64> = 1..=8_784;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "for")]
    scope: Spanned<String>,
    #[serde(default)]
    settings: SettingsFile,
    #[serde(default)]
    intel: Vec<IntelFile>,
    #[serde(default)]
    exception: Vec<Spanned<ExceptionFile>>,
}

/// What may be set centrally: what a running agent can take, and nothing that could blind it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SettingsFile {
    spool_max_bytes: Option<Spanned<u64>>,
    intel_max_age_hours: Option<Spanned<u64>>,
    feed: Vec<FeedFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedFile {
    name: Spanned<String>,
    max_severity: Spanned<u8>,
}

/// A bundle; its file lies beside the policy's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntelFile {
    name: Spanned<String>,
    file: Spanned<PathBuf>,
}

/// A policy that was read and is good.
#[derive(Debug)]
pub struct PolicyFile {
    /// For whom.
    pub scope: Scope,
    /// As written.
    pub text: String,
    /// What it says.
    pub rules: Rules,
    /// The bytes of its bundles, by digest.
    pub bundles: BTreeMap<Digest, Vec<u8>>,
}

/// Why a file is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file, or one that it names.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Its size, or that of one that it names.
    #[error("{} is larger than {max} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// Its form; the cause names line and key.
    #[error("{} is not a policy", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// A value.
    #[error("{}, line {line}: {key} {rule}", path.display())]
    Rule {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// Which key.
        key: &'static str,
        /// What it must be.
        rule: String,
    },
    /// An exception.
    #[error("{}, line {line}", path.display())]
    Exception {
        /// Which file.
        path: PathBuf,
        /// Line of its `[[exception]]`.
        line: usize,
        /// Which one, and which rule.
        #[source]
        cause: ExceptionError,
    },
    /// A bundle.
    #[error("{}, line {line}: intel.file {}", path.display(), bundle.display())]
    Bundle {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// Which bundle.
        bundle: PathBuf,
        /// Why.
        #[source]
        cause: FrameError,
    },
}

/// Reads and checks a policy and the bundles that it names.
///
/// # Errors
/// Names file, line and key.
pub fn read(path: &Path) -> Result<PolicyFile, PolicyFileError> {
    let bytes = bytes_of(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|cause| PolicyFileError::Read {
        path: path.to_owned(),
        cause: io::Error::new(io::ErrorKind::InvalidData, cause),
    })?;
    let file = parse(path, &text)?;
    let place = Place { path, text: &text };
    let scope = file.scope.get_ref().parse().map_err(|rule: &str| place.rule("for", &file.scope, rule))?;
    let (intel, bundles) = bundles(&place, &file.intel)?;
    let exceptions = exceptions(&place, file.exception)?;
    let settings = settings(&place, file.settings)?;
    Ok(PolicyFile { scope, rules: Rules { exceptions, intel, settings }, bundles, text })
}

/// What a kept text says, with the bundles that were kept with it.
///
/// # Errors
/// If it is not what was kept.
pub fn reread(text: &str, intel: Vec<IntelBundle>) -> Result<Rules, PolicyFileError> {
    let path = Path::new("the store");
    let file = parse(path, text)?;
    let place = Place { path, text };
    Ok(Rules {
        exceptions: exceptions(&place, file.exception)?,
        intel,
        settings: settings(&place, file.settings)?,
    })
}

fn parse(path: &Path, text: &str) -> Result<File, PolicyFileError> {
    toml::from_str(text)
        .map_err(|cause| PolicyFileError::Parse { path: path.to_owned(), cause: Box::new(cause) })
}

/// Where errors are.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        Lines::new(self.text).line_at(at.span().start)
    }

    fn rule<T>(&self, key: &'static str, at: &Spanned<T>, rule: impl Into<String>) -> PolicyFileError {
        PolicyFileError::Rule { path: self.path.to_owned(), line: self.line(at), key, rule: rule.into() }
    }

    fn within(
        &self,
        key: &'static str,
        value: Option<&Spanned<u64>>,
        range: &RangeInclusive<u64>,
    ) -> Result<Option<u64>, PolicyFileError> {
        match value {
            Some(value) if !range.contains(value.get_ref()) => {
                let rule =
                    format!("{} is not between {} and {}", value.get_ref(), range.start(), range.end());
                Err(self.rule(key, value, rule))
            }
            Some(value) => Ok(Some(*value.get_ref())),
            None => Ok(None),
        }
    }
}

fn settings(place: &Place<'_>, file: SettingsFile) -> Result<Settings, PolicyFileError> {
    let spool = file.spool_max_bytes.as_ref();
    let spool_max_bytes = place.within("settings.spool_max_bytes", spool, &SPOOL_BYTES)?;
    let hours = file.intel_max_age_hours.as_ref();
    let hours = place.within("settings.intel_max_age_hours", hours, &INTEL_AGE_HOURS)?;
    let mut feeds = BTreeMap::new();
    for FeedFile { name, max_severity } in file.feed {
        let severity = Severity::new(*max_severity.get_ref());
        let severity =
            severity.ok_or_else(|| place.rule("settings.feed.max_severity", &max_severity, "is 0 to 4"))?;
        if feeds.len() >= POLICY_FEEDS_MAX {
            let rule = format!("is given more than {POLICY_FEEDS_MAX} times");
            return Err(place.rule("settings.feed", &name, rule));
        }
        if feeds.insert(name.get_ref().clone(), severity).is_some() {
            return Err(place.rule("settings.feed.name", &name, "is given twice"));
        }
    }
    let intel_max_age_seconds = hours.map(|hours| hours * 3_600);
    Ok(Settings { spool_max_bytes, intel_max_age_seconds, feeds })
}

fn exceptions(
    place: &Place<'_>,
    written: Vec<Spanned<ExceptionFile>>,
) -> Result<Vec<ExceptionFile>, PolicyFileError> {
    let (places, exceptions): (Vec<usize>, Vec<ExceptionFile>) =
        written.into_iter().map(|one| (one.span().start, one.into_inner())).unzip();
    Exceptions::checked(exceptions.clone()).map_err(|(which, cause)| PolicyFileError::Exception {
        path: place.path.to_owned(),
        line: places.get(which).map_or(0, |at| Lines::new(place.text).line_at(*at)),
        cause,
    })?;
    Ok(exceptions)
}

type Bundles = (Vec<IntelBundle>, BTreeMap<Digest, Vec<u8>>);

fn bundles(place: &Place<'_>, files: &[IntelFile]) -> Result<Bundles, PolicyFileError> {
    let (mut intel, mut all) = (Vec::<IntelBundle>::new(), BTreeMap::new());
    for one in files {
        let name = one.name.get_ref();
        if intel.len() >= POLICY_INTEL_MAX {
            let rule = format!("is given more than {POLICY_INTEL_MAX} times");
            return Err(place.rule("intel", &one.name, rule));
        }
        if intel.iter().any(|other| other.name == *name) {
            return Err(place.rule("intel.name", &one.name, "is given twice"));
        }
        let bundle = place.path.parent().unwrap_or_else(|| Path::new("")).join(one.file.get_ref());
        let bytes = bytes_of(&bundle, POLICY_INTEL_BYTES_MAX)?;
        let text = std::str::from_utf8(&bytes).map_err(|_cause| FrameError::Form);
        let key = text.and_then(|text| Sealed::read(text)?.signer()).map_err(|cause| {
            let (path, line) = (place.path.to_owned(), place.line(&one.file));
            PolicyFileError::Bundle { path, line, bundle, cause }
        })?;
        let (digest, size) = (Digest::of(&bytes), u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        intel.push(IntelBundle { name: name.clone(), digest, bytes: size, key });
        all.insert(digest, bytes);
    }
    Ok((intel, all))
}

fn bytes_of(path: &Path, max: u64) -> Result<Vec<u8>, PolicyFileError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
        .map_err(|cause| PolicyFileError::Read { path: path.to_owned(), cause })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(PolicyFileError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}
