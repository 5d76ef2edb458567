//! Bytes that came before others of their direction: which, not what they say.

use super::end::low;

/// Pieces kept for one direction. More: the one that comes is forgotten, and counts as missing when it is acknowledged.
const PIECES_MAX: usize = 8;

/// Pieces beyond a hole, apart from each other and in order; by the low halves of their relative sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    pieces: [(u32, u32); PIECES_MAX],
    count: usize,
}

impl Pieces {
    fn all(&self) -> &[(u32, u32)] {
        self.pieces.get(..self.count).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first piece; all lie beyond `base`, by less than 2 GiB.
    pub(super) fn first(&self, base: u64) -> Option<(u64, u64)> {
        self.all().first().map(|piece| whole(*piece, base))
    }

    /// The end of the last, or `base`.
    pub(super) fn end(&self, base: u64) -> u64 {
        self.all().last().map_or(base, |piece| whole(*piece, base).1)
    }

    /// Takes in a piece beyond `base`.
    pub(super) fn insert(&mut self, base: u64, piece: (u64, u64)) {
        if piece.1.saturating_sub(base) > u64::from(u32::MAX >> 1) {
            return;
        }
        let mut kept = Self::default();
        let mut new = Some(piece);
        for old in self.all().iter().map(|old| whole(*old, base)) {
            match new {
                Some((start, end)) if old.1 < start || end < old.0 => {
                    if end < old.0 {
                        kept.push((start, end));
                        new = None;
                    }
                    kept.push(old);
                }
                Some((start, end)) => new = Some((start.min(old.0), end.max(old.1))),
                None => kept.push(old),
            }
        }
        if let Some(piece) = new {
            kept.push(piece);
        }
        if kept.count <= PIECES_MAX {
            *self = kept;
        }
    }

    fn push(&mut self, (start, end): (u64, u64)) {
        if let Some(place) = self.pieces.get_mut(self.count) {
            *place = (low(start), low(end));
        }
        self.count += 1;
    }

    /// Everything up to `until` is there: how far it then goes on without a hole.
    pub(super) fn absorb(&mut self, until: u64) -> u64 {
        let mut until = until;
        let mut absorbed = 0;
        for (start, end) in self.all() {
            // Both halves are near `until`: a piece that begins after it is far less than 2 GiB away.
            if super::distance(low(until), *start) > 0 {
                break;
            }
            until += u64::try_from(super::distance(low(until), *end)).unwrap_or_default();
            absorbed += 1;
        }
        if absorbed > 0 {
            self.pieces.rotate_left(absorbed);
            self.count -= absorbed;
        }
        until
    }
}

fn whole((start, end): (u32, u32), base: u64) -> (u64, u64) {
    let up = |half: u32| base + u64::from(half.wrapping_sub(low(base)));
    (up(start), up(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Around a wrap of the low half, against a set of bytes.
        #[test]
        fn pieces_are_a_set_of_bytes(adds in proptest::collection::vec((1_u64..60, 1_u64..12), 0..8), until in 1_u64..80) {
            let base = u64::from(u32::MAX) - 20;
            let mut pieces = Pieces::default();
            let mut model = [false; 200];
            for (start, length) in adds {
                pieces.insert(base, (base + start, base + start + length));
                model[usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap()].fill(true);
            }
            let runs = pieces.all().iter().map(|piece| whole(*piece, base));
            let bytes: Vec<u64> = runs.clone().flat_map(|(start, end)| start - base..end - base).collect();
            let expected: Vec<u64> = (0..200).filter(|at| model[usize::try_from(*at).unwrap()]).collect();
            prop_assert_eq!(bytes, expected);
            prop_assert!(runs.clone().zip(runs.skip(1)).all(|(one, next)| one.1 < next.0));
            let reached = (until..200).find(|at| !model[usize::try_from(*at).unwrap()]).unwrap();
            prop_assert_eq!(pieces.absorb(base + until), base + reached);
        }
    }

    #[test]
    fn one_piece_too_many_is_forgotten() {
        let mut pieces = Pieces::default();
        for nth in 1..20 {
            pieces.insert(1, (nth * 10, nth * 10 + 5));
        }
        assert_eq!(pieces.count, PIECES_MAX);
        assert_eq!(pieces.end(1), 85);
        pieces.insert(1, (15, 20));
        assert_eq!(pieces.first(1), Some((10, 25)), "a piece that joins others needs no room");
    }
}
