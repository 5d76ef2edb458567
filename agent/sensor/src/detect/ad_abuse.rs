//! `ad.abuse`: abuse of the directory service or of Kerberos.

use crate::detect::findings::Findings;
use crate::detect::{Detect, Scene, Setup};
use crate::event::Event;

/// State.
#[derive(Debug)]
pub(super) struct AdAbuse {
    evicted: u64,
}

impl AdAbuse {
    pub(super) const fn new(_setup: &Setup<'_>) -> Self {
        Self { evicted: 0 }
    }
}

impl Detect for AdAbuse {
    const RULE: &'static str = "ad.abuse/1";

    fn on_event(&mut self, _event: &Event, _scene: &Scene<'_>, _out: &mut Findings) {}

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}
