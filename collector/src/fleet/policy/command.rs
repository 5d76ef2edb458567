//! `policy set|show|list|withdraw`: what they do and print.

use std::fmt::Write as _;

use sekimori_wire::id::AgentId;
use sekimori_wire::policy::{Policy, merged};
use sekimori_wire::text::BoundedText;
use serde_json::{Value, json};

use super::file::{self, PolicyFile};
use super::{PolicyError, Scope, check_merged, of_agent};
use crate::auth::scope::Scope as Everything;
use crate::beside::{open, read_only};
use crate::cli::PolicyCommand;
use crate::clock;
use crate::config::Config;
use crate::fleet::authority::{self, Paths};
use crate::store::policy::Kept;
use crate::store::seen::Seen;
use crate::store::view::AgentView;
use crate::store::{Store, StoreError};

/// Does what the command line asks; what it prints.
///
/// # Errors
/// If a file is not good, or the store cannot be used.
pub async fn run(command: &PolicyCommand) -> anyhow::Result<String> {
    match command {
        PolicyCommand::Set { config, file } => {
            // The file first: what is wrong with it matters most.
            let policy = file::read(file)?;
            let (config, store) = open(config).await?;
            let version = set(&store, &config, &policy).await?;
            store.close().await;
            Ok(format!("policy {version} for {} holds from now on", policy.scope))
        }
        PolicyCommand::Withdraw { config, scope } => {
            let (_config, store) = open(config).await?;
            let version = store.withdraw_policy(*scope, clock::now()).await?;
            store.close().await;
            let version = version.ok_or_else(|| nobody(*scope))?;
            Ok(format!("the policy for {scope} is withdrawn, as change {version}"))
        }
        PolicyCommand::Show { config, scope } => show(&read_only(config).await?, *scope).await,
        PolicyCommand::List { config, json } => {
            let list = list(read_only(config).await?.seen_in(&Everything::All)).await?;
            if *json { Ok(list.to_string()) } else { Ok(table(&list)) }
        }
    }
}

fn nobody(scope: Scope) -> PolicyError {
    PolicyError::Nobody { what: "policy for", scope: scope.to_string() }
}

/// Keeps a policy, if every agent that it concerns could take it with what else holds for it.
///
/// # Errors
/// Names the agent that could not.
pub async fn set(store: &Store, config: &Config, policy: &PolicyFile) -> anyhow::Result<u64> {
    let key = authority::load_ack_key(Paths::of(&config.dir).ack_key())?;
    let agents = store.agents().await?;
    must_exist(store, policy.scope, &agents).await?;
    let kept = store.policies().await?;
    for agent in &agents {
        let Some((id, body)) = agent.id.parse::<AgentId>().ok().zip(agent.body.parse().ok()) else {
            continue;
        };
        let scopes = [Scope::All, Scope::Body(body), Scope::Agent(id)];
        if !scopes.contains(&policy.scope) {
            continue;
        }
        let mut layers = Vec::new();
        for scope in scopes {
            if scope == policy.scope {
                layers.push(policy.rules.clone());
            } else if let Some(kept) = kept.iter().find(|kept| kept.scope == scope) {
                layers.extend(kept.rules().transpose()?);
            }
        }
        let name = || agent.name.clone();
        check_merged(id, merged(layers), &key).map_err(|why| PolicyError::Merged {
            agent: id,
            name: name(),
            why,
        })?;
    }
    Ok(store.put_policy(policy, clock::now()).await?)
}

/// A policy for somebody who is not there is more likely a slip than foresight.
async fn must_exist(store: &Store, scope: Scope, agents: &[AgentView]) -> Result<(), PolicyError> {
    let (what, is_there) = match scope {
        Scope::All => return Ok(()),
        Scope::Body(body) => ("body", store.bodies().await?.iter().any(|(code, _)| code == body.as_str())),
        Scope::Agent(agent) => ("agent", agents.iter().any(|one| one.id == agent.to_string())),
    };
    if is_there { Ok(()) } else { Err(PolicyError::Nobody { what, scope: scope.to_string() }) }
}

