//! Tokens for programs: `Authorization: Bearer sekimori_…`. Stored as a digest, shown once, for a limited time.

use sekimori_wire::id::Digest;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::UserName;
use super::password::{PasswordError, random_secret};
use super::scope::Scope;

/// What every token begins with, so that programs that look for leaked secrets find it.
const PREFIX: &str = "sekimori_";
/// Of 256 bits.
const SECRET_LENGTH: usize = 43;

/// The secret itself. Never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

impl ApiToken {
    /// 256 random bits.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate() -> Result<Self, PasswordError> {
        Ok(Self(format!("{PREFIX}{}", random_secret()?)))
    }

    /// From the value of an `Authorization` header (RFC 6750).
    pub fn from_header(header: &str) -> Option<Self> {
        let (scheme, token) = header.split_once(' ')?;
        let secret = token.trim().strip_prefix(PREFIX)?;
        let well = secret.len() == SECRET_LENGTH
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (well && scheme.eq_ignore_ascii_case("bearer")).then(|| Self(format!("{PREFIX}{secret}")))
    }

    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// To be shown, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

/// What a token may do, at most; its owner's role limits it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Read.
    Read,
    /// Read, and work on incidents.
    Act,
    /// Read, and manage accounts and configuration. It does not work on incidents.
    Admin,
}

impl Right {
    /// Every right.
    pub const ALL: &'static [Self] = &[Self::Read, Self::Act, Self::Admin];

    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Act => "act",
            Self::Admin => "admin",
        }
    }

    /// From the stable identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.as_str() == name)
    }

    /// May change incidents and what belongs to them.
    pub const fn may_act(self) -> bool {
        match self {
            Self::Act => true,
            Self::Read | Self::Admin => false,
        }
    }
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// Its label, one of each per owner.
    pub label: BoundedText<64>,
    /// Whose rights it has at most.
    pub owner: UserName,
    /// What it may do at most.
    pub right: Right,
    /// What it sees at most.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to a minute.
    pub used_at: Option<Timestamp>,
}

impl TokenEntry {
    /// Whether it is good.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_in_a_header_and_are_stored_as_digests() {
        let token = ApiToken::generate().unwrap();
        assert_eq!(token.reveal().len(), PREFIX.len() + SECRET_LENGTH);
        for scheme in ["Bearer", "bearer"] {
            let header = format!("{scheme} {}", token.reveal());
            assert_eq!(ApiToken::from_header(&header).unwrap().digest(), token.digest());
        }
        assert_eq!(format!("{token:?}"), "ApiToken(…)");
        let short = token.reveal().get(..51).unwrap();
        for bad in
            ["", "Bearer", "Bearer x", &format!("Basic {}", token.reveal()), &format!("Bearer {short}")]
        {
            assert_eq!(ApiToken::from_header(bad), None, "{bad}");
        }
        assert_eq!(ApiToken::from_header(&format!("Bearer {PREFIX}{}", "!".repeat(43))), None);
    }

    #[test]
    fn rights_read_back_and_only_one_acts() {
        for right in Right::ALL {
            assert_eq!(Right::from_name(right.as_str()), Some(*right));
        }
        assert_eq!(Right::ALL.iter().filter(|right| right.may_act()).count(), 1);
    }

    #[test]
    fn tokens_end() {
        let at = Timestamp::from_secs;
        let mut entry = TokenEntry {
            label: "siem".into(),
            owner: "monitor".into(),
            right: Right::Read,
            scope: Scope::All,
            created_at: at(0),
            expires_at: at(100),
            revoked_at: None,
            used_at: None,
        };
        assert!(entry.is_alive(at(99)) && !entry.is_alive(at(100)));
        entry.revoked_at = Some(at(50));
        assert!(!entry.is_alive(at(51)));
    }
}
