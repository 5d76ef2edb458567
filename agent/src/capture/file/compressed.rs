//! Compressed captures: gzip, zstd and xz, recognised by their first bytes and unpacked as they are read.
//!
//! Memory is bounded whatever a file claims: gzip's window is 32 KiB, those of zstd and xz are refused above
//! [`WINDOW_BYTES_MAX`], and what is unpacked is only unpacked once more. Several gzip members, zstd frames or xz streams
//! one after another are one capture.

use std::io::{self, BufReader, Read};

use super::xz::Xz;

/// The largest window: what `zstd --ultra -22` and `--long` need; `xz -9` needs half of it.
pub(super) const WINDOW_BYTES_MAX: u32 = 1 << WINDOW_LOG_MAX;
const WINDOW_LOG_MAX: u32 = 27;
/// How often one file may be compressed.
pub(super) const PACKINGS_MAX: usize = 2;
/// Enough to recognise each.
const MAGIC_BYTES: usize = 6;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz file format, 1.2.1.
    Xz,
}

impl Packing {
    /// By the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // The second is a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// What it is called.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }

    fn unpack(self, packed: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        let packed = BufReader::with_capacity(64 * 1024, packed);
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Zstd => {
                let mut unpacked = zstd::stream::read::Decoder::with_buffer(packed)?;
                unpacked.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(unpacked)
            }
            Self::Xz => Box::new(Xz::new(packed)),
        })
    }
}

/// What is read, unpacked as often as need be, and how it was compressed, outermost first.
pub(super) fn unpacked(mut reader: Box<dyn Read + Send>) -> io::Result<(Box<dyn Read + Send>, Vec<Packing>)> {
    let mut packings = Vec::new();
    loop {
        let mut head = Vec::with_capacity(MAGIC_BYTES);
        let most = u64::try_from(MAGIC_BYTES).unwrap_or_default();
        let ended = reader.by_ref().take(most).read_to_end(&mut head);
        let packing = Packing::of(&head).filter(|_| packings.len() < PACKINGS_MAX);
        // What broke before the head was whole breaks again when it is read on.
        let rest: Box<dyn Read + Send> = match ended {
            Ok(_) => reader,
            Err(cause) => Box::new(Broken(Some(cause))),
        };
        reader = Box::new(io::Cursor::new(head).chain(rest));
        let Some(packing) = packing else { return Ok((reader, packings)) };
        packings.push(packing);
        reader = packing.unpack(reader)?;
    }
}

/// Fails once, then ends.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    /// What comes out, how it was packed, and how it ended.
    fn read(bytes: Vec<u8>) -> (Vec<u8>, Vec<Packing>, io::Result<()>) {
        let (mut reader, packings) = unpacked(Box::new(io::Cursor::new(bytes))).unwrap();
        let mut out = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return (out, packings, Ok(())),
                Ok(got) => out.extend_from_slice(&chunk[..got]),
                Err(cause) => return (out, packings, Err(cause)),
            }
        }
    }

    #[test]
    fn members_and_frames_one_after_another_are_one() {
        let (out, packings, end) = read([gzip(b"one "), gzip(b""), gzip(b"two")].concat());
        assert_eq!((&out[..], &packings[..], end.is_ok()), (&b"one two"[..], &[Packing::Gzip][..], true));
        let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
        let skippable = vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let (out, packings, end) = read([skippable, frame(b"one "), frame(b"two")].concat());
        assert_eq!((&out[..], &packings[..], end.is_ok()), (&b"one two"[..], &[Packing::Zstd][..], true));
        let (out, packings, _end) = read(gzip(&frame(b"inner")));
        assert_eq!((&out[..], &packings[..]), (&b"inner"[..], &[Packing::Gzip, Packing::Zstd][..]));
    }

    #[test]
    fn what_is_compressed_too_often_stays_compressed() {
        let inner = gzip(b"inner");
        let (out, packings, _end) = read(gzip(&gzip(&inner)));
        assert_eq!((out, packings.len()), (inner, PACKINGS_MAX));
    }

    #[test]
    fn a_cut_or_broken_one_gives_what_is_whole_and_fails() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for packed in [gzip(&bytes), zstd::bulk::compress(&bytes, 3).unwrap()] {
            let (out, _packings, end) = read(packed[..packed.len() / 2].to_vec());
            assert!(end.is_err());
            assert!(out.len() > bytes.len() / 4 && bytes.starts_with(&out), "{} bytes", out.len());
        }
        let (out, _packings, end) = read([gzip(b"one"), b"rubbish".to_vec()].concat());
        assert_eq!((&out[..], end.is_err()), (&b"one"[..], true));
        assert_eq!(read(b"\x1f\x8b".to_vec()).0, b"\x1f\x8b", "too short to be anything");
    }

    #[test]
    fn a_window_above_the_bound_is_refused() {
        // RFC 8878, 3.1.1.1: no flags; window descriptor: exponent 18, 2^28 bytes.
        let hostile = [0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3, 0x01, 0, 0];
        let (out, _packings, end) = read(hostile.to_vec());
        assert!(out.is_empty());
        assert!(end.unwrap_err().to_string().contains("memory"));
    }

    #[test]
    fn a_bomb_is_read_in_the_memory_of_its_window() {
        let zeros = vec![0; 64 * 1024 * 1024];
        let bomb = gzip(&gzip(&zeros));
        assert!(bomb.len() < 1000, "{} bytes", bomb.len());
        let (mut reader, packings) = unpacked(Box::new(io::Cursor::new(bomb))).unwrap();
        assert_eq!(packings.len(), 2);
        let mut total = 0;
        let mut chunk = [0; 65_536];
        while let Ok(got @ 1..) = reader.read(&mut chunk) {
            total += got;
        }
        assert_eq!(total, zeros.len());
    }
}
