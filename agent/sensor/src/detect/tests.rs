//! Each detector on event sequences: what must fire, and what looks like it and must not.

pub(super) mod build;
mod floods_and_logins;
mod scans;
mod segments;
mod tunnels;
