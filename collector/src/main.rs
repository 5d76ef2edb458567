//! `sekimori-collector`: the prefecture's side. See `cli` for what it does.
#![forbid(unsafe_code)]

mod auth;
mod config;
mod incident;
mod server;
mod store;

fn main() {}
