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
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use rustls::ClientConfig;
use sekimori_wire::time::Timestamp;

use super::{Failure, Letter};
use crate::http;

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
    let authority = hook.url.authority().ok_or_else(|| Failure::lasting("the URL names no host"))?;
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
    let sent = http::send(&hook.url, hook.tls.as_ref(), request, 0).await;
    let (status, _unread) =
        sent.map_err(|cause| if cause.lasts() { Failure::lasting(cause) } else { Failure::passing(cause) })?;
    let detail = format!("HTTP status {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Failure::passing(detail)),
        _ => Err(Failure::lasting(detail)),
    }
}

#[cfg(test)]
mod tests;
