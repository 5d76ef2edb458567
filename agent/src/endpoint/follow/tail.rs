//! One followed file.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::open::{Open, reopen, rotated};
use crate::clock;
use crate::endpoint::framing::LINE_BYTES_MAX;
use crate::endpoint::marks::{Mark, Marks, Position};
use crate::endpoint::queue::{Line, Queue};
use crate::endpoint::source::{Tally, bump};

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Read of one file before the others have their turn.
const CHUNKS_PER_TURN: usize = 16;
/// Who wrote a file that was renamed away may still write to it for a moment.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tail {
    at: usize,
    name: String,
    path: PathBuf,
    tally: Arc<Tally>,
    /// Where an earlier run left it.
    left: Option<Position>,
    /// The file was looked for before: what appears now is read from its beginning.
    is_begun: bool,
    open: Option<Open>,
    /// It is no longer what its path names; what follows it.
    behind: Option<VecDeque<PathBuf>>,
    grown: Instant,
    line: Vec<u8>,
    skipping: bool,
    /// What is wrong, as last logged.
    trouble: Option<String>,
    buffer: Vec<u8>,
}

impl Tail {
    pub(super) fn new(at: usize, name: &str, path: &Path, tally: Arc<Tally>, left: Option<Position>) -> Self {
        Self {
            at,
            name: name.to_owned(),
            path: path.to_owned(),
            tally,
            left,
            is_begun: false,
            open: None,
            behind: None,
            grown: Instant::now(),
            line: Vec::new(),
            skipping: false,
            trouble: None,
            buffer: vec![0; CHUNK],
        }
    }

    /// Reads what is new. Whether there was anything.
    pub(super) fn step(&mut self, queue: &Queue, marks: &Marks, stop: &AtomicBool) -> bool {
        let stepped = self.try_step(queue, marks, stop);
        let trouble = match &stepped {
            Ok(_) => None,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => Some(cause.to_string()),
        };
        if trouble != self.trouble {
            if let Some(reason) = &trouble {
                bump(&self.tally.unreadable);
                tracing::error!(source = self.name, path = %self.path.display(), reason, "cannot follow this file");
            }
            self.trouble = trouble;
        }
        stepped.unwrap_or(false)
    }

    fn try_step(&mut self, queue: &Queue, marks: &Marks, stop: &AtomicBool) -> io::Result<bool> {
        if self.open.is_none() {
            self.begin(marks)?;
        }
        self.look_back()?;
        let mut has_read = false;
        for _ in 0..CHUNKS_PER_TURN {
            if !self.read(queue, stop)? {
                break;
            }
            has_read = true;
        }
        if has_read {
            self.grown = Instant::now();
        } else {
            self.turn_page(queue, stop)?;
        }
        Ok(has_read)
    }

    /// Opens what is to be read first.
    fn begin(&mut self, marks: &Marks) -> io::Result<()> {
        let current = metadata(&self.path)?;
        let Some(left) = self.left.take() else {
            let is_first = !core::mem::replace(&mut self.is_begun, true);
            let Some(meta) = current else { return Err(io::ErrorKind::NotFound.into()) };
            // What was written before anybody followed it is old news.
            let offset = if is_first { line_start(&self.path, meta.len())? } else { 0 };
            let mut open = Open::at(&self.path, offset)?;
            let position = open.position(&self.path, offset);
            marks.put(0, Mark { source: self.name.clone(), position });
            self.open = Some(open);
            return Ok(());
        };
        self.is_begun = true;
        let is_same = current.as_ref().is_some_and(|meta| {
            use std::os::unix::fs::MetadataExt as _;
            (meta.dev(), meta.ino()) == (left.device, left.inode)
        });
        let again = is_same.then(|| reopen(&self.path, &left)).flatten();
        if let Some(open) = again {
            self.open = Some(open);
            return Ok(());
        }
        // If it is truncated, what its path names is not the file that was left.
        match rotated(&self.path, &left, current.as_ref()) {
            Some((open, later)) => {
                bump(&self.tally.rotations);
                self.open = Some(open);
                self.behind = Some(later.into());
                Ok(())
            }
            None => {
                bump(&self.tally.lost_files);
                tracing::warn!(source = self.name, path = %self.path.display(), "the file that was followed is gone");
                self.begin(marks)
            }
        }
    }

