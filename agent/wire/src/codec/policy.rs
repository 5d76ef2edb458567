//! Policies.

use prost::Message as _;

use crate::codec::DecodeError;
use crate::envelope::VerifyingKey;
use crate::exception::{EXCEPTIONS_MAX, ExceptionFile};
use crate::finding::Severity;
use crate::id::{AgentId, Digest};
use crate::limits::{POLICY_FEEDS_MAX, POLICY_INTEL_BYTES_MAX, POLICY_INTEL_MAX};
use crate::pb;
use crate::policy::{IntelBundle, Policy, Rules, Settings};
use crate::time::Timestamp;

pub(crate) fn encode(policy: &Policy) -> Vec<u8> {
    let Rules { exceptions, intel, settings } = &policy.rules;
    let bundle = |one: &IntelBundle| pb::PolicyIntel {
        name: one.name.clone(),
        digest: one.digest.as_bytes().to_vec(),
        bytes: one.bytes,
        key: one.key.as_bytes().to_vec(),
    };
    let feed = |(name, severity): (&String, &Severity)| pb::PolicyFeed {
        name: name.clone(),
        max_severity: severity.level().into(),
    };
    pb::Policy {
        agent: policy.agent.as_bytes().to_vec(),
        version: policy.version,
        made_at: policy.made_at.nanos(),
        exceptions: exceptions.iter().map(exception_to_pb).collect(),
        intel: intel.iter().map(bundle).collect(),
        spool_max_bytes: settings.spool_max_bytes.unwrap_or_default(),
        intel_max_age_seconds: settings.intel_max_age_seconds.unwrap_or_default(),
        feeds: settings.feeds.iter().map(feed).collect(),
    }
    .encode_to_vec()
}

/// Unlike a batch, a policy is refused where it is not understood to the end: half of one is another policy.
pub(crate) fn decode(bytes: &[u8]) -> Result<Policy, DecodeError> {
    let message = pb::Policy::decode(bytes).map_err(|_cause| DecodeError::Protobuf)?;
    let too_many = message.exceptions.len() > EXCEPTIONS_MAX
        || message.intel.len() > POLICY_INTEL_MAX
        || message.feeds.len() > POLICY_FEEDS_MAX;
    if too_many {
        return Err(DecodeError::TooLarge);
    }
    if message.version == 0 {
        return Err(DecodeError::Field("policy.version"));
    }
    let set = |value: u64| (value != 0).then_some(value);
    let feed = |one: pb::PolicyFeed| {
        let severity = u8::try_from(one.max_severity).ok().and_then(Severity::new);
        Ok((one.name, severity.ok_or(DecodeError::Field("policy.feed.max_severity"))?))
    };
    Ok(Policy {
        agent: AgentId::from_bytes(&message.agent).ok_or(DecodeError::Field("policy.agent"))?,
        version: message.version,
        made_at: Timestamp::from_nanos(message.made_at),
        rules: Rules {
            exceptions: message.exceptions.into_iter().map(exception_from_pb).collect::<Result<_, _>>()?,
            intel: message.intel.into_iter().map(bundle_from_pb).collect::<Result<_, _>>()?,
            settings: Settings {
                spool_max_bytes: set(message.spool_max_bytes),
                intel_max_age_seconds: set(message.intel_max_age_seconds),
                feeds: message.feeds.into_iter().map(feed).collect::<Result<_, DecodeError>>()?,
            },
        },
    })
}

fn bundle_from_pb(message: pb::PolicyIntel) -> Result<IntelBundle, DecodeError> {
    if message.bytes > POLICY_INTEL_BYTES_MAX {
        return Err(DecodeError::TooLarge);
    }
    Ok(IntelBundle {
        name: message.name,
        digest: Digest::from_bytes(&message.digest).ok_or(DecodeError::Field("policy.intel.digest"))?,
        bytes: message.bytes,
        key: VerifyingKey::from_bytes(&message.key).ok_or(DecodeError::Field("policy.intel.key"))?,
    })
}

fn exception_to_pb(one: &ExceptionFile) -> pb::PolicyException {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    pb::PolicyException {
        id: one.id.clone(),
        category: text(&one.category),
        originator: text(&one.originator),
        responder: text(&one.responder),
        port: one.port.map(|port| u32::from(port) + 1).unwrap_or_default(),
        target: text(&one.target),
        body: text(&one.body),
        segment: text(&one.segment),
        reason: one.reason.clone(),
        owner: one.owner.clone(),
        created: one.created.clone(),
        expires: one.expires.clone(),
    }
}

fn exception_from_pb(message: pb::PolicyException) -> Result<ExceptionFile, DecodeError> {
    let text = |value: String| (!value.is_empty()).then_some(value);
    let port = message.port.checked_sub(1).map(u16::try_from).transpose();
    Ok(ExceptionFile {
        id: message.id,
        category: text(message.category),
        originator: text(message.originator),
        responder: text(message.responder),
        port: port.map_err(|_cause| DecodeError::Field("policy.exception.port"))?,
        target: text(message.target),
        body: text(message.body),
        segment: text(message.segment),
        reason: message.reason,
        owner: message.owner,
        created: message.created,
        expires: message.expires,
    })
}
