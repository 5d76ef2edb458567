//! What a person looks at first: what needs attention, and then how everything is, in a page of text.

use std::fmt::Write as _;
use std::time::Duration;

use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::attention::{Attention, Grade, attention};
use super::{IncidentRow, Status};
use crate::clock::{self, from_stored};
use crate::config::Config;
use crate::i18n::Lang;
use crate::incident::IncidentState;
use crate::observe::heartbeat::{self, Running};
use crate::observe::snapshot::{self, LIMIT, Snapshot};
use crate::store::db;
use crate::store::{Store, StoreError, query};
use crate::timing::local;

/// Agents that are named.
const WORST_MAX: i64 = 8;
/// Incidents that are listed, the worst first.
const LISTED: usize = 20;

/// How the collector is.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// What needs somebody, the worst first.
    pub attention: Vec<Attention>,
    /// Collectors on this store.
    pub collectors: Vec<Running>,
    /// What the store says, counted.
    pub watch: Snapshot,
    /// The limit that runs out next.
    pub next_clock: Option<NextClock>,
    /// Agents of which an incident says that something is wrong, the longest first.
    pub worst_agents: Vec<WorstAgent>,
}

/// A limit that runs out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NextClock {
    /// Of which incident.
    pub incident: String,
    /// `ack`, `notify` …, or obligation and point.
    pub what: String,
    /// When.
    pub due_at: Timestamp,
}

/// An agent with something wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorstAgent {
    /// Label.
    pub name: String,
    /// 団体コード.
    pub body: String,
    /// `silent`, `clock` …
    pub condition: String,
    /// Since when.
    pub since: Timestamp,
}

