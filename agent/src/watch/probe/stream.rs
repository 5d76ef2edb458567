//! A connection in the clear or over TLS.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Failure, lasting, of_io};
use crate::watch::target::{FaultKind, Tls};

/// Either way.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Goes over to TLS. How long the certificate lasts is for the caller to ask at the end.
pub(super) async fn secure(stream: TcpStream, tls: &Tls) -> Result<Stream, Failure> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(tls.name.clone(), stream).await.map_err(|cause| of_tls(&cause))?;
    Ok(Stream::Tls(Box::new(stream)))
}

impl Stream {
    /// Whether its certificate lasts as long as wanted; without TLS there is none.
    pub(super) fn lasting(&self, tls: Option<&Tls>) -> Result<(), Failure> {
        match (self, tls) {
            (Self::Tls(stream), Some(tls)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                lasting(certificates.and_then(<[_]>::first), tls.days)
            }
            (Self::Plain(_), _) | (Self::Tls(_), None) => Ok(()),
        }
    }
}

fn of_tls(cause: &io::Error) -> Failure {
    let inner = cause.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(wrong)) => Failure::down(FaultKind::Certificate, words(wrong)),
        Some(other) => Failure::down(FaultKind::Broken, other),
        None => of_io(cause),
    }
}

/// What is wrong with a certificate, for people.
fn words(wrong: &CertificateError) -> String {
    use CertificateError as Wrong;
    let words = if matches!(wrong, Wrong::Expired | Wrong::ExpiredContext { .. }) {
        "it has expired"
    } else if matches!(wrong, Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) {
        "it is not valid yet"
    } else if matches!(wrong, Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) {
        "it is for another name"
    } else if matches!(wrong, Wrong::UnknownIssuer) {
        "nobody that is known has issued it"
    } else {
        return wrong.to_string();
    };
    words.to_owned()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
