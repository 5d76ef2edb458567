//! x
pub mod auth;
fn main() {}
