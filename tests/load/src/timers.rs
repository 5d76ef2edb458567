//! Time limits while collectors and databases fail: a short limit with many rungs, and at the end a count of what fired.
//!
//! Nobody works on the incidents of a load, so that each owes every rung of its first limit. When those are due is computed
//! here, from when the incident began or last rose, and not asked of the collector.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sekimori_collector::clock::{from_stored, stored};
use sekimori_collector::store::{Store, db};
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use toml::{Table, Value as Toml};

/// The collector's own file; all but one limit stays as it is there.
const OWN: &str = include_str!("../../../collector/data/timers.toml");
/// The limit that every incident has until somebody takes it.
const WHAT: &str = "ack";
const LEVELS: [&str; 5] = ["level0", "level1", "level2", "level3", "level4"];
const LIMIT: Duration = Duration::from_mins(1);
/// Per cent of the limit between two rungs: one is due every three seconds.
const STEP: u16 = 5;
const RUNGS: u16 = 20;
/// Collectors that were killed, and a database that failed, a moment before the end are back and have caught up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// What was due so long before the load ended has fired.
const FIRED_WITHIN: Duration = Duration::from_secs(10);

/// `timers.toml` with a limit of a minute and twenty rungs for every level.
pub(crate) fn hurried() -> anyhow::Result<String> {
    let mut file: Table = OWN.parse()?;
    let ack = file.get_mut("limits").and_then(|limits| limits.get_mut(WHAT)).context("a limit")?;
    let ack = ack.as_table_mut().context("its levels")?;
    for level in LEVELS {
        ack.insert(level.to_owned(), Toml::String("1 min".to_owned()));
    }
    let ladders = file.get_mut("ladder").and_then(Toml::as_array_mut).context("ladders")?;
    let ladder = ladders.iter_mut().find(|ladder| ladder.get("timer").and_then(Toml::as_str) == Some(WHAT));
    let rung = |percent: u16| {
        let to = Toml::Array(vec![Toml::String("monitor".to_owned())]);
        Toml::Table(Table::from_iter([
            ("percent".to_owned(), Toml::Integer(percent.into())),
            ("to".to_owned(), to),
        ]))
    };
    let rungs = (1..=RUNGS).map(|number| rung(number * STEP)).collect();
    ladder.and_then(Toml::as_table_mut).context("a ladder")?.insert("rungs".to_owned(), Toml::Array(rungs));
    Ok(toml::to_string(&file)?)
}

/// A rung of a timer of an incident: what, since when, which.
type Key = (String, String, i64, i64);

/// What fired.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    count: usize,
    /// The longest time between due and fired.
    latest: Duration,
    /// What was missed, early or told twice, one line each.
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rungs of timers fired once each, at most {} ms late",
            self.count,
            self.latest.as_millis()
        )
    }
}

/// Waits until what was due before `ended` has fired, as long as that may take after the last failure.
pub(crate) async fn settle(store: &Store, ended: Timestamp) -> anyhow::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < CAUGHT_UP_WITHIN && !check(store, ended).await?.wrong.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Compares what fired, what the histories say of it, and what was due before the collectors ended.
pub(crate) async fn check(store: &Store, ended: Timestamp) -> anyhow::Result<Fired> {
    let rows: Vec<(String, String, i64, i64, i64, Option<i64>)> =
        db::query_as("SELECT incident, what, since, rung, due_at, fired_at FROM timers")
            .fetch_all(store.reader())
            .await?;
    let kept = rows.into_iter().map(|(incident, what, since, rung, due_at, fired_at)| {
        ((incident, what, since, rung), (from_stored(due_at), fired_at.map(from_stored)))
    });
    Ok(compared(&kept.collect(), told(store).await?, &waiting(store).await?, ended))
}

/// When each rung is due, and when it fired.
type Kept = BTreeMap<Key, (Timestamp, Option<Timestamp>)>;

fn compared(
    kept: &Kept,
    mut told: BTreeMap<Key, usize>,
    waiting: &[(String, Timestamp)],
    ended: Timestamp,
) -> Fired {
    let mut fired = Fired::default();
    for (key, (due, at)) in kept {
        let Some(at) = at else { continue };
        fired.count += 1;
        fired.latest = fired.latest.max(at.since(*due));
        if at < due {
            fired.wrong.push(format!("{key:?} fired before it was due"));
        }
        let times = told.remove(key).unwrap_or_default();
        if times != 1 {
            fired.wrong.push(format!("{key:?} fired, and its history says so {times} times"));
        }
    }
    fired.wrong.extend(told.into_keys().map(|key| format!("{key:?} is told and has not fired")));
    for (incident, since) in waiting {
        for rung in (1..=RUNGS).map(|number| number * STEP) {
            let due = since.plus(LIMIT * u32::from(rung) / 100);
            let key = (incident.clone(), WHAT.to_owned(), stored(*since), rung.into());
            if due.plus(FIRED_WITHIN) <= ended && kept.get(&key).is_none_or(|(_, at)| at.is_none()) {
                fired.wrong.push(format!("{key:?} was due and has not fired"));
            }
        }
    }
    if fired.count == 0 {
        fired.wrong.push("no rung of a timer was due: nothing is shown of them".to_owned());
    }
    fired
}