/// The file that holds for a scope; for an agent also what comes of all that holds for it.
async fn show(store: &Store, scope: Scope) -> anyhow::Result<String> {
    let kept = store.policies().await?;
    let own = kept.iter().find(|kept| kept.scope == scope);
    let mut out = String::new();
    if let Some((kept, text)) = own.and_then(|kept| Some((kept, kept.text.as_ref()?))) {
        let _infallible =
            writeln!(out, "# policy {} for {scope}, set {}\n{}", kept.version, kept.at, text.trim_end());
    }
    if let Scope::Agent(agent) = scope
        && let Some(view) = store.agent(&agent.to_string()).await?
        && let Ok(body) = view.body.parse()
        && let Some(policy) = of_agent(agent, &store.policies_of(agent, body).await?)?
    {
        out.push_str(&together(&policy));
    }
    if out.is_empty() {
        return Err(nobody(scope).into());
    }
    Ok(out)
}

/// What an agent is given, as comments.
fn together(policy: &Policy) -> String {
    let mut out =
        format!("# together with what holds for its body and for all: version {}\n", policy.version);
    let mut line = |text: String| {
        out.push_str("# ");
        out.push_str(&text);
        out.push('\n');
    };
    for one in &policy.rules.exceptions {
        line(format!("exception {} until {} ({}: {})", one.id, one.expires, one.owner, one.reason));
    }
    for one in &policy.rules.intel {
        line(format!("intel {}: {} bytes, SHA-256 {}", one.name, one.bytes, one.digest));
    }
    let settings = &policy.rules.settings;
    if let Some(bytes) = settings.spool_max_bytes {
        line(format!("settings.spool_max_bytes = {bytes}"));
    }
    if let Some(seconds) = settings.intel_max_age_seconds {
        line(format!("settings.intel_max_age_hours = {}", seconds / 3_600));
    }
    for (feed, severity) in &settings.feeds {
        line(format!("settings.feed {feed}: at most severity {}", severity.level()));
    }
    out
}

/// Which policies there are, and which agent has which version.
///
/// # Errors
/// If the store fails.
pub async fn list(seen: Seen<'_>) -> Result<Value, StoreError> {
    let policies: Vec<Value> = seen.policies().await?.iter().map(listed).collect();
    let mut agents = Vec::new();
    for agent in seen.agents().await?.iter().filter(|agent| agent.revoked_at.is_none()) {
        let has = Reported::of(agent);
        agents.push(json!({
            "agent": agent.id, "name": agent.name, "body": agent.body,
            "wanted": agent.policy_wanted, "version": has.version, "state": has.state,
        }));
    }
    Ok(json!({ "policies": policies, "agents": agents }))
}

fn listed(kept: &Kept) -> Value {
    let rules = kept.rules().and_then(Result::ok).unwrap_or_default();
    json!({
        "version": kept.version, "scope": kept.scope.to_string(), "at": kept.at,
        "withdrawn": kept.text.is_none(), "exceptions": rules.exceptions.len(), "intel": rules.intel.len(),
    })
}

/// What an agent says of its policy in its last health.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    /// Version in force.
    pub version: u64,
    /// What became of the last one.
    pub state: String,
}

impl Reported {
    /// From an agent's row.
    pub fn of(agent: &AgentView) -> Self {
        let health = agent.health_json.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
        let health = health.unwrap_or_default();
        Self {
            version: health.get("policy_version").and_then(Value::as_u64).unwrap_or_default(),
            state: health.get("policy_state").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }
}

fn table(list: &Value) -> String {
    let mut out = String::new();
    let rows = |key: &str| list.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for row in rows("policies") {
        let text = |key: &str| shown(&row, key);
        let state = if row.get("withdrawn") == Some(&Value::Bool(true)) { "withdrawn" } else { "holds" };
        let _infallible = writeln!(
            out,
            "{}  {state}  {}  set {}  {} exceptions, {} bundles",
            text("version"),
            text("scope"),
            text("at"),
            text("exceptions"),
            text("intel"),
        );
    }
    for row in rows("agents") {
        let text = |key: &str| shown(&row, key);
        let _infallible = writeln!(
            out,
            "{}  {}  wants {}, has {} ({})  {}",
            text("agent"),
            text("body"),
            text("wanted"),
            text("version"),
            text("state"),
            text("name"),
        );
    }
    out
}

fn shown(row: &Value, key: &str) -> String {
    match row.get(key) {
        Some(Value::String(text)) => BoundedText::<256>::new(text).to_string(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}
