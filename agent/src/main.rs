//! stub
mod capture;
mod cli;
mod clock;
mod config;
mod endpoint;
mod health;
mod outbox;
mod privilege;
fn main() {}
