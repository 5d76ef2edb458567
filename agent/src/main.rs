//! sekimori-agent: captures on a gateway, detects, seals what it found into a signed chain, and ships it.
//!
//! ```text
//! capture ─Frame─► Sensor ─Record─► outbox ─► seal ─► spool ─► ship ─► collector        (run: live)
//! capture files ─► Sensor ─Record─► report, JSON lines, or the same way to the collector (replay)
//! ```
//!
//! Layers, each uses only those above it: `clock`, `disk`, `tls`, `identity`, `spool`, `seal`, `ship`, `capture`, `config`,
//! `privilege`, `endpoint`, `outbox`, `health`, `inspect`, `replay`, `run`, `doctor`, `cli`.

mod capture;
mod cli;
mod clock;
mod config;
mod disk;
mod doctor;
mod endpoint;
mod health;
mod identity;
mod inspect;
mod outbox;
mod privilege;
mod replay;
mod run;
mod seal;
mod ship;
mod spool;
mod tls;
