//! Between the types of this crate and the bytes of `proto/sekimori.proto`.
//!
//! Encoding cannot fail but by size. Decoding reads hostile bytes: sizes are checked before anything is expanded, lists
//! are cut at the bounds of [`limits`](crate::limits), and a value that is not what its type says is a named error.

use std::io::Read as _;

use prost::Message as _;

use crate::ack::{Ack, Answer, Refusal, RefusalKind};
use crate::batch::{Batch, Lane, Mode};
use crate::envelope::{Envelope, SealError};
use crate::id::{AgentId, Digest};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, PAYLOAD_BYTES_MAX, SUBMISSION_BYTES_MAX, SUBMISSION_ENVELOPES_MAX,
};
use crate::pb;
use crate::time::Timestamp;

mod alert;
mod finding;
pub(crate) mod policy;
mod record;

/// zstd-1 and zstd-3 give nearly the same size on batches; 3 costs 0.4 ms for 1,000 flows.
const COMPRESSION_LEVEL: i32 = 3;

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Over a bound of [`limits`](crate::limits).
    #[error("larger than the wire format allows")]
    TooLarge,
    /// Not zstd.
    #[error("the payload cannot be decompressed")]
    Compression,
    /// Not protobuf of the expected message.
    #[error("not the expected protobuf message")]
    Protobuf,
    /// A field is missing or holds a value that its meaning forbids.
    #[error("field `{0}` is missing or not valid")]
    Field(&'static str),
}

pub(crate) fn encode_batch(batch: &Batch) -> Result<Vec<u8>, SealError> {
    if batch.records.len() > BATCH_RECORDS_MAX {
        return Err(SealError::TooMany { records: batch.records.len() });
    }
    let message = pb::Batch {
        agent: batch.agent.as_bytes().to_vec(),
        epoch: batch.epoch,
        seq: batch.seq,
        prev: batch.prev.as_bytes().to_vec(),
        sealed_at: batch.sealed_at.nanos(),
        mode: match batch.mode {
            Mode::Live => pb::Mode::Live,
            Mode::Replay => pb::Mode::Replay,
        }
        .into(),
        version: batch.version.as_str().to_owned(),
        records: batch.records.iter().map(record::to_pb).collect(),
        lane: batch.lane.number().into(),
    };
    let plain = message.encode_to_vec();
    if plain.len() > BATCH_BYTES_MAX {
        return Err(SealError::TooLarge { bytes: plain.len() });
    }
    let payload = zstd::bulk::compress(&plain, COMPRESSION_LEVEL).map_err(|_cause| SealError::Compress)?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        Err(SealError::TooLarge { bytes: plain.len() })
    } else {
        Ok(payload)
    }
}

pub(crate) fn decode_batch(payload: &[u8]) -> Result<Batch, DecodeError> {
    let plain = decompress(payload)?;
    let message = pb::Batch::decode(plain.as_slice()).map_err(|_cause| DecodeError::Protobuf)?;
    if message.records.len() > BATCH_RECORDS_MAX {
        return Err(DecodeError::TooLarge);
    }
    let mode = match message.mode() {
        pb::Mode::Live => Mode::Live,
        pb::Mode::Replay => Mode::Replay,
    };
    let mut records = Vec::with_capacity(message.records.len());
    let mut unknown_records = 0;
    for record in message.records {
        match record::from_pb(record)? {
            Some(record) => records.push(record),
            None => unknown_records += 1,
        }
    }
    if message.seq == 0 {
        return Err(DecodeError::Field("seq"));
    }
    Ok(Batch {
        agent: AgentId::from_bytes(&message.agent).ok_or(DecodeError::Field("agent"))?,
        lane: Lane::from_number(message.lane).ok_or(DecodeError::Field("lane"))?,
        epoch: message.epoch,
        seq: message.seq,
        prev: Digest::from_bytes(&message.prev).ok_or(DecodeError::Field("prev"))?,
        sealed_at: Timestamp::from_nanos(message.sealed_at),
        mode,
        version: message.version.into(),
        records,
        unknown_records,
    })
}

/// Reads one byte more than allowed, so that "exactly at the bound" and "over it" can be told apart.
fn decompress(payload: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(DecodeError::TooLarge);
    }
    let decoder = zstd::stream::read::Decoder::new(payload).map_err(|_cause| DecodeError::Compression)?;
    let mut plain = Vec::new();
    decoder
        .take(BATCH_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|_cause| DecodeError::Compression)?;
    if plain.len() > BATCH_BYTES_MAX { Err(DecodeError::TooLarge) } else { Ok(plain) }
}

pub(crate) fn encode_ack(ack: &Ack) -> Vec<u8> {
    pb::Ack {
        agent: ack.agent.as_bytes().to_vec(),
        epoch: ack.epoch,
        through: ack.through,
        head: ack.head.as_bytes().to_vec(),
        at: ack.at.nanos(),
        lane: ack.lane.number().into(),
        policy_version: ack.policy_version,
    }
    .encode_to_vec()
}

