//! The agents: who is there, who is silent, and what they did not see.

use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::evidence::{list_of, text};
use super::page::{Mark, Page, When, bytes, error, failed, number, render, shown};
use super::{Console, Visitor};
use crate::clock::{from_stored, now};
use crate::fleet::admission::{self, HeldRow};
use crate::fleet::policy::command::Reported;
use crate::fleet::standing::{Due, Standing, standing};
use crate::fleet::swap::Behind;
use crate::fleet::trust::Present;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::view::AgentView;

/// Agents send a batch at least every few seconds; who is silent for this long needs a look.
const STALE_AFTER: Duration = Duration::from_secs(90);
/// A clock that is off by so much is shown; the incident comes later.
const SKEW_SHOWN_MS: u64 = 2_000;
/// A certificate that has not renewed itself by now needs a look.
const CERTIFICATE_SOON: Duration = Duration::from_secs(14 * 86_400);

#[derive(Template)]
#[template(path = "agents.html")]
struct AgentsPage {
    page: Page,
    held: Vec<HeldLine>,
    may_confirm: bool,
    swap: Option<(String, Vec<FleetLine>)>,
    due: Vec<FleetLine>,
    rows: Vec<AgentRow>,
    total: String,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    page: Page,
    agent: AgentRow,
}

/// Why an agent needs a look, the most pressing reason first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attention {
    /// It does not.
    Nothing,
    /// Its certificate counts no more; it sends nothing, as intended.
    Revoked,
    /// Enrolled and never heard of since.
    NeverSeen,
    /// It replayed capture files and has ended, as it should.
    Replayed,
    /// Not heard of for longer than [`STALE_AFTER`].
    Silent,
    /// An incident tells that it does not see well.
    Degraded,
    /// A policy was refused or rolled back.
    Policy,
    /// Its clock is off.
    Clock(u64),
    /// The kernel dropped packets that it should have seen.
    Drops,
    /// Its threat intelligence is too old, incomplete or not what it was told to take.
    Intel(IntelTrouble),
    /// Its certificate ends soon.
    Certificate,
}

/// What is wrong with an agent's threat intelligence, as it counts it in its health; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntelTrouble {
    /// Lists that could not be read at its start: it looks for nothing of them.
    Unread(u64),
    /// New lists that it refused; the old ones stay in force.
    Refused,
    /// Feeds that lost more than half of their entries since it ran before.
    Shrunk(u64),
    /// Feeds older than they may be.
    Stale(u64),
}

impl IntelTrouble {
    fn of(health: &Value) -> Option<Self> {
        let count = |name: &str| {
            let is_it = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(name);
            let counter = list_of(health, "counters").iter().find(is_it)?;
            counter.get("count").and_then(Value::as_u64).filter(|count| *count > 0)
        };
        count("intel.files_unread")
            .map(Self::Unread)
            .or_else(|| count("intel.reload_refused").map(|_| Self::Refused))
            .or_else(|| count("intel.feeds_shrunk").map(Self::Shrunk))
            .or_else(|| count("intel.feeds_stale").map(Self::Stale))
    }

    fn words(self, lang: Lang) -> String {
        match self {
            Self::Unread(files) => lang.with("attention-intel-unread", files),
            Self::Refused => lang.text("attention-intel-refused"),
            Self::Shrunk(feeds) => lang.with("attention-intel-shrunk", feeds),
            Self::Stale(feeds) => lang.with("attention-intel-stale", feeds),
        }
    }
}

/// An agent as shown.
#[derive(Debug)]
pub(super) struct AgentRow {
    pub(super) id: String,
    pub(super) short_id: String,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) code: String,
    pub(super) attention: Attention,
    pub(super) mark: Mark,
    pub(super) seen: Option<(When, String)>,
    pub(super) epoch: i64,
    pub(super) through: i64,
    /// Epoch and last batch of the detail lane.
    pub(super) detail: (i64, i64),
    pub(super) policy: PolicyCell,
    pub(super) head: String,
    pub(super) sealed: Option<When>,
    pub(super) enrolled: When,
    pub(super) revoked: Option<When>,
    pub(super) certificate: When,
    pub(super) version: String,
    pub(super) health: Option<HealthView>,
}

/// Which policy an agent has, and which it should have.
#[derive(Debug)]
pub(super) struct PolicyCell {
    pub(super) has: u64,
    pub(super) wanted: i64,
    pub(super) state: String,
    pub(super) is_current: bool,
}

impl PolicyCell {
    pub(super) fn new(agent: &AgentView, reported: &Reported) -> Self {
        let is_current = i64::try_from(reported.version).is_ok_and(|has| has == agent.policy_wanted);
        Self { has: reported.version, wanted: agent.policy_wanted, state: shown(&reported.state), is_current }
    }
}

/// Off by two seconds or more, and surely so.
fn skew_seconds(health: &Value) -> Option<u64> {
    let clock = health.get("clock")?;
    let offset = clock.get("offset_ms")?.as_i64()?.unsigned_abs();
    let sure = offset.saturating_sub(clock.get("error_ms")?.as_u64()?);
    (sure >= SKEW_SHOWN_MS).then_some(sure / 1_000)
}

