//! What a collector decides for an agent: exceptions, threat intelligence, and the few settings that may be set centrally.
//!
//! Several layers may speak of one agent: all, its body, the agent itself. [`merged`] makes one [`Policy`] of them, and that is
//! what the collector signs and the agent applies. The rule: what a nearer layer says of an id, a name or a setting replaces
//! what a farther one says of the same; everything else adds up.

use std::collections::BTreeMap;

use crate::envelope::VerifyingKey;
use crate::exception::ExceptionFile;
use crate::finding::Severity;
use crate::id::{AgentId, Digest};
use crate::time::Timestamp;

/// The policy of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For whom, and nobody else.
    pub agent: AgentId,
    /// Grows with every change that concerns this agent; never 0.
    pub version: u64,
    /// When it was changed last, by the collector's clock.
    pub made_at: Timestamp,
    /// What holds.
    pub rules: Rules,
}

/// What one layer says, or all of them together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Exceptions, as files write them.
    pub exceptions: Vec<ExceptionFile>,
    /// Signed bundles of threat intelligence.
    pub intel: Vec<IntelBundle>,
    /// Settings.
    pub settings: Settings,
}

/// A signed bundle of threat intelligence that an agent fetches by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelBundle {
    /// For people, and for nearer layers to replace.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// Whose signature it carries.
    pub key: VerifyingKey,
}

/// What may be set centrally: only what a running agent can take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Quota of the spool.
    pub spool_max_bytes: Option<u64>,
    /// Age from which on a feed that does not say so itself should have been replaced.
    pub intel_max_age_seconds: Option<u64>,
    /// The most that a match of a feed can be, by its name.
    pub feeds: BTreeMap<String, Severity>,
}

/// One set of rules of several layers, the farthest first.
pub fn merged(layers: impl IntoIterator<Item = Rules>) -> Rules {
    let mut out = Rules::default();
    for layer in layers {
        for one in layer.exceptions {
            replace_or_add(&mut out.exceptions, one, |one| &one.id);
        }
        for one in layer.intel {
            replace_or_add(&mut out.intel, one, |one| &one.name);
        }
        let Settings { spool_max_bytes, intel_max_age_seconds, feeds } = layer.settings;
        let settings = &mut out.settings;
        settings.spool_max_bytes = spool_max_bytes.or(settings.spool_max_bytes);
        settings.intel_max_age_seconds = intel_max_age_seconds.or(settings.intel_max_age_seconds);
        settings.feeds.extend(feeds);
    }
    out
}

fn replace_or_add<T>(all: &mut Vec<T>, one: T, name: impl Fn(&T) -> &String) {
    match all.iter_mut().find(|other| name(other) == name(&one)) {
        Some(other) => *other = one,
        None => all.push(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, SigningKey, VerifyError};
    use crate::limits::PAYLOAD_BYTES_MAX;

    fn exception(id: &str, reason: &str) -> ExceptionFile {
        ExceptionFile {
            id: id.to_owned(),
            category: Some("scan.*".to_owned()),
            port: Some(0),
            reason: reason.to_owned(),
            owner: "soc".to_owned(),
            created: "2026-04-01".to_owned(),
            expires: "2027-03-31".to_owned(),
            ..ExceptionFile::default()
        }
    }

    fn rules(exceptions: &[(&str, &str)], settings: Settings) -> Rules {
        let exceptions = exceptions.iter().map(|(id, reason)| exception(id, reason)).collect();
        Rules { exceptions, intel: Vec::new(), settings }
    }

    fn policy(rules: Rules) -> Policy {
        let agent = AgentId::from_bytes(&[7; 32]).unwrap();
        Policy { agent, version: 3, made_at: Timestamp::from_secs(9), rules }
    }

    #[test]
    fn the_nearest_layer_wins_and_the_rest_adds_up() {
        let feeds = |level| BTreeMap::from([("a".to_owned(), Severity::new(level).unwrap())]);
        let all = Settings { spool_max_bytes: Some(1), intel_max_age_seconds: Some(5), feeds: feeds(1) };
        let own = Settings { spool_max_bytes: Some(2), feeds: feeds(4), ..Settings::default() };
        let merged = merged([
            rules(&[("EX-1", "all"), ("EX-2", "all")], all),
            rules(&[("EX-3", "body")], Settings::default()),
            rules(&[("EX-1", "agent")], own),
        ]);
        let said: Vec<_> =
            merged.exceptions.iter().map(|one| (one.id.as_str(), one.reason.as_str())).collect();
        assert_eq!(said, [("EX-1", "agent"), ("EX-2", "all"), ("EX-3", "body")]);
        let settings = &merged.settings;
        assert_eq!((settings.spool_max_bytes, settings.intel_max_age_seconds), (Some(2), Some(5)));
        assert_eq!(settings.feeds, feeds(4));
    }

    #[test]
    fn a_policy_travels_signed_and_under_its_own_label() {
        let (key, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let mut rules = rules(&[("EX-1", "診断")], Settings::default());
        rules.intel.push(IntelBundle {
            name: "prefecture".to_owned(),
            digest: Digest::of(b"x"),
            bytes: 1,
            key: *other.verifying_key(),
        });
        rules.settings.feeds.insert("a".to_owned(), Severity::LOW);
        let policy = policy(rules);
        let envelope = Envelope::seal_policy(&policy, &key).unwrap();
        let back = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
        assert_eq!(*back.verify_policy(key.verifying_key()).unwrap(), policy);
        assert_eq!(back.verify_policy(other.verifying_key()), Err(VerifyError::WrongSigner));
        assert_eq!(back.verify_ack(key.verifying_key()), Err(VerifyError::WrongType));
        let mut bytes = envelope.to_bytes();
        let at = bytes.windows(4).position(|four| four == b"EX-1").unwrap();
        bytes[at + 3] = b'2';
        let changed = Envelope::from_bytes(&bytes).unwrap();
        assert_eq!(changed.verify_policy(key.verifying_key()), Err(VerifyError::BadSignature));
    }

    #[test]
    fn what_is_too_large_is_not_signed() {
        let (key, _) = SigningKey::generate().unwrap();
        let reason = "x".repeat(PAYLOAD_BYTES_MAX);
        let policy = policy(rules(&[("EX-1", &reason)], Settings::default()));
        Envelope::seal_policy(&policy, &key).unwrap_err();
    }
}
