//! Identities and digests as types, so that none can stand for another.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

/// SHA-256 of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Thirty-two zero bytes: "there is no previous batch".
    pub const ZERO: Self = Self([0; 32]);

    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(out)
    }

    /// From exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Who an agent is: the SHA-256 of its Ed25519 public key. Names are only labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId([u8; 32]);

impl AgentId {
    /// The identity that belongs to a raw Ed25519 public key.
    pub fn of_public_key(public_key: &[u8; 32]) -> Self {
        Self(*Digest::of(public_key).as_bytes())
    }

    /// From exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Identity of a finding or alert: stable over revisions and over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId([u8; 16]);

impl FindingId {
    /// The identity that these parts determine: the same parts, the same identity, on every machine.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut all = Vec::with_capacity(128);
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        let mut out = [0; 16];
        for (to, from) in out.iter_mut().zip(Digest::of(&all).as_bytes()) {
            *to = *from;
        }
        Self(out)
    }

    /// From exactly 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

macro_rules! shown_in_hex {
    ($($name:ident $len:literal),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl FromStr for $name {
            type Err = NotHex;
            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut out = [0; $len];
                if text.len() != 2 * $len {
                    return Err(NotHex { bytes: $len });
                }
                for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = core::str::from_utf8(pair).map_err(|_cause| NotHex { bytes: $len })?;
                    *to = u8::from_str_radix(pair, 16).map_err(|_cause| NotHex { bytes: $len })?;
                }
                Ok(Self(out))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
shown_in_hex!(Digest 32, AgentId 32, FindingId 16);

/// Not the hexadecimal form that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {bytes} bytes in hexadecimal")]
pub struct NotHex {
    /// How many bytes were expected.
    pub bytes: usize,
}

/// 団体コード: six digits, the last a check digit (総務省, 全国地方公共団体コード).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyCode([u8; 6]);

impl BodyCode {
    /// As text: six digits, leading zeros kept.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for BodyCode {
    type Err = NotABodyCode;

    fn from_str(text: &str) -> Result<Self, NotABodyCode> {
        let digits: [u8; 6] = text.as_bytes().try_into().map_err(|_cause| NotABodyCode::Length)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(NotABodyCode::Length);
        }
        let weighted: u32 = digits.iter().zip([6, 5, 4, 3, 2]).map(|(d, w)| u32::from(d - b'0') * w).sum();
        let expected = (11 - weighted % 11) % 10;
        if u32::from(digits[5] - b'0') == expected {
            Ok(Self(digits))
        } else {
            Err(NotABodyCode::CheckDigit { expected })
        }
    }
}

impl fmt::Display for BodyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BodyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for BodyCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is not a 団体コード.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABodyCode {
    /// Not six ASCII digits.
    #[error("a 団体コード has six digits")]
    Length,
    /// The sixth digit does not fit the first five.
    #[error("the check digit of this 団体コード should be {expected}")]
    CheckDigit {
        /// What the sixth digit should be.
        expected: u32,
    },
}

/// A host as a sensor can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// By network address.
    Ip(IpAddr),
    /// By link-layer address, where there is no other name.
    Mac([u8; 6]),
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
        }
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NotAHost)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_cause| NotAHost)?;
        }
        if parts.next().is_some() { Err(NotAHost) } else { Ok(Self::Mac(mac)) }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Neither an IP address nor a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address nor a MAC address")]
pub struct NotAHost;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_codes_carry_a_check_digit() {
        for good in [
            "010006", "130001", "131016", "270008", "420000", "422011", "470007", "141003", "011002",
            "231002", "401307",
        ] {
            assert_eq!(good.parse::<BodyCode>().map(|code| code.to_string()), Ok(good.to_owned()));
        }
        assert_eq!("422012".parse::<BodyCode>(), Err(NotABodyCode::CheckDigit { expected: 1 }));
        assert_eq!("42201".parse::<BodyCode>(), Err(NotABodyCode::Length));
        assert_eq!("4220１1".parse::<BodyCode>(), Err(NotABodyCode::Length));
    }

    #[test]
    fn hosts_read_back_what_they_show() {
        for text in ["192.0.2.1", "2001:db8::1", "02:00:00:00:00:0a"] {
            assert_eq!(text.parse::<Host>().map(|host| host.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "1.2.3", "02:00:00:00:00", "02:00:00:00:00:0a:0b", "+2:00:00:00:00:0a0"] {
            assert_eq!(bad.parse::<Host>(), Err(NotAHost));
        }
    }

    #[test]
    fn finding_ids_depend_on_where_the_parts_end() {
        assert_ne!(FindingId::of(&[b"ab", b"c"]), FindingId::of(&[b"a", b"bc"]));
        let id = FindingId::of(&[b"scan.port"]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
