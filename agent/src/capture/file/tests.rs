//! Files as people have them: every magic, order and resolution; cut, damaged and hostile ones.

use std::fmt::Write as _;

use super::*;

/// What is read from these bytes: `seconds.nanoseconds/link/length/wire` of each frame, then the problems.
fn read(bytes: &[u8]) -> String {
    read_all(vec![("f", bytes)])
}

fn read_all(inputs: Vec<(&str, &[u8])>) -> String {
    let mut files = Files::open(&[], None);
    for (name, bytes) in inputs {
        let source = Source::of(io::Cursor::new(bytes.to_vec()), None, CHUNK_BYTES_MIN).unwrap();
        files.add(name.to_owned(), source);
    }
    let mut out = String::new();
    while let Some(frame) = files.next_frame() {
        let (secs, nanos) = (frame.at.secs(), frame.at.nanos() % 1_000_000_000);
        write!(out, "{secs}.{nanos:09}/{:?}/{}/{} ", frame.link, frame.bytes.len(), frame.wire_len).unwrap();
    }
    for problem in files.problems() {
        write!(out, "! {problem} ").unwrap();
    }
    out
}

/// Numbers in one byte order.
struct Writer {
    big_endian: bool,
    bytes: Vec<u8>,
}

impl Writer {
    fn new(big_endian: bool) -> Self {
        Self { big_endian, bytes: Vec::new() }
    }
    fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
    fn pcap(big_endian: bool, magic: u32, link: u32) -> Self {
        Self::new(big_endian).u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(link)
    }
    fn packet(self, seconds: u32, fraction: u32, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap();
        self.u32(seconds).u32(fraction).u32(len).u32(1500).raw(bytes)
    }
    fn block(self, kind: u32, body: &[u8]) -> Self {
        let len = u32::try_from(body.len() + 12).unwrap();
        self.u32(kind).u32(len).raw(body).u32(len)
    }
    fn section(self) -> Self {
        let body = Self::new(self.big_endian).u32(0x1a2b_3c4d).u16(1).u16(0).raw(&[0xff; 8]).bytes;
        self.block(0x0a0d_0d0a, &body)
    }
    /// An interface with a time resolution and an offset in seconds.
    fn interface(self, link: u16, resolution: u8, offset: u32) -> Self {
        let body = Self::new(self.big_endian).u16(link).u16(0).u32(0);
        let body = body.u16(9).u16(1).raw(&[resolution, 0, 0, 0]).u16(14).u16(8);
        let body = if self.big_endian { body.u32(0).u32(offset) } else { body.u32(offset).u32(0) };
        let body = body.u32(0).bytes;
        self.block(1, &body)
    }
    fn enhanced(self, interface: u32, ticks: u64, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap();
        let (high, low) = (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xffff_ffff).unwrap());
        let body = Self::new(self.big_endian).u32(interface).u32(high).u32(low).u32(len).u32(1500).raw(bytes);
        let body = body.raw(&vec![0; (4 - bytes.len() % 4) % 4]).bytes;
        self.block(6, &body)
    }
}

#[test]
fn pcap_in_every_byte_order_and_resolution() {
    for big_endian in [false, true] {
        let micro = Writer::pcap(big_endian, 0xa1b2_c3d4, 1).packet(7, 999_999, b"abc");
        assert_eq!(read(&micro.bytes), "7.999999000/Ethernet/3/1500 ");
        let nano =
            Writer::pcap(big_endian, 0xa1b2_3c4d, 101).packet(7, 999_999_999, b"").packet(8, 1, b"abcd");
        assert_eq!(read(&nano.bytes), "7.999999999/RawIp/0/1500 8.000000001/RawIp/4/1500 ");
        let modified =
            Writer::pcap(big_endian, 0xa1b2_cd34, 113).u32(7).u32(1).u32(3).u32(3).raw(&[0; 8]).raw(b"abc");
        assert_eq!(read(&modified.bytes), "7.000001000/LinuxSll/3/3 ");
    }
    // Bits above the link type tell of a checksum.
    let with_checksum = Writer::pcap(false, 0xa1b2_c3d4, 0x2400_0001).packet(7, 0, b"abc");
    assert_eq!(read(&with_checksum.bytes), "7.000000000/Ethernet/3/1500 ");
}

