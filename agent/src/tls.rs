//! TLS 1.3 to the collector: which groups, which roots, which name. One HTTP/2 connection and nothing else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{DATE, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{
    AlertDescription, ClientConfig, NamedGroup, PeerMisbehaved, ProtocolVersion, RootCertStore, version,
};
use sekimori_wire::renew::TRUST_HEADER;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::identity::Identity;
use crate::line::{Line, ProxyError};

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

/// With the groups that this line may use: where the hybrid is required nothing else is offered, so that nobody on the way
/// can talk us out of it.
fn provider_of(line: &Line) -> Arc<CryptoProvider> {
    if line.require_post_quantum {
        let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
        Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
    } else {
        provider()
    }
}

/// For shipping: our certificate, and the collector's from the CA of our enrolment.
///
/// # Errors
/// If certificate, key or CA cannot be used.
pub(crate) fn client_config(identity: &Identity, line: &Line) -> Result<Arc<ClientConfig>, rustls::Error> {
    client_config_with(identity, line, verifier(&identity.ca)?)
}

/// The same, with another judge of the collector's certificate.
///
/// # Errors
/// If certificate or key cannot be used.
pub(crate) fn client_config_with(
    identity: &Identity,
    line: &Line,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider_of(line))
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.certificates.clone(), identity.tls_key.clone_key())?;
    Ok(with_alpn(config))
}

/// For enrolment: no certificate of ours yet, and another way to trust.
///
/// # Errors
/// If the TLS library refuses its own defaults.
pub(crate) fn enrolment_config(
    verifier: Arc<dyn ServerCertVerifier>,
    line: &Line,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider_of(line))
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

impl Endpoint {
    /// Name or address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Host and port as a proxy is asked for them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
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
    /// What we trust, as the collector calls it.
    trust: Option<HeaderValue>,
}

/// What a collector answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// What it says that is to be trusted.
    pub(crate) trust: Option<String>,
    /// Its clock, as it shows it (RFC 9110, 6.6.1): full seconds.
    pub(crate) date: Option<String>,
}

impl Connection {
    /// Connects, shakes hands, verifies. That the collector accepts *our* certificate only the first answer shows.
    ///
    /// # Errors
    /// By the step that failed.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        config: Arc<ClientConfig>,
        line: &Line,
    ) -> Result<Self, ConnectionError> {
        let opened = timeout(CONNECT_TIMEOUT, Self::open_now(endpoint, config, line)).await;
        opened.unwrap_or_else(|_elapsed| {
            Err(ConnectionError::Connect { cause: io::ErrorKind::TimedOut.into() })
        })
    }

    async fn open_now(
        endpoint: &Endpoint,
        config: Arc<ClientConfig>,
        line: &Line,
    ) -> Result<Self, ConnectionError> {
        let tcp = match &line.proxy {
            None => TcpStream::connect((endpoint.host.as_str(), endpoint.port))
                .await
                .map_err(|cause| ConnectionError::Connect { cause })?,
            Some(proxy) => proxy.connect(&endpoint.authority()).await.map_err(|cause| {
                ConnectionError::Proxy { proxy: proxy.to_string(), cause: Box::new(cause) }
            })?,
        };
        // A submission is written at once; waiting for more to send only delays it.
        tcp.set_nodelay(true).map_err(|cause| ConnectionError::Connect { cause })?;
        let tls = TlsConnector::from(config)
            .connect(endpoint.name.clone(), line.throttled(tcp))
            .await
            .map_err(|cause| match is_handshake_failure(&cause) && line.require_post_quantum {
                true => ConnectionError::NotPostQuantum { cause },
                false => ConnectionError::Tls { cause },
            })?;
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
        Ok(Self { sender, endpoint: endpoint.clone(), negotiated, trust: None })
    }

    /// What the handshake agreed on.
    pub(crate) const fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// From now on tells the collector what we trust.
    pub(crate) fn tell_trust(&mut self, name: &str) {
        self.trust = HeaderValue::from_str(name).ok().filter(|name| !name.is_empty());
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
        let reply = self.begin_post(path, content_type, body, REQUEST_TIMEOUT).await?.await?;
        Ok((reply.status, reply.body))
    }

    /// The same, without waiting for the answer: when this is done the request goes before any that is begun later.
    ///
    /// # Errors
    /// If the connection takes no more requests.
    pub(crate) async fn begin_post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<impl Future<Output = Result<Reply, ConnectionError>> + Send + use<>, ConnectionError> {
        let mut request =
            Request::post(format!("{}{path}", self.endpoint)).header("content-type", content_type);
        if let Some(name) = &self.trust {
            request = request.header(TRUST_HEADER, name);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_cause| ConnectionError::Answer)?;
        self.begin(request, ANSWER_BYTES_MAX, limit).await
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
        let reply = self.ask(path, bytes_max, limit).await?;
        Ok((reply.status, reply.body))
    }

    /// The same, with what else the answer says.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub(crate) async fn ask(
        &mut self,
        path: &str,
        bytes_max: usize,
        limit: Duration,
    ) -> Result<Reply, ConnectionError> {
        let request = Request::get(format!("{}{path}", self.endpoint))
            .body(Full::new(Bytes::new()))
            .map_err(|_cause| ConnectionError::Answer)?;
        self.begin(request, bytes_max, limit).await?.await
    }

    async fn begin(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
        limit: Duration,
    ) -> Result<impl Future<Output = Result<Reply, ConnectionError>> + Send + use<>, ConnectionError> {
        let ready = timeout(limit, self.sender.ready()).await;
        ready
            .map_err(|_elapsed| ConnectionError::Timeout)?
            .map_err(|cause| ConnectionError::Request { cause })?;
        let answer = self.sender.send_request(request);
        Ok(async move {
            let whole = async {
                let response = answer.await.map_err(|cause| ConnectionError::Request { cause })?;
                let status = response.status();
                let heard = response.headers().get(TRUST_HEADER).and_then(|name| name.to_str().ok());
                let trust = heard.map(str::to_owned);
                let date =
                    response.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
                Ok(Reply { status, body: whole_body(response.into_body(), bytes_max).await?, trust, date })
            };
            timeout(limit, whole).await.unwrap_or(Err(ConnectionError::Timeout))
        })
    }
}

/// The other side says that we have nothing in common, or wants what we did not offer.
fn is_handshake_failure(cause: &io::Error) -> bool {
    let cause = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(
        cause,
        Some(
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)
                | rustls::Error::PeerIncompatible(_)
                | rustls::Error::PeerMisbehaved(
                    PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup
                )
        )
    )
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
    /// The proxy is not there, or does not let us through.
    #[error("the proxy {proxy} gives no connection")]
    Proxy {
        /// Its address.
        proxy: String,
        /// Why not.
        #[source]
        cause: Box<ProxyError>,
    },
    /// The collector has no key exchange that this agent requires.
    #[error(
        "the collector offers no post-quantum key exchange (X25519MLKEM768), which collector.require_post_quantum demands"
    )]
    NotPostQuantum {
        /// What it said.
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
