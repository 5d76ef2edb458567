//! `c2.tunnel`: data carried where none belongs: in ICMP echoes, in datagrams to the ports of DNS and NTP that are neither, and in IP
//! protocols that hosts do not use among themselves.
//!
//! An echo is answered with what was asked (RFC 792, RFC 4443), and `ping` programs fill it with a pattern: echoes that follow no
//! pattern, of ever other sizes or whose answers differ from what was asked, carry something. So `ping` with any size, path MTU
//! discovery and monitoring, even with random filling, stay silent.

mod echo;
mod port;

use crate::detect::findings::Findings;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent};
use echo::Echoes;
use port::Carriers;

/// State.
#[derive(Debug)]
pub(super) struct C2Tunnel {
    echoes: Echoes,
    carriers: Carriers,
}

impl C2Tunnel {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { echoes: Echoes::new(setup), carriers: Carriers::new(setup) }
    }
}

impl Detect for C2Tunnel {
    const RULE: &'static str = "c2.tunnel/1";
    const WANTS: Kinds = Kinds::ECHO.and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if let FlowEvent::Echo(echo) = what {
            self.echoes.on_echo(*at, flow, echo, (scene, out));
        } else if let FlowEvent::Ended(record) = what {
            self.carriers.on_end(flow, record, (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.echoes.evicted) + self.carriers.take_evicted()
    }
}
