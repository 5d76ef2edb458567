//! `sekimori-collector`: the prefecture's side. See `cli` for what it does.
#![forbid(unsafe_code)]

mod api;
mod auth;
mod clock;
mod config;
mod console;
mod i18n;
mod incident;
mod server;
mod store;

fn main() {}
