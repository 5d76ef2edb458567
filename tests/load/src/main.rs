//! Load on a real collector.
//!
//! ```text
//! init, tokens ─► collectors (processes; PostgreSQL a server of its own) ◄─ enrolment of each agent ◄─ keys
//!   agents: what is due ─► sealed, chained ─► TLS 1.3, HTTP/2 ─► collector ─► acknowledgement, verified ─► figures
//!   store, read beside it: new finding ─► its incident ─► figures
//!   over: drained, stopped, and then the store against what was acknowledged (books), and, where something was made to fail,
//!   the timers that fired against those that were due (timers)
//! ```
//! Status 1 if a promise is broken. Times count from when something was due, not from when it was sent.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod agent;
mod books;
mod chance;
mod database;
mod figures;
mod fleet;
mod host;
mod incidents;
mod link;
mod options;
mod run;
mod shape;
mod timers;

use std::process::ExitCode;

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use options::{Kind, Options, USAGE};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match load(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn load(options: &Options) -> anyhow::Result<bool> {
    if options.store == Kind::Sqlite && options.replicas != 1 {
        anyhow::bail!("--replicas {}: a store in SQLite has one collector", options.replicas);
    }
    if options.store == Kind::Sqlite && options.restart_every.or(options.fail_over_after).is_some() {
        anyhow::bail!("--restart-every and --fail-over-after: a store in SQLite has no server");
    }
    // A connection of each agent here and there: what a service manager gives a service, the shell's default is less.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot open enough files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(options))
}
