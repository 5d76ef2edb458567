//! `spoof.arp`: an address claimed by a second hardware address.

use crate::detect::findings::Findings;
use crate::detect::{Detect, Scene, Setup};
use crate::event::Event;

/// State.
#[derive(Debug)]
pub(super) struct SpoofArp {
    evicted: u64,
}

impl SpoofArp {
    pub(super) const fn new(_setup: &Setup<'_>) -> Self {
        Self { evicted: 0 }
    }
}

impl Detect for SpoofArp {
    const RULE: &'static str = "spoof.arp/1";

    fn on_event(&mut self, _event: &Event, _scene: &Scene<'_>, _out: &mut Findings) {}

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
