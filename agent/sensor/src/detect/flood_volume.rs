//! `flood.volume`: more packets or bytes to one host than its line or its past explain.

use crate::detect::findings::Findings;
use crate::detect::{Detect, Scene, Setup};
use crate::event::Event;

/// State.
#[derive(Debug)]
pub(super) struct FloodVolume {
    evicted: u64,
}

impl FloodVolume {
    pub(super) const fn new(_setup: &Setup<'_>) -> Self {
        Self { evicted: 0 }
    }
}

impl Detect for FloodVolume {
    const RULE: &'static str = "flood.volume/1";

    fn on_event(&mut self, _event: &Event, _scene: &Scene<'_>, _out: &mut Findings) {}

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
