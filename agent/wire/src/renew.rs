//! Renewal: another certificate for an agent that has one, and whatever of its trust has changed.
//!
//! `POST /v1/renew` on the ingest listener takes a [`RenewRequest`] and answers a [`RenewResponse`], both JSON, over mutual TLS
//! with the present certificate. A refusal is an [`EnrollRefusal`](crate::enroll::EnrollRefusal).

use serde::{Deserialize, Serialize};

/// Label under which an agent signs the certificate request of a renewal.
pub const RENEW_LABEL: &str = "sekimori.renew.v1";
/// Header of every answer on the ingest listener: which [`RenewResponse::trust`] the collector would give now. Header of
/// every request there: which one the agent goes by.
pub const TRUST_HEADER: &str = "sekimori-trust";

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Certificate signing request, PEM; made with a new key that never leaves the agent.
    pub csr_pem: String,
    /// Signature over the CSR's PEM with the agent's newest key that the collector knows, under [`RENEW_LABEL`], base64url.
    pub possession: String,
    /// Another signing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

/// Another signing key for the same agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Raw Ed25519 public key, base64url.
    pub signing_key: String,
    /// The first epoch that it signs: later than any that the agent has begun.
    pub from_epoch: u64,
    /// Signature of the key before it ([`voucher`](crate::keyring::voucher)), base64url.
    pub voucher: String,
    /// Its own signature over the same bytes under [`SUCCESSOR_LABEL`](crate::keyring::SUCCESSOR_LABEL), base64url.
    pub possession: String,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewResponse {
    /// The agent's certificate, PEM.
    pub certificate_pem: String,
    /// For how many seconds from now it is good.
    pub life_seconds: u64,
    /// The CAs to trust, PEM.
    pub ca_pem: String,
    /// Raw Ed25519 public keys that may sign acknowledgements, base64url.
    pub collector_keys: Vec<String>,
    /// Where to send batches.
    pub ingest_urls: Vec<String>,
    /// Names all of the above but the certificate.
    pub trust: String,
}
