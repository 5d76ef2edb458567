//! One ended flow as it is told to the outside.

use sekimori_wire::record::FlowSummary;
use sekimori_wire::time::Timestamp;

use crate::domain::registered_domain;
use crate::event::{Application, ConnState, FlowRecord, FlowRef};
use crate::segment::{Place, Policy};

/// What leaves the gateway of a flow: no payload, no name beyond the registered domain.
pub fn flow_summary(flow: &FlowRef, record: &FlowRecord, policy: &Policy) -> FlowSummary {
    EndedFlow::new(flow, record).summary(policy)
}

/// The same before it is written out: most flows of a busy window are never told.
#[derive(Clone, Debug)]
pub struct EndedFlow {
    pub(super) flow: FlowRef,
    pub(super) start: Timestamp,
    end: Timestamp,
    /// Packets and bytes from the originator, then from the responder.
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
    state: ConnState,
    pub(super) application: Application,
    server_name: Option<Box<str>>,
    ja4: Option<Box<str>>,
}

impl EndedFlow {
    /// What is kept of it.
    pub fn new(flow: &FlowRef, record: &FlowRecord) -> Self {
        Self {
            server_name: record.server_name.clone(),
            ja4: record.ja4.clone(),
            ..Self::nameless(flow, record)
        }
    }

    /// The same with the names of a record that nobody looks at any more.
    pub(crate) fn taken_from(flow: &FlowRef, record: &mut FlowRecord) -> Self {
        Self {
            server_name: record.server_name.take(),
            ja4: record.ja4.take(),
            ..Self::nameless(flow, record)
        }
    }

    const fn nameless(flow: &FlowRef, record: &FlowRecord) -> Self {
        Self {
            flow: *flow,
            start: record.start,
            end: record.end,
            packets: [record.originator.packets, record.responder.packets],
            bytes: [record.originator.bytes, record.responder.bytes],
            state: record.state,
            application: record.application,
            server_name: None,
            ja4: None,
        }
    }

    /// Bytes of both directions.
    pub(super) const fn volume(&self) -> u64 {
        let [sent, received] = self.bytes;
        sent.saturating_add(received)
    }

    /// What is told.
    pub fn summary(&self, policy: &Policy) -> FlowSummary {
        // A literal address, or a name without a registered part, tells no more than the flow's own address.
        let name = self.server_name.as_deref().and_then(registered_domain);
        let place = inside_place(&self.flow, policy);
        let ([originator_packets, responder_packets], [originator_bytes, responder_bytes]) =
            (self.packets, self.bytes);
        FlowSummary {
            originator: self.flow.originator.into(),
            responder: self.flow.responder.into(),
            protocol: self.flow.protocol,
            start: self.start,
            end: self.end,
            originator_packets,
            originator_bytes,
            responder_packets,
            responder_bytes,
            state: self.state.as_str().into(),
            application: self.application.as_str().into(),
            server_name: name.unwrap_or_default().into(),
            ja4: self.ja4.as_deref().unwrap_or_default().into(),
            vlan: self.flow.vlan,
            body: place.body,
            segment: place.segment.map(|segment| segment.as_str().into()),
        }
    }
}

fn inside_place(flow: &FlowRef, policy: &Policy) -> Place {
    let (one, other) = (flow.originator.address, flow.responder.address);
    policy.place(if policy.is_inside(one) || !policy.is_inside(other) { one } else { other }, flow.vlan)
}
