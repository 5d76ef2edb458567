//! Passwords: kept only as Argon2id hashes, generated ones from the system's random source.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
}
