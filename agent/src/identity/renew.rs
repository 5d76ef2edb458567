//! Renewal: a new TLS key and a certificate for it by two thirds of the old one's life, and whatever of the collector's CAs, keys and
//! addresses has changed; another signing key when somebody asks for one. The running agent does it; nothing stops meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use rcgen::{CertificateParams, DnType, KeyPair};
use sekimori_delivery::disk::{self, DiskError};
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::pace::{Backoff, Event, Pace};
use sekimori_wire::batch::Lane;
use sekimori_wire::enroll::EnrollRefusal;
use sekimori_wire::envelope::{KeyError, SigningKey};
use sekimori_wire::keyring::{SUCCESSOR_LABEL, voucher, voucher_of};
use sekimori_wire::renew::{RENEW_LABEL, RenewRequest, RenewResponse, Rotation};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use tokio::sync::watch;

use super::files::{Files, Key, NEXT_KEY, ROTATE};
use super::{Holder, Identity, IdentityError, folder, read};
use crate::clock;
use crate::line::Line;
use crate::tls::{self, Connection, ConnectionError, Endpoint, UrlError};

/// How often it is looked whether somebody asks for another key, and whether it is time.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A renewal has a month; those that failed together must not come back together.
const PACE: Pace = Pace {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(900),
    refused: Duration::from_secs(900),
    asked_max: Duration::from_secs(900),
};

/// Keeps the certificate of a running agent fresh until `stop` turns true (or its sender is gone).
pub(crate) async fn keep_fresh(
    holder: Arc<Holder>,
    lanes: Arc<Lanes>,
    (state, line): (PathBuf, Line),
    mut stop: watch::Receiver<bool>,
) {
    let dir = folder(&state);
    let renewer = Renewer { holder, lanes, dir, line };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => (),
        () = renewer.run(PACE) => (),
    }
}

/// Asks the agent that uses this state folder, running or at its next start, for another signing key.
///
/// # Errors
/// If there is no identity, or the folder cannot be written.
pub(crate) fn ask_for_rotation(state: &Path) -> Result<(), IdentityError> {
    Identity::load(state)?;
    // No more than a mark: the key itself is made by the agent, under its own user.
    let path = folder(state).join(ROTATE);
    Ok(disk::create(&path).and_then(|file| disk::sync(&file, &path))?)
}

struct Renewer {
    holder: Arc<Holder>,
    lanes: Arc<Lanes>,
    dir: PathBuf,
    line: Line,
}

