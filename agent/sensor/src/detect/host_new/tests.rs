//! Learning what is there: ripe after a day, bounded, and quiet once full.

use super::*;
use crate::limits::Limits;

#[test]
fn nothing_is_new_before_a_day_or_after_something_was_forgotten() {
    let limits = Limits { detector_entries: 2, ..Limits::gateway() };
    let mut known = Known::new(&Setup { limits: &limits, seed: 0, user_key: &[0; 32] });
    let (start, mut evicted) = (Timestamp::from_secs(1_700_000_000), 0);
    let after = |hours: u64| start.plus(Duration::from_secs(hours * 3_600));
    assert_eq!(known.see(start, 'a', &mut evicted), Sighting::Nothing);
    (0..24).for_each(|hour| assert_eq!(known.see(after(hour), 'a', &mut evicted), Sighting::Nothing));
    assert_eq!(known.see(after(25), 'a', &mut evicted), Sighting::Nothing);
    assert_eq!(known.see(after(26), 'b', &mut evicted), Sighting::New(26));
    assert_eq!(evicted, 0);
    assert_eq!(known.see(after(27), 'c', &mut evicted), Sighting::Nothing);
    assert_eq!(evicted, 1);
}

#[test]
fn time_in_which_nothing_was_seen_teaches_nothing() {
    let mut learning = Learning::default();
    let start = Timestamp::from_secs(1_700_000_000);
    let after = |hours: u64| start.plus(Duration::from_secs(hours * 3_600));
    assert_eq!((learning.ripe_hours(start), learning.ripe_hours(after(100))), (None, None));
    (101..110).for_each(|hour| assert_eq!(learning.ripe_hours(after(hour)), None));
    assert_eq!(learning.ripe_hours(after(110)), Some(110));
}
