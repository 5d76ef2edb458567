//! The .xz file format (version 1.2.1, tukaani.org/xz/xz-file-format.txt), read in bounded memory.
//!
//! Own, since the reader of the library that decodes LZMA2 allocates whatever dictionary a block claims, up to 4 GiB, and
//! drops what it had decoded when the input is cut. Here one LZMA2 chunk after another (at most 64 KiB in, 2 MiB out) is
//! read whole and then decoded. Only the filter LZMA2 is read: the others are for machine code.

use std::io::{self, BufRead, Cursor, Read};
use std::sync::LazyLock;

use aws_lc_rs::digest;
use lzma_rust2::Lzma2Reader;

use super::compressed::WINDOW_BYTES_MAX;

const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
const FILTER_LZMA2: u64 = 0x21;

/// Unpacks.
pub(super) struct Xz<R> {
    from: R,
    step: Step,
    /// Of the current stream: how its blocks are checked.
    kind: u8,
    check: Check,
    /// Bytes of the current block's compressed data; only the last two bits matter.
    packed: usize,
    /// Blocks of the current stream.
    blocks: u64,
}

enum Step {
    /// A stream header, or padding, or the end; the first must be a header.
    Stream { first: bool },
    /// A block header, or the index.
    Block,
    /// An LZMA2 chunk, or the end of the block; with the chunk's bytes that are still to be decoded.
    Chunk { decoder: Box<Lzma2Reader<Cursor<Vec<u8>>>>, left: usize },
    /// The end of all.
    End,
}

impl<R: BufRead> Xz<R> {
    pub(super) const fn new(from: R) -> Self {
        let step = Step::Stream { first: true };
        Self { from, step, kind: 0, check: Check::None, packed: 0, blocks: 0 }
    }

    /// Section 2.1: header, or stream padding (2.2).
    fn stream(&mut self, first: bool) -> io::Result<Step> {
        // Padding is a multiple of four zero bytes.
        let mut word = [0; 4];
        loop {
            if self.from.fill_buf()?.is_empty() && !first {
                return Ok(Step::End);
            }
            self.from.read_exact(&mut word)?;
            if word != [0; 4] || first {
                break;
            }
        }
        let rest: [u8; 8] = self.array()?;
        let [a, b, zero, kind, crc @ ..] = rest;
        if [&word[..], &[a, b]].concat() != MAGIC {
            return Err(damaged("neither an xz stream nor padding"));
        }
        if zero != 0 || kind > 15 || crc32(&[zero, kind]) != crc {
            return Err(damaged("an xz stream header that contradicts itself"));
        }
        self.kind = kind;
        self.blocks = 0;
        Ok(Step::Block)
    }

    /// Section 3.1: a block header; 0 instead of its length begins the index.
    fn block(&mut self) -> io::Result<Step> {
        let [length] = self.array()?;
        if length == 0 {
            self.index()?;
            return Ok(Step::Stream { first: false });
        }
        let mut header = vec![0; usize::from(length) * 4 + 3];
        self.from.read_exact(&mut header)?;
        let (header, crc) = header.split_last_chunk::<4>().unwrap_or((&[], &[0; 4]));
        if crc32(&[&[length], header].concat()) != *crc {
            return Err(damaged("an xz block header whose checksum is wrong"));
        }
        let window = window(header).ok_or_else(|| damaged("an xz block with other filters than LZMA2"))?;
        if window > WINDOW_BYTES_MAX {
            let mib = window >> 20;
            return Err(io::Error::other(format!(
                "an xz block that needs {mib} MiB of memory; at most {} are allowed",
                WINDOW_BYTES_MAX >> 20
            )));
        }
        self.check = Check::new(self.kind);
        self.packed = 0;
        let decoder = Lzma2Reader::new(Cursor::new(Vec::new()), window, None);
        Ok(Step::Chunk { decoder: Box::new(decoder), left: 0 })
    }

