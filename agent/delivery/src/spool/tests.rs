//! The spool against a queue in memory.

use std::collections::VecDeque;
use std::sync::OnceLock;

use proptest::prelude::*;
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::record::{Gap, Record};
use sekimori_wire::time::Timestamp;

use super::*;

mod opening;

/// In memory where there is such a folder: these tests sync thousands of times.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap().0)
}

/// An envelope of about 250 bytes that `label` makes unique.
fn envelope(at: Position, prev: Digest, label: u64) -> Envelope {
    let batch = Batch {
        agent: key().verifying_key().id(),
        lane: Lane::Urgent,
        epoch: at.epoch,
        seq: at.seq,
        prev,
        sealed_at: Timestamp::ZERO,
        mode: Mode::Live,
        version: "".into(),
        records: vec![Record::Gap(Gap { records: label, ..Gap::default() })],
        unknown_records: 0,
    };
    Envelope::seal(&batch, key()).unwrap()
}

fn append(spool: &Spool, count: u64, label: u64) -> Result<Vec<Envelope>, SpoolError> {
    let mut head = spool.head();
    let first = Position { seq: head.at.seq + 1, ..head.at };
    let envelopes: Vec<_> = (0..count)
        .map(|_| {
            head.at.seq += 1;
            let envelope = envelope(head.at, head.digest, label);
            head.digest = envelope.digest();
            envelope
        })
        .collect();
    spool.append(first, &envelopes).map(|()| envelopes)
}

const MAX_BYTES: u64 = 4000;

fn open(dir: &Path) -> Spool {
    let spool = Spool::open_with(dir, MAX_BYTES, 1000).unwrap();
    spool.begin_epoch(1).unwrap();
    spool
}

fn all(spool: &Spool) -> Vec<(u64, Envelope)> {
    let all = spool.oldest_unacked(usize::MAX, usize::MAX).unwrap();
    all.into_iter().map(|(position, envelope)| (position.seq, envelope)).collect()
}

#[derive(Clone, Debug)]
enum Action {
    Append(u64),
    Acknowledge(u64),
    Reopen,
    Tear(Vec<u8>),
    LoseChainFile,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1u64..5).prop_map(Action::Append),
        3 => (0u64..6).prop_map(Action::Acknowledge),
        2 => Just(Action::Reopen),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(Action::Tear),
        1 => Just(Action::LoseChainFile),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    /// Against a queue in memory.
    #[test]
    fn behaves_as_a_bounded_queue_that_survives(actions in prop::collection::vec(action(), 1..40)) {
        let dir = scratch();
        let mut spool = open(dir.path());
        let mut model: VecDeque<(u64, Envelope)> = VecDeque::new();
        let (mut next, mut full) = (1, 0);
        for (label, action) in (0..).zip(actions) {
            match action {
                Action::Append(count) => match append(&spool, count, label) {
                    Ok(envelopes) => {
                        model.extend((next..).zip(envelopes));
                        next += count;
                    }
                    Err(error) => {
                        prop_assert!(matches!(error, SpoolError::Full { .. }), "{:?}", error);
                        full += 1;
                        // Not without a reason: a quarter of the quota may be the acknowledged part of the first file.
                        prop_assert!(model.len() >= 8, "full with {}", model.len());
                    }
                },
                Action::Acknowledge(count) => {
                    let count = count.min(model.len() as u64);
                    model.drain(..usize::try_from(count).unwrap());
                    let through = next - 1 - model.len() as u64;
                    spool.acknowledge(Position { epoch: 1, seq: through });
                    prop_assert_eq!(spool.acked().seq, through);
                }
                Action::Reopen => {
                    drop(spool);
                    spool = open(dir.path());
                }
                Action::Tear(garbage) => {
                    drop(spool);
                    if let Some((_, _, path)) = files::names(dir.path()).unwrap().last() {
                        let mut bytes = std::fs::read(path).unwrap();
                        bytes.extend(&garbage);
                        std::fs::write(path, bytes).unwrap();
                        spool = open(dir.path());
                        prop_assert_eq!(spool.recovery().torn_bytes, garbage.len() as u64);
                    } else {
                        spool = open(dir.path());
                    }
                }
                Action::LoseChainFile => {
                    drop(spool);
                    if files::names(dir.path()).unwrap().is_empty() {
                        spool = open(dir.path());
                        continue;
                    }
                    std::fs::write(chain_path(dir.path()), "00000000 {}").unwrap();
                    spool = open(dir.path());
                    // What was acknowledged of the first file is sent again: the collector acknowledges it again.
                    let expected = next - 1 - model.len() as u64;
                    prop_assert!(spool.acked().seq <= expected);
                    spool.acknowledge(Position { epoch: 1, seq: expected });
                }
            }
            prop_assert_eq!(all(&spool), model.iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(spool.pending(), model.len() as u64);
            prop_assert_eq!(spool.head().at.seq, next - 1);
            prop_assert!(spool.bytes() <= MAX_BYTES, "{} bytes, {} times full", spool.bytes(), full);
            for (seq, envelope) in &model {
                prop_assert_eq!(spool.digest_of(Position { epoch: 1, seq: *seq }).unwrap(), Some(envelope.digest()));
            }
            prop_assert_eq!(spool.digest_of(Position { epoch: 1, seq: next }).unwrap(), None);
        }
        let found = inspect(dir.path(), Some(&KeyRing::new(*key().verifying_key()))).unwrap();
        prop_assert_eq!((found.pending, found.problems), (model.len() as u64, vec![]));
    }
}

