//! `report`.

use std::io::Write as _;

use anyhow::Context as _;
use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::{open, operator};
use sekimori_collector::cli::MonthlyReport;
use sekimori_collector::export::By;
use sekimori_collector::i18n::Lang;
use sekimori_collector::monthly::{Month, Wanted, WriteError, gather};
use sekimori_collector::{clock, evidence};

use crate::export_files::write;
use crate::{BundleFile, Usage, ack_key, print};

pub(crate) async fn run(asked: MonthlyReport) -> anyhow::Result<()> {
    let now = clock::now();
    let lang = Lang::from_code(&asked.lang).unwrap_or_default();
    let month = match &asked.month {
        None => Month::last(now),
        Some(text) => text.parse().map_err(|cause| Usage(format!("--month: {text}: {cause}")))?,
    };
    let (_config, store) = open(&asked.config).await?;
    let by = By { actor: operator(), role: "admin".to_owned() };
    let wanted = Wanted { month, body: asked.body.clone(), anonymous: asked.anonymous };
    let given = if asked.signed.is_some() { "signed" } else { asked.format.as_str() };
    let report = gather(store.seen_in(&Scope::All), &wanted, given, &by, now).await;
    store.close().await;
    let report = report?.with_context(|| format!("there is no body {}", asked.body.unwrap_or_default()))?;
    if let Some(output) = asked.signed {
        let mut file = BundleFile::create(output)?;
        let lines = evidence::report(&report, &ack_key(&asked.config)?, &mut file.file)?;
        return file.keep(lines);
    }
    let bytes = report.write(asked.format, lang, (&asked.table, asked.bom)).map_err(|cause| match cause {
        WriteError::NoTable(_) => anyhow::Error::new(Usage(format!("--table: {cause}"))),
        WriteError::Json(_) | WriteError::Html(_) | WriteError::Csv(_) => cause.into(),
    })?;
    let Some(output) = asked.output else {
        return std::io::stdout().write_all(&bytes).context("cannot write to standard output");
    };
    write(&output, &bytes).with_context(|| format!("cannot write {}", output.display()))?;
    print(&format!("{} incidents of {month} in {}", report.counts.incidents, output.display()))
}
