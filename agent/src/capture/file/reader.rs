//! One capture file: which format it is, and one packet after another.

use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

use super::FileError;
use super::pcapng::{self, Block, Interface};
use super::source::Source;

/// The largest record that is read; a longer one can only be damage (no snap length in use comes near).
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

const TOO_LONG: &str = "a record that claims more than 16 MiB";

/// One file, and its latest packet.
pub(super) struct CaptureFile {
    name: String,
    source: Source,
    format: Format,
    /// Bytes of the capture that are behind us.
    offset: u64,
    packets: u64,
    /// Length of the latest record, which is left only when the next one is read: its packet is borrowed from it.
    record: usize,
    packet: Packet,
}

enum Format {
    Pcap { big_endian: bool, nanoseconds: bool, header_bytes: usize, link: u32 },
    PcapNg { big_endian: bool, interfaces: Vec<Interface> },
}

/// Where in the record the latest packet lies.
#[derive(Clone, Copy, Default)]
pub(super) struct Packet {
    pub(super) at: Timestamp,
    pub(super) link: u32,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) wire_len: u32,
}

impl CaptureFile {
    pub(super) fn new(name: String, source: Source) -> Result<Self, FileError> {
        let mut file = Self {
            name,
            source,
            format: Format::PcapNg { big_endian: false, interfaces: Vec::new() },
            offset: 0,
            packets: 0,
            record: 0,
            packet: Packet::default(),
        };
        let got = file.see(4)?;
        let unknown = |what: String| FileError::UnknownFormat { file: file.name.clone(), what };
        let magic: [u8; 4] = match file.source.bytes().get(..got) {
            Some([a, b, c, d]) => [*a, *b, *c, *d],
            Some([]) | None => return Err(unknown("it is empty".to_owned())),
            Some(short) => return Err(unknown(format!("it has only {} bytes", short.len()))),
        };
        let (big_endian, nanoseconds, header_bytes) = match magic {
            pcapng::SECTION_HEADER => return Ok(file),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false, 16),
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true, 16),
            // Kuznetsov's libpcap: eight more bytes in each record.
            [0x34, 0xcd, 0xb2, 0xa1] => (false, false, 24),
            [0xa1, 0xb2, 0xcd, 0x34] => (true, false, 24),
            _ if file.source.is_packed_too_often() => {
                return Err(unknown("it is compressed more than twice".to_owned()));
            }
            other => return Err(unknown(looks_like(other))),
        };
        file.need(24, "the file header")?;
        // The upper bits of the link type tell the length of a checksum; only the lower 16 are the type.
        let link = file.u32_at(20, big_endian) & 0xffff;
        file.format = Format::Pcap { big_endian, nanoseconds, header_bytes, link };
        file.record = 24;
        file.offset = 24;
        Ok(file)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the file itself that were read, and its size.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        self.source.progress()
    }

    /// Link type of the latest packet.
    pub(super) const fn link(&self) -> u32 {
        self.packet.link
    }

    /// Time of the latest packet.
    pub(super) const fn at(&self) -> Timestamp {
        self.packet.at
    }

    /// The latest packet.
    pub(super) fn frame(&self) -> Frame<'_> {
        let Packet { at, link, start, end, wire_len } = self.packet;
        let bytes = self.source.bytes().get(start..end).unwrap_or_default();
        Frame { at, link: LinkType::from_number(link), bytes, wire_len, vlan: None }
    }

    /// Reads on to the next packet; `false` at the end of the file.
    pub(super) fn read_packet(&mut self) -> Result<bool, FileError> {
        if self.read_plain() {
            return Ok(true);
        }
        loop {
            self.source.skip(core::mem::take(&mut self.record));
            let packet = match self.format {
                Format::Pcap { .. } => self.read_record()?,
                Format::PcapNg { .. } => self.read_block()?,
            };
            self.offset += u64::try_from(self.record).unwrap_or_default();
            match packet {
                Read::Packet(packet) => {
                    self.packet = packet;
                    self.packets += 1;
                    return Ok(true);
                }
                Read::Other => {}
                Read::End => return Ok(false),
            }
        }
    }

    /// Nearly always the next record is one of pcap and lies there whole; else nothing was read.
    fn read_plain(&mut self) -> bool {
        let Format::Pcap { big_endian, nanoseconds, header_bytes, link } = self.format else { return false };
        let there = self.source.bytes().get(self.record..).unwrap_or_default();
        let header = RecordHeader::read(there, big_endian, header_bytes);
        let Some(header) = header.filter(|header| header.end <= there.len().min(RECORD_BYTES_MAX)) else {
            return false;
        };
        self.source.skip(self.record);
        self.record = header.end;
        self.offset += u64::try_from(self.record).unwrap_or_default();
        self.packet = header.packet(nanoseconds, header_bytes, link);
        self.packets += 1;
        true
    }

    fn read_record(&mut self) -> Result<Read, FileError> {
        let Format::Pcap { big_endian, nanoseconds, header_bytes, link } = self.format else {
            return Ok(Read::End);
        };
        if self.see(1)? == 0 {
            return Ok(Read::End);
        }
        self.need(header_bytes, "a record header")?;
        let end = RecordHeader::read(self.source.bytes(), big_endian, header_bytes)
            .map_or(usize::MAX, |header| header.end);
        self.need(end, "a packet")?;
        let Some(header) = RecordHeader::read(self.source.bytes(), big_endian, header_bytes) else {
            return Ok(Read::End);
        };
        self.record = header.end;
        Ok(Read::Packet(header.packet(nanoseconds, header_bytes, link)))
    }

    /// Reads one pcapng block (draft-ietf-opsawg-pcapng, 3.1).
    fn read_block(&mut self) -> Result<Read, FileError> {
        if self.see(1)? == 0 {
            return Ok(Read::End);
        }
        // Nearly always the block's header is there.
        if self.source.bytes().len() < 12 {
            self.need(12, "a block header")?;
        }
        let is_section = self.source.bytes().starts_with(&pcapng::SECTION_HEADER);
        if is_section {
            // A section's byte order stands behind its length.
            let section = match self.source.bytes().get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err(self.damaged("a section header without the byte-order magic")),
            };
            self.format = Format::PcapNg { big_endian: section, interfaces: Vec::new() };
        }
        let Format::PcapNg { big_endian, .. } = self.format else { return Ok(Read::End) };
        let length = usize::try_from(self.u32_at(4, big_endian)).unwrap_or(usize::MAX);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(self.damaged("a block whose length is below 12 or no multiple of 4"));
        }
        self.need(length, "a block")?;
        let Format::PcapNg { ref mut interfaces, .. } = self.format else { return Ok(Read::End) };
        let block = self.source.bytes().get(..length).unwrap_or_default();
        let read = pcapng::block(block, big_endian, interfaces, self.packet.at);
        let read = match read {
            Ok(Block::Packet(packet)) => Read::Packet(packet),
            Ok(Block::Other) => Read::Other,
            Err(what) => return Err(self.damaged(what)),
        };
        self.record = length;
        Ok(read)
    }

    /// Makes `want` bytes visible.
    fn need(&mut self, want: usize, what: &'static str) -> Result<(), FileError> {
        if want > RECORD_BYTES_MAX {
            return Err(self.damaged(TOO_LONG));
        }
        let left = self.see(want)?;
        if left == want {
            return Ok(());
        }
        let (file, offset, packets) = (self.name.clone(), self.offset, self.packets);
        Err(FileError::Cut { file, offset, what, needed: want, left, packets })
    }

    /// How many of the next `want` bytes there are.
    fn see(&mut self, want: usize) -> Result<usize, FileError> {
        self.source.see(want).map_err(|cause| {
            let (file, offset, packets) = (self.name.clone(), self.offset, self.packets);
            match self.source.packing() {
                packing if packing.is_empty() => FileError::Read { file, offset, cause },
                packing => FileError::Packed { file, packing, offset, packets, cause },
            }
        })
    }

    fn damaged(&self, what: &'static str) -> FileError {
        FileError::Damaged { file: self.name.clone(), offset: self.offset, what, packets: self.packets }
    }

    fn u32_at(&self, at: usize, big_endian: bool) -> u32 {
        pcapng::u32_at(self.source.bytes(), at, big_endian)
    }
}

