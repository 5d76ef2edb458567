//! Webhooks: one JSON object by POST, signed with HMAC-SHA256 over the time of sending and the body.
//!
//! ```text
//! Sekimori-Signature: t=1764000000,v1=<hex of HMAC-SHA256(secret, "1764000000" "." body)>
//! Sekimori-Delivery: <the same for every attempt of one notice>
//! ```
//! A receiver compares the signature, refuses old times, and keeps the deliveries it has seen. Redirections are not
//! followed; only the status counts, and the answer's body is not read.

use std::sync::Arc;

use aws_lc_rs::hmac;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sekimori_wire::time::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Failure, Letter};

/// Where a webhook goes.
#[derive(Clone)]
pub struct Hook {
    /// The name, for contacts.
    pub name: String,
    /// Where to.
    pub url: Uri,
    /// How; `None`: without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What signs.
    pub secret: Arc<[u8]>,
}

impl core::fmt::Debug for Hook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hook").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The value of `Sekimori-Signature`.
pub fn signature(secret: &[u8], at: Timestamp, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    let time = at.secs().to_string();
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body);
    let tag: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={tag}")
}

fn body(letter: &Letter) -> String {
    serde_json::json!({
        "delivery": letter.key,
        "kind": letter.kind,
        "incident": letter.incident,
        "severity": letter.level,
        "written_at": letter.at,
        "subject": letter.message.subject,
        "text": letter.message.body,
    })
    .to_string()
}

/// Sends one letter.
///
/// # Errors
/// The answer was not a success, or there was none.
pub async fn send(hook: &Hook, letter: &Letter, now: Timestamp) -> Result<(), Failure> {
    let (Some(host), Some(authority)) = (hook.url.host(), hook.url.authority()) else {
        return Err(Failure::lasting("the URL names no host"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = hook.url.port_u16().unwrap_or_else(|| if hook.tls.is_some() { 443 } else { 80 });
    let body = body(letter);
    let path = hook.url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, authority.as_str())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("sekimori/", env!("CARGO_PKG_VERSION")))
        .header("Sekimori-Signature", signature(&hook.secret, now, body.as_bytes()))
        .header("Sekimori-Delivery", sekimori_wire::id::Digest::of(letter.key.as_bytes()).to_string())
        .body(body)
        .map_err(Failure::lasting)?;
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|cause| Failure::passing(format!("connect: {cause}")))?;
    match &hook.tls {
        None => exchange(tcp, request).await,
        Some(config) => {
            let name = ServerName::try_from(host.to_owned()).map_err(Failure::lasting)?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
            let tls = connector
                .connect(name, tcp)
                .await
                .map_err(|cause| Failure::passing(format!("TLS: {cause}")))?;
            exchange(tls, request).await
        }
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<String>,
) -> Result<(), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|cause| Failure::passing(format!("HTTP: {cause}")))?;
    // Driven only until the head of the answer is there; dropped with the rest unread.
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        // The other side may answer and close at once: what came before the end counts.
        _ended = connection => answer.await,
    };
    let status = answer.map_err(|cause| Failure::passing(format!("HTTP: {cause}")))?.status();
    let detail = format!("HTTP status {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Failure::passing(detail)),
        _ => Err(Failure::lasting(detail)),
    }
}

#[cfg(test)]
mod tests;
