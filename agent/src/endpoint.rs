//! Intake of what endpoint products (EDR, antivirus, firewall) report: listeners and followed files, one for each source of
//! the configuration, and the thread that reads their lines.
//!
//! ```text
//! listen (tokio): UDP, TCP, TLS ─┐ Queue (bounded in lines and bytes)      bounded
//! follow: files                  ┴──────────────────────────► reading ─────────────► seal ─► spool
//!                     ▲                                          └─ Marks ◄─────────────┘
//!                     └── state/endpoint-positions.json, only past what is sealed
//! ```
//! TCP and files wait where the queue is full; datagrams cannot, and are counted. Everything that is not taken has a counter
//! of its source in the health record.

mod charset;
mod follow;
mod framing;
mod listen;
pub(crate) mod mappings;
mod marks;
mod queue;
mod reading;
mod repeat;
pub(crate) mod source;
mod tls;

use core::net::SocketAddr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub(crate) use marks::Marks;
pub(crate) use reading::{Place, Reading};
pub(crate) use source::{Source, Tally, Where};

use listen::Listener;
use queue::Queue;

/// What the sources have seen, for the health record.
#[derive(Debug)]
pub(crate) struct Intake {
    tallies: Vec<Arc<Tally>>,
    pub(crate) marks: Arc<Marks>,
}

impl Intake {
    /// Names and values for the health record.
    pub(crate) fn counters(&self) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for tally in &self.tallies {
            tally.count(&mut out);
        }
        out
    }
}

/// A source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("{key} = \"{address}\": cannot listen there")]
    Bind {
        key: String,
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("source \"{name}\" of endpoint.source: {file}: {rule}")]
    Tls { name: String, file: String, rule: String },
}

/// Bound sockets that nobody reads yet, so that privileges for low ports and for keys can be given up in between.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    listeners: Vec<Listener>,
    sources: Vec<Arc<Source>>,
}

/// What runs once everything is bound.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) intake: Arc<Intake>,
    pub(crate) reading: Reading,
    follower: follow::Follower,
}

impl Bound {
    /// Binds what is configured.
    pub(crate) fn bind(sources: &[Arc<Source>]) -> Result<Self, ListenError> {
        let mut listeners = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            if let Some(listener) = Listener::bind(at, source)? {
                listeners.push(listener);
            }
        }
        Ok(Self { listeners, sources: sources.to_vec() })
    }

    /// Begins to receive, on the runtime that this is called on.
    pub(crate) fn start(self, state: &Path) -> io::Result<Started> {
        let (queue, lines) = Queue::new();
        let tallies: Vec<Arc<Tally>> = self
            .sources
            .iter()
            .map(|source| Arc::new(Tally::new(&source.name, source.quiet_after)))
            .collect();
        let marks = Arc::new(Marks::open(state));
        for listener in self.listeners {
            if let Some(tally) = tallies.get(listener.at()) {
                listener.start(queue.clone(), Arc::clone(tally))?;
            }
        }
        let follower = follow::Follower::new(&self.sources, &tallies, queue, &marks);
        let intake = Arc::new(Intake { tallies: tallies.clone(), marks: Arc::clone(&marks) });
        let reading = Reading::new(lines, self.sources, tallies, marks);
        Ok(Started { intake, reading, follower })
    }
}

impl Started {
    /// Splits into what the threads need.
    pub(crate) fn split(self) -> (Arc<Intake>, Reading, impl FnOnce(Arc<AtomicBool>) + Send + 'static) {
        let Self { intake, reading, follower } = self;
        (intake, reading, move |stop: Arc<AtomicBool>| follower.run(&stop))
    }
}

#[cfg(test)]
mod tests;
