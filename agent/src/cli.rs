//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sekimori_wire::envelope::VerifyingKey;

use crate::intel::age_of;
use crate::intel::command::public_key;
use crate::line::Proxy;

/// 関守: the sensor on a gateway. Captures, detects, seals and ships; or replays captures.
#[derive(Debug, Parser)]
#[command(version, name = "sekimori-agent")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a working configuration, from flags or by asking, and the unit's list of addresses.
    Init(InitArgs),
    /// Makes this agent's keys and has them certified by the collector.
    Enroll(EnrollArgs),
    /// Asks for another signing key: the running agent, or its next start, makes one that the present key vouches for.
    RotateKey(StateArg),
    /// Captures live and ships what it finds.
    Run(ConfigArg),
    /// Reads capture files (pcap, pcapng, also in gzip, zstd or xz; `-` is standard input) as if they were live.
    Replay(ReplayArgs),
    /// Replays labelled captures and says how well the findings fit.
    Evaluate(EvaluateArgs),
    /// Checks a configuration file.
    Check(ConfigArg),
    /// Looks for what would keep this agent from working, or make what it says false, and names the command that mends it.
    Doctor {
        /// Configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Look at the traffic of each interface for so many seconds; 0: not at all.
        #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3600))]
        look: u64,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Writes what somebody who helps asks for first into one tar file: configuration without secrets, status, doctor's report,
    /// the end of the log, versions.
    SupportBundle(SupportArgs),
    /// Lists the network interfaces.
    Interfaces,
    /// Shows how the running agent is.
    Status {
        #[command(flatten)]
        config: ConfigArg,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Looks into the spool.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Imports, signs and looks into threat intelligence.
    #[command(subcommand)]
    Intel(IntelCommand),
    /// Checks exceptions, and shows what they would do to stored findings.
    #[command(subcommand)]
    Exceptions(ExceptionsCommand),
    /// Prints what completes this command line in a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Writes the manual: a page (`man 1`) for this program and each of its commands.
    Manual {
        /// A folder that exists.
        output: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum IntelCommand {
    /// Makes a key to sign bundles with, and prints its public half for `intel.keys`.
    Keygen {
        /// Where to keep the secret half.
        key: PathBuf,
    },
    /// Reads feeds (CSV, MISP JSON, STIX 2.1), says what was taken and what not, and signs it all as one bundle.
    Import(ImportArgs),
    /// Whether bundles are signed by a trusted key and can be read.
    Verify {
        /// Public key to trust (several times for several).
        #[arg(long = "key", value_name = "PUBLIC_KEY", required = true, value_parser = public_key)]
        keys: Vec<VerifyingKey>,
        /// Bundles.
        #[arg(required = true)]
        bundles: Vec<PathBuf>,
    },
    /// Prints what files and bundles hold, as tab-separated values.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Feeds.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The bundle to write.
    #[arg(long, requires = "key")]
    pub(crate) output: Option<PathBuf>,
    /// The secret key to sign it with.
    #[arg(long, requires = "output")]
    pub(crate) key: Option<PathBuf>,
    /// Agents raise the alarm when the bundle is older than this (7d, 12h).
    #[arg(long, value_parser = age_of)]
    pub(crate) max_age: Option<Duration>,
    /// Replace the bundle even if a feed loses more than half of its entries.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Feeds and bundles.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Public key to trust, for bundles (several times for several).
    #[arg(long = "key", value_name = "PUBLIC_KEY", value_parser = public_key)]
    pub(crate) keys: Vec<VerifyingKey>,
    /// Only what would match this address, name, URL or fingerprint today.
    #[arg(long, value_name = "VALUE")]
    pub(crate) find: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExceptionsCommand {
    /// Checks files of exceptions.
    Check {
        /// Files with `[[exception]]` tables.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows which stored findings exceptions would cover, and which cover none.
    DryRun(DryRunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DryRunArgs {
    /// File with `[[exception]]` tables (several times for several).
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) exceptions: Vec<PathBuf>,
    /// Findings as JSON lines, as `replay --format findings` writes them.
    #[arg(required = true)]
    pub(crate) findings: Vec<PathBuf>,
}

/// What is known beforehand, beside the configuration's own.
#[derive(Debug, Default, Args)]
pub(crate) struct KnowledgeArgs {
    /// Threat intelligence: CSV or TSV with a header, MISP JSON or STIX 2.1 (several times for several).
    #[arg(long, value_name = "FILE")]
    pub(crate) intel: Vec<PathBuf>,
    /// File with `[[exception]]` tables (several times for several).
    #[arg(long, value_name = "FILE")]
    pub(crate) exceptions: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SupportArgs {
    /// File to write; it must not be there yet.
    pub(crate) output: PathBuf,
    /// Configuration file.
    #[arg(long, default_value = "/etc/sekimori/agent.toml")]
    pub(crate) config: PathBuf,
    /// The agent's log, if it is not in the journal.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// As for `doctor`.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) look: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// Configuration file.
    #[arg(long)]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct StateArg {
    /// State folder.
    #[arg(long)]
    pub(crate) state: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The file to write. One that an operator wrote is never written over without --force.
    #[arg(long, default_value = "/etc/sekimori/agent.toml")]
    pub(crate) config: PathBuf,
    /// State folder: keys, certificates, spool.
    #[arg(long, default_value = "/var/lib/sekimori-agent")]
    pub(crate) state: PathBuf,
    /// Interface to capture on (several times for several); asked for if it is left out and somebody can answer.
    #[arg(long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,
    /// 団体コード of the body, with its check digit.
    #[arg(long, value_name = "CODE")]
    pub(crate) body: Option<String>,
    /// What the body is called.
    #[arg(long, value_name = "NAME", requires = "body")]
    pub(crate) body_name: Option<String>,
    /// Its model of separation: `alpha`, `alpha_prime`, `beta` or `beta_prime`.
    #[arg(long, default_value = "alpha", requires = "body")]
    pub(crate) model: String,
    /// A segment and its networks, such as internet=10.3.0.0/16,10.4.0.0/16 (several times for several).
    #[arg(long = "segment", value_name = "NAME=NETWORKS")]
    pub(crate) segments: Vec<String>,
    /// The way out where there is no direct one: http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Host or URL of the collector, for the list of addresses (several times for several); left out: what enrolment gave.
    #[arg(long = "collector", value_name = "HOST")]
    pub(crate) collectors: Vec<String>,
    /// Also write the list of addresses that the agent may speak with, as an addition to its unit, into this folder
    /// (/etc/systemd/system/sekimori-agent.service.d).
    #[arg(long, value_name = "FOLDER")]
    pub(crate) drop_in: Option<PathBuf>,
    /// Write over what is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    #[command(flatten)]
    pub(crate) state: StateArg,
    #[command(flatten)]
    pub(crate) token: TokenArg,
    /// A label for people; the agent's identity is its key.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Enrol an agent that is enrolled anew, with the key that it has: its certificate has expired, or its spool is lost.
    #[arg(long)]
    pub(crate) again: bool,
    /// The way out where there is no direct one: http://HOST:PORT, as collector.proxy later.
    #[arg(long, value_name = "URL", value_parser = Proxy::parse)]
    pub(crate) proxy: Option<Proxy>,
    /// A file with `user:password` for the proxy, which others cannot read.
    #[arg(long, value_name = "FILE", requires = "proxy")]
    pub(crate) proxy_credentials: Option<PathBuf>,
    /// Enrol only with a post-quantum key exchange, as `collector.require_post_quantum` later.
    #[arg(long)]
    pub(crate) require_post_quantum: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct TokenArg {
    /// The one-time token of `sekimori-collector agent token`.
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// A file with the token; `-` is standard input. Unlike an argument, other users cannot see it.
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// Tab-separated list of captures with the columns path, kind (attack or benign), expected, attacker, victim and quality.
    pub(crate) manifest: PathBuf,
    /// Configuration file: networks and limits.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) knowledge: KnowledgeArgs,
    /// Only captures whose path holds this.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also what was found, and notices on benign captures.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct ReplayArgs {
    /// Capture files, merged in order of time.
    #[arg(required = true)]
    pub(crate) captures: Vec<PathBuf>,
    /// What to print. Default: `table` on a terminal, `findings` otherwise.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Write there instead of to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Configuration file: networks and limits.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Folder with the learned baselines (`baseline-*.skbl` of a state folder). Without it nothing is learned beforehand.
    #[arg(long, value_name = "DIR")]
    pub(crate) baseline: Option<PathBuf>,
    /// With `--baseline`: write there what was learned, so that the next capture goes on from it.
    #[arg(long, requires = "baseline")]
    pub(crate) baseline_save: bool,
    #[command(flatten)]
    pub(crate) knowledge: KnowledgeArgs,
    /// Look only at what passes this filter (tcpdump's language).
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// `max`, or times real time.
    #[arg(long, default_value = "max", value_parser = speed)]
    pub(crate) speed: Speed,
    /// Observe with this many threads; the results are the same.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) workers: u8,
    /// Shift event time so that the captures end now.
    #[arg(long)]
    pub(crate) rebase_time: bool,
    /// No progress, no notes: only results and errors.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// With `--format zeek`: JSON lines instead of tab-separated values.
    #[arg(long)]
    pub(crate) zeek_json: bool,
    /// With `--format eve`: the seed of the Community IDs.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) community_id_seed: u16,
    /// What to do with packets whose checksum is wrong.
    #[arg(long, value_enum, default_value = "ignore")]
    pub(crate) checksums: Checksums,
    /// Whether to read TCP connections whose beginning is not in the capture.
    #[arg(long, value_enum, default_value = "yes")]
    pub(crate) midstream: Midstream,
    #[command(flatten)]
    pub(crate) shipping: ShippingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShippingArgs {
    /// Also send what is found to the collector, as the live agent would; waits until all of it is acknowledged.
    #[arg(long, requires = "state")]
    pub(crate) ship: bool,
    /// State folder of this replay's own enrolment.
    #[arg(long, requires = "ship")]
    pub(crate) state: Option<PathBuf>,
    /// Give up waiting for acknowledgement after this; the spool is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "ship")]
    pub(crate) ship_timeout: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// What is in it.
    Inspect {
        #[command(flatten)]
        state: StateArg,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Whether all of it is whole, in order and signed by this agent.
    Verify(StateArg),
    /// Write what waits in it to a file that `sekimori-collector import` takes in; the running agent may go on.
    Export {
        #[command(flatten)]
        state: StateArg,
        /// File to write.
        #[arg(long)]
        output: PathBuf,
    },
}

/// Formats of `replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A readable report.
    Table,
    /// The last revision of each finding as JSON lines.
    Findings,
    /// Each flow as JSON lines, in order of their end.
    Flows,
    /// Each summary as JSON lines.
    Summary,
    /// Suricata's EVE JSON.
    Eve,
    /// Zeek's logs: one file each in the folder of `--output`, else one after another.
    Zeek,
    /// Each flow as a line of comma-separated values, after a header.
    Csv,
    /// Each flow as a row of typed columns, in the file of `--output`.
    Parquet,
}

/// What to do with packets whose checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Checksums {
    /// Read them all the same: captures taken at the sender hold packets that its card had still to complete.
    Ignore,
    /// Count them and leave them out, as their receiver did.
    Verify,
}

/// What to do with TCP connections whose beginning is not in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Midstream {
    /// Read what they carry.
    Yes,
    /// Count their packets, read nothing.
    No,
}

/// How fast to replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    Max,
    Times(f64),
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("neither `max` nor a positive number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        assert!(speed("0").is_err() && speed("nan").is_err());
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parsed("sekimori-agent replay --ship a.pcap").is_err(), "--ship needs --state");
        parsed("sekimori-agent replay a.pcap -").unwrap();
        assert!(parsed("sekimori-agent enroll --state d").is_err(), "a token is needed");
    }
}
