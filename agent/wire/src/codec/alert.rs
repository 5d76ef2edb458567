//! Endpoint alerts.

use crate::alert::{AlertClass, AlertFormat, EndpointAlert, Intake, JoinedBy};
use crate::codec::DecodeError;
use crate::codec::finding::{body, host, optional, severity, string_of, text_of};
use crate::id::{Digest, FindingId};
use crate::pb;
use crate::time::Timestamp;

pub(super) fn to_pb(alert: &EndpointAlert) -> pb::EndpointAlert {
    pb::EndpointAlert {
        id: alert.id.as_bytes().to_vec(),
        time: alert.time.nanos(),
        received_at: alert.received_at.nanos(),
        intake: alert.intake.as_str().to_owned(),
        format: alert.format.as_str().to_owned(),
        vendor: alert.vendor.as_str().to_owned(),
        product: alert.product.as_str().to_owned(),
        signature_id: alert.signature_id.as_str().to_owned(),
        name: alert.name.as_str().to_owned(),
        severity: u32::from(alert.severity.level()),
        class: alert.class.as_str().to_owned(),
        host: text_of(alert.host),
        host_name: alert.host_name.as_str().to_owned(),
        user: alert.user.map(|user| user.as_bytes().to_vec()).unwrap_or_default(),
        remote: text_of(alert.remote),
        file_sha256: text_of(alert.file_sha256),
        action: alert.action.as_str().to_owned(),
        original: alert.original.as_str().to_owned(),
        original_sha256: alert.original_sha256.as_bytes().to_vec(),
        body: text_of(alert.body),
        segment: string_of(alert.segment.as_ref()),
        process: alert.process.as_str().to_owned(),
        source: alert.source.as_str().to_owned(),
        count: alert.count,
        joined: alert.joined.map(JoinedBy::as_str).unwrap_or_default().to_owned(),
    }
}

/// `None` for an intake or format that a newer agent knows and we do not. An unknown class is `Other`.
pub(super) fn from_pb(message: pb::EndpointAlert) -> Result<Option<EndpointAlert>, DecodeError> {
    let (Some(intake), Some(format)) =
        (Intake::from_name(&message.intake), AlertFormat::from_name(&message.format))
    else {
        return Ok(None);
    };
    let user = if message.user.is_empty() {
        None
    } else {
        Some(FindingId::from_bytes(&message.user).ok_or(DecodeError::Field("alert.user"))?)
    };
    let file_sha256 = if message.file_sha256.is_empty() {
        None
    } else {
        Some(message.file_sha256.parse().map_err(|_cause| DecodeError::Field("alert.file_sha256"))?)
    };
    Ok(Some(EndpointAlert {
        id: FindingId::from_bytes(&message.id).ok_or(DecodeError::Field("alert.id"))?,
        time: Timestamp::from_nanos(message.time),
        received_at: Timestamp::from_nanos(message.received_at),
        intake,
        format,
        vendor: message.vendor.into(),
        product: message.product.into(),
        signature_id: message.signature_id.into(),
        name: message.name.into(),
        severity: severity(message.severity)?,
        class: AlertClass::from_name(&message.class).unwrap_or(AlertClass::Other),
        host: host(&message.host)?,
        host_name: message.host_name.into(),
        user,
        remote: host(&message.remote)?,
        file_sha256,
        process: message.process.into(),
        action: message.action.into(),
        original: message.original.into(),
        original_sha256: Digest::from_bytes(&message.original_sha256)
            .ok_or(DecodeError::Field("alert.original_sha256"))?,
        source: message.source.into(),
        // Of an agent that did not count.
        count: message.count.max(1),
        body: body(&message.body)?,
        segment: optional(message.segment),
        joined: JoinedBy::from_name(&message.joined),
    }))
}