/// The latest health record.
#[derive(Debug)]
pub(super) struct HealthView {
    pub(super) at: Option<When>,
    pub(super) uptime: String,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) load: String,
    pub(super) spool: String,
    pub(super) spool_batches: String,
    pub(super) disk_free: String,
    pub(super) drops: String,
    pub(super) config_digest: String,
    pub(super) short_config: String,
    pub(super) clock: String,
    pub(super) intel: String,
    pub(super) interfaces: Vec<(String, bool, String, String)>,
    pub(super) counters: Vec<(String, String)>,
}

/// An enrolment that waits.
#[derive(Debug)]
struct HeldLine {
    agent: String,
    replaces: String,
    name: String,
    code: String,
    since: When,
    ago: String,
    confirmed: bool,
}

/// An agent that has something still to do.
#[derive(Debug)]
struct FleetLine {
    id: String,
    name: String,
    code: String,
    /// When its certificate ends, where that is what it is about.
    expires: Option<When>,
}

/// A form of this page.
#[derive(Debug, Deserialize)]
pub(super) struct Confirm {
    csrf: String,
}

/// `POST /agents/{id}/confirm`: lets in the agent that waits under this identity.
pub(super) async fn confirm(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Confirm>,
) -> Response {
    if form.csrf != visitor.token.csrf() || !visitor.user.role.may_confirm_agents() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let Ok(agent) = id.parse::<AgentId>() else { return error(visitor.lang, StatusCode::NOT_FOUND) };
    if !visitor.user.scope.is_all() {
        match standing(&console.store, None, now()).await {
            Ok(found) => {
                let is_seen = |one: &HeldRow| one.agent == id && visitor.user.scope.covers(&one.body);
                if !found.held.iter().any(is_seen) {
                    return error(visitor.lang, StatusCode::NOT_FOUND);
                }
            }
            Err(cause) => return failed(visitor.lang, &cause),
        }
    }
    match admission::confirm(&console.store, agent).await {
        Ok(true) => {
            let (by, role) = (&visitor.user.name, visitor.user.role);
            tracing::info!(%agent, %by, %role, "an enrolment that was held is confirmed");
            Redirect::to("/agents").into_response()
        }
        // Somebody else was faster, or it does not wait any more.
        Ok(false) => error(visitor.lang, StatusCode::CONFLICT),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

/// `GET /agents`.
pub(super) async fn list(State(console): State<Console>, visitor: Visitor) -> Response {
    match read(&console, &visitor).await {
        Ok(page) => render(&page),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(console: &Console, visitor: &Visitor) -> Result<AgentsPage, StoreError> {
    let page = Page::new(visitor, "agents");
    let scope = &visitor.user.scope;
    let agents = console.seen_by(&visitor.user).agents().await?;
    let rows: Vec<AgentRow> = agents.into_iter().map(|agent| AgentRow::new(&page, agent)).collect();
    let trust = console.trust.as_ref().and_then(Present::to_follow);
    let Standing { held, swap, renewals_due } = standing(&console.store, trust.as_deref(), page.now).await?;
    let held = held.into_iter().filter(|one| scope.covers(&one.body)).map(|one| HeldLine {
        agent: one.agent,
        replaces: one.replaces,
        name: shown(&one.name),
        code: one.body,
        since: When::from(one.since),
        ago: page.ago(one.since),
        confirmed: one.confirmed,
    });
    let behind =
        |one: Behind| FleetLine { id: one.id, name: shown(&one.name), code: one.body, expires: None };
    let due = |one: Due| FleetLine {
        id: one.id,
        name: shown(&one.name),
        code: one.body,
        expires: Some(When::from(one.expires)),
    };
    Ok(AgentsPage {
        held: held.collect(),
        may_confirm: visitor.user.role.may_confirm_agents(),
        // How many there are of all bodies is for those who see all.
        swap: swap.filter(|_| scope.is_all()).map(|swap| {
            (page.n("swap-followed", swap.followed), swap.behind.into_iter().map(behind).collect())
        }),
        due: renewals_due.into_iter().filter(|one| scope.covers(&one.body)).map(due).collect(),
        total: page.n("total-agents", rows.len()),
        rows,
        page,
    })
}

/// `GET /agents/{id}`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    let page = Page::new(&visitor, "agents");
    match console.seen_by(&visitor.user).agent(&id).await {
        Ok(Some(agent)) => render(&AgentPage { agent: AgentRow::new(&page, agent), page }),
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

impl AgentRow {
    pub(super) fn new(page: &Page, agent: AgentView) -> Self {
        let lang = page.lang;
        let health = agent.health_json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
        let drops = health.as_ref().map_or(0, kernel_drops);
        let reported = Reported::of(&agent);
        let seen = agent.last_seen.map(from_stored);
        let attention = if agent.revoked_at.is_some() {
            Attention::Revoked
        } else if seen.is_none() {
            Attention::NeverSeen
        } else if agent.mode.as_deref() == Some("replay") {
            Attention::Replayed
        } else if seen.is_some_and(|seen| page.now.since(seen) > STALE_AFTER) {
            Attention::Silent
        } else if agent.conditions > 0 {
            Attention::Degraded
        } else if drops > 0 {
            Attention::Drops
        } else if let Some(trouble) = health.as_ref().and_then(IntelTrouble::of) {
            Attention::Intel(trouble)
        } else if reported.state.starts_with("refused") || reported.state.starts_with("rolled_back") {
            Attention::Policy
        } else if let Some(seconds) = health.as_ref().and_then(skew_seconds) {
            Attention::Clock(seconds)
        } else if from_stored(agent.cert_expires_at) < page.now.plus(CERTIFICATE_SOON) {
            Attention::Certificate
        } else {
            Attention::Nothing
        };
        let mark = match attention {
            Attention::Nothing => Mark::ok(lang.text("attention-nothing")),
            Attention::Revoked => Mark::none(lang.text("attention-revoked")),
            Attention::NeverSeen => Mark::warn(lang.text("attention-never-seen")),
            Attention::Replayed => Mark::none(lang.text("attention-replayed")),
            Attention::Silent => Mark::bad(lang.text("attention-silent")),
            Attention::Degraded => Mark::bad(lang.text("attention-degraded")),
            Attention::Policy => Mark::warn(lang.text("attention-policy")),
            Attention::Clock(seconds) => Mark::warn(lang.with("attention-clock", seconds)),
            Attention::Drops => Mark::warn(lang.with("attention-drops", drops)),
            Attention::Intel(trouble) => Mark::warn(trouble.words(lang)),
            Attention::Certificate => Mark::warn(lang.text("attention-certificate")),
        };
        let policy = PolicyCell::new(&agent, &reported);
        let head = agent.head.as_deref().and_then(Digest::from_bytes);
        Self {
            short_id: agent.id.chars().take(12).collect(),
            name: shown(&agent.name),
            body: shown(&agent.body_name),
            code: agent.body,
            attention,
            mark,
            seen: seen.map(|seen| (When::from(seen), page.ago(seen))),
            epoch: agent.epoch,
            through: agent.through,
            detail: (agent.detail_epoch, agent.detail_through),
            policy,
            head: head.map(|head| head.to_string()).unwrap_or_default(),
            sealed: agent.sealed_at.map(|at| When::from(from_stored(at))),
            enrolled: When::from(from_stored(agent.enrolled_at)),
            revoked: agent.revoked_at.map(|at| When::from(from_stored(at))),
            certificate: When::from(from_stored(agent.cert_expires_at)),
            version: agent.version.as_deref().map(shown).unwrap_or_default(),
            health: health.map(|health| HealthView::new(page, &health)),
            id: agent.id,
        }
    }
}

impl HealthView {
    fn new(page: &Page, json: &Value) -> Self {
        let whole = |key: &str| json.get(key).and_then(Value::as_u64).unwrap_or_default();
        let (cpu, load) = (whole("cpu_permille"), whole("load_centi"));
        // A replay does not measure the machine that it happens to run on.
        let measured = |text: String| if whole("memory_total_bytes") == 0 { "–".to_owned() } else { text };
        Self {
            at: text(json, "at").parse().ok().map(|at: Timestamp| When::from(at)),
            uptime: measured(page.lasting(whole("uptime_seconds"))),
            cpu: measured(format!("{}.{}%", cpu / 10, cpu % 10)),
            memory: measured(format!(
                "{} / {}",
                bytes(whole("rss_bytes")),
                bytes(whole("memory_total_bytes"))
            )),
            load: measured(format!("{}.{:02}", load / 100, load % 100)),
            spool: bytes(whole("spool_bytes")),
            spool_batches: number(whole("spool_batches")),
            disk_free: measured(bytes(whole("disk_free_bytes"))),
            drops: number(kernel_drops(json)),
            config_digest: text(json, "config_digest"),
            short_config: text(json, "config_digest").chars().take(12).collect(),
            clock: clock_words(json),
            intel: text(json, "intel_version"),
            interfaces: list_of(json, "interfaces")
                .iter()
                .map(|one| {
                    let up = one.get("up").and_then(Value::as_bool).unwrap_or_default();
                    (text(one, "name"), up, text(one, "packets"), text(one, "kernel_drops"))
                })
                .collect(),
            counters: list_of(json, "counters")
                .iter()
                .map(|one| (text(one, "name"), text(one, "count")))
                .collect(),
        }
    }
}

/// Offset and its bound, such as `+12 ± 3 ms`.
fn clock_words(health: &Value) -> String {
    let clock = health.get("clock");
    let offset = clock.and_then(|clock| clock.get("offset_ms")).and_then(Value::as_i64);
    let error = clock.and_then(|clock| clock.get("error_ms")).and_then(Value::as_u64);
    match offset.zip(error) {
        Some((offset, error)) => format!("{offset:+} ± {error} ms"),
        None => "–".to_owned(),
    }
}

fn kernel_drops(health: &Value) -> u64 {
    list_of(health, "interfaces")
        .iter()
        .filter_map(|one| one.get("kernel_drops").and_then(Value::as_u64))
        .fold(0, u64::saturating_add)
}
