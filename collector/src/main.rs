//! `sekimori-collector`: the prefecture's side. `cli` says what it does; here it is done.
//!
//! Exit status: 0 good, 1 failed, 2 wrong usage or configuration. Results on standard output, logs on standard error.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use sekimori_wire::envelope::SigningKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use sekimori_collector::beside::{open, read_only};
use sekimori_collector::cli::{AgentCommand, AuditCommand, Cli, Command, Export, Init, Verify};
use sekimori_collector::config::{Config, ConfigError};
use sekimori_collector::drill::scenario::ScenarioError;
use sekimori_collector::evidence::{Checked, Sealed};
use sekimori_collector::exceptions::InForce;
use sekimori_collector::exceptions::file::FileError;
use sekimori_collector::fleet::authority::{self, Paths};
use sekimori_collector::fleet::policy::PolicyError;
use sekimori_collector::fleet::policy::file::PolicyFileError;
use sekimori_collector::server::Server;
use sekimori_collector::store::writer::Committer;
use sekimori_collector::{carry, clock, evidence, fleet, init, verify};
use sekimori_wire::text::BoundedText;

mod ca;
mod drill_command;
mod export_files;
mod find;
mod handover_file;
mod keep;
mod log;
mod notices_command;
mod report_file;
mod status_page;
mod user;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::start();
    let outcome = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli.command)));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            let misused = error.is::<ConfigError>()
                || error.is::<FileError>()
                || error.is::<PolicyFileError>()
                || error.is::<PolicyError>()
                || error.is::<ScenarioError>()
                || error.is::<Usage>();
            ExitCode::from(if misused { 2 } else { 1 })
        }
    }
}

