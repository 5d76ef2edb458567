//! The least of a capture reader: classic pcap and pcapng, as far as they go.

use std::fs;
use std::path::{Path, PathBuf};

use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

/// A capture file in memory.
pub(crate) struct Capture<'a> {
    bytes: &'a [u8],
    format: Format,
}

enum Format {
    Classic { big: bool, tick_nanos: u64 },
    Next,
}

/// Every file below a folder, in order of name.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let files = |path: PathBuf| if path.is_dir() { below(&path) } else { vec![path] };
    paths.into_iter().flat_map(files).collect()
}

impl<'a> Capture<'a> {
    /// Nothing for a format that is not read here.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let classic = |big, tick_nanos| Format::Classic { big, tick_nanos };
        let format = match bytes.get(..4)? {
            [0xd4, 0xc3, 0xb2, 0xa1] => classic(false, 1_000),
            [0x4d, 0x3c, 0xb2, 0xa1] => classic(false, 1),
            [0xa1, 0xb2, 0xc3, 0xd4] => classic(true, 1_000),
            [0xa1, 0xb2, 0x3c, 0x4d] => classic(true, 1),
            [0x0a, 0x0d, 0x0d, 0x0a] => Format::Next,
            _ => return None,
        };
        Some(Self { bytes, format })
    }

    /// Calls `each` with every frame until the file ends or makes no sense.
    pub(crate) fn frames(&self, mut each: impl FnMut(&Frame<'_>)) {
        match self.format {
            Format::Classic { big, tick_nanos } => self.classic(big, tick_nanos, &mut each),
            Format::Next => self.next(&mut each),
        };
    }

    fn classic(&self, big: bool, tick_nanos: u64, each: &mut impl FnMut(&Frame<'_>)) -> Option<()> {
        let link = LinkType::from_number(number(self.bytes, 20, big)? & 0xffff);
        let mut rest = self.bytes.get(24..)?;
        loop {
            let field = |at| number(rest, at, big);
            let (secs, fraction, length, wire_len) = (field(0)?, field(4)?, field(8)?, field(12)?);
            let nanos = u64::from(fraction) * tick_nanos;
            let at = Timestamp::from_nanos(u64::from(secs) * 1_000_000_000 + nanos);
            let bytes = rest.get(16..16 + length as usize)?;
            each(&Frame { at, link, bytes, wire_len, vlan: None });
            rest = rest.get(16 + length as usize..)?;
        }
    }

    fn next(&self, each: &mut impl FnMut(&Frame<'_>)) -> Option<()> {
        let (mut rest, mut big, mut links, mut at) = (self.bytes, false, Vec::new(), Timestamp::ZERO);
        loop {
            if rest.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
                big = rest.get(8..12)? == [0x1a, 0x2b, 0x3c, 0x4d];
                links.clear();
            }
            let (kind, length) = (number(rest, 0, big)?, number(rest, 4, big)? as usize);
            let block = rest.get(8..length.checked_sub(4)?)?;
            let field = |at| number(block, at, big);
            match kind {
                1 => {
                    let halves = block.first_chunk()?;
                    let link = if big { u16::from_be_bytes(*halves) } else { u16::from_le_bytes(*halves) };
                    links.push((LinkType::from_number(link.into()), ticks(block.get(8..)?, big)));
                }
                6 => {
                    let (link, nanos) = *links.get(field(0)? as usize)?;
                    let stamp = u64::from(field(4)?) << 32 | u64::from(field(8)?);
                    at = Timestamp::from_nanos(u64::try_from(u128::from(stamp) * nanos / 1_000_000).ok()?);
                    let bytes = block.get(20..20 + field(12)? as usize)?;
                    each(&Frame { at, link, bytes, wire_len: field(16)?, vlan: None });
                }
                3 => {
                    let bytes = block.get(4..)?;
                    let bytes = &bytes[..bytes.len().min(field(0)? as usize)];
                    each(&Frame { at, link: links.first()?.0, bytes, wire_len: field(0)?, vlan: None });
                }
                _ => {}
            }
            rest = rest.get(length..)?;
        }
    }
}

/// A millionth of a nanosecond times this is one tick of an interface (option `if_tsresol`).
fn ticks(mut options: &[u8], big: bool) -> u128 {
    while let Some(head) = options.first_chunk::<4>() {
        let half = |pair: [u8; 2]| if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let (kind, length) = (half([head[0], head[1]]), usize::from(half([head[2], head[3]])));
        if kind == 9
            && let Some(resolution) = options.get(4)
        {
            let exponent = u32::from(resolution & 0x7f);
            let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
            return 1_000_000_000_000_000 / base.saturating_pow(exponent).max(1);
        }
        options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
    }
    1_000_000_000
}

fn number(bytes: &[u8], at: usize, big: bool) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(if big { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) })
}
