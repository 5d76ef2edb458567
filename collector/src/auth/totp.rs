//! One-time codes of RFC 6238 (six digits, 30 seconds, HMAC-SHA-1: what every authenticator can do), and recovery codes.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::password::PasswordError;

/// Seconds that a code counts.
const STEP_SECONDS: u64 = 30;
/// Digits of a code.
const DIGITS: u32 = 6;
/// Steps before and after the present one that are taken too: clocks differ, fingers are slow.
const STEPS_AROUND: u64 = 1;
/// Bytes of a secret: what HMAC-SHA-1 puts out (RFC 4226, 4).
const SECRET_BYTES: usize = 20;
/// Recovery codes that one gets at a time.
pub const RECOVERY_CODES: usize = 10;
/// Letters and digits of RFC 4648's Base32.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What the collector and an authenticator share. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

impl TotpSecret {
    /// 160 random bits.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<Self, PasswordError> {
        let mut bytes = [0; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_cause| PasswordError::Random)?;
        Ok(Self(bytes))
    }

    /// As stored.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// To be stored.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For typing into an authenticator: Base32.
    pub fn to_base32(&self) -> String {
        base32(&self.0)
    }

    /// For an authenticator to scan or open. The host tells several collectors apart.
    pub fn uri(&self, account: &str, host: &str) -> String {
        let (account, host) = (percent(account), percent(host));
        format!(
            "otpauth://totp/Sekimori%20{host}:{account}?secret={}&issuer=Sekimori%20{host}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            self.to_base32()
        )
    }

    /// What an authenticator shows.
    #[cfg(test)]
    pub(crate) fn shown(&self, at: Timestamp) -> String {
        format!("{:06}", hotp(&self.0, at.secs() / STEP_SECONDS))
    }

    /// Whether a code is good now; the step that it is of. `last` is the step of the last code that was taken: that one
    /// and those before it are not taken again.
    ///
    /// # Errors
    /// If it is not good.
    pub fn accept(&self, code: &str, now: Timestamp, last: u64) -> Result<u64, CodeError> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let present = now.secs() / STEP_SECONDS;
        let steps = present.saturating_sub(STEPS_AROUND)..=present.saturating_add(STEPS_AROUND);
        // Every step is compared, whichever fits.
        let fits = steps.filter(|step| {
            let expected = format!("{:06}", hotp(&self.0, *step));
            verify_slices_are_equal(expected.as_bytes(), code.as_bytes()).is_ok()
        });
        match fits.max() {
            Some(step) if step > last => Ok(step),
            Some(_) => Err(CodeError::Replayed),
            None => Err(CodeError::Wrong),
        }
    }
}

impl core::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

/// Why a code is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It is not the one of now.
    #[error("the code is wrong")]
    Wrong,
    /// It was good once, and taken.
    #[error("the code was used already; wait for the next")]
    Replayed,
}

/// RFC 4226: the code of a counter.
fn hotp(secret: &[u8], counter: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 15);
    let four = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7fff_ffff) % 10_u32.pow(DIGITS)
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(8).div_ceil(5));
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut put = |value: u32| {
        let letter = usize::try_from(value & 31).ok().and_then(|at| BASE32.get(at));
        out.extend(letter.map(|letter| char::from(*letter)));
    };
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits);
        }
    }
    if bits > 0 {
        put(held << (5 - bits));
    }
    out
}

fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// A code for whoever has lost the authenticator: good once, stored as its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// 80 random bits.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<Self, PasswordError> {
        let mut bytes = [0; 10];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_cause| PasswordError::Random)?;
        Ok(Self(base32(&bytes)))
    }

    /// As typed: in either case, with or without its dashes.
    pub fn from_typed(text: &str) -> Option<Self> {
        let code: String = text
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .map(|c| c.to_ascii_uppercase())
            .collect();
        (code.len() == 16 && code.bytes().all(|byte| BASE32.contains(&byte))).then_some(Self(code))
    }

    /// To be stored.
    pub fn digest(&self) -> Digest {
        Digest::of(format!("sekimori recovery\0{}", self.0).as_bytes())
    }

    /// To be shown, once: four groups of four.
    pub fn to_text(&self) -> String {
        let letters: Vec<char> = self.0.chars().collect();
        letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-")
    }
}

impl core::fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_SECRET: &[u8; 20] = b"12345678901234567890";

    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(RFC_SECRET).unwrap()
    }

    #[test]
    fn hotp_gives_the_codes_of_rfc_4226() {
        let codes =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (counter, code) in (0..).zip(codes) {
            assert_eq!(hotp(RFC_SECRET, counter), code, "{counter}");
        }
    }

    #[test]
    fn totp_gives_the_codes_of_rfc_6238() {
        // Appendix B, SHA-1; the last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let step = secret().accept(code, Timestamp::from_secs(seconds), 0);
            assert_eq!(step, Ok(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_counts_around_its_time_and_once() {
        let (secret, at) = (secret(), Timestamp::from_secs);
        let step = 1_111_111_109 / 30;
        for (now, expected) in [
            (1_111_111_109, Ok(step)),
            ((step - 1) * 30, Ok(step)),
            ((step + 2) * 30 - 1, Ok(step)),
            ((step - 1) * 30 - 1, Err(CodeError::Wrong)),
            ((step + 2) * 30, Err(CodeError::Wrong)),
        ] {
            assert_eq!(secret.accept("081804", at(now), 0), expected, "{now}");
        }
        assert_eq!(secret.accept(" 081 804 ", at(1_111_111_109), step - 1), Ok(step));
        assert_eq!(secret.accept("081804", at(1_111_111_109), step), Err(CodeError::Replayed));
        assert_eq!(secret.accept("081804", at(1_111_111_109), step + 1), Err(CodeError::Replayed));
        for bad in ["", "81804", "0818040", "８１８０４０", "abcdef"] {
            assert_eq!(secret.accept(bad, at(1_111_111_109), 0), Err(CodeError::Wrong), "{bad}");
        }
    }

    #[test]
    fn base32_gives_the_vectors_of_rfc_4648() {
        for (text, expected) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_address_for_authenticators_is_escaped() {
        let uri = secret().uri("監視/1", "collector.example");
        assert!(
            uri.starts_with("otpauth://totp/Sekimori%20collector.example:%E7%9B%A3%E8%A6%96%2F1?"),
            "{uri}"
        );
        assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&"), "{uri}");
        assert!(uri.ends_with("&digits=6&period=30"));
        assert_eq!(format!("{:?}", secret()), "TotpSecret(…)");
    }

    #[test]
    fn recovery_codes_are_found_again_as_people_type_them() {
        let code = RecoveryCode::generate().unwrap();
        let text = code.to_text();
        assert_eq!(text.len(), 19);
        for typed in [text.clone(), text.to_lowercase(), text.replace('-', " "), text.replace('-', "")] {
            assert_eq!(RecoveryCode::from_typed(&typed).unwrap().digest(), code.digest());
        }
        assert_ne!(RecoveryCode::generate().unwrap(), code);
        for bad in ["", "AAAA-AAAA-AAAA-AAA", "0AAA-AAAA-AAAA-AAAA", "あAAA-AAAA-AAAA-AAAA"] {
            assert_eq!(RecoveryCode::from_typed(bad), None, "{bad}");
        }
    }
}
