//! Reading data files: bounded, and every error with its place.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::exceptions::file::Lines;

/// Largest data file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Something else than data.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Its form; the cause names line and key.
    #[error("{file} does not have the form of such a file")]
    Form {
        /// Which file.
        file: String,
        /// Where and why.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// A value breaks a rule.
    #[error("{file}, line {line}: {key} {rule}")]
    Rule {
        /// Which file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// Which value.
        key: String,
        /// What it must be.
        rule: String,
    },
}

/// Whether somebody compared a value with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// With the law's own text, or the authority's own publication.
    Primary,
    /// With a commentary, or another's copy.
    Secondary,
    /// Nobody did yet.
    No,
}

/// A file's text, with its name for errors.
#[derive(Clone, Debug)]
pub struct Text {
    /// How errors name it.
    pub file: String,
    /// What it says.
    pub text: String,
}

impl Text {
    /// The file, or what is built in.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: Option<&Path>, name: &str, built_in: &str) -> Result<Self, DataError> {
        let Some(path) = path else {
            return Ok(Self { file: format!("{name} (built in)"), text: built_in.to_owned() });
        };
        let text = String::from_utf8(bytes(path)?).map_err(|cause| DataError::Read {
            path: path.to_owned(),
            cause: io::Error::new(io::ErrorKind::InvalidData, cause),
        })?;
        Ok(Self { file: path.display().to_string(), text })
    }

    /// As TOML; the error names line and key.
    ///
    /// # Errors
    /// The text has another form.
    pub fn toml<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        toml::from_str(&self.text)
            .map_err(|cause| DataError::Form { file: self.file.clone(), cause: Box::new(cause) })
    }

    /// A rule is broken where this value stands.
    pub fn broken<T>(&self, at: &Spanned<T>, key: impl Into<String>, rule: impl Into<String>) -> DataError {
        let line = Lines::new(&self.text).line_at(at.span().start);
        DataError::Rule { file: self.file.clone(), line, key: key.into(), rule: rule.into() }
    }
}

/// A file's bytes.
///
/// # Errors
/// It is not there, not readable, or too large.
pub fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |cause| DataError::Read { path: path.to_owned(), cause };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
pub(crate) fn shown(error: &DataError) -> String {
    use std::error::Error as _;
    format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
}
