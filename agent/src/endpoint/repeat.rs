//! What is told of alerts that say the same, and of sources that say too much.
//!
//! The first of its kind is told at once. What follows within the window only counts, and is told again, under the same id
//! with the count, when there are ten, a hundred, a thousand of them and when the window ends.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sekimori_wire::alert::EndpointAlert;
use sekimori_wire::id::FindingId;

/// Kinds of alerts remembered at once; beyond, the oldest window ends early.
const KINDS_MAX: usize = 4096;
const WINDOW: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Kind {
    /// Of the first, with the count of all.
    alert: EndpointAlert,
    since: Instant,
    /// The count last told.
    told: u32,
}

/// The alerts of all sources.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: BTreeMap<FindingId, Kind>,
    order: VecDeque<FindingId>,
}

/// What is to be done with an alert.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Nobody heard of it: as it is.
    New,
    /// Known, and worth telling again.
    Again(Box<EndpointAlert>),
    /// Known.
    Counted,
}

fn kind_of(alert: &EndpointAlert) -> FindingId {
    let text = |host: Option<sekimori_wire::id::Host>| host.map(|host| host.to_string()).unwrap_or_default();
    FindingId::of(&[
        b"endpoint repeat",
        alert.source.as_bytes(),
        alert.vendor.as_bytes(),
        alert.product.as_bytes(),
        alert.signature_id.as_bytes(),
        alert.name.as_bytes(),
        alert.class.as_str().as_bytes(),
        &[alert.severity.level()],
        text(alert.host).as_bytes(),
        alert.host_name.as_bytes(),
        text(alert.remote).as_bytes(),
        alert.user.map(|user| *user.as_bytes()).unwrap_or_default().as_slice(),
        alert.file_sha256.map(|file| *file.as_bytes()).unwrap_or_default().as_slice(),
        alert.action.as_bytes(),
    ])
}

impl Repeats {
    /// Takes one more alert.
    pub(super) fn take(&mut self, alert: &EndpointAlert, now: Instant) -> Told {
        let id = kind_of(alert);
        if let Some(kind) = self.kinds.get_mut(&id) {
            kind.alert.count = kind.alert.count.saturating_add(1);
            let count = kind.alert.count;
            if count >= 10 && 10_u32.checked_pow(count.ilog10()) == Some(count) {
                kind.told = count;
                return Told::Again(Box::new(kind.alert.clone()));
            }
            return Told::Counted;
        }
        self.kinds.insert(id, Kind { alert: alert.clone(), since: now, told: 1 });
        self.order.push_back(id);
        Told::New
    }

    /// An alert was not told after all: the next of its kind is the first.
    pub(super) fn forget(&mut self, alert: &EndpointAlert) {
        self.kinds.remove(&kind_of(alert));
    }

    /// Windows that have ended, of kinds that came again since they were told.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<EndpointAlert> {
        let mut out = Vec::new();
        while let Some(id) = self.order.front() {
            let is_over = self.kinds.get(id).is_none_or(|kind| now.duration_since(kind.since) >= WINDOW);
            if !is_over && self.order.len() <= KINDS_MAX {
                break;
            }
            out.extend(self.kinds.remove(id).and_then(Kind::rest));
            self.order.pop_front();
        }
        out
    }

    /// The agent ends: all windows do.
    pub(super) fn finish(&mut self) -> Vec<EndpointAlert> {
        self.order.clear();
        core::mem::take(&mut self.kinds).into_values().filter_map(Kind::rest).collect()
    }
}

impl Kind {
    fn rest(self) -> Option<EndpointAlert> {
        (self.alert.count > self.told).then_some(self.alert)
    }
}

/// How much a source may still say.
#[derive(Debug)]
pub(super) struct Allowance {
    per_minute: f64,
    left: f64,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute);
        Self { per_minute, left: per_minute, since: now }
    }

    /// Takes one, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let minutes = now.duration_since(self.since).as_secs_f64() / 60.0;
        self.since = now;
        self.left = minutes.mul_add(self.per_minute, self.left).min(self.per_minute);
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::reading::tests::alert;

    #[test]
    fn a_thousand_of_one_kind_are_told_five_times() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let one = alert("CEF:0|v|p|1|id|virus|5|dst=10.0.0.1");
        let mut told = Vec::new();
        for _ in 0..1005 {
            match repeats.take(&one, now) {
                Told::New => told.push(1),
                Told::Again(again) => told.push(again.count),
                Told::Counted => {}
            }
        }
        assert_eq!(told, [1, 10, 100, 1000]);
        assert!(repeats.ended(now).is_empty());
        let rest = repeats.ended(now + WINDOW);
        assert_eq!(rest.iter().map(|one| (one.count, one.id)).collect::<Vec<_>>(), [(1005, one.id)]);
        assert_eq!(repeats.take(&one, now + WINDOW), Told::New, "a new window");
    }

    #[test]
    fn kinds_are_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for n in 0..KINDS_MAX + 50 {
            repeats.take(&alert(&format!("CEF:0|v|p|1|id{n}|virus|5|dst=10.0.0.1")), now);
            repeats.ended(now);
        }
        assert_eq!((repeats.kinds.len(), repeats.order.len()), (KINDS_MAX, KINDS_MAX));
    }

    #[test]
    fn an_allowance_fills_with_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(60, now);
        assert_eq!((0..100).filter(|_| allowance.take(now)).count(), 60);
        assert!(!allowance.take(now + Duration::from_millis(500)));
        assert!(allowance.take(now + Duration::from_secs(2)));
    }
}
