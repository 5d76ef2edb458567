//! Cipher suites that nobody should agree on any more, by their numbers in the IANA registry "TLS Cipher Suites".

use super::Problem;

/// Suites that encrypt nothing (RFC 9325, 4.1: MUST NOT).
const NULL: [u16; 19] = [
    0x0000, 0x0001, 0x0002, 0x003b, 0x002c, 0x002d, 0x002e, 0x00b0, 0x00b1, 0x00b4, 0x00b5, 0x00b8, 0x00b9,
    0xc001, 0xc006, 0xc00b, 0xc010, 0xc039, 0xc015,
];
/// Suites whose server proves nothing of itself (RFC 9325, 4.1: MUST NOT).
const ANONYMOUS: [u16; 22] = [
    0x0017, 0x0018, 0x0019, 0x001a, 0x001b, 0x0034, 0x003a, 0x0046, 0x0089, 0x009b, 0x006c, 0x006d, 0x00a6,
    0x00a7, 0x00bf, 0x00c5, 0xc015, 0xc016, 0xc017, 0xc018, 0xc019, 0xc046,
];
/// Suites weakened for export, and those with single DES (RFC 9325, 4.1; RFC 5469: MUST NOT).
const BREAKABLE: [u16; 22] = [
    0x0003, 0x0006, 0x0008, 0x0009, 0x000b, 0x000c, 0x000e, 0x000f, 0x0011, 0x0012, 0x0014, 0x0015, 0x0022,
    0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x0062, 0x0063, 0x0064,
];
/// Suites with RC4 (RFC 7465: MUST NOT), those above left out.
const RC4: [u16; 14] = [
    0x0004, 0x0005, 0x0020, 0x0024, 0x0066, 0x008a, 0x008e, 0x0092, 0xc002, 0xc007, 0xc00c, 0xc011, 0xc033,
    0x0065,
];

/// What is wrong with a suite.
pub(super) fn problem(suite: u16) -> Option<Problem> {
    if NULL.contains(&suite) {
        Some(Problem::NoEncryption)
    } else if ANONYMOUS.contains(&suite) {
        Some(Problem::Anonymous)
    } else if BREAKABLE.contains(&suite) || RC4.contains(&suite) {
        Some(Problem::WeakCipher)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_told_apart() {
        assert_eq!(problem(0xc010), Some(Problem::NoEncryption));
        assert_eq!(problem(0x0034), Some(Problem::Anonymous));
        assert_eq!(problem(0x0005), Some(Problem::WeakCipher));
        assert_eq!(problem(0x0009), Some(Problem::WeakCipher));
        assert_eq!([0x1301, 0xc02f, 0xcca8, 0x002f].map(problem), [None; 4]);
    }
}
