//! `search …`: the language of the console on the command line.

use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::open;
use sekimori_collector::cli::Search;
use sekimori_collector::clock;
use sekimori_collector::search::{Asked, Table};
use sekimori_collector::store::search::ROWS_MAX;

use crate::{Usage, print};

/// Prints what is found, newest first, page by page.
///
/// # Errors
/// If it is no query, takes too long, or the store cannot be used.
pub(crate) async fn run(args: &Search) -> anyhow::Result<()> {
    let now = clock::now();
    let mut asked =
        Asked { q: args.query.clone(), from: args.from.clone(), to: args.to.clone(), ..Asked::default() };
    let mut search = asked.search(args.kind, now).map_err(|error| Usage(error.to_string()))?;
    let (_config, store) = open(&args.config).await?;
    asked.limit = args.limit.to_string();
    asked.note(&store, args.kind, ("command line", "admin"), now).await?;
    let mut left = args.limit;
    let mut table = None;
    while left > 0 {
        search.limit = left.min(ROWS_MAX);
        let hits = args.kind.find(store.seen_in(&Scope::All), &search).await?;
        if args.json {
            for row in hits.rows() {
                print(&row.to_string())?;
            }
        } else {
            let rows = hits.table();
            if table.is_none() {
                let new = Table::of(args.kind, &rows);
                print(&new.line(args.kind.columns()))?;
                table = Some(new);
            }
            for row in &rows {
                print(&table.as_ref().map(|table| table.line(row)).unwrap_or_default())?;
            }
        }
        left -= search.limit;
        search.after = hits.next();
        if search.after.is_none() {
            break;
        }
    }
    store.close().await;
    Ok(())
}
