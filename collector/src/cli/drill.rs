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
}
