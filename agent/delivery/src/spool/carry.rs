//! Reading what waits in a spool without owning it, to carry it to the collector by hand.

use std::io;
use std::path::Path;

use super::chain::{Chain, Position};
use super::{SpoolError, chain_path, files};

/// Hands every batch that is not acknowledged to `take`, in the order of delivery, and changes nothing: the running agent
/// may go on. One segment is in memory at a time. Gives back how many they were.
///
/// # Errors
/// If a file cannot be read, `take` fails, or a batch is damaged or missing: nothing after it could be delivered, and the
/// agent mends that when it opens the spool.
pub fn waiting<E: From<SpoolError>>(
    dir: &Path,
    mut take: impl FnMut(Position, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let chain = Chain::read(&chain_path(dir)).map_err(SpoolError::from)?;
    let names = files::names(dir).map_err(SpoolError::from)?;
    let (mut count, mut last) = (0, None);
    for (epoch, first, path) in names {
        // What an interrupted renewal has left, at one end or the other, goes with the next opening.
        let end = chain.as_ref().and_then(|chain| chain.end_of(epoch));
        let valid = |chain: &Chain| (chain.acked.epoch..=chain.head.at.epoch).contains(&epoch);
        if !chain.as_ref().is_none_or(valid) || end.is_some_and(|end| first > end) {
            continue;
        }
        let acked = chain.as_ref().map_or_else(Position::default, |chain| chain.acked);
        let before = match last {
            Some(Position { epoch: known, seq }) if known == epoch => seq,
            Some(_) => 0,
            None if acked.epoch == epoch => acked.seq.max(first.saturating_sub(1)),
            None => first.saturating_sub(1),
        };
        let (bytes, scan) = match files::read(&path, epoch) {
            Ok(read) => read,
            // Acknowledged meanwhile.
            Err(error) if error.cause.kind() == io::ErrorKind::NotFound && last.is_none() => continue,
            Err(error) => return Err(SpoolError::from(error).into()),
        };
        let damaged = |seq| SpoolError::Damaged { path: path.clone(), seq };
        let waits = |seq: u64| seq > before && end.is_none_or(|end| seq <= end);
        for (next, found) in (before + 1..).zip(scan.records.iter().filter(|found| waits(found.seq))) {
            let raw = bytes.get(found.envelope.clone()).filter(|_| found.seq == next);
            let raw = raw.ok_or_else(|| damaged(next))?;
            take(Position { epoch, seq: next }, raw)?;
            last = Some(Position { epoch, seq: next });
            count += 1;
        }
    }
    let is_known = |chain: &Chain| chain.acked < chain.head.at && last.unwrap_or_default() < chain.head.at;
    if let Some(head) = chain.filter(is_known).map(|chain| chain.head.at) {
        // Or it was all acknowledged meanwhile.
        let now = Chain::read(&chain_path(dir)).map_err(SpoolError::from)?;
        if now.is_none_or(|now| now.acked < head) {
            return Err(SpoolError::Damaged { path: chain_path(dir), seq: head.seq }.into());
        }
    }
    Ok(count)
}
