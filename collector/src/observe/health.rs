//! Whether the collector can work: each thing that it needs, asked.

use std::path::Path;
use std::time::{Duration, Instant};

use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::measures::Measures;
use crate::clock;
use crate::config::Config;
use crate::fleet::error_chain;
use crate::store::{Place, Store};

/// A writer that was not ready for work for so long is stuck: what waits for a lock gives up sooner.
pub const STUCK: Duration = Duration::from_secs(120);
/// A writer that takes so long cannot take more.
const SLOW: Duration = Duration::from_secs(30);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What must still fit on the disk of the store.
const ROOM_BYTES: usize = 1024 * 1024;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Everything is well.
    pub ready: bool,
    /// Thing by thing.
    pub checks: Vec<Check>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which: `store`, `schema`, `writable`, `writer`, `certificates`, `disk`.
    pub name: &'static str,
    /// It is well.
    pub ok: bool,
    /// What is wrong, or empty.
    pub reason: String,
}

impl Check {
    fn of(name: &'static str, outcome: Result<(), String>) -> Self {
        match outcome {
            Ok(()) => Self { name, ok: true, reason: String::new() },
            Err(reason) => Self { name, ok: false, reason },
        }
    }
}

impl Health {
    fn of(checks: Vec<Check>) -> Self {
        Self { ready: checks.iter().all(|check| check.ok), checks }
    }

    /// Without the reasons: for those who have not said who they are.
    #[must_use]
    pub fn in_short(&self) -> Self {
        let checks = self.checks.iter().map(|check| Check { reason: String::new(), ..check.clone() });
        Self { ready: self.ready, checks: checks.collect() }
    }
}

/// Asks everything.
pub async fn probe(
    store: &Store,
    config: &Config,
    certificates: &[(&'static str, Timestamp)],
    measures: &Measures,
) -> Health {
    let reading = in_time(store.schema_known(&config.store())).await;
    // Who cannot read says nothing of the schema.
    let schema = match &reading {
        Ok(true) | Err(_) => Ok(()),
        Ok(false) => Err("a newer program has changed the store: run that one".to_owned()),
    };
    let rested = measures.writer_rested();
    let writer = if rested < SLOW { Ok(()) } else { Err(format!("busy for {} s", rested.as_secs())) };
    Health::of(vec![
        Check::of("store", reading.map(drop)),
        Check::of("schema", schema),
        Check::of("writable", in_time(store.writable()).await),
        Check::of("writer", writer),
        Check::of("certificates", good(certificates, clock::now())),
        Check::of("disk", room(config).await),
    ])
}

async fn in_time<T>(asked: impl Future<Output = Result<T, crate::store::StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|error| error_chain(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn good(certificates: &[(&'static str, Timestamp)], now: Timestamp) -> Result<(), String> {
    let over: Vec<String> = certificates
        .iter()
        .filter(|(_, until)| *until <= now)
        .map(|(what, until)| format!("{what} ended {until}"))
        .collect();
    if over.is_empty() { Ok(()) } else { Err(over.join(", ")) }
}

/// Of a store on this machine: whether something can still be written beside it.
async fn room(config: &Config) -> Result<(), String> {
    let Place::File(path) = config.store() else { return Ok(()) };
    let Some(dir) = path.parent().map(Path::to_owned) else { return Ok(()) };
    match tokio::task::spawn_blocking(move || fits(&dir)).await {
        Ok(fits) => fits,
        Err(_) => Err("cannot look".to_owned()),
    }
}

fn fits(dir: &Path) -> Result<(), String> {
    let probe = dir.join("room.probe");
    let begun = Instant::now();
    let written = std::fs::write(&probe, vec![0; ROOM_BYTES]);
    let removed = std::fs::remove_file(&probe);
    let failed = |error: std::io::Error| format!("cannot write beside the store: {error}");
    written.map_err(failed)?;
    removed.map_err(failed)?;
    let took = begun.elapsed();
    if took < PATIENCE { Ok(()) } else { Err(format!("the disk takes {} s for 1 MiB", took.as_secs())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_named() {
        let now = Timestamp::from_secs(1000);
        let own = [("ca", Timestamp::from_secs(2000)), ("server", Timestamp::from_secs(999))];
        assert_eq!(good(&own, now), Err("server ended 1970-01-01T00:16:39.000000000Z".to_owned()));
        assert_eq!(good(&own, Timestamp::from_secs(998)), Ok(()));
    }

    #[test]
    fn a_folder_that_takes_nothing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        fits(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let gone = dir.path().join("gone");
        assert!(fits(&gone).unwrap_err().starts_with("cannot write beside the store"));
    }

    #[tokio::test]
    async fn a_store_that_is_gone_is_told_and_strangers_are_told_less() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("collector.toml");
        let text = "[listen]\nhosts = [\"h\"]\ningest = \"127.0.0.1:0\"\nenroll = \"127.0.0.1:0\"\nconsole = \"127.0.0.1:0\"\n";
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let config = Config::load(&path).unwrap();
        let store = Store::create(config.store()).await.unwrap();
        let measures = Measures::default();
        let own = [("ca", clock::now().plus(STUCK))];
        let health = probe(&store, &config, &own, &measures).await;
        assert!(health.ready, "{health:?}");
        // Another program holds the store: what is to be written waits too long.
        let held = store.begin().await.unwrap();
        let health = probe(&store, &config, &own, &measures).await;
        let bad: Vec<_> = health.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
        assert_eq!(bad, ["writable"]);
        drop(held);
        store.close().await;
        let health = probe(&store, &config, &own, &measures).await;
        let bad: Vec<_> = health.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
        assert_eq!(bad, ["store", "writable"]);
        assert!(health.checks.iter().any(|check| !check.reason.is_empty()));
        assert!(
            !health.in_short().ready && health.in_short().checks.iter().all(|check| check.reason.is_empty())
        );
    }
}
