//! The collector's policy: fetched (`fetch`), kept (`folder`), applied by the reloader, watched (`guard`), reported in health.
//!
//! ```text
//! Ack says "7" ─► fetch: GET /v1/policy, verify, bundles by digest ─Word─► reloader: lists, folder, shelf: all or nothing
//!                                                       health ─► guard: worse within 10 minutes? ─Word─► the one before
//! ```
//! A policy adds to the configuration: its exceptions come after the local ones, and a local one of the same id stays; what it
//! sets goes before the configuration's value. What is in force stays in force without the collector, for however long.

pub(crate) mod fetch;
pub(crate) mod folder;
pub(crate) mod guard;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use sekimori_wire::envelope::{Envelope, VerifyError, VerifyingKey};
use sekimori_wire::exception::ExceptionFile;
use sekimori_wire::id::AgentId;
use sekimori_wire::policy::{Policy, Settings};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::intel::Sources;
use folder::Folder;

/// What the reloader is told.
#[derive(Debug)]
pub(crate) enum Word {
    /// Files may have changed.
    Files,
    /// A new policy is here, verified, with its bundles in the folder.
    Policy(Box<Arrived>),
    /// The agent is worse off with this version than before.
    RollBack { version: u64, reason: String },
    /// This version has proved itself.
    Proven { version: u64 },
}

/// A verified policy on its way into force.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) policy: Policy,
    pub(crate) envelope: Envelope,
    pub(crate) key: VerifyingKey,
    /// Told whether the matter is settled: applied, or refused for good.
    pub(crate) settled: oneshot::Sender<bool>,
}

/// Why a policy is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("it is not signed by this agent's collector")]
    Signature(#[from] VerifyError),
    #[error("it is for another agent")]
    NotOurs,
    #[error("its version {version} is not newer than {have}")]
    Old { version: u64, have: u64 },
}

/// The policy in an envelope, if it is the collector's, for this agent, and newer than what it has.
pub(crate) fn verified(
    envelope: &Envelope,
    key: &VerifyingKey,
    agent: AgentId,
    have: u64,
) -> Result<Policy, PolicyError> {
    let policy = envelope.verify_policy(key)?.into_inner();
    if policy.agent != agent {
        return Err(PolicyError::NotOurs);
    }
    if policy.version <= have {
        return Err(PolicyError::Old { version: policy.version, have });
    }
    Ok(policy)
}

/// Configuration and policy together: exceptions, and where threat intelligence comes from.
pub(crate) fn together(
    config: &Config,
    policy: Option<&Policy>,
    folder: &Folder,
) -> (Vec<ExceptionFile>, Sources) {
    let (mut exceptions, mut sources) = (config.exceptions.clone(), config.intel.clone());
    let Some(policy) = policy else { return (exceptions, sources) };
    let is_local = |id: &String| config.exceptions.iter().any(|local| local.id == *id);
    exceptions.extend(policy.rules.exceptions.iter().filter(|one| !is_local(&one.id)).cloned());
    let bundles = policy.rules.intel.iter();
    sources.central.extend(bundles.map(|one| (folder.bundle(one.digest), one.key)));
    let Settings { intel_max_age_seconds, feeds, .. } = &policy.rules.settings;
    sources.max_age = intel_max_age_seconds.map(core::time::Duration::from_secs).or(sources.max_age);
    let mut severities: Vec<_> = feeds.iter().map(|(name, severity)| (name.clone(), *severity)).collect();
    // The first that names a feed counts.
    severities.append(&mut sources.severities);
    sources.severities = severities;
    (exceptions, sources)
}

/// How it stands with the policy, for whoever reports or fetches.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Clone, Debug, Default)]
struct State {
    version: u64,
    /// Versions up to this one are settled: applied, refused or rolled back.
    settled: u64,
    /// On trial.
    trial: bool,
    words: String,
}

impl Standing {
    /// The version in force, and what became of the last one.
    pub(crate) fn reported(&self) -> (u64, String) {
        self.with(|state| {
            let words = if state.words.is_empty() { "none" } else { &state.words };
            (state.version, words.to_owned())
        })
    }

    /// No version up to this one is to be fetched.
    pub(crate) fn settled(&self) -> u64 {
        self.with(|state| state.settled)
    }

    /// The version that must prove itself.
    pub(crate) fn on_trial(&self) -> Option<u64> {
        self.with(|state| state.trial.then_some(state.version))
    }

    pub(crate) fn set(&self, version: u64, settled: u64, trial: bool, words: impl Into<String>) {
        let words = words.into();
        self.with(|state| {
            *state = State { version, settled: settled.max(state.settled), trial, words };
        });
    }

    /// What is in force stays; this is why nothing newer is.
    pub(crate) fn say(&self, words: String) {
        self.with(|state| state.words = words);
    }

    fn with<T>(&self, of: impl FnOnce(&mut State) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
