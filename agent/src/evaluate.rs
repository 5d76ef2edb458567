//! `evaluate`: labelled captures through the sensor, and how well its findings fit the labels.
//!
//! ```text
//! manifest ─► captures ─► Sensor ─► findings ─┐
//!    └ labels ─► label: which category, whom ─┴► score: found, missed, false ─► print: a table or JSON
//! ```

mod label;
mod manifest;
mod print;
mod score;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sekimori_sensor::limits::Limits;
use sekimori_sensor::observe::Options;
use sekimori_sensor::segment::Policy;
use sekimori_sensor::sensor::{Keep, Sensor, SensorConfig};
use sekimori_wire::finding::Finding;
use sekimori_wire::id::{Digest, FindingId};
use sekimori_wire::record::Record;
use sekimori_wire::time::Timestamp;

use crate::capture::file::Files;
use crate::cli::EvaluateArgs;
use crate::config::{Config, ConfigError, mappings_of};
use crate::exceptions::ExceptionsError;
use crate::intel::IntelError;
use crate::replay::knowledge;
use label::Labels;
use manifest::{Entry, ManifestError};
use score::Score;

/// Why labelled captures cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Intel(#[from] IntelError),
    #[error(transparent)]
    Exceptions(#[from] ExceptionsError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the table of labels: {0}")]
    Labels(#[from] label::LabelsError),
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

impl EvaluateError {
    /// The command line, the configuration or the manifest is wrong.
    pub(crate) const fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::Intel(_) | Self::Exceptions(_) | Self::Manifest(_) => true,
            Self::Labels(_) | Self::Stdout(_) => false,
        }
    }
}

/// A longer silence counts as this: captures put together from several, or with a broken clock, have gaps of years.
const GAP_MAX: Duration = Duration::from_secs(3_600);

/// What a capture gave.
#[derive(Debug, Default)]
struct Outcome {
    /// The last revision of each finding, in order of time.
    findings: Vec<Finding>,
    /// Time of the first frame.
    began: Option<Timestamp>,
    /// Event time in it.
    duration: Duration,
    /// What of the file could not be read.
    problem: Option<String>,
}

/// Judges every capture of a manifest and prints how it went.
pub(crate) fn evaluate(args: &EvaluateArgs) -> Result<(), EvaluateError> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let (intel, exceptions) = knowledge::<EvaluateError>(config.as_ref(), &args.knowledge)?;
    let mappings = mappings_of(config.as_ref())?;
    let (limits, segments) = config.map_or_else(
        || (Limits::gateway(), Policy::default_private()),
        |config| (config.limits, config.policy),
    );
    let user_key = *Digest::of(b"sekimori-agent replay").as_bytes();
    let setup = SensorConfig {
        limits,
        segments,
        seed: 0,
        user_key,
        observe: Options::default(),
        keep: Keep::Nothing,
        intel,
        exceptions,
        mappings,
        hosts: Default::default(),
    };
    let entries = manifest::read(&args.manifest, args.only.as_deref())?;
    let labels = Labels::own()?;
    let folder = args.manifest.parent().unwrap_or_else(|| Path::new("")).to_path_buf();
    let outcomes = replay_all(&entries, &folder, &setup);
    let mut score = Score::new(&labels);
    for (entry, outcome) in entries.iter().zip(outcomes) {
        score.judge(entry, outcome);
    }
    let text = if args.json { print::json(&score) } else { print::table(&score, args.verbose) };
    io::stdout().write_all(text.as_bytes()).map_err(EvaluateError::Stdout)
}

/// Each capture through a sensor of its own, on every core; the outcomes in the manifest's order.
fn replay_all(entries: &[Entry], folder: &Path, setup: &SensorConfig) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<usize, Outcome>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(entry) = entries.get(at) else { return };
                    let outcome = replay(
                        &folder.join(&entry.path),
                        SensorConfig { hosts: Default::default(), ..setup.clone() },
                    );
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.insert(at, outcome);
                    }
                }
            });
        }
    });
    outcomes.into_inner().map_or_else(|_poisoned| Vec::new(), |outcomes| outcomes.into_values().collect())
}

fn replay(path: &PathBuf, setup: SensorConfig) -> Outcome {
    let mut files = Files::open(std::slice::from_ref(path), None);
    let mut sensor = Sensor::new(setup);
    let (mut began, mut last_at, mut duration) = (None, None, Duration::ZERO);
    let mut last: BTreeMap<FindingId, Finding> = BTreeMap::new();
    while let Some(frame) = files.next_frame() {
        began = began.or(Some(frame.at));
        duration += last_at.map_or(Duration::ZERO, |last| frame.at.since(last)).min(GAP_MAX);
        last_at = last_at.max(Some(frame.at));
        sensor.handle_frame(&frame);
        keep(&mut sensor, &mut last);
    }
    sensor.finish();
    keep(&mut sensor, &mut last);
    let mut findings: Vec<Finding> = last.into_values().collect();
    findings.sort_by_key(|finding| (finding.time, finding.id));
    let problem = files.problems().first().map(ToString::to_string);
    Outcome { findings, began, duration, problem }
}

fn keep(sensor: &mut Sensor, last: &mut BTreeMap<FindingId, Finding>) {
    while let Some(record) = sensor.poll_record() {
        match record {
            Record::Finding(finding) => drop(last.insert(finding.id, *finding)),
            Record::EndpointAlert(alert) => {
                let finding = alert.to_finding();
                last.insert(finding.id, finding);
            }
            Record::Summary(_) | Record::Health(_) | Record::Gap(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