/// What a history says of a rung.
#[derive(Deserialize)]
struct Line {
    timer: String,
    since: Timestamp,
    rung: i64,
}

/// How often each rung stands in the histories.
async fn told(store: &Store) -> anyhow::Result<BTreeMap<Key, usize>> {
    let lines: Vec<(String, String)> =
        db::query_as("SELECT incident, json FROM incident_changes WHERE kind = 'timer'")
            .fetch_all(store.reader())
            .await?;
    let mut told = BTreeMap::new();
    for (incident, json) in lines {
        let line: Line = serde_json::from_str(&json)?;
        let (what, since, rung) = (line.timer, line.since, line.rung);
        *told.entry((incident, what, stored(since), rung)).or_default() += 1;
    }
    Ok(told)
}

/// Incidents that nobody took, and since when their limit runs: they began, or their level rose.
async fn waiting(store: &Store) -> anyhow::Result<Vec<(String, Timestamp)>> {
    let rows: Vec<(String, i64, Option<i64>)> = db::query_as(
        "SELECT i.id, i.opened_at, c.raised_at FROM incidents i LEFT JOIN clocks c ON c.incident = i.id
         WHERE i.state = 'detected'",
    )
    .fetch_all(store.reader())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(incident, opened, raised)| (incident, from_stored(opened.max(raised.unwrap_or(opened)))))
        .collect())
}

#[cfg(test)]
mod tests {
    use sekimori_collector::timing::data::Text;
    use sekimori_collector::timing::table;
    use sekimori_wire::finding::Severity;

    use super::*;

    #[test]
    fn a_collector_takes_the_hurried_limits() {
        let dir = std::env::temp_dir().join(format!("sekimori-hurried-{}", std::process::id()));
        std::fs::write(&dir, hurried().unwrap()).unwrap();
        let text = Text::open(Some(&dir), "timers.toml", "").unwrap();
        std::fs::remove_file(&dir).unwrap();
        let timers = table::Table::parse(&text).unwrap();
        let rungs = timers.ladder(table::TimerKind::Ack);
        assert_eq!(
            rungs.iter().map(|rung| rung.percent).collect::<Vec<_>>(),
            (1..=20).map(|n| n * 5).collect::<Vec<_>>()
        );
        for level in [Severity::HIGH, Severity::default()] {
            assert_eq!(timers.limit(table::TimerKind::Ack, level, None).to_string(), "1 min");
        }
    }

    #[test]
    fn a_rung_that_is_missed_early_or_told_twice_is_found() {
        let since = Timestamp::from_secs(1_000);
        let at = |seconds: u64| since.plus(Duration::from_secs(seconds));
        let key = |rung: i64| ("INC-1".to_owned(), WHAT.to_owned(), stored(since), rung);
        let waiting = [("INC-1".to_owned(), since)];
        // Rungs are due after 3, 6 and 9 s; the last one has time until 19 s.
        let kept: Kept = [(5, 3), (10, 6)].map(|(rung, s)| (key(rung), (at(s), Some(at(s + 1))))).into();
        let told = BTreeMap::from([(key(5), 1), (key(10), 1)]);
        let fired = compared(&kept, told, &waiting, at(18));
        assert_eq!(
            (fired.count, fired.latest, fired.wrong.len()),
            (2, Duration::from_secs(1), 0),
            "{fired:?}"
        );
        let wrong = |kept: &Kept, told: &[(i64, usize)], ended: u64| {
            let told = told.iter().map(|(rung, times)| (key(*rung), *times)).collect();
            compared(kept, told, &waiting, at(ended)).wrong.join("; ")
        };
        let once = [(5, 1), (10, 1)];
        assert!(wrong(&kept, &once, 19).contains("15) was due and has not fired"));
        assert!(wrong(&kept, &[(5, 2), (10, 1)], 18).contains("says so 2 times"));
        assert!(wrong(&kept, &[(10, 1)], 18).contains("says so 0 times"));
        assert!(wrong(&kept, &[(5, 1), (10, 1), (20, 1)], 18).contains("is told and has not fired"));
        let missed = Kept::from([(key(5), (at(3), Some(at(4)))), (key(10), (at(6), None))]);
        assert!(wrong(&missed, &[(5, 1)], 18).contains("10) was due and has not fired"));
        let early = Kept::from([(key(5), (at(3), Some(at(2)))), (key(10), (at(6), Some(at(7))))]);
        assert!(wrong(&early, &once, 18).contains("before it was due"));
        assert!(wrong(&Kept::new(), &[], 1).contains("nothing is shown"));
    }
}