    /// LZMA2: reads the next chunk into the decoder; its decoded length, 0 at the end of the block.
    fn chunk(&mut self, decoder: &mut Lzma2Reader<Cursor<Vec<u8>>>) -> io::Result<usize> {
        let [control] = self.array()?;
        let input = decoder.inner_mut();
        input.set_position(0);
        let input = input.get_mut();
        input.clear();
        input.push(control);
        self.packed = self.packed.wrapping_add(1);
        if control == 0 {
            return Ok(0);
        }
        let [high, low] = self.array()?;
        input.extend([high, low]);
        let low = usize::from(u16::from_be_bytes([high, low])) + 1;
        // Bytes of the chunk that follow, and what they become.
        let (follow, becomes) = if control < 0x80 {
            (low, low)
        } else {
            let sizes: [u8; 2] = self.array()?;
            input.extend(sizes);
            let properties = usize::from(control >= 0xc0);
            let packed = usize::from(u16::from_be_bytes(sizes)) + 1;
            (packed + properties, (usize::from(control & 0x1f) << 16) + low)
        };
        let had = input.len();
        input.resize(had + follow, 0);
        self.from.read_exact(input.get_mut(had..).unwrap_or_default())?;
        self.packed = self.packed.wrapping_add(input.len() - 1);
        Ok(becomes)
    }

    /// Sections 3.3 and 3.4: padding to a multiple of four, and the check.
    fn end_of_block(&mut self) -> io::Result<()> {
        let mut padding = [0; 3];
        let padding = padding.get_mut(..self.packed.wrapping_neg() % 4).unwrap_or_default();
        self.from.read_exact(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(damaged("an xz block padded with other than zeros"));
        }
        let mut stated = vec![0; check_bytes(self.kind)];
        self.from.read_exact(&mut stated)?;
        let matches = match core::mem::replace(&mut self.check, Check::None) {
            Check::None => true,
            Check::Crc32(crc) => crc.sum().to_le_bytes() == *stated,
            Check::Crc64(crc) => (!crc).to_le_bytes() == *stated,
            Check::Sha256(digest) => digest.finish().as_ref() == stated,
        };
        self.blocks += 1;
        if matches { Ok(()) } else { Err(damaged("an xz block whose checksum is wrong")) }
    }

    /// Sections 4 and 2.1.2: the index, which only tells where blocks are, and the footer.
    fn index(&mut self) -> io::Result<()> {
        let mut crc = flate2::Crc::new();
        crc.update(&[0]);
        let mut length = 1_u64;
        let mut number = || {
            let mut value = 0_u64;
            for shift in 0..9 {
                let [byte] = array(&mut self.from)?;
                crc.update(&[byte]);
                length += 1;
                value |= u64::from(byte & 0x7f) << (7 * shift);
                if byte & 0x80 == 0 {
                    return Ok(value);
                }
            }
            Err(damaged("a number of more than nine bytes in an xz index"))
        };
        if number()? != self.blocks {
            return Err(damaged("an xz index that names another number of blocks"));
        }
        for _ in 0..self.blocks.saturating_mul(2) {
            number()?;
        }
        while !length.is_multiple_of(4) {
            crc.update(&[0]);
            length += 1;
            let [_zero] = self.array()?;
        }
        let stated: [u8; 4] = self.array()?;
        let footer: [u8; 12] = self.array()?;
        if crc.sum().to_le_bytes() != stated || !footer.ends_with(&FOOTER_MAGIC) {
            return Err(damaged("an xz index or footer that is wrong"));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        array(&mut self.from)
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut out = [0; N];
    from.read_exact(&mut out)?;
    Ok(out)
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            // After an error there is nothing more.
            self.step = match core::mem::replace(&mut self.step, Step::End) {
                Step::End => return Ok(0),
                Step::Stream { first } => self.stream(first)?,
                Step::Block => self.block()?,
                Step::Chunk { mut decoder, left: 0 } => match self.chunk(&mut decoder)? {
                    0 => {
                        self.end_of_block()?;
                        Step::Block
                    }
                    left => Step::Chunk { decoder, left },
                },
                Step::Chunk { mut decoder, left } => {
                    let most = left.min(buf.len());
                    let got = decoder.read(buf.get_mut(..most).unwrap_or_default())?;
                    if got == 0 {
                        return Err(damaged("an xz chunk that is shorter than it says"));
                    }
                    self.check.update(buf.get(..got).unwrap_or_default());
                    self.step = Step::Chunk { decoder, left: left - got.min(left) };
                    return Ok(got);
                }
            };
        }
    }
}

