//! Each detector on event sequences: what must fire, and what looks like it and must not.

mod build;
mod directory;
mod floods_and_logins;
mod lateral;
mod logins;
mod scans;
mod segments;
mod tunnels;
