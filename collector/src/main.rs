//! `sekimori-collector`: the prefecture's side. See `cli` for what it does.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod correlate;
pub mod fleet;
pub mod i18n;
pub mod incident;
pub mod ingest;
pub mod init;
pub mod server;
pub mod status;
pub mod store;
pub mod tls;
pub mod verify;

fn main() {}
