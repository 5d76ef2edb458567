//! A small set of distinct values with an exact cap.

/// Up to a given number of distinct values, ascending. When it is full it takes no more: its length is a lower bound.
#[derive(Clone, Debug)]
pub struct Distinct<T> {
    values: Values<T>,
    cap: usize,
}

/// Most sets of a busy network never have a second value, so one is kept without memory of its own.
#[derive(Clone, Debug)]
enum Values<T> {
    None,
    One([T; 1]),
    Many(Vec<T>),
}

impl<T: Ord> Distinct<T> {
    /// An empty set that takes at most `cap` values.
    pub const fn new(cap: usize) -> Self {
        Self { values: Values::None, cap }
    }

    /// Adds a value; true if it was not there and there was room.
    pub fn insert(&mut self, value: T) -> bool {
        if self.is_full() {
            return false;
        }
        match &mut self.values {
            Values::None => self.values = Values::One([value]),
            Values::One([one]) if *one == value => return false,
            Values::One(_) => self.second(value),
            Values::Many(values) => match values.binary_search(&value) {
                Ok(_) => return false,
                Err(at) => values.insert(at, value),
            },
        }
        true
    }

    fn second(&mut self, value: T) {
        if let Values::One([one]) = core::mem::replace(&mut self.values, Values::None) {
            let pair = if one < value { [one, value] } else { [value, one] };
            let mut values = Vec::with_capacity(4.min(self.cap));
            values.extend(pair);
            self.values = Values::Many(values);
        }
    }

    fn as_slice(&self) -> &[T] {
        match &self.values {
            Values::None => &[],
            Values::One(one) => one,
            Values::Many(values) => values,
        }
    }

    /// The value is there.
    pub fn contains(&self, value: &T) -> bool {
        self.as_slice().binary_search(value).is_ok()
    }

    /// Distinct values taken.
    pub const fn len(&self) -> usize {
        match &self.values {
            Values::None => 0,
            Values::One(_) => 1,
            Values::Many(values) => values.len(),
        }
    }

    /// Nothing was taken.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No further value is taken: the true number may be higher.
    pub const fn is_full(&self) -> bool {
        self.len() >= self.cap
    }

    /// The values, ascending.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values = Values::None;
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
