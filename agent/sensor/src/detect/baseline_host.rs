//! `baseline.host`: a host that behaves unlike its own past.

use crate::detect::findings::Findings;
use crate::detect::{Detect, Scene, Setup};
use crate::event::Event;

/// State.
#[derive(Debug)]
pub(super) struct BaselineHost {
    evicted: u64,
}

impl BaselineHost {
    pub(super) const fn new(_setup: &Setup<'_>) -> Self {
        Self { evicted: 0 }
    }
}

impl Detect for BaselineHost {
    const RULE: &'static str = "baseline.host/1";

    fn on_event(&mut self, _event: &Event, _scene: &Scene<'_>, _out: &mut Findings) {}

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
