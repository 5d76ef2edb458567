//! Opening a spool of any size reads little of it, and damage that it does not read is found when its turn comes.

use std::time::{Duration, Instant};

use sekimori_wire::record::{NamedCount, Summary};

use super::*;

/// Bytes that this thread has read so far.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Opens it; how long that took and what was read.
fn opened(dir: &Path, max_bytes: u64) -> (Spool, Duration, u64) {
    let (began, before) = (Instant::now(), bytes_read());
    let spool = Spool::open(dir, max_bytes).unwrap();
    (spool, began.elapsed(), bytes_read() - before)
}

/// A large envelope that hardly compresses.
fn large(at: Position, prev: Digest) -> Envelope {
    let noise = |n: u64| Digest::of(&[at.seq.to_le_bytes(), n.to_le_bytes()].concat()).to_string();
    let name = |n: u64| NamedCount { name: noise(n).as_str().into(), count: n };
    let summary = Summary { domains: (0..1000).map(name).collect(), ..Summary::default() };
    let batch = Batch {
        agent: key().verifying_key().id(),
        lane: Lane::Detail,
        epoch: at.epoch,
        seq: at.seq,
        prev,
        sealed_at: Timestamp::ZERO,
        mode: Mode::Live,
        version: "".into(),
        records: vec![Record::Summary(Box::new(summary))],
        unknown_records: 0,
    };
    Envelope::seal(&batch, key()).unwrap()
}

/// `SEKIMORI_SPOOL_MIB=1024 cargo test -p sekimori-delivery opening -- --nocapture` is what docs/performance.md tells of.
#[test]
fn a_large_spool_opens_as_fast_as_a_small_one() {
    let mib: u64 = std::env::var("SEKIMORI_SPOOL_MIB").map_or(48, |mib| mib.parse().unwrap());
    let max_bytes = (mib + 64) << 20;
    let dir = if mib > 256 { tempfile::tempdir().unwrap() } else { scratch() };
    let spool = Spool::open(dir.path(), max_bytes).unwrap();
    spool.begin_epoch(1).unwrap();
    // Their content does not matter, so one is sealed and the others are like it.
    let model = large(Position { epoch: 1, seq: 1 }, Digest::ZERO);
    let each = model.to_bytes().len() as u64;
    let mut seq = 1;
    while spool.bytes() < mib << 20 {
        let some = vec![model.clone(); 32];
        spool.append(Position { epoch: 1, seq }, &some).unwrap();
        seq += 32;
    }
    let batches = seq - 1;
    drop(spool);

    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
    };
    let (spool, quick, little) = opened(dir.path(), max_bytes);
    assert_eq!((spool.pending(), spool.head().at.seq), (batches, batches));
    assert!(little < 3 * SEGMENT_BYTES, "{little} bytes are read of {} in {mib} MiB", spool.bytes());
    let before = bytes_read();
    assert_eq!(spool.oldest_unacked(64, 1 << 20).unwrap().len() as u64, (1 << 20) / each);
    let first = bytes_read() - before;
    assert!(first < 2 << 20, "{first} bytes are read to deliver one MiB");
    let lean = peak();
    drop(spool);

    // Without a chain file to be believed, everything is read, a segment at a time.
    let chain = chain_path(dir.path());
    std::fs::write(&chain, vec![1; 8192]).unwrap();
    let (spool, slow, all) = opened(dir.path(), max_bytes);
    assert_eq!((spool.pending(), spool.head().at.seq), (batches, batches));
    assert!(all >= spool.bytes());
    println!(
        "{batches} batches in {mib} MiB: {quick:?} for {little} bytes, peak {lean}; all of it {slow:?}, peak {}",
        peak()
    );
}

fn open_roomy(dir: &Path) -> Spool {
    let spool = Spool::open_with(dir, 1 << 20, 2500).unwrap();
    spool.begin_epoch(1).unwrap();
    spool
}

/// Flips a bit of the first batch in the last segment but one; its number.
fn rot(dir: &Path) -> u64 {
    let names = files::names(dir).unwrap();
    assert!(names.len() > 3, "{names:?}");
    let (_, first, path) = &names[names.len() - 2];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(path, bytes).unwrap();
    *first
}

