//! Enrolment: a one-time token, a certificate request, a certificate.
//!
//! `POST /v1/enroll` takes an [`EnrollRequest`] and answers an [`EnrollResponse`], both JSON, over TLS whose server
//! certificate must chain to the CA that the token's fingerprint names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::text::prefix;

const TOKEN_PREFIX: &str = "sekimori1.";
/// Label under which an agent signs its certificate request.
pub const POSSESSION_LABEL: &str = "sekimori.enroll.v1";
/// Longest token that is read.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// What an operator carries from the collector to a new agent. Worth an identity until used or expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// `https://host:port` of the enrolment listener.
    pub enroll_url: String,
    /// `https://host:port` of the ingest listener, in order of preference.
    pub ingest_urls: Vec<String>,
    /// SHA-256 of the CA certificate's DER, hexadecimal.
    pub ca_sha256: String,
    /// 団体コード that the agent will report for.
    pub body: String,
    /// The secret, base64url.
    pub secret: String,
    /// Unix seconds after which it is worthless.
    pub expires: u64,
}

impl Token {
    /// One word to copy and paste.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads it back; surrounding white space is ignored.
    ///
    /// # Errors
    /// If it is not a token, says at which step reading it failed.
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let text = prefix(text.trim(), TOKEN_BYTES_MAX);
        let encoded = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::Prefix)?;
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_cause| TokenError::Base64)?;
        serde_json::from_slice(&json).map_err(|_cause| TokenError::Content)
    }
}

/// Why a text is not an enrolment token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Does not start as tokens do.
    #[error("an enrolment token starts with `{TOKEN_PREFIX}`")]
    Prefix,
    /// Cut or mistyped.
    #[error("the enrolment token is cut or mistyped")]
    Base64,
    /// Decodes, but is no token of this version.
    #[error("the enrolment token has another content than this version expects")]
    Content,
}

/// What a new agent sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The token's secret.
    pub secret: String,
    /// Certificate signing request, PEM; made with a key that never leaves the agent.
    pub csr_pem: String,
    /// Raw Ed25519 public key for batches, base64url.
    pub signing_key: String,
    /// Signature over the CSR's PEM with that key under [`POSSESSION_LABEL`], base64url.
    pub possession: String,
    /// A label for people.
    pub name: String,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollResponse {
    /// Identity: SHA-256 of the agent's first signing key, hexadecimal.
    pub agent: String,
    /// The agent's certificate, PEM.
    pub certificate_pem: String,
    /// The CA's certificate, PEM.
    pub ca_pem: String,
    /// Raw Ed25519 public key that signs acknowledgements, base64url.
    pub collector_key: String,
    /// All keys that may sign acknowledgements from now on; empty: only that one.
    #[serde(default)]
    pub collector_keys: Vec<String>,
    /// For how many seconds from now the certificate is good; 0: not told.
    #[serde(default)]
    pub life_seconds: u64,
    /// Names what is to be trusted, as in [`RenewResponse::trust`](crate::renew::RenewResponse::trust).
    #[serde(default)]
    pub trust: String,
    /// 団体コード.
    pub body: String,
    /// The chain that the agent must start.
    pub epoch: u64,
    /// Where to send batches.
    pub ingest_urls: Vec<String>,
}

/// [`EnrollRefusal::kind`] of an enrolment that an operator of the collector must confirm: to be sent again as it was.
pub const HELD: &str = "enroll.held";

/// Why enrolment or renewal was refused; the body of a 4xx answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRefusal {
    /// For a person.
    pub error: String,
    /// The stable identifier.
    #[serde(default)]
    pub kind: String,
    /// When it makes sense to come again; 0: never.
    #[serde(default)]
    pub retry_after_seconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back() {
        let token = Token {
            enroll_url: "https://192.0.2.1:8441".into(),
            ingest_urls: vec!["https://192.0.2.1:8440".into()],
            ca_sha256: "00".repeat(32),
            body: "422011".into(),
            secret: "s".into(),
            expires: 1,
        };
        let text = token.to_text();
        assert_eq!(Token::from_text(&format!(" {text}\n")), Ok(token));
        assert_eq!(Token::from_text("x"), Err(TokenError::Prefix));
        assert_eq!(Token::from_text(prefix(&text, text.len() - 1)), Err(TokenError::Base64));
        assert_eq!(Token::from_text("sekimori1.e30"), Err(TokenError::Content));
    }
}
