//! Another history of an agent, as a thief of its key would send it.

use sekimori_wire::ack::encode_submission;
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::Envelope;
use sekimori_wire::id::Digest;
use sekimori_wire::record::{Gap, Record};
use sekimori_wire::time::Timestamp;

use crate::agent::Agent;

/// Another batch under the first number of the urgent lane, which is acknowledged; `None` before it is.
pub(crate) fn other_history(agent: &Agent) -> Option<Vec<u8>> {
    agent.account.acked.get(&(Lane::Urgent, 1)).filter(|seq| **seq > 0)?;
    let batch = Batch {
        agent: agent.signer.agent,
        lane: Lane::Urgent,
        epoch: 1,
        seq: 1,
        prev: Digest::ZERO,
        sealed_at: Timestamp::ZERO,
        mode: Mode::Live,
        version: "forged".into(),
        records: vec![Record::Gap(Gap { reason: "forged".into(), records: 1, ..Gap::default() })],
        unknown_records: 0,
    };
    Some(encode_submission(&[Envelope::seal(&batch, &agent.signer.key).ok()?]))
}
