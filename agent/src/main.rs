//! sekimori-agent: captures on a gateway, detects, seals what it found into a signed chain, and ships it.
//!
//! ```text
//! capture ─Frame─► Sensor ─Record─► outbox ─► seal ─► spool ─► ship ─► collector        (run: live)
//! capture files ─► Sensor ─Record─► report, JSON lines, or the same way to the collector (replay)
//! ```
//!
//! Layers, each uses only those above it: `clock`, `disk`, `tls`, `identity`, `spool`, `seal`, `ship`, `capture`, `exceptions`,
//! `intel`, `config`, `policy`, `privilege`, `endpoint`, `outbox`, `watch`, `health`, `inspect`, `replay`, `evaluate`, `run`, `doctor`,
//! `support`, `cli`.

mod baseline;
mod capture;
mod carry;
mod cli;
mod clock;
mod config;
mod device;
mod doctor;
mod endpoint;
mod evaluate;
mod exceptions;
mod health;
mod identity;
mod init;
mod inspect;
mod intel;
mod line;
mod outbox;
mod policy;
mod privilege;
mod replay;
mod run;
mod ship;
mod support;
mod tls;
mod watch;

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Command, EnrollArgs, SpoolCommand, TokenArg};
use line::Line;

/// Events own what they tell: their memory comes and goes with each. Measured (docs/performance.md): the system's allocator took
/// a fifth of the time of a replay.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(&cli.command, Command::Replay(args) if args.quiet);
    log_to_stderr(if quiet { "error" } else { "info" });
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // The chain once, whatever the log level.
            drop(writeln!(io::stderr(), "sekimori-agent: {error:#}"));
            if is_usage(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// `SEKIMORI_LOG` overrides, in the syntax of `tracing_subscriber::EnvFilter`.
fn log_to_stderr(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEKIMORI_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Enroll(args) => enroll(&args)?,
        Command::RotateKey(state) => identity::ask_for_rotation(&state.state)?,
        Command::Init(args) => print(&init::init(&args)?)?,
        Command::Run(config) => run::run(&config.config)?,
        Command::Replay(args) => match replay::replay(&args) {
            Err(error) if error.is_closed_pipe() => {}
            replayed => replayed?,
        },
        Command::Evaluate(args) => evaluate::evaluate(&args)?,
        Command::Check(config) => {
            let config = config::Config::load(&config.config)?;
            config.require_interface()?;
            intel::load(&config.intel)?;
            let tables_mib = config.limits.worst_case_bytes() >> 20;
            tracing::info!(
                tables_mib,
                "the configuration is sound; each interface's tables take so much when all are full"
            );
        }
        Command::Doctor { config, look, json } => {
            let report = doctor::doctor(config.as_deref(), Duration::from_secs(look));
            print(&if json { report.json() } else { report.text() })?;
            return Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::SupportBundle(args) => print(&support::bundle(&args)?)?,
        Command::Interfaces => print(&inspect::interfaces())?,
        Command::Status { config, json } => {
            let (shown, stale) = inspect::status(&config.config, json)?;
            print(&shown)?;
            stale.map_or(Ok(()), Err)?;
        }
        Command::Spool(SpoolCommand::Inspect { state, json }) => {
            print(&inspect::spool_inspect(&state.state, json)?)?;
        }
        Command::Intel(command) => print(&intel::command::run(&command)?)?,
        Command::Exceptions(command) => print(&exceptions::run(&command)?)?,
        Command::Spool(SpoolCommand::Verify(state)) => print(&inspect::spool_verify(&state.state)?)?,
        Command::Spool(SpoolCommand::Export { state, output }) => {
            print(&carry::export(&state.state, &output)?)?;
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sekimori-agent", &mut io::stdout());
        }
        Command::Manual { output } => {
            clap_mangen::generate_to(Cli::command(), &output)
                .with_context(|| format!("{}: cannot write the manual", output.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn enroll(args: &EnrollArgs) -> anyhow::Result<()> {
    let token = token(&args.token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = args.name.as_deref().unwrap_or_default();
    let proxy = args.proxy.clone().map(|proxy| proxy.with_credentials(args.proxy_credentials.clone()));
    let line = Line { proxy, require_post_quantum: args.require_post_quantum, ..Line::direct() };
    let enrolling = identity::enroll(&args.state.state, token.trim(), (name, args.again), &line);
    let identity = runtime.block_on(enrolling)?;
    print(&format!("{}\n", identity.agent()))
}

fn token(arg: &TokenArg) -> anyhow::Result<String> {
    /// Far longer than any token.
    const TOKEN_BYTES_MAX: u64 = 64 * 1024;
    let mut text = String::new();
    match (&arg.token, &arg.token_file) {
        (Some(token), _) => return Ok(token.clone()),
        (None, Some(path)) if path == Path::new("-") => {
            io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text).context("cannot read the token")?;
        }
        (None, Some(path)) => {
            let doing = || format!("{}: cannot read the token", path.display());
            let file = std::fs::File::open(path).with_context(doing)?;
            file.take(TOKEN_BYTES_MAX).read_to_string(&mut text).with_context(doing)?;
        }
        (None, None) => anyhow::bail!("a token is needed"),
    }
    Ok(text)
}

/// The command line or the configuration is at fault, and not the world.
fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<config::ConfigError>() || cause.is::<intel::IntelError>())
        || error
            .downcast_ref::<intel::command::CommandError>()
            .is_some_and(intel::command::CommandError::is_usage)
        || error.is::<exceptions::ExceptionsError>()
        || error.downcast_ref::<init::InitError>().is_some_and(init::InitError::is_usage)
        || error.downcast_ref::<replay::ReplayError>().is_some_and(replay::ReplayError::is_usage)
        || error.downcast_ref::<evaluate::EvaluateError>().is_some_and(evaluate::EvaluateError::is_usage)
}

/// Results go to standard output; that nobody reads them any more is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
