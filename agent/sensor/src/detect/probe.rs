//! TCP connections that were never meant to carry anything: FIN, NULL, Xmas, Maimon and ACK scans, ACK pings, and
//! handshakes that are aborted as soon as the port has answered.

use crate::event::{ConnState, FlowRecord, FlowRef};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A midstream flow that is a probe rather than the tail of a connection that began before the capture: nothing was ever
/// carried, the originator sent a packet or two, at most a RST came back, and it was not sent from a server's port.
pub(super) fn is_bare(flow: &FlowRef, record: &FlowRecord) -> bool {
    is_empty(flow, record)
        && matches!(record.state, ConnState::Oth | ConnState::Sh)
        && record.originator.packets <= 2
        && record.responder.packets <= record.originator.packets
        && flow.originator.port >= 1_024
        && flow.originator.port > flow.responder.port
}

/// The flags of a probe that no TCP implementation sends: after the SYN every segment but a RST has ACK (RFC 9293, 3.5
/// and 3.10.7.4), and SYN never comes with FIN. FIN alone, no flag at all, Xmas (FIN, PSH, URG), and SYN with FIN.
pub(super) fn odd_flags(flow: &FlowRef, record: &FlowRecord) -> Option<u8> {
    let flags = record.conduct.originator.flags;
    let odd = flags & (RST | ACK) == 0 && (flags & SYN == 0 || flags & FIN != 0);
    (odd && is_empty(flow, record) && (1..=2).contains(&record.originator.packets)).then_some(flags)
}

/// The port answered the SYN and the originator aborted at once: half-open scans and those that connect.
pub(super) fn is_dropped(flow: &FlowRef, record: &FlowRecord) -> bool {
    is_empty(flow, record)
        && record.state == ConnState::Rsto
        && record.originator.packets <= 4
        && !record.conduct.midstream
}

const fn is_empty(flow: &FlowRef, record: &FlowRecord) -> bool {
    flow.protocol == 6 && record.originator.payload_bytes == 0 && record.responder.payload_bytes == 0
}
