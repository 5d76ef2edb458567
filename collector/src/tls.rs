//! TLS 1.3 only, hybrid post-quantum key exchange first; and who is at the other end.
//!
//! Only [`peer_of`] makes a [`Peer`], and only from a chain that rustls has verified against our CA.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::time::Timestamp;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::auth::certificate::PERSON_URN;
use crate::fleet::authority::{AGENT_URN, Paths};
use crate::fleet::trust::expiry;

/// An agent, known by its verified certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    agent: AgentId,
    expires: Timestamp,
}

impl Peer {
    /// Which agent.
    pub const fn agent(self) -> AgentId {
        self.agent
    }

    /// When its certificate ends: a connection may outlive it.
    pub const fn expires(self) -> Timestamp {
        self.expires
    }
}

/// Who the verified chain of a connection names; `None` if the leaf names no agent.
pub fn peer_of(connection: &rustls::ServerConnection) -> Option<Peer> {
    let leaf = connection.peer_certificates()?.first()?;
    agent_in(leaf).map(|agent| Peer { agent, expires: expiry(leaf) })
}

fn agent_in(leaf: &CertificateDer<'_>) -> Option<AgentId> {
    let (_rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        uri.strip_prefix(AGENT_URN)?.parse().ok()
    })
}

/// For the ingest listener: a client must show a certificate of one of these CAs. With `require_post_quantum` its key exchange must
/// be the hybrid.
///
/// # Errors
/// Names the file that cannot be used.
pub fn mutual(
    paths: &Paths,
    cas: Vec<CertificateDer<'static>>,
    require_post_quantum: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add(ca).map_err(|cause| TlsError::Use { cause })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider(false))
        .build()
        .map_err(|cause| TlsError::Verifier { cause })?;
    let builder = ServerConfig::builder_with_provider(provider(require_post_quantum))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| TlsError::Use { cause })?
        .with_client_cert_verifier(verifier);
    finish(builder, paths)
}

/// A person's certificate of our CA for people. What it is worth is for the store to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonShown {
    fingerprint: Digest,
}

impl PersonShown {
    /// SHA-256 of the certificate.
    pub const fn fingerprint(self) -> Digest {
        self.fingerprint
    }
}

/// The person's certificate of a connection to the console; `None` if it shows none, or one that names no person.
pub fn person_of(connection: &rustls::ServerConnection) -> Option<PersonShown> {
    let leaf = connection.peer_certificates()?.first()?;
    let (_rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let is_person =
        |name: &GeneralName<'_>| matches!(name, GeneralName::URI(uri) if uri.starts_with(PERSON_URN));
    let person = names.value.general_names.iter().any(is_person);
    person.then(|| PersonShown { fingerprint: Digest::of(leaf) })
}

/// For the console: a client may show a certificate of the CA for people, and needs none.
///
/// # Errors
/// Names the file that cannot be used.
pub fn optional(paths: &Paths, people: CertificateDer<'static>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(people).map_err(|cause| TlsError::Use { cause })?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider(false))
        .allow_unauthenticated()
        .build()
        .map_err(|cause| TlsError::Verifier { cause })?;
    let builder = ServerConfig::builder_with_provider(provider(false))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| TlsError::Use { cause })?
        .with_client_cert_verifier(verifier);
    finish(builder, paths)
}

/// For enrolment and the console: only the server shows a certificate.
///
/// # Errors
/// Names the file that cannot be used.
pub fn server_only(paths: &Paths) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider(false))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| TlsError::Use { cause })?
        .with_no_client_auth();
    finish(builder, paths)
}

fn finish(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    paths: &Paths,
) -> Result<Arc<ServerConfig>, TlsError> {
    let path = paths.server();
    let chain = CertificateDer::pem_file_iter(&path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| TlsError::Pem { path, cause })?;
    let path = paths.server_key();
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|cause| TlsError::Pem { path, cause })?;
    let mut config = builder.with_single_cert(chain, key).map_err(|cause| TlsError::Use { cause })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// aws-lc with `X25519MLKEM768` first (rustls' feature `prefer-post-quantum`; a test asserts it).
/// If it is required, nothing else is accepted.
fn provider(require_post_quantum: bool) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if require_post_quantum {
        provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    }
    Arc::new(provider)
}

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("cannot read {path}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::pki_types::pem::Error,
    },
    /// What it holds.
    #[error("cannot use the certificates or the key")]
    Use {
        /// Why.
        #[source]
        cause: rustls::Error,
    },
    /// The verifier of clients.
    #[error("cannot verify clients with this CA")]
    Verifier {
        /// Why.
        #[source]
        cause: rustls::server::VerifierBuilderError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::NamedGroup;

    #[test]
    fn the_hybrid_key_exchange_comes_first() {
        let groups: Vec<_> = provider(false).kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups.first(), Some(&NamedGroup::X25519MLKEM768), "{groups:?}");
    }
}
