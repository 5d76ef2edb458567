//! The bytes of CRYPTO frames in order (RFC 9000, 19.6), whatever the order in which they came.

/// Bytes of a hello that are kept; post-quantum key shares make some 2 KiB, and two hellos may follow each other.
const WINDOW_MAX: usize = 32 * 1024;
/// Separate pieces that are kept: browsers cut their hello into a dozen on purpose.
const PIECES_MAX: usize = 64;

/// One side's stream.
#[derive(Debug, Default)]
pub(super) struct Crypto {
    /// Offset of the first byte of `bytes`.
    base: u64,
    bytes: Vec<u8>,
    /// Parts of `bytes` that are there, in order and apart from each other.
    pieces: Vec<(usize, usize)>,
}

impl Crypto {
    /// Keeps what a frame brings; what does not fit is left out.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8]) {
        let known = usize::try_from(self.base.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(data) = data.get(known..).filter(|data| !data.is_empty()) else { return };
        let Ok(start) = usize::try_from(offset.saturating_sub(self.base)) else { return };
        let end = start.saturating_add(data.len());
        let apart = |piece: &&(usize, usize)| piece.1 < start || piece.0 > end;
        if end > WINDOW_MAX || self.pieces.iter().filter(apart).count() >= PIECES_MAX {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(data);
        }
        let touching = self.pieces.iter().filter(|piece| !apart(piece));
        let merged = touching.fold((start, end), |all, piece| (all.0.min(piece.0), all.1.max(piece.1)));
        self.pieces.retain(|piece| piece.1 < start || piece.0 > end);
        let at = self.pieces.partition_point(|piece| piece.0 < merged.0);
        self.pieces.insert(at, merged);
    }

    /// What is there without a hole, once.
    pub(super) fn take_ready(&mut self) -> Vec<u8> {
        let Some((0, end)) = self.pieces.first().copied() else { return Vec::new() };
        self.pieces.remove(0);
        for piece in &mut self.pieces {
            *piece = (piece.0 - end, piece.1 - end);
        }
        let rest = self.bytes.split_off(end);
        self.base = self.base.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
        core::mem::replace(&mut self.bytes, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut crypto = Crypto::default();
        crypto.insert(1, &[0; WINDOW_MAX]);
        crypto.insert(u64::MAX, b"x");
        for n in 0..1_000 {
            crypto.insert(2 * n + 1, b"x");
        }
        assert_eq!(crypto.pieces.len(), PIECES_MAX);
        assert!(crypto.bytes.len() <= WINDOW_MAX);
        assert_eq!(crypto.take_ready(), b"");
        crypto.insert(0, b"y");
        assert_eq!(crypto.take_ready(), b"yx");
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_give_the_whole(whole: Vec<u8>, cuts: Vec<(u8, u8)>) {
            let mut crypto = Crypto::default();
            let mut read = Vec::new();
            let all = (0, u8::MAX);
            for (from, length) in cuts.into_iter().chain([all, (u8::MAX, u8::MAX)]) {
                let from = usize::from(from).min(whole.len());
                let to = (from + usize::from(length)).min(whole.len());
                crypto.insert(from as u64, &whole[from..to]);
                read.extend(crypto.take_ready());
                prop_assert!(whole.starts_with(&read));
            }
            prop_assert_eq!(read.len(), whole.len().min(510));
        }
    }
}
