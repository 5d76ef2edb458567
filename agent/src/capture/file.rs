//! Capture files, pcap and pcapng, in any byte order and resolution, read record by record in bounded memory.
//!
//! Several files are merged in order of time. A cut or damaged file yields every packet that can be read, then a
//! [`FileError`] that says where and what; the other files go on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};
use pcap_parser::traits::PcapNGPacketBlock;
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

use super::filter::{Filter, FilterError};

/// The largest record that is read; a longer one can only be damage (no snap length in use comes near).
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Interfaces that one pcapng section may describe; each costs a few bytes here.
const INTERFACES_MAX: usize = 65_536;

/// Why a file, or the rest of it, cannot be read. `file` is what the operator called it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{file}: cannot open")]
    Open {
        file: String,
        #[source]
        cause: io::Error,
    },
    #[error("{file}: cannot read at byte {offset}")]
    Read {
        file: String,
        offset: u64,
        #[source]
        cause: io::Error,
    },
    #[error("{file}: not a capture file that this program reads (pcap, pcapng): {what}")]
    UnknownFormat { file: String, what: String },
    #[error(
        "{file}: cut at byte {offset}: {what} needs {needed} bytes, {left} are there; {packets} packets before it were read"
    )]
    Cut { file: String, offset: u64, what: &'static str, needed: usize, left: usize, packets: u64 },
    #[error("{file}: damaged at byte {offset}: {what}; {packets} packets before it were read")]
    Damaged { file: String, offset: u64, what: &'static str, packets: u64 },
    #[error("{file}: cannot filter")]
    Filter {
        file: String,
        #[source]
        cause: FilterError,
    },
}

/// Capture files as one stream of frames in order of time.
pub(crate) struct Files {
    files: Vec<CaptureFile>,
    /// The next frame of each file that has one, earliest first; the file's place breaks ties.
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The file whose frame was handed out last and is to be read on from.
    current: Option<usize>,
    filter: Option<Filter>,
    problems: Vec<FileError>,
}

impl Files {
    /// Opens all; `-` is standard input. What cannot be opened is a problem, not a failure.
    pub(crate) fn open(paths: &[PathBuf], filter: Option<Filter>) -> Self {
        let mut all =
            Self { files: Vec::new(), order: BinaryHeap::new(), current: None, filter, problems: Vec::new() };
        for path in paths {
            let file = path.display().to_string();
            let opened = if file == "-" {
                Ok(Box::new(io::stdin()) as Box<dyn Read + Send>)
            } else {
                File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>)
            };
            match opened {
                Ok(reader) => all.add(file, reader),
                Err(cause) => all.problems.push(FileError::Open { file, cause }),
            }
        }
        all
    }

    fn add(&mut self, name: String, reader: Box<dyn Read + Send>) {
        match CaptureFile::new(name, reader) {
            Ok(file) => {
                self.files.push(file);
                self.advance(self.files.len() - 1);
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// The next frame of all files; `None` at the end of all.
    pub(crate) fn next_frame(&mut self) -> Option<Frame<'_>> {
        if let Some(idx) = self.current.take() {
            self.advance(idx);
        }
        let Reverse((_, idx)) = self.order.pop()?;
        self.current = Some(idx);
        self.files.get(idx).map(CaptureFile::frame)
    }

    /// Reads on in one file to the next frame that passes the filter.
    fn advance(&mut self, idx: usize) {
        let Some(file) = self.files.get_mut(idx) else { return };
        loop {
            match file.read_packet() {
                Ok(true) => {}
                Ok(false) => return,
                Err(problem) => return self.problems.push(problem),
            }
            let passes = self
                .filter
                .as_mut()
                .map_or(Ok(true), |filter| filter.matches(file.packet.link, file.frame().bytes));
            match passes {
                Ok(true) => return self.order.push(Reverse((file.packet.at, idx))),
                Ok(false) => {}
                Err(cause) => {
                    return self.problems.push(FileError::Filter { file: file.name.clone(), cause });
                }
            }
        }
    }

    /// What could not be read so far.
    pub(crate) fn problems(&self) -> &[FileError] {
        &self.problems
    }

    /// Name and packets of each file that could be opened.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|file| (file.name.as_str(), file.packets))
    }
}

/// One file, and its latest packet.
struct CaptureFile {
    name: String,
    reader: io::BufReader<Box<dyn Read + Send>>,
    format: Format,
    /// Bytes consumed.
    offset: u64,
    packets: u64,
    record: Vec<u8>,
    packet: Packet,
}

enum Format {
    Pcap { big_endian: bool, nanoseconds: bool, header_bytes: usize, link: u32 },
    PcapNg { big_endian: bool, interfaces: Vec<Interface> },
}

/// What a pcapng section says of an interface.
#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    resolution: u8,
    offset_seconds: i64,
}

