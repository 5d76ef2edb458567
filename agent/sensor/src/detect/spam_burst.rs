//! `spam.burst`: mail to many servers or recipients from a host that is no mail server.

use crate::detect::findings::Findings;
use crate::detect::{Detect, Scene, Setup};
use crate::event::Event;

/// State.
#[derive(Debug)]
pub(super) struct SpamBurst {
    evicted: u64,
}

impl SpamBurst {
    pub(super) const fn new(_setup: &Setup<'_>) -> Self {
        Self { evicted: 0 }
    }
}

impl Detect for SpamBurst {
    const RULE: &'static str = "spam.burst/1";

    fn on_event(&mut self, _event: &Event, _scene: &Scene<'_>, _out: &mut Findings) {}

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
