//! The bytes of a capture, wherever they come from, read and where need be unpacked into a buffer.
//!
//! Reading copies what mapping would not; but the copy is in the cache when it is analysed, which costs less than the page faults
//! and the cache misses of a mapping (see `docs/performance.md`). And nothing happens if another program cuts the file meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ahead::Ahead;
use super::compressed::{self, PACKINGS_MAX, Packing};

/// A place in the bytes of a capture, moving forward.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    /// The visible bytes are those from `at` to `end`; what lies behind is room.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Read at once.
    chunk: usize,
    /// Bytes of the file itself that were read.
    read: Arc<AtomicU64>,
    /// The size of the file itself.
    size: Option<u64>,
    /// How it is compressed, outermost first.
    packings: Vec<Packing>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path, chunk: usize) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            return Self::of(file, None, chunk);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // Files of /proc say that they are plain and empty.
        let size = Some(metadata.len()).filter(|size| metadata.is_file() && *size > 0);
        Self::of(file, size, chunk)
    }

    /// Reads and, where need be, unpacks.
    pub(super) fn of(
        reader: impl Read + Send + 'static,
        size: Option<u64>,
        chunk: usize,
    ) -> io::Result<Self> {
        let read = Arc::<AtomicU64>::default();
        let counted = Counted { inner: reader, read: Arc::clone(&read) };
        let (mut reader, packings) = compressed::unpacked(Box::new(counted))?;
        if !packings.is_empty() {
            reader = Box::new(Ahead::new(reader)?);
        }
        Ok(Self { reader, buffer: Vec::new(), at: 0, end: 0, chunk, read, size, packings })
    }

    /// The visible bytes from the place on.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }

    /// Makes `want` bytes visible from the place on; how many of them are there (fewer where it ends).
    pub(super) fn see(&mut self, want: usize) -> io::Result<usize> {
        let there = self.end - self.at;
        if there >= want {
            return Ok(want);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, there);
        while self.end < want {
            // Memory grows with what is there, not with what is claimed.
            if self.buffer.len() < self.end + self.chunk / 2 {
                self.buffer.resize(self.end + self.chunk, 0);
            }
            match self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(got) => self.end += got,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(self.end.min(want))
    }

    /// Moves the place; only over visible bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.end.min(self.at.saturating_add(bytes));
    }

    /// How far into the file itself was read, and its size where it has one.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Ordering::Relaxed), self.size)
    }

    /// How it is compressed, in words; empty if it is not.
    pub(super) fn packing(&self) -> String {
        self.packings.iter().map(|packing| packing.as_str()).collect::<Vec<_>>().join(" in ")
    }

    /// Whether it is compressed more often than is unpacked.
    pub(super) fn is_packed_too_often(&self) -> bool {
        self.packings.len() == PACKINGS_MAX && Packing::of(self.bytes()).is_some()
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.read.fetch_add(u64::try_from(got).unwrap_or_default(), Ordering::Relaxed);
        Ok(got)
    }
}
