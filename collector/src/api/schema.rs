//! What answers look like, as types: the OpenAPI document is generated from them, and a test reads every answer back
//! through them, so that neither can change alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::auth::role::Role;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::incident::permission::Permission;
use crate::incident::task::Task;
use crate::incident::{IncidentCategory, IncidentState};

/// An error (RFC 9457). `type` is for programs, `detail` for people.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Problem {
    /// `urn:sekimori:problem:` and a stable word.
    #[schema(pattern = "^urn:sekimori:problem:[a-z-]+$")]
    r#type: String,
    /// The kind, in a few words.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// The same as `detail`, as versions before 1.0 had it.
    error: String,
    /// The caller's role, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// What the role lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permission: Option<Permission>,
    /// The version that the caller saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_seen: Option<i64>,
    /// The version that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    /// The action that does not go from this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// The state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<IncidentState>,
    /// What is missing or not valid, by stable name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
}

/// A text in both languages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Title {
    ja: String,
    en: String,
}

/// Where evidence comes from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    Finding,
    EndpointAlert,
    Manual,
}

/// From a live link, or from a capture file.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Live,
    Replay,
}

/// What the findings and alerts of an incident have in common, and the rule that opened it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Grouping {
    key: GroupingKey,
    /// With its version, such as `correlate.subject/1`.
    rule: Option<String>,
}

/// What is the same in all of an incident.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct GroupingKey {
    body: Option<String>,
    category: IncidentCategory,
    subject: String,
}

/// An incident that a rule linked with this one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Linked {
    incident: String,
    rule: String,
    /// What the rule saw.
    details: Value,
}

/// An incident, as in lists.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Incident {
    /// `INC-…`, an exercise `DRL-…`.
    id: String,
    category: IncidentCategory,
    /// 0 informational, 1 low, 2 medium, 3 high, 4 critical.
    #[schema(maximum = 4)]
    severity: u8,
    state: IncidentState,
    /// 団体コード; null for a wide-area incident.
    body: Option<String>,
    body_name: Option<String>,
    /// What it is about.
    subject: String,
    title: Title,
    /// Why what is in it is one incident.
    grouping: Grouping,
    /// The wide-area incident that it belongs to.
    parent: Option<String>,
    /// Incidents that belong to it.
    children: i64,
    /// Findings that belong to it.
    findings: i64,
    sources: Vec<Source>,
    /// Everything behind it is in stored batches with good signatures.
    verified: bool,
    mode: Mode,
    #[schema(format = DateTime)]
    opened_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    #[schema(format = DateTime)]
    first_evidence: String,
    #[schema(format = DateTime)]
    last_evidence: String,
    /// Grows with everything that people do to it; name it in changes (`If-Match`, or `version`).
    version: i64,
}

/// A page of incidents.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct IncidentPage {
    #[schema(max_items = 200)]
    incidents: Vec<Incident>,
    /// How many match in all.
    total: u32,
    /// Which page this is, where pages were asked for by number.
    page: u32,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// The batch that brought something.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct BatchRef {
    agent: String,
    lane: Option<String>,
    epoch: i64,
    seq: i64,
}

/// A finding, with the batch that brought it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Finding {
    /// 団体コード.
    body: String,
    /// As the agent said it: category, severity, addresses, title, explanation, evidence, technique.
    #[schema(value_type = Object)]
    finding: Map<String, Value>,
    /// Why it belongs to the incident: rule, values, threshold.
    link: Value,
    /// Under which exception it is, or which one was overruled.
    exception: Value,
    batch: BatchRef,
}

/// Findings of an incident, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FindingPage {
    #[schema(max_items = 200)]
    findings: Vec<Finding>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// A line of a history.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Change {
    #[schema(format = DateTime)]
    at: String,
    /// `opened`, `grew`, `moved`, `note`, …
    kind: String,
    /// Who, what, from where to where, why.
    details: Value,
}

/// The history of an incident, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ChangePage {
    #[schema(max_items = 200)]
    changes: Vec<Change>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// Whether a stored signature was good when it was checked just now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Batch {
    agent: String,
    agent_name: String,
    lane: Option<String>,
    epoch: i64,
    seq: i64,
    digest: Option<String>,
    #[schema(format = DateTime)]
    received_at: String,
    /// `good`, or what is wrong.
    signature: String,
}

/// A step that the caller could take.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Offered {
    /// Name of the action.
    action: String,
    /// Another person must approve it.
    proposes: bool,
    /// What must be there first.
    missing: Vec<String>,
}

/// A note.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Note {
    #[schema(format = DateTime)]
    at: String,
    author: String,
    role: String,
    text: String,
}

/// An incident of the past that resembles this one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Resembling {
    id: String,
    score: u32,
    because: Vec<String>,
    lesson: String,
    root_cause: String,
}

/// Something that must be reported.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Owed {
    kind: ObligationKind,
    state: ObligationState,
}

/// What others call the category.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Taxonomy {
    jpcert: Option<String>,
    rsit: String,
}

