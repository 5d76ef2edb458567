//! Sending what is in the spool until the collector has acknowledged it.
//!
//! ```text
//! spool ─oldest_unacked─► POST /v1/batches ─► Answer ─judge─► acknowledge, or wait (pace), or stop
//! ```
//! Only a verified [`Ack`](sekimori_wire::ack::Ack) of our own batch removes anything. That a handshake succeeded says
//! nothing about our certificate: with TLS 1.3 the collector's refusal comes with the first request.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sekimori_delivery::judge::{self, Fork, Judgement};
use sekimori_delivery::lanes::{Lanes, Waiting};
use sekimori_delivery::pace::{Backoff, Event, Pace};
use sekimori_delivery::spool::{Position, SpoolError};
use sekimori_wire::ack::{Answer, encode_submission};
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::Envelope;
use sekimori_wire::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_ENVELOPES_MAX};
use tokio::sync::watch;

use crate::clock;
use crate::identity::{Holder, Identity};
use crate::tls::{self, Connection, ConnectionError, Endpoint, UrlError};

mod skew;
mod stats;

use skew::Exchange;
pub(crate) use stats::Stats;

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

/// Ships until `stop` turns true (or its sender is gone). No `urls`: those of the enrolment.
///
/// # Errors
/// If it cannot begin; afterwards everything is either tried again or an [`Outcome`].
pub(crate) async fn run(
    holder: Arc<Holder>,
    lanes: Arc<Lanes>,
    urls: Vec<String>,
    stats: Arc<Stats>,
    stop: watch::Receiver<bool>,
) -> Result<Outcome, ShipError> {
    Shipper::new(holder, lanes, urls, stats, Pace::DEFAULT)?.run(stop).await
}

struct Shipper {
    holder: Arc<Holder>,
    /// What `config` and `endpoints` were made of.
    identity: Arc<Identity>,
    urls: Vec<String>,
    lanes: Arc<Lanes>,
    stats: Arc<Stats>,
    endpoints: Vec<Endpoint>,
    /// Which of them is tried next, or is connected.
    endpoint_idx: usize,
    config: Arc<ClientConfig>,
    connection: Option<Connection>,
    /// An answer has come over `connection`.
    proven: bool,
    backoff: Backoff,
}

/// What one attempt came to, where it did not end everything.
type Attempt = Result<Event, Outcome>;

