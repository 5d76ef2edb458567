//! Sending what is in the spool until the collector has acknowledged it: several submissions at once over one connection.
//!
//! ```text
//! spool ─ what is not under way ─► POST /v1/batches ─► … ─► Answer, in the order of sending ─judge─► acknowledge
//!                                                             └─ anything else: the others are heard, wait (pace), begin anew
//! ```
//! Only a verified [`Ack`] of our own batch removes anything. That a handshake succeeded says
//! nothing about our certificate: with TLS 1.3 the collector's refusal comes with the first request.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sekimori_delivery::flight::{Flight, Next, Sent};
use sekimori_delivery::judge::{self, Fork, Judgement};
use sekimori_delivery::lanes::{Lanes, Waiting};
use sekimori_delivery::pace::{Backoff, Event, Pace};
use sekimori_delivery::spool::SpoolError;
use sekimori_wire::ack::{Ack, Answer, encode_submission};
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::{Envelope, Verified};
use sekimori_wire::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_ENVELOPES_MAX};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::clock;
use crate::identity::{Holder, Identity};
use crate::line::Line;
use crate::tls::{self, Connection, ConnectionError, Endpoint, Reply, UrlError};

mod backlog;
mod skew;
mod stats;

use backlog::Backlog;
use skew::Exchange;
pub(crate) use stats::Stats;

/// Under way at once while the budget holds: three seconds of 64 KiB in ten, or one batch.
const BUDGETED_BYTES: usize = 16 * 1024;
/// Room for what the submission adds around its envelopes.
const SUBMISSION_OVERHEAD_BYTES: usize = 16 * 1024;
const CONTENT_TYPE: &str = "application/vnd.sekimori.submission.v1+protobuf";

/// Why shipping ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was told to.
    Stopped,
    /// The collector's history of this agent is not ours. Nothing is deleted; a person must look.
    Forked(Fork),
    /// The spool cannot be read; opening it again may repair that.
    Spool(SpoolError),
}

