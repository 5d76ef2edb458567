//! 証拠バンドル: what is stored of one incident, signed, as a file that `sekimori-collector verify` checks without us.

use std::io::{self, Write};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::page::{chain, error, failed};
use super::{Console, Visitor};
use crate::audit::Entry;
use crate::auth::role::Role;
use crate::clock::now;
use crate::evidence::{ExportError, incident};
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::store::StoreError;
use crate::store::view::IncidentView;

/// A larger one is for the command line, which writes to a disk and not to memory.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bundles that are made at a time: each may hold [`BYTES_MAX`].
static TURNS: Semaphore = Semaphore::const_new(2);

/// Memory with an end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether this person may take what the agents sent, word for word: who works on what is behind it, and who audits that.
pub(super) fn may_take(visitor: &Visitor, view: &IncidentView) -> bool {
    let at_hand = AtHand { severity: view.severity, level: None, days: None };
    let role = visitor.user.role;
    let works = grant(Part::Person(role), Permission::Record, at_hand) == Grant::May;
    (works || role == Role::Auditor) && visitor.user.scope.covers_whole(view.body.as_deref())
}

/// `GET /incidents/{id}/evidence`.
pub(super) async fn evidence(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let lang = visitor.lang;
    match allowed(&console, &visitor, &id).await {
        Ok(true) => {}
        Ok(false) => return error(lang, StatusCode::NOT_FOUND),
        Err(cause) => return failed(lang, &cause),
    }
    let Some(trust) = console.trust.as_ref().map(crate::fleet::trust::Present::get) else {
        return error(lang, StatusCode::SERVICE_UNAVAILABLE);
    };
    let Ok(_turn) = TURNS.acquire().await else { return error(lang, StatusCode::SERVICE_UNAVAILABLE) };
    let (at, user) = (now(), &visitor.user);
    let entry = Entry {
        at,
        actor: user.name.as_str().to_owned(),
        role: user.role.as_str().to_owned(),
        incident: id.clone(),
        action: "export:evidence".to_owned(),
        ..Entry::default()
    };
    if let Err(cause) = console.seen_by(user).audit_export(entry).await {
        return failed(lang, &cause);
    }
    let mut out = Bounded(Vec::new());
    match incident(console.everything(), &id, &trust.ack_key, at, &mut out).await {
        Ok(_lines) => {
            let name: String = id.chars().filter(|ch| ch.is_ascii_alphanumeric() || *ch == '-').collect();
            let name = format!("attachment; filename=\"{name}.evidence.jsonl\"");
            ([(CONTENT_TYPE, "application/jsonl".to_owned()), (CONTENT_DISPOSITION, name)], out.0)
                .into_response()
        }
        Err(ExportError::Write(cause)) if cause.kind() == io::ErrorKind::FileTooLarge => {
            error(lang, StatusCode::PAYLOAD_TOO_LARGE)
        }
        Err(ExportError::NoIncident(_)) => error(lang, StatusCode::NOT_FOUND),
        Err(ExportError::Store(cause)) => failed(lang, &cause),
        Err(cause @ ExportError::Write(_)) => {
            tracing::error!(error = %chain(&cause), "a bundle of evidence failed");
            error(lang, StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Of the incident and of all that is part of it.
async fn allowed(console: &Console, visitor: &Visitor, id: &str) -> Result<bool, StoreError> {
    let Some(view) = console.seen_by(&visitor.user).incident(id).await? else { return Ok(false) };
    let children = console.everything().children_of(id).await?;
    Ok(may_take(visitor, &view) && children.iter().all(|child| may_take(visitor, child)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends() {
        let mut out = Bounded(Vec::new());
        let piece = vec![0; BYTES_MAX / 2];
        assert!(out.write_all(&piece).is_ok() && out.write_all(&piece).is_ok());
        assert_eq!(out.write_all(b"x").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
