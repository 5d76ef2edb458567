//! Entries in pages that are given back when they are empty.

use crate::flow::queues::usize_of;

/// Entries of a page: 32 KiB of flows, which the allocator gives back to the system.
const PAGE: u32 = 256;
const WORDS: usize = (PAGE / u64::BITS) as usize;
/// So few pages are never worth emptying: two mebibytes of flows.
const FEW: usize = 64;

/// Entries by slot.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Option<Page<T>>>,
    /// Which pages have room, a bit each.
    roomy: Vec<u64>,
    /// All words of `roomy` below this one are zero: a table of a million flows has 64, and each new flow asks.
    full: usize,
    /// How many there are.
    taken: usize,
}

#[derive(Debug)]
struct Page<T> {
    entries: Box<[Option<T>]>,
    /// Which entries are there.
    used: [u64; WORDS],
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), roomy: Vec::new(), full: 0, taken: 0 }
    }
}

impl<T> Pages<T> {
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let page = self.pages.get(usize_of(slot / PAGE))?.as_ref()?;
        page.entries.get(usize_of(slot % PAGE))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let page = self.pages.get_mut(usize_of(slot / PAGE))?.as_mut()?;
        page.entries.get_mut(usize_of(slot % PAGE))?.as_mut()
    }

    /// Puts an entry into the lowest page that has room; its slot.
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        let number = self.lowest_with_room();
        let at = usize_of(number);
        if self.pages.len() <= at {
            self.pages.resize_with(at + 1, || None);
        }
        let Some(place) = self.pages.get_mut(at) else { return u32::MAX };
        if place.is_none() {
            self.taken += 1;
        }
        let page = place.get_or_insert_with(|| Page {
            entries: core::iter::repeat_with(|| None).take(usize_of(PAGE)).collect(),
            used: [0; WORDS],
        });
        let free = page.used.iter().zip(0_u32..).find(|(word, _)| **word != u64::MAX);
        let slot = free.map_or(0, |(word, at)| at * u64::BITS + word.trailing_ones());
        if let Some(place) = page.entries.get_mut(usize_of(slot)) {
            *place = Some(entry);
        }
        mark(&mut page.used, slot, true);
        if page.used == [u64::MAX; WORDS] {
            mark(&mut self.roomy, number, false);
        }
        number * PAGE + slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let number = slot / PAGE;
        let place = self.pages.get_mut(usize_of(number))?;
        let page = place.as_mut()?;
        let entry = page.entries.get_mut(usize_of(slot % PAGE))?.take()?;
        mark(&mut page.used, slot % PAGE, false);
        if page.used == [0; WORDS] {
            *place = None;
            self.taken -= 1;
        }
        mark(&mut self.roomy, number, true);
        self.full = self.full.min(usize_of(number / u64::BITS));
        Some(entry)
    }

    /// Of all entries there are, `len`, fewer would do with much less memory; `is_emptying`: they are being moved already.
    pub(crate) fn is_sparse(&self, len: usize, is_emptying: bool) -> bool {
        let places = self.taken * usize_of(PAGE);
        self.taken > FEW && if is_emptying { len < places / 8 * 7 } else { len < places / 2 }
    }

    /// All slots are below this.
    pub(crate) fn slots(&self) -> usize {
        self.pages.len() * usize_of(PAGE)
    }

    /// Moves an entry of the highest page to the lowest that has room: its old and its new slot.
    pub(crate) fn move_highest(&mut self) -> Option<(u32, u32)> {
        while self.pages.pop_if(|page| page.is_none()).is_some() {}
        let highest = u32::try_from(self.pages.len()).ok()?.checked_sub(1)?;
        if self.lowest_with_room() >= highest {
            return None;
        }
        let used = self.pages.last()?.as_ref()?.used;
        let (word, at) = used.iter().zip(0_u32..).find(|(word, _)| **word != 0)?;
        let old = highest * PAGE + at * u64::BITS + word.trailing_zeros();
        let entry = self.remove(old)?;
        Some((old, self.insert(entry)))
    }

    /// All, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = self.pages.iter().zip(0_u32..);
        pages.filter_map(|(page, number)| Some((page.as_ref()?, number))).flat_map(|(page, number)| {
            let entries = page.entries.iter().zip(number * PAGE..);
            entries.filter_map(|(entry, slot)| Some((slot, entry.as_ref()?)))
        })
    }

    fn lowest_with_room(&mut self) -> u32 {
        while self.roomy.get(self.full) == Some(&0) {
            self.full += 1;
        }
        if self.full == self.roomy.len() {
            self.roomy.push(u64::MAX);
        }
        let word = self.roomy.get(self.full).copied().unwrap_or_default();
        u32::try_from(self.full).unwrap_or(u32::MAX) * u64::BITS + word.trailing_zeros()
    }
}

/// Sets or clears a bit of many.
pub(crate) fn mark(words: &mut [u64], at: u32, on: bool) {
    if let Some(word) = words.get_mut(usize_of(at / u64::BITS)) {
        let bit = 1 << (at % u64::BITS);
        *word = if on { *word | bit } else { *word & !bit };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_map_and_gives_pages_back(actions in prop::collection::vec(any::<Option<u16>>(), 0..2_000)) {
            let mut pages = Pages::default();
            let mut model = BTreeMap::new();
            for (action, n) in actions.into_iter().zip(0_u32..) {
                match action {
                    // Some go, chosen by the number.
                    Some(which) if which % 3 == 0 && !model.is_empty() => {
                        let slot = *model.keys().nth(usize::from(which) % model.len()).expect("there are some");
                        prop_assert_eq!(pages.remove(slot), model.remove(&slot));
                        prop_assert_eq!(pages.remove(slot), None);
                    }
                    Some(which) if which % 7 == 0 => {
                        if let Some((old, new)) = pages.move_highest() {
                            prop_assert!(new < old, "{new} {old}");
                            let entry = model.remove(&old).expect("it was there");
                            prop_assert_eq!(model.insert(new, entry), None, "a free slot");
                        }
                    }
                    Some(_) | None => {
                        let slot = pages.insert(n);
                        prop_assert_eq!(model.insert(slot, n), None, "a slot is given once");
                    }
                }
            }
            prop_assert!(pages.iter().eq(model.iter().map(|(slot, n)| (*slot, n))));
            prop_assert_eq!(pages.taken, pages.pages.iter().flatten().count());
            for slot in model.keys() {
                pages.remove(*slot);
            }
            prop_assert!(pages.pages.iter().all(Option::is_none));
            prop_assert_eq!(pages.insert(7), 0, "the lowest page first");
        }
    }
}
