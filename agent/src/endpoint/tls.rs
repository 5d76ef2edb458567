//! TLS of a source: its own certificate, and clients that show one where that is asked for. TLS 1.3 only, as everywhere here.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::ListenError;
use super::source::{Source, TlsFiles};
use crate::tls::provider;

/// Reads what a TLS source needs. This is done before privileges are given up.
pub(super) fn server(source: &Source, files: &TlsFiles) -> Result<Arc<ServerConfig>, ListenError> {
    let wrong = |file: &Path, rule: &dyn core::fmt::Display| ListenError::Tls {
        name: source.name.clone(),
        file: file.display().to_string(),
        rule: rule.to_string(),
    };
    let own = certificates(&files.certificate).map_err(|rule| wrong(&files.certificate, &rule))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| wrong(&files.key, &cause))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| wrong(&files.certificate, &cause))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file).map_err(|rule| wrong(file, &rule))? {
                roots.add(certificate).map_err(|cause| wrong(file, &cause))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|cause| wrong(file, &cause))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(own, key).map(Arc::new).map_err(|cause| wrong(&files.key, &cause))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|cause| cause.to_string())?.collect();
    let all = all.map_err(|cause| cause.to_string())?;
    if all.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(all) }
}
