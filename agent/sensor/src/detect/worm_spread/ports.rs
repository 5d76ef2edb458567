//! The services through which worms spread.

/// TCP services that worms looked for by trying random addresses, and whose clients do not: they know their servers.
///
/// - 22, 2222, 23, 2323, 5555, 6789, 7547, 23231, 37777: Mirai and its variants (Antonakakis et al., USENIX Security 2017)
/// - 5358, 8291: Hajime (Herwig et al., NDSS 2019)
/// - 37215, 52869: Satori (Netlab 360, December 2017); 5555 also ADB.Miner (Netlab 360, February 2018)
/// - 135: Blaster (CERT CA-2003-20); 139, 445: Sasser, Conficker, `WannaCry` (US-CERT TA17-132A)
/// - 1433: SQLsnake (CERT IN-2002-04); 3389: Morto (Microsoft, 2011); 6379: worms on Redis (Unit 42, 2023)
const TCP: [u16; 19] = [
    22, 23, 135, 139, 445, 1433, 2222, 2323, 3389, 5358, 5555, 6379, 6789, 7547, 8291, 23_231, 37_215,
    37_777, 52_869,
];
/// SQL Slammer (CERT CA-2003-04).
const UDP: [u16; 1] = [1434];

/// The service is one of them.
pub(super) fn is_known(protocol: u8, port: u16) -> bool {
    match protocol {
        6 => TCP.contains(&port),
        17 => UDP.contains(&port),
        _ => false,
    }
}
