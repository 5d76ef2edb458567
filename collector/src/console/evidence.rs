//! Why we believe it: the reason as a detector gave it, and the signed batches behind it, verified again.

use std::collections::HashMap;

use sekimori_wire::batch::Batch;
use sekimori_wire::envelope::{Envelope, Verified};
use sekimori_wire::id::Digest;
use serde_json::Value;

use super::page::{Mark, number, shown};
use crate::evidence::says;
use crate::i18n::Lang;
use crate::store::view::{BatchName, BatchView, FindingView};

/// What a claim rests on, ready to be read.
#[derive(Debug, Default)]
pub(super) struct Reason {
    pub(super) rule: String,
    pub(super) formula: String,
    pub(super) inputs: Vec<(String, String)>,
    pub(super) threshold: Vec<(String, String)>,
    pub(super) baseline: Vec<(String, String)>,
    pub(super) community_ids: Vec<String>,
}

impl Reason {
    /// From the `evidence` of a finding, or the reason of an incident.
    pub(super) fn new(json: &Value) -> Self {
        Self {
            rule: text(json, "rule"),
            formula: text(json, "formula"),
            inputs: pairs(json.get("inputs")),
            threshold: pairs(json.get("threshold")),
            baseline: pairs(json.get("baseline")),
            community_ids: list(json, "community_ids"),
        }
    }
}

/// A text field; empty if it is not there.
pub(super) fn text(json: &Value, key: &str) -> String {
    json.get(key).map(readable).unwrap_or_default()
}

/// A list field; empty if it is not there.
pub(super) fn list_of<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    json.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list field.
pub(super) fn list(json: &Value, key: &str) -> Vec<String> {
    list_of(json, key).iter().map(readable).collect()
}

/// The fields of an object, by name.
pub(super) fn pairs(json: Option<&Value>) -> Vec<(String, String)> {
    let object = json.and_then(Value::as_object);
    object.map_or(Vec::new(), |all| all.iter().map(|(key, value)| (shown(key), readable(value))).collect())
}

/// A value as a person reads it.
fn readable(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(n) => n.as_u64().map_or_else(|| n.to_string(), number),
        Value::String(text) => shown(text),
        Value::Array(all) => all.iter().map(readable).collect::<Vec<_>>().join(", "),
        Value::Object(_) => pairs(Some(value))
            .into_iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// What came of verifying a stored batch again.
#[derive(Debug)]
pub enum Check {
    /// Its signature is the agent's, it is the batch that its row says, and it continues the one before.
    Good(Box<Verified<Batch>>),
    /// Its bytes are not what the agent signed.
    BadSignature,
    /// Signed by the agent, and not the batch that its row says.
    OtherBatch,
    /// Good by itself, and it does not continue the batch before.
    BrokenChain,
}

impl Check {
    /// Verifies the stored bytes; nothing remembered is believed.
    pub fn of(row: &BatchView) -> Self {
        let Some(keys) = &row.keys else { return Self::BadSignature };
        let Some(batch) =
            Envelope::from_bytes(&row.envelope).ok().and_then(|sealed| keys.verify(&sealed).ok())
        else {
            return Self::BadSignature;
        };
        let same = keys.agent().to_string() == row.name.agent
            && i64::from(batch.lane.number()) == row.name.lane
            && i64::try_from(batch.epoch) == Ok(row.name.epoch)
            && i64::try_from(batch.seq) == Ok(row.name.seq)
            && batch.digest().as_bytes().as_slice() == row.digest;
        let before = row.before.as_deref().unwrap_or(Digest::ZERO.as_bytes());
        if !same {
            Self::OtherBatch
        } else if batch.prev.as_bytes().as_slice() != before || row.prev != before {
            Self::BrokenChain
        } else {
            Self::Good(Box::new(batch))
        }
    }

    /// The stable identifier.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Good(_) => "verified",
            Self::BadSignature => "bad_signature",
            Self::OtherBatch => "other_batch",
            Self::BrokenChain => "broken_chain",
        }
    }

    pub(super) const fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    pub(super) fn mark(&self, lang: Lang) -> Mark {
        match self {
            Self::Good(_) => Mark::ok(lang.text("check-good")),
            Self::BadSignature => Mark::bad(lang.text("check-bad-signature")),
            Self::OtherBatch => Mark::bad(lang.text("check-other-batch")),
            Self::BrokenChain => Mark::bad(lang.text("check-broken-chain")),
        }
    }
}

/// Whether what the store says of a finding is what the verified batch says.
pub(super) fn finding_mark(lang: Lang, checks: &HashMap<BatchName, Check>, finding: &FindingView) -> Mark {
    match checks.get(&finding.batch) {
        None => Mark::none(lang.text("check-not-here")),
        Some(Check::Good(batch)) if says(batch, &finding.json) => Mark::ok(lang.text("check-finding-good")),
        Some(Check::Good(_)) => Mark::bad(lang.text("check-finding-differs")),
        Some(bad) => bad.mark(lang),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_are_readable_whatever_they_hold() {
        let reason = Reason::new(&json!({
            "rule": "scan.port/1", "inputs": {"ports": 1234, "rate": 1.5, "names": ["a", "b\u{202e}"]},
            "threshold": {"ports": 20}, "community_ids": ["1:x"], "baseline": null,
        }));
        assert_eq!(reason.rule, "scan.port/1");
        let inputs = [("names", "a, b\\u{202e}"), ("ports", "1,234"), ("rate", "1.5")];
        assert_eq!(reason.inputs, inputs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(reason.community_ids, ["1:x"]);
        assert!(Reason::new(&Value::Null).inputs.is_empty());
        assert_eq!(readable(&json!({"a": {"b": 1}})), "a: b: 1");
    }
}
