//! The sealer over a disk that fails at every step, and a collector that believes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use sekimori_wire::id::Digest;
use sekimori_wire::record::{Gap, NamedCount, Summary};
use sekimori_wire::text::BoundedText;

use super::*;
use crate::disk::fault::Disk;
use crate::spool::Spool;
use crate::spool::tests::scratch;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A collector that keeps what it was sent, and believes nothing.
struct Collector {
    signer: Arc<Signer>,
    heads: BTreeMap<(Lane, u64), (u64, Digest)>,
    bytes: BTreeMap<(Lane, u64, u64), Digest>,
    labels: Vec<u64>,
    gaps: Vec<Gap>,
    /// Whether its acknowledgements arrive.
    answers: bool,
}

impl Collector {
    fn new(signer: Arc<Signer>) -> Self {
        Self {
            signer,
            heads: BTreeMap::new(),
            bytes: BTreeMap::new(),
            labels: Vec::new(),
            gaps: Vec::new(),
            answers: true,
        }
    }

    /// Takes up to `max` batches, commits them and acknowledges, as far as this chain allows.
    fn take(&mut self, lanes: &Lanes, max: usize) {
        for lane in Lane::ALL {
            self.take_lane(lane, lanes.of_lane(lane), max);
        }
    }

    fn take_lane(&mut self, lane: Lane, spool: &Spool, max: usize) {
        let Ok(batches) = spool.oldest_unacked(max, usize::MAX) else { return };
        for (at, envelope) in batches {
            let batch = self.signer.keys.verify(&envelope).unwrap();
            assert_eq!((batch.lane, batch.epoch, batch.seq), (lane, at.epoch, at.seq));
            let known = self.bytes.insert((lane, at.epoch, at.seq), batch.digest());
            assert!(known.is_none_or(|known| known == batch.digest()), "{at:?} was reused for other bytes");
            if known.is_none() {
                let (seq, head) =
                    self.heads.insert((lane, at.epoch), (at.seq, batch.digest())).unwrap_or_default();
                assert_eq!((seq + 1, head), (batch.seq, batch.prev), "a hole in the chain");
                for record in &batch.records {
                    match record {
                        Record::Gap(gap) if gap.reason.starts_with("label") => self.labels.push(gap.records),
                        Record::Gap(gap) => self.gaps.push(gap.clone()),
                        Record::Summary(summary) if summary.packets > 0 => self.labels.push(summary.packets),
                        Record::Summary(_) => (),
                        Record::Finding(_) | Record::EndpointAlert(_) | Record::Health(_) => {
                            panic!("{record:?}")
                        }
                    }
                }
            }
            if self.answers {
                spool.acknowledge(at);
            }
        }
    }

    fn take_all(&mut self, lanes: &Lanes) {
        while lanes.pending() > 0 {
            let before = lanes.pending();
            self.take(lanes, 64);
            assert!(lanes.pending() < before, "nothing can be delivered");
        }
    }
}

/// Every third label is one of a summary, in `work`.
fn labelled(n: u64) -> Record {
    if n % 3 == 2 {
        Record::Summary(Box::new(Summary { packets: n, ..Summary::default() }))
    } else {
        label(n)
    }
}

fn label(label: u64) -> Record {
    // Incompressible, so that few records fill a segment.
    let reason = format!("label {}", Digest::of(&label.to_le_bytes()));
    Record::Gap(Gap { records: label, reason: reason.as_str().into(), ..Gap::default() })
}

fn summary(names: u64) -> Record {
    let name =
        |n: u64| NamedCount { name: BoundedText::new(&Digest::of(&n.to_le_bytes()).to_string()), count: n };
    Record::Summary(Box::new(Summary { domains: (0..names).map(name).collect(), ..Summary::default() }))
}

fn signer() -> Arc<Signer> {
    let key = SigningKey::generate().unwrap().0;
    Arc::new(Signer::first(1, key))
}

