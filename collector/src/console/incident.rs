//! One incident: what to do, why it was opened, what is behind it, and whether that is signed.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::duty::{Duties, duties};
use super::evidence::{Check, Reason, finding_mark, list, list_of, pairs, text};
use super::exceptions::{Excepted, ExceptedRow};
use super::incidents::Row;
use super::page::{Level, Mark, Page, When, bytes, error, failed, number, render, shown};
use super::work::{Panel, panel, status_of};
use super::{Console, Visitor, bundle, conflict, indicator};
use crate::clock::{from_stored, now};
use crate::i18n::Lang;
use crate::incident::IncidentState;
use crate::incident::action::Action;
use crate::incident::permission::{AtHand, Grant, Part, Permission, grant};
use crate::incident::playbook::playbook;
use crate::incident::transition::{Asked, Refused};
use crate::store::StoreError;
use crate::store::view::{BatchName, BatchView, ChangeView, FindingView, FlowView, LinkView};
use crate::store::work::Acted;

/// Community IDs that flows are looked up by.
const COMMUNITY_IDS_MAX: usize = 64;

#[derive(Template)]
#[template(path = "incident.html")]
pub(super) struct IncidentPage {
    page: Page,
    work: Panel,
    duties: Duties,
    row: Row,
    title: String,
    version: i64,
    updated: When,
    first: When,
    last: When,
    steps: [Step; 6],
    next: String,
    owner: String,
    can_acknowledge: bool,
    may_not: bool,
    /// Where the bundle of evidence is, for who may take it.
    bundle: Option<String>,
    reason: Reason,
    verified: Mark,
    findings: Vec<Claim>,
    excepted: Vec<ExceptedRow>,
    alerts: Vec<Alert>,
    flows: Vec<Flow>,
    children: Vec<Row>,
    links: Vec<Linked>,
    indicators: Vec<indicator::Shown>,
    batches: Vec<BatchRow>,
    changes: Vec<Change>,
    playbook: Vec<(bool, &'static str)>,
}

/// An incident that a rule put beside this one.
#[derive(Debug)]
struct Linked {
    id: String,
    rule: String,
    why: String,
}

/// One of the six steps.
#[derive(Debug)]
struct Step {
    label: String,
    done: bool,
    current: bool,
}

/// A finding.
#[derive(Debug)]
struct Claim {
    title: String,
    explanation: String,
    category: String,
    level: Level,
    confidence: String,
    technique: String,
    count: String,
    segment: String,
    body: String,
    originator: String,
    responder: String,
    targets: Vec<String>,
    ports: Vec<String>,
    from: When,
    until: When,
    degraded: bool,
    exception: Option<Excepted>,
    reason: Reason,
    link: Vec<(String, String)>,
    link_rule: String,
    /// Its reason is shown at once: it is not the one that the incident shows already.
    open: bool,
    batch: String,
    mark: Mark,
}

/// An endpoint alert.
#[derive(Debug)]
struct Alert {
    at: When,
    product: String,
    name: String,
    class: String,
    host: String,
    action: String,
    original: String,
    original_sha256: String,
}

/// A flow around the incident.
#[derive(Debug)]
struct Flow {
    start: When,
    protocol: String,
    originator: String,
    responder: String,
    application: String,
    server_name: String,
    packets: String,
    bytes: String,
    state: String,
    community_id: String,
}

/// A batch behind the incident.
#[derive(Debug)]
struct BatchRow {
    agent: String,
    agent_name: String,
    epoch: i64,
    seq: i64,
    digest: String,
    received: When,
    mark: Mark,
}

/// A line of the history.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) at: When,
    pub(super) what: String,
    pub(super) details: Vec<(String, String)>,
}

