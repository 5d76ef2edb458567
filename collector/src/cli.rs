//! The command line: what can be asked, and how the answers look.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sekimori_wire::time::Timestamp;

use crate::fleet::policy::Scope;
use crate::search::Kind;

mod drill;
mod people;

pub use drill::DrillCommand;
pub use people::{TokenCommand, UserArg, UserCommand};

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
    /// Tokens for programs that use the API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Exceptions: check files, try them over what is stored.
    #[command(subcommand)]
    Exceptions(ExceptionsCommand),
    /// Policies: what is decided here for agents.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// What needs attention first, then how everything is; works beside a running collector. Ends with 3 when something is
    /// wrong.
    Status(StatusArgs),
    /// Search stored flow summaries, findings and endpoint alerts, newest first; works beside a running collector.
    Search(Search),
    /// Check every batch of a store or of a bundle: whole, in order, signed. Of a bundle it needs nothing but the file.
    Verify(Verify),
    /// The log of who did what.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Write what is stored of one incident as a bundle of evidence that `verify` can check without this collector.
    Evidence(Evidence),
    /// Take in what an agent took out of its spool (`sekimori-agent spool export`), as if it had been delivered.
    Import {
        /// Configuration file, as `init` makes it.
        #[arg(long)]
        config: PathBuf,
        /// The file that was carried here.
        file: PathBuf,
    },
    /// Write every stored batch as a bundle that `verify` can check without this collector; or, with `stix`, `ocsf` or
    /// `csv`, incidents for other programs.
    Export(Export),
    /// Write what whoever comes next must know (引継ぎ), of a shift or of one incident: what is open, who owes what, what runs
    /// out, what changed. It is in the audit log.
    Handover(Handover),
    /// Write the report of a month: numbers, incidents, KPIs, limits, sensors, statutory reports.
    Report(MonthlyReport),
    /// Notices that could not be sent: list them, send one again, put one aside.
    #[command(subcommand)]
    Notices(NoticesCommand),
    /// Drills (訓練): the ready scenarios, and files of one's own.
    #[command(subcommand)]
    Drill(DrillCommand),
    /// Print the OpenAPI document of the JSON API.
    #[command(name = "openapi")]
    OpenApi,
    /// Write everything into one file, from one moment, while the collector runs; or check such a file.
    Backup(Backup),
    /// Make a store, or a whole collector, from a backup. Nothing is written over.
    Restore(Restore),
    /// Copy the store into a new one of either kind, while the collector is stopped.
    Migrate {
        /// Configuration file, as `init` makes it: names the store that is copied.
        #[arg(long)]
        config: PathBuf,
        /// Where to: `postgres://USER@HOST[:PORT][,HOST…]/DATABASE`, or the name of a new file.
        #[arg(long, value_name = "URL|FILE")]
        to: String,
    },
    /// Print what completes this command line in a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the manual: a page (`man 1`) for this program and each of its commands.
    Manual {
        /// A folder that exists.
        output: PathBuf,
    },
}

/// `backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Backup {
    /// Check a file instead.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Configuration file, as `init` makes it.
    #[arg(long, required = true)]
    pub config: Option<PathBuf>,
    /// File to write, or a folder for one that is named after the time. It holds secrets, and only its owner can read it.
    #[arg(long, required = true)]
    pub output: Option<PathBuf>,
    /// Only the store: leave out configuration, CA and keys. Without them no agent trusts what is restored.
    #[arg(long)]
    pub without_keys: bool,
}

/// `backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Read a backup to its end and say what is in it, or what is wrong with it.
    Verify {
        /// The backup.
        file: PathBuf,
    },
}

/// `restore`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["config", "dir"]))]
pub struct Restore {
    /// The backup.
    #[arg(long)]
    pub input: PathBuf,
    /// Configuration file: restore the store that it names, which must be empty; files stay as they are.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Folder to make: configuration, CA, keys and store.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// With `--dir`: only configuration, CA and keys, so that another store can be named before it is restored.
    #[arg(long, requires = "dir")]
    pub without_store: bool,
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
    /// Let passwords alone open the console: for demonstrations and tests.
    #[arg(long)]
    pub without_second_factor: bool,
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
    /// A bundle, as `evidence` and `export` make them, or what was carried from an agent's spool.
    pub bundle: Option<PathBuf>,
}

