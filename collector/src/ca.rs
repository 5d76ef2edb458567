//! `ca …`: what the collector's trust stands on, and how it is exchanged.

use std::process::ExitCode;

use sekimori_collector::cli::CaCommand;
use sekimori_collector::clock;
use sekimori_collector::config::Config;
use sekimori_collector::fleet::authority::{Paths, ca_sha256};
use sekimori_collector::fleet::swap::{self, Behind};
use sekimori_collector::fleet::trust::Trust;
use sekimori_wire::text::BoundedText;
use serde_json::json;

use super::{print, read_only};

/// Does it.
pub(super) async fn run(command: CaCommand) -> anyhow::Result<ExitCode> {
    match command {
        CaCommand::Show(args) => {
            let trust = Trust::load(&Config::load(&args.config)?)?;
            let paths = Paths::of(&Config::load(&args.config)?.dir);
            let behind = swap::behind(&read_only(&args.config).await?, &trust.name).await?;
            if args.json {
                let ends: serde_json::Map<_, _> =
                    trust.own.iter().map(|(what, at)| ((*what).to_owned(), json!(at.to_string()))).collect();
                let shown = json!({
                    "swapping": trust.swapping, "trust": trust.name, "ends": ends, "behind": behind,
                    "ca_sha256": ca_sha256(&paths)?.to_string(), "collector_keys": trust.collector_keys,
                });
                print(&shown.to_string())?;
                return Ok(ExitCode::SUCCESS);
            }
            for (what, at) in &trust.own {
                print(&format!("{what:<8} until {at}"))?;
            }
            print(&format!("CA SHA-256  {}", ca_sha256(&paths)?))?;
            print(if trust.swapping { "a swap has begun" } else { "no swap" })?;
            list(&behind)?;
        }
        CaCommand::BeginSwap(args) => {
            let config = Config::load(&args.config)?;
            swap::begin(&Paths::of(&config.dir), clock::now())?;
            print(
                "a swap has begun: agents follow within minutes of their next delivery; `ca show` says who has not",
            )?;
        }
        CaCommand::FinishSwap { config: path, force } => {
            let config = Config::load(&path)?;
            let trust = Trust::load(&config)?;
            let behind = swap::behind(&read_only(&path).await?, &trust.name).await?;
            if trust.swapping && !behind.is_empty() && !force {
                list(&behind)?;
                tracing::error!(
                    agents = behind.len(),
                    "these agents have not followed and would have to enrol again; wait, revoke them, or use --force"
                );
                return Ok(ExitCode::FAILURE);
            }
            swap::finish(&Paths::of(&config.dir), &config.hosts, clock::now())?;
            print(&format!(
                "the swap is finished; CA SHA-256  {}\ntokens that were made before it are worthless: make them again",
                ca_sha256(&Paths::of(&config.dir))?
            ))?;
        }
        CaCommand::RenewServer(args) => {
            let config = Config::load(&args.config)?;
            swap::renew_server(&Paths::of(&config.dir), &config.hosts, clock::now())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(behind: &[Behind]) -> anyhow::Result<()> {
    for agent in behind {
        let name = BoundedText::<64>::new(&agent.name);
        print(&format!("not followed  {}  {}  {name}", agent.id, agent.body))?;
    }
    Ok(())
}
