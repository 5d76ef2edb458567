//! Telling people and systems: what a notice says.

pub mod clean;
pub mod template;