/// The work on an incident, and what the caller could do next.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct WorkDone {
    version: i64,
    drill: bool,
    /// What people wrote down and decided: owner, triage, leak, investigation, publication, review, times.
    #[schema(value_type = Object)]
    facts: Map<String, Value>,
    #[schema(maximum = 100)]
    investigation_percent: u8,
    tasks: Vec<Task>,
    /// What was proposed, and what became of it.
    #[schema(value_type = Vec<Object>)]
    proposals: Vec<Map<String, Value>>,
    obligations: Vec<Owed>,
    notes: Vec<Note>,
    merged_here: Vec<String>,
    /// Names of what is hidden of it: `unmask` asks for one.
    masked: Vec<String>,
    /// What two persons agreed to, newest first.
    grants: Vec<super::granted::Granted>,
    offers: Vec<Offered>,
    similar: Vec<Resembling>,
    elsewhere: Taxonomy,
}

/// One incident with what is behind it; of findings, alerts and changes the newest 50.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct IncidentDetail {
    #[serde(flatten)]
    incident: Incident,
    /// Why it was opened: rule, formula, inputs.
    reason: Value,
    findings_detail: Vec<Finding>,
    /// Findings under exceptions about the same subject at the same time.
    excepted_beside: Vec<Finding>,
    #[schema(value_type = Vec<Object>)]
    endpoint_alerts: Vec<Map<String, Value>>,
    children_ids: Vec<String>,
    links: Vec<Linked>,
    batches: Vec<Batch>,
    changes: Vec<Change>,
    work: WorkDone,
}

/// What became of an action.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Done,
    Proposed,
}

/// An incident after an action.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ActionResult {
    #[serde(flatten)]
    incident: Incident,
    outcome: Outcome,
    /// The number of the proposal, if another person must approve it.
    proposal: Option<u32>,
    tasks: Vec<Task>,
}

/// The tasks of an incident.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct TaskList {
    /// Of the incident, for `If-Match`.
    version: i64,
    tasks: Vec<Task>,
    /// Playbooks taken over, as `category/version`.
    playbooks: Vec<String>,
}

/// A chain of batches of an agent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Chain {
    epoch: i64,
    through: i64,
    head: Option<String>,
}

/// The policy of an agent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct AgentPolicy {
    wanted: i64,
    version: u64,
    state: String,
}

/// An agent and how it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Agent {
    /// Digest of its key, hexadecimal.
    id: String,
    name: String,
    body: String,
    body_name: String,
    #[schema(format = DateTime)]
    enrolled_at: String,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    #[schema(format = DateTime)]
    certificate_expires_at: String,
    #[schema(format = DateTime)]
    last_seen: Option<String>,
    epoch: i64,
    through: i64,
    head: Option<String>,
    /// The other lane.
    detail: Chain,
    #[schema(format = DateTime)]
    sealed_at: Option<String>,
    version: Option<String>,
    sealed_ahead_ms: Option<i64>,
    policy: AgentPolicy,
    /// Conditions that an incident was told of.
    conditions: i64,
    /// What it last said of itself: counters, interfaces, load.
    health: Value,
}

/// Agents, by body and name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct AgentPage {
    #[schema(max_items = 5000)]
    agents: Vec<Agent>,
    /// Ask for what follows with this as `cursor`; null at the end.
    next: Option<String>,
}

/// Somebody who was turned away.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Rejection {
    peer: String,
    kind: String,
    count: i64,
    #[schema(format = DateTime)]
    last_at: String,
    detail: String,
}

/// Every counter, and who was turned away.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Counters {
    #[schema(value_type = Object)]
    counters: Map<String, Value>,
    rejections: Vec<Rejection>,
}

/// An exception in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Exception {
    id: String,
    owner: String,
    reason: String,
    /// Keys and values, as the file writes them.
    #[schema(value_type = Object)]
    scope: Map<String, Value>,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    expires: String,
    days_left: Option<u64>,
    /// 0 once it has ended, else 7, 14 or 30 days, or null.
    ends_within: Option<u64>,
    findings: i64,
    #[schema(format = DateTime)]
    last: Option<String>,
}

/// An exception that only an agent knows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct UnknownException {
    id: String,
    agent: String,
    agent_name: String,
    findings: i64,
    #[schema(format = DateTime)]
    last: String,
}

/// Exceptions, and the findings under them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Exceptions {
    exceptions: Vec<Exception>,
    unknown: Vec<UnknownException>,
    findings: Vec<Finding>,
    /// What is wrong with the files, if something is.
    error: Option<String>,
}

/// A policy in force.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Policy {
    version: u64,
    /// `all`, `body:…` or `agent:…`.
    scope: String,
    #[schema(format = DateTime)]
    at: String,
    withdrawn: bool,
    exceptions: usize,
    intel: usize,
}

/// Which policy an agent has.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PolicyOf {
    agent: String,
    name: String,
    body: String,
    wanted: i64,
    version: u64,
    state: String,
}

/// Policies, and which agent has which.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Policies {
    policies: Vec<Policy>,
    agents: Vec<PolicyOf>,
}

/// The collector answers, and so does its store.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: String,
    version: String,
}

/// Who the caller is and what they may do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Me {
    pub(super) name: String,
    pub(super) role: Role,
    /// 団体コード of the bodies that are seen; null: every body.
    pub(super) bodies: Option<Vec<String>>,
    /// This credential may change something.
    pub(super) may_act: bool,
    pub(super) came_by: CameBy,
}

/// How a caller shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CameBy {
    Token,
    Password,
    Session,
}
