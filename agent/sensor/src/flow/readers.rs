//! The flows that have a parser which may remember much: a bounded number of them, whatever is sent.

use super::queues::Queues;

/// Flows by when they were last read, longest ago first.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Queues<1>,
    count: usize,
    max: usize,
}

/// A flow's place among the readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership(bool);

impl Readers {
    /// At most `max` flows.
    pub(crate) fn new(max: usize) -> Self {
        Self { queue: Queues::with_capacity(0), count: 0, max: max.max(1) }
    }

    /// The flow in `slot` was read, and its parser may remember much or not. Gives the flow that is to be read no further, if
    /// there are too many now.
    pub(crate) fn on_read(&mut self, slot: u32, member: &mut Membership, is_heavy: bool) -> Option<u32> {
        if !is_heavy {
            self.leave(slot, member);
            return None;
        }
        self.queue.push_back(0, slot);
        if !core::mem::replace(&mut member.0, true) {
            self.count += 1;
        }
        if self.count > self.max { self.queue.front(0) } else { None }
    }

    /// A flow moved from slot `old` to slot `new`.
    pub(crate) fn rename(&mut self, old: u32, new: u32, member: Membership) {
        if member.0 {
            self.queue.rename(old, new);
        }
    }

    /// No flow has a slot from `slots` on.
    pub(crate) fn shrink_to(&mut self, slots: usize) {
        self.queue.shrink_to(slots);
    }

    /// The flow in `slot` is over, or is read no further.
    pub(crate) fn leave(&mut self, slot: u32, member: &mut Membership) {
        if core::mem::take(&mut member.0) {
            self.queue.remove(slot);
            self.count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_silent_longest_goes() {
        let mut readers = Readers::new(2);
        let mut members = [Membership::default(); 3];
        let mut read = |slot: u32, is_heavy| {
            readers.on_read(slot, &mut members[crate::flow::queues::usize_of(slot)], is_heavy)
        };
        assert_eq!((read(0, true), read(1, true), read(0, true)), (None, None, None));
        assert_eq!(read(2, true), Some(1));
        assert_eq!(read(0, false), None, "a parser that is done makes room");
        assert_eq!(read(2, true), None);
        readers.leave(2, &mut members[2]);
        assert_eq!((readers.count, members), (1, [Membership(false), Membership(true), Membership(false)]));
    }
}