#[test]
fn pcapng_with_several_interfaces_sections_and_resolutions() {
    let bytes = Writer::new(false)
        .section()
        .interface(1, 6, 0)
        .interface(101, 9, 100)
        .interface(113, 0x80 | 10, 0)
        .enhanced(0, 7_000_001, b"abcde")
        .enhanced(1, 7_000_000_001, b"")
        .enhanced(2, 1024 * 9 + 512, b"abcd")
        .block(3, &Writer::new(false).u32(2).raw(b"ab\0\0").bytes)
        .block(0x0bad_cafe, b"unknown!")
        .bytes;
    let big = Writer::new(true).section().interface(276, 6, 0).enhanced(0, 10_000_000, b"abc").bytes;
    assert_eq!(
        read(&[bytes, big].concat()),
        "7.000001000/Ethernet/5/1500 107.000000001/RawIp/0/1500 9.500000000/LinuxSll/4/1500 \
         9.500000000/Ethernet/2/2 10.000000000/LinuxSll2/3/1500 "
    );
}

#[test]
fn pcapng_blocks_that_are_old_or_odd() {
    let obsolete = |interface: u16, bytes: &[u8]| {
        let body = Writer::new(true).u16(interface).u16(9).u32(0).u32(7_000_000);
        Writer::new(true).block(2, &body.u32(4).u32(60).raw(bytes).bytes).bytes
    };
    let section = Writer::new(true).section().interface(1, 6, 0).bytes;
    // An interface whose packets are cut at two bytes, and whose options claim more than is there.
    let cut =
        Writer::new(true).section().block(1, &Writer::new(true).u16(1).u16(0).u32(2).u16(9).u16(99).bytes);
    let cut = cut.block(3, &Writer::new(true).u32(60).raw(b"abcd").bytes).bytes;
    assert_eq!(
        read(&[section, obsolete(0, b"abcd"), cut, obsolete(1, b"abcd")].concat()),
        "7.000000000/Ethernet/4/60 7.000000000/Ethernet/2/60 \
         ! f: damaged at byte 180: a packet of an interface that was not described; 2 packets before it were read "
    );
    // As many empty options as fit cost time, not memory.
    let options = Writer::new(true).u16(1).u16(0).u32(0).raw(&[0, 1, 0, 0].repeat(1_000_000)).bytes;
    let many = Writer::new(true).section().block(1, &options).enhanced(0, 8_000_000, b"ab").bytes;
    assert_eq!(read(&many), "8.000000000/Ethernet/2/1500 ");
}

#[test]
fn a_plain_file_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    // Longer than the buffer, with records across its edges.
    let mut whole = Writer::pcap(false, 0xa1b2_c3d4, 1);
    for second in 0..200 {
        whole = whole.packet(second, 0, &vec![7; 65_000]);
    }
    std::fs::write(&path, &whole.bytes).unwrap();
    let mut files = Files::open(core::slice::from_ref(&path), None);
    let mut packets = 0;
    while let Some(frame) = files.next_frame() {
        assert_eq!((frame.at.secs(), frame.bytes.len()), (packets, 65_000));
        assert!(frame.bytes.iter().all(|byte| *byte == 7));
        packets += 1;
        let (read, size) = files.progress();
        assert!(read <= size.unwrap() && size == Some(u64::try_from(whole.bytes.len()).unwrap()));
    }
    assert_eq!((packets, files.problems().len()), (200, 0));
    std::fs::write(&path, b"").unwrap();
    assert!(
        matches!(Files::open(&[path], None).problems(), [FileError::UnknownFormat { what, .. }] if what == "it is empty")
    );
}

