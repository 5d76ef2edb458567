//! `exceptions check` and `exceptions dry-run`: what they print.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sekimori_wire::exception::Exceptions;
use sekimori_wire::time::Timestamp;

use super::dry_run::{self, Example, Report, Trial};
use super::{days_left, file};
use crate::cli::{DryRun, ExceptionsCommand};
use crate::clock;
use crate::config::Config;
use crate::store::Store;

/// Bodies named of one exception; their number is in the table.
const BODIES_SHOWN: usize = 8;

/// Does what the command line asks; what it prints.
///
/// # Errors
/// If a file is not good, or the store cannot be read.
pub async fn run(command: &ExceptionsCommand) -> anyhow::Result<String> {
    match command {
        ExceptionsCommand::Check { paths } => check(paths),
        ExceptionsCommand::DryRun(args) => dry_run(args).await,
    }
}

fn check(paths: &[PathBuf]) -> anyhow::Result<String> {
    let mut files = Vec::new();
    for path in paths {
        if is_configuration(path) {
            files.extend(Config::load(path)?.exceptions);
        } else {
            files.push(path.clone());
        }
    }
    Ok(listed(&file::read(&files)?, clock::now()))
}

/// A configuration of the collector must say where it listens; a file of exceptions must not.
fn is_configuration(path: &Path) -> bool {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .is_some_and(|table| table.contains_key("listen"))
}

fn listed(exceptions: &Exceptions, now: Timestamp) -> String {
    let mut out = String::new();
    let (mut all, mut ended) = (0, 0);
    for one in exceptions.iter() {
        all += 1;
        let state = match days_left(one.expires, now) {
            None => {
                ended += 1;
                "ENDED".to_owned()
            }
            Some(days) => format!("{days} days left"),
        };
        let scope: Vec<String> = one.written.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let _infallible = writeln!(out, "{state}: {one}\n  {}", scope.join(", "));
    }
    let _infallible = writeln!(out, "{all} exceptions, {ended} ended");
    out
}

async fn dry_run(args: &DryRun) -> anyhow::Result<String> {
    let exceptions = file::read(&args.files)?;
    let config = Config::load(&args.config)?;
    let store = Store::open_read_only(config.store()).await?;
    let report = dry_run::run(&store, &exceptions, args.since).await?;
    store.close().await;
    if args.json { Ok(serde_json::to_string(&report)?) } else { Ok(table(&report)) }
}

/// Numbers of all first, then each with its examples.
pub(super) fn table(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{:>9} {:>7} {:>7} {:>10} {:>8} {:>9} {:>6}  EXCEPTION",
        "FINDINGS", "HOSTS", "BODIES", "INCIDENTS", "IN PART", "OUTSIDE", "ENDED"
    ));
    for one in &report.exceptions {
        let hosts = if one.more_hosts { format!("{}+", one.hosts) } else { one.hosts.to_string() };
        line(format!(
            "{:>9} {:>7} {:>7} {:>10} {:>8} {:>9} {:>6}  {}",
            one.findings,
            hosts,
            one.bodies.len(),
            one.incidents,
            one.incidents_in_part,
            one.exceeding,
            one.after_end,
            one.id
        ));
    }
    for one in &report.exceptions {
        line(detail(one));
    }
    let since = report.since.map_or_else(String::new, |at| format!(" with evidence since {at}"));
    line(format!("\n{} of {} findings{since} would be under an exception", report.covered, report.findings));
    if report.unreadable > 0 {
        line(format!("{} findings of another version could not be judged", report.unreadable));
    }
    out
}

fn detail(one: &Trial) -> String {
    let mut out = format!("\n{} ({}: {}), until {}\n  ", one.id, one.owner, one.reason, one.expires);
    let scope = one.scope.as_object().into_iter().flatten();
    let scope: Vec<String> =
        scope.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    out.push_str(&scope.join(", "));
    match one.severity {
        None => out.push_str("\n  covers nothing that is stored"),
        Some(severity) => {
            let mut bodies: Vec<&str> = one.bodies.iter().map(String::as_str).take(BODIES_SHOWN).collect();
            if one.bodies.len() > BODIES_SHOWN {
                bodies.push("…");
            }
            let _infallible = write!(
                out,
                "\n  covers {} findings up to severity {severity} in {}; {} are under an exception already",
                one.findings,
                bodies.join(", "),
                one.already
            );
        }
    }
    for finding in &one.examples {
        let _infallible = write!(out, "\n    {}", shown(finding));
    }
    if !one.incident_examples.is_empty() {
        let _infallible = write!(
            out,
            "\n  {} incidents would not have been opened, {} would have had fewer findings: {}",
            one.incidents,
            one.incidents_in_part,
            one.incident_examples.join(", ")
        );
    }
    if one.exceeding > 0 {
        let _infallible = write!(out, "\n  does NOT cover {} that go beyond it:", one.exceeding);
    }
    for beyond in &one.exceeding_examples {
        let _infallible =
            write!(out, "\n    {} lies outside: {}  {}", beyond.key, beyond.outside, shown(&beyond.finding));
    }
    if one.after_end > 0 {
        let _infallible = write!(out, "\n  does NOT cover {} with evidence after its end", one.after_end);
    }
    out
}

/// Hosts were read as addresses or came from the store as such; everything else is ours.
fn shown(finding: &Example) -> String {
    let host = |host: &Option<String>| host.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{}  {}  severity {}  {}  {} to {}  {}",
        finding.body,
        finding.category,
        finding.severity,
        finding.end,
        host(&finding.originator),
        host(&finding.responder),
        finding.id
    )
}
