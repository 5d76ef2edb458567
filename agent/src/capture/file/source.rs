//! The bytes of a capture, wherever they come from: mapped from a plain file, else read and unpacked into a buffer.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::map::Window;
use super::ahead::Ahead;
use super::compressed::{self, PACKINGS_MAX, Packing};

/// Read at once from what cannot be mapped.
const CHUNK_BYTES: usize = 256 * 1024;

/// A place in the bytes of a capture, moving forward.
pub(super) struct Source {
    from: From,
    /// Where in the visible bytes the place is.
    at: usize,
    /// Bytes of the file itself that were read, where they are not those of the capture.
    read: Arc<AtomicU64>,
    /// The size of the file itself.
    size: Option<u64>,
    /// How it is compressed, outermost first.
    packings: Vec<Packing>,
}

enum From {
    Mapped {
        window: Window,
        /// Where in the file the window begins.
        start: u64,
    },
    Stream {
        reader: Box<dyn Read + Send>,
        /// What was read and is not behind us.
        buffer: Vec<u8>,
    },
}

impl Source {
    /// Opens a file; `-` is standard input. Plain files are mapped, all others are read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
            return Self::of(file, None);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // Files of /proc say that they are plain and empty.
        if !metadata.is_file() || metadata.len() == 0 {
            return Self::of(file, None);
        }
        let size = Some(metadata.len());
        let Ok(window) = Window::open(file.try_clone()?) else { return Self::of(file, size) };
        if Packing::of(window.bytes()).is_some() {
            return Self::of(window.into_file(), size);
        }
        let from = From::Mapped { window, start: 0 };
        Ok(Self { from, at: 0, read: Arc::default(), size, packings: Vec::new() })
    }

    /// Reads and, where need be, unpacks.
    pub(super) fn of(reader: impl Read + Send + 'static, size: Option<u64>) -> io::Result<Self> {
        let read = Arc::<AtomicU64>::default();
        let counted = Counted { inner: reader, read: Arc::clone(&read) };
        let (mut reader, packings) = compressed::unpacked(Box::new(counted))?;
        if !packings.is_empty() {
            reader = Box::new(Ahead::new(reader)?);
        }
        let from = From::Stream { reader, buffer: Vec::new() };
        Ok(Self { from, at: 0, read, size, packings })
    }

    /// The visible bytes from the place on.
    pub(super) fn bytes(&self) -> &[u8] {
        let all = match &self.from {
            From::Mapped { window, .. } => window.bytes(),
            From::Stream { buffer, .. } => buffer,
        };
        all.get(self.at..).unwrap_or_default()
    }

    /// Makes `want` bytes visible from the place on; how many of them are there (fewer where it ends).
    pub(super) fn see(&mut self, want: usize) -> io::Result<usize> {
        let there = self.bytes().len();
        if there >= want {
            return Ok(want);
        }
        match &mut self.from {
            From::Mapped { window, start } => {
                *start += u64::try_from(self.at).unwrap_or_default();
                self.at = 0;
                window.slide(*start, want)?;
            }
            From::Stream { reader, buffer } => {
                buffer.drain(..self.at.min(buffer.len()));
                self.at = 0;
                fill(reader, buffer, want)?;
            }
        }
        Ok(self.bytes().len().min(want))
    }

    /// Moves the place; only over visible bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes.min(self.bytes().len());
    }

    /// How far into the file itself, and its size where it has one.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        let read = match &self.from {
            From::Mapped { start, .. } => *start + u64::try_from(self.at).unwrap_or_default(),
            From::Stream { .. } => self.read.load(Ordering::Relaxed),
        };
        (read, self.size)
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

/// Reads until the buffer holds `want` bytes or there are no more. Memory grows with what is there, not with what is
/// claimed.
fn fill(reader: &mut dyn Read, buffer: &mut Vec<u8>, want: usize) -> io::Result<()> {
    while buffer.len() < want {
        let had = buffer.len();
        buffer.resize(had + CHUNK_BYTES, 0);
        let got = reader.read(buffer.get_mut(had..).unwrap_or_default());
        buffer.truncate(had + got.as_ref().copied().unwrap_or_default());
        match got {
            Ok(0) => break,
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
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