#[test]
fn damage_is_found_when_its_turn_comes_and_declared_then() {
    for reads_ahead in [true, false] {
        let dir = scratch();
        let spool = open_roomy(dir.path());
        for label in 0..9 {
            append(&spool, 7, label).unwrap();
        }
        let held = spool.pending();
        drop(spool);
        let first = rot(dir.path());

        // Nobody looks there on opening, so nothing is said; what comes before it is delivered.
        let spool = open_roomy(dir.path());
        assert_eq!((spool.recovery(), spool.pending()), (&Recovery::default(), held));
        assert_eq!(all(&spool).last().map(|(seq, _)| *seq), Some(first - 1));
        if reads_ahead {
            // Whoever meets it before its turn makes the next opening read everything.
            spool.acknowledge(Position { epoch: 1, seq: first - 3 });
            assert_eq!(all(&spool).len(), 2);
            spool.digest_of(Position { epoch: 1, seq: first }).unwrap_err();
        } else {
            spool.acknowledge(Position { epoch: 1, seq: first - 1 });
        }
        drop(spool);
        let spool = open_roomy(dir.path());
        assert_eq!((spool.recovery().damaged_places, spool.recovery().lost_batches), (1, 1));
        assert!(matches!(spool.oldest_unacked(9, 9), Err(SpoolError::Broken { batches: 1 })));
        assert_eq!(spool.renewal(1).unwrap().lost_batches(), 1);
    }
}

#[test]
fn damage_before_what_is_delivered_is_passed_over() {
    let dir = scratch();
    let spool = Spool::open_with(dir.path(), 1 << 20, 1 << 18).unwrap();
    spool.begin_epoch(1).unwrap();
    append(&spool, 12, 0).unwrap();
    spool.acknowledge(Position { epoch: 1, seq: 6 });
    let path = segment::path(dir.path(), 1, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let third = bytes.len() / 6;
    for at in [third, third + 4, third + 20] {
        bytes[at] ^= 0x55;
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(all(&spool).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (7..=12).collect::<Vec<_>>());
}

/// A slot of the chain's state rotted, and so did the last batch, whose number the collector may have seen: an opening that
/// died before it was declared must not have taken away what told so.
#[test]
fn an_unreadable_end_beside_a_rotten_slot_is_remembered_by_the_next_opening() {
    // Whichever of the two slots was the newest; with the first batch damaged too, or not.
    for (slot, lost) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        let case = format!("slot {slot}, {lost} lost");
        let dir = scratch();
        let open = || Spool::open_with(dir.path(), 1 << 20, 2500).unwrap();
        let spool = open();
        spool.begin_epoch(1).unwrap();
        for label in 0..3 {
            append(&spool, 1, label).unwrap();
        }
        drop(spool);
        let flip = |path: &Path, at: usize| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[at] ^= 1;
            std::fs::write(path, &bytes).unwrap();
            bytes.len()
        };
        let chain = chain_path(dir.path());
        let half = std::fs::metadata(&chain).unwrap().len() / 2;
        flip(&chain, usize::try_from(slot * half).unwrap() + 20);
        let (_, _, path) = files::names(dir.path()).unwrap().pop().unwrap();
        let bytes = usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap();
        flip(&path, bytes - 20);
        if lost == 2 {
            flip(&path, 100);
        }

        for opening in ["the first", "the second"] {
            let spool = open();
            assert_eq!(spool.recovery().lost_batches, lost, "{opening}, {case}: {:?}", spool.recovery());
            assert!(spool.renewal(1).is_some(), "{opening}, {case}");
        }
        assert_eq!(std::fs::read(&path).unwrap().len(), bytes, "{case}");
        let spool = open();
        let mut renewal = spool.renewal(1).unwrap();
        assert_eq!(renewal.head().at.epoch, 2);
        while renewal.next_stranded().unwrap().is_some() {}
        renewal.commit().unwrap();
        drop(spool);
        // Now it is cut, and the numbers of the old epoch are not used again.
        assert!(std::fs::metadata(&path).map_or(0, |left| left.len()) < bytes as u64, "{case}");
        let spool = open();
        assert_eq!(
            (spool.recovery(), spool.head().at),
            (&Recovery::default(), Position { epoch: 2, seq: 0 })
        );
    }
}