/// Wrong usage that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sekimori-collector", &mut std::io::stdout());
        }
        Command::Manual { output } => {
            clap_mangen::generate_to(Cli::command(), &output)
                .with_context(|| format!("{}: cannot write the manual", output.display()))?;
        }
        Command::Init(args) => initialise(args).await?,
        Command::Run(args) => serve(&args.config).await?,
        Command::Agent(command) => return agent(command).await,
        Command::Ca(command) => return ca::run(command).await,
        Command::User(command) => user::run(command).await?,
        Command::Token(command) => user::token(command).await?,
        Command::Exceptions(command) => {
            print(sekimori_collector::exceptions::command::run(&command).await?.trim_end())?;
        }
        Command::Policy(command) => {
            print(fleet::policy::command::run(&command).await?.trim_end())?;
        }
        Command::Status(args) => return status_page::run(args).await,
        Command::Verify(args) => return verify(args).await,
        Command::Audit(AuditCommand::Verify(args)) => return audit(&args.config).await,
        Command::Search(args) => find::run(&args).await?,
        Command::Backup(args) => keep::backup(args).await?,
        Command::Restore(args) => keep::restore(args).await?,
        Command::Migrate { config, to } => keep::migrate(&config, &to).await?,
        Command::Import { config, file } => Box::pin(import(&config, &file)).await?,
        Command::Notices(command) => notices_command::run(command).await?,
        Command::Handover(args) => handover_file::run(args).await?,
        Command::Report(args) => report_file::run(args).await?,
        Command::Drill(command) => drill_command::run(&command).await?,
        Command::OpenApi => print(&format!("{:#}", sekimori_collector::api::document()))?,
        Command::Evidence(args) => {
            let (store, key, now) = (read_only(&args.config).await?, ack_key(&args.config)?, clock::now());
            exported(&args.config, "export:evidence", &args.incident).await?;
            let mut file = BundleFile::create(args.output)?;
            let lines = evidence::incident(&store, &args.incident, &key, now, &mut file.file).await?;
            file.keep(lines)?;
        }
        Command::Export(Export { incidents: Some(command), .. }) => {
            export_files::run(command).await?;
        }
        Command::Export(args) => {
            let (Some(config), Some(output)) = (args.config, args.output) else {
                return Err(Usage("--config and --output are needed".to_owned()).into());
            };
            let (store, key, now) = (read_only(&config).await?, ack_key(&config)?, clock::now());
            let agent = args.agent.map(|agent| agent.to_string());
            exported(&config, "export:batches", "").await?;
            let mut file = BundleFile::create(output)?;
            let lines = evidence::store(&store, agent.as_deref(), &key, now, &mut file.file).await?;
            file.keep(lines)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Somebody on the command line takes something out: written down before it is.
async fn exported(config: &Path, action: &str, incident: &str) -> anyhow::Result<()> {
    let (_config, store) = open(config).await?;
    let entry = sekimori_collector::audit::Entry {
        at: clock::now(),
        actor: "command line".to_owned(),
        role: "admin".to_owned(),
        incident: incident.to_owned(),
        action: action.to_owned(),
        ..Default::default()
    };
    Ok(store.audit(entry).await?)
}

async fn audit(config: &Path) -> anyhow::Result<ExitCode> {
    let audited = read_only(config).await?.verify_audit().await?;
    match audited.broken {
        None => {
            let after = match audited.after {
                0 => String::new(),
                after => format!(" after line {after}, before which retention removed them"),
            };
            print(&format!("{} lines{after}: whole and in order; head {}", audited.lines, audited.head))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(broken) => {
            print(&format!("{broken}; {} lines before it are good", audited.lines))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn verify(args: Verify) -> anyhow::Result<ExitCode> {
    let bad = match (args.config, args.bundle) {
        (Some(config), _) => {
            let report = verify::store(&read_only(&config).await?).await?;
            if report.bad.is_none() {
                print(&format!("{} batches: whole, in order, signed", report.batches))?;
            }
            report.bad
        }
        (None, Some(path)) => {
            let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            match evidence::check(BufReader::new(file)) {
                Ok(found) => {
                    print(&told(&found))?;
                    None
                }
                Err(bad) => Some(bad.to_string()),
            }
        }
        (None, None) => return Err(Usage("name a configuration or a bundle".to_owned()).into()),
    };
    let Some(bad) = bad else { return Ok(ExitCode::SUCCESS) };
    print(&bad)?;
    Ok(ExitCode::FAILURE)
}

/// What a good bundle holds.
fn told(found: &Checked) -> String {
    let batches = format!("{} batches of {} agents: whole, in order, signed", found.batches, found.agents);
    match &found.sealed {
        Sealed::Not => batches,
        Sealed::Agent(agent) => format!("{batches}; taken from its spool by agent {agent}"),
        Sealed::Collector(key) => format!(
            "{batches}; {} findings are in their batches; {} chains complete\n\
             sealed by the collector's key {key}: compare it with the one that you know",
            found.findings, found.chains,
        ),
    }
}

/// Takes in what was carried here.
async fn import(config: &Path, file: &Path) -> anyhow::Result<()> {
    let (config, store) = open(config).await?;
    let exceptions = InForce::load(&config.exceptions, config.agents_own)?;
    let committer = Committer::new(store.clone(), config.correlation, exceptions);
    let imported = carry::import(&store, &committer, file).await;
    store.close().await;
    let imported = imported?;
    let agent = imported.agent.map(|agent| agent.to_string()).unwrap_or_default();
    print(&format!(
        "{} batches of agent {agent}: {} stored, {} were here already",
        imported.batches, imported.stored, imported.known
    ))?;
    for (lane, head) in imported.heads {
        print(&format!("{lane}: through {}/{}", head.epoch, head.through))?;
    }
    Ok(())
}

/// The key that signs acknowledgements seals bundles too.
fn ack_key(config: &Path) -> anyhow::Result<SigningKey> {
    Ok(authority::load_ack_key(Paths::of(&Config::load(config)?.dir).ack_key())?)
}

/// A file that has its name only when it is whole.
struct BundleFile {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl BundleFile {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let mut name = path.clone().into_os_string();
        name.push(".part");
        let temporary = PathBuf::from(name);
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let file = file.with_context(|| format!("cannot create {}", temporary.display()))?;
        Ok(Self { file: BufWriter::new(file), temporary, path })
    }

    fn keep(self, lines: u64) -> anyhow::Result<()> {
        let named = self.file.into_inner().map_err(|cause| cause.into_error()).and_then(|file| {
            file.sync_all()?;
            std::fs::rename(&self.temporary, &self.path)
        });
        named.with_context(|| format!("cannot write {}", self.path.display()))?;
        print(&format!("{} lines in {}", lines, self.path.display()))
    }
}

async fn initialise(args: Init) -> anyhow::Result<()> {
    let plan = init::Plan {
        dir: args.dir,
        hosts: args.hosts,
        ingest: args.ingest,
        enroll: args.enroll,
        console: args.console,
        without_second_factor: args.without_second_factor,
        store: args.store,
    };
    let made = init::run(&plan).await?;
    if args.json {
        return print(&serde_json::to_string(&made)?);
    }
    print(&format!(
        "configuration  {}\nconsole        {}\nuser           {}\npassword       {}  (shown once)\nCA             {}\nCA SHA-256     {}",
        made.config.display(),
        made.console,
        made.user,
        made.password,
        made.ca_pem.display(),
        made.ca_sha256,
    ))
}

async fn serve(path: &Path) -> anyhow::Result<()> {
    sekimori_collector::incident::playbook::check()?;
    let config = Config::load(path)?;
    let exceptions = InForce::load(&config.exceptions, config.agents_own)?;
    let server = Server::bind(config, exceptions.clone()).await?;
    let (ingest, enroll, console) = {
        let config = server.config();
        (config.ingest, config.enroll, config.console)
    };
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {
                    tracing::info!("files of exceptions are read again; all else takes effect with a restart");
                    exceptions.ask();
                }
            }
        }
        tracing::info!("stopping");
        notify(&[sd_notify::NotifyState::Stopping]);
        stop.send_replace(true);
    });
    server
        .run(stopped, || {
            tracing::info!(%ingest, %enroll, %console, "serving");
            notify(&[sd_notify::NotifyState::Ready]);
        })
        .await?;
    tracing::info!("stopped");
    Ok(())
}

/// Tells systemd; without it there is nobody to tell.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

async fn agent(command: AgentCommand) -> anyhow::Result<ExitCode> {
    match command {
        AgentCommand::Token { config, body, body_name, name, ttl, replaces } => {
            let (config, store) = open(&config).await?;
            let order = fleet::TokenOrder { body, body_name, name, ttl: Duration::from_secs(ttl), replaces };
            print(&fleet::new_token(&store, &config, &order).await?.to_text())?;
            store.close().await;
        }
        AgentCommand::List(args) => {
            let store = read_only(&args.config).await?;
            let agents = fleet::agents(&store).await?;
            if args.json {
                print(&serde_json::to_string(&agents)?)?;
            } else {
                for agent in agents {
                    print(&agent.to_string())?;
                }
                for held in fleet::admission::held(&store).await? {
                    let state = if held.confirmed { "confirmed" } else { "WAITS FOR `agent confirm`" };
                    print(&format!(
                        "{}  {}  {state}  since {}  would follow {}  {}",
                        held.agent,
                        held.body,
                        held.since,
                        held.replaces,
                        BoundedText::<64>::new(&held.name)
                    ))?;
                }
            }
        }
        AgentCommand::Confirm { config, agent } => {
            let (_config, store) = open(&config).await?;
            let confirmed = fleet::admission::confirm(&store, agent).await?;
            store.close().await;
            if !confirmed {
                tracing::error!(%agent, "no such agent waits, or it is confirmed already");
                return Ok(ExitCode::FAILURE);
            }
        }
        AgentCommand::Revoke { config, agent } => {
            let (_config, store) = open(&config).await?;
            let revoked = fleet::revoke(&store, agent).await?;
            store.close().await;
            if !revoked {
                tracing::error!(%agent, "no such agent, or revoked already");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
