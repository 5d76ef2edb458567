//! Which of several observers gets a frame: all frames between two addresses go to one, whatever their ports and direction,
//! so that both directions and the fragments of a flow meet.
//!
//! The outermost IP header decides: what a tunnel carries stays with the tunnel. An ICMP error also concerns the flow that
//! it quotes, which may be with another observer.

use core::hash::BuildHasher as _;
use core::net::IpAddr;

use foldhash::quality::FixedState;

use crate::decode::{Layer, Met, Outermost, Step, Transport};
use crate::frame::Frame;

/// Chooses among observers.
#[derive(Clone, Debug)]
pub struct Steer {
    hasher: FixedState,
    observers: usize,
}

/// Who gets a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Observes it.
    pub observer: usize,
    /// Only takes note of the flow that it quotes, see [`Observer::handle_quote`](super::Observer::handle_quote).
    pub quoted: Option<usize>,
}

impl Steer {
    /// Among so many observers; none counts as one. The hash is keyed, so that nobody can aim at one observer.
    pub fn new(observers: usize, seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(seed), observers: observers.max(1) }
    }

    /// Who gets this frame. What has no IP header goes to the first.
    pub fn share(&self, frame: &Frame<'_>) -> Share {
        if self.observers == 1 {
            return Share { observer: 0, quoted: None };
        }
        let Ok(layer) = Layer::of(frame, &mut Met::default()) else {
            return Share { observer: 0, quoted: None };
        };
        match layer.outermost() {
            None => Share { observer: 0, quoted: None },
            Some(Outermost { ends, may_be_icmp }) => Share {
                observer: self.of(ends),
                quoted: if may_be_icmp { quoted(layer).map(|ends| self.of(ends)) } else { None },
            },
        }
    }

    fn of(&self, (one, other): (IpAddr, IpAddr)) -> usize {
        let hash = self.hasher.hash_one((one.min(other), one.max(other)));
        // The high bits, multiplied into the range: no division, and no bias that matters for a handful of observers.
        let share = (u128::from(hash) * (self.observers as u128)) >> u64::BITS;
        usize::try_from(share).unwrap_or_default()
    }
}

/// The ends of the packet that an ICMP error quotes, if the frame is one: its flow may be with another observer than the
/// error's own.
pub fn quoted_ends(frame: &Frame<'_>) -> Option<(IpAddr, IpAddr)> {
    let layer = Layer::of(frame, &mut Met::default()).ok()?;
    if layer.outermost()?.may_be_icmp { quoted(layer) } else { None }
}

/// The ends of the packet that an ICMP error quotes.
fn quoted(layer: Layer<'_>) -> Option<(IpAddr, IpAddr)> {
    match layer.step(false, &mut Met::default()) {
        Ok(Step::Ip(ip, _)) => match ip.transport {
            Transport::Icmp(icmp) => icmp.unreachable.map(|quoted| (quoted.source, quoted.destination)),
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Other(_) => None,
        },
        Ok(Step::Arp(_) | Step::Into(_) | Step::Both(..) | Step::Fragment(_)) | Err(_) => None,
    }
}
