//! Frames of capture files, read and written: pcap in every byte order and resolution, and pcapng, Ethernet only.
//!
//! A reader of our own, because this program depends on no crate of the workspace; what it cannot read is said and left
//! out, since a benchmark needs traffic and not every file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Longest frame that is believed.
const FRAME_MAX: usize = 262_144;
const ETHERNET: u32 = 1;

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Microseconds since 1970.
    pub(super) at: u64,
    /// Bytes on the wire.
    pub(super) wire_len: u32,
    /// What was captured of them.
    pub(super) bytes: Vec<u8>,
}

/// A cursor that never reads past the end.
struct Cursor<'a> {
    rest: &'a [u8],
    big: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }
}

/// The Ethernet frames of a file, up to where it is damaged.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Vec<Frame>> {
    match bytes.first_chunk::<4>() {
        Some([0xd4, 0xc3, 0xb2, 0xa1]) => pcap(bytes, false, 1),
        Some([0x4d, 0x3c, 0xb2, 0xa1]) => pcap(bytes, false, 1_000),
        Some([0xa1, 0xb2, 0xc3, 0xd4]) => pcap(bytes, true, 1),
        Some([0xa1, 0xb2, 0x3c, 0x4d]) => pcap(bytes, true, 1_000),
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(bytes),
        Some(_) | None => bail!("neither pcap nor pcapng"),
    }
}

fn pcap(bytes: &[u8], big: bool, per_micro: u32) -> anyhow::Result<Vec<Frame>> {
    let mut cursor = Cursor { rest: bytes, big };
    let header = cursor.take(20).and_then(|_| cursor.u32());
    let link = header.context("no whole file header")? & 0xffff;
    ensure!(link == ETHERNET, "link type {link}");
    let mut frames = Vec::new();
    while let Some(frame) = record(&mut cursor, per_micro) {
        frames.push(frame);
    }
    Ok(frames)
}

fn record(cursor: &mut Cursor<'_>, per_micro: u32) -> Option<Frame> {
    let (seconds, fraction) = (cursor.u32()?, cursor.u32()?);
    let (kept, wire_len) = (cursor.size().filter(|kept| *kept <= FRAME_MAX)?, cursor.u32()?);
    let bytes = cursor.take(kept)?.to_vec();
    let at = u64::from(seconds) * 1_000_000 + u64::from(fraction / per_micro);
    Some(Frame { at, wire_len: wire_len.max(u32::try_from(kept).ok()?), bytes })
}

/// An interface of a pcapng section: its link type and the units of a second.
#[derive(Clone, Copy)]
struct Interface(u32, u64);

fn pcapng(bytes: &[u8]) -> anyhow::Result<Vec<Frame>> {
    const SECTION: u32 = 0x0a0d_0d0a;
    let mut cursor = Cursor { rest: bytes, big: false };
    let (mut interfaces, mut frames) = (Vec::new(), Vec::new());
    while let Some(kind) = cursor.u32() {
        if kind == SECTION {
            cursor.big = cursor.rest.get(4..8) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
            interfaces.clear();
        }
        let Some(length) = cursor.size().and_then(|length| length.checked_sub(12)) else { break };
        let Some(body) = cursor.take(length) else { break };
        let mut body = Cursor { rest: body, big: cursor.big };
        match kind {
            1 => interfaces.extend(interface(&mut body)),
            6 => frames.extend(enhanced(&mut body, &interfaces)),
            _ => {}
        }
        if cursor.take(4).is_none() {
            break;
        }
    }
    ensure!(!frames.is_empty(), "no Ethernet frame");
    Ok(frames)
}

fn interface(body: &mut Cursor<'_>) -> Option<Interface> {
    const RESOLUTION: u16 = 9;
    let link = u32::from(body.u16()?);
    body.take(6)?;
    let mut units = 1_000_000;
    while let (Some(code), Some(length)) = (body.u16(), body.u16()) {
        let value = body.take(usize::from(length).next_multiple_of(4))?;
        if let (RESOLUTION, Some(power)) = (code, value.first()) {
            let (base, power) = if power & 0x80 == 0 { (10, *power) } else { (2, power & 0x7f) };
            units = u64::checked_pow(base, u32::from(power))?;
        }
    }
    Some(Interface(link, units))
}

fn enhanced(body: &mut Cursor<'_>, interfaces: &[Interface]) -> Option<Frame> {
    let Interface(link, units) = *interfaces.get(body.size()?)?;
    if link != ETHERNET {
        return None;
    }
    let ticks = u64::from(body.u32()?) << 32 | u64::from(body.u32()?);
    let (kept, wire_len) = (body.size()?, body.u32()?);
    let bytes = body.take(kept)?.to_vec();
    let at = u64::try_from(u128::from(ticks) * 1_000_000 / u128::from(units)).ok()?;
    Some(Frame { at, wire_len: wire_len.max(u32::try_from(kept).ok()?), bytes })
}

/// Writes a pcap file (microseconds, little endian, Ethernet) as frames come.
pub(super) struct Writer<W: Write = File> {
    out: BufWriter<W>,
    /// Frames written.
    pub(super) frames: u64,
}

