//! Captures as frames with their times: enough of the classic format for those of `pcaps/` and those that the agent records.

use std::path::Path;
use std::time::Duration;

const HEADER: usize = 24;
const RECORD: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// A capture in memory.
pub(crate) struct Pcap {
    header: Vec<u8>,
    frames: Vec<Frame>,
}

/// A frame as it stands in the file.
struct Frame {
    at: Duration,
    header: [u8; RECORD],
    bytes: Vec<u8>,
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Pcap {
    pub(crate) fn read(path: &Path) -> Self {
        let file = std::fs::read(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        let (header, mut rest) = file.split_at(HEADER);
        let unit = match number(header, 0) {
            MICROSECONDS => 1_000,
            NANOSECONDS => 1,
            other => panic!("{}: not a little-endian pcap file but {other:#x}", path.display()),
        };
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_first_chunk::<RECORD>().expect("a whole header");
            let (bytes, after) = after.split_at(number(head, 8) as usize);
            let at = Duration::new(number(head, 0).into(), number(head, 4) * unit);
            frames.push(Frame { at, header: *head, bytes: bytes.to_vec() });
            rest = after;
        }
        Self { header: header.to_vec(), frames }
    }

    /// Each frame, and how long after the first one.
    pub(crate) fn paced(self) -> impl Iterator<Item = (Duration, Vec<u8>)> {
        let first = self.frames.first().map_or(Duration::ZERO, |frame| frame.at);
        self.frames.into_iter().map(move |frame| (frame.at.saturating_sub(first), frame.bytes))
    }

    /// Two files of the frames before a part of the whole, in thousandths, and after it.
    pub(crate) fn split(&self, permille: usize, paths: [&Path; 2]) {
        let (before, after) = self.frames.split_at(self.frames.len() * permille / 1_000);
        for (part, path) in [before, after].into_iter().zip(paths) {
            let frames = part.iter().flat_map(|frame| [&frame.header[..], &frame.bytes]);
            let file = std::iter::once(&self.header[..]).chain(frames).collect::<Vec<_>>().concat();
            std::fs::write(path, file).expect("a folder that is ours");
        }
    }
}
