//! The Huffman code of HPACK (RFC 7541, Appendix B).
//!
//! The code is canonical: within a length, codes grow with the symbols in the order below.

/// Symbols by length of their codes; 256 ends a string.
const LENGTHS: [(u8, &[u16]); 21] = [
    (5, &[48, 49, 50, 97, 99, 101, 105, 111, 115, 116]),
    (
        6,
        &[
            32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109,
            110, 112, 114, 117,
        ],
    ),
    (
        7,
        &[
            58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89,
            106, 107, 113, 118, 119, 120, 121, 122,
        ],
    ),
    (8, &[38, 42, 44, 59, 88, 90]),
    (10, &[33, 34, 40, 41, 63]),
    (11, &[39, 43, 124]),
    (12, &[35, 62]),
    (13, &[0, 36, 64, 91, 93, 126]),
    (14, &[94, 125]),
    (15, &[60, 96, 123]),
    (19, &[92, 195, 208]),
    (20, &[128, 130, 131, 162, 184, 194, 224, 226]),
    (21, &[153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]),
    (
        22,
        &[
            129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187,
            189, 190, 196, 198, 228, 232, 233,
        ],
    ),
    (
        23,
        &[
            1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174,
            175, 180, 182, 183, 188, 191, 197, 231, 239,
        ],
    ),
    (24, &[9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]),
    (25, &[199, 207, 234, 235]),
    (26, &[192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]),
    (27, &[203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]),
    (
        28,
        &[
            2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31,
            127, 220, 249,
        ],
    ),
    (30, &[10, 13, 22, 256]),
];

/// Decodes a string; none if it breaks the rules (RFC 7541, 5.2).
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(8) / 5);
    let (mut code, mut length) = (0_u32, 0_u8);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            if let Some(symbol) = symbol(code, length) {
                out.push(u8::try_from(symbol).ok()?);
                (code, length) = (0, 0);
            } else if length >= 30 {
                return None;
            }
        }
    }
    // Padding: fewer than eight bits, all ones.
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

/// The symbol of a code of this length, if it is whole.
fn symbol(code: u32, length: u8) -> Option<u16> {
    let (mut first, mut last_length) = (0_u32, 5_u8);
    for (of, symbols) in &LENGTHS {
        if *of > length {
            return None;
        }
        first <<= of - last_length;
        last_length = *of;
        if *of == length {
            let nth = usize::try_from(code.checked_sub(first)?).ok()?;
            return symbols.get(nth).copied();
        }
        first += u32::try_from(symbols.len()).unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_complete() {
        let space: u64 =
            LENGTHS.iter().map(|(length, symbols)| (symbols.len() as u64) << (30 - length)).sum();
        assert_eq!(space, 1 << 30);
        let mut symbols: Vec<u16> = LENGTHS.iter().flat_map(|(_, symbols)| symbols.iter().copied()).collect();
        symbols.sort_unstable();
        assert_eq!(symbols, (0..=256).collect::<Vec<_>>());
    }

    /// RFC 7541, Appendix C.4 and C.6.
    #[test]
    fn decodes_the_examples_of_the_standard() {
        let check =
            |bytes: &[u8], text: &str| assert_eq!(decode(bytes).as_deref(), Some(text.as_bytes()), "{text}");
        check(&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com");
        check(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache");
        check(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value");
        check(&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private");
        check(b"", "");
        // Padding of eight bits, and padding that is not all ones; the end of a string within it.
        assert_eq!(decode(&[0xff]), None);
        assert_eq!(decode(&[0x00]), None);
        assert_eq!(decode(&[0xff; 4]), None);
    }
}