    /// Whether the open file was emptied or written anew: then its copy, if there is one, is read to the end first.
    fn look_back(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let len = open.len()?;
        if self.behind.is_some() || (len >= open.offset && (len == open.offset || open.begins_as_before()?)) {
            return Ok(());
        }
        let unread = u64::try_from(self.line.len()).unwrap_or_default();
        let position = open.position(&self.path, open.offset.saturating_sub(unread));
        let current = metadata(&self.path)?;
        bump(&self.tally.rotations);
        self.line.clear();
        match rotated(&self.path, &position, current.as_ref()) {
            Some((copy, later)) => {
                self.open = Some(copy);
                self.behind = Some(later.into());
            }
            None => {
                self.skipping = false;
                self.open = Some(Open::at(&self.path, 0)?);
            }
        }
        Ok(())
    }

    /// At the end of the open file: whether its path names another by now.
    fn turn_page(&mut self, queue: &Queue, stop: &AtomicBool) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let current = metadata(&self.path)?;
        if self.behind.is_none() {
            let is_current = current.as_ref().is_some_and(|meta| open.is(meta));
            if is_current || current.is_none() || self.grown.elapsed() < LINGER {
                return Ok(());
            }
            bump(&self.tally.rotations);
        }
        // Its last line may have no end.
        self.emit(queue, stop, true);
        let next = self.behind.as_mut().and_then(VecDeque::pop_front);
        match next {
            Some(path) => self.open = Some(Open::at(&path, 0)?),
            None => {
                self.behind = None;
                self.open = None;
                if current.is_some() {
                    self.open = Some(Open::at(&self.path, 0)?);
                }
            }
        }
        Ok(())
    }

    /// Reads a piece. Whether there was one.
    fn read(&mut self, queue: &Queue, stop: &AtomicBool) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        let before = open.offset;
        let mut buffer = core::mem::take(&mut self.buffer);
        let read = open.read(&mut buffer);
        let mut rest = read.as_ref().ok().and_then(|len| buffer.get(..*len)).unwrap_or_default();
        let mut offset = before;
        while !rest.is_empty() && !stop.load(Ordering::Relaxed) {
            let (piece, ends) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (rest.get(..=at).unwrap_or(rest), true),
                None => (rest, false),
            };
            rest = rest.get(piece.len()..).unwrap_or_default();
            offset += u64::try_from(piece.len()).unwrap_or_default();
            self.push(piece, ends, offset, queue, stop);
        }
        self.buffer = buffer;
        read.map(|len| len > 0)
    }

    fn push(&mut self, piece: &[u8], ends: bool, offset: u64, queue: &Queue, stop: &AtomicBool) {
        if !self.skipping && self.line.len() + piece.len() > LINE_BYTES_MAX {
            bump(&self.tally.too_long);
            self.line.clear();
            self.skipping = true;
        }
        if self.skipping {
            self.skipping = !ends;
        } else {
            self.line.extend_from_slice(piece);
            if ends {
                self.emit_at(offset, queue, stop);
            }
        }
    }

    fn emit(&mut self, queue: &Queue, stop: &AtomicBool, is_last: bool) {
        let Some(offset) = self.open.as_ref().map(|open| open.offset) else { return };
        self.skipping &= !is_last;
        self.emit_at(offset, queue, stop);
    }

    /// Hands the line on that ends there, waiting for room.
    fn emit_at(&mut self, offset: u64, queue: &Queue, stop: &AtomicBool) {
        let mut bytes = core::mem::take(&mut self.line);
        bytes.truncate(bytes.trim_ascii_end().len());
        if bytes.is_empty() {
            return;
        }
        bump(&self.tally.lines);
        let Some(open) = &mut self.open else { return };
        let position = open.position(&self.path, offset);
        let mark = Mark { source: self.name.clone(), position };
        let mut line =
            Line { source: self.at, received_at: clock::now(), from: None, bytes, mark: Some(mark) };
        while let Err(unsent) = queue.try_put(line) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            line = unsent;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The beginning of the line that `offset` is in.
fn line_start(path: &Path, offset: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let back = offset.min(u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX));
    let mut bytes = vec![0; usize::try_from(back).unwrap_or_default()];
    let read = std::fs::File::open(path)?.read_at(&mut bytes, offset - back)?;
    let end = bytes.get(..read).unwrap_or_default();
    let at = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(offset - back + u64::try_from(at).unwrap_or_default())
}