/// `search`.
#[derive(Debug, Args)]
pub struct Search {
    /// What.
    pub kind: Kind,
    /// What to look for, as in the console: `address:10.1.0.0/16 port:443 time>=-24h`. Everything if it is left out.
    #[arg(default_value = "", allow_hyphen_values = true)]
    pub query: String,
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// Event time from here on: `2026-11-22`, `2026-11-22T10:30`, `-24h`.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub from: String,
    /// Event time up to here.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub to: String,
    /// Rows, at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// `notices …`.
#[derive(Debug, Subcommand)]
pub enum NoticesCommand {
    /// List those that were given up, the latest first.
    Dead(Output),
    /// Send one once more.
    Again {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Its key, as `notices dead` shows it.
        key: String,
    },
    /// Put one aside: nobody needs it any more.
    Aside {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Its key, as `notices dead` shows it.
        key: String,
        /// Why; it is in the audit log.
        #[arg(long)]
        reason: String,
    },
}

/// `handover`.
#[derive(Debug, Args)]
pub struct Handover {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// One incident, such as `INC-422011-20260401-1`; by itself all that is open.
    #[arg(long)]
    pub incident: Option<String>,
    /// What changed from here on: `2026-11-22T08:30`, `-12h`; by itself the last shift.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub since: String,
    /// Only what belongs to these bodies: 団体コード, by commas.
    #[arg(long)]
    pub bodies: Option<String>,
    /// How it is written.
    #[arg(long, default_value = "markdown")]
    pub format: crate::handover::Format,
    /// In which language.
    #[arg(long, value_parser = ["ja", "en"], default_value = "ja")]
    pub lang: String,
    /// File to write; by itself standard output.
    #[arg(long)]
    pub output: Option<PathBuf>,
}

/// `report`.
#[derive(Debug, Args)]
pub struct MonthlyReport {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// The month in Japan, such as `2026-10`; by itself the last one that is over.
    #[arg(long)]
    pub month: Option<String>,
    /// Of this body, 団体コード; by itself of all.
    #[arg(long)]
    pub body: Option<String>,
    /// Bodies are not named, nor anything that names one: for readers of other bodies.
    #[arg(long)]
    pub anonymous: bool,
    /// How it is written.
    #[arg(long, default_value = "markdown")]
    pub format: crate::monthly::Format,
    /// Of CSV: which table.
    #[arg(long, default_value = "counts")]
    pub table: String,
    /// Of CSV: begin with a byte order mark, which spreadsheets want.
    #[arg(long)]
    pub bom: bool,
    /// Write this file, as JSON sealed with the collector's key: `verify FILE` checks it anywhere.
    #[arg(long, conflicts_with_all = ["format", "table", "bom", "lang", "output"])]
    pub signed: Option<PathBuf>,
    /// In which language.
    #[arg(long, value_parser = ["ja", "en"], default_value = "ja")]
    pub lang: String,
    /// File to write; by itself standard output.
    #[arg(long)]
    pub output: Option<PathBuf>,
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
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Export {
    /// Incidents instead of batches.
    #[command(subcommand)]
    pub incidents: Option<ExportCommand>,
    /// Configuration file, as `init` makes it.
    #[arg(long, required = true)]
    pub config: Option<PathBuf>,
    /// Only the batches of this agent.
    #[arg(long)]
    pub agent: Option<sekimori_wire::id::AgentId>,
    /// File to write.
    #[arg(long, required = true)]
    pub output: Option<PathBuf>,
}

/// `export stix|ocsf|csv`.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// One STIX 2.1 bundle.
    Stix(ExportIncidents),
    /// OCSF 1.5 events, one a line: Incident Finding and Detection Finding.
    Ocsf(ExportIncidents),
    /// One table, RFC 4180 in UTF-8.
    Csv {
        /// Which incidents.
        #[command(flatten)]
        incidents: ExportIncidents,
        /// What the rows are; by itself the findings of one incident, the incidents of a query.
        #[arg(long)]
        table: Option<crate::export::Table>,
        /// Begin with a byte order mark, for spreadsheets.
        #[arg(long)]
        bom: bool,
    },
}

/// Which incidents, and where to.
#[derive(Debug, Args)]
pub struct ExportIncidents {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// One incident, such as `INC-422011-20260401-1`.
    #[arg(long, required_unless_present = "query", conflicts_with = "query")]
    pub incident: Option<String>,
    /// Those of any state that match this, in the query language: `severity>=3 opened>=-7d`.
    #[arg(long)]
    pub query: Option<String>,
    /// With whom it may be shared; by itself as the configuration says.
    #[arg(long)]
    pub tlp: Option<crate::export::Tlp>,
    /// File to write; by itself standard output.
    #[arg(long)]
    pub output: Option<PathBuf>,
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

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Configuration file, as `init` makes it.
    #[arg(long)]
    pub config: PathBuf,
    /// Print one JSON object, and end with 0 whatever is in it.
    #[arg(long)]
    pub json: bool,
    /// Every incident, agent and counter, too.
    #[arg(long)]
    pub all: bool,
    /// In which language; by itself that of `LC_ALL`, `LC_MESSAGES` or `LANG`.
    #[arg(long, value_parser = ["ja", "en"])]
    pub lang: Option<String>,
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