pub(crate) fn decode_ack(bytes: &[u8]) -> Result<Ack, DecodeError> {
    let message = pb::Ack::decode(bytes).map_err(|_cause| DecodeError::Protobuf)?;
    Ok(Ack {
        agent: AgentId::from_bytes(&message.agent).ok_or(DecodeError::Field("agent"))?,
        lane: Lane::from_number(message.lane).ok_or(DecodeError::Field("lane"))?,
        epoch: message.epoch,
        through: message.through,
        head: Digest::from_bytes(&message.head).ok_or(DecodeError::Field("head"))?,
        at: Timestamp::from_nanos(message.at),
        policy_version: message.policy_version,
    })
}

fn envelope_to_pb(envelope: &Envelope) -> pb::Envelope {
    pb::Envelope {
        payload_type: envelope.payload_type.clone(),
        payload: envelope.payload.clone(),
        agent: envelope.signer.clone(),
        signature: envelope.signature.clone(),
        cosignature: Vec::new(),
    }
}

fn envelope_from_pb(message: pb::Envelope) -> Result<Envelope, DecodeError> {
    if message.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(DecodeError::TooLarge);
    }
    if message.payload_type.len() > 128 || message.agent.len() > 32 || message.signature.len() > 64 {
        return Err(DecodeError::Field("envelope"));
    }
    Ok(Envelope {
        payload_type: message.payload_type,
        payload: message.payload,
        signer: message.agent,
        signature: message.signature,
    })
}

pub(crate) fn encode_envelope(envelope: &Envelope) -> Vec<u8> {
    envelope_to_pb(envelope).encode_to_vec()
}

pub(crate) fn decode_envelope(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    if bytes.len() > PAYLOAD_BYTES_MAX + 1024 {
        return Err(DecodeError::TooLarge);
    }
    envelope_from_pb(pb::Envelope::decode(bytes).map_err(|_cause| DecodeError::Protobuf)?)
}

pub(crate) fn encode_submission(envelopes: &[Envelope]) -> Vec<u8> {
    pb::Submission { envelopes: envelopes.iter().map(envelope_to_pb).collect() }.encode_to_vec()
}

pub(crate) fn decode_submission(bytes: &[u8]) -> Result<Vec<Envelope>, DecodeError> {
    if bytes.len() > SUBMISSION_BYTES_MAX {
        return Err(DecodeError::TooLarge);
    }
    let message = pb::Submission::decode(bytes).map_err(|_cause| DecodeError::Protobuf)?;
    if message.envelopes.len() > SUBMISSION_ENVELOPES_MAX {
        return Err(DecodeError::TooLarge);
    }
    message.envelopes.into_iter().map(envelope_from_pb).collect()
}

pub(crate) fn encode_answer(answer: &Answer) -> Vec<u8> {
    match answer {
        Answer::Ack(envelope) => pb::Answer { ack: Some(envelope_to_pb(envelope)), refusal: None },
        Answer::Refused(refusal) => pb::Answer {
            ack: None,
            refusal: Some(pb::Refusal {
                kind: refusal.kind.as_str().to_owned(),
                detail: refusal.detail.as_str().to_owned(),
                seq: refusal.seq,
                retry_after_seconds: refusal.retry_after_seconds,
            }),
        },
    }
    .encode_to_vec()
}

pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let message = pb::Answer::decode(bytes).map_err(|_cause| DecodeError::Protobuf)?;
    match (message.ack, message.refusal) {
        (Some(envelope), None) => Ok(Answer::Ack(envelope_from_pb(envelope)?)),
        (None, Some(refusal)) => Ok(Answer::Refused(Refusal {
            kind: RefusalKind::from_name(&refusal.kind).ok_or(DecodeError::Field("refusal.kind"))?,
            detail: refusal.detail.into(),
            seq: refusal.seq,
            retry_after_seconds: refusal.retry_after_seconds,
        })),
        (Some(_), Some(_)) | (None, None) => Err(DecodeError::Field("answer")),
    }
}

/// For the fuzzer and property tests: any bytes end in a value or an error, and what decodes encodes again.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(batch) = decode_batch(bytes) {
        assert!(encode_batch(&batch).is_ok(), "what was decoded within the bounds encodes within them");
    }
    if let Ok(envelopes) = decode_submission(bytes) {
        assert_eq!(decode_submission(&encode_submission(&envelopes)), Ok(envelopes));
    }
    if let Ok(answer) = decode_answer(bytes) {
        assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
    }
    if let Ok(policy) = policy::decode(bytes) {
        assert_eq!(policy::decode(&policy::encode(&policy)), Ok(policy));
    }
}

#[cfg(test)]
mod tests;