#[test]
fn a_cut_or_damaged_file_gives_what_can_be_read() {
    let pcap = Writer::pcap(false, 0xa1b2_c3d4, 1).packet(7, 0, b"abc").packet(8, 0, b"defgh").bytes;
    let first = "7.000000000/Ethernet/3/1500 ";
    let cut = |left: usize, what: &str| {
        let got = read(&pcap[..pcap.len() - left]);
        assert_eq!(got, format!("{first}! f: cut at byte 43: {what}; 1 packets before it were read "));
    };
    cut(1, "a packet needs 21 bytes, 20 are there");
    cut(6, "a record header needs 16 bytes, 15 are there");
    assert_eq!(read(&pcap[..43]), first);
    assert!(
        read(&pcap[..20]).contains("cut at byte 0: the file header needs 24 bytes, 20 are there; 0 packets")
    );

    let huge =
        Writer::pcap(true, 0xa1b2_c3d4, 1).packet(7, 0, b"abc").u32(8).u32(0).u32(u32::MAX).u32(9).bytes;
    assert!(read(&huge).contains(
        "damaged at byte 43: a record that claims more than 16 MiB; 1 packets before it were read"
    ));

    let ng = Writer::new(true).section().interface(1, 6, 0).enhanced(0, 7_000_000, b"abc");
    let offset = ng.bytes.len();
    let damaged = |bytes: Vec<u8>, what: &str| {
        let got = read(&bytes);
        assert!(got.starts_with(first), "{got}");
        assert!(got.contains(&format!("at byte {offset}: {what}")), "{got}");
    };
    let then = |tail: Writer| [ng.bytes.clone(), tail.bytes].concat();
    damaged(then(Writer::new(true).enhanced(1, 8, b"")), "a packet of an interface that was not described");
    damaged(then(Writer::new(true).u32(6).u32(13).raw(&[0; 20])), "a block whose length is below 12");
    damaged(then(Writer::new(true).block(6, &[0; 4])), "a block that contradicts itself");
    damaged(then(Writer::new(true).u32(6).u32(64)), "a block header needs 12 bytes, 8 are there");
    damaged(then(Writer::new(true).u32(0x0a0d_0d0a).u32(28).u32(0x0102_0304)), "a section header without");
}

#[test]
fn what_is_no_capture_file_is_named() {
    assert_eq!(read(b""), "! f: not a capture file that this program reads (pcap, pcapng): it is empty ");
    for (bytes, what) in [
        (&b"BZh91AY"[..], "bzip2"),
        (b"snoop\0\0\0", "snoop"),
        (b"GET / HTTP/1.1", "47 45 54 20"),
        (b"ab", "only 2 bytes"),
    ] {
        assert!(read(bytes).contains(what), "{}", read(bytes));
    }
    let missing = Files::open(&[PathBuf::from("/nonexistent/x.pcap")], None);
    assert!(matches!(missing.problems(), [FileError::Open { file, .. }] if file == "/nonexistent/x.pcap"));
}

#[test]
fn several_files_are_merged_by_time_and_a_bad_one_stops_alone() {
    let a =
        Writer::pcap(false, 0xa1b2_c3d4, 1).packet(1, 0, b"a").packet(4, 0, b"a").packet(5, 0, b"a").bytes;
    let b = Writer::pcap(true, 0xa1b2_c3d4, 101).packet(2, 0, b"bb").packet(4, 0, b"bb").bytes;
    assert_eq!(
        read_all(vec![("a", &a), ("x", b"not a capture"), ("b", &b[..b.len() - 1])]),
        "1.000000000/Ethernet/1/1500 2.000000000/RawIp/2/1500 4.000000000/Ethernet/1/1500 5.000000000/Ethernet/1/1500 \
         ! x: not a capture file that this program reads (pcap, pcapng): it begins with the bytes 6e 6f 74 20 \
         ! b: cut at byte 42: a packet needs 18 bytes, 17 are there; 1 packets before it were read "
    );
}
