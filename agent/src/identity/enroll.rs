//! From a one-time token to an identity on disk.
//!
//! The token names the collector's CA by its hash. The collector presents that CA's certificate with its own; no other CA
//! is believed, not for one byte of the token's secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use sekimori_wire::enroll::{
    EnrollRefusal, EnrollRequest, EnrollResponse, HELD, POSSESSION_LABEL, Token, TokenError,
};
use sekimori_wire::envelope::{KeyError, SigningKey};
use sekimori_wire::id::{BodyCode, Digest};
use sekimori_wire::text::BoundedText;

use super::files::{Enrolment, Files, SIGNING_KEY};
use super::{Identity, IdentityError, folder, read, verifying_key};
use crate::clock;
use crate::line::Line;
use crate::tls::{self, Connection, ConnectionError, Endpoint, UrlError};
use sekimori_delivery::disk::{self, DiskError};

/// The longest wait that a collector can ask for.
const HELD_SECONDS_MAX: u64 = 60;

/// Makes keys, gets a certificate for them with the token, and stores both under `state`. `again`: with the signing key that is
/// there. While an operator of the collector must confirm it first, it is asked again until the token expires.
///
/// # Errors
/// Tells apart what an operator can mend: token, fingerprint, network, disk. What there was is as it was then.
pub(crate) async fn enroll(
    state: &Path,
    token: &str,
    (name, again): (&str, bool),
    line: &Line,
) -> Result<Identity, EnrollError> {
    let dir = folder(state);
    let before = match Files::read(&dir) {
        Err(IdentityError::Missing { .. }) => None,
        Ok(files) if again => Some(files),
        Ok(_) | Err(_) => return Err(EnrollError::Exists { path: dir }),
    };
    let token = Token::from_text(token)?;
    let now = clock::now().secs();
    if token.expires <= now {
        return Err(EnrollError::Expired { seconds: now - token.expires });
    }
    let fingerprint: Digest = token.ca_sha256.parse().map_err(|_cause| TokenError::Content)?;
    let tls_key = KeyPair::generate().map_err(|cause| EnrollError::Request { cause })?;
    // The keys come first: a token must not be spent on a folder that cannot be written.
    disk::create_private_dir(&dir)?;
    let (signing, signing_pkcs8) = signing_key(&dir, before.as_ref())?;
    let name = before.as_ref().filter(|_| name.is_empty()).map_or(name, |before| &before.enrolment.name);
    let request = request(&token, name, &signing, &tls_key)?;
    let response = ask(&token, fingerprint, &request, line).await?;
    let answer = |what| EnrollError::Answer { what };
    let agent = before.as_ref().map(|before| before.enrolment.agent.clone());
    if response.agent != agent.unwrap_or_else(|| signing.verifying_key().id().to_string()) {
        return Err(answer("another agent's id"));
    }
    if response.body.parse::<BodyCode>().is_err() {
        return Err(answer("a body that is no 団体コード"));
    }
    if verifying_key(&response.collector_key).is_none() {
        return Err(answer("no acknowledgement key"));
    }
    let files = Files {
        signing_key: URL_SAFE_NO_PAD.encode(signing_pkcs8),
        tls_key: tls_key.serialize_pem(),
        certificate: response.certificate_pem,
        ca: response.ca_pem,
        enrolment: Enrolment {
            agent: response.agent,
            name: name.to_owned(),
            body: response.body,
            epoch: response.epoch,
            ingest_urls: response.ingest_urls,
            collector_key: response.collector_key,
            collector_keys: response.collector_keys,
            trust: response.trust,
            certified_at: clock::now().secs(),
            life_seconds: response.life_seconds,
            keys: before.as_ref().map(|before| before.enrolment.keys.clone()).unwrap_or_default(),
            user_key: before.and_then(|before| before.enrolment.user_key),
        },
    };
    let identity = checked(&files, &dir, fingerprint, line)?;
    // In one step: before it, the rest is no identity (or the old one), and the next attempt replaces it.
    files.commit(&dir)?;
    Files::settle(&dir).map_err(EnrollError::Unusable)?;
    Ok(identity)
}

/// The key of the identity that there is, or of an attempt that did not get to the end: the collector may know it already.
fn signing_key(dir: &Path, before: Option<&Files>) -> Result<(SigningKey, Vec<u8>), EnrollError> {
    let path = dir.join(SIGNING_KEY);
    if let Some(before) = before {
        let pkcs8 = URL_SAFE_NO_PAD.decode(&before.signing_key).unwrap_or_default();
        return Ok((SigningKey::from_pkcs8(&pkcs8)?, pkcs8));
    }
    if let Ok(pkcs8) = read(&path)
        && let Ok(key) = SigningKey::from_pkcs8(&pkcs8)
    {
        return Ok((key, pkcs8));
    }
    let (key, pkcs8) = SigningKey::generate()?;
    disk::write_atomic(&path, &pkcs8)?;
    Ok((key, pkcs8))
}

/// What is stored must be usable, and the CA the one of the token.
fn checked(files: &Files, dir: &Path, fingerprint: Digest, line: &Line) -> Result<Identity, EnrollError> {
    let identity = Identity::of(files, dir).map_err(EnrollError::Unusable)?;
    if !identity.ca.iter().any(|ca| Digest::of(ca) == fingerprint) {
        return Err(EnrollError::Answer { what: "a CA that the token does not name" });
    }
    tls::client_config(&identity, line).map_err(|cause| EnrollError::Tls { cause })?;
    Ok(identity)
}

