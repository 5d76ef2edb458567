//! Fetches the policy: when an acknowledgement tells of a newer one, else every ten minutes. A connection of its own, so that a
//! bundle on a slow line holds no finding up.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use sekimori_delivery::disk::DiskError;
use sekimori_wire::DecodeError;
use sekimori_wire::envelope::{Envelope, VerifyError};
use sekimori_wire::id::Digest;
use sekimori_wire::policy::{IntelBundle, Policy};
use tokio::sync::{oneshot, watch};

use super::folder::Folder;
use super::{Arrived, PolicyError, Standing, Word, verified};
use crate::identity::Holder;
use crate::line::Line;
use crate::tls::{self, Connection, ConnectionError, Endpoint};

const ASK_EVERY: Duration = Duration::from_secs(600);
/// After a failure; doubled up to [`ASK_EVERY`].
const RETRY: Duration = Duration::from_secs(15);
/// An envelope with half a mebibyte of policy.
const POLICY_BYTES_MAX: usize = 1 << 20;
/// The largest bundle at 1 Mbit/s.
const BUNDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// Why nothing could be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no collector address is known")]
    NoUrl,
    #[error("TLS refuses this agent's identity")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the collector answers {0}")]
    Status(StatusCode),
    #[error("the answer is no envelope")]
    Form(#[from] DecodeError),
    #[error("the policy is refused")]
    Policy(#[from] PolicyError),
    #[error("bundle `{name}` is not what the policy names")]
    Bundle { name: String },
    #[error("cannot keep it")]
    Disk(#[from] DiskError),
    #[error("it could not be applied now")]
    Unsettled,
}

/// Who fetches, and for whom.
pub(crate) struct Fetcher {
    pub(crate) identity: Arc<Holder>,
    pub(crate) line: Line,
    pub(crate) folder: Folder,
    pub(crate) standing: Arc<Standing>,
    pub(crate) words: crossbeam_channel::Sender<Word>,
}

impl Fetcher {
    /// Fetches until `stop` turns true or its sender is gone. `told` is the newest version that an acknowledgement named.
    pub(crate) async fn run(self, mut told: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        let mut wait = ASK_EVERY;
        let mut asks_again = false;
        loop {
            let standing = &self.standing;
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                // After a failure it is no news.
                told = told.wait_for(|version| !asks_again && *version > standing.settled()) => {
                    if told.is_err() { return; }
                }
                () = tokio::time::sleep(wait) => {}
            }
            let fetched = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                fetched = self.fetch() => fetched,
            };
            match fetched {
                Ok(()) => (wait, asks_again) = (ASK_EVERY, false),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the collector's policy cannot be had"
                    );
                    if let FetchError::Policy(cause) = &error {
                        self.standing.say(format!("refused: {cause}"));
                    }
                    wait = if asks_again { (wait * 2).min(ASK_EVERY) } else { RETRY };
                    asks_again = true;
                }
            }
        }
    }

    /// Asks once, and waits until what came is settled.
    async fn fetch(&self) -> Result<(), FetchError> {
        let mut connection = self.connect().await?;
        let have = self.standing.settled();
        let (status, body) = connection
            .get(&format!("/v1/policy?have={have}"), POLICY_BYTES_MAX, tls::REQUEST_TIMEOUT)
            .await?;
        match status {
            StatusCode::NO_CONTENT => return Ok(()),
            StatusCode::OK => {}
            other => return Err(FetchError::Status(other)),
        }
        let envelope = Envelope::from_bytes(&body)?;
        let identity = self.identity.get();
        let key =
            *identity.collector_key(&envelope).ok_or(PolicyError::Signature(VerifyError::WrongSigner))?;
        let policy = verified(&envelope, &key, identity.agent(), have)?;
        self.bundles(&mut connection, &policy).await?;
        let (settled, done) = oneshot::channel();
        let word = Word::Policy(Box::new(Arrived { policy, envelope, key, settled }));
        self.words.try_send(word).map_err(|_full| FetchError::Unsettled)?;
        if done.await == Ok(true) { Ok(()) } else { Err(FetchError::Unsettled) }
    }

    async fn connect(&self) -> Result<Connection, FetchError> {
        let identity = self.identity.get();
        let config = tls::client_config(&identity, &self.line)?;
        let urls = if self.line.urls.is_empty() { &identity.ingest_urls } else { &self.line.urls };
        let mut failed = FetchError::NoUrl;
        for endpoint in urls.iter().filter_map(|url| Endpoint::parse(url).ok()) {
            match Connection::open(&endpoint, Arc::clone(&config), &self.line).await {
                Ok(connection) => return Ok(connection),
                Err(cause) => failed = cause.into(),
            }
        }
        Err(failed)
    }

    async fn bundles(&self, connection: &mut Connection, policy: &Policy) -> Result<(), FetchError> {
        for IntelBundle { name, digest, bytes, .. } in &policy.rules.intel {
            let (folder, digest) = (self.folder.clone(), *digest);
            let here = tokio::task::spawn_blocking(move || folder.has_bundle(digest)).await;
            if here.unwrap_or_default() {
                continue;
            }
            let most = usize::try_from(*bytes).unwrap_or(usize::MAX);
            let limit = BUNDLE_TIMEOUT.max(self.line.allowance(most));
            let (status, body) = connection.get(&format!("/v1/intel/{digest}"), most, limit).await?;
            if status != StatusCode::OK {
                return Err(FetchError::Status(status));
            }
            if Digest::of(&body) != digest {
                return Err(FetchError::Bundle { name: name.clone() });
            }
            let folder = self.folder.clone();
            let kept = tokio::task::spawn_blocking(move || folder.keep_bundle(digest, &body)).await;
            kept.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}
