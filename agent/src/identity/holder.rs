//! The identity of a running agent: one that renewals replace while others use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::Identity;

/// Held by everything that needs the identity of the moment.
#[derive(Debug)]
pub(crate) struct Holder {
    present: watch::Sender<Arc<Identity>>,
    /// What the collector says that it goes by; empty: it has not said.
    heard: Mutex<String>,
    hint: Notify,
    renewals: AtomicU64,
    failures: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Holder {
    /// With the identity that was loaded.
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            present: watch::Sender::new(Arc::new(identity)),
            heard: Mutex::default(),
            hint: Notify::new(),
            renewals: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// The identity of the moment.
    pub(crate) fn get(&self) -> Arc<Identity> {
        Arc::clone(&self.present.borrow())
    }

    /// The collector says that it goes by `trust`: another one than ours is a reason to renew.
    pub(crate) fn heard(&self, trust: &str) {
        trust.clone_into(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        if self.is_behind() {
            self.hint.notify_one();
        }
    }

    /// The collector goes by something that we do not know yet.
    pub(super) fn is_behind(&self) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        !heard.is_empty() && *heard != self.get().trust
    }

    /// Waits until the collector has said something new; it may be known by now.
    pub(super) async fn hinted(&self) {
        self.hint.notified().await;
    }

    pub(super) fn renewed(&self, identity: Identity) {
        self.present.send_replace(Arc::new(identity));
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.set_trouble(None);
    }

    /// Whether this is another reason than the last one.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.set_trouble(Some(why.to_owned())).as_deref() != Some(why)
    }

    fn set_trouble(&self, trouble: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner), trouble)
    }

    /// Why the certificate is not renewed; `None` while all is well.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By name, for a health record.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let identity = self.get();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("identity.renewals".to_owned(), load(&self.renewals)),
            ("identity.renewals_failed".to_owned(), load(&self.failures)),
            ("identity.key_epoch".to_owned(), identity.signer.keys.newest_from()),
            (
                "identity.certificate_expires_at".to_owned(),
                identity.expires_at().map_or(0, sekimori_wire::time::Timestamp::secs),
            ),
        ]
    }
}