/// `GET /incidents/{id}`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Response {
    match read(&console, &visitor, &id, &[]).await {
        Ok(Some(page)) => {
            // Whoever opens it has read what was sent to their role: it goes to nobody else.
            let user = &visitor.user;
            match console.store.read_notices(&id, user.role, &user.name, now()).await {
                Ok(_) => render(&page),
                Err(cause) => failed(visitor.lang, &cause),
            }
        }
        Ok(None) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

/// What the button sends.
#[derive(Debug, Deserialize)]
pub(super) struct Take {
    csrf: String,
    version: i64,
}

/// `POST /incidents/{id}/acknowledge`.
pub(super) async fn acknowledge(
    State(console): State<Console>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(take): Form<Take>,
) -> Response {
    if take.csrf != visitor.token.csrf() {
        return error(visitor.lang, StatusCode::FORBIDDEN);
    }
    let asked = Asked { version: take.version, action: Action::Acknowledge };
    match console.seen_by(&visitor.user).act(&id, &visitor.user.actor(), &asked, now()).await {
        Ok(Acted::Done(_)) => Redirect::to(&format!("/incidents/{id}")).into_response(),
        Ok(Acted::Refused(refused @ (Refused::Conflict { .. } | Refused::State { .. }))) => {
            let fields = [("action".to_owned(), "acknowledge".to_owned())];
            conflict::answer(&console, &visitor, &id, (take.version, &refused), &fields).await
        }
        Ok(Acted::Refused(refused)) => error(visitor.lang, status_of(&refused)),
        Ok(Acted::NotFound) => error(visitor.lang, StatusCode::NOT_FOUND),
        Err(cause) => failed(visitor.lang, &cause),
    }
}

/// The page, with what was missing for the last thing that somebody tried.
pub(super) async fn read(
    console: &Console,
    visitor: &Visitor,
    id: &str,
    refused: &[String],
) -> Result<Option<IncidentPage>, StoreError> {
    let page = Page::new(visitor, "incidents");
    let lang = page.lang;
    let store = console.seen_by(&visitor.user);
    let Some(view) = store.incident(id).await? else { return Ok(None) };
    let Some(mut work) = panel(console, visitor, id, refused).await? else { return Ok(None) };
    let duties = duties(&store, visitor, &view).await?;
    let (batches, checks) = verified(store.batches_of(id).await?).await;
    let findings = store.findings_of(id).await?;
    for (finding, words) in &mut work.findings {
        let json = findings.iter().map(|one| &one.json).find(|json| text(json, "id") == *finding);
        *words =
            json.and_then(|json| json.get("title")).map(|both| text(both, lang.code())).unwrap_or_default();
    }
    let reason = Reason::new(&view.reason);
    let opener = text(&view.reason, "finding");
    let community_ids: BTreeSet<String> = findings
        .iter()
        .flat_map(|finding| list(finding.json.get("evidence").unwrap_or(&Value::Null), "community_ids"))
        .chain(reason.community_ids.iter().cloned())
        .take(COMMUNITY_IDS_MAX)
        .collect();
    let bodies: BTreeSet<String> = match &view.body {
        Some(body) => BTreeSet::from([body.clone()]),
        None => findings.iter().map(|finding| finding.body.clone()).collect(),
    };
    let flows = store.flows_around(&view, &Vec::from_iter(bodies), &Vec::from_iter(community_ids)).await?;
    let children = store.children_of(id).await?;
    let excepted = store.excepted_beside(&view).await?;
    let detected = view.state == IncidentState::Detected;
    let at_hand = AtHand { severity: view.severity, level: None, days: None };
    let may = grant(Part::Person(visitor.user.role), Permission::Acknowledge, at_hand) == Grant::May
        && visitor.user.scope.covers_whole(view.body.as_deref());
    Ok(Some(IncidentPage {
        title: shown(lang.pick(&view.title_ja, &view.title_en)),
        version: view.version,
        updated: When::from(view.updated_at),
        first: When::from(view.first_evidence),
        last: When::from(view.last_evidence),
        steps: steps(lang, view.state),
        next: lang.text(&format!("next-{}", view.state)),
        owner: lang.text(&format!("owner-{}", view.state)),
        can_acknowledge: detected && may,
        may_not: detected && !may,
        bundle: bundle::may_take(visitor, &view).then(|| format!("/incidents/{id}/evidence")),
        verified: overall(lang, &checks),
        findings: findings.iter().map(|finding| Claim::new(lang, finding, &opener, &checks)).collect(),
        excepted: excepted.iter().map(|finding| ExceptedRow::new(lang, finding)).collect(),
        alerts: store.alerts_of(id).await?.iter().map(Alert::new).collect(),
        flows: flows.iter().map(Flow::new).collect(),
        indicators: indicator::of_incident(lang, store, id).await?,
        links: store.links_of(id).await?.iter().map(|link| Linked::new(lang, link)).collect(),
        children: children.into_iter().map(|child| Row::new(&page, child)).collect(),
        batches: batches.into_iter().map(|batch| BatchRow::new(lang, batch, &checks)).collect(),
        changes: store.changes_of(&view).await?.iter().map(|change| Change::new(lang, change)).collect(),
        playbook: playbook(view.category)
            .into_iter()
            .flat_map(|playbook| &playbook.steps)
            .map(|step| (step.mandatory, lang.pick(&step.ja, &step.en)))
            .collect(),
        reason,
        work,
        duties,
        row: Row::new(&page, view),
        page,
    }))
}

/// Checks every batch off the async threads; the bytes are dropped there.
async fn verified(batches: Vec<BatchView>) -> (Vec<BatchView>, HashMap<BatchName, Check>) {
    let check = move || {
        let checks = batches.iter().map(|batch| (batch.name.clone(), Check::of(batch))).collect();
        (batches, checks)
    };
    tokio::task::spawn_blocking(check).await.unwrap_or_default()
}

fn overall(lang: Lang, checks: &HashMap<BatchName, Check>) -> Mark {
    let good = checks.values().filter(|check| check.is_good()).count();
    match (good, checks.len()) {
        (_, 0) => Mark::none(lang.text("check-none")),
        (good, all) if good == all => Mark::ok(lang.with("check-all-good", all)),
        (good, all) => Mark::bad(lang.with("check-some-bad", all - good)),
    }
}

/// Where a state stands in 検知→初動→調査→通知・報告→復旧→事後対応; what is over has all six behind it.
fn steps(lang: Lang, state: IncidentState) -> [Step; 6] {
    let (at, over) = match state {
        IncidentState::Detected
        | IncidentState::Received
        | IncidentState::Triaged
        | IncidentState::Observing => (0, false),
        IncidentState::Containing => (1, false),
        IncidentState::Investigating => (2, false),
        IncidentState::Notifying => (3, false),
        IncidentState::Recovering => (4, false),
        IncidentState::PostReview => (5, false),
        IncidentState::Closed | IncidentState::FalsePositive | IncidentState::Merged => (6, true),
    };
    let mut place = 0;
    [
        lang.text("step-detect"),
        lang.text("step-respond"),
        lang.text("step-investigate"),
        lang.text("step-notify"),
        lang.text("step-recover"),
        lang.text("step-review"),
    ]
    .map(|label| {
        let step = Step { label, done: place < at, current: place == at && !over };
        place += 1;
        step
    })
}

impl Linked {
    fn new(lang: Lang, link: &LinkView) -> Self {
        let why = link.json.get("why").map(|both| text(both, lang.code())).unwrap_or_default();
        Self { id: link.incident.clone(), rule: shown(&link.rule), why }
    }
}

impl Claim {
    fn new(lang: Lang, finding: &FindingView, opener: &str, checks: &HashMap<BatchName, Check>) -> Self {
        let json = &finding.json;
        let in_lang = |key: &str| json.get(key).map(|both| text(both, lang.code())).unwrap_or_default();
        let percent = json.get("confidence").and_then(Value::as_f64).unwrap_or_default() * 100.0;
        let severity =
            json.get("severity").and_then(Value::as_u64).and_then(|level| u8::try_from(level).ok());
        Self {
            title: in_lang("title"),
            explanation: in_lang("explanation"),
            category: text(json, "category"),
            level: Level::new(lang, severity.and_then(Severity::new).unwrap_or_default()),
            confidence: format!("{percent:.0}%"),
            technique: text(json, "technique"),
            count: text(json, "count"),
            segment: text(json, "segment"),
            body: shown(&finding.body),
            originator: text(json, "originator"),
            responder: text(json, "responder"),
            targets: list(json, "targets"),
            ports: list_of(json, "ports").iter().map(Value::to_string).collect(),
            from: when(json, "time"),
            until: when(json, "end"),
            degraded: json.get("degraded").and_then(Value::as_bool).unwrap_or_default(),
            exception: Excepted::new(lang, &finding.exception),
            reason: json.get("evidence").map(Reason::new).unwrap_or_default(),
            link: pairs(Some(&finding.link)),
            link_rule: text(&finding.link, "rule"),
            open: text(json, "id") != opener,
            batch: format!("{}/{}", finding.batch.epoch, finding.batch.seq),
            mark: finding_mark(lang, checks, finding),
        }
    }
}

fn when(json: &Value, key: &str) -> When {
    let at = json.get(key).and_then(Value::as_str).and_then(|at| at.parse().ok());
    When::from(at.unwrap_or(Timestamp::ZERO))
}

impl Alert {
    fn new(json: &Value) -> Self {
        let host = [text(json, "host"), text(json, "host_name")];
        Self {
            at: when(json, "time"),
            product: format!("{} {}", text(json, "vendor"), text(json, "product")),
            name: text(json, "name"),
            class: text(json, "class"),
            host: host.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" / "),
            action: text(json, "action"),
            original: text(json, "original"),
            original_sha256: text(json, "original_sha256"),
        }
    }
}

