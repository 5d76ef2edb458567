//! The prefecture's side: what agents deliver is verified, stored, correlated, and worked on as incidents.
//!
//! ```text
//! tls: Peer ─► ingest: Envelope ─► Verified ─► continuity ─► ONE TRANSACTION { batch, findings, incident changes, counters } ─► Ack
//!                                                  store ─► console, JSON API, command line
//! ```
//! `sekimori-collector` is the program; the simulation of delivery drives the same ingest and store.
#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod beside;
pub mod carry;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod correlate;
pub mod doc;
pub mod evidence;
pub mod exceptions;
pub mod export;
pub mod fleet;
pub mod handover;
pub mod http;
pub mod i18n;
#[macro_use]
pub mod incident;
pub mod drill;
pub mod ingest;
pub mod init;
pub mod monthly;
pub mod notify;
pub mod observe;
pub mod query;
pub mod retain;
pub mod search;
pub mod server;
pub mod status;
pub mod store;
pub mod timing;
pub mod tls;
pub mod verify;
