//! Exceptions from files, checked; and what they would do to findings that are stored.

mod stored;
#[cfg(test)]
mod tests;

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sekimori_wire::exception::{ExceptionError, ExceptionFile, Exceptions};
use serde::Deserialize;

use crate::cli::{DryRunArgs, ExceptionsCommand};
use crate::clock;
use stored::Stored;

/// Findings named for each exception by the dry run.
const EXAMPLES: usize = 5;

/// A file of `[[exception]]` tables and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    exception: Vec<ExceptionFile>,
}

/// Why exceptions cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExceptionsError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{}", path.display())]
    Toml {
        path: PathBuf,
        #[source]
        cause: toml::de::Error,
    },
    #[error(transparent)]
    Exception(#[from] ExceptionError),
    #[error("{}:{line}: not a finding of `replay --format findings`", path.display())]
    Finding {
        path: PathBuf,
        line: usize,
        #[source]
        cause: serde_json::Error,
    },
}

/// What a file says, unchecked.
pub(crate) fn read(path: &Path) -> Result<Vec<ExceptionFile>, ExceptionsError> {
    let text =
        fs::read_to_string(path).map_err(|cause| ExceptionsError::Read { path: path.to_owned(), cause })?;
    let file: File =
        toml::from_str(&text).map_err(|cause| ExceptionsError::Toml { path: path.to_owned(), cause })?;
    Ok(file.exception)
}

/// These and those of further files, checked together: an id is given once.
pub(crate) fn checked(
    mut exceptions: Vec<ExceptionFile>,
    files: &[PathBuf],
) -> Result<Exceptions, ExceptionsError> {
    for path in files {
        exceptions.extend(read(path)?);
    }
    Ok(Exceptions::from_files(exceptions)?)
}

/// What the command shows.
pub(crate) fn run(command: &ExceptionsCommand) -> Result<String, ExceptionsError> {
    match command {
        ExceptionsCommand::Check { files } => check(files),
        ExceptionsCommand::DryRun(args) => dry_run(args),
    }
}

fn check(files: &[PathBuf]) -> Result<String, ExceptionsError> {
    let exceptions = checked(Vec::new(), files)?;
    let now = clock::now();
    let mut out = String::new();
    for one in exceptions.iter() {
        let state = if one.expires < now { "EXPIRED" } else { "in force" };
        let _infallible = writeln!(out, "{state}: {one}");
    }
    Ok(out)
}

/// Which stored findings each exception would cover, and which exceptions cover none.
fn dry_run(args: &DryRunArgs) -> Result<String, ExceptionsError> {
    let exceptions = checked(Vec::new(), &args.exceptions)?;
    let mut hits: BTreeMap<usize, (u64, Vec<String>)> = BTreeMap::new();
    let (mut all, mut covered) = (0_u64, 0_u64);
    for path in &args.findings {
        let text =
            fs::read_to_string(path).map_err(|cause| ExceptionsError::Read { path: path.clone(), cause })?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let stored: Stored<'_> = serde_json::from_str(line)
                .map_err(|cause| ExceptionsError::Finding { path: path.clone(), line: number + 1, cause })?;
            all += 1;
            let Some(facts) = stored.facts() else { continue };
            if let Some((place, _)) = exceptions.judge(&facts, stored.at()) {
                covered += 1;
                let (count, examples) = hits.entry(place).or_default();
                *count += 1;
                if examples.len() < EXAMPLES {
                    examples.push(stored.to_string());
                }
            }
        }
    }
    let mut out = String::new();
    for (place, one) in exceptions.iter().enumerate() {
        let _infallible = match hits.get(&place) {
            None => writeln!(out, "{one}\n  covers nothing"),
            Some((count, examples)) => {
                writeln!(out, "{one}\n  covers {count}:\n    {}", examples.join("\n    "))
            }
        };
    }
    let _infallible = writeln!(out, "{covered} of {all} findings would be excepted");
    Ok(out)
}