impl Flow {
    fn new(flow: &FlowView) -> Self {
        let end = |address: &str, port: i64| match address.contains(':') {
            true => format!("[{}]:{port}", shown(address)),
            false => format!("{}:{port}", shown(address)),
        };
        let protocol = match flow.protocol {
            1 | 58 => "ICMP".to_owned(),
            6 => "TCP".to_owned(),
            17 => "UDP".to_owned(),
            other => other.to_string(),
        };
        Self {
            start: When::from(from_stored(flow.start)),
            protocol,
            originator: end(&flow.originator, flow.originator_port),
            responder: end(&flow.responder, flow.responder_port),
            application: shown(&flow.application),
            server_name: shown(&flow.server_name),
            packets: number(flow.packets),
            bytes: bytes(u64::try_from(flow.bytes).unwrap_or_default()),
            state: shown(&flow.state),
            community_id: shown(&flow.community_id),
        }
    }
}

impl BatchRow {
    fn new(lang: Lang, batch: BatchView, checks: &HashMap<BatchName, Check>) -> Self {
        let digest = Digest::from_bytes(&batch.digest).map(|digest| digest.to_string()).unwrap_or_default();
        let mark = checks
            .get(&batch.name)
            .map_or_else(|| Mark::none(lang.text("check-none")), |check| check.mark(lang));
        Self {
            agent: batch.name.agent,
            agent_name: shown(&batch.agent_name),
            epoch: batch.name.epoch,
            seq: batch.name.seq,
            digest,
            received: When::from(from_stored(batch.received_at)),
            mark,
        }
    }
}

impl Change {
    pub(super) fn new(lang: Lang, change: &ChangeView) -> Self {
        let key = format!("change-{}", change.kind);
        Self {
            at: When::from(change.at),
            what: if lang.has(&key) { lang.text(&key) } else { shown(&change.kind) },
            details: pairs(Some(&change.json)),
        }
    }
}
