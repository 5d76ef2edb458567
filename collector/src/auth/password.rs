//! Passwords: kept only as Argon2id hashes, generated ones from the system's random source, chosen ones by rules.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Fewest characters of a password that somebody chooses.
pub const CHARS_MIN: usize = 12;
/// Longest password that is looked at.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Fewest different characters.
const DISTINCT_MIN: usize = 5;
/// Names shorter than this may be in a password by chance.
const NAME_CHARS_MIN: usize = 4;
/// What guessers try first among passwords that are long enough; whoever puts digits and signs behind one of these has
/// chosen it too.
const FORBIDDEN: &[&str] = &[
    "123456789012",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "administrator",
    "changeme",
    "iloveyou",
    "letmein",
    "passw0rd",
    "password",
    "passwordpassword",
    "p@ssw0rd",
    "qwertyuiop",
    "sekimori",
    "パスワード",
    "関守",
];

/// Whether somebody may choose this password for the account `name`.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_password(password: &str, name: &str) -> Result<(), WeakPassword> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(WeakPassword::TooLong);
    }
    if password.chars().count() < CHARS_MIN {
        return Err(WeakPassword::TooShort);
    }
    let folded = password.to_lowercase();
    let distinct: std::collections::BTreeSet<char> = folded.chars().collect();
    if distinct.len() < DISTINCT_MIN {
        return Err(WeakPassword::Monotonous);
    }
    let name = name.to_lowercase();
    if name.chars().count() >= NAME_CHARS_MIN && folded.contains(&name) {
        return Err(WeakPassword::HoldsName);
    }
    let decoration = |c: char| c.is_ascii_digit() || c.is_ascii_punctuation() || c == ' ';
    let (bare, stem) = (folded.trim(), folded.trim_matches(decoration));
    if FORBIDDEN.iter().any(|forbidden| {
        bare.starts_with(forbidden) && bare.trim_end_matches(decoration).len() <= forbidden.len()
    }) || FORBIDDEN.contains(&stem)
    {
        return Err(WeakPassword::WellKnown);
    }
    Ok(())
}

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Length is what counts against guessing.
    #[error("a password has at least {CHARS_MIN} characters")]
    TooShort,
    /// More than is looked at.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// A few characters again and again.
    #[error("the password has fewer than {DISTINCT_MIN} different characters")]
    Monotonous,
    /// The account's name is in it.
    #[error("the password holds the account's name")]
    HoldsName,
    /// Everybody's.
    #[error("the password is one that guessers try first")]
    WellKnown,
}

impl WeakPassword {
    /// Every reason.
    pub const ALL: &'static [Self] =
        &[Self::TooShort, Self::TooLong, Self::Monotonous, Self::HoldsName, Self::WellKnown];

    /// The stable identifier; words are in the locales under `password-…`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "short",
            Self::TooLong => "long",
            Self::Monotonous => "monotonous",
            Self::HoldsName => "name",
            Self::WellKnown => "known",
        }
    }
}

/// Hashes a password with a fresh salt; the result is a PHC string. Slow on purpose: call it off the async threads.
///
/// # Errors
/// If the system has no random source.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_cause| PasswordError::Hash)
}

/// Whether `password` is the one that `hash` was made from. Slow on purpose.
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// A text of 256 random bits: passwords, token secrets.
///
/// # Errors
/// If the system has no random source.
pub fn random_secret() -> Result<String, PasswordError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_cause| PasswordError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Why there is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Argon2 failed.
    #[error("cannot hash the password")]
    Hash,
    /// No randomness.
    #[error("the system's random source failed")]
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let hash = hash_password("関守").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(verify_password("関守", &hash));
        assert!(!verify_password("関守 ", &hash));
        assert!(!verify_password("関守", "not a hash"));
        assert_ne!(random_secret().unwrap(), random_secret().unwrap());
    }

    #[test]
    fn weak_passwords_are_named_as_such() {
        for (password, expected) in [
            ("correct horse", Ok(())),
            ("長崎の関守は夜も見張る", Err(WeakPassword::TooShort)),
            ("長崎の関守は夜も見張るよ", Ok(())),
            ("elevenchars", Err(WeakPassword::TooShort)),
            ("abababababab", Err(WeakPassword::Monotonous)),
            ("password1234", Err(WeakPassword::WellKnown)),
            ("Password!!2026", Err(WeakPassword::WellKnown)),
            ("2026 P@ssw0rd", Err(WeakPassword::WellKnown)),
            ("123456789012", Err(WeakPassword::WellKnown)),
            ("1qaz2wsx3edc", Err(WeakPassword::WellKnown)),
            ("password of the harbour", Ok(())),
            ("the Monitor sees", Err(WeakPassword::HoldsName)),
        ] {
            assert_eq!(check_password(password, "monitor"), expected, "{password}");
        }
        assert_eq!(check_password("ai and others", "ai"), Ok(()));
        assert_eq!(check_password(&"aé".repeat(100), "x"), Err(WeakPassword::TooLong));
        assert_eq!(check_password(&random_secret().unwrap(), "admin"), Ok(()));
    }
}
