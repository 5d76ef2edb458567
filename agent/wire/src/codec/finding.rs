//! Findings and their evidence.

use std::collections::BTreeMap;

use crate::codec::DecodeError;
use crate::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity, Value};
use crate::id::{BodyCode, FindingId, Host};
use crate::limits::{COMMUNITY_IDS_MAX, EVIDENCE_ENTRIES_MAX, PORTS_MAX, TARGETS_MAX};
use crate::pb;
use crate::text::BoundedText;
use crate::time::Timestamp;

pub(super) fn to_pb(finding: &Finding) -> pb::Finding {
    pb::Finding {
        id: finding.id.as_bytes().to_vec(),
        revision: finding.revision,
        time: finding.time.nanos(),
        end: finding.end.nanos(),
        detected_at: finding.detected_at.nanos(),
        category: finding.category.as_str().to_owned(),
        severity: u32::from(finding.severity.level()),
        confidence_permille: u32::from(finding.confidence.permille()),
        originator: text_of(finding.originator),
        responder: text_of(finding.responder),
        targets: finding.targets.iter().take(TARGETS_MAX).map(|target| target.as_str().to_owned()).collect(),
        ports: finding.ports.iter().take(PORTS_MAX).copied().map(u32::from).collect(),
        title: Some(bilingual_to_pb(&finding.title)),
        explanation: Some(bilingual_to_pb(&finding.explanation)),
        evidence: Some(evidence_to_pb(&finding.evidence)),
        technique: finding.technique.as_str().to_owned(),
        count: finding.count,
        body: text_of(finding.body),
        segment: string_of(finding.segment.as_ref()),
        degraded: finding.degraded,
        excepted_by: string_of(finding.excepted_by.as_ref()),
    }
}

/// `None` for a category that a newer agent knows and we do not.
pub(super) fn from_pb(message: pb::Finding) -> Result<Option<Finding>, DecodeError> {
    let Ok(category) = message.category.parse::<Category>() else { return Ok(None) };
    let port = |port: u32| u16::try_from(port).map_err(|_cause| DecodeError::Field("finding.ports"));
    let permille = u16::try_from(message.confidence_permille)
        .map_err(|_cause| DecodeError::Field("finding.confidence_permille"))?;
    Ok(Some(Finding {
        id: FindingId::from_bytes(&message.id).ok_or(DecodeError::Field("finding.id"))?,
        revision: message.revision,
        time: Timestamp::from_nanos(message.time),
        end: Timestamp::from_nanos(message.end),
        detected_at: Timestamp::from_nanos(message.detected_at),
        category,
        severity: severity(message.severity)?,
        confidence: Confidence::from_permille(permille),
        originator: host(&message.originator)?,
        responder: host(&message.responder)?,
        targets: message.targets.into_iter().take(TARGETS_MAX).map(BoundedText::from).collect(),
        ports: message.ports.into_iter().take(PORTS_MAX).map(port).collect::<Result<_, _>>()?,
        title: bilingual_from_pb(message.title),
        explanation: bilingual_from_pb(message.explanation),
        evidence: evidence_from_pb(message.evidence.unwrap_or_default())?,
        technique: message.technique.into(),
        count: message.count,
        body: body(&message.body)?,
        segment: optional(message.segment),
        degraded: message.degraded,
        excepted_by: optional(message.excepted_by),
    }))
}

fn bilingual_to_pb(words: &Bilingual) -> pb::Bilingual {
    pb::Bilingual { ja: words.ja.as_str().to_owned(), en: words.en.as_str().to_owned() }
}

fn bilingual_from_pb(message: Option<pb::Bilingual>) -> Bilingual {
    message.map_or_else(Bilingual::default, |words| Bilingual { ja: words.ja.into(), en: words.en.into() })
}

fn evidence_to_pb(evidence: &Evidence) -> pb::Evidence {
    pb::Evidence {
        rule: evidence.rule.as_str().to_owned(),
        formula: evidence.formula.as_str().to_owned(),
        inputs: values_to_pb(&evidence.inputs),
        threshold: values_to_pb(&evidence.threshold),
        baseline: values_to_pb(&evidence.baseline),
        community_ids: evidence
            .community_ids
            .iter()
            .take(COMMUNITY_IDS_MAX)
            .map(|id| id.as_str().to_owned())
            .collect(),
    }
}

fn evidence_from_pb(message: pb::Evidence) -> Result<Evidence, DecodeError> {
    Ok(Evidence {
        rule: message.rule.into(),
        formula: message.formula.into(),
        inputs: values_from_pb(message.inputs)?,
        threshold: values_from_pb(message.threshold)?,
        baseline: values_from_pb(message.baseline)?,
        community_ids: message
            .community_ids
            .into_iter()
            .take(COMMUNITY_IDS_MAX)
            .map(BoundedText::from)
            .collect(),
    })
}

type Values = BTreeMap<BoundedText<64>, Value>;

fn values_to_pb(values: &Values) -> BTreeMap<String, pb::Value> {
    let value_to_pb = |value: &Value| pb::Value {
        kind: Some(match value {
            Value::Count(count) => pb::value::Kind::Count(*count),
            Value::Number(number) => pb::value::Kind::Number(*number),
            Value::Text(text) => pb::value::Kind::Text(text.as_str().to_owned()),
            Value::List(items) => pb::value::Kind::List(pb::TextList {
                items: items.iter().take(TARGETS_MAX).map(|item| item.as_str().to_owned()).collect(),
            }),
        }),
    };
    values
        .iter()
        .take(EVIDENCE_ENTRIES_MAX)
        .map(|(name, value)| (name.as_str().to_owned(), value_to_pb(value)))
        .collect()
}

fn values_from_pb(values: BTreeMap<String, pb::Value>) -> Result<Values, DecodeError> {
    let mut out = Values::new();
    for (name, value) in values.into_iter().take(EVIDENCE_ENTRIES_MAX) {
        let value = match value.kind {
            Some(pb::value::Kind::Count(count)) => Value::Count(count),
            Some(pb::value::Kind::Number(number)) if number.is_finite() => Value::Number(number),
            Some(pb::value::Kind::Number(_)) => return Err(DecodeError::Field("evidence.number")),
            Some(pb::value::Kind::Text(text)) => Value::Text(text.into()),
            Some(pb::value::Kind::List(list)) => {
                Value::List(list.items.into_iter().take(TARGETS_MAX).map(BoundedText::from).collect())
            }
            // A kind of value that a newer agent knows.
            None => continue,
        };
        out.insert(name.into(), value);
    }
    Ok(out)
}

pub(super) fn text_of(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn string_of<const MAX: usize>(text: Option<&BoundedText<MAX>>) -> String {
    text.map(|text| text.as_str().to_owned()).unwrap_or_default()
}

pub(super) fn optional<const MAX: usize>(text: String) -> Option<BoundedText<MAX>> {
    if text.is_empty() { None } else { Some(text.into()) }
}

pub(super) fn host(text: &str) -> Result<Option<Host>, DecodeError> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|_cause| DecodeError::Field("host"))
    }
}

pub(super) fn body(text: &str) -> Result<Option<BodyCode>, DecodeError> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|_cause| DecodeError::Field("body"))
    }
}

pub(super) fn severity(level: u32) -> Result<Severity, DecodeError> {
    u8::try_from(level).ok().and_then(Severity::new).ok_or(DecodeError::Field("severity"))
}
