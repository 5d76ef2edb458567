//! Capture files, pcap and pcapng, in any byte order and resolution, read record by record in bounded memory,
//! and unpacked as they are read where they are compressed.
//!
//! Several files are merged in order of time. A cut or damaged file yields every packet that can be read, then a
//! [`FileError`] that says where and what; the other files go on.

mod ahead;
mod compressed;
mod pcapng;
mod reader;
mod source;
mod xz;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;
use std::path::PathBuf;

use sekimori_sensor::frame::Frame;
use sekimori_wire::time::Timestamp;

use super::filter::{Filter, FilterError};
use reader::CaptureFile;
use source::Source;

/// Why a file, or the rest of it, cannot be read. `file` is what the operator called it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{file}: cannot open")]
    Open {
        file: String,
        #[source]
        cause: io::Error,
    },
    #[error("{file}: cannot read at byte {offset}")]
    Read {
        file: String,
        offset: u64,
        #[source]
        cause: io::Error,
    },
    #[error(
        "{file}: the {packing} data is cut or damaged, or needs more memory than is allowed; the capture in it ends at \
         byte {offset}; {packets} packets before it were read"
    )]
    Packed {
        file: String,
        packing: String,
        offset: u64,
        packets: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{file}: not a capture file that this program reads (pcap, pcapng): {what}")]
    UnknownFormat { file: String, what: String },
    #[error(
        "{file}: cut at byte {offset}: {what} needs {needed} bytes, {left} are there; {packets} packets before it were read"
    )]
    Cut { file: String, offset: u64, what: &'static str, needed: usize, left: usize, packets: u64 },
    #[error("{file}: damaged at byte {offset}: {what}; {packets} packets before it were read")]
    Damaged { file: String, offset: u64, what: &'static str, packets: u64 },
    #[error("{file}: cannot filter")]
    Filter {
        file: String,
        #[source]
        cause: FilterError,
    },
}

/// Read at once from one file: it stays in the second-level cache until it is analysed.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// Read at once from all files together.
const CHUNKS_BYTES: usize = 4 * 1024 * 1024;

/// Capture files as one stream of frames in order of time.
pub(crate) struct Files {
    files: Vec<CaptureFile>,
    /// The next frame of each file that has one, earliest first; the file's place breaks ties.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The file whose frame was handed out last and is to be read on from.
    current: Option<usize>,
    filter: Option<Filter>,
    problems: Vec<FileError>,
}

impl Files {
    /// Opens all; `-` is standard input. What cannot be opened is a problem, not a failure.
    pub(crate) fn open(paths: &[PathBuf], filter: Option<Filter>) -> Self {
        let mut all =
            Self { files: Vec::new(), order: BinaryHeap::new(), current: None, filter, problems: Vec::new() };
        // All of them together keep to one bound, as far as one record of each allows.
        let chunk = (CHUNKS_BYTES / paths.len().max(1)).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        for path in paths {
            let file = path.display().to_string();
            match Source::open(path, chunk) {
                Ok(source) => all.add(file, source),
                Err(cause) => all.problems.push(FileError::Open { file, cause }),
            }
        }
        all
    }

    fn add(&mut self, name: String, source: Source) {
        match CaptureFile::new(name, source) {
            Ok(file) => {
                self.files.push(file);
                let idx = self.files.len() - 1;
                if let Some(at) = self.advance(idx) {
                    self.order.push(Reverse((at, idx)));
                }
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// The next frame of all files; `None` at the end of all.
    pub(crate) fn next_frame(&mut self) -> Option<Frame<'_>> {
        let read_on = self.current.take().and_then(|idx| Some((self.advance(idx)?, idx)));
        let idx = match (read_on, self.order.peek_mut()) {
            // The only file left, or the earliest again.
            (Some((_, idx)), None) => idx,
            (Some((at, idx)), Some(mut next)) => {
                if (at, idx) > next.0 {
                    core::mem::replace(&mut *next, Reverse((at, idx))).0.1
                } else {
                    idx
                }
            }
            (None, Some(next)) => PeekMut::pop(next).0.1,
            (None, None) => return None,
        };
        self.current = Some(idx);
        self.files.get(idx).map(CaptureFile::frame)
    }

    /// Reads on in one file to the next frame that passes the filter; its time.
    fn advance(&mut self, idx: usize) -> Option<Timestamp> {
        let file = self.files.get_mut(idx)?;
        loop {
            match file.read_packet() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(problem) => {
                    self.problems.push(problem);
                    return None;
                }
            }
            let Some(filter) = &mut self.filter else { return Some(file.at()) };
            match filter.matches(file.link(), file.frame().bytes) {
                Ok(true) => return Some(file.at()),
                Ok(false) => {}
                Err(cause) => {
                    self.problems.push(FileError::Filter { file: file.name().to_owned(), cause });
                    return None;
                }
            }
        }
    }

    /// What could not be read so far.
    pub(crate) fn problems(&self) -> &[FileError] {
        &self.problems
    }

    /// Name and packets of each file that could be opened.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|file| (file.name(), file.packets()))
    }

    /// How many bytes of the files were read, and how many there are, if all have a size.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        self.files.iter().map(CaptureFile::progress).fold((0, Some(0)), |(read, size), (more, of)| {
            (read + more, size.zip(of).map(|(size, of)| size + of))
        })
    }
}

#[cfg(test)]
mod tests;
