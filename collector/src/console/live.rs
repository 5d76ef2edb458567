//! `GET /events`: tells a page that something changed; the page then fetches itself again.
//!
//! One event carries only the number of the latest change that this person can see. A stream ends by itself after a while, and the browser
//! comes back with its cookie: a session that is over stops getting events.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Console, Visitor, page};

/// Longest life of a stream.
pub(crate) const STREAM_MAX: Duration = Duration::from_secs(600);
/// Changes this close together are one event.
const SETTLE: Duration = Duration::from_millis(300);

/// `GET /events`.
pub(super) async fn events(State(console): State<Console>, visitor: Visitor) -> Response {
    let Ok(permit) = Arc::clone(&console.streams).try_acquire_owned() else {
        return page::error(visitor.lang, StatusCode::SERVICE_UNAVAILABLE);
    };
    let mut changes = console.changes();
    changes.mark_changed();
    let ends = Instant::now() + STREAM_MAX;
    let begin = (changes, None, permit);
    let events = stream::unfold(begin, move |(mut changes, told, permit)| {
        let (console, token) = (console.clone(), visitor.token.clone());
        async move {
            loop {
                settled(&mut changes, ends).await?;
                // Whose session has ended hears no more, and whose scope has changed hears by the new one.
                let session = console.follow(&token).await.ok()??;
                // What others hear of is not even an event.
                let number = console.seen_by(&session.user).change_number().await.ok()?;
                if told != Some(number) {
                    let event = Event::default().event("change").data(number.to_string());
                    let event = event.retry(Duration::from_secs(3));
                    return Some((Ok::<_, Infallible>(event), (changes, Some(number), permit)));
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(20))).into_response()
}

/// Waits until something has changed and a moment has passed; `None` at the end of the stream's life. Neither a store that
/// went away nor a stream that is old enough is an error: whoever listens asks again.
pub(crate) async fn settled(changes: &mut watch::Receiver<i64>, ends: Instant) -> Option<()> {
    timeout_at(ends, changes.changed()).await.ok()?.ok()?;
    sleep(SETTLE).await;
    changes.mark_unchanged();
    Some(())
}
