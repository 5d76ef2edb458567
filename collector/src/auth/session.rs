//! Sessions of the console: an unguessable token in a cookie, only its digest in the store.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::password::{PasswordError, random_secret};

/// Name of the cookie. `__Host-` makes browsers insist on Secure, Path=/ and no Domain.
pub const COOKIE: &str = "__Host-sekimori";
/// A session that nobody uses ends after this.
pub const IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// Every session ends after this: longer than a shift.
pub const AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Use is written down at most this often: reading a page should not cost a write.
pub const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// The secret that a browser shows. Never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    /// 256 random bits.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<Self, PasswordError> {
        random_secret().map(Self)
    }

    /// From the value of a `Cookie` header, if ours is in it.
    pub fn from_cookies(header: &str) -> Option<Self> {
        cookie(header, COOKIE)
            .filter(|value| value.len() == 43 && URL_SAFE_NO_PAD.decode(value).is_ok())
            .map(|value| Self(value.to_owned()))
    }

    /// What the store keeps: a stolen database holds no usable session.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The token that forms of this session must carry: only who knows the cookie can make it.
    pub fn csrf(&self) -> String {
        Digest::of(format!("sekimori csrf\0{}", self.0).as_bytes()).to_string()
    }

    /// `Set-Cookie` that starts the session.
    pub fn set_cookie(&self) -> String {
        format!(
            "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
            self.0,
            AGE_MAX.as_secs()
        )
    }
}

impl core::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// `Set-Cookie` that ends the session in the browser.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// The value of the cookie `name` in a `Cookie` header.
pub fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, v)| v)
}

/// Whether a session that began at `created` and was last used at `used` still counts at `now`.
pub fn is_alive(created: Timestamp, used: Timestamp, now: Timestamp) -> bool {
    now.since(created) < AGE_MAX && now.since(used) < IDLE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_in_cookies_and_are_stored_as_digests() {
        let token = SessionToken::generate().unwrap();
        let cookie = token.set_cookie();
        let pair = cookie.split(';').next().unwrap();
        assert_eq!(SessionToken::from_cookies(&format!("lang=ja; {pair}; x=y")), Some(token.clone()));
        assert_ne!(SessionToken::generate().unwrap(), token);
        assert_ne!(token.csrf(), token.digest().to_string());
        assert_eq!(format!("{token:?}"), "SessionToken(…)");
        for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(attribute) && clear_cookie().contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn other_cookies_are_not_sessions() {
        for header in ["", "__Host-sekimori", "__Host-sekimori=", "__Host-sekimori=short", "sekimori=x"] {
            assert_eq!(SessionToken::from_cookies(header), None, "{header}");
        }
        assert_eq!(SessionToken::from_cookies(&format!("{COOKIE}={}", "!".repeat(43))), None);
    }

    #[test]
    fn sessions_end_by_idleness_and_by_age() {
        let at = Timestamp::from_secs;
        assert!(is_alive(at(0), at(3000), at(3000 + 3599)));
        assert!(!is_alive(at(0), at(3000), at(3000 + 3600)));
        assert!(!is_alive(at(0), at(43_199), at(43_200)));
    }
}
