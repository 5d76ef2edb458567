//! Sessions of the console: an unguessable token in a cookie, only its digest in the store.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;

use super::password::{PasswordError, random_secret};

/// Name of the cookie. `__Host-` makes browsers insist on Secure, Path=/ and no Domain.
pub const COOKIE: &str = "__Host-sekimori";
/// The first factor waits so long for the second.
pub const HALFWAY_MAX: Duration = Duration::from_secs(10 * 60);
/// Use is written down at most this often: reading a page should not cost a write.
pub const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// A session that nobody uses ends after this.
    pub idle: Duration,
    /// Every session ends after this.
    pub age: Duration,
}

impl Default for SessionRules {
    /// An hour without use; longer than a shift.
    fn default() -> Self {
        Self { idle: Duration::from_secs(60 * 60), age: Duration::from_secs(12 * 60 * 60) }
    }
}

impl SessionRules {
    /// Whether a session that began at `created` and was last used at `used` still counts at `now`.
    pub fn is_alive(&self, stage: Stage, created: Timestamp, used: Timestamp, now: Timestamp) -> bool {
        let (age, idle) = match stage {
            Stage::Full => (self.age, self.idle),
            Stage::Code | Stage::Enrol => (self.age.min(HALFWAY_MAX), self.idle),
        };
        now.since(created) < age && now.since(used) < idle
    }
}

/// How far a sign-in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The password was right; the code of the authenticator is missing.
    Code,
    /// The password was right; the account needs an authenticator and has none.
    Enrol,
    /// Signed in.
    Full,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Code, Self::Enrol, Self::Full];

    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Enrol => "enrol",
            Self::Full => "full",
        }
    }

    /// From the stable identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

/// The secret that a browser shows, and the certificate that its connection shows. Never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken {
    secret: String,
    certificate: Option<Digest>,
}

impl SessionToken {
    /// 256 random bits.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<Self, PasswordError> {
        random_secret().map(Self::of)
    }

    /// From the value of a `Cookie` header, if ours is in it.
    pub fn from_cookies(header: &str) -> Option<Self> {
        cookie(header, COOKIE)
            .filter(|value| value.len() == 43 && URL_SAFE_NO_PAD.decode(value).is_ok())
            .map(|value| Self::of(value.to_owned()))
    }

    const fn of(secret: String) -> Self {
        Self { secret, certificate: None }
    }

    /// With the fingerprint of the certificate that the connection shows: a session that began with one is good with it
    /// alone.
    #[must_use]
    pub fn beside(self, certificate: Option<Digest>) -> Self {
        Self { certificate, ..self }
    }

    /// The fingerprint of the certificate, if there is one.
    pub const fn certificate(&self) -> Option<Digest> {
        self.certificate
    }

    /// What the store keeps: a stolen database holds no usable session.
    pub fn digest(&self) -> Digest {
        Digest::of(self.secret.as_bytes())
    }

    /// The token that forms of this session must carry: only who knows the cookie can make it.
    pub fn csrf(&self) -> String {
        Digest::of(format!("sekimori csrf\0{}", self.secret).as_bytes()).to_string()
    }

    /// `Set-Cookie` that starts the session.
    pub fn set_cookie(&self) -> String {
        // Without Max-Age it goes with the browser; when it ends is the store's to say.
        format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", self.secret)
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
        let alive = |stage, created, used, now| {
            SessionRules::default().is_alive(stage, at(created), at(used), at(now))
        };
        assert!(alive(Stage::Full, 0, 3000, 3000 + 3599));
        assert!(!alive(Stage::Full, 0, 3000, 3000 + 3600));
        assert!(!alive(Stage::Full, 0, 43_199, 43_200));
        for stage in [Stage::Code, Stage::Enrol] {
            assert!(
                alive(stage, 0, 599, 599) && !alive(stage, 0, 599, 600),
                "half a sign-in does not wait long"
            );
        }
        for stage in Stage::ALL {
            assert_eq!(Stage::from_name(stage.as_str()), Some(stage));
        }
    }
}
