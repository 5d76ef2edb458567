//! `export stix|ocsf|csv`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::open;
use sekimori_collector::cli::{ExportCommand, ExportIncidents};
use sekimori_collector::clock;
use sekimori_collector::export::{By, Format, Order, Table, Which, export};
use sekimori_collector::query::{Entity, Query};
use sekimori_collector::store::view::{IncidentFilter, Scope as States};

use crate::{Usage, print};

pub(crate) async fn run(command: ExportCommand) -> anyhow::Result<()> {
    let (format, table, bom, asked) = match command {
        ExportCommand::Stix(asked) => (Format::Stix, None, false, asked),
        ExportCommand::Ocsf(asked) => (Format::Ocsf, None, false, asked),
        ExportCommand::Csv { incidents, table, bom } => (Format::Csv, table, bom, incidents),
    };
    let (which, usual) = which(&asked)?;
    let (config, store) = open(&asked.config).await?;
    let mut settings = config.export;
    settings.tlp = asked.tlp.unwrap_or(settings.tlp);
    let order = Order { format, table: table.unwrap_or(usual), bom, settings };
    let by = By { actor: "command line".to_owned(), role: "admin".to_owned() };
    let file = export(store.seen_in(&Scope::All), &which, order, by).await?;
    store.close().await;
    let file = file.context("there is no such incident")?;
    if file.left_out > 0 {
        tracing::warn!(
            left_out = file.left_out,
            "incidents and findings that match and are not in the file: narrow the query"
        );
    }
    let Some(output) = asked.output else {
        return std::io::stdout().write_all(&file.bytes).context("cannot write to standard output");
    };
    write(&output, &file.bytes).with_context(|| format!("cannot write {}", output.display()))?;
    print(&format!("{} incidents, {} findings in {}", file.incidents, file.findings, output.display()))
}

fn which(asked: &ExportIncidents) -> anyhow::Result<(Which, Table)> {
    if let Some(id) = &asked.incident {
        return Ok((Which::Incident(id.clone()), Table::Findings));
    }
    let words = asked.query.clone().unwrap_or_default();
    let query = Query::parse(&words, Entity::Incidents, clock::now());
    let query = query.map_err(|error| Usage(format!("--query: {error}")))?;
    let filter = IncidentFilter {
        scope: States::All,
        page: 1,
        asked: Some(query).filter(|query| !query.is_empty()),
        ..IncidentFilter::default()
    };
    Ok((Which::Matching(Box::new(filter), words), Table::Incidents))
}

/// Its name is there only when it is whole; what is in it is for its owner alone.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&name, path)
}
