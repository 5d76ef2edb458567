//! `GET /events`: incidents that open or change, as server-sent events, to whoever may see them.
//!
//! The id of an event says whose count it is and how far: whoever comes back with it as `Last-Event-ID` goes on behind it.
//! Where that is not possible (another scope, too long ago) the stream begins with `reset`: read everything again. A stream
//! ends by itself after ten minutes; before every event it is asked again who listens.

use core::convert::Infallible;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use sekimori_wire::id::Digest;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Caller;
use super::problem::ApiError;
use crate::auth::UserName;
use crate::auth::scope::Scope;
use crate::console::Console;
use crate::console::live::{STREAM_MAX, settled};
use crate::store::seen::{Heard, Place};

/// Listeners in all, and of one account.
const LISTENERS_MAX: usize = 128;
const LISTENERS_PER_ACCOUNT_MAX: usize = 16;
/// Changes that are sent to somebody who comes back; beyond it they read everything again.
const BACKLOG_MAX: i64 = 1_000;
/// Changes read at a time.
const ROWS: i64 = 100;
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who listens, by account.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<Mutex<BTreeMap<UserName, usize>>>);

impl Listeners {
    fn enter(&self, name: &UserName) -> Option<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(name).copied().unwrap_or_default();
        if all.values().sum::<usize>() >= LISTENERS_MAX || own >= LISTENERS_PER_ACCOUNT_MAX {
            return None;
        }
        all.insert(name.clone(), own + 1);
        Some(Seat { all: self.clone(), name: name.clone() })
    }
}

/// The place of one listener, free again when it is dropped.
#[derive(Debug)]
struct Seat {
    all: Listeners,
    name: UserName,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.get(&self.name).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            all.remove(&self.name);
        } else {
            all.insert(self.name.clone(), left);
        }
    }
}

struct Listener {
    console: Console,
    caller: Caller,
    changes: watch::Receiver<i64>,
    place: Place,
    waiting: VecDeque<Event>,
    ends: Instant,
    _seat: Seat,
}

/// Incidents that open or change, while one listens.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "incidents",
    params((
        "Last-Event-ID" = Option<String>, Header, max_length = 64,
        description = "The id of the last event that the caller has: the stream goes on behind it"
    )),
    responses((
        status = 200, content_type = "text/event-stream", body = String,
        description = "`ready` or `reset`, then `incident.created` and `incident.changed` with \
            `{\"incident\", \"kind\", \"at\"}`; a comment every 15 seconds. It ends after ten minutes: come back."
    ))
)]
pub(super) async fn events(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let seat = console.listeners().enter(&caller.user.name).ok_or(ApiError::TooManyListeners)?;
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default().to_owned());
    let mut changes = console.changes();
    let (place, first) = begin(&console, &caller, last.as_deref()).await?;
    changes.mark_changed();
    let ends = Instant::now() + STREAM_MAX;
    let waiting = VecDeque::from([first]);
    let listener = Listener { console, caller, changes, place, waiting, ends, _seat: seat };
    let events = stream::unfold(listener, |listener| async move {
        let (event, listener) = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// Where somebody goes on, and what they are told first.
async fn begin(console: &Console, caller: &Caller, last: Option<&str>) -> Result<(Place, Event), ApiError> {
    let seen = console.seen_by(&caller.user);
    let scope = &caller.user.scope;
    let end = seen.feed_end().await?;
    let Some(last) = last else { return Ok((end, said(scope, end, "ready"))) };
    let number = last.strip_prefix(&tag(scope)).and_then(|rest| rest.strip_prefix('-'));
    let number = number.and_then(|number| number.parse().ok()).filter(|n| end.number - n <= BACKLOG_MAX);
    let place = match number {
        Some(number) => seen.feed_place(number).await?,
        None => None,
    };
    Ok(match place {
        Some(place) => (place, said(scope, place, "ready")),
        None => (end, said(scope, end, "reset")),
    })
}

impl Listener {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            settled(&mut self.changes, self.ends).await?;
            let user = self.caller.still(&self.console).await?;
            // Their count is another one now: let them come back.
            if user.scope != self.caller.user.scope {
                return None;
            }
            let heard = self.console.seen_by(&user).feed_after(self.place, ROWS).await.ok()?;
            if let Some(last) = heard.last() {
                self.place = last.place;
                self.changes.mark_changed();
            }
            self.waiting.extend(heard.iter().map(|one| told(&user.scope, one)));
        }
    }
}

fn told(scope: &Scope, heard: &Heard) -> Event {
    let name = if heard.kind == "opened" { "incident.created" } else { "incident.changed" };
    let data = json!({ "incident": heard.incident, "kind": heard.kind, "at": heard.at });
    Event::default().id(id(scope, heard.place)).event(name).data(data.to_string())
}

fn said(scope: &Scope, place: Place, what: &str) -> Event {
    let event = Event::default().id(id(scope, place)).event(what).data("{}");
    event.retry(Duration::from_secs(3))
}

fn id(scope: &Scope, place: Place) -> String {
    format!("{}-{}", tag(scope), place.number)
}

/// Whose count it is.
fn tag(scope: &Scope) -> String {
    Digest::of(scope.to_text().as_bytes()).to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_bounded_and_seats_come_back() {
        let all = Listeners::default();
        let names: Vec<UserName> = (0..20).map(|n| format!("u{n}").as_str().into()).collect();
        let own: Vec<_> = (0..LISTENERS_PER_ACCOUNT_MAX).map(|_| all.enter(&names[0]).unwrap()).collect();
        assert!(all.enter(&names[0]).is_none());
        let others: Vec<_> = names.iter().skip(1).cycle().map_while(|name| all.enter(name)).collect();
        assert_eq!(own.len() + others.len(), LISTENERS_MAX);
        drop(own);
        assert!(all.enter(&names[0]).is_some());
        drop(others);
        assert!(all.0.lock().unwrap().is_empty());
    }
}