/// Reads it, with what is known already.
///
/// # Errors
/// If the store fails.
pub async fn read(
    store: &Store,
    config: &Config,
    certificates: Vec<(&'static str, Timestamp)>,
    status: &Status,
) -> Result<Overview, StoreError> {
    let now = clock::now();
    let watch = snapshot::read(store, config, certificates).await?;
    let collectors = heartbeat::running(store, now).await?;
    let next_clock = next_clock(store).await?;
    let worst_agents = worst_agents(store).await?;
    let attention = attention(status, &watch, &collectors, now);
    Ok(Overview { attention, collectors, watch, next_clock, worst_agents })
}

async fn next_clock(store: &Store) -> Result<Option<NextClock>, StoreError> {
    let sql = format!(
        "SELECT t.incident, t.what, t.due_at FROM timers t JOIN incidents i ON i.id = t.incident
         WHERE t.fired_at IS NULL AND i.drill = 0 AND {LIMIT} ORDER BY t.due_at, t.incident LIMIT 1"
    );
    let row: Option<(String, String, i64)> = db::query_as(db::AssertSqlSafe(sql))
        .fetch_optional(store.reader())
        .await
        .map_err(query("find the limit that runs out next"))?;
    Ok(row.map(|(incident, what, due)| NextClock { incident, what, due_at: from_stored(due) }))
}

async fn worst_agents(store: &Store) -> Result<Vec<WorstAgent>, StoreError> {
    let rows: Vec<(String, String, String, i64)> = db::query_as(
        "SELECT g.name, g.body, w.condition, w.since FROM sensor_watch w JOIN agents g ON g.id = w.agent
         WHERE w.incident IS NOT NULL AND g.revoked_at IS NULL
         ORDER BY CASE WHEN w.condition = 'silent' THEN 0 ELSE 1 END, w.since, g.id LIMIT $1",
    )
    .bind(WORST_MAX)
    .fetch_all(store.reader())
    .await
    .map_err(query("list the agents with something wrong"))?;
    let one =
        |(name, body, condition, since)| WorstAgent { name, body, condition, since: from_stored(since) };
    Ok(rows.into_iter().map(one).collect())
}

impl Overview {
    /// Whether something is wrong, not just to be seen to.
    pub fn is_bad(&self) -> bool {
        self.attention.iter().any(|one| one.grade == Grade::Bad)
    }

    /// The page.
    pub fn text(&self, status: &Status, lang: Lang, now: Timestamp) -> String {
        let mut page = Page { text: String::new(), lang, now };
        page.attention(&self.attention);
        page.running(self);
        page.fleet(self);
        page.incidents(self, &status.incidents);
        page.text
    }
}

/// A page that is being written. Writing into a string does not fail.
struct Page {
    text: String,
    lang: Lang,
    now: Timestamp,
}

impl Page {
    fn line(&mut self, label: (&str, &str), value: &str) {
        let label = self.lang.pick(label.0, label.1);
        // East Asian characters take two columns.
        let width: usize = label.chars().map(|ch| if ch.is_ascii() { 1 } else { 2 }).sum();
        let gap = " ".repeat(16_usize.saturating_sub(width).max(1));
        writeln!(self.text, "{label}{gap}{value}").unwrap_or_default();
    }

    fn pick<'a>(&self, ja: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(ja, en)
    }

    fn attention(&mut self, attention: &[Attention]) {
        if attention.is_empty() {
            let fine = self.pick("異常なし", "nothing needs attention");
            self.line(("対応", "ATTENTION"), fine);
        }
        for one in attention {
            let mark = match one.grade {
                Grade::Bad => self.pick("【要対応】", "!! "),
                Grade::Warn => self.pick("【注意】", " ! "),
            };
            let text = self.lang.pick(&one.ja, &one.en);
            writeln!(self.text, "{mark}{text}").unwrap_or_default();
        }
        self.text.push('\n');
    }

    fn running(&mut self, overview: &Overview) {
        let watch = &overview.watch;
        for one in overview.collectors.iter().filter(|one| one.alive) {
            let up = span(self.lang, self.now.since(one.started_at));
            let host = BoundedText::<64>::new(&one.host);
            let text = match self.lang {
                Lang::Ja => format!(
                    "{host} {} 稼働 {up}、直近1分 {} バッチ、書込待ち {}",
                    one.version, one.batches_per_minute, one.queue
                ),
                Lang::En => format!(
                    "{host} {} up {up}, {} batches in the last minute, {} wait for the store",
                    one.version, one.batches_per_minute, one.queue
                ),
            };
            self.line(("収集装置", "collector"), &text);
        }
        let store = format!("{} {}, schema {}", watch.store_kind, size(watch.store_bytes), watch.schema);
        self.line(("保存先", "store"), &store);
        let certificates: Vec<String> = watch
            .certificates
            .iter()
            .map(|(what, until)| format!("{what} {}", local(*until).date()))
            .collect();
        self.line(("証明書の期限", "certificates"), &certificates.join(", "));
        let notices: Vec<String> = watch
            .notices
            .iter()
            .map(|one| match self.lang {
                Lang::Ja => {
                    format!("{} 待ち {} 送信済 {} 送信断念 {}", one.channel, one.queued, one.sent, one.dead)
                }
                Lang::En => {
                    format!("{} {} queued, {} sent, {} given up", one.channel, one.queued, one.sent, one.dead)
                }
            })
            .collect();
        let none = self.pick("なし", "none");
        let notices = if notices.is_empty() { none.to_owned() } else { notices.join("; ") };
        self.line(("通知", "notices"), &notices);
    }

    fn fleet(&mut self, overview: &Overview) {
        let fleet = &overview.watch.fleet;
        let text = match self.lang {
            Lang::Ja => format!(
                "登録 {}、不通 {}、劣化 {}、未受信 {}、確認待ち {}",
                fleet.enrolled, fleet.silent, fleet.degraded, fleet.never, fleet.held
            ),
            Lang::En => format!(
                "{} enrolled, {} silent, {} degraded, {} never heard of, {} to be confirmed",
                fleet.enrolled, fleet.silent, fleet.degraded, fleet.never, fleet.held
            ),
        };
        self.line(("エージェント", "agents"), &text);
        for one in &overview.worst_agents {
            let (name, condition) =
                (BoundedText::<64>::new(&one.name), BoundedText::<32>::new(&one.condition));
            let since = span(self.lang, self.now.since(one.since));
            writeln!(self.text, "  {}  {name}  {condition}  {since}", one.body).unwrap_or_default();
        }
    }

    fn incidents(&mut self, overview: &Overview, rows: &[IncidentRow]) {
        let mut levels = [0_i64; 5];
        for (state, level, count) in &overview.watch.incidents {
            let open = IncidentState::from_name(state).is_some_and(IncidentState::is_open);
            if let Some(at) =
                usize::try_from(*level).ok().and_then(|level| levels.get_mut(level)).filter(|_| open)
            {
                *at += count;
            }
        }
        let counts: Vec<String> =
            levels.iter().enumerate().rev().map(|(level, count)| format!("L{level} {count}")).collect();
        self.line(("未完了の事案", "open incidents"), &counts.join("  "));
        if let Some(next) = &overview.next_clock {
            let left = if next.due_at > self.now {
                span(self.lang, next.due_at.since(self.now))
            } else {
                self.pick("超過", "over").to_owned()
            };
            let at = local(next.due_at).strftime("%Y-%m-%d %H:%M").to_string();
            let text = format!("{} {}  {at} ({left})", next.incident, BoundedText::<64>::new(&next.what));
            self.line(("次の期限", "next limit"), &text);
        }
        let is_open =
            |row: &&IncidentRow| IncidentState::from_name(&row.state).is_some_and(IncidentState::is_open);
        let mut open: Vec<&IncidentRow> = rows.iter().filter(is_open).collect();
        open.sort_by_key(|one| std::cmp::Reverse((one.severity, one.opened_at)));
        for one in open.iter().take(LISTED) {
            let verified = if one.verified { "" } else { self.pick("  署名未確認", "  NOT VERIFIED") };
            let (subject, state) =
                (BoundedText::<64>::new(&one.subject), IncidentState::from_name(&one.state));
            let state = state.map_or("?", |state| self.lang.pick(state.ja(), state.en()));
            let (id, level, category) = (&one.id, one.severity, &one.category);
            writeln!(self.text, "  {id}  L{level}  {state}  {category}  {subject}{verified}")
                .unwrap_or_default();
        }
        if open.len() > LISTED {
            writeln!(self.text, "  … +{}", open.len() - LISTED).unwrap_or_default();
        }
    }
}

