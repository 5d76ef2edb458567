//! Keys of Initial packets (RFC 9001, 5; RFC 9369, 3.3): anyone who sees the first packet can derive them.

use aws_lc_rs::aead::quic::{AES_128, HeaderProtectionKey};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// Length of a secret (SHA-256).
const SECRET_LEN: usize = 32;
/// Length of an AES-128 key.
const KEY_LEN: usize = 16;
/// Bytes of ciphertext that protect a header.
const SAMPLE_LEN: usize = 16;
/// Longest packet number.
const NUMBER_MAX: usize = 4;

/// What differs between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    salt: [u8; 20],
    /// Before `key`, `iv` and `hp`.
    label: &'static str,
    /// Number of the Initial type among long headers.
    pub(super) initial: u8,
    /// Number of the Retry type.
    pub(super) retry: u8,
}

impl Scheme {
    /// How Initial packets of a version are protected, if that is known.
    pub(super) const fn of(version: u32) -> Option<Self> {
        const V1: [u8; 20] = [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
            0xcc, 0xbb, 0x7f, 0x0a,
        ];
        const V2: [u8; 20] = [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
            0xf9, 0xbd, 0x2e, 0xd9,
        ];
        const DRAFT_29: [u8; 20] = [
            0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0,
            0x43, 0x90, 0xa8, 0x99,
        ];
        const DRAFT_23: [u8; 20] = [
            0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65,
            0xbe, 0xf9, 0xf5, 0x02,
        ];
        const Q050: [u8; 20] = [
            0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0,
            0xd3, 0xb5, 0x6b, 0x45,
        ];
        const T050: [u8; 20] = [
            0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c,
            0x60, 0x48, 0x83, 0x10,
        ];
        const T051: [u8; 20] = [
            0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc,
            0xda, 0x6e, 0x03, 0x3d,
        ];
        let (salt, label, initial, retry) = match version {
            1 => (V1, "quic", 0, 3),
            0x6b33_43cf => (V2, "quicv2", 1, 0),
            0xff00_001d..=0xff00_0022 => (DRAFT_29, "quic", 0, 3),
            // The drafts before, and what Facebook made of the 27th.
            0xff00_0017..=0xff00_001c | 0xface_b002 | 0xface_b00e => (DRAFT_23, "quic", 0, 3),
            // Google's Q050, T050 and T051.
            0x5130_3530 => (Q050, "quic", 0, 3),
            0x5430_3530 => (T050, "quic", 0, 3),
            0x5430_3531 => (T051, "quic", 0, 3),
            _ => return None,
        };
        Some(Self { salt, label, initial, retry })
    }
}

/// Keys of both ends.
pub(super) struct Keys {
    pub(super) client: End,
    pub(super) server: End,
}

impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// From the destination that the client's first packet names.
    pub(super) fn derive(scheme: Scheme, destination: &[u8]) -> Option<Self> {
        let initial = Salt::new(HKDF_SHA256, &scheme.salt).extract(destination);
        let end = |label: &str| {
            let secret: [u8; SECRET_LEN] = expand(&initial, label)?;
            End::derive(scheme.label, &secret)
        };
        Some(Self { client: end("client in")?, server: end("server in")? })
    }
}

/// Keys of what one end sends.
pub(super) struct End {
    packet: LessSafeKey,
    iv: [u8; NONCE_LEN],
    header: HeaderProtectionKey,
}

