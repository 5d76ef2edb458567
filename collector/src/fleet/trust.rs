//! What the collector shows, signs and trusts at this moment; replaced as a whole when its files change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use tokio::sync::watch;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{self, Authority, Paths};
use super::error_chain;
use super::swap::{self, SwapError};
use crate::config::Config;
use crate::tls::{self, TlsError};

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of one moment.
#[derive(Debug)]
pub struct Trust {
    /// Issues certificates: during a swap the CA that comes.
    pub authority: Authority,
    /// Signs acknowledgements: until a swap is finished the key that goes.
    pub ack_key: SigningKey,
    /// Every CA that agents are to trust, and whose certificates are let in, PEM.
    pub ca_pem: String,
    /// Every key that agents are to believe acknowledgements of, base64url.
    pub collector_keys: Vec<String>,
    /// Where agents send batches.
    pub ingest_urls: Vec<String>,
    /// Names what an agent learns of all this.
    pub name: String,
    /// Its own certificates and when they end.
    pub own: Vec<(&'static str, Timestamp)>,
    /// A swap has begun and is not finished.
    pub swapping: bool,
    mutual: Arc<ServerConfig>,
    server_only: Arc<ServerConfig>,
    console: Arc<ServerConfig>,
}

/// Whom a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Only who shows a certificate of our CAs.
    Mutual,
    /// Everybody.
    ServerOnly,
    /// Everybody; who shows a certificate, only one of our CA for people.
    People,
}

impl Trust {
    /// Reads everything. A swap that was interrupted while it finished is finished first.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn load(config: &Config) -> Result<Self, SwapError> {
        let paths = Paths::of(&config.dir);
        let _lock = swap::lock(&paths)?;
        swap::complete(&paths)?;
        let old = Authority::load(&paths)?;
        let ack_key = authority::load_ack_key(paths.ack_key())?;
        let swapping = paths.next_ca().exists();
        let mut files = vec![("ca", paths.ca())];
        let mut keys = vec![*ack_key.verifying_key()];
        let (authority, ca_pem) = if swapping {
            files.push(("ca.next", paths.next_ca()));
            keys.push(*authority::load_ack_key(paths.next_ack_key())?.verifying_key());
            let next = Authority::load_next(&paths)?;
            let both = format!("{}{}", old.ca_pem(), next.ca_pem());
            (next, both)
        } else {
            let ca_pem = old.ca_pem().to_owned();
            (old, ca_pem)
        };
        let mut cas = Vec::new();
        for (_, path) in &files {
            cas.push(certificate(path.clone())?);
        }
        let people = paths.people_ca().exists().then(|| paths.people_ca());
        files.extend(people.clone().map(|path| ("ca.people", path)));
        files.push(("server", paths.server()));
        let mut own = Vec::new();
        for (what, path) in files {
            own.push((what, expiry(&certificate(path)?)));
        }
        let collector_keys: Vec<String> =
            keys.iter().map(|key| URL_SAFE_NO_PAD.encode(key.as_bytes())).collect();
        let ingest_urls = vec![config.url(config.ingest)];
        let mut named: Vec<String> = cas.iter().map(|ca| Digest::of(ca).to_string()).collect();
        named.extend(collector_keys.iter().chain(&ingest_urls).cloned());
        let name = Digest::of(named.join("\n").as_bytes()).to_string().chars().take(16).collect();
        let (mutual, server_only) =
            (tls::mutual(&paths, cas, config.require_post_quantum)?, tls::server_only(&paths)?);
        let console = match people {
            Some(path) => tls::optional(&paths, certificate(path)?)?,
            None => Arc::clone(&server_only),
        };
        Ok(Self {
            authority,
            ack_key,
            ca_pem,
            collector_keys,
            ingest_urls,
            name,
            own,
            swapping,
            mutual,
            server_only,
            console,
        })
    }

    /// The TLS of a listener.
    pub fn tls(&self, entrance: Entrance) -> Arc<ServerConfig> {
        Arc::clone(match entrance {
            Entrance::Mutual => &self.mutual,
            Entrance::ServerOnly => &self.server_only,
            Entrance::People => &self.console,
        })
    }
}

/// The present [`Trust`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Present(watch::Receiver<Arc<Trust>>);

impl Present {
    /// What agents are to follow, while a swap goes on.
    pub fn to_follow(&self) -> Option<String> {
        let trust = self.0.borrow();
        trust.swapping.then(|| trust.name.clone())
    }

    /// As it is now.
    pub fn get(&self) -> Arc<Trust> {
        Arc::clone(&self.0.borrow())
    }
}

/// Reads everything, and again whenever a file has changed; files that cannot be used change nothing. The future ends when
/// it is dropped.
///
/// # Errors
/// If they cannot be used now.
pub fn follow(config: Arc<Config>) -> Result<(Present, impl Future<Output = ()> + Send + use<>), SwapError> {
    let mut seen = stamp(&config);
    let (set, present) = watch::channel(Arc::new(Trust::load(&config)?));
    let following = async move {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let now = stamp(&config);
            if now == seen {
                continue;
            }
            seen = now;
            let config = Arc::clone(&config);
            match tokio::task::spawn_blocking(move || Trust::load(&config)).await {
                Ok(Ok(trust)) => {
                    tracing::info!(
                        trust = trust.name,
                        swapping = trust.swapping,
                        "keys and certificates are read again"
                    );
                    set.send_replace(Arc::new(trust));
                }
                Ok(Err(error)) => {
                    tracing::error!(
                        error = error_chain(&error),
                        "changed keys or certificates cannot be used; those before stay in force"
                    );
                }
                Err(_ended) => return,
            }
        }
    };
    Ok((Present(present), following))
}

/// When the files were changed.
fn stamp(config: &Config) -> Vec<Option<SystemTime>> {
    let paths = Paths::of(&config.dir);
    let all =
        [paths.ca(), paths.next_ca(), paths.server(), paths.ack_key(), paths.finished(), paths.people_ca()];
    all.iter().map(|path| path.metadata().and_then(|data| data.modified()).ok()).collect()
}

fn certificate(path: PathBuf) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_file(&path).map_err(|cause| TlsError::Pem { path, cause })
}

/// When a certificate ends; long ago if it does not say.
pub fn expiry(certificate: &CertificateDer<'_>) -> Timestamp {
    let not_after = X509Certificate::from_der(certificate)
        .map_or(0, |(_, certificate)| certificate.validity().not_after.timestamp());
    Timestamp::from_secs(u64::try_from(not_after).unwrap_or_default())
}
