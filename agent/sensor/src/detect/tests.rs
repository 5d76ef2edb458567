//! Each detector on event sequences: what must fire, and what looks like it and must not.

pub(super) mod build;
mod c2;
mod floods_and_logins;
mod recon;
mod scans;
mod segments;
mod tunnels;
mod volumes;
