//! `drill …`.

use std::path::PathBuf;

use clap::Subcommand;

/// `drill …`.
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// List the ready scenarios.
    List {
        /// As JSON, with all that is in them.
        #[arg(long)]
        json: bool,
    },
    /// Show who is told what and when, and what is expected of whom until when.
    Show {
        /// A ready scenario, or a file.
        scenario: String,
        /// In English.
        #[arg(long)]
        en: bool,
    },
    /// Check a scenario: whether it can be used, and whether its captures are there.
    Check {
        /// A ready scenario, or a file.
        scenario: String,
        /// The folder of captures.
        #[arg(long)]
        captures: Option<PathBuf>,
    },
    /// Begin a drill: a running collector gives what is due from now on. It is in the audit log.
    Start {
        /// Configuration file, as `init` makes it.
        #[arg(long)]
        config: PathBuf,
        /// A ready scenario, or a file.
        scenario: String,
        /// Who takes part: 団体コード, by commas, as many as the scenario needs.
        #[arg(long, value_delimiter = ',', required = true)]
        bodies: Vec<String>,
    },
    /// Show drills: what was given, and what each role comes to.
    Status {
        /// Configuration file, as `init` makes it.
        #[arg(long)]
        config: PathBuf,
        /// Only this one, by its number.
        #[arg(long)]
        id: Option<i64>,
        /// As JSON, with all that is known.
        #[arg(long)]
        json: bool,
    },
    /// End a drill before its time. It is in the audit log.
    End {
        /// Configuration file, as `init` makes it.
        #[arg(long)]
        config: PathBuf,
        /// Its number.
        id: i64,
    },
    /// Print the report of a drill.
    Report {
        /// Configuration file, as `init` makes it.
        #[arg(long)]
        config: PathBuf,
        /// Its number.
        id: i64,
        /// How it is written.
        #[arg(long, default_value = "markdown")]
        format: crate::handover::Format,
        /// In which language.
        #[arg(long, value_parser = ["ja", "en"], default_value = "ja")]
        lang: String,
    },
}
