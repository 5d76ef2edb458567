//! `backup`, `restore`, `migrate`: what is printed and written down of them.

use std::path::Path;

use anyhow::Context as _;
use sekimori_collector::backup::{self, Destination, End, Header};
use sekimori_collector::cli::{Backup, BackupCommand, Restore};
use sekimori_collector::clock;
use sekimori_collector::config::Config;
use sekimori_collector::store::{Place, Servers, Store};

use super::{Usage, exported, print};

/// Makes a backup, or checks one.
pub(super) async fn backup(args: Backup) -> anyhow::Result<()> {
    if let Some(BackupCommand::Verify { file }) = args.command {
        let (header, end) = backup::verify(&file)?;
        return print(&told(&header, &end));
    }
    let (Some(path), Some(output)) = (args.config, args.output) else {
        return Err(Usage("name a configuration and where to write".to_owned()).into());
    };
    let config = Config::load(&path)?;
    exported(&path, "export:backup", "").await?;
    let store = Store::open_read_only(config.store()).await?;
    let files = (!args.without_keys).then_some((&config, path.as_path()));
    let made = backup::make(&store, files, &output, clock::now()).await?;
    for path in &made.elsewhere {
        tracing::warn!(path = %path.display(), "lies outside the folder of the configuration and is not in the backup");
    }
    print(&format!(
        "{}  {} bytes, {} rows in {} tables, {} files\nSHA-256  {}",
        made.path.display(),
        made.bytes,
        made.end.rows.values().sum::<u64>(),
        made.end.rows.len(),
        made.end.files,
        made.end.sha256,
    ))
}

fn told(header: &Header, end: &End) -> String {
    let mut text = format!(
        "whole: made at {} by version {}, schema {} of {}, {} files\n",
        header.made_at, header.made_by, header.schema, header.store, end.files
    );
    for (table, rows) in end.rows.iter().filter(|(_, rows)| **rows > 0) {
        text.push_str(&format!("{rows:>12}  {table}\n"));
    }
    text + &format!("SHA-256  {}", end.sha256)
}

/// Makes a store or a collector from a backup.
pub(super) async fn restore(args: Restore) -> anyhow::Result<()> {
    let into = match (args.config, args.dir) {
        (Some(config), None) => Destination::Store(Config::load(&config)?.store()),
        (None, Some(dir)) if args.without_store => Destination::FilesOf(dir),
        (None, Some(dir)) => Destination::Folder(dir),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Usage("name a configuration or a folder".to_owned()).into());
        }
    };
    let restored = backup::restore(&args.input, &into).await?;
    print(&told(&restored.header, &restored.end))?;
    let Some(place) = restored.place else { return print("only the files were restored") };
    let store = Store::open(&place).await?;
    let entry = sekimori_collector::audit::Entry {
        at: clock::now(),
        actor: "command line".to_owned(),
        role: "admin".to_owned(),
        action: "restore".to_owned(),
        reason: format!("from the backup of {}, SHA-256 {}", restored.header.made_at, restored.end.sha256),
        ..Default::default()
    };
    store.audit(entry).await?;
    store.close().await;
    print(&format!("restored into {place}; people sign in again; now run `verify` and `audit verify`"))
}

/// Copies the store.
pub(super) async fn migrate(config: &Path, to: &str) -> anyhow::Result<()> {
    let place = if to.contains("://") {
        Place::Servers(Servers::parse(to).map_err(|why| Usage(format!("--to {why}")))?)
    } else {
        Place::File(to.into())
    };
    exported(config, "export:migrate", "").await?;
    let from = Config::load(config)?.store();
    let end =
        backup::migrate(&from, &place).await.with_context(|| format!("nothing was changed in {from}"))?;
    print(&format!(
        "{} rows in {} tables; every chain ends where it did\n\
         now name {place} in `[store]` of {} and start the collector; keep {from} until `verify` has passed",
        end.rows.values().sum::<u64>(),
        end.rows.len(),
        config.display()
    ))
}
