//! Numbers that stand for texts.

use core::hash::{BuildHasher as _, Hash};

use foldhash::quality::FixedState;

/// A value's stand-in, where only equality is asked for. The key is fixed, for the same capture must give the same finding under
/// every seed; who makes two values collide on purpose only has them counted as one.
pub fn stand_in<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::with_seed(0x5e_c1_40_71).hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_stand_ins_and_others_do_not() {
        assert_eq!(stand_in("a.example"), stand_in(&String::from("a.example")));
        assert_ne!(stand_in("a.example"), stand_in("b.example"));
        assert_ne!(stand_in(&("GET", "/")), stand_in(&("POST", "/")));
    }
}
