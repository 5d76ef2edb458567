//! How messages are written, before anybody asks what they mean.

pub(crate) mod cef;
pub(crate) mod csv;
pub(crate) mod leef;
pub(crate) mod pairs;
pub(crate) mod pattern;

use sekimori_wire::alert::AlertFormat;
use serde::Deserialize;

/// The ways that a mapping can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// `ArcSight` Common Event Format.
    Cef,
    /// IBM Log Event Extended Format.
    Leef,
    /// One JSON object.
    Json,
    /// `key=value`, values quoted or not.
    Pairs,
    /// Comma separated, columns named by the mapping.
    Csv,
    /// Plain text, taken apart by patterns.
    Text,
}

impl Format {
    /// The word that travels with an alert.
    pub(crate) const fn wire(self) -> AlertFormat {
        match self {
            Self::Cef => AlertFormat::Cef,
            Self::Leef => AlertFormat::Leef,
            Self::Json => AlertFormat::Json,
            Self::Pairs => AlertFormat::Pairs,
            Self::Csv => AlertFormat::Csv,
            Self::Text => AlertFormat::Plain,
        }
    }
}
