//! The command line: what can be asked, and how the answers look.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sekimori_wire::time::Timestamp;

use crate::fleet::policy::Scope;

/// The prefecture's side of Sekimori: verifies batches, correlates findings, opens incidents, shows them.
#[derive(Debug, Parser)]
#[command(name = "sekimori-collector", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new collector: CA, keys, store, configuration, first user.
    Init(Init),
    /// Serve ingest, enrolment and console.
    Run(ConfigArg),
    /// Agents: tokens, list, confirmation, revocation.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// The CA, the server's certificate, the key for acknowledgements.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Users of the console.
    #[command(subcommand)]
    User(UserCommand),
    /// Exceptions: check files, try them over what is stored.
    #[command(subcommand)]
    Exceptions(ExceptionsCommand),
    /// Policies: what is decided here for agents.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Incidents, agents and counters; works beside a running collector.
    Status(Output),
    /// Check every batch of a store or of a bundle: whole, in order, signed. Of a bundle it needs nothing but the file.
    Verify(Verify),
    /// The log of who did what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write what is stored of one incident as a bundle of evidence that `verify` can check without this collector.
    Evidence(Evidence),
    /// Write every stored batch as a bundle that `verify` can check without this collector.
    Export(Export),
}

/// `audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every line and name the first that is not as it was written. Prints the head: keep it elsewhere, because
    /// lines that are cut off at the end together with the head show only in comparison with an older one.
    Verify(ConfigArg),
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Folder to make.
    #[arg(long)]
    pub dir: PathBuf,
    /// Name or address of this machine for agents and browsers; may be repeated. The local host is always included.
    #[arg(long = "host", value_name = "NAME_OR_IP")]
    pub hosts: Vec<String>,
    /// Where agents deliver batches.
    #[arg(long, default_value = "0.0.0.0:8440")]
    pub ingest: SocketAddr,
    /// Where new agents enrol.
    #[arg(long, default_value = "0.0.0.0:8441")]
    pub enroll: SocketAddr,
    /// Console and JSON API.
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub console: SocketAddr,
    /// PostgreSQL instead of a file: `postgres://USER@HOST[:PORT][,HOST…]/DATABASE`.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
}

/// `verify`.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Verify {
    /// Configuration file, as `init` makes it: check the store.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// A bundle, as `evidence` and `export` make them.
    pub bundle: Option<PathBuf>,
}

/// `evidence`.
#[derive(Debug, Args)]
pub struct Evidence {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// The incident, such as `INC-422011-20260401-1`.
    pub incident: String,
    /// File to write.
    #[arg(long)]
    pub output: PathBuf,
}

/// `export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// Only the batches of this agent.
    #[arg(long)]
    pub agent: Option<sekimori_wire::id::AgentId>,
    /// File to write.
    #[arg(long)]
    pub output: PathBuf,
}

/// The configuration file, and how to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `agent …`.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Print a one-time enrolment token.
    Token {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// 団体コード of the body that the agent reports for.
        #[arg(long)]
        body: sekimori_wire::id::BodyCode,
        /// The body's name.
        #[arg(long)]
        body_name: Option<String>,
        /// Label for the agent.
        #[arg(long, default_value = "")]
        name: String,
        /// The agent that is enrolled again with its own key, or replaced by another key and then revoked: no confirmation
        /// is asked for.
        #[arg(long, value_name = "AGENT")]
        replaces: Option<sekimori_wire::id::AgentId>,
        /// Seconds until the token expires.
        #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
        ttl: u64,
    },
    /// List the agents.
    List(Output),
    /// Let in an agent that waits because it would follow one that is there; a follower under another key ends the other.
    Confirm {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Its identity, as the agent itself and `agent list` show it.
        agent: sekimori_wire::id::AgentId,
    },
    /// Revoke an agent; its next request is refused.
    Revoke {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Its identity, as `agent list` shows it.
        agent: sekimori_wire::id::AgentId,
    },
}

/// `policy …`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a file and let it hold for those that it names; works beside a running collector.
    Set {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The policy (docs/operations.md).
        file: PathBuf,
    },
    /// Print what holds for `all`, `body:CODE` or `agent:ID`.
    Show {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// For whom.
        #[arg(default_value = "all")]
        scope: Scope,
    },
    /// List policies, and which agent has which version.
    List {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// End what holds for `all`, `body:CODE` or `agent:ID`.
    Withdraw {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// For whom.
        scope: Scope,
    },
}

/// `ca …`.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// What there is, when it ends, and which agents have not followed yet.
    Show(Output),
    /// Make a new CA and a new key for acknowledgements beside the old ones; agents learn of both by themselves.
    BeginSwap(ConfigArg),
    /// Let the new ones take the places of the old ones.
    FinishSwap {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Even if there are agents that have not followed: they must enrol again.
        #[arg(long)]
        force: bool,
    },
    /// Make another server certificate of the present CA: before the old one ends, or after a change of `listen.hosts`.
    RenewServer(ConfigArg),
}

/// `exceptions …`.
#[derive(Debug, Subcommand)]
pub enum ExceptionsCommand {
    /// Read files of exceptions, or those that a configuration of the collector names, and say what is wrong.
    Check {
        /// Files of exceptions, or a configuration.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Say what the exceptions of files would have covered of the stored findings; works beside a running collector.
    DryRun(DryRun),
}

/// `exceptions dry-run`.
#[derive(Debug, Args)]
pub struct DryRun {
    /// Files of exceptions.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// Only findings with evidence since: a day such as `2026-04-01` (Japanese time), or RFC 3339.
    #[arg(long, value_parser = since)]
    pub since: Option<Timestamp>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn since(text: &str) -> Result<Timestamp, String> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00+09:00") };
    whole
        .parse()
        .map_err(|_cause| "a day such as 2026-04-01, or a time such as 2026-04-01T09:00:00+09:00".to_owned())
}

/// `user …`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, or set the password and role of one; the password is the first line of standard input.
    Add {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Login name.
        #[arg(long)]
        name: String,
        /// What the user may do.
        #[arg(long, default_value = "monitor")]
        role: String,
    },
    /// List the users.
    List(ConfigArg),
}