#[test]
fn reads_in_the_portions_asked_for() {
    let dir = scratch();
    let spool = open(dir.path());
    append(&spool, 9, 0).unwrap();
    let seqs = |max, bytes| -> Vec<u64> {
        spool.oldest_unacked(max, bytes).unwrap().iter().map(|(at, _)| at.seq).collect()
    };
    assert_eq!(seqs(3, usize::MAX), [1, 2, 3]);
    assert_eq!(seqs(64, 1), [1]);
    assert_eq!(seqs(64, 600).len(), 600 / envelope(Position::default(), Digest::ZERO, 0).to_bytes().len());
}

#[test]
fn one_writer_at_a_time() {
    let dir = scratch();
    let _spool = open(dir.path());
    assert!(matches!(Spool::open(dir.path(), 1 << 20), Err(SpoolError::InUse { .. })));
}

#[test]
fn a_failed_append_leaves_nothing_behind() {
    let dir = scratch();
    let disk = disk::fault::Disk::mount(dir.path());
    let spool = open(dir.path());
    append(&spool, 2, 0).unwrap();
    disk.set_full(true);
    assert!(append(&spool, 1, 1).unwrap_err().is_full());
    assert_eq!(all(&spool).len(), 2);
    disk.set_full(false);
    // Of every later size: what the failed one may have left is taken back first.
    append(&spool, 7, 2).unwrap();
    assert_eq!(all(&spool).len(), 9);
    drop(spool);
    let spool = open(dir.path());
    assert_eq!((all(&spool).len(), spool.recovery()), (9, &Recovery::default()));
}

#[test]
fn damage_is_named_and_nothing_is_delivered_past_it() {
    let dir = scratch();
    let spool = open(dir.path());
    append(&spool, 5, 0).unwrap();
    drop(spool);
    let path = segment::path(dir.path(), 1, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let third = 2 * bytes.len() / 5 + 40;
    bytes[third] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = inspect(dir.path(), None).unwrap();
    assert_eq!(
        found.problems.iter().map(|problem| problem.what).collect::<Vec<_>>(),
        ["no readable record here", "batches before this one are missing",]
    );
    let spool = open(dir.path());
    assert_eq!((spool.recovery().damaged_places, spool.recovery().lost_batches), (1, 1));
    assert!(matches!(spool.oldest_unacked(9, 9), Err(SpoolError::Broken { batches: 1 })));
    assert_eq!(spool.renewal(1).unwrap().lost_batches(), 1);
}
