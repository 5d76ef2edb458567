//! HPACK (RFC 7541): the fields of a header block, with a dynamic table of bounded size.

use std::collections::VecDeque;

use super::huffman;
use crate::event::http::Field;
use crate::proto::http::{field_text, is_secret};

/// Bytes of a dynamic table, however large a peer allows it to be.
const TABLE_MAX: usize = 64 * 1024;
/// Its size before anything is said (RFC 9113, 6.5.2).
const TABLE_DEFAULT: usize = 4_096;
/// What an entry costs beside its bytes (RFC 7541, 4.1).
const ENTRY: usize = 32;
/// Fields of a block that are kept.
const FIELDS_MAX: usize = 64;
/// Bytes of names and values of a block that are kept.
const TEXT_MAX: usize = 8 * 1024;

/// Names and values that every peer knows (RFC 7541, Appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A name and a value.
#[derive(Debug)]
struct Entry {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

/// What one direction has agreed on.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Latest first.
    table: VecDeque<Entry>,
    size: usize,
    max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, max: TABLE_DEFAULT }
    }
}

/// The fields of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) fields: Vec<Field>,
    /// The last change of the table's size in front of them.
    pub(super) table_size: Option<u32>,
}

impl Decoder {
    /// Reads a whole block; none if it breaks the rules: then nothing more can be read in this direction.
    pub(super) fn read(&mut self, block: &[u8]) -> Option<Block> {
        let (mut rest, mut left, mut read) = (block, TEXT_MAX, Block::default());
        while let Some(first) = rest.first().copied() {
            match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    let (name, value) = self.entry(index)?;
                    keep(&mut read.fields, &mut left, name, value);
                }
                0x40..=0x7f => {
                    let (name, value) = self.literal(&mut rest, 6)?;
                    keep(&mut read.fields, &mut left, &name, &value);
                    self.insert(name.into(), value.into());
                }
                0x20..=0x3f => {
                    let size = integer(&mut rest, 5)?;
                    self.max = Some(size).filter(|size| *size <= TABLE_MAX)?;
                    read.table_size = u32::try_from(size).ok();
                    self.evict();
                }
                0..=0x1f => {
                    let (name, value) = self.literal(&mut rest, 4)?;
                    keep(&mut read.fields, &mut left, &name, &value);
                }
            }
        }
        Some(read)
    }

    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let nth = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(nth) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        self.table.get(nth - STATIC.len()).map(|entry| (&*entry.name, &*entry.value))
    }

    /// A name, by index or as it is, and a value.
    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Option<(Vec<u8>, Vec<u8>)> {
        let name = match integer(rest, prefix)? {
            0 => string(rest)?,
            index => self.entry(index)?.0.to_vec(),
        };
        Some((name, string(rest)?))
    }

    fn insert(&mut self, name: Box<[u8]>, value: Box<[u8]>) {
        self.size += name.len() + value.len() + ENTRY;
        self.table.push_front(Entry { name, value });
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(last) = self.table.pop_back() else { break };
            self.size = self.size.saturating_sub(last.name.len() + last.value.len() + ENTRY);
        }
    }
}

fn keep(fields: &mut Vec<Field>, left: &mut usize, name: &[u8], value: &[u8]) {
    let value = if is_secret(name) { &b""[..] } else { value };
    if fields.len() >= FIELDS_MAX {
        return;
    }
    if let Some(rest) = left.checked_sub(name.len() + value.len()) {
        *left = rest;
        fields.push(Field { name: field_text(name), value: field_text(value) });
    }
}

/// RFC 7541, 5.1, of which no more than 28 bits are used.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut bytes) = rest.split_first()?;
    let mask = (1_usize << prefix) - 1;
    let mut number = usize::from(*first) & mask;
    if number == mask {
        let mut shift = 0_u32;
        loop {
            let (next, more) = bytes.split_first()?;
            bytes = more;
            number = number.checked_add((usize::from(*next) & 0x7f) << shift)?;
            if next & 0x80 == 0 {
                break;
            }
            shift = Some(shift + 7).filter(|shift| *shift <= 21)?;
        }
    }
    *rest = bytes;
    Some(number)
}

/// RFC 7541, 5.2.
fn string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    if coded { huffman::decode(text) } else { Some(text.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn texts(block: &Block) -> Vec<String> {
        block.fields.iter().map(|field| format!("{}={}", field.name, field.value)).collect()
    }

    /// RFC 7541, C.3 (literal strings) and C.4 (Huffman code): three requests on one connection.
    #[test]
    fn reads_the_requests_of_the_standard() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let coded = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::default();
            let read = blocks.map(|block| texts(&decoder.read(&hex(block)).unwrap()));
            let [first, second, third] = &read;
            assert_eq!(first[..], [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"]);
            assert_eq!(second[4], "cache-control=no-cache");
            assert_eq!(third[3..], [":authority=www.example.com", "custom-key=custom-value"]);
            assert_eq!(decoder.size, 164);
        }
    }

    #[test]
    fn tables_shrink_and_stay_bounded() {
        let mut decoder = Decoder::default();
        decoder.read(&hex("400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")).unwrap();
        // 0: empty; then the default again.
        let block = decoder.read(&hex("20 3fe11f 82")).unwrap();
        assert_eq!(
            (decoder.size, block.table_size, texts(&block)),
            (0, Some(4_096), vec![":method=GET".to_owned()])
        );
        // More than any table of ours; an index that is in no table; numbers without end.
        assert_eq!(Decoder::default().read(&hex("3fe1ff7f")), None);
        assert_eq!(Decoder::default().read(&hex("be")), None);
        assert_eq!(Decoder::default().read(&hex("80")), None);
        assert_eq!(Decoder::default().read(&hex("ff ffffffff ffffffff 7f")), None);
        assert_eq!(Decoder::default().read(&hex("40 05 61")), None);
    }

    #[test]
    fn a_bomb_of_references_is_bounded() {
        let mut decoder = Decoder::default();
        let value = vec![b'x'; 3_000];
        let mut block = hex("40 01 61");
        block.extend([0x7f, 0xb9, 0x16]);
        block.extend(&value);
        decoder.read(&block).unwrap();
        let bomb = decoder.read(&vec![0xbe; 16_000]).unwrap();
        let kept: usize = bomb.fields.iter().map(|field| field.name.len() + field.value.len()).sum();
        assert!(kept <= TEXT_MAX, "{kept}");
    }

    #[test]
    fn secrets_are_left_out() {
        // authorization (23), literal, not indexed.
        let block = Decoder::default().read(&hex("0f08 06 736563726574")).unwrap();
        assert_eq!(texts(&block), ["authorization="]);
    }
}
