//! Signing in by an identity provider: `OpenID` Connect, authorization code with PKCE (S256), state and nonce.
//!
//! What binds the answer to the question is one secret in the browser's cookie; state, nonce and verifier are made from it.
//! The store holds nothing of it, so any collector can take the answer, and an answer in another browser is worth nothing. Who
//! somebody is counts by the verified subject alone, and only if an administrator linked it to an account; role and scope
//! are ours.

pub mod provider;
pub mod settings;
#[cfg(test)]
pub(crate) mod tests;
pub mod token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::id::Digest;

use super::password::{PasswordError, random_secret};
use super::session::cookie;

/// Name of the cookie. Not `Strict`: the answer comes from another site.
const COOKIE: &str = "__Host-sekimori-oidc";
/// How long somebody may take at the provider.
const SECONDS_MAX: u32 = 600;
/// Longest place to go to afterwards that is kept.
const NEXT_BYTES_MAX: usize = 1024;

/// One sign-in that is under way.
#[derive(Clone, PartialEq, Eq)]
pub struct Flow {
    secret: String,
    next: String,
}

impl core::fmt::Debug for Flow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Flow(…)")
    }
}

impl Flow {
    /// A new one, for somebody who wants to see `next`.
    ///
    /// # Errors
    /// If the system has no random source.
    pub fn generate(next: &str) -> Result<Self, PasswordError> {
        let next = if next.len() > NEXT_BYTES_MAX { "/" } else { next };
        Ok(Self { secret: random_secret()?, next: next.to_owned() })
    }

    /// From a `Cookie` header, if one is in it.
    pub fn from_cookies(header: &str) -> Option<Self> {
        let (secret, next) = cookie(header, COOKIE)?.split_once('.')?;
        let next = URL_SAFE_NO_PAD.decode(next).ok().and_then(|next| String::from_utf8(next).ok())?;
        (secret.len() == 43).then(|| Self { secret: secret.to_owned(), next })
    }

    /// `Set-Cookie` that keeps it in the browser.
    pub fn set_cookie(&self) -> String {
        format!(
            "{COOKIE}={}.{}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={SECONDS_MAX}",
            self.secret,
            URL_SAFE_NO_PAD.encode(&self.next)
        )
    }

    /// Where to go afterwards, as somebody asked for it.
    pub fn next(&self) -> &str {
        &self.next
    }

    fn made(&self, what: &str) -> Digest {
        Digest::of(format!("sekimori oidc {what}\0{}", self.secret).as_bytes())
    }

    /// What the provider gives back with the code.
    pub fn state(&self) -> String {
        self.made("state").to_string()
    }

    /// What the token must hold.
    pub fn nonce(&self) -> String {
        self.made("nonce").to_string()
    }

    /// What proves that whoever fetches the token asked for the code (RFC 7636).
    pub fn verifier(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.made("verifier").as_bytes())
    }

    /// What the provider learns of the verifier beforehand.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Digest::of(self.verifier().as_bytes()).as_bytes())
    }
}

/// `Set-Cookie` that ends it.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}
