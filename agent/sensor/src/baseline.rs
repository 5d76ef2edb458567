//! What is usual here: learned by hour of the week, kept over restarts.
//!
//! A `Series` remembers the last values of each hour of its calendar and says what the present hour may reach. Detectors that
//! learn name a [`Section`]; all sections together are one file, which says its version and ends with its SHA-256:
//!
//! ```text
//! "SKBL" version:u16 (section:u8 length:u32 bytes)* sha256:[32]      numbers little endian
//! ```

mod pack;
mod series;

use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

pub use pack::{Pack, Unpack};
pub(crate) use series::{Calendar, Expected, Series};

const MAGIC: &[u8; 4] = b"SKBL";
/// Raised when what is written changes: what an older agent learned is then learned anew.
const VERSION: u16 = 1;
const DIGEST: usize = 32;
/// Japan has had one time zone without summer time since 1952; municipal hours are in it wherever the machine's clock is set.
const JST_SECONDS: u64 = 9 * 3_600;

/// Whose part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `baseline.volume`.
    Volume,
    /// `baseline.host`.
    Host,
    /// `host.new`.
    Devices,
    /// `service.exposed`.
    Services,
}

impl Section {
    /// Its number in the file; never used for anything else.
    const fn number(self) -> u8 {
        match self {
            Self::Volume => 1,
            Self::Host => 2,
            Self::Devices => 3,
            Self::Services => 4,
        }
    }
}

/// Why a file of what was learned cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Not such a file.
    #[error("this is not a file of learned baselines")]
    Magic,
    /// Of another version of this program.
    #[error("written as version {0}, which is not the one read here")]
    Version(u16),
    /// Not as it was written.
    #[error("damaged: the checksum is not that of the content")]
    Checksum,
    /// The checksum is good but the content is not.
    #[error("a section is not as it should be")]
    Section,
}

/// How far learning is: for the health of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ripeness {
    /// Series that are learned; what is known of devices and of services counts as one each.
    pub series: u64,
    /// Those of them that are ripe: two weeks and enough values, or a day of what is there.
    pub ripe: u64,
}

/// The sections of a file, as they are written.
#[derive(Debug, Default)]
pub struct Sections(Vec<u8>);

impl Sections {
    /// One section; a second one of the same kind would not be read.
    pub fn push(&mut self, section: Section, bytes: &[u8]) {
        let Ok(length) = u32::try_from(bytes.len()) else { return };
        self.0.push(section.number());
        self.0.extend(length.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// The file.
    pub fn into_file(self) -> Vec<u8> {
        let mut out = [&MAGIC[..], &VERSION.to_le_bytes(), &self.0].concat();
        let digest = Digest::of(&out);
        out.extend_from_slice(digest.as_bytes());
        out
    }
}

/// The sections of a file that was read.
#[derive(Debug)]
pub struct Read<'a>(Vec<(u8, &'a [u8])>);

impl<'a> Read<'a> {
    /// Checks a file.
    pub fn new(file: &'a [u8]) -> Result<Self, BaselineError> {
        let body = file.strip_prefix(MAGIC).ok_or(BaselineError::Magic)?;
        let (version, body) = body.split_first_chunk().ok_or(BaselineError::Checksum)?;
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(BaselineError::Version(version));
        }
        let end = body.len().checked_sub(DIGEST).ok_or(BaselineError::Checksum)?;
        let (body, digest) = body.split_at_checked(end).ok_or(BaselineError::Checksum)?;
        let signed = file.get(..file.len().saturating_sub(DIGEST)).unwrap_or_default();
        if Digest::of(signed).as_bytes() != digest {
            return Err(BaselineError::Checksum);
        }
        let (mut unpack, mut sections) = (Unpack(body), Vec::new());
        while !unpack.is_empty() {
            let number = unpack.u8().ok_or(BaselineError::Section)?;
            let length = unpack.u32().ok_or(BaselineError::Section)?;
            sections.push((number, unpack.take(length as usize).ok_or(BaselineError::Section)?));
        }
        Ok(Self(sections))
    }

    /// A section, if it was written.
    pub fn section(&self, section: Section) -> Option<Unpack<'a>> {
        self.0.iter().find(|(number, _)| *number == section.number()).map(|(_, bytes)| Unpack(bytes))
    }
}

/// Hours of Japan's clock since 1970.
pub(crate) const fn hour_of(at: Timestamp) -> u64 {
    (at.secs() + JST_SECONDS) / 3_600
}

/// When an hour of [`hour_of`] is over.
pub(crate) const fn end_of(hour: u64) -> Timestamp {
    Timestamp::from_secs((hour + 1).saturating_mul(3_600).saturating_sub(JST_SECONDS))
}

/// 0 to 167; Monday's first hour is 0 (1970 began on a Thursday).
pub(crate) const fn hour_of_week(hour: u64) -> u64 {
    (hour + 3 * 24) % 168
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_japan() {
        // 2026-11-02T00:00:00Z, a Monday, nine o'clock in Japan.
        assert_eq!(hour_of_week(hour_of(Timestamp::from_secs(1_793_577_600))), 9);
        assert_eq!(hour_of_week(hour_of(Timestamp::from_secs(1_793_577_600 - 9 * 3_600 - 1))), 167);
        let (at, hour) = (Timestamp::from_secs(1_793_577_600), Timestamp::from_secs(3_600));
        assert_eq!(end_of(hour_of(at)), at.plus(core::time::Duration::from_nanos(hour.nanos())));
    }

    #[test]
    fn a_file_reads_back_and_damage_is_noticed() {
        let mut sections = Sections::default();
        sections.push(Section::Host, b"abc");
        sections.push(Section::Devices, b"");
        let file = sections.into_file();
        let read = Read::new(&file).unwrap();
        assert_eq!(read.section(Section::Host).unwrap().0, b"abc");
        assert_eq!(read.section(Section::Devices).unwrap().0, b"");
        assert!(read.section(Section::Volume).is_none());
        for at in 6..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(Read::new(&damaged).unwrap_err(), BaselineError::Checksum, "byte {at}");
        }
        for length in 0..file.len() {
            Read::new(&file[..length]).unwrap_err();
        }
        let mut other = file.clone();
        other[4] = 9;
        assert_eq!(Read::new(&other).unwrap_err(), BaselineError::Version(9));
        assert_eq!(Read::new(b"text").unwrap_err(), BaselineError::Magic);
    }
}
