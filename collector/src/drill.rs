//! 訓練: what is exercised, what it came to, and the clock that gives the cards. Scenarios are data files (`data/drills`, or files
//! of one's own). Captures are not replayed: at their minute an incident says what sensors would have found.

pub mod doc;
pub mod scenario;
pub mod score;

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock;
use crate::fleet::error_chain;
use crate::store::Store;

/// How often is looked for something that is due; minutes are what scenarios count in.
const EVERY: Duration = Duration::from_secs(5);

/// Gives what is due, again and again. Ends with the runtime, or when aborted.
pub fn start(store: Store) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = store.drill_tick(clock::now()).await {
                tracing::error!(error = error_chain(&error), "cannot give what is due in a drill");
            }
        }
    })
}