impl Writer {
    /// Begins the file.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Self::to(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a capture that goes somewhere.
    pub(super) fn to(out: W) -> anyhow::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        out.write_all(&file_header())?;
        Ok(Self { out, frames: 0 })
    }

    /// Nothing written so far waits here.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// One frame of which `bytes` are kept.
    pub(super) fn frame(&mut self, at: u64, wire_len: u32, bytes: &[u8]) -> anyhow::Result<()> {
        self.frames += 1;
        let header =
            [u32::try_from(at / 1_000_000)?, u32::try_from(at % 1_000_000)?, u32::try_from(bytes.len())?];
        for word in header.into_iter().chain([wire_len]) {
            self.out.write_all(&word.to_le_bytes())?;
        }
        Ok(self.out.write_all(bytes)?)
    }

    /// Ends the file; how many frames it has.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.out.flush()?;
        Ok(self.frames)
    }
}

/// What a file begins with.
pub(super) fn file_header() -> Vec<u8> {
    [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, ETHERNET]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// Hands the first `most` frames of a file to `each`.
pub(super) fn each(
    path: &Path,
    most: u64,
    mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut input = io::BufReader::with_capacity(1 << 20, file);
    let (mut frames, mut done) = (0, Ok(()));
    walk(&mut input, |record| {
        done = each(record.get(16..).unwrap_or_default());
        frames += 1;
        frames < most && done.is_ok()
    })?;
    done
}

/// How many frames a file has.
pub(super) fn count(path: &Path) -> anyhow::Result<u64> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut input = io::BufReader::with_capacity(1 << 20, file);
    let mut frames = 0;
    walk(&mut input, |_record| {
        frames += 1;
        true
    })?;
    Ok(frames)
}

/// The first `most` frames of a file as a file of their own.
pub(super) fn slice(from: &Path, to: &Path, most: u64) -> anyhow::Result<u64> {
    let file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mut input = io::BufReader::with_capacity(1 << 20, file);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to)?);
    out.write_all(&file_header())?;
    let (mut frames, mut failed) = (0, Ok(()));
    walk(&mut input, |record| {
        if frames < most {
            failed = out.write_all(record);
            frames += 1;
        }
        frames < most && failed.is_ok()
    })?;
    failed?;
    out.flush()?;
    Ok(frames)
}

/// Hands each record (header and frame) to `each` until it says false.
fn walk(input: &mut impl io::Read, mut each: impl FnMut(&[u8]) -> bool) -> anyhow::Result<()> {
    let mut header = [0; 24];
    input.read_exact(&mut header).context("no whole file header")?;
    ensure!(
        header.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]),
        "only little-endian pcap files with microseconds can be measured; editcap -F pcap makes one"
    );
    let mut record = vec![0; 16];
    while input.read_exact(record.get_mut(..16).context("16 bytes")?).is_ok() {
        let kept = record.get(8..12).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
        let kept = usize::try_from(kept)?;
        ensure!(kept <= FRAME_MAX, "a frame of {kept} bytes");
        record.resize(16 + kept, 0);
        if input.read_exact(record.get_mut(16..).context("the frame")?).is_err() || !each(&record) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at: u64, bytes: &[u8]) -> Frame {
        Frame { at, wire_len: 60, bytes: bytes.to_vec() }
    }

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("xtask-frames-{}.pcap", std::process::id()));
        let mut writer = Writer::create(&path).unwrap();
        writer.frame(7_000_009, 60, &[1; 50]).unwrap();
        writer.frame(8_000_000, 60, &[2; 60]).unwrap();
        assert_eq!(writer.finish().unwrap(), 2);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(read(&bytes).unwrap(), [frame(7_000_009, &[1; 50]), frame(8_000_000, &[2; 60])]);
        assert_eq!(count(&path).unwrap(), 2);
        let cut = path.with_extension("cut");
        assert_eq!(slice(&path, &cut, 1).unwrap(), 1);
        assert_eq!(count(&cut).unwrap(), 1);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).map_or(0, |frames| frames.len()) < 2, "cut at {end}");
        }
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(cut).unwrap();
    }

    #[test]
    fn pcapng_with_its_resolution() {
        let word = u32::to_be_bytes;
        let mut file = Vec::new();
        file.extend(
            [word(0x0a0d_0d0a), word(28), word(0x1a2b_3c4d), word(0x0001_0000), word(0), word(0), word(28)]
                .concat(),
        );
        // Ethernet, nanoseconds.
        file.extend(
            [word(1), word(32), word(0x0001_0000), word(0), word(0x0009_0001), word(0x0900_0000)].concat(),
        );
        file.extend([word(0), word(32)].concat());
        let ticks = 3_000_002_000_u64;
        let high = u32::try_from(ticks >> 32).unwrap();
        let low = u32::try_from(ticks & 0xffff_ffff).unwrap();
        file.extend([word(6), word(36), word(0), word(high), word(low), word(3), word(60)].concat());
        file.extend([0xaa, 0xbb, 0xcc, 0]);
        file.extend(word(36));
        assert_eq!(read(&file).unwrap(), [frame(3_000_002, &[0xaa, 0xbb, 0xcc])]);
        for end in 0..file.len() {
            drop(read(&file[..end]));
        }
        read(b"GIF89a").unwrap_err();
    }
}
