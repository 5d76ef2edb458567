//! One GET of a page: status, redirect, words, hash, certificate.

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sekimori_wire::id::Digest;

use super::stream::{self, Stream};
use super::{Failure, connect};
use crate::watch::target::{FaultKind, Http, Target};

/// Of a page, no more is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Of its head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const AGENT: &str = concat!("sekimori-agent/", env!("CARGO_PKG_VERSION"), " (service watch)");

/// Asks for the page.
pub(super) async fn ask(target: &Target, http: &Http) -> Result<(), Failure> {
    let stream = connect(target).await?;
    let stream = match &http.tls {
        Some(tls) => stream::secure(stream, tls).await?,
        None => Stream::Plain(stream),
    };
    let is_lasting = stream.lasting(http.tls.as_ref());
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(|cause| broken(&cause))?;
    let request = Request::get(&*http.path)
        .header(HOST, &*http.authority)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|cause| Failure::Unable(format!("no request for this URL: {cause}")))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|cause| broken(&cause))?;
        judge(response, http).await
    };
    tokio::pin!(exchange, connection);
    let judged = tokio::select! {
        biased;
        judged = &mut exchange => judged,
        ended = &mut connection => match ended {
            // All was sent and read: what is left is to judge it.
            Ok(()) => exchange.await,
            Err(cause) => Err(broken(&cause)),
        },
    };
    // A page that is wrong matters more than a certificate that ends soon.
    judged.and(is_lasting)
}

async fn judge(response: Response<Incoming>, http: &Http) -> Result<(), Failure> {
    let status = response.status().as_u16();
    if status != http.status {
        return Err(Failure::down(FaultKind::Status, format_args!("{status} in place of {}", http.status)));
    }
    if let Some(expected) = &http.redirect {
        let place = response.headers().get(LOCATION).map_or(&[][..], |place| place.as_bytes());
        if place != expected.as_bytes() {
            let place = String::from_utf8_lossy(place);
            return Err(Failure::down(FaultKind::Redirect, format_args!("to `{place}`")));
        }
    }
    if http.contains.is_none() && http.sha256.is_none() {
        return Ok(());
    }
    let too_large = || Failure::down(FaultKind::TooLarge, format_args!("more than {BODY_BYTES_MAX} bytes"));
    // What it says itself need not be read first.
    if response.body().size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = match Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(cause) if cause.is::<LengthLimitError>() => {
            return Err(too_large());
        }
        Err(cause) => return Err(Failure::down(FaultKind::Broken, cause)),
    };
    if let Some(words) = &http.contains
        && !body.windows(words.len()).any(|part| part == words.as_bytes())
    {
        return Err(Failure::down(FaultKind::Content, format_args!("`{words}` is not in it")));
    }
    let digest = Digest::of(&body);
    match http.sha256 {
        Some(expected) if expected != digest => {
            Err(Failure::down(FaultKind::Changed, format_args!("its SHA-256 is {digest}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn broken(cause: &hyper::Error) -> Failure {
    let source = std::error::Error::source(cause);
    match source.and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(cause) => super::of_io(cause),
        None => Failure::down(FaultKind::Broken, cause),
    }
}
