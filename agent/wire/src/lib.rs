//! What crosses the network between a Sekimori agent and its collector.
//!
//! ```text
//! Record ─► Batch (agent, epoch, seq, digest of the batch before) ─encode─► payload ─sign─► Envelope ─► HTTPS
//!                                                     Verified<Batch> ◄─verify─┘    ◄── Ack / Refusal ──┘
//! ```
//!
//! Layers, each uses only those above it: `limits`, `time`, `text`, `id`, `community`, `finding`, `exception`, `alert`, `record`,
//! `batch`, (`codec`, `envelope`, `ack`, `policy`: one layer, they carry each other), `bundle`, `intel_bundle`, `keyring`, `enroll`,
//! `renew`.
//!
//! Invariants: no IO, no clock, no threads, no chance; only [`Envelope::verify`](envelope::Envelope::verify) makes a
//! [`Verified`](envelope::Verified); a signature covers the exact bytes stored and sent, never a re-encoding; decoding
//! hostile bytes ends in a value or a named error within the bounds of [`limits`].
#![forbid(unsafe_code)]

pub mod ack;
pub mod alert;
pub mod batch;
pub mod bundle;
mod codec;
pub mod community;
pub mod enroll;
pub mod envelope;
pub mod exception;
pub mod finding;
pub mod id;
pub mod intel_bundle;
pub mod keyring;
pub mod limits;
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unreachable_pub,
    unnameable_types,
    reason = "generated from proto/sekimori.proto"
)]
#[rustfmt::skip]
mod pb;
pub mod policy;
pub mod record;
pub mod renew;
pub mod text;
pub mod time;

pub use codec::{DecodeError, fuzz as fuzz_codec};
