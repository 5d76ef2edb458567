//! `notices`: dead letters of the outbox.

use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::{open, operator, read_only};
use sekimori_collector::cli::NoticesCommand;
use sekimori_collector::clock;
use sekimori_collector::export::By;
use sekimori_collector::store::seen::{Settle, Settled};
use sekimori_wire::text::BoundedText;

use crate::{Usage, print};

pub(crate) async fn run(command: NoticesCommand) -> anyhow::Result<()> {
    let (config, key, reason) = match &command {
        NoticesCommand::Dead(args) => {
            let store = read_only(&args.config).await?;
            let letters = store.seen_in(&Scope::All).dead_letters().await?;
            if args.json {
                return print(&serde_json::to_string(&letters)?);
            }
            for one in letters {
                let shown = BoundedText::<256>::new;
                let (key, contact, error) = (shown(&one.key), shown(&one.contact), shown(&one.error));
                print(&format!(
                    "{}  {key}  {} {contact} {}  {} attempts: {error}",
                    one.dead_at, one.role, one.channel, one.attempts
                ))?;
            }
            return Ok(());
        }
        NoticesCommand::Again { config, key } => (config, key, None),
        NoticesCommand::Aside { config, key, reason } if !reason.trim().is_empty() => {
            (config, key, Some(reason.trim()))
        }
        NoticesCommand::Aside { .. } => return Err(Usage("--reason: say why".to_owned()).into()),
    };
    let how = reason.map_or(Settle::Again, Settle::Aside);
    let (_config, store) = open(config).await?;
    let by = By { actor: operator(), role: "admin".to_owned() };
    let settled = store.seen_in(&Scope::All).settle(key, how, &by, clock::now()).await;
    store.close().await;
    match settled? {
        Settled::Done => Ok(()),
        Settled::NotFound => anyhow::bail!("{key}: there is no such dead letter"),
        Settled::Nobody => anyhow::bail!("{key}: nobody is named for its role, so it can only be put aside"),
    }
}