impl Renewer {
    async fn run(&self, pace: Pace) {
        if let Err(error) = Files::settle(&self.dir) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a renewal is not put in its places yet"
            );
        }
        let mut backoff = Backoff::new(pace);
        let mut wanted = false;
        loop {
            let wait = if wanted {
                backoff.after(Event::Failed { more_endpoints: false }, crate::ship::jitter())
            } else {
                due_in(&self.holder.get(), clock::now()).min(LOOK_EVERY)
            };
            tokio::select! {
                () = self.holder.hinted(), if !wanted => wanted = self.holder.is_behind(),
                () = tokio::time::sleep(wait) => (),
            }
            let rotate = self.dir.join(ROTATE).exists();
            wanted |= rotate || due_in(&self.holder.get(), clock::now()).is_zero();
            if !wanted {
                continue;
            }
            match self.renew(rotate).await {
                Ok(identity) => {
                    tracing::info!(
                        until = identity.expires_at().map(tracing::field::display),
                        key_from_epoch = identity.signer.keys.newest_from(),
                        "renewed: certificate, and what is trusted"
                    );
                    self.holder.renewed(identity);
                    if let Err(error) = Files::settle(&self.dir) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "it counts; its files follow at the next start"
                        );
                    }
                    (wanted, backoff) = (false, Backoff::new(pace));
                }
                Err(error) => self.say(&error),
            }
        }
    }

    fn say(&self, error: &RenewError) {
        let expired = self.holder.get().expires_at().filter(|at| *at <= clock::now());
        let cause = crate::ship::chain(error);
        let why = match expired {
            Some(at) => format!(
                "this agent's certificate expired at {at} and cannot renew itself any more ({cause}): stop the agent, enrol it again with `sekimori-agent enroll --again` and a new token, start it"
            ),
            None => cause,
        };
        if self.holder.failed(&why) {
            tracing::error!(reason = why, "the certificate is not renewed; tried again");
        }
    }

    /// One attempt over all addresses. The new identity is durable when this returns it.
    async fn renew(&self, rotate: bool) -> Result<Identity, RenewError> {
        let identity = self.holder.get();
        let mut files = Files::read(&self.dir)?;
        let tls_key = KeyPair::generate().map_err(|cause| RenewError::Request { cause })?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, identity.agent().to_string());
        let csr_pem = params
            .serialize_request(&tls_key)
            .and_then(|request| request.pem())
            .map_err(|cause| RenewError::Request { cause })?;
        let rotation = if rotate { Some(self.rotation(&identity, &mut files)?) } else { None };
        let possession = identity.signer.key.sign_labelled(RENEW_LABEL, csr_pem.as_bytes());
        let possession = URL_SAFE_NO_PAD.encode(possession);
        let request = RenewRequest { csr_pem, possession, rotation };
        let response = self.exchange(&identity, &request).await?;
        let [collector_key, ..] = response.collector_keys.as_slice() else {
            return Err(RenewError::Answer { what: "no acknowledgement key" });
        };
        files.tls_key = tls_key.serialize_pem();
        files.certificate = response.certificate_pem;
        files.ca = response.ca_pem;
        files.enrolment.collector_key.clone_from(collector_key);
        files.enrolment.collector_keys = response.collector_keys;
        files.enrolment.ingest_urls = response.ingest_urls;
        files.enrolment.trust = response.trust;
        files.enrolment.certified_at = clock::now().secs();
        files.enrolment.life_seconds = response.life_seconds;
        // Nothing is given up for something that cannot be used.
        let renewed = Identity::of(&files, &self.dir)?;
        tls::client_config(&renewed, &self.line).map_err(|cause| RenewError::Tls { cause })?;
        files.commit(&self.dir)?;
        Ok(renewed)
    }

    /// Another signing key, from an epoch on that nobody has begun. Asked for again after a lost answer, it is the same key.
    fn rotation(&self, identity: &Identity, files: &mut Files) -> Result<Rotation, RenewError> {
        let path = self.dir.join(NEXT_KEY);
        let (key, pkcs8) = if path.exists() {
            let pkcs8 = read(&path)?;
            (SigningKey::from_pkcs8(&pkcs8)?, pkcs8)
        } else {
            let (key, pkcs8) = SigningKey::generate()?;
            disk::write_atomic(&path, &pkcs8)?;
            (key, pkcs8)
        };
        let signer = &identity.signer;
        let begun = Lane::ALL.iter().map(|lane| self.lanes.of_lane(*lane).head().at.epoch);
        let from_epoch = begun.fold(signer.epoch, u64::max) + 1;
        let public = key.verifying_key();
        let voucher = URL_SAFE_NO_PAD.encode(voucher(&signer.key, signer.agent, public, from_epoch));
        let text = voucher_of(signer.agent, public, from_epoch);
        let encoded = URL_SAFE_NO_PAD.encode(public.as_bytes());
        let enrolment = &mut files.enrolment;
        if enrolment.keys.is_empty() {
            let first = URL_SAFE_NO_PAD.encode(signer.key.verifying_key().as_bytes());
            enrolment.keys.push(Key { key: first, from_epoch: 0, voucher: String::new() });
            enrolment.user_key = Some(
                sekimori_wire::id::Digest::from_bytes(&identity.user_key)
                    .map_or_else(String::new, |key| key.to_string()),
            );
        }
        enrolment.keys.push(Key { key: encoded.clone(), from_epoch, voucher: voucher.clone() });
        enrolment.epoch = from_epoch;
        files.signing_key = URL_SAFE_NO_PAD.encode(pkcs8);
        Ok(Rotation {
            signing_key: encoded,
            from_epoch,
            voucher,
            possession: URL_SAFE_NO_PAD.encode(key.sign_labelled(SUCCESSOR_LABEL, &text)),
        })
    }

    async fn exchange(
        &self,
        identity: &Identity,
        request: &RenewRequest,
    ) -> Result<RenewResponse, RenewError> {
        let urls = if self.line.urls.is_empty() { &identity.ingest_urls } else { &self.line.urls };
        let config = tls::client_config(identity, &self.line).map_err(|cause| RenewError::Tls { cause })?;
        let body = serde_json::to_vec(request).unwrap_or_default();
        let mut last = RenewError::Answer { what: "nothing: no collector address is known" };
        for url in urls {
            let endpoint = Endpoint::parse(url)?;
            let asked = async {
                let mut connection = Connection::open(&endpoint, Arc::clone(&config), &self.line).await?;
                connection.post("/v1/renew", "application/json", body.clone()).await
            };
            match asked.await {
                Ok((StatusCode::OK, body)) => {
                    return serde_json::from_slice(&body)
                        .map_err(|_cause| RenewError::Answer { what: "no renewal" });
                }
                Ok((status, body)) => {
                    let reason = serde_json::from_slice::<EnrollRefusal>(&body).map_or_else(
                        |_cause| BoundedText::new("(it gave no reason)"),
                        |refusal| BoundedText::from(refusal.error),
                    );
                    return Err(RenewError::Refused { status: status.as_u16(), reason });
                }
                Err(cause) => last = RenewError::Connection { url: url.clone(), cause },
            }
        }
        Err(last)
    }
}

/// How long until a certificate is to be renewed: between six tenths and two thirds of its life, by who it is for, so that
/// agents that enrolled together do not all come together.
fn due_in(identity: &Identity, now: Timestamp) -> Duration {
    if identity.life.is_zero() {
        return Duration::ZERO;
    }
    let chance = identity.agent().as_bytes().first().map_or(0, |byte| u32::from(*byte));
    let share = 600 + chance * 66 / 255;
    let due = identity.certified_at.plus(identity.life / 1000 * share);
    due.since(now)
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    /// The identity on the disk.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No key could be made or read.
    #[error("another signing key cannot be used")]
    Key(#[from] KeyError),
    /// No request could be made.
    #[error("cannot make a certificate request")]
    Request {
        /// Why.
        #[source]
        cause: rcgen::Error,
    },
    /// Not an address.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nobody there, or not trusted.
    #[error("no renewal from {url}")]
    Connection {
        /// Who was asked last.
        url: String,
        /// Why not.
        #[source]
        cause: ConnectionError,
    },
    /// The collector said no.
    #[error("the collector refused the renewal ({status}): {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        reason: BoundedText<256>,
    },
    /// The collector said something else.
    #[error("the collector's answer holds {what}")]
    Answer {
        /// What is wrong with it.
        what: &'static str,
    },
    /// What came back cannot be used.
    #[error("TLS refuses the identity")]
    Tls {
        /// Why.
        #[source]
        cause: rustls::Error,
    },
}

#[cfg(test)]
mod tests;
