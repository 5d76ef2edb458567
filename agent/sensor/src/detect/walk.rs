//! The sequential test of Jung, Paxson, Berger and Balakrishnan (Threshold Random Walk, IEEE S&P 2004) over outcomes of
//! first contacts.
//!
//! With P(success | benign) = 0.8 and P(success | scanner) = 0.2 each failure multiplies the likelihood ratio by 4 and
//! each success divides it by 4, so the walk is kept in whole steps. With 99 % detection and 1 % false alarm the bounds
//! are 99 and 1/99: the first powers of 4 beyond them are the fourth.

/// Steps from "no idea" to either verdict.
const DECIDED: i8 = 4;

/// Where one source stands between benign and scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk(i8);

impl Walk {
    /// In words, for evidence.
    pub(super) const FORMULA: &'static str =
        "likelihood ratio = 4^(failed − answered first contacts), floor 4^−4; a scanner above 99";

    /// No idea yet.
    pub(super) const START: Self = Self(0);
    /// The likelihood ratio above which a source is a scanner.
    pub(super) const UPPER_BOUND: u64 = 99;

    /// A first contact failed.
    pub(super) fn failed(&mut self) {
        self.0 = (self.0 + 1).min(2 * DECIDED);
    }

    /// A first contact was answered.
    pub(super) fn answered(&mut self) {
        self.0 = (self.0 - 1).max(-DECIDED);
    }

    /// The likelihood ratio is above the upper bound.
    pub(super) const fn is_scanner(self) -> bool {
        self.0 >= DECIDED
    }

    /// The likelihood ratio.
    pub(super) fn ratio(self) -> f64 {
        4_f64.powi(i32::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_straight_failures_decide_and_success_must_be_outweighed() {
        let mut walk = Walk::START;
        for _ in 0..20 {
            walk.answered();
        }
        let needed = (1..).find(|_| {
            walk.failed();
            walk.is_scanner()
        });
        assert_eq!(needed, Some(8));
        let mut fresh = Walk::START;
        (0..4).for_each(|_| fresh.failed());
        assert!(fresh.is_scanner() && fresh.ratio() > 99.0);
    }
}
