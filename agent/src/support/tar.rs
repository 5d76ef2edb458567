//! Writes tar archives (POSIX ustar): a header of 512 bytes before each file, zeros up to a multiple of that after it.

use std::io::{self, Write};

const BLOCK: usize = 512;
/// Two empty blocks end an archive.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Tar<W: Write> {
    to: W,
    seconds: u64,
}

impl<W: Write> Tar<W> {
    /// Whose files are all of this time, in seconds since 1970.
    pub(super) const fn new(to: W, seconds: u64) -> Self {
        Self { to, seconds }
    }

    /// Adds a file that nobody but its owner may read.
    ///
    /// # Errors
    /// If it cannot be written, or its name has more than 100 bytes.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let header = header(name, content.len(), self.seconds).ok_or(io::ErrorKind::InvalidFilename)?;
        self.to.write_all(&header)?;
        self.to.write_all(content)?;
        let over = content.len() % BLOCK;
        let padding = if over == 0 { 0 } else { BLOCK - over };
        self.to.write_all(END.get(..padding).unwrap_or_default())
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.to.write_all(&END)?;
        Ok(self.to)
    }
}

fn header(name: &str, size: usize, seconds: u64) -> Option<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, bytes: &[u8]| header.get_mut(at..at + bytes.len()).map(|to| to.copy_from_slice(bytes));
    if name.len() > 100 {
        return None;
    }
    put(0, name.as_bytes())?;
    put(100, b"0000600\0")?;
    put(108, b"0000000\0")?;
    put(116, b"0000000\0")?;
    put(124, format!("{size:011o}\0").as_bytes())?;
    put(136, format!("{seconds:011o}\0").as_bytes())?;
    // The sum is made as if there were spaces in its own place.
    put(148, b"        ")?;
    put(156, b"0")?;
    put(257, b"ustar\x0000")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header.get_mut(148..156)?.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}
