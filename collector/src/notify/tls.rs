//! Whom the collector trusts when it connects to a mail server or a webhook: the system's roots, or one file's alone.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file.
    #[error("holds no certificates that can be read: {0}")]
    File(String),
    /// The system's.
    #[error("the system's certificates cannot be used: {0}")]
    System(String),
}

/// TLS as a client; with a file, only what it vouches for.
///
/// # Errors
/// No certificate can be read.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| TrustError::System(cause.to_string()))?;
    let config = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?).with_no_client_auth(),
        None => builder
            .with_platform_verifier()
            .map_err(|cause| TrustError::System(cause.to_string()))?
            .with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, TrustError> {
    let unreadable = |cause: &dyn core::fmt::Display| TrustError::File(cause.to_string());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|cause| unreadable(&cause))? {
        let certificate = certificate.map_err(|cause| unreadable(&cause))?;
        store.add(certificate).map_err(|cause| unreadable(&cause))?;
    }
    if store.is_empty() { Err(TrustError::File("it has none".to_owned())) } else { Ok(store) }
}