/// Small files and a small quota, so that both ends of the spool move.
fn open(signer: &Arc<Signer>, dir: &Path) -> Result<(Sealer, Arc<Lanes>), SealerError> {
    let spool = Arc::new(Lanes::open_small(dir)?);
    Ok((Sealer::open(Arc::clone(signer), Arc::clone(&spool), NOW)?, spool))
}

const AT: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Seals `rounds` labels from `next` on, with a collector that is slower at times; returns those that were promised.
fn work(
    signer: &Arc<Signer>,
    (dir, disk): (&Path, &Disk),
    collector: &mut Collector,
    next: &mut u64,
    rounds: u64,
) -> BTreeSet<u64> {
    let mut promised = BTreeSet::new();
    let Ok((mut sealer, spool)) = open(signer, dir) else { return promised };
    for round in 0..rounds {
        let labels = *next..*next + 1 + round % 3;
        *next = labels.end;
        let sealed = sealer.seal(labels.clone().map(labelled).collect(), AT, Mode::Live);
        if disk.crashed() {
            break;
        }
        assert_eq!(sealed.unwrap().waiting, 0);
        promised.extend(labels);
        if round % 3 == 2 {
            collector.take(&spool, 2);
        }
    }
    promised
}

/// A small deterministic generator: chance that a failing test can repeat.
fn chance(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    }
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_repeats_nothing() {
    let signer = signer();
    let mut steps = 0;
    let mut finished = false;
    while !finished {
        for seed in 0..4 {
            let dir = scratch();
            let disk = Disk::mount(dir.path());
            let mut collector = Collector::new(Arc::clone(&signer));
            let mut next = 0;
            let mut promised = work(&signer, (dir.path(), &disk), &mut collector, &mut next, 4);
            disk.crash_after(steps, seed % 2 == 1);
            promised.extend(work(&signer, (dir.path(), &disk), &mut collector, &mut next, 9));
            finished = !disk.crashed();
            if seed < 2 {
                // Killed and started again, before the power goes; and the first acknowledgement gets lost.
                disk.restart_process();
                let (sealer, spool) = open(&signer, dir.path()).unwrap();
                collector.answers = false;
                collector.take(&spool, 64);
                collector.answers = true;
                drop((sealer, spool));
                if seed == 1 {
                    promised.extend(work(&signer, (dir.path(), &disk), &mut collector, &mut next, 3));
                }
            }
            let mut chance = chance(seed);
            disk.lose_power(|below| if seed == 0 { 1 } else { chance(below) });
            promised.extend(work(&signer, (dir.path(), &disk), &mut collector, &mut next, 3));
            let (_sealer, spool) = open(&signer, dir.path()).unwrap();
            for lane in Lane::ALL {
                let epoch = spool.of_lane(lane).head().at.epoch;
                assert_eq!(epoch, 1, "step {steps}, seed {seed}: no damage, no new epoch");
            }
            collector.take_all(&spool);
            let got: BTreeSet<u64> = collector.labels.iter().copied().collect();
            assert_eq!(got.len(), collector.labels.len(), "step {steps}, seed {seed}: twice");
            assert!(
                got.is_superset(&promised),
                "step {steps}, seed {seed}: lost {:?}",
                promised.difference(&got)
            );
            assert_eq!(collector.gaps, []);
        }
        steps += 1;
    }
    assert!(steps > 60, "the scenario has only {steps} steps");
}

/// Flips one bit of what is on disk, at a place in thousandths.
fn flip(dir: &Path, place: usize, bit: u8) -> bool {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    let total: usize =
        files.iter().map(|path| usize::try_from(path.metadata().unwrap().len()).unwrap()).sum();
    let mut at = total * place / 1000;
    for path in files {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
            std::fs::write(&path, bytes).unwrap();
            return true;
        }
        at -= bytes.len();
    }
    false
}

