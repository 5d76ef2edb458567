//! `sekimori-collector`: the prefecture's side. See `cli` for what it does.
#![forbid(unsafe_code)]

mod api;
mod auth;
mod cli;
mod clock;
mod config;
mod console;
mod correlate;
mod fleet;
mod i18n;
mod incident;
mod ingest;
mod init;
mod server;
mod status;
mod store;
mod tls;
mod verify;

fn main() {}
