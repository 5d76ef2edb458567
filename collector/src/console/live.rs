//! `GET /events`: tells a page that something changed; the page then fetches itself again.
//!
//! One event carries only the number of the latest change. A stream ends by itself after a while, and the browser
//! comes back with its cookie: a session that is over stops getting events.

use core::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Console, Visitor, page};

/// Longest life of a stream.
const STREAM_MAX: Duration = Duration::from_secs(600);
/// Changes this close together are one event.
const SETTLE: Duration = Duration::from_millis(300);

/// `GET /events`.
pub(super) async fn events(State(console): State<Console>, visitor: Visitor) -> Response {
    let Ok(permit) = console.streams.try_acquire_owned() else {
        return page::error(visitor.lang, StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut changes = console.store.subscribe();
    changes.mark_changed();
    let ends = Instant::now() + STREAM_MAX;
    let events = stream::unfold((changes, permit), move |(mut changes, permit)| async move {
        // Neither a store that went away nor a stream that is old enough is an error: the browser asks again.
        timeout_at(ends, changes.changed()).await.ok()?.ok()?;
        sleep(SETTLE).await;
        let seq = *changes.borrow_and_update();
        let event = Event::default().event("change").data(seq.to_string()).retry(Duration::from_secs(3));
        Some((Ok::<_, Infallible>(event), (changes, permit)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(20))).into_response()
}
