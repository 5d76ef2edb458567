//! One ended flow as it is told to the outside.

use sekimori_wire::record::FlowSummary;

use crate::domain::registered_domain;
use crate::event::{FlowRecord, FlowRef};
use crate::segment::{Place, Policy};

/// What leaves the gateway of a flow: no payload, no name beyond the registered domain.
pub fn flow_summary(flow: &FlowRef, record: &FlowRecord, policy: &Policy) -> FlowSummary {
    let Place { segment, body } = inside_place(flow, policy);
    let name = record.server_name.as_deref().map(|name| {
        // A literal address, or a name without a registered part, tells no more than the flow's own address.
        registered_domain(name).unwrap_or_default()
    });
    FlowSummary {
        originator: flow.originator.into(),
        responder: flow.responder.into(),
        protocol: flow.protocol,
        start: record.start,
        end: record.end,
        originator_packets: record.originator.packets,
        originator_bytes: record.originator.bytes,
        responder_packets: record.responder.packets,
        responder_bytes: record.responder.bytes,
        state: record.state.as_str().into(),
        application: record.application.as_str().into(),
        server_name: name.unwrap_or_default().into(),
        ja4: record.ja4.as_deref().unwrap_or_default().into(),
        vlan: flow.vlan,
        body,
        segment: segment.map(|segment| segment.as_str().into()),
    }
}

fn inside_place(flow: &FlowRef, policy: &Policy) -> Place {
    let (one, other) = (flow.originator.address, flow.responder.address);
    policy.place(if policy.is_inside(one) || !policy.is_inside(other) { one } else { other }, flow.vlan)
}