/// Where in the record the latest packet lies.
#[derive(Clone, Copy, Default)]
struct Packet {
    at: Timestamp,
    link: u32,
    start: usize,
    end: usize,
    wire_len: u32,
}

impl CaptureFile {
    fn new(name: String, reader: Box<dyn Read + Send>) -> Result<Self, FileError> {
        let mut file = Self {
            name,
            reader: io::BufReader::with_capacity(64 * 1024, reader),
            format: Format::PcapNg { big_endian: false, interfaces: Vec::new() },
            offset: 0,
            packets: 0,
            record: Vec::new(),
            packet: Packet::default(),
        };
        let got = file.fill(0, 4)?;
        let unknown = |what: String| FileError::UnknownFormat { file: file.name.clone(), what };
        let magic: [u8; 4] = match file.record.get(..got) {
            Some([a, b, c, d]) => [*a, *b, *c, *d],
            Some([]) | None => return Err(unknown("it is empty".to_owned())),
            Some(short) => return Err(unknown(format!("it has only {} bytes", short.len()))),
        };
        let (big_endian, nanoseconds, header_bytes) = match magic {
            [0x0a, 0x0d, 0x0d, 0x0a] => return Ok(file),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false, 16),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true, 16),
            // Kuznetsov's libpcap: eight more bytes in each record.
            [0x34, 0xcd, 0xb2, 0xa1] => (false, false, 24),
            [0xa1, 0xb2, 0xcd, 0x34] => (true, false, 24),
            other => return Err(unknown(looks_like(other))),
        };
        file.need(4, 24, "the file header")?;
        // The upper bits of the link type tell the length of a checksum; only the lower 16 are the type.
        let link = file.u32_at(20, big_endian) & 0xffff;
        file.format = Format::Pcap { big_endian, nanoseconds, header_bytes, link };
        file.consume();
        Ok(file)
    }

    /// The latest packet.
    fn frame(&self) -> Frame<'_> {
        let Packet { at, link, start, end, wire_len } = self.packet;
        let bytes = self.record.get(start..end).unwrap_or_default();
        Frame { at, link: LinkType::from_number(link), bytes, wire_len, vlan: None }
    }

    /// Reads on to the next packet; `false` at the end of the file.
    fn read_packet(&mut self) -> Result<bool, FileError> {
        match self.format {
            Format::Pcap { big_endian, nanoseconds, header_bytes, link } => {
                let got = self.fill(0, header_bytes)?;
                if got == 0 {
                    return Ok(false);
                }
                self.need(got, header_bytes, "a record header")?;
                let captured = usize::try_from(self.u32_at(8, big_endian)).unwrap_or(usize::MAX);
                let end = captured.saturating_add(header_bytes);
                self.need(header_bytes, end, "a packet")?;
                let fraction = u64::from(self.u32_at(4, big_endian));
                let nanos = u64::from(self.u32_at(0, big_endian)) * 1_000_000_000
                    + if nanoseconds { fraction } else { fraction * 1000 };
                self.packet = Packet {
                    at: Timestamp::from_nanos(nanos),
                    link,
                    start: header_bytes,
                    end,
                    wire_len: self.u32_at(12, big_endian).max(self.u32_at(8, big_endian)),
                };
                self.consume();
                self.packets += 1;
                Ok(true)
            }
            Format::PcapNg { .. } => loop {
                match self.read_block()? {
                    BlockRead::Packet => {
                        self.packets += 1;
                        return Ok(true);
                    }
                    BlockRead::Other => {}
                    BlockRead::End => return Ok(false),
                }
            },
        }
    }

    /// Reads one pcapng block (draft-ietf-opsawg-pcapng, 3.1).
    fn read_block(&mut self) -> Result<BlockRead, FileError> {
        // The first block's type was read by `new`.
        let had = if self.offset == 0 { 4 } else { 0 };
        let got = if had == 0 { self.fill(0, 8)? } else { had };
        if got == 0 {
            return Ok(BlockRead::End);
        }
        self.need(got, 12, "a block header")?;
        let Format::PcapNg { ref mut big_endian, ref mut interfaces } = self.format else {
            return Ok(BlockRead::End);
        };
        if self.record.starts_with(&SECTION_HEADER) {
            // A section's byte order stands behind its length.
            *big_endian = match self.record.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err(self.damaged("a section header without the byte-order magic")),
            };
            interfaces.clear();
        }
        let big_endian = *big_endian;
        let length = usize::try_from(self.u32_at(4, big_endian)).unwrap_or(usize::MAX);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(self.damaged("a block whose length is below 12 or no multiple of 4"));
        }
        self.need(12, length, "a block")?;
        self.take_block(big_endian)
    }

    fn take_block(&mut self, big_endian: bool) -> Result<BlockRead, FileError> {
        let Format::PcapNg { ref mut interfaces, .. } = self.format else { return Ok(BlockRead::End) };
        let parsed = if big_endian { parse_block_be(&self.record) } else { parse_block_le(&self.record) };
        let packet = match parsed {
            Ok((_, Block::SectionHeader(section))) if section.major_version != 1 => {
                Err("a section of a pcapng version other than 1")
            }
            Ok((_, Block::InterfaceDescription(it))) if interfaces.len() < INTERFACES_MAX => {
                interfaces.push(Interface {
                    link: u32::try_from(it.linktype.0).unwrap_or(u32::MAX),
                    resolution: it.if_tsresol,
                    offset_seconds: it.if_tsoffset,
                });
                Ok(None)
            }
            Ok((_, Block::InterfaceDescription(_))) => Err("more interfaces than a section may have"),
            Ok((_, Block::EnhancedPacket(packet))) => {
                match usize::try_from(packet.if_id).ok().and_then(|idx| interfaces.get(idx)) {
                    Some(interface) => {
                        let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        let len = packet.packet_data().len();
                        Ok(Some((interface.link, interface.time(ticks), 28, len, packet.origlen)))
                    }
                    None => Err("a packet of an interface that was not described"),
                }
            }
            Ok((_, Block::SimplePacket(packet))) => match interfaces.first() {
                // It carries no time: it happened after the packet before it.
                Some(interface) => {
                    let len = packet.packet_data().len();
                    Ok(Some((interface.link, self.packet.at, 12, len, packet.origlen)))
                }
                None => Err("a packet of an interface that was not described"),
            },
            Ok((_, _other)) => Ok(None),
            Err(_) => Err("a block that contradicts itself"),
        };
        let packet = packet.map_err(|what| self.damaged(what))?;
        self.consume();
        let Some((link, at, start, len, original)) = packet else { return Ok(BlockRead::Other) };
        let wire_len = original.max(u32::try_from(len).unwrap_or(u32::MAX));
        self.packet = Packet { at, link, start, end: start + len, wire_len };
        Ok(BlockRead::Packet)
    }

    /// Makes the record `want` bytes long, of which `have` are there.
    fn need(&mut self, have: usize, want: usize, what: &'static str) -> Result<(), FileError> {
        if want > RECORD_BYTES_MAX {
            return Err(self.damaged("a record that claims more than 16 MiB"));
        }
        let left = self.fill(have, want)?;
        if left == want {
            return Ok(());
        }
        let (file, offset, packets) = (self.name.clone(), self.offset, self.packets);
        Err(FileError::Cut { file, offset, what, needed: want, left, packets })
    }

    /// Reads until the record has `want` bytes or the file ends; how many it has.
    fn fill(&mut self, have: usize, want: usize) -> Result<usize, FileError> {
        self.record.truncate(have);
        let missing = u64::try_from(want.saturating_sub(have)).unwrap_or(u64::MAX);
        // `take` and not `resize`: memory grows with what is there, not with what is claimed.
        match self.reader.by_ref().take(missing).read_to_end(&mut self.record) {
            Ok(got) => Ok(have + got),
            Err(cause) => Err(FileError::Read { file: self.name.clone(), offset: self.offset, cause }),
        }
    }

    fn consume(&mut self) {
        self.offset += u64::try_from(self.record.len()).unwrap_or_default();
    }

    fn damaged(&self, what: &'static str) -> FileError {
        FileError::Damaged { file: self.name.clone(), offset: self.offset, what, packets: self.packets }
    }

    fn u32_at(&self, at: usize, big_endian: bool) -> u32 {
        let bytes = self.record.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

enum BlockRead {
    Packet,
    Other,
    End,
}

const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

impl Interface {
    /// Nanoseconds since 1970 of a packet's ticks; what lies outside of 1970 to 2554 is set to the nearer end.
    fn time(self, ticks: u64) -> Timestamp {
        let exponent = u32::from(self.resolution & 0x7f);
        let base: u128 = if self.resolution & 0x80 == 0 { 10 } else { 2 };
        let per_second = base.checked_pow(exponent).unwrap_or(u128::MAX);
        let nanos = u128::from(ticks) * 1_000_000_000 / per_second;
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let nanos = nanos.saturating_add(i128::from(self.offset_seconds) * 1_000_000_000);
        Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

fn looks_like(magic: [u8; 4]) -> String {
    match magic {
        [0x1f, 0x8b, ..] => "it is compressed with gzip; unpack it first".to_owned(),
        [0x28, 0xb5, 0x2f, 0xfd] => "it is compressed with zstd; unpack it first".to_owned(),
        [0xfd, b'7', b'z', b'X'] => "it is compressed with xz; unpack it first".to_owned(),
        [b's', b'n', b'o', b'o'] => "it is a snoop file".to_owned(),
        [a, b, c, d] => format!("it begins with the bytes {a:02x} {b:02x} {c:02x} {d:02x}"),
    }
}

#[cfg(test)]
mod tests;