/// The dictionary of a block's LZMA2 filter (section 5.3.1); `None` if it has other filters. `header` is what stands
/// between the length and the checksum.
fn window(header: &[u8]) -> Option<u32> {
    let (flags, mut rest) = header.split_first()?;
    if flags & 0x3f != 0 {
        return None;
    }
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            number(&mut rest)?;
        }
    }
    if number(&mut rest)? != FILTER_LZMA2 || number(&mut rest)? != 1 {
        return None;
    }
    match u32::from(*rest.first()?) {
        40 => Some(u32::MAX),
        bits @ 0..40 => Some((2 | (bits & 1)) << (bits / 2 + 11)),
        _ => None,
    }
}

/// A multibyte integer (section 1.2).
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Section 2.1.1.2.
const fn check_bytes(kind: u8) -> usize {
    match kind {
        0 => 0,
        1..=3 => 4,
        4..=6 => 8,
        7..=9 => 16,
        10..=12 => 32,
        _ => 64,
    }
}

/// What a block's content sums up to; kinds that nobody writes are not checked.
enum Check {
    None,
    Crc32(flate2::Crc),
    Crc64(u64),
    Sha256(Box<digest::Context>),
}

impl Check {
    fn new(kind: u8) -> Self {
        match kind {
            1 => Self::Crc32(flate2::Crc::new()),
            4 => Self::Crc64(u64::MAX),
            10 => Self::Sha256(Box::new(digest::Context::new(&digest::SHA256))),
            _ => Self::None,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32(crc) => crc.update(bytes),
            Self::Crc64(crc) => {
                for byte in bytes {
                    let [low, ..] = crc.to_le_bytes();
                    let entry = CRC64.get(usize::from(low ^ byte)).copied().unwrap_or_default();
                    *crc = entry ^ (*crc >> 8);
                }
            }
            Self::Sha256(digest) => digest.update(bytes),
        }
    }
}

