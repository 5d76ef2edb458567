//! What one peer may take of a listener: connections by address, quiet connections, submissions and bytes by agent.
//!
//! Everything here is bounded by what it counts: addresses by the connections that are open, agents by those enrolled.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sekimori_wire::id::AgentId;

/// Connections that are open, by address; of IPv6 by network of 64 bits, which is what one customer gets.
#[derive(Clone, Debug)]
pub struct Addresses {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    each: usize,
}

/// One connection; given back when dropped.
#[derive(Debug)]
pub struct Visit {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Addresses {
    /// At most so many for each.
    pub fn new(each: usize) -> Self {
        Self { open: Arc::default(), each }
    }

    /// `None` if this address has as many as it may have.
    pub fn enter(&self, from: IpAddr) -> Option<Visit> {
        let address = match from.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address @ IpAddr::V4(_) => address,
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Visit { open: Arc::clone(&self.open), address })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let left = open.get_mut(&self.address).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            open.remove(&self.address);
        }
    }
}

/// When the requests of a connection were.
#[derive(Debug)]
pub struct Activity {
    since: Instant,
    running: AtomicUsize,
    /// Milliseconds after `since` at which the last one ended.
    last: AtomicU64,
}

impl Activity {
    /// None yet.
    pub fn new() -> Self {
        Self { since: Instant::now(), running: AtomicUsize::new(0), last: AtomicU64::new(0) }
    }

    /// A request begins; it ends when what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// For how long there was no request.
    pub fn idle(&self) -> Duration {
        if self.running.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.since.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let at = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(at, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one agent may deliver, in the long run and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Submissions a second.
    pub submissions: u32,
    /// Bytes of submissions a second.
    pub bytes: u32,
}

/// How much may be saved up, in seconds of the rate: an agent that was cut off comes back with a pile.
const BURST_SECONDS: f64 = 10.0;

/// A token bucket for each agent.
#[derive(Debug)]
pub struct Rates {
    rate: Rate,
    agents: Mutex<HashMap<AgentId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    at: Instant,
    submissions: f64,
    bytes: f64,
}

impl Rates {
    /// All buckets full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, agents: Mutex::default() }
    }

    /// Takes a submission that is beginning; `Err` is how long the agent must wait before the next.
    ///
    /// # Errors
    /// If it comes too soon.
    pub fn begin(&self, agent: AgentId, now: Instant) -> Result<(), Duration> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let (submissions, bytes) = (f64::from(self.rate.submissions), f64::from(self.rate.bytes));
        let bucket = agents.entry(agent).or_insert_with(|| Bucket {
            at: now,
            submissions: submissions * BURST_SECONDS,
            bytes: bytes * BURST_SECONDS,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.at = now;
        bucket.submissions = passed.mul_add(submissions, bucket.submissions).min(submissions * BURST_SECONDS);
        bucket.bytes = passed.mul_add(bytes, bucket.bytes).min(bytes * BURST_SECONDS);
        let wait = ((1.0 - bucket.submissions) / submissions).max(-bucket.bytes / bytes);
        if wait > 0.0 {
            return Err(Duration::from_secs_f64(wait));
        }
        bucket.submissions -= 1.0;
        Ok(())
    }

    /// So many bytes came: what is beyond the bucket is owed, and the next submission waits.
    pub fn received(&self, agent: AgentId, bytes: usize) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = agents.get_mut(&agent) {
            // A submission has far fewer bytes than a u32 counts.
            bucket.bytes -= f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_share_and_gives_it_back() {
        let addresses = Addresses::new(2);
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let (one, two) = (enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("::ffff:192.0.2.1").is_none(), "the same address in other words");
        let other = enter("192.0.2.2").unwrap();
        drop(one);
        assert!(enter("192.0.2.1").is_some());
        let network = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8:0:0:ffff::").is_none(), "one customer's network");
        assert!(enter("2001:db8:0:1::1").is_some());
        drop((two, other, network));
        assert!(addresses.open.lock().unwrap().is_empty(), "nothing is remembered of who is gone");
    }

    #[test]
    fn an_agent_may_save_up_ten_seconds_and_no_more() {
        let rates = Rates::new(Rate { submissions: 2, bytes: 1000 });
        let agent = AgentId::from_bytes(&[1; 32]).unwrap();
        let start = Instant::now();
        for _ in 0..20 {
            rates.begin(agent, start).unwrap();
        }
        assert_eq!(rates.begin(agent, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_secs(3600);
        rates.begin(agent, later).unwrap();
        rates.received(agent, 12_000);
        assert_eq!(rates.begin(agent, later), Err(Duration::from_secs(2)), "2,000 bytes are owed");
        rates.begin(agent, later + Duration::from_secs(3)).unwrap();
    }

    #[test]
    fn a_connection_is_idle_between_its_requests_only() {
        let activity = Arc::new(Activity::new());
        let running = activity.begin();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(activity.idle(), Duration::ZERO);
        drop(running);
        std::thread::sleep(Duration::from_millis(20));
        assert!(activity.idle() >= Duration::from_millis(15) && activity.idle() < Duration::from_secs(5));
    }
}
