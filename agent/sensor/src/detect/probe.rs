//! TCP probes without SYN: FIN, NULL, Xmas and ACK scans, and ACK pings.

use crate::event::{ConnState, FlowRecord, FlowRef};

/// A midstream flow that is a probe rather than the tail of a connection that began before the capture: nothing was ever
/// carried, the originator sent a packet or two, at most a RST came back, and it was not sent from a server's port.
pub(super) fn is_bare(flow: &FlowRef, record: &FlowRecord) -> bool {
    flow.protocol == 6
        && matches!(record.state, ConnState::Oth | ConnState::Sh)
        && record.originator.payload_bytes == 0
        && record.responder.payload_bytes == 0
        && record.originator.packets <= 2
        && record.responder.packets <= record.originator.packets
        && flow.originator.port >= 1_024
        && flow.originator.port > flow.responder.port
}
