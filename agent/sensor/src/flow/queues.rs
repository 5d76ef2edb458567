//! Doubly linked lists over the slots of a table: who is next, without scanning and without allocating.

const NONE: u32 = u32::MAX;

/// `K` lists over the same slots; a slot is in at most one of them.
#[derive(Clone, Debug)]
pub(crate) struct Queues<const K: usize> {
    ends: [Ends; K],
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    front: u32,
    back: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// Which list; `K` for none.
    list: u32,
}

const FREE: Link = Link { before: NONE, after: NONE, list: NONE };

impl<const K: usize> Queues<K> {
    /// For slots below `capacity`.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { ends: [Ends { front: NONE, back: NONE }; K], links: Vec::with_capacity(capacity) }
    }

    /// The slot that has been longest in `list`.
    pub(crate) fn front(&self, list: usize) -> Option<u32> {
        self.ends.get(list).map(|ends| ends.front).filter(|slot| *slot != NONE)
    }

    /// Puts `slot` at the back of `list`, out of whichever list it was in.
    pub(crate) fn push_back(&mut self, list: usize, slot: u32) {
        self.remove(slot);
        let at = usize_of(slot);
        if self.links.len() <= at {
            self.links.resize(at + 1, FREE);
        }
        let Some(ends) = self.ends.get_mut(list) else { return };
        let before = core::mem::replace(&mut ends.back, slot);
        if before == NONE {
            ends.front = slot;
        } else if let Some(link) = self.links.get_mut(usize_of(before)) {
            link.after = slot;
        }
        if let Some(link) = self.links.get_mut(at) {
            *link = Link { before, after: NONE, list: u32::try_from(list).unwrap_or(NONE) };
        }
    }

    /// Takes `slot` out of its list, if it is in one.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(usize_of(slot)) else { return };
        let Link { before, after, list } = core::mem::replace(link, FREE);
        let Some(ends) = self.ends.get_mut(usize_of(list)) else { return };
        match self.links.get_mut(usize_of(before)) {
            Some(link) => link.after = after,
            None => ends.front = after,
        }
        match self.links.get_mut(usize_of(after)) {
            Some(link) => link.before = before,
            None => ends.back = before,
        }
    }

    /// What was in slot `old` is in slot `new` now, which was free; it stays where it is in its list.
    pub(crate) fn rename(&mut self, old: u32, new: u32) {
        let Some(link) = self.links.get_mut(usize_of(old)) else { return };
        let moved = core::mem::replace(link, FREE);
        let Some(ends) = self.ends.get_mut(usize_of(moved.list)) else { return };
        if self.links.len() <= usize_of(new) {
            self.links.resize(usize_of(new) + 1, FREE);
        }
        match self.links.get_mut(usize_of(moved.before)) {
            Some(link) => link.after = new,
            None => ends.front = new,
        }
        match self.links.get_mut(usize_of(moved.after)) {
            Some(link) => link.before = new,
            None => ends.back = new,
        }
        if let Some(link) = self.links.get_mut(usize_of(new)) {
            *link = moved;
        }
    }

    /// No slot from `slots` on is in a list: gives back what they took, if that is most of it.
    pub(crate) fn shrink_to(&mut self, slots: usize) {
        if slots < self.links.capacity() / 2 {
            self.links.truncate(slots);
            self.links.shrink_to(slots);
        }
    }
}

/// Slots are 32 bits to keep flows small; every supported machine has at least that.
pub(crate) const fn usize_of(slot: u32) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(actions in proptest::collection::vec((0_u32..12, 0_usize..4), 0..200)) {
            let mut queues = Queues::<3>::with_capacity(4);
            let mut model: [Vec<u32>; 3] = Default::default();
            for (slot, list) in actions {
                model.iter_mut().for_each(|list| list.retain(|one| *one != slot));
                match model.get_mut(list) {
                    Some(model) => {
                        model.push(slot);
                        queues.push_back(list, slot);
                    }
                    None => queues.remove(slot),
                }
                for (list, model) in model.iter().enumerate() {
                    prop_assert_eq!(queues.front(list), model.first().copied());
                }
            }
            // All move far away and back, in any order.
            for (from, to) in (0..12).zip(100..).chain((100..112).zip(0..12)) {
                queues.rename(from, to);
            }
            queues.shrink_to(12);
            prop_assert!(queues.links.len() <= 12);
            for (list, model) in model.iter().enumerate() {
                for slot in model {
                    prop_assert_eq!(queues.front(list), Some(*slot));
                    queues.remove(*slot);
                }
                prop_assert_eq!(queues.front(list), None);
            }
        }
    }
}