/// A time span as people say it.
pub(super) fn span(lang: Lang, span: Duration) -> String {
    let (minutes, hours, days) = (span.as_secs() / 60, span.as_secs() / 3600, span.as_secs() / 86_400);
    match (days, hours, lang) {
        (0, 0, Lang::Ja) => format!("{minutes} 分"),
        (0, 0, Lang::En) => format!("{minutes} min"),
        (0, _, Lang::Ja) => format!("{hours} 時間 {} 分", minutes % 60),
        (0, _, Lang::En) => format!("{hours} h {} min", minutes % 60),
        (_, _, Lang::Ja) => format!("{days} 日 {} 時間", hours % 24),
        (_, _, Lang::En) => format!("{days} d {} h", hours % 24),
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{} KiB", bytes.div_ceil(1024)),
        mib @ 1..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::snapshot::Notices;

    fn status() -> Status {
        serde_json::from_str::<serde_json::Value>("{}").unwrap();
        Status {
            incidents: vec![IncidentRow {
                id: "INC-422011-20260401-1".to_owned(),
                category: "scan".to_owned(),
                severity: 3,
                state: "detected".to_owned(),
                body: Some("422011".to_owned()),
                subject: "203.0.113.9\u{202e}\u{1b}[2J".to_owned(),
                parent: None,
                children: 0,
                findings: 1,
                sources: vec!["finding"],
                verified: false,
                opened_at: Timestamp::from_secs(1_000),
            }],
            agents: Vec::new(),
            exceptions: Vec::new(),
            exceptions_unknown: Vec::new(),
            exceptions_error: None,
            fleet: crate::fleet::standing::Standing::default(),
            counters: std::collections::BTreeMap::new(),
            retention: None,
        }
    }

    fn overview(now: Timestamp) -> Overview {
        let running = |alive| Running {
            host: "soc1".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: now.minus(Duration::from_secs(90_061)),
            seen_at: now,
            batches_per_minute: 1_234,
            queue: 2,
            alive,
        };
        let watch = Snapshot {
            incidents: vec![("detected".to_owned(), 3, 4), ("closed".to_owned(), 4, 9)],
            notices: vec![Notices {
                channel: "mail".to_owned(),
                queued: 1,
                sent: 5,
                dead: 2,
                aside: 0,
                attempts: 9,
            }],
            certificates: vec![("server", now.plus(Duration::from_secs(5 * 86_400)))],
            store_kind: "sqlite",
            store_bytes: 3 << 20,
            schema: 17,
            collectors: 1,
            ..Snapshot::default()
        };
        let collectors = vec![running(true)];
        Overview {
            attention: attention(&status(), &watch, &collectors, now),
            collectors,
            watch,
            next_clock: Some(NextClock {
                incident: "INC-422011-20260401-1".to_owned(),
                what: "ack".to_owned(),
                due_at: now.plus(Duration::from_secs(600)),
            }),
            worst_agents: vec![WorstAgent {
                name: "gw\u{1b}[2J".to_owned(),
                body: "422011".to_owned(),
                condition: "silent".to_owned(),
                since: now.minus(Duration::from_secs(7_260)),
            }],
        }
    }

    #[test]
    fn the_page_says_first_what_is_wrong_and_hides_nothing() {
        let now = Timestamp::from_secs(1_800_000_000);
        let overview = overview(now);
        assert!(overview.is_bad());
        let english = overview.text(&status(), Lang::En, now);
        let japanese = overview.text(&status(), Lang::Ja, now);
        assert!(english.starts_with("!! "), "{english}");
        assert!(japanese.starts_with("【要対応】"), "{japanese}");
        for part in [
            "2 notices are given up",
            "1 day 1 h",
            "L4 0  L3 4",
            "sqlite 3 MiB, schema 17",
            "1234 batches in the last minute",
            "INC-422011-20260401-1 ack",
            "(10 min)",
            "silent  2 h 1 min",
            "NOT VERIFIED",
        ] {
            let part = part.replace("1 day", "1 d");
            assert!(english.contains(&part), "{part}: {english}");
        }
        for part in ["送信断念 2", "稼働 1 日 1 時間", "不通 0", "次の期限", "(10 分)", "署名未確認", "検知"]
        {
            assert!(japanese.contains(part), "{part}: {japanese}");
        }
        for text in [english, japanese] {
            assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
        }
    }
}