/// ECMA-182, reflected, by byte.
static CRC64: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut byte = 0_u64;
    [(); 256].map(|()| {
        let entry = (0..8)
            .fold(byte, |crc, _bit| if crc & 1 == 1 { (crc >> 1) ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 });
        byte += 1;
        entry
    })
});

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, and how it ended.
    fn unpack(packed: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut out = Vec::new();
        let end = Xz::new(packed).read_to_end(&mut out);
        (out, end)
    }

    fn packed(text: &[u8], check: lzma_rust2::CheckType) -> Vec<u8> {
        let mut options = lzma_rust2::XzOptions::with_preset(6);
        options.set_check_sum_type(check);
        let mut to = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        io::Write::write_all(&mut to, text).unwrap();
        to.finish().unwrap()
    }

    const CHECKS: [lzma_rust2::CheckType; 4] = [
        lzma_rust2::CheckType::None,
        lzma_rust2::CheckType::Crc32,
        lzma_rust2::CheckType::Crc64,
        lzma_rust2::CheckType::Sha256,
    ];

    #[test]
    fn every_check_streams_and_padding() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for check in CHECKS {
            let one = packed(&text, check);
            assert!(one.len() < text.len());
            let (out, end) = unpack(&one);
            assert!(out == text, "{check:?}: {end:?}");
            let (out, end) = unpack(&[&one[..], &[0; 8], &packed(b"tail", check)].concat());
            assert!(end.is_ok() && out.ends_with(b"tail") && out.len() == text.len() + 4);
        }
    }

    /// `printf 'sekimori sekimori sekimori' | xz --check=C` for each C, and of nothing, by XZ Utils.
    #[test]
    fn what_xz_utils_write() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap())
                .collect()
        };
        for hex in [
            "fd377a585a000000ff12d9410200210116000000742fe5a3e00019000f5d00399949b83570b80772b1679277000000000001231a303b4d6306729e7a010000000000595a",
            "fd377a585a0000016922de360200210116000000742fe5a3e00019000f5d00399949b83570b80772b167927700000000eacf4e2b0001271a34fe21079042990d010000000001595a",
            "fd377a585a000004e6d6b4460200210116000000742fe5a3e00019000f5d00399949b83570b80772b1679277000000008b5d326f54e0f40500012b1a38b194ab1fb6f37d010000000004595a",
            "fd377a585a00000ae1fb0ca10200210116000000742fe5a3e00019000f5d00399949b83570b80772b167927700000000ebc963a31cf3776a8d70834c791af21e5a79ead2fd03716517a1b4e28785f73a0001431a9750b006189b4b9a01000000000a595a",
        ] {
            let (out, end) = unpack(&bytes(hex));
            assert_eq!((&out[..], end.unwrap()), (&b"sekimori sekimori sekimori"[..], 26));
        }
        let (out, end) = unpack(&bytes("fd377a585a000004e6d6b446000000001cdf44211fb6f37d010000000004595a"));
        assert_eq!((out.len(), end.unwrap()), (0, 0));
    }

    #[test]
    fn damage_anywhere_is_an_error_and_never_a_panic() {
        for check in CHECKS {
            let whole = packed(b"sekimori sekimori sekimori sekimori", check);
            for cut in 0..whole.len() {
                let (out, end) = unpack(&whole[..cut]);
                assert!(end.is_err() && b"sekimori sekimori sekimori sekimori".starts_with(&out[..]));
            }
            for at in 0..whole.len() {
                let mut broken = whole.clone();
                broken[at] ^= 0x41;
                let (out, end) = unpack(&broken);
                // Without a check the content may change unseen; the footer's sums are not read.
                let unseen = check == lzma_rust2::CheckType::None || at + 12 >= whole.len();
                assert!(end.is_err() || unseen, "{check:?} byte {at}: {}", String::from_utf8_lossy(&out));
            }
        }
    }

    #[test]
    fn a_cut_one_gives_its_whole_chunks() {
        let mut seed = 1_u32;
        let noise = core::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24).to_le_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(1_000_000).collect();
        let whole = packed(&noise, lzma_rust2::CheckType::Crc64);
        let (out, end) = unpack(&whole[..600_000]);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(out.len() > 500_000 && noise.starts_with(&out), "{} bytes", out.len());
    }

    #[test]
    fn a_dictionary_above_the_bound_is_refused() {
        let header = [&[0, FILTER_LZMA2.to_le_bytes()[0], 1, 40][..], &[0; 3]].concat();
        assert_eq!(window(&header), Some(u32::MAX));
        assert_eq!(window(&[0, 0x21, 1, 28]), Some(64 << 20), "xz -9");
        assert_eq!(window(&[0, 0x21, 1, 41]), None);
        assert_eq!(window(&[1, 0x03, 1, 0, 0x21, 1, 28]), None, "delta first");
        let mut block = vec![2];
        block.extend([&header[..], &[0; 0]].concat());
        let mut bytes = [&MAGIC[..], &[0, 0], &crc32(&[0, 0])].concat();
        bytes.extend(&block);
        bytes.extend(crc32(&block));
        let (_out, end) = unpack(&bytes);
        assert_eq!(
            end.unwrap_err().to_string(),
            "an xz block that needs 4095 MiB of memory; at most 128 are allowed"
        );
    }
}
