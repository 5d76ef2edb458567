//! Files of `[[exception]]` tables: all of them good, or none is used.

use std::io;
use std::path::{Path, PathBuf};

use sekimori_wire::exception::{ExceptionError, ExceptionFile, Exceptions};
use serde::Deserialize;
use toml::Spanned;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file of `[[exception]]` tables and nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    exception: Vec<Spanned<ExceptionFile>>,
}

/// Why exceptions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Something else than exceptions.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Its form; the cause names line and key.
    #[error("{path} is not a file of exceptions")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// One of them breaks a rule.
    #[error("{path}, line {line}")]
    Rule {
        /// Which file.
        path: PathBuf,
        /// Line of its `[[exception]]`.
        line: usize,
        /// Which one, and which rule.
        #[source]
        cause: ExceptionError,
    },
}

/// Reads the files and checks all exceptions together: an id is given once.
///
/// # Errors
/// Names file, line and exception.
pub fn read(paths: &[PathBuf]) -> Result<Exceptions, FileError> {
    let mut all = Vec::new();
    let mut places = Vec::new();
    for path in paths {
        let text = text_of(path)?;
        let file: File = toml::from_str(&text)
            .map_err(|cause| FileError::Parse { path: path.clone(), cause: Box::new(cause) })?;
        let mut lines = Lines::new(&text);
        for one in file.exception {
            places.push((path, lines.line_at(one.span().start)));
            all.push(one.into_inner());
        }
    }
    Exceptions::checked(all).map_err(|(place, cause)| {
        let (path, line) =
            places.get(place).map_or((PathBuf::new(), 0), |(path, line)| ((*path).clone(), *line));
        FileError::Rule { path, line, cause }
    })
}

fn text_of(path: &Path) -> Result<String, FileError> {
    let unreadable = |cause| FileError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Line numbers of ascending places in a text, in one pass.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// From the first line on.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line of a byte, counted from 1.
    pub fn line_at(&mut self, place: usize) -> usize {
        let passed = self.text.as_bytes().get(self.at..place).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = self.at.max(place);
        self.line
    }
}