impl Shipper {
    fn new(
        holder: Arc<Holder>,
        lanes: Arc<Lanes>,
        urls: Vec<String>,
        stats: Arc<Stats>,
        pace: Pace,
    ) -> Result<Self, ShipError> {
        let identity = holder.get();
        let endpoints = endpoints(&urls, &identity)?;
        let config = tls::client_config(&identity)?;
        for lane in Lane::ALL {
            stats.set_acked(lane, lanes.of_lane(lane).acked());
        }
        Ok(Self {
            holder,
            identity,
            urls,
            lanes,
            stats,
            endpoints,
            endpoint_idx: 0,
            config,
            connection: None,
            proven: false,
            backoff: Backoff::new(pace),
        })
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Outcome, ShipError> {
        let mut waiting = self.lanes.watch();
        loop {
            let attempt = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(Outcome::Stopped),
                attempt = self.attempt(&mut waiting) => attempt,
            };
            let event = match attempt {
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

    /// Waits for something to send, sends it, and acts on the answer.
    async fn attempt(&mut self, waiting: &mut watch::Receiver<Waiting>) -> Attempt {
        let next = waiting.wait_for(|waiting| waiting.next().is_some()).await.map(|waiting| waiting.next());
        let Ok(Some(lane)) = next else { return Err(Outcome::Stopped) };
        let lanes = Arc::clone(&self.lanes);
        let oldest = tokio::task::spawn_blocking(move || {
            let room = SUBMISSION_BYTES_MAX - SUBMISSION_OVERHEAD_BYTES;
            lanes.of_lane(lane).oldest_unacked(SUBMISSION_ENVELOPES_MAX, room)
        });
        let batches = match oldest.await {
            Ok(Ok(batches)) => batches,
            Ok(Err(error)) => return Err(Outcome::Spool(error)),
            // The runtime ends.
            Err(_cancelled) => return Err(Outcome::Stopped),
        };
        let Some(first) = batches.first().map(|(first, _)| *first) else { return Ok(Event::NoProgress) };
        let envelopes: Vec<Envelope> = batches.into_iter().map(|(_, envelope)| envelope).collect();
        let body = encode_submission(&envelopes);
        drop(envelopes);
        match self.submit(body).await {
            Ok((answer, exchange)) => self.act(answer, &exchange, lane, first).await,
            Err(error) => Ok(self.failed(&error)),
        }
    }

    /// Goes by what a renewal has brought: the next connection is made with it.
    fn follow_renewal(&mut self) {
        let present = self.holder.get();
        if Arc::ptr_eq(&present, &self.identity) {
            return;
        }
        // The renewal has tried both; without them the old connection, or the old way to make one, is better than none.
        match (tls::client_config(&present), endpoints(&self.urls, &present)) {
            (Ok(config), Ok(endpoints)) => {
                (self.config, self.endpoints, self.endpoint_idx) = (config, endpoints, 0);
                (self.connection, self.proven) = (None, false);
            }
            (Err(error), _) => tracing::error!(%error, "a renewed identity cannot be used for TLS"),
            (_, Err(error)) => tracing::error!(%error, "renewed collector addresses cannot be used"),
        }
        self.identity = present;
    }

    async fn submit(&mut self, body: Vec<u8>) -> Result<(Answer, Exchange), ConnectionError> {
        self.follow_renewal();
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none @ None => {
                let endpoint = self.endpoints.get(self.endpoint_idx).ok_or(ConnectionError::Answer)?;
                let mut opened = Connection::open(endpoint, Arc::clone(&self.config)).await?;
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
        let (status, body) = connection.post("/v1/batches", CONTENT_TYPE, body).await?;
        let exchange = Exchange { sent, received: clock::now(), took: began.elapsed() };
        if let Some(trust) = connection.trust_heard() {
            self.holder.heard(trust);
        }
        let answer = Answer::from_bytes(&body).map_err(|cause| {
            tracing::debug!(%status, error = &cause as &dyn std::error::Error, "not an answer");
            ConnectionError::Answer
        })?;
        self.proven = true;
        Ok((answer, exchange))
    }

    async fn act(&mut self, answer: Answer, exchange: &Exchange, lane: Lane, first: Position) -> Attempt {
        let ack = match answer {
            Answer::Ack(envelope) => {
                self.identity.collector_key(&envelope).map(|key| envelope.verify_ack(key))
            }
            Answer::Refused(refusal) => {
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
        self.stats.answered(exchange, &ack);
        let (agent, lanes, stats) = (self.identity.agent(), Arc::clone(&self.lanes), Arc::clone(&self.stats));
        let judged = tokio::task::spawn_blocking(move || {
            let spool = lanes.of_lane(lane);
            let judgement = judge::judge(&ack, (agent, lane), first, spool)?;
            if let Judgement::Advance(through) = judgement {
                // First what is told, then what whoever waits for an empty spool sees.
                stats.set_acked(lane, through);
                spool.acknowledge(through);
            }
            Ok(judgement)
        });
        match judged.await {
            Ok(Ok(Judgement::Advance(_))) => Ok(Event::Progress),
            Ok(Ok(Judgement::Nothing)) => Ok(Event::NoProgress),
            Ok(Ok(Judgement::NotOurs)) => {
                self.note("the acknowledgement is for another agent or chain");
                Ok(Event::Failed { more_endpoints: self.next_endpoint() })
            }
            Ok(Ok(Judgement::Forked(fork))) => {
                tracing::error!(%fork, "the collector has another history of this agent: shipping stops, everything is kept");
                self.note("forked");
                Err(Outcome::Forked(fork))
            }
            Ok(Err(error)) => Err(Outcome::Spool(error)),
            Err(_cancelled) => Err(Outcome::Stopped),
        }
    }

    fn failed(&mut self, error: &ConnectionError) -> Event {
        let first_request = self.connection.is_some() && !self.proven;
        let kind = match error {
            ConnectionError::Connect { .. } => stats::Failure::Unreachable,
            ConnectionError::Tls { .. } => stats::Failure::Tls,
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
        self.connection = None;
        self.proven = false;
        Event::Failed { more_endpoints: !reconnect && self.next_endpoint() }
    }

    fn note(&self, text: &str) {
        if self.stats.failed(stats::Failure::Answer, text) {
            tracing::warn!(reason = text, "cannot ship; everything stays in the spool and is tried again");
        }
    }

    /// Goes to the next address; false if that is the first again.
    fn next_endpoint(&mut self) -> bool {
        self.connection = None;
        self.endpoint_idx = (self.endpoint_idx + 1) % self.endpoints.len().max(1);
        self.endpoint_idx != 0
    }
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
