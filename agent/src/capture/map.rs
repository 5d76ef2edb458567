//! A plain file seen through memory, one window after another: reading costs page faults and no copies.
//!
//! The file's length is asked before each window is mapped, so that a file cut before that simply ends there. A file
//! that another program cuts *while* a window of it is being read raises `SIGBUS`, which ends this process: memory-mapped
//! files have no other way to say it. Captures that are still being cut should be piped in (`-`), which maps nothing.
#![expect(unsafe_code, reason = "mapping a file has no safe interface; this is the one use")]

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, MmapOptions};

/// Mapped at once, or more where one record needs it: long enough that mapping costs nothing, short enough that the
/// length is asked often and that little memory is ours.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    map: Option<Mmap>,
}

impl Window {
    /// Maps the beginning. Fails where the file system cannot map.
    pub(super) fn open(file: File) -> io::Result<Self> {
        let mut window = Self { file, map: None };
        window.slide(0, 0)?;
        Ok(window)
    }

    /// What is mapped.
    pub(super) fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// The file, when mapping it is of no use.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Maps the file from `offset` on: `want` bytes at least, fewer only where the file ends.
    pub(super) fn slide(&mut self, offset: u64, want: usize) -> io::Result<()> {
        self.map = None;
        let left = self.file.metadata()?.len().saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(want.max(WINDOW_BYTES));
        if len == 0 {
            return Ok(());
        }
        let mut options = MmapOptions::new();
        options.offset(offset).len(len);
        // JUSTIFICATION: reading a capture of many gigabytes through a buffer copies all of it for nothing.
        // SAFETY: the mapping is read-only and owned by `self`; slices of it borrow `self`, so that none outlives it.
        // `[offset, offset + len)` lay inside the file a moment ago. Its bytes may change under us if another program
        // writes them: nothing here relies on reading the same twice, since every length that is read is checked against
        // the slice and not against the file. A cut file raises SIGBUS (see the head of this file).
        let map = unsafe { options.map(&self.file) };
        let map = map?;
        // A hint to read ahead, from the disk while what came before is analysed; without it all is the same, only slower.
        let _hinted = map.advise(Advice::WillNeed);
        self.map = Some(map);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_window_slides_and_ends_where_the_file_does() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(WINDOW_BYTES + 1000).collect();
        file.write_all(&bytes).unwrap();
        let mut window = Window::open(file.try_clone().unwrap()).unwrap();
        assert_eq!(window.bytes(), &bytes[..WINDOW_BYTES]);
        window.slide(999, 10).unwrap();
        assert_eq!(window.bytes(), &bytes[999..999 + WINDOW_BYTES]);
        window.slide(0, WINDOW_BYTES + 500).unwrap();
        assert_eq!(window.bytes(), &bytes[..WINDOW_BYTES + 500]);
        // Cut between two windows: it ends there, and nothing is killed.
        file.set_len(2000).unwrap();
        window.slide(1990, 100).unwrap();
        assert_eq!(window.bytes(), &bytes[1990..2000]);
        window.slide(5000, 100).unwrap();
        assert!(window.bytes().is_empty());
    }
}
