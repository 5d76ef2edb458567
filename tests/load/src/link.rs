//! An agent's connection: TLS 1.3 with both certificates, one HTTP/2 connection kept alive, as the agent's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use sekimori_wire::renew::TRUST_HEADER;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// As long as the agent waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    to: SocketAddr,
    /// What the agent goes by, told with every request.
    trust: String,
}

/// What an agent shows and believes. Without a certificate: for enrolment.
///
/// # Errors
/// If they cannot be used for TLS.
pub(crate) fn client(
    ca: &CertificateDer<'static>,
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

impl Link {
    /// Connects from an address of the agent's own (any of 127.0.0.0/8 is this machine's), as gateways do: the collector
    /// bounds the connections of one address.
    ///
    /// # Errors
    /// By the step that failed.
    pub(crate) async fn open(
        from: Ipv4Addr,
        to: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> anyhow::Result<Self> {
        timeout(CONNECT_TIMEOUT, Self::open_now(from, to, config)).await.context("no connection in time")?
    }

    async fn open_now(from: Ipv4Addr, to: SocketAddr, config: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into()).with_context(|| format!("cannot connect from {from}"))?;
        let tcp = socket.connect(to).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::IpAddress(to.ip().into());
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .handshake(TokioIo::new(tls))
            .await?;
        tokio::spawn(async move {
            // That it broke shows with the next request.
            drop(connection.await);
        });
        Ok(Self { sender, to, trust: String::new() })
    }

    /// From now on says what the agent goes by, as the agent does.
    pub(crate) fn tell_trust(&mut self, name: &str) {
        name.clone_into(&mut self.trust);
    }

    /// Sends one POST and reads the whole answer.
    ///
    /// # Errors
    /// If there is no whole answer in time.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request =
            Request::post(format!("https://{}{path}", self.to)).header("content-type", content_type);
        if !self.trust.is_empty() {
            request = request.header(TRUST_HEADER, &self.trust);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) => bail!("the answer is cut or too long: {error}"),
            }
        };
        timeout(REQUEST_TIMEOUT, exchange).await.context("no answer in time")?
    }
}
