//! A small set of distinct values with an exact cap.

/// Up to a given number of distinct values, ascending. When it is full it takes no more: its length is a lower bound.
#[derive(Clone, Debug)]
pub struct Distinct<T> {
    values: Vec<T>,
    cap: usize,
}

impl<T: Ord> Distinct<T> {
    /// An empty set that takes at most `cap` values.
    pub const fn new(cap: usize) -> Self {
        Self { values: Vec::new(), cap }
    }

    /// Adds a value; true if it was not there and there was room.
    pub fn insert(&mut self, value: T) -> bool {
        if self.is_full() {
            return false;
        }
        match self.values.binary_search(&value) {
            Ok(_) => false,
            Err(at) => {
                self.values.insert(at, value);
                true
            }
        }
    }

    /// The value is there.
    pub fn contains(&self, value: &T) -> bool {
        self.values.binary_search(value).is_ok()
    }

    /// Distinct values taken.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Nothing was taken.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// No further value is taken: the true number may be higher.
    pub fn is_full(&self) -> bool {
        self.values.len() >= self.cap
    }

    /// The values, ascending.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.values.iter()
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_exactly_up_to_its_cap() {
        let mut set = Distinct::new(3);
        assert!(set.is_empty());
        let taken: Vec<bool> = [5, 5, 1, 5, 9, 7, 1].into_iter().map(|value| set.insert(value)).collect();
        assert_eq!(taken, [true, false, true, false, true, false, false]);
        assert_eq!(set.iter().copied().collect::<Vec<_>>(), [1, 5, 9]);
        assert!(set.is_full() && set.contains(&9) && !set.contains(&7));
        set.clear();
        assert_eq!(set.len(), 0);
    }
}