/// One bad bit costs one batch at most, and whoever reads the rest is told. The repair is interrupted after `steps`.
fn damage_is_declared(place: usize, bit: u8, steps: u32, seed: u64) -> bool {
    let signer = signer();
    let dir = scratch();
    let disk = Disk::mount(dir.path());
    let mut collector = Collector::new(Arc::clone(&signer));
    let mut next = 0;
    let promised = work(&signer, (dir.path(), &disk), &mut collector, &mut next, 10);
    assert!(flip(dir.path(), place, bit));
    disk.crash_after(steps, seed % 2 == 1);
    drop(open(&signer, dir.path()));
    let crashed = disk.crashed();
    let mut chance = chance(seed);
    disk.lose_power(|below| if seed == 0 { 0 } else { chance(below) });
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    sealer.seal(vec![label(next)], AT, Mode::Live).unwrap();
    collector.take_all(&spool);
    let got: BTreeSet<u64> = collector.labels.iter().copied().collect();
    assert_eq!(got.len(), collector.labels.len(), "twice");
    let lost = promised.difference(&got).count();
    assert!(lost <= 3, "one batch has at most three labels");
    assert!(got.contains(&next));
    let declared: u64 = collector.gaps.iter().map(|gap| gap.records).sum();
    assert_eq!(declared, u64::from(lost > 0), "lost {lost}, declared {:?}", collector.gaps);
    assert_eq!(spool.of_lane(Lane::Urgent).head().at.epoch, 1 + declared);
    drop((sealer, spool));
    // What was repaired stays repaired.
    let (_sealer, spool) = open(&signer, dir.path()).unwrap();
    assert_eq!((spool.pending(), spool.of_lane(Lane::Urgent).head().at.epoch), (0, 1 + declared));
    crashed
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn damage_costs_one_batch_and_is_declared(place in 0usize..1000, bit in 0u8..8) {
        damage_is_declared(place, bit, u32::MAX, 0);
    }
}

#[test]
fn a_repair_can_be_interrupted_at_any_step() {
    for place in [300, 700, 995] {
        for seed in 0..3 {
            let steps = (0..).find(|steps| !damage_is_declared(place, 3, *steps, seed)).unwrap();
            assert!(steps > 10, "the repair has only {steps} steps");
        }
    }
}

/// Records that were dropped and batches that were damaged are never one sum.
#[test]
fn drops_and_damage_are_declared_apart() {
    let signer = signer();
    let dir = scratch();
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    while sealer.seal(vec![label(0)], AT, Mode::Live).unwrap().waiting == 0 {}
    while sealer.seal(vec![summary(10)], AT, Mode::Live).unwrap().dropped == 0 {}
    drop((sealer, spool));
    assert!(flip(dir.path(), 500, 3));
    let mut collector = Collector::new(Arc::clone(&signer));
    let (sealer, spool) = open(&signer, dir.path()).unwrap();
    // The damage is found when its turn comes; the next opening repairs it.
    while spool.of_lane(Lane::Urgent).oldest_unacked(1, 1).is_ok_and(|found| !found.is_empty()) {
        collector.take(&spool, 1);
    }
    drop((sealer, spool));
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    sealer.seal(vec![], AT, Mode::Live).unwrap();
    collector.take_all(&spool);
    let mut gaps: Vec<_> = collector.gaps.iter().map(|gap| (gap.records, gap.reason.to_string())).collect();
    gaps.sort();
    assert_eq!(gaps, [(1, "batches damaged in the spool".to_owned()), (1, NO_ROOM.to_owned())]);
}

