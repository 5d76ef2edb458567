//! `handover`.

use std::io::Write as _;

use anyhow::Context as _;
use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::{open, operator};
use sekimori_collector::cli::Handover;
use sekimori_collector::clock;
use sekimori_collector::export::By;
use sekimori_collector::handover::{Format, Wanted, gather};
use sekimori_collector::i18n::Lang;

use crate::export_files::write;
use crate::{Usage, print};

pub(crate) async fn run(asked: Handover) -> anyhow::Result<()> {
    let now = clock::now();
    let lang = Lang::from_code(&asked.lang).unwrap_or_default();
    let wanted = Wanted::new(asked.incident, &asked.since, now).ok_or_else(|| {
        Usage(format!("--since: {} is no time such as 2026-11-22T08:30 or -12h", asked.since))
    })?;
    let scope = match &asked.bodies {
        Some(bodies) => Scope::parse(bodies).map_err(|error| Usage(format!("--bodies: {error}")))?,
        None => Scope::All,
    };
    let (_config, store) = open(&asked.config).await?;
    let by = By { actor: operator(), role: "admin".to_owned() };
    let pack = gather(store.seen_in(&scope), &wanted, asked.format.as_str(), &by, now).await;
    store.close().await;
    let pack = pack?.context("there is no such incident")?;
    let doc = pack.doc(lang);
    let text = match asked.format {
        Format::Json => serde_json::to_string(&pack)?,
        Format::Markdown => doc.markdown(),
        Format::Html => doc.html(lang)?,
    };
    let Some(output) = asked.output else {
        return std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output");
    };
    write(&output, text.as_bytes()).with_context(|| format!("cannot write {}", output.display()))?;
    print(&format!("{} incidents in {}", pack.incidents.len(), output.display()))
}