/// What stands before a packet of pcap.
#[derive(Clone, Copy)]
struct RecordHeader {
    seconds: u32,
    fraction: u32,
    captured: u32,
    wire_len: u32,
    /// Bytes of header and packet.
    end: usize,
}

impl RecordHeader {
    fn read(bytes: &[u8], big_endian: bool, header_bytes: usize) -> Option<Self> {
        let header: &[u8; 16] = bytes.get(..header_bytes)?.first_chunk()?;
        let number = |bytes: [u8; 4]| {
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (words, _) = header.as_chunks();
        let [seconds, fraction, captured, wire_len] = words else { return None };
        let captured = number(*captured);
        let end = usize::try_from(captured).unwrap_or(usize::MAX).saturating_add(header_bytes);
        let [seconds, fraction, wire_len] = [*seconds, *fraction, *wire_len].map(number);
        Some(Self { seconds, fraction, captured, wire_len, end })
    }

    fn packet(self, nanoseconds: bool, start: usize, link: u32) -> Packet {
        let Self { seconds, fraction, captured, wire_len, end } = self;
        let fraction = u64::from(fraction);
        let nanos = u64::from(seconds) * 1_000_000_000 + if nanoseconds { fraction } else { fraction * 1000 };
        Packet { at: Timestamp::from_nanos(nanos), link, start, end, wire_len: wire_len.max(captured) }
    }
}

enum Read {
    Packet(Packet),
    Other,
    End,
}

fn looks_like(magic: [u8; 4]) -> String {
    match magic {
        [b'B', b'Z', b'h', _] => "it is compressed with bzip2; unpack it first".to_owned(),
        [0x04, 0x22, 0x4d, 0x18] => "it is compressed with lz4; unpack it first".to_owned(),
        [b's', b'n', b'o', b'o'] => "it is a snoop file".to_owned(),
        [a, b, c, d] => format!("it begins with the bytes {a:02x} {b:02x} {c:02x} {d:02x}"),
    }
}
