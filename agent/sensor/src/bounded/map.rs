//! A map of fixed capacity that evicts the least recently used entry and returns it.
//!
//! Entries live in a slab that also links them by time of use; the hash table holds only their places. The slab keeps each
//! entry's hash, so that a key is hashed once for each use of the map, and never to leave it or to let the table grow. A map
//! that was full once is moved to a smaller place when few of its entries are left.

use core::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use super::keyed::Keyed;

/// No entry.
const NIL: u32 = u32::MAX;
/// A slab of no more slots than this is never moved.
const SMALL: usize = 64;
/// A slab is moved when one of so many slots is in use: each move is paid for by the entries that left before it.
const SPARSE: usize = 4;

#[cfg(test)]
std::thread_local! {
    /// What all maps of this thread would take if they were full.
    pub(crate) static PROMISED: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// At most `capacity` entries; the least recently used leaves for a new one.
#[derive(Debug)]
pub struct Map<K, V> {
    index: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    /// First of the slots without entry, each of which names the next as its newer.
    free: u32,
    hasher: Keyed,
    capacity: usize,
    /// Least recently used.
    oldest: u32,
    /// Most recently used.
    newest: u32,
}

/// Where an entry is, as long as none comes and none goes.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32);

#[derive(Debug)]
struct Slot<K, V> {
    older: u32,
    newer: u32,
    hash: u32,
    entry: Option<(K, V)>,
}

impl<K: Hash + Eq, V> Map<K, V> {
    /// An empty map. A capacity of zero counts as one. Memory is taken as entries come.
    pub fn new(capacity: usize, seed: u64) -> Self {
        #[cfg(test)]
        PROMISED.with(|promised| promised.set(promised.get() + Self::bytes_max(capacity)));
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: NIL,
            hasher: Keyed::with_seed(seed),
            capacity: capacity.clamp(1, NIL as usize - 1),
            oldest: NIL,
            newest: NIL,
        }
    }

    /// Bytes that a full map takes, without what its entries own.
    pub const fn bytes_max(capacity: usize) -> usize {
        // Five bytes for each place of the index, a power of two of which at most seven in eight are taken, and a group more.
        let places = (capacity.saturating_mul(8) / 7).next_power_of_two();
        capacity.saturating_mul(size_of::<Slot<K, V>>()).saturating_add(places.saturating_mul(5) + 16)
    }

    /// Bytes taken now, without what the entries own.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<K, V>>() + self.index.allocation_size()
    }

    /// Entries now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// There is no entry.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The value of `key`, without counting as use.
    #[inline]
    pub fn peek(&self, key: &K) -> Option<&V> {
        // Many of a detector's tables are empty nearly always: not even the hash is needed then.
        if self.index.is_empty() {
            return None;
        }
        self.slot(self.find(self.hash(key), key)?)?.entry.as_ref().map(|(_, value)| value)
    }

    /// The value of `key`; counts as use.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.index.is_empty() {
            return None;
        }
        let at = self.find(self.hash(key), key)?;
        self.touch(at);
        self.value_at(at)
    }

    /// The value of `key`, made if it is not there, and what left to make room for it; counts as use.
    pub fn get_or_insert_with(
        &mut self,
        key: K,
        make: impl FnOnce() -> V,
    ) -> (Option<&mut V>, Option<(K, V)>) {
        let hash = self.hash(&key);
        if let Some(at) = self.find(hash, &key) {
            self.touch(at);
            return (self.value_at(at), None);
        }
        let (at, evicted) = self.place(hash, (key, make()));
        (self.value_at(at), evicted)
    }

    /// Sets the value of `key` and returns what left: the old value, or what made room; counts as use.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let hash = self.hash(&key);
        let Some(at) = self.find(hash, &key) else { return self.place(hash, (key, value)).1 };
        self.touch(at);
        self.slot_mut(at)?.entry.replace((key, value))
    }

    /// Sets the value of `key` if it has none, and returns the one that it has, which does not count as use. What makes room
    /// is forgotten.
    pub fn insert_new(&mut self, key: K, value: V) -> Option<&V> {
        let hash = self.hash(&key);
        match self.find(hash, &key) {
            Some(at) => self.slot(at)?.entry.as_ref().map(|(_, value)| value),
            None => {
                let at = self.room();
                self.slot_mut(at)?.entry = Some((key, value));
                self.settle(at, hash);
                None
            }
        }
    }

    /// Sets the value of `key` if it has none; else takes the entry out, if `leaves` says so of its value, and returns that. What
    /// makes room is forgotten.
    pub fn insert_or_take(&mut self, key: K, value: V, leaves: impl FnOnce(&V) -> bool) -> Option<V> {
        let hash = self.hash(&key);
        let Some(at) = self.find(hash, &key) else {
            let at = self.room();
            self.slot_mut(at)?.entry = Some((key, value));
            self.settle(at, hash);
            return None;
        };
        let (_, before) = self.slot(at)?.entry.as_ref()?;
        if leaves(before) { self.take(at).map(|(_, value)| value) } else { None }
    }

    /// Where the entry of `key` is, without counting as use.
    #[inline]
    pub fn place_of(&self, key: &K) -> Option<Place> {
        if self.index.is_empty() {
            return None;
        }
        self.find(self.hash(key), key).map(Place)
    }

    /// The value at a place, without counting as use.
    #[inline]
    pub fn at(&self, place: Place) -> Option<&V> {
        self.slot(place.0)?.entry.as_ref().map(|(_, value)| value)
    }

    /// The value at a place; counts as use.
    #[inline]
    pub fn use_at(&mut self, place: Place) -> Option<&mut V> {
        self.touch(place.0);
        self.value_at(place.0)
    }

    /// Takes in a key that [`Map::place_of`] did not find: where it is, and what left to make room for it.
    pub fn enter(&mut self, key: K, value: V) -> (Place, Option<(K, V)>) {
        let hash = self.hash(&key);
        let (at, left) = self.place(hash, (key, value));
        (Place(at), left)
    }

    /// Takes the entry of `key` out.
    #[inline]
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if self.index.is_empty() {
            return None;
        }
        let at = self.find(self.hash(key), key)?;
        self.take(at).map(|(_, value)| value)
    }

    /// The least recently used entry.
    pub fn oldest(&self) -> Option<(&K, &V)> {
        self.slot(self.oldest)?.entry.as_ref().map(|(key, value)| (key, value))
    }

    /// Takes the least recently used entry out.
    pub fn pop_oldest(&mut self) -> Option<(K, V)> {
        self.take(self.oldest)
    }

    /// Takes every entry out, least recently used first.
    pub fn take_all(&mut self) -> Vec<(K, V)> {
        let mut all = Vec::with_capacity(self.len());
        let mut at = self.oldest;
        while let Some(slot) = self.slot_mut(at) {
            at = slot.newer;
            all.extend(slot.entry.take());
        }
        self.index.clear();
        self.slots.clear();
        (self.oldest, self.newest, self.free) = (NIL, NIL, NIL);
        all
    }

    /// Entries, least recently used first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut at = self.oldest;
        core::iter::from_fn(move || {
            let slot = self.slot(at)?;
            at = slot.newer;
            slot.entry.as_ref().map(|(key, value)| (key, value))
        })
    }

    /// Visits every entry, least recently used first, without counting as use.
    pub fn for_each_mut(&mut self, mut visit: impl FnMut(&K, &mut V)) {
        let mut at = self.oldest;
        while let Some(slot) = self.slot_mut(at) {
            at = slot.newer;
            if let Some((key, value)) = &mut slot.entry {
                visit(key, value);
            }
        }
    }

    fn slot(&self, at: u32) -> Option<&Slot<K, V>> {
        self.slots.get(at as usize)
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot<K, V>> {
        self.slots.get_mut(at as usize)
    }

    fn value_at(&mut self, at: u32) -> Option<&mut V> {
        self.slot_mut(at)?.entry.as_mut().map(|(_, value)| value)
    }

    /// Half of the hash is enough for every capacity and keeps the slots small.
    #[inline]
    fn hash(&self, key: &K) -> u32 {
        let hash = self.hasher.hash_one(key);
        u32::try_from((hash >> u32::BITS) ^ (hash & u64::from(u32::MAX))).unwrap_or_default()
    }

    #[inline]
    fn find(&self, hash: u32, key: &K) -> Option<u32> {
        let is_key = |at: &u32| {
            let slot = self.slot(*at).filter(|slot| slot.hash == hash);
            slot.and_then(|slot| slot.entry.as_ref()).is_some_and(|(one, _)| one == key)
        };
        self.index.find(spread(hash), is_key).copied()
    }

    /// Takes a new entry in; where it is, and what left for it.
    fn place(&mut self, hash: u32, entry: (K, V)) -> (u32, Option<(K, V)>) {
        let at = self.room();
        let evicted = self.slot_mut(at).and_then(|slot| slot.entry.replace(entry));
        self.settle(at, hash);
        (at, evicted)
    }

    /// A slot for a new entry: in a full map that of the least recently used one, which is still in it.
    fn room(&mut self) -> u32 {
        if self.len() >= self.capacity {
            let at = self.oldest;
            self.leave(at);
            return at;
        }
        if let Some(newer) = self.slot(self.free).map(|slot| slot.newer) {
            return core::mem::replace(&mut self.free, newer);
        }
        if self.slots.len() == self.slots.capacity() {
            // Twice as much, but never more than may be used.
            let more = self.slots.len().max(4).min(self.capacity.saturating_sub(self.slots.len()));
            self.slots.reserve_exact(more);
        }
        self.slots.push(Slot { older: NIL, newer: NIL, hash: 0, entry: None });
        // The capacity is below u32::MAX, and there are never more slots than that.
        u32::try_from(self.slots.len() - 1).unwrap_or(NIL)
    }

    /// Puts a slot into the index and at the end of the order.
    fn settle(&mut self, at: u32, hash: u32) {
        if let Some(slot) = self.slot_mut(at) {
            slot.hash = hash;
        }
        let Self { index, slots, .. } = self;
        let rehash = |other: &u32| slots.get(*other as usize).map_or(0, |slot| spread(slot.hash));
        index.insert_unique(spread(hash), at, rehash);
        self.link_newest(at);
    }

    /// Takes a slot out of the order and of the index.
    fn leave(&mut self, at: u32) {
        let Some(hash) = self.slot(at).map(|slot| slot.hash) else { return };
        self.unlink(at);
        if let Ok(found) = self.index.find_entry(spread(hash), |one| *one == at) {
            found.remove();
        }
    }

    fn take(&mut self, at: u32) -> Option<(K, V)> {
        self.slot(at)?;
        self.leave(at);
        let next = core::mem::replace(&mut self.free, at);
        let slot = self.slot_mut(at)?;
        slot.newer = next;
        let entry = slot.entry.take();
        if self.slots.len() > SMALL && self.len() < self.slots.len() / SPARSE {
            self.shrink();
        }
        entry
    }

    /// Moves what is left to a place of its size.
    fn shrink(&mut self) {
        let len = self.len();
        let mut old = core::mem::take(&mut self.slots);
        (self.free, self.index) = (NIL, HashTable::with_capacity(len));
        self.slots.reserve_exact(len);
        let mut from = core::mem::replace(&mut self.oldest, NIL);
        self.newest = NIL;
        while let Some(slot) = old.get_mut(from as usize) {
            from = slot.newer;
            let at = u32::try_from(self.slots.len()).unwrap_or(NIL);
            let hash = slot.hash;
            self.slots.push(Slot { older: NIL, newer: NIL, hash, entry: slot.entry.take() });
            self.settle(at, hash);
        }
    }

    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some((older, newer)) = self.slot(at).map(|slot| (slot.older, slot.newer)) else { return };
        match self.slot_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        if let Some(slot) = self.slot_mut(at) {
            (slot.older, slot.newer) = (before, NIL);
        }
        match self.slot_mut(before) {
            Some(slot) => slot.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

/// All bits of the table's hash from half of them (Fibonacci hashing; Knuth, volume 3, 6.4).
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Action {
        Insert(u8, u16),
        GetOrInsert(u8, u16),
        Get(u8),
        Use(u8, u16),
        InsertOrTake(u8, u16),
        Remove(u8),
        PopOldest,
        TakeAll,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0..12_u8, any::<u16>()).prop_map(|(k, v)| Action::Insert(k, v)),
            (0..12_u8, any::<u16>()).prop_map(|(k, v)| Action::GetOrInsert(k, v)),
            (0..12_u8).prop_map(Action::Get),
            (0..12_u8, any::<u16>()).prop_map(|(k, v)| Action::Use(k, v)),
            (0..12_u8, any::<u16>()).prop_map(|(k, v)| Action::InsertOrTake(k, v)),
            (0..12_u8).prop_map(Action::Remove),
            Just(Action::PopOldest),
            Just(Action::TakeAll),
        ]
    }

    /// The model: a list, oldest first.
    fn take(model: &mut Vec<(u8, u16)>, key: u8) -> Option<(u8, u16)> {
        model.iter().position(|(k, _)| *k == key).map(|at| model.remove(at))
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_in_order_of_use(actions in prop::collection::vec(action(), 0..200), seed: u64) {
            const CAPACITY: usize = 5;
            let mut map = Map::new(CAPACITY, seed);
            let mut model: Vec<(u8, u16)> = Vec::new();
            for action in actions {
                match action {
                    Action::Insert(k, v) => {
                        let mut left = take(&mut model, k);
                        if left.is_none() && model.len() == CAPACITY {
                            left = Some(model.remove(0));
                        }
                        model.push((k, v));
                        prop_assert_eq!(map.insert(k, v), left);
                    }
                    Action::GetOrInsert(k, v) => {
                        let (old, mut left) = (take(&mut model, k), None);
                        if old.is_none() && model.len() == CAPACITY {
                            left = Some(model.remove(0));
                        }
                        let value = old.map_or(v, |(_, old)| old);
                        model.push((k, value));
                        let (got, evicted) = map.get_or_insert_with(k, || v);
                        prop_assert_eq!(got.copied(), Some(value));
                        prop_assert_eq!(evicted, left);
                    }
                    Action::Get(k) => {
                        let found = take(&mut model, k);
                        model.extend(found);
                        prop_assert_eq!(map.peek(&k).copied(), found.map(|(_, v)| v));
                        prop_assert_eq!(map.get_mut(&k).copied(), found.map(|(_, v)| v));
                    }
                    Action::Use(k, v) => {
                        let (old, mut left) = (take(&mut model, k), None);
                        if old.is_none() && model.len() == CAPACITY {
                            left = Some(model.remove(0));
                        }
                        let value = old.map_or(v, |(_, old)| old);
                        model.push((k, value));
                        let (place, evicted) = match map.place_of(&k) {
                            Some(place) => (place, None),
                            None => map.enter(k, v),
                        };
                        prop_assert_eq!(evicted, left);
                        prop_assert_eq!(map.at(place).copied(), Some(value));
                        prop_assert_eq!(map.use_at(place).copied(), Some(value));
                    }
                    Action::InsertOrTake(k, v) => {
                        let old = model.iter().find(|(one, _)| *one == k).copied();
                        let leaves = old.is_some_and(|(_, old)| old % 2 == 0);
                        if leaves {
                            take(&mut model, k);
                        } else if old.is_none() {
                            if model.len() == CAPACITY {
                                model.remove(0);
                            }
                            model.push((k, v));
                        }
                        let taken = map.insert_or_take(k, v, |old| old % 2 == 0);
                        prop_assert_eq!(taken, old.filter(|_| leaves).map(|(_, old)| old));
                    }
                    Action::TakeAll => {
                        let all = map.take_all();
                        prop_assert_eq!(all, core::mem::take(&mut model));
                    }
                    Action::Remove(k) => {
                        prop_assert_eq!(map.remove(&k), take(&mut model, k).map(|(_, v)| v));
                    }
                    Action::PopOldest => {
                        let oldest = if model.is_empty() { None } else { Some(model.remove(0)) };
                        prop_assert_eq!(map.oldest().map(|(k, v)| (*k, *v)), oldest);
                        prop_assert_eq!(map.pop_oldest(), oldest);
                    }
                }
                prop_assert_eq!(map.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>(), model.clone());
                let mut visited = Vec::new();
                map.for_each_mut(|k, v| visited.push((*k, *v)));
                prop_assert_eq!(visited, model.clone());
                prop_assert_eq!(map.len(), model.len());
            }
        }
    }

    #[test]
    fn a_map_that_empties_gives_its_memory_back_and_keeps_order() {
        let mut map = Map::new(10_000, 3);
        let empty = map.bytes();
        for key in 0..20_000_u32 {
            let _left = map.insert(key, [key; 8]);
        }
        let full = map.bytes();
        assert!(full <= Map::<u32, [u32; 8]>::bytes_max(10_000) && full > 10_000 * 44, "{full}");
        for key in (10_000..20_000).filter(|key| key % 100 != 7) {
            assert_eq!(map.remove(&key), Some([key; 8]));
        }
        assert!(map.bytes() < full / 20, "{} of {full}", map.bytes());
        let left: Vec<u32> = map.iter().map(|(key, _)| *key).collect();
        assert_eq!(left, (10_000..20_000).filter(|key| key % 100 == 7).collect::<Vec<_>>());
        assert!(left.iter().all(|key| map.peek(key) == Some(&[*key; 8])));
        while map.pop_oldest().is_some() {}
        assert!(map.bytes() <= empty + SMALL * 64, "{}", map.bytes());
        let _left = map.insert(1, [0; 8]);
        assert_eq!(map.len(), 1);
    }
}
