//! `[oidc]` of the configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hyper::Uri;
use serde::Deserialize;

/// Where the provider sends people back to.
pub const CALLBACK: &str = "/login/oidc/callback";

/// As written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcFile {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    redirect_url: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    amr: BTreeSet<String>,
    #[serde(default)]
    acr: BTreeSet<String>,
}

/// An identity provider that people may sign in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who it is, exactly as its tokens say.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// What proves that; none: a public client, PKCE alone.
    pub secret_file: Option<PathBuf>,
    /// What vouches for its certificate; none: the system's roots.
    pub ca_file: Option<PathBuf>,
    /// [`CALLBACK`] as browsers reach it.
    pub redirect: String,
    /// Asked for besides `openid`.
    pub scopes: Vec<String>,
    /// Authentication methods (RFC 8176), any of which is a second factor.
    pub amr: BTreeSet<String>,
    /// Authentication contexts, any of which is a second factor.
    pub acr: BTreeSet<String>,
}

impl OidcFile {
    /// Checks it.
    ///
    /// # Errors
    /// The key and the rule that it breaks.
    pub fn check(self, dir: &Path, console: &str) -> Result<Settings, (&'static str, &'static str)> {
        if !may_ask(&self.issuer) {
            return Err(("oidc.issuer", "is an https URL (http only on this machine)"));
        }
        if self.client_id.is_empty() {
            return Err(("oidc.client_id", "is not empty"));
        }
        let redirect = self.redirect_url.unwrap_or_else(|| format!("{console}{CALLBACK}"));
        if !(redirect.starts_with("https://") && redirect.ends_with(CALLBACK)) {
            return Err(("oidc.redirect_url", "is an https URL that ends with /login/oidc/callback"));
        }
        let plain = |scope: &String| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic());
        if !self.scopes.iter().all(plain) {
            return Err(("oidc.scopes", "are words without spaces"));
        }
        Ok(Settings {
            issuer: self.issuer,
            client_id: self.client_id,
            secret_file: self.client_secret_file.map(|name| dir.join(name)),
            ca_file: self.ca_file.map(|name| dir.join(name)),
            redirect,
            scopes: self.scopes,
            amr: self.amr,
            acr: self.acr,
        })
    }
}

/// Whether a secret may travel to this URL: over TLS, or within this machine.
pub(super) fn may_ask(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let here = ["127.0.0.1", "localhost", "[::1]"];
    match url.scheme_str() {
        Some("https") => url.host().is_some_and(|host| !host.is_empty()),
        Some("http") => url.host().is_some_and(|host| here.contains(&host)),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings, (&'static str, &'static str)> {
        let file = toml::from_str::<OidcFile>(text).map_err(|_cause| ("no", "TOML"))?;
        file.check(Path::new("etc"), "https://c.example:8443")
    }

    #[test]
    fn what_is_written_is_checked() {
        let good = check(
            "issuer = \"https://idp.example\"\nclient_id = \"sekimori\"\nclient_secret_file = \"oidc.secret\"",
        );
        let good = good.unwrap();
        assert_eq!(good.redirect, "https://c.example:8443/login/oidc/callback");
        assert_eq!(good.secret_file.as_deref(), Some(Path::new("etc/oidc.secret")));
        for (text, key) in [
            ("issuer = \"http://idp.example\"\nclient_id = \"x\"", "oidc.issuer"),
            ("issuer = \"idp.example\"\nclient_id = \"x\"", "oidc.issuer"),
            ("issuer = \"https://idp.example\"\nclient_id = \"\"", "oidc.client_id"),
            (
                "issuer = \"https://a\"\nclient_id = \"x\"\nredirect_url = \"http://c/login/oidc/callback\"",
                "oidc.redirect_url",
            ),
            ("issuer = \"https://a\"\nclient_id = \"x\"\nscopes = [\"a b\"]", "oidc.scopes"),
        ] {
            assert_eq!(check(text).unwrap_err().0, key, "{text}");
        }
        assert!(may_ask("http://127.0.0.1:8080/x") && may_ask("http://[::1]:1/") && !may_ask("ftp://a/"));
    }
}