impl End {
    fn derive(label: &str, secret: &[u8]) -> Option<Self> {
        let secret = Prk::new_less_safe(HKDF_SHA256, secret);
        let key: [u8; KEY_LEN] = expand(&secret, &format!("{label} key"))?;
        let header: [u8; KEY_LEN] = expand(&secret, &format!("{label} hp"))?;
        Some(Self {
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?),
            iv: expand(&secret, &format!("{label} iv"))?,
            header: HeaderProtectionKey::new(&AES_128, &header).ok()?,
        })
    }

    /// The frames of `packet`, whose number begins at `number_at`.
    pub(super) fn open(&self, packet: &[u8], number_at: usize) -> Option<Vec<u8>> {
        let sample = packet.get(number_at + NUMBER_MAX..)?.get(..SAMPLE_LEN)?;
        let [first_mask, number_mask @ ..] = self.header.new_mask(sample).ok()?;
        let first = packet.first()? ^ (first_mask & 0x0f);
        let number_len = usize::from(first & 0x03) + 1;

        let (header, sealed) = packet.split_at_checked(number_at + number_len)?;
        let mut header = header.to_vec();
        *header.first_mut()? = first;
        let mut number = 0_u32;
        for (byte, mask) in header.get_mut(number_at..)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            number = number << 8 | u32::from(*byte);
        }
        let mut frames = sealed.to_vec();
        let opened = self.packet.open_in_place(self.nonce(number), Aad::from(&header), &mut frames).ok()?;
        let length = opened.len();
        frames.truncate(length);
        Some(frames)
    }

    /// Early packet numbers are never cut: those of Initial packets that matter are small.
    fn nonce(&self, number: u32) -> Nonce {
        let mut nonce = self.iv;
        for (byte, of_number) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= of_number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label (RFC 8446, 7.1) with an empty context.
fn expand<const N: usize>(secret: &Prk, label: &str) -> Option<[u8; N]> {
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let label = format!("tls13 {label}");
    let label_len = [u8::try_from(label.len()).ok()?];
    let info = [&length[..], &label_len, label.as_bytes(), &[0]];
    let mut out = [0; N];
    secret.expand(&info, Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proto::quic) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// A client's or server's Initial packet around these frames, its number in four bytes.
    pub(in crate::proto::quic) fn seal(
        end: &End,
        first: u8,
        header: &[u8],
        number: u32,
        frames: &[u8],
    ) -> Vec<u8> {
        let length = u16::try_from(4 + frames.len() + 16).unwrap() | 0x4000;
        let mut packet = vec![first | 0x03];
        packet.extend(header);
        packet.extend(length.to_be_bytes());
        let number_at = packet.len();
        packet.extend(number.to_be_bytes());
        let mut sealed = frames.to_vec();
        end.packet.seal_in_place_append_tag(end.nonce(number), Aad::from(&packet), &mut sealed).unwrap();
        packet.extend(&sealed);
        let mask = end.header.new_mask(&packet[number_at + 4..][..16]).unwrap();
        packet[0] ^= mask[0] & 0x0f;
        for at in 0..4 {
            packet[number_at + at] ^= mask[1 + at];
        }
        packet
    }

    /// RFC 9001, A.1.
    #[test]
    fn derives_the_keys_of_the_example() {
        let scheme = Scheme::of(1).unwrap();
        let initial = Salt::new(HKDF_SHA256, &scheme.salt).extract(&unhex("8394c8f03e515708"));
        for (label, secret, key, iv, header) in [
            (
                "client in",
                "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea",
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                "server in",
                "3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b",
                "cf3a5331653c364c88f0f379b6067e37",
                "0ac1493ca1905853b0bba03e",
                "c206b8d9b9f0f37644430b490eeaa314",
            ),
        ] {
            let of_end: [u8; SECRET_LEN] = expand(&initial, label).unwrap();
            assert_eq!(of_end[..], unhex(secret), "{label}");
            let of_end = Prk::new_less_safe(HKDF_SHA256, &of_end);
            assert_eq!(expand::<16>(&of_end, "quic key").unwrap()[..], unhex(key), "{label}");
            assert_eq!(expand::<12>(&of_end, "quic iv").unwrap()[..], unhex(iv), "{label}");
            assert_eq!(expand::<16>(&of_end, "quic hp").unwrap()[..], unhex(header), "{label}");
        }
    }

    /// RFC 9369, A.1.
    #[test]
    fn derives_the_keys_of_version_2() {
        let scheme = Scheme::of(0x6b33_43cf).unwrap();
        let initial = Salt::new(HKDF_SHA256, &scheme.salt).extract(&unhex("8394c8f03e515708"));
        let client: [u8; SECRET_LEN] = expand(&initial, "client in").unwrap();
        assert_eq!(client[..], unhex("14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b"));
        let client = Prk::new_less_safe(HKDF_SHA256, &client);
        let key: [u8; KEY_LEN] = expand(&client, &format!("{} key", scheme.label)).unwrap();
        assert_eq!(key[..], unhex("8b1a0bc121284290a29e0971b5cd045d"));
    }

    /// RFC 9001, A.3: the server's first packet.
    #[test]
    fn opens_the_packet_of_the_example() {
        let keys = Keys::derive(Scheme::of(1).unwrap(), &unhex("8394c8f03e515708")).unwrap();
        let packet = unhex(
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb3\
             8cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
             022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee",
        );
        let frames = keys.server.open(&packet, 18).unwrap();
        assert!(
            frames.starts_with(&unhex("02000000000600405a020000560303eefce7f7b37ba1d163")),
            "{frames:x?}"
        );
        assert_eq!(keys.client.open(&packet, 18), None);
    }
}