#[test]
fn a_loss_is_declared_once_whenever_the_power_goes() {
    let signer = signer();
    for steps in 0..16 {
        for seed in 0..3 {
            let dir = scratch();
            let disk = Disk::mount(dir.path());
            let mut collector = Collector::new(Arc::clone(&signer));
            let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
            while sealer.seal(vec![label(0)], AT, Mode::Live).unwrap().waiting == 0 {}
            while sealer.seal(vec![summary(10)], AT, Mode::Live).unwrap().dropped == 0 {}
            assert!(spool.of_lane(Lane::Urgent).undeclared().declaration().is_some());
            collector.take_all(&spool);
            disk.crash_after(steps, seed % 2 == 1);
            drop(sealer.seal(vec![label(0)], AT, Mode::Live));
            drop((sealer, spool));
            let mut chance = chance(seed);
            disk.lose_power(|below| if seed == 0 { 0 } else { chance(below) });
            let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
            sealer.seal(vec![], AT, Mode::Live).unwrap();
            collector.take_all(&spool);
            let declared: u64 = collector.gaps.iter().map(|gap| gap.records).sum();
            assert_eq!(declared, 1, "step {steps}, seed {seed}");
        }
    }
}

#[test]
fn large_reports_are_split_and_what_no_batch_can_hold_is_declared() {
    let (signer, dir) = (signer(), scratch());
    let spool = Arc::new(Lanes::open(dir.path(), 64 << 20).unwrap());
    let mut sealer = Sealer::open(Arc::clone(&signer), Arc::clone(&spool), NOW).unwrap();
    let mut records: Vec<Record> = (0..40).map(|_| summary(500)).collect();
    records.insert(20, summary(40_000));
    records.push(label(7));
    let sealed = sealer.seal(records, AT, Mode::Replay).unwrap();
    assert_eq!((sealed.dropped, sealed.waiting), (1, 0));
    assert!(sealed.batches > 3);
    let batches = spool.of_lane(Lane::Detail).oldest_unacked(64, usize::MAX).unwrap();
    assert!(batches.iter().all(|(_, envelope)| envelope.to_bytes().len() <= ENVELOPE_BYTES_TARGET));
    let mut collector = Collector::new(signer);
    collector.take_all(&spool);
    assert_eq!(collector.labels, [7]);
    assert_eq!(collector.gaps.iter().map(|gap| gap.records).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_full_spool_keeps_findings_drops_summaries_and_says_so() {
    let (signer, dir) = (signer(), scratch());
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    let mut promised = 0;
    while sealer.seal(vec![label(promised)], AT, Mode::Live).unwrap().waiting == 0 {
        promised += 1;
    }
    while sealer.seal(vec![summary(3)], AT, Mode::Live).unwrap().dropped == 0 {}
    let before = spool.bytes();
    let sealed = sealer.seal(vec![summary(3), label(promised + 1)], AT, Mode::Live).unwrap();
    assert_eq!(sealed, Sealed { batches: 0, dropped: 1, waiting: 2 });
    assert_eq!(spool.bytes(), before);

    // A restart forgets what waits, but not that there was something.
    assert_eq!(sealer.close(AT), 2);
    drop(spool);
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    let mut collector = Collector::new(Arc::clone(&signer));
    collector.take_all(&spool);
    sealer.seal(vec![label(promised + 2)], AT, Mode::Live).unwrap();
    collector.take_all(&spool);
    let kept: Vec<u64> = (0..promised).chain([promised + 2]).collect();
    assert_eq!(collector.labels, kept);
    let [gap] = collector.gaps.as_slice() else { panic!("{:?}", collector.gaps) };
    assert_eq!((gap.records, gap.reason.as_str(), gap.from), (4, "the spool is full", AT));
}

#[test]
fn a_full_disk_loses_nothing_that_fits_in_memory() {
    let (signer, dir) = (signer(), scratch());
    let disk = Disk::mount(dir.path());
    let (mut sealer, spool) = open(&signer, dir.path()).unwrap();
    sealer.seal(vec![label(0)], AT, Mode::Live).unwrap();
    disk.set_full(true);
    for n in 1..5 {
        assert_eq!(sealer.seal(vec![label(n)], AT, Mode::Live).unwrap().waiting, usize::try_from(n).unwrap());
    }
    disk.set_full(false);
    assert_eq!(sealer.seal(vec![], AT, Mode::Live).unwrap().waiting, 0);
    let mut collector = Collector::new(signer);
    collector.take_all(&spool);
    assert_eq!((collector.labels.as_slice(), collector.gaps.as_slice()), (&[0, 1, 2, 3, 4][..], &[][..]));
}

#[test]
fn another_agents_spool_is_refused() {
    let dir = scratch();
    let (mut sealer, spool) = open(&signer(), dir.path()).unwrap();
    sealer.seal(vec![label(0)], AT, Mode::Live).unwrap();
    drop((sealer, spool));
    assert!(matches!(open(&signer(), dir.path()), Err(SealerError::OtherAgent)));
}

fn successor(signer: &Signer, epoch: u64) -> Arc<Signer> {
    let key = SigningKey::generate().unwrap().0;
    let next = *key.verifying_key();
    let mut keys = signer.keys.clone();
    let voucher = sekimori_wire::keyring::voucher(&signer.key, signer.agent, &next, epoch);
    keys.vouch(epoch, next, &voucher).unwrap();
    Arc::new(Signer { agent: signer.agent, epoch, key, keys })
}

#[test]
fn another_key_begins_with_its_epoch_wherever_the_process_dies() {
    for steps in 0..40 {
        let (first, dir) = (signer(), scratch());
        let second = successor(&first, 7);
        let disk = Disk::mount(dir.path());
        let (mut sealer, spool) = open(&first, dir.path()).unwrap();
        sealer.seal(vec![labelled(0), labelled(1)], AT, Mode::Live).unwrap();
        disk.crash_after(steps, false);
        sealer.succeed(&second);
        let turned = sealer.seal(vec![labelled(2), labelled(3)], AT, Mode::Live);
        let crashed = disk.crashed();
        drop((sealer, spool));
        disk.lose_power(|below| usize::from(below == 2 && steps % 2 == 0));
        // The identity of the second key was durable before it took over.
        let (mut sealer, spool) = open(&second, dir.path()).unwrap();
        sealer.seal(vec![labelled(4), labelled(5)], AT, Mode::Live).unwrap();
        let mut collector = Collector::new(Arc::clone(&second));
        collector.take_all(&spool);
        assert!(collector.labels.contains(&0) && collector.labels.contains(&4), "after {steps} steps");
        if !crashed {
            assert_eq!(turned.unwrap().waiting, 0);
            assert!(collector.heads.keys().all(|(_, epoch)| [1, 7].contains(epoch)), "{:?}", collector.heads);
            assert_eq!(collector.labels.iter().copied().collect::<BTreeSet<_>>(), (0..6).collect());
        }
    }
}

#[test]
fn nothing_is_sealed_with_a_key_whose_epoch_could_not_begin() {
    let (first, dir) = (signer(), scratch());
    let second = successor(&first, 2);
    let disk = Disk::mount(dir.path());
    let (mut sealer, spool) = open(&first, dir.path()).unwrap();
    sealer.seal(vec![label(0)], AT, Mode::Live).unwrap();
    disk.crash_after(0, false);
    sealer.succeed(&second);
    sealer.succeed(&first);
    sealer.seal(vec![label(1)], AT, Mode::Live).unwrap_err();
    disk.restart_process();
    // A full disk keeps no key from taking over; what it signs waits for room.
    disk.set_full(true);
    assert_eq!(sealer.seal(vec![], AT, Mode::Live).unwrap().waiting, 1);
    disk.set_full(false);
    assert_eq!(sealer.seal(vec![], AT, Mode::Live).unwrap().waiting, 0);
    let mut collector = Collector::new(second);
    collector.take_all(&spool);
    assert_eq!(collector.labels, [0, 1]);
    assert_eq!(spool.of_lane(Lane::Urgent).head().at, Position { epoch: 2, seq: 1 });
}
