//! Policies: what is decided for all agents, those of one body, or one agent. Read from a file (`file`), kept in the store,
//! merged for each agent, signed when the agent asks (`serve`), and the command line for them (`command`).

pub mod command;
pub mod file;
pub mod serve;

use std::fmt;
use std::str::FromStr;

use sekimori_wire::envelope::{Envelope, SigningKey};
use sekimori_wire::exception::Exceptions;
use sekimori_wire::id::{AgentId, BodyCode};
use sekimori_wire::limits::POLICY_INTEL_MAX;
use sekimori_wire::policy::{Policy, Rules, merged};
use sekimori_wire::time::Timestamp;

use crate::store::StoreError;
use crate::store::policy::Kept;
use file::PolicyFileError;

/// Whom a policy is for; nearer ones come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every agent.
    All,
    /// The agents of one body.
    Body(BodyCode),
    /// One agent.
    Agent(AgentId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Body(body) => write!(f, "body:{}", body.as_str()),
            Self::Agent(agent) => write!(f, "agent:{agent}"),
        }
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            "is `all`, `body:` with a 団体コード, or `agent:` with an identity as `agent list` shows it";
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("body", code)) => code.parse().map(Self::Body).map_err(|_cause| wrong),
            Some(("agent", id)) => id.parse().map(Self::Agent).map_err(|_cause| wrong),
            None | Some(_) => Err(wrong),
        }
    }
}

/// The policy of an agent, from what is kept for all, its body, and itself. `None`: nothing was ever decided for it.
/// What was withdrawn counts too: the agent must learn of it.
///
/// # Errors
/// If a kept policy cannot be read any more: it was checked when it was set, so the store is damaged.
pub fn of_agent(agent: AgentId, kept: &[Kept]) -> Result<Option<Policy>, PolicyFileError> {
    let Some(newest) = kept.iter().max_by_key(|kept| kept.version) else { return Ok(None) };
    let rules = kept.iter().filter_map(Kept::rules).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Policy { agent, version: newest.version, made_at: newest.at, rules: merged(rules) }))
}

/// Whether the merged policy of an agent can be given to it.
///
/// # Errors
/// In words, for whoever sets a policy.
pub fn check_merged(agent: AgentId, rules: Rules, key: &SigningKey) -> Result<(), String> {
    Exceptions::from_files(rules.exceptions.clone()).map_err(|cause| cause.to_string())?;
    if rules.intel.len() > POLICY_INTEL_MAX {
        return Err(format!("it would have more than {POLICY_INTEL_MAX} bundles"));
    }
    let policy = Policy { agent, version: u64::MAX, made_at: Timestamp::ZERO, rules };
    Envelope::seal_policy(&policy, key).map(drop).map_err(|cause| cause.to_string())
}

/// A policy cannot be kept, given or found.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file.
    #[error(transparent)]
    File(#[from] PolicyFileError),
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Together with the others of an agent it is too much.
    #[error("with its other policies, agent {agent} ({name}) could not take this: {why}")]
    Merged {
        /// Which agent.
        agent: AgentId,
        /// Its label.
        name: String,
        /// Why.
        why: String,
    },
    /// Nobody is meant.
    #[error("there is no {what} {scope}")]
    Nobody {
        /// `agent`, `body` or `policy for`.
        what: &'static str,
        /// What was asked for.
        scope: String,
    },
}

#[cfg(test)]
mod tests;
