//! Whether a finding is under an exception: the collector's own judgement, then what the agent said.
//!
//! The collector knows the id that the agent names: its own judgement rules, whatever the agent's copy of that exception
//! says. It does not know it: the agent's mark stands (whoever runs the agent signed for it), is counted, and is shown
//! as what the collector cannot vouch for; unless the configuration refuses such marks.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekimori_wire::exception::{Exception, Exceptions, Facts, Verdict};
use sekimori_wire::finding::Finding;
use sekimori_wire::id::BodyCode;
use serde_json::{Map, Value, json};

use crate::config::AgentsOwn;
use crate::fleet::policy::Scope;

/// What findings are judged by.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// The collector's own exceptions.
    pub exceptions: Arc<Exceptions>,
    /// Those that policies give to agents, by whom they are for.
    pub central: Arc<BTreeMap<Scope, Exceptions>>,
    /// Those granted in incidents, each for one body.
    pub suppressed: Arc<[Exception]>,
    /// What holds of those that only agents know.
    pub agents_own: AgentsOwn,
}

/// Whose finding.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The agent's identity.
    pub agent: &'a str,
    /// Its body.
    pub body: BodyCode,
}

impl Judge {
    /// The exception of this id that this agent has by a policy; the nearest layer counts.
    fn given(&self, from: Whose<'_>, id: &str) -> Option<&Exception> {
        let agent = from.agent.parse().ok().map(Scope::Agent);
        let scopes = agent.into_iter().chain([Scope::Body(from.body), Scope::All]);
        scopes.filter_map(|scope| self.central.get(&scope)).find_map(|layer| layer.by_id(id))
    }
}

/// Whose judgement puts a finding under an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The collector's.
    Collector,
    /// The agent's alone.
    Agent,
}

impl Source {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Agent => "agent",
        }
    }
}

/// What the collector makes of a finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Ruling {
    /// No exception: it counts.
    Counts,
    /// The agent named an exception that does not hold here: it counts, and what was overruled is shown.
    Overruled {
        /// What is written down.
        note: Value,
    },
    /// It is stored and counted, and no incident knows it.
    Excepted {
        /// By which exception.
        id: String,
        /// By whose judgement.
        source: Source,
        /// What is written down.
        note: Value,
    },
}

impl Ruling {
    /// The exception's id and whose judgement it is, if the finding is under one.
    pub fn excepted(&self) -> Option<(&str, Source)> {
        match self {
            Self::Excepted { id, source, .. } => Some((id, *source)),
            Self::Counts | Self::Overruled { .. } => None,
        }
    }

    /// What is written down with the finding.
    pub const fn note(&self) -> Option<&Value> {
        match self {
            Self::Counts => None,
            Self::Overruled { note } | Self::Excepted { note, .. } => Some(note),
        }
    }
}

/// Judges a revision by the time of its last evidence: one that goes on after the end of its exception counts.
pub fn rule(judge: &Judge, from: Whose<'_>, finding: &Finding) -> Ruling {
    let Judge { exceptions, suppressed, agents_own, .. } = judge;
    let said = finding.excepted_by.as_deref();
    let at = finding.end.max(finding.time);
    let facts = Facts::from(finding);
    let own = exceptions.judge(&facts, at).map(|(_, exception)| exception);
    let granted = || suppressed.iter().find(|one| one.verdict(&facts, at) == Verdict::Covers);
    if let Some(exception) = own.or_else(granted) {
        let mut note = described(exception);
        note.insert("verdict".to_owned(), json!("covers"));
        note.insert("agent".to_owned(), json!(said));
        let note = with_source(note, Source::Collector);
        return Ruling::Excepted { id: exception.id.as_str().to_owned(), source: Source::Collector, note };
    }
    let Some(said) = said else { return Ruling::Counts };
    let given = judge.given(from, said);
    if let Some(exception) = given
        && exception.verdict(&facts, at) == Verdict::Covers
    {
        let mut note = described(exception);
        note.insert("verdict".to_owned(), json!("covers"));
        note.insert("agent".to_owned(), json!(said));
        let note = with_source(note, Source::Collector);
        return Ruling::Excepted { id: said.to_owned(), source: Source::Collector, note };
    }
    // Agents are given no suppressions: one that names one is overruled, whatever it says.
    let granted = suppressed.iter().find(|one| one.id.as_str() == said);
    match exceptions.by_id(said).or(given).or(granted) {
        None => {
            let verdict = match agents_own {
                AgentsOwn::Accept => "unknown",
                AgentsOwn::Refuse => "refused",
            };
            let note = Map::from_iter([
                ("id".to_owned(), json!(said)),
                ("verdict".to_owned(), json!(verdict)),
                ("agent".to_owned(), json!(said)),
            ]);
            match agents_own {
                AgentsOwn::Accept => {
                    let note = with_source(note, Source::Agent);
                    Ruling::Excepted { id: said.to_owned(), source: Source::Agent, note }
                }
                AgentsOwn::Refuse => Ruling::Overruled { note: with_source(note, Source::Collector) },
            }
        }
        Some(exception) => {
            let mut note = described(exception);
            let verdict = if at > exception.expires { "ended" } else { "outside" };
            note.insert("verdict".to_owned(), json!(verdict));
            note.insert("agent".to_owned(), json!(said));
            Ruling::Overruled { note: with_source(note, Source::Collector) }
        }
    }
}

fn with_source(mut note: Map<String, Value>, source: Source) -> Value {
    note.insert("source".to_owned(), json!(source.as_str()));
    Value::Object(note)
}

/// As it was when it was judged by: files change, and the finding must still say who accepted it and why.
fn described(exception: &Exception) -> Map<String, Value> {
    Map::from_iter([
        ("id".to_owned(), json!(exception.id.as_str())),
        ("owner".to_owned(), json!(exception.owner)),
        ("reason".to_owned(), json!(exception.reason)),
        ("created".to_owned(), json!(exception.created)),
        ("expires".to_owned(), json!(exception.expires)),
        ("scope".to_owned(), scope_of(exception)),
    ])
}

/// Its scope as the file writes it.
pub fn scope_of(exception: &Exception) -> Value {
    exception
        .written
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect::<Map<_, _>>()
        .into()
}
