//! What the collector tells those who watch it: measures (Prometheus), health, and which collectors run on the store.
//!
//! ```text
//! listeners, ingest, writer ─► Measures (atomics, this process) ─┐
//! store ─► Snapshot (read at most every few seconds) ────────────┼─► GET /metrics
//! /proc/self ────────────────────────────────────────────────────┘
//! Probe (store, schema, writer, certificates, disk) ─► GET /readyz, systemd's watchdog
//! ```
//! Labels have few values, known beforehand: never an address, an agent or a body.

pub mod health;
pub mod heartbeat;
pub mod measures;
mod process;
mod render;
pub mod routes;
pub mod snapshot;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::config::Config;
use crate::fleet::trust::Present;
use crate::store::Store;
use crate::store::StoreError;
use health::Health;
use measures::Measures;
use snapshot::Snapshot;

/// How long what was read of the store is given again: whoever asks more often costs nothing.
const FRESH: Duration = Duration::from_secs(5);

/// Knows how the collector is; cheap to clone.
#[derive(Clone, Debug)]
pub struct Observer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    config: Arc<Config>,
    trust: Present,
    measures: Arc<Measures>,
    snapshot: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    health: Mutex<Option<(Instant, Arc<Health>)>>,
}

impl Observer {
    /// Of a collector that is about to serve.
    pub fn new(store: Store, config: Arc<Config>, trust: Present, measures: Arc<Measures>) -> Self {
        let inner =
            Inner { store, config, trust, measures, snapshot: Mutex::default(), health: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// What this process counted.
    pub fn measures(&self) -> &Measures {
        &self.inner.measures
    }

    /// Everything, as Prometheus reads it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn metrics(&self) -> Result<String, StoreError> {
        let snapshot = self.snapshot().await?;
        Ok(render::text(&self.inner.measures, &snapshot))
    }

    async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        // Who comes meanwhile waits for the one that reads.
        let mut kept = self.inner.snapshot.lock().await;
        if let Some((at, snapshot)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(snapshot));
        }
        let own = self.inner.trust.get().own.clone();
        let snapshot = Arc::new(snapshot::read(&self.inner.store, &self.inner.config, own).await?);
        *kept = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Whether it can work, and what keeps it from that.
    pub async fn health(&self) -> Arc<Health> {
        let mut kept = self.inner.health.lock().await;
        if let Some((at, health)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Arc::clone(health);
        }
        let own = self.inner.trust.get().own.clone();
        let probed = health::probe(&self.inner.store, &self.inner.config, &own, &self.inner.measures).await;
        let health = Arc::new(probed);
        *kept = Some((Instant::now(), Arc::clone(&health)));
        health
    }

    /// Whether it lives: its runtime answers, and its writer is not stuck.
    pub fn is_live(&self) -> bool {
        self.inner.measures.writer_rested() < health::STUCK
    }
}