/// Asks until there is another answer than to wait for an operator.
async fn ask(
    token: &Token,
    ca: Digest,
    request: &EnrollRequest,
    line: &Line,
) -> Result<EnrollResponse, EnrollError> {
    loop {
        let (reason, wait) = match exchange(token, ca, request, line).await {
            Err(EnrollError::Held { reason, wait }) => (reason, wait),
            answer => return answer,
        };
        tracing::warn!(%reason, "the collector holds this enrolment; asked again until it is confirmed or the token expires");
        tokio::time::sleep(wait).await;
        let now = clock::now().secs();
        if token.expires <= now {
            return Err(EnrollError::Expired { seconds: now - token.expires });
        }
    }
}

fn request(
    token: &Token,
    name: &str,
    signing: &SigningKey,
    tls: &KeyPair,
) -> Result<EnrollRequest, EnrollError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, signing.verifying_key().id().to_string());
    let csr_pem = params
        .serialize_request(tls)
        .and_then(|request| request.pem())
        .map_err(|cause| EnrollError::Request { cause })?;
    Ok(EnrollRequest {
        secret: token.secret.clone(),
        signing_key: URL_SAFE_NO_PAD.encode(signing.verifying_key().as_bytes()),
        possession: URL_SAFE_NO_PAD.encode(signing.sign_labelled(POSSESSION_LABEL, csr_pem.as_bytes())),
        csr_pem,
        name: name.to_owned(),
    })
}

async fn exchange(
    token: &Token,
    ca: Digest,
    request: &EnrollRequest,
    line: &Line,
) -> Result<EnrollResponse, EnrollError> {
    let endpoint = Endpoint::parse(&token.enroll_url)?;
    let config =
        tls::enrolment_config(Arc::new(Pinned { ca }), line).map_err(|cause| EnrollError::Tls { cause })?;
    let url = token.enroll_url.clone();
    let mut connection = match Connection::open(&endpoint, config, line).await {
        Ok(connection) => connection,
        Err(ConnectionError::Tls { cause }) if is_wrong_ca(&cause) => {
            return Err(EnrollError::WrongFingerprint { url, expected: ca });
        }
        Err(cause) => return Err(EnrollError::Connection { url, cause }),
    };
    let body = serde_json::to_vec(request).unwrap_or_default();
    let (status, body) = connection
        .post("/v1/enroll", "application/json", body)
        .await
        .map_err(|cause| EnrollError::Connection { url, cause })?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|_cause| EnrollError::Answer { what: "no enrolment" });
    }
    let refusal = serde_json::from_slice::<EnrollRefusal>(&body).ok();
    let reason = refusal
        .as_ref()
        .map_or_else(|| BoundedText::new("(it gave no reason)"), |refusal| BoundedText::new(&refusal.error));
    if let Some(refusal) = refusal.filter(|refusal| refusal.kind == HELD) {
        let seconds = u64::from(refusal.retry_after_seconds).clamp(1, HELD_SECONDS_MAX);
        return Err(EnrollError::Held { reason, wait: Duration::from_secs(seconds) });
    }
    Err(EnrollError::Refused { status: status.as_u16(), reason })
}

/// Believes the one CA with this hash, which the server itself presents.
#[derive(Debug)]
struct Pinned {
    ca: Digest,
}

#[derive(Debug, thiserror::Error)]
#[error("the server's chain does not end in the CA of the token")]
struct WrongCa;

fn is_wrong_ca(cause: &std::io::Error) -> bool {
    let cause = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) if other.is::<WrongCa>())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = intermediates.iter().find(|certificate| Digest::of(certificate) == self.ca) else {
            return Err(CertificateError::Other(OtherError(Arc::new(WrongCa))).into());
        };
        let verifier = tls::verifier(&[ca.clone().into_owned()])?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Why an agent could not be enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrollError {
    /// There is an identity already; another would be another agent.
    #[error("this agent is enrolled already ({}); `--again` enrols it anew with its own key, another state folder makes another agent", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Not a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Too late.
    #[error("the token expired {seconds} seconds ago; ask for a new one (or set this machine's clock)")]
    Expired {
        /// How much too late.
        seconds: u64,
    },
    /// Not an address.
    #[error("the token's collector address cannot be used")]
    Url(#[from] UrlError),
    /// Somebody else answers at the collector's address.
    #[error(
        "{url} does not present the CA that the token names (SHA-256 {expected}): wrong address, wrong token, or somebody in between"
    )]
    WrongFingerprint {
        /// Who was asked.
        url: String,
        /// What the token names.
        expected: Digest,
    },
    /// The collector is not there, or is not trusted.
    #[error("no enrolment from {url}")]
    Connection {
        /// Who was asked.
        url: String,
        /// Why not.
        #[source]
        cause: ConnectionError,
    },
    /// The collector said no.
    #[error("the collector refused the enrolment ({status}): {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        reason: BoundedText<256>,
    },
    /// An operator of the collector must confirm it.
    #[error("{reason}")]
    Held {
        /// What the collector said.
        reason: BoundedText<256>,
        /// When to ask again.
        wait: Duration,
    },
    /// The collector said something else.
    #[error("the collector's answer holds {what}")]
    Answer {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The keys cannot be used for TLS.
    #[error("TLS refuses the new identity")]
    Tls {
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// No request could be made.
    #[error("cannot make a certificate request")]
    Request {
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// No key could be made.
    #[error("cannot make a signing key")]
    Key(#[from] KeyError),
    /// What came back cannot be loaded.
    #[error("the enrolment cannot be used")]
    Unusable(#[source] IdentityError),
    /// The disk fails.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
