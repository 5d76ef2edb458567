//! Frames and time in, events and findings out.
//!
//! ```text
//! Frame ─► decode ─► Packet ─► flow ─► proto ─► Event ─► detect ─► Finding ─┐
//!            └ Skip, counted     └ FlowRecord ──────┴──► summarize ─► Summary ┴─► Record
//! ```
//!
//! Layers, each uses only those above it: `limits`, `counters`, `clock`, `bounded`, `domain`, `frame`, `event`, `decode`, `proto`,
//! `flow`, `observe`, `segment`, `intel`, `alert`, `hosts`, `baseline`, `detect`, `summarize`, `sensor`.
//!
//! Invariants: no IO, no clock, no threads, no chance but the seed; nothing here fails on a frame: what cannot be read
//! is counted by reason; every collection has a bound in [`limits`]; the same frames and configuration give the same
//! records, byte for byte.
#![forbid(unsafe_code)]

pub mod alert;
pub mod baseline;
pub mod bounded;
mod clock;
pub mod counters;
pub mod decode;
pub mod detect;
pub mod domain;
pub mod event;
mod flow;
pub mod frame;
pub mod hosts;
pub mod intel;
pub mod limits;
pub mod observe;
pub mod proto;
pub mod segment;
pub mod sensor;
pub mod summarize;
