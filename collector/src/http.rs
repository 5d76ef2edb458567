//! One request to a server outside, for webhooks and identity providers: HTTP/1.1, with or without TLS, no redirection
//! followed, the answer bounded. How long it may take is for the caller to say.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Sends a request to the server that `url` names, and reads at most so many bytes of its answer; 0: none of it.
///
/// # Errors
/// Nobody is there, it is not who it should be, or its answer is none, or too long.
pub async fn send(
    url: &Uri,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<String>,
    most: usize,
) -> Result<(StatusCode, Vec<u8>), SendError> {
    let host = url.host().ok_or(SendError::NoHost)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or_else(|| if tls.is_some() { 443 } else { 80 });
    let tcp = TcpStream::connect((host, port)).await.map_err(|cause| SendError::Connect { cause })?;
    match tls {
        None => exchange(tcp, request, most).await,
        Some(config) => {
            let name = ServerName::try_from(host.to_owned()).map_err(|cause| SendError::Name { cause })?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
            let tls = connector.connect(name, tcp).await.map_err(|cause| SendError::Tls { cause })?;
            exchange(tls, request, most).await
        }
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<String>,
    most: usize,
) -> Result<(StatusCode, Vec<u8>), SendError> {
    let failed = |cause| SendError::Http { cause };
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    // Driven only until as much of the answer is there as is wanted; dropped with the rest unread.
    let answer = async { read(sender.send_request(request).await.map_err(failed)?, most).await };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The other side may answer and close at once: what came before the end counts.
        _ended = connection => answer.await,
    }
}

async fn read(
    answer: Response<hyper::body::Incoming>,
    most: usize,
) -> Result<(StatusCode, Vec<u8>), SendError> {
    let status = answer.status();
    if most == 0 {
        return Ok((status, Vec::new()));
    }
    let body = to_bytes(Body::new(answer.into_body()), most);
    let body = body.await.map_err(|cause| SendError::Body { most, cause })?;
    Ok((status, body.to_vec()))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The address of nobody.
    #[error("the URL names no host")]
    NoHost,
    /// A host that no certificate can name.
    #[error("the URL names no host that TLS can check: {cause}")]
    Name {
        /// Why.
        cause: rustls::pki_types::InvalidDnsNameError,
    },
    /// Nobody is there.
    #[error("connect: {cause}")]
    Connect {
        /// Why.
        cause: std::io::Error,
    },
    /// It is not who it should be, or speaks another TLS.
    #[error("TLS: {cause}")]
    Tls {
        /// Why.
        cause: std::io::Error,
    },
    /// It speaks no HTTP.
    #[error("HTTP: {cause}")]
    Http {
        /// Why.
        cause: hyper::Error,
    },
    /// The body.
    #[error("HTTP: the answer broke off, or has more than {most} bytes: {cause}")]
    Body {
        /// What would have been taken.
        most: usize,
        /// Why.
        cause: axum::Error,
    },
}

impl SendError {
    /// Whether it would be the same another time.
    pub const fn lasts(&self) -> bool {
        matches!(self, Self::NoHost | Self::Name { .. })
    }
}
