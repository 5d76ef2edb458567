//! TLS 1.3 to the collector: which groups, which roots, which name. One HTTP/2 connection and nothing else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, NamedGroup, ProtocolVersion, RootCertStore, version};
use sekimori_wire::renew::TRUST_HEADER;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::identity::Identity;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The post-quantum hybrid first, then classical groups for a collector behind an older front.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
    ];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// For shipping: our certificate, and the collector's from the CA of our enrolment.
///
/// # Errors
/// If certificate, key or CA cannot be used.
pub(crate) fn client_config(identity: &Identity) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier(&identity.ca)?)
        .with_client_auth_cert(identity.certificates.clone(), identity.tls_key.clone_key())?;
    Ok(with_alpn(config))
}

/// For enrolment: no certificate of ours yet, and another way to trust.
///
/// # Errors
/// If the TLS library refuses its own defaults.
pub(crate) fn enrolment_config(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(with_alpn(config))
}

/// Verifies chain, validity and name against these CAs only.
pub(crate) fn verifier(ca: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|cause| rustls::Error::General(cause.to_string()))
}

fn with_alpn(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// `https://host:port`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Endpoint {
    /// From a URL without a path.
    ///
    /// # Errors
    /// If it is not `https://host[:port]`.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError { url: url.chars().take(256).collect() };
        let uri: Uri = url.parse().map_err(|_cause| wrong())?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_cause: InvalidDnsNameError| wrong())?;
        Ok(Self { host, port: uri.port_u16().unwrap_or(443), name })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "https://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "https://{}:{}", self.host, self.port)
        }
    }
}

/// Not an address that we can connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not of the form https://host:port")]
pub(crate) struct UrlError {
    /// What was given.
    pub(crate) url: String,
}

/// What the handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// TLS 1.3, or nothing.
    pub(crate) version: Option<ProtocolVersion>,
    /// How the keys were exchanged.
    pub(crate) group: Option<NamedGroup>,
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    endpoint: Endpoint,
    negotiated: Negotiated,
    /// What we trust, as the collector calls it, and what it says it would be now.
    trust: (Option<HeaderValue>, Option<String>),
}

impl Connection {
    /// Connects, shakes hands, verifies. That the collector accepts *our* certificate only the first answer shows.
    ///
    /// # Errors
    /// By the step that failed.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        config: Arc<ClientConfig>,
    ) -> Result<Self, ConnectionError> {
        let opened = timeout(CONNECT_TIMEOUT, Self::open_now(endpoint, config)).await;
        opened.unwrap_or_else(|_elapsed| {
            Err(ConnectionError::Connect { cause: io::ErrorKind::TimedOut.into() })
        })
    }

    async fn open_now(endpoint: &Endpoint, config: Arc<ClientConfig>) -> Result<Self, ConnectionError> {
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|cause| ConnectionError::Connect { cause })?;
        // A submission is written at once; waiting for more to send only delays it.
        tcp.set_nodelay(true).map_err(|cause| ConnectionError::Connect { cause })?;
        let tls = TlsConnector::from(config)
            .connect(endpoint.name.clone(), tcp)
            .await
            .map_err(|cause| ConnectionError::Tls { cause })?;
        let (_, session) = tls.get_ref();
        let negotiated = Negotiated {
            version: session.protocol_version(),
            group: session.negotiated_key_exchange_group().map(|group| group.name()),
        };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|cause| ConnectionError::Request { cause })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
            }
        });
        Ok(Self { sender, endpoint: endpoint.clone(), negotiated, trust: (None, None) })
    }

    /// What the handshake agreed on.
    pub(crate) const fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// From now on tells the collector what we trust.
    pub(crate) fn tell_trust(&mut self, name: &str) {
        self.trust.0 = HeaderValue::from_str(name).ok().filter(|name| !name.is_empty());
    }

    /// What the collector said last that is to be trusted.
    pub(crate) fn trust_heard(&self) -> Option<&str> {
        self.trust.1.as_deref()
    }

    /// Sends one POST and reads the whole answer, up to a bound.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        let mut request =
            Request::post(format!("{}{path}", self.endpoint)).header("content-type", content_type);
        if let Some(name) = &self.trust.0 {
            request = request.header(TRUST_HEADER, name);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_cause| ConnectionError::Answer)?;
        self.exchange(request, ANSWER_BYTES_MAX, REQUEST_TIMEOUT).await
    }

    /// Sends one GET and reads the whole answer, up to a bound and within a time.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        bytes_max: usize,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        let request = Request::get(format!("{}{path}", self.endpoint))
            .body(Full::new(Bytes::new()))
            .map_err(|_cause| ConnectionError::Answer)?;
        self.exchange(request, bytes_max, limit).await
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), ConnectionError> {
        let exchange = async {
            self.sender.ready().await.map_err(|cause| ConnectionError::Request { cause })?;
            let response = self
                .sender
                .send_request(request)
                .await
                .map_err(|cause| ConnectionError::Request { cause })?;
            let status = response.status();
            let heard = response.headers().get(TRUST_HEADER).and_then(|name| name.to_str().ok());
            self.trust.1 = heard.map(str::to_owned);
            Ok((status, whole_body(response.into_body(), bytes_max).await?))
        };
        timeout(limit, exchange).await.unwrap_or(Err(ConnectionError::Timeout))
    }
}

async fn whole_body(body: Incoming, bytes_max: usize) -> Result<Bytes, ConnectionError> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(cause) if cause.is::<LengthLimitError>() => Err(ConnectionError::Answer),
        Err(cause) => match cause.downcast::<hyper::Error>() {
            Ok(cause) => Err(ConnectionError::Request { cause: *cause }),
            Err(_other) => Err(ConnectionError::Answer),
        },
    }
}

/// Why there is no connection, or no answer on it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// Nobody there.
    #[error("cannot connect")]
    Connect {
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Somebody there, and one of us does not trust the other.
    #[error("the TLS handshake failed")]
    Tls {
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Request {
        /// Why.
        #[source]
        cause: hyper::Error,
    },
    /// No answer in time.
    #[error("no answer within {} seconds", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// An answer that no collector gives.
    #[error("the answer is longer than a collector's ever is, or cut")]
    Answer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        for (url, shown) in [
            ("https://192.0.2.1:8440", "https://192.0.2.1:8440"),
            ("https://collector.example/", "https://collector.example:443"),
            ("https://[2001:db8::1]:8440", "https://[2001:db8::1]:8440"),
        ] {
            assert_eq!(Endpoint::parse(url).map(|endpoint| endpoint.to_string()), Ok(shown.to_owned()));
        }
        for url in [
            "",
            "http://x:1",
            "https://",
            "https://x/path",
            "https://x?q",
            "x:1",
            "https://a b",
            "https://-_/",
        ] {
            assert_eq!(Endpoint::parse(url), Err(UrlError { url: url.to_owned() }));
        }
    }

    #[test]
    fn the_hybrid_group_is_offered_first() {
        let groups: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups.first(), Some(&NamedGroup::X25519MLKEM768));
    }
}