/// Why shipping cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShipError {
    /// Neither enrolment nor configuration names a collector.
    #[error("no collector address is known")]
    NoUrl,
    /// Not an address.
    #[error("a collector address cannot be used")]
    Url(#[from] UrlError),
    /// Our certificates cannot be used.
    #[error("TLS refuses this agent's identity")]
    Tls(#[from] rustls::Error),
}

/// Ships until `stop` turns true (or its sender is gone).
///
/// # Errors
/// If it cannot begin; afterwards everything is either tried again or an [`Outcome`].
pub(crate) async fn run(
    holder: Arc<Holder>,
    lanes: Arc<Lanes>,
    line: Line,
    stats: Arc<Stats>,
    stop: watch::Receiver<bool>,
) -> Result<Outcome, ShipError> {
    Shipper::new(holder, lanes, line, stats, Pace::DEFAULT)?.run(stop).await
}

struct Shipper {
    holder: Arc<Holder>,
    /// What `config` and `endpoints` were made of.
    identity: Arc<Identity>,
    line: Line,
    lanes: Arc<Lanes>,
    stats: Arc<Stats>,
    endpoints: Vec<Endpoint>,
    /// Which of them is tried next, or is connected.
    endpoint_idx: usize,
    config: Arc<ClientConfig>,
    connection: Option<Connection>,
    /// An answer has come over `connection`.
    proven: bool,
    flight: Flight,
    /// Who waits for the answers to what is under way, in the same order.
    listeners: VecDeque<Listener>,
    backoff: Backoff,
    backlog: Backlog,
}

/// What one round came to, where it did not end everything.
type Attempt = Result<Event, Outcome>;

type Heard = Result<(Answer, Exchange, Option<String>), ConnectionError>;

/// Waits for one answer; nobody does any more when it is dropped.
struct Listener(JoinHandle<Heard>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shipper {
    fn new(
        holder: Arc<Holder>,
        lanes: Arc<Lanes>,
        line: Line,
        stats: Arc<Stats>,
        pace: Pace,
    ) -> Result<Self, ShipError> {
        let identity = holder.get();
        let endpoints = endpoints(&line.urls, &identity)?;
        let config = tls::client_config(&identity, &line)?;
        for lane in Lane::ALL {
            stats.set_acked(lane, lanes.of_lane(lane).acked());
        }
        let flight = Flight::new(line.in_flight);
        let backlog = Backlog::of(&lanes);
        line.lift_budget(backlog.is_any());
        Ok(Self {
            holder,
            identity,
            line,
            lanes,
            stats,
            endpoints,
            endpoint_idx: 0,
            config,
            connection: None,
            proven: false,
            flight,
            listeners: VecDeque::new(),
            backoff: Backoff::new(pace),
            backlog,
        })
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Outcome, ShipError> {
        let mut waiting = self.lanes.watch();
        loop {
            let round = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(Outcome::Stopped),
                round = self.round(&mut waiting) => round,
            };
            let event = match round {
                Ok(event) => event,
                Err(outcome) => return Ok(outcome),
            };
            let wait = self.backoff.after(event, jitter());
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(Outcome::Stopped),
                () = tokio::time::sleep(wait) => (),
            }
        }
    }

    /// Sends what is to be sent and acts on the answers, until something is not as hoped and nothing is under way any more.
    async fn round(&mut self, waiting: &mut watch::Receiver<Waiting>) -> Attempt {
        let mut disappointed: Option<Event> = None;
        let mut advanced = false;
        loop {
            self.follow_renewal();
            self.follow_backlog();
            let now = *waiting.borrow_and_update();
            if disappointed.is_none()
                && let Some(next) = self.next(now)
                && self.holder_is_followed()
            {
                match self.send(next).await? {
                    Launch::Sent => continue,
                    // There is something, but it has to wait for what is under way.
                    Launch::Held if !self.flight.is_empty() => {}
                    Launch::Held => return Ok(Event::NoProgress),
                    Launch::Failed(event) => return Ok(event),
                }
            }
            let Some(listener) = self.listeners.front_mut() else {
                match disappointed {
                    // It went on as far as it could, so there is no reason to wait before going on from there.
                    Some(Event::NoProgress) if advanced => return Ok(Event::Progress),
                    Some(event) => return Ok(event),
                    None if waiting.changed().await.is_ok() => continue,
                    None => return Err(Outcome::Stopped),
                }
            };
            let answer = tokio::select! {
                biased;
                answer = &mut listener.0 => answer,
                changed = waiting.changed(), if disappointed.is_none() => match changed {
                    Ok(()) => continue,
                    Err(_gone) => return Err(Outcome::Stopped),
                },
            };
            match self.hear(answer).await? {
                Event::Progress => {
                    advanced = true;
                    self.backoff.after(Event::Progress, 0);
                }
                Event::Failed { more_endpoints } => return Ok(Event::Failed { more_endpoints }),
                event @ (Event::NoProgress | Event::Busy { .. } | Event::Refused { .. }) => {
                    disappointed.get_or_insert(event);
                }
            }
        }
    }

    /// Nothing was renewed that the connection does not know of: what is under way must be heard over the old one first.
    fn holder_is_followed(&self) -> bool {
        Arc::ptr_eq(&self.holder.get(), &self.identity)
    }

    /// Lets the budget hold again once the backlog is delivered and nothing of it is under way.
    fn follow_backlog(&mut self) {
        if self.backlog.is_any() && self.backlog.is_delivered(&self.lanes) && self.flight.is_empty() {
            self.backlog.clear();
            self.line.lift_budget(false);
        }
    }

    /// What goes next: nothing new behind a backlog that is delivered but for its last answers, and within a budget so little
    /// at once that a finding need not wait for long.
    fn next(&self, waiting: Waiting) -> Option<Next> {
        if self.backlog.is_any() && self.backlog.is_delivered(&self.lanes) && !self.flight.is_empty() {
            return None;
        }
        let next = self.flight.next(waiting)?;
        if !self.line.is_budgeted() {
            return Some(next);
        }
        let room = BUDGETED_BYTES.saturating_sub(self.flight.bytes());
        (room > 0).then_some(Next { bytes: next.bytes.min(room), ..next })
    }

    /// Reads from the spool and sends.
    async fn send(&mut self, next: Next) -> Result<Launch, Outcome> {
        let Next { lane, after, bytes } = next;
        let lanes = Arc::clone(&self.lanes);
        let read = tokio::task::spawn_blocking(move || {
            let spool = lanes.of_lane(lane);
            let room = bytes.min(SUBMISSION_BYTES_MAX - SUBMISSION_OVERHEAD_BYTES);
            // Before reading: what is acknowledged meanwhile is no more than that.
            let acked = spool.acked();
            let batches = spool.unacked_after(after.unwrap_or_default(), SUBMISSION_ENVELOPES_MAX, room)?;
            Ok((acked, batches))
        });
        let (acked, batches) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(Outcome::Spool(error)),
            // The runtime ends.
            Err(_cancelled) => return Err(Outcome::Stopped),
        };
        let Some(((first, _), (last, _))) = batches.first().zip(batches.last()) else {
            return Ok(Launch::Held);
        };
        let (first, last) = (*first, *last);
        if !self.flight.may_follow(lane, first) {
            return Ok(Launch::Held);
        }
        let envelopes: Vec<Envelope> = batches.into_iter().map(|(_, envelope)| envelope).collect();
        let body = encode_submission(&envelopes);
        drop(envelopes);
        let sent = Sent { lane, first, last, acked, bytes: body.len() };
        match self.submit(body).await {
            Ok(listener) => {
                self.flight.push(sent);
                self.listeners.push_back(listener);
                Ok(Launch::Sent)
            }
            Err(error) => Ok(Launch::Failed(self.failed(&error))),
        }
    }

    /// Goes by what a renewal has brought: the next connection is made with it.
    fn follow_renewal(&mut self) {
        let present = self.holder.get();
        if Arc::ptr_eq(&present, &self.identity) || !self.flight.is_empty() {
            return;
        }
        // The renewal has tried both; without them the old connection, or the old way to make one, is better than none.
        match (tls::client_config(&present, &self.line), endpoints(&self.line.urls, &present)) {
            (Ok(config), Ok(endpoints)) => {
                (self.config, self.endpoints, self.endpoint_idx) = (config, endpoints, 0);
                (self.connection, self.proven) = (None, false);
            }
            (Err(error), _) => tracing::error!(%error, "a renewed identity cannot be used for TLS"),
            (_, Err(error)) => tracing::error!(%error, "renewed collector addresses cannot be used"),
        }
        self.identity = present;
    }

    /// Begins a request; who waits for its answer.
    async fn submit(&mut self, body: Vec<u8>) -> Result<Listener, ConnectionError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none @ None => {
                let endpoint = self.endpoints.get(self.endpoint_idx).ok_or(ConnectionError::Answer)?;
                let mut opened = Connection::open(endpoint, Arc::clone(&self.config), &self.line).await?;
                opened.tell_trust(&self.identity.trust);
                let negotiated = opened.negotiated();
                self.stats.connected(negotiated);
                self.proven = false;
                tracing::info!(collector = %endpoint, group = ?negotiated.group, version = ?negotiated.version, "connected");
                none.insert(opened)
            }
        };
        self.stats.submitted();
        let (sent, began) = (clock::now(), Instant::now());
        let limit = tls::REQUEST_TIMEOUT + self.line.allowance_up(self.flight.bytes() + body.len());
        let reply = connection.begin_post("/v1/batches", CONTENT_TYPE, body, limit).await?;
        Ok(Listener(tokio::spawn(async move {
            let Reply { status, body, trust, date: _ } = reply.await?;
            let exchange = Exchange { sent, received: clock::now(), took: began.elapsed() };
            let answer = Answer::from_bytes(&body).map_err(|cause| {
                tracing::debug!(%status, error = &cause as &dyn std::error::Error, "not an answer");
                ConnectionError::Answer
            })?;
            Ok((answer, exchange, trust))
        })))
    }

    /// Acts on the answer to the first of what is under way.
    async fn hear(&mut self, answer: Result<Heard, JoinError>) -> Attempt {
        self.listeners.pop_front();
        let (Some(sent), Ok(heard)) = (self.flight.front().copied(), answer) else {
            return Err(Outcome::Stopped);
        };
        let (answer, exchange, trust) = match heard {
            Ok(heard) => heard,
            Err(error) => return Ok(self.failed(&error)),
        };
        if let Some(trust) = trust {
            self.holder.heard(&trust);
        }
        self.proven = true;
        let ack = match answer {
            Answer::Ack(envelope) => {
                self.identity.collector_key(&envelope).map(|key| envelope.verify_ack(key))
            }
            Answer::Refused(refusal) => {
                self.backlog.away(Instant::now());
                self.flight.answered(exchange.took, false);
                let is_news = self.stats.refused(&refusal);
                if is_news {
                    tracing::warn!(kind = %refusal.kind, seq = refusal.seq, detail = %refusal.detail, "the collector refuses");
                }
                let asked = Duration::from_secs(refusal.retry_after_seconds.into());
                return Ok(if refusal.kind.may_retry() {
                    Event::Busy { asked }
                } else {
                    Event::Refused { asked }
                });
            }
        };
        let Some(Ok(ack)) = ack else {
            self.note("the acknowledgement is not signed by this agent's collector");
            return Ok(Event::Failed { more_endpoints: self.next_endpoint() });
        };
        self.stats.answered(&exchange, &ack);
        if self.backlog.back(Instant::now(), &self.lanes) {
            self.line.lift_budget(true);
        }
        let judgement = self.judge(ack, sent).await?;
        let is_all = matches!(judgement, Judgement::Advance(through) if through >= sent.last);
        let was_there = self.lanes.of_lane(sent.lane).acked() >= sent.last;
        self.flight.answered(exchange.took, is_all || was_there);
        self.settle(&judgement, is_all || was_there)
    }

    async fn judge(&self, ack: Verified<Ack>, sent: Sent) -> Result<Judgement, Outcome> {
        let (agent, lanes, stats) = (self.identity.agent(), Arc::clone(&self.lanes), Arc::clone(&self.stats));
        let judged = tokio::task::spawn_blocking(move || {
            let spool = lanes.of_lane(sent.lane);
            let judgement = judge::judge(&ack, (agent, sent.lane), (sent.first, sent.acked), spool)?;
            if let Judgement::Advance(through) = judgement {
                // First what is told, then what whoever waits for an empty spool sees.
                stats.set_acked(sent.lane, through);
                spool.acknowledge(through);
            }
            Ok(judgement)
        });
        match judged.await {
            Ok(Ok(judgement)) => Ok(judgement),
            Ok(Err(error)) => Err(Outcome::Spool(error)),
            Err(_cancelled) => Err(Outcome::Stopped),
        }
    }

    /// `is_all`: everything of that submission is acknowledged by now.
    fn settle(&mut self, judgement: &Judgement, is_all: bool) -> Attempt {
        match judgement {
            Judgement::Advance(_) => Ok(Event::Progress),
            Judgement::Nothing if is_all => Ok(Event::Progress),
            Judgement::Nothing => Ok(Event::NoProgress),
            Judgement::NotOurs => {
                self.note("the acknowledgement is for another agent or chain");
                Ok(Event::Failed { more_endpoints: self.next_endpoint() })
            }
            Judgement::Forked(fork) => {
                tracing::error!(%fork, "the collector has another history of this agent: shipping stops, everything is kept");
                self.note("forked");
                Err(Outcome::Forked(*fork))
            }
        }
    }

    fn failed(&mut self, error: &ConnectionError) -> Event {
        self.backlog.away(Instant::now());
        let first_request = self.connection.is_some() && !self.proven;
        let kind = match error {
            ConnectionError::Connect { .. } | ConnectionError::Proxy { .. } => stats::Failure::Unreachable,
            ConnectionError::Tls { .. } | ConnectionError::NotPostQuantum { .. } => stats::Failure::Tls,
            // Most likely our certificate was refused: expired, revoked, or of another CA.
            ConnectionError::Request { .. } if first_request => stats::Failure::Tls,
            ConnectionError::Request { .. } | ConnectionError::Timeout => stats::Failure::Broken,
            ConnectionError::Answer => stats::Failure::Answer,
        };
        let text = if first_request && matches!(kind, stats::Failure::Tls) {
            format!(
                "{} at the first request: the collector may refuse this agent's certificate",
                chain(error)
            )
        } else {
            chain(error)
        };
        if self.stats.failed(kind, &text) {
            let collector = self.endpoints.get(self.endpoint_idx).map(ToString::to_string);
            tracing::warn!(
                collector,
                reason = text,
                "cannot ship; everything stays in the spool and is tried again"
            );
        }
        // A proven connection that broke is opened again at the same address first.
        let reconnect = self.proven && matches!(kind, stats::Failure::Broken);
        self.hang_up();
        Event::Failed { more_endpoints: !reconnect && self.next_endpoint() }
    }

    fn note(&self, text: &str) {
        if self.stats.failed(stats::Failure::Answer, text) {
            tracing::warn!(reason = text, "cannot ship; everything stays in the spool and is tried again");
        }
    }

    /// Gives up the connection and whatever is under way over it.
    fn hang_up(&mut self) {
        self.connection = None;
        self.proven = false;
        self.listeners.clear();
        self.flight.broken();
    }

    /// Goes to the next address; false if that is the first again.
    fn next_endpoint(&mut self) -> bool {
        self.hang_up();
        self.endpoint_idx = (self.endpoint_idx + 1) % self.endpoints.len().max(1);
        self.endpoint_idx != 0
    }
}

/// What became of something to send.
enum Launch {
    Sent,
    /// It cannot go now.
    Held,
    Failed(Event),
}

/// The configured addresses, or those of the identity.
fn endpoints(urls: &[String], identity: &Identity) -> Result<Vec<Endpoint>, ShipError> {
    let urls = if urls.is_empty() { &identity.ingest_urls } else { urls };
    let endpoints = urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() { Err(ShipError::NoUrl) } else { Ok(endpoints) }
}

/// An error with all its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let shown = error.to_string();
        if !text.ends_with(&shown) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        // An `io::Error` shows the error inside it as its own text and skips it as a source.
        cause = error.source().or_else(|| {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            inner.and_then(std::error::Error::source)
        });
    }
    text
}

/// Agents that lost the same collector must not come back in step.
pub(crate) fn jitter() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => u32::MAX / 2,
    }
}

#[cfg(test)]
mod tests;
