//! What flows carried, held back for those who measure rates.

use sekimori_wire::time::Timestamp;

use crate::event::{Event, FlowEvent, FlowRef, Traffic};

/// What a flow carried since it was last said.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// When it was said.
    pub at: Timestamp,
    /// Which flow.
    pub flow: FlowRef,
    /// What it carried.
    pub traffic: Traffic,
}

/// Holds each report of traffic back until it is clear that it is not the flow's last: that one is told when the flow ends, long
/// after its packets, and would make a burst of what came minutes ago.
#[derive(Debug, Default)]
pub(super) struct Reports {
    held: Option<Report>,
}

impl Reports {
    /// Takes the next event; gives the report before it, if that is to be counted.
    #[inline]
    pub(super) fn pass(&mut self, event: &Event) -> Option<Report> {
        if self.held.is_none() && !matches!(event, Event::Flow { what: FlowEvent::Traffic(_), .. }) {
            return None;
        }
        self.exchange(event)
    }

    fn exchange(&mut self, event: &Event) -> Option<Report> {
        let before = self.held.take();
        let Event::Flow { at, flow, what } = event else { return before };
        if let FlowEvent::Traffic(traffic) = what {
            self.held = Some(Report { at: *at, flow: *flow, traffic: *traffic });
        }
        let ends = matches!(what, FlowEvent::Ended(_));
        before.filter(|one| !(ends && one.flow.id == flow.id))
    }
}
