//! `status`.

use std::process::ExitCode;

use sekimori_collector::cli::StatusArgs;
use sekimori_collector::clock;
use sekimori_collector::config::Config;
use sekimori_collector::fleet::error_chain;
use sekimori_collector::fleet::trust::Trust;
use sekimori_collector::i18n::Lang;
use sekimori_collector::status::overview::{self, Overview};
use sekimori_collector::status::{self, Status};
use sekimori_collector::store::Store;
use serde::Serialize;

use crate::print;

/// Something is wrong.
const WRONG: u8 = 3;

/// Both in one object.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(flatten)]
    overview: &'a Overview,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?;
    // Who may read the store but not the keys is told the rest.
    let trust = Trust::load(&config)
        .inspect_err(|error| {
            tracing::warn!(error = error_chain(error), "certificates and keys cannot be read");
        })
        .ok();
    let follow = trust.as_ref().filter(|trust| trust.swapping).map(|trust| trust.name.as_str());
    let store = Store::open_read_only(config.store()).await?;
    let status = status::read(&store, follow).await?;
    let overview = overview::read(
        &store,
        &config,
        trust.as_ref().map(|trust| trust.own.clone()).unwrap_or_default(),
        &status,
    )
    .await?;
    if args.json {
        print(&serde_json::to_string(&Whole { status: &status, overview: &overview })?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let lang = args.lang.as_deref().and_then(Lang::from_code).unwrap_or_else(of_environment);
    let mut page = overview.text(&status, lang, clock::now());
    if args.all {
        page.push('\n');
        page.push_str(&status.to_string());
    } else {
        page.push_str(&status.rest());
    }
    print(page.trim_end())?;
    Ok(if overview.is_bad() { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

/// Japanese where the terminal says so, else English, as all else that the program prints.
fn of_environment() -> Lang {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let first = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    if first.starts_with("ja") { Lang::Ja } else { Lang::En }
}
