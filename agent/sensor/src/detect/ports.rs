//! Sets of ports that are asked for with every flow: one bit for each.

/// A set of ports.
#[derive(Debug)]
pub(super) struct Ports([u64; 1_024]);

impl Ports {
    /// Those of lists, worked out when this is compiled.
    pub(super) const fn of(lists: &[&[u16]]) -> Self {
        let mut bits = [0; 1_024];
        let mut lists = lists;
        while let Some((list, others)) = lists.split_first() {
            let mut rest = *list;
            while let Some((port, after)) = rest.split_first() {
                if let Some(word) = bits.split_at_mut((*port >> 6) as usize).1.first_mut() {
                    *word |= 1 << (*port & 63);
                }
                rest = after;
            }
            lists = others;
        }
        Self(bits)
    }

    /// The port is one of them.
    #[inline]
    pub(super) fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port >> 6)).is_some_and(|word| word >> (port & 63) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_has_what_its_lists_have_and_nothing_else() {
        static PORTS: Ports = Ports::of(&[&[0, 22, 65_535], &[], &[63, 64, 22]]);
        let all: Vec<u16> = (0..=u16::MAX).filter(|port| PORTS.has(*port)).collect();
        assert_eq!(all, [0, 22, 63, 64, 65_535]);
    }
}
