//! x
mod disk;
mod identity;
mod seal;
mod ship;
mod spool;
mod tls;
fn main() {}
