//! The columns of flows as a table: one list, of which CSV and Parquet are made, so that both always hold the same.

use sekimori_sensor::event::flow::TcpState;
use sekimori_sensor::event::{Application, EndReason, Event, FlowEvent, FlowRecord, FlowRef};
use sekimori_sensor::segment::Policy;
use sekimori_sensor::summarize::flow_summary;
use sekimori_wire::record::FlowSummary;
use sekimori_wire::time::{Timestamp, nanos_of};

/// A flow that ended: what is known of it, and what would be shipped of it.
pub(super) struct Flow<'a> {
    flow: &'a FlowRef,
    record: &'a FlowRecord,
    summary: FlowSummary,
}

impl<'a> Flow<'a> {
    /// The flow that an event ends.
    pub(super) fn ended(event: &'a Event, policy: &Policy) -> Option<Self> {
        match event {
            Event::Flow { flow, what: FlowEvent::Ended(record), .. } => {
                Some(Self { flow, record, summary: flow_summary(flow, record, policy) })
            }
            Event::Flow { .. } | Event::Arp { .. } | Event::Anomaly { .. } => None,
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 0 to 2^64 - 1.
    Count,
    /// 0 to 2^16 - 1.
    Small,
    Text,
    Time,
    Flag,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing is known.
    Unset,
    Count(u64),
    Small(u16),
    Text(String),
    Time(Timestamp),
    Flag(bool),
}

impl Value {
    fn text(text: &str) -> Self {
        if text.is_empty() { Self::Unset } else { Self::Text(text.to_owned()) }
    }

    fn small(number: Option<u16>) -> Self {
        number.map_or(Self::Unset, Self::Small)
    }
}

/// A column: its name, what it holds, and how a flow fills it.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: fn(&Flow<'_>) -> Value,
}

const fn column(name: &'static str, kind: Kind, value: fn(&Flow<'_>) -> Value) -> Column {
    Column { name, kind, value }
}

/// Every column, in order. New ones go to the end: readers by position stay right.
pub(super) const COLUMNS: &[Column] = &[
    column("flow_id", Kind::Count, |it| Value::Count(it.flow.id)),
    column("community_id", Kind::Text, |it| Value::Text(it.flow.community_id())),
    column("start", Kind::Time, |it| Value::Time(it.record.start)),
    column("end", Kind::Time, |it| Value::Time(it.record.end)),
    column("duration_ns", Kind::Count, |it| {
        Value::Count(it.record.end.nanos().saturating_sub(it.record.start.nanos()))
    }),
    column("originator_address", Kind::Text, |it| Value::Text(it.flow.originator.address.to_string())),
    column("originator_port", Kind::Small, |it| Value::Small(it.flow.originator.port)),
    column("responder_address", Kind::Text, |it| Value::Text(it.flow.responder.address.to_string())),
    column("responder_port", Kind::Small, |it| Value::Small(it.flow.responder.port)),
    column("protocol", Kind::Small, |it| Value::Small(it.flow.protocol.into())),
    column("vlan", Kind::Small, |it| Value::small(it.flow.vlan)),
    column("originator_packets", Kind::Count, |it| Value::Count(it.record.originator.packets)),
    column("originator_bytes", Kind::Count, |it| Value::Count(it.record.originator.bytes)),
    column("originator_payload_bytes", Kind::Count, |it| Value::Count(it.record.originator.payload_bytes)),
    column("responder_packets", Kind::Count, |it| Value::Count(it.record.responder.packets)),
    column("responder_bytes", Kind::Count, |it| Value::Count(it.record.responder.bytes)),
    column("responder_payload_bytes", Kind::Count, |it| Value::Count(it.record.responder.payload_bytes)),
    column("state", Kind::Text, |it| Value::text(it.record.state.as_str())),
    column("end_reason", Kind::Text, |it| Value::text(end_reason(it.record.reason))),
    column("application", Kind::Text, |it| Value::text(it.record.application.as_str())),
    column("applications", Kind::Text, |it| Value::text(&applications(&it.record.applications))),
    column("server_name", Kind::Text, |it| Value::text(it.record.server_name.as_deref().unwrap_or_default())),
    column("registered_domain", Kind::Text, |it| Value::text(it.summary.server_name.as_str())),
    column("ja4", Kind::Text, |it| Value::text(it.record.ja4.as_deref().unwrap_or_default())),
    column("body", Kind::Text, |it| {
        it.summary.body.map_or(Value::Unset, |body| Value::Text(body.to_string()))
    }),
    column("segment", Kind::Text, |it| {
        it.summary.segment.as_ref().map_or(Value::Unset, |segment| Value::text(segment.as_str()))
    }),
    column("originator_wire_bytes", Kind::Count, |it| Value::Count(it.record.originator.wire_bytes)),
    column("responder_wire_bytes", Kind::Count, |it| Value::Count(it.record.responder.wire_bytes)),
    column("history", Kind::Text, |it| Value::text(it.record.conduct.history.as_str())),
    column("midstream", Kind::Flag, |it| Value::Flag(it.record.conduct.midstream)),
    column("swapped", Kind::Flag, |it| Value::Flag(it.flow.swapped)),
    column("rtt_ns", Kind::Count, |it| {
        it.record.conduct.rtt.map_or(Value::Unset, |rtt| Value::Count(nanos_of(rtt)))
    }),
    column("tcp_state", Kind::Text, |it| Value::text(tcp_state(it.record.conduct.tcp_state))),
    column("active_until", Kind::Time, |it| Value::Time(it.record.conduct.active_until)),
    column("originator_stream_bytes", Kind::Count, |it| {
        Value::Count(it.record.conduct.originator.stream_bytes)
    }),
    column("responder_stream_bytes", Kind::Count, |it| {
        Value::Count(it.record.conduct.responder.stream_bytes)
    }),
    column("originator_missed_bytes", Kind::Count, |it| {
        Value::Count(it.record.conduct.originator.missed_bytes)
    }),
    column("responder_missed_bytes", Kind::Count, |it| {
        Value::Count(it.record.conduct.responder.missed_bytes)
    }),
    column("originator_retransmissions", Kind::Count, |it| {
        Value::Count(it.record.conduct.originator.retransmissions.into())
    }),
    column("responder_retransmissions", Kind::Count, |it| {
        Value::Count(it.record.conduct.responder.retransmissions.into())
    }),
    column("originator_out_of_order", Kind::Count, |it| {
        Value::Count(it.record.conduct.originator.out_of_order.into())
    }),
    column("responder_out_of_order", Kind::Count, |it| {
        Value::Count(it.record.conduct.responder.out_of_order.into())
    }),
    column("originator_zero_windows", Kind::Count, |it| {
        Value::Count(it.record.conduct.originator.zero_windows.into())
    }),
    column("responder_zero_windows", Kind::Count, |it| {
        Value::Count(it.record.conduct.responder.zero_windows.into())
    }),
    column("originator_resets", Kind::Count, |it| Value::Count(it.record.conduct.originator.resets.into())),
    column("responder_resets", Kind::Count, |it| Value::Count(it.record.conduct.responder.resets.into())),
    column("originator_tcp_flags", Kind::Small, |it| Value::Small(it.record.conduct.originator.flags.into())),
    column("responder_tcp_flags", Kind::Small, |it| Value::Small(it.record.conduct.responder.flags.into())),
    column("originator_mac", Kind::Text, |it| mac(it.record.conduct.originator.mac)),
    column("responder_mac", Kind::Text, |it| mac(it.record.conduct.responder.mac)),
    column("originator_icmp", Kind::Text, |it| icmp(it.record.conduct.icmp.first())),
    column("responder_icmp", Kind::Text, |it| icmp(it.record.conduct.icmp.last())),
    column("vlans", Kind::Text, |it| Value::text(&vlans(&it.record.conduct.vlans))),
];

/// The words of IPFIX information element 136, `flowEndReason`.
const fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Idle => "idle timeout",
        EndReason::Active => "active timeout",
        EndReason::Closed => "end of flow detected",
        EndReason::Forced => "forced end",
        EndReason::LackOfResources => "lack of resources",
    }
}

/// As Suricata writes it; nothing where there was no handshake.
fn tcp_state(state: TcpState) -> &'static str {
    if state == TcpState::None { "" } else { state.as_str() }
}

/// `02:00:00:00:00:01`.
fn mac(address: Option<[u8; 6]>) -> Value {
    let text = |address: [u8; 6]| address.map(|byte| format!("{byte:02x}")).join(":");
    address.map_or(Value::Unset, |address| Value::Text(text(address)))
}

/// Type and code: `8/0`.
fn icmp(kind: Option<&Option<(u8, u8)>>) -> Value {
    kind.copied().flatten().map_or(Value::Unset, |(kind, code)| Value::Text(format!("{kind}/{code}")))
}

/// Outermost first.
fn vlans(all: &[u16]) -> String {
    let there = all.iter().take_while(|vlan| **vlan != 0);
    there.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// All that were recognised, in order.
fn applications(all: &[Application]) -> String {
    let known = all.iter().filter(|one| **one != Application::Unknown);
    known.map(|one| one.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekimori_sensor::event::flow::{Conduct, Way};
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_values_are_of_their_kind() {
        let names: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        let end = |address: [u8; 4], port| sekimori_sensor::event::Endpoint { address: address.into(), port };
        let flow = FlowRef {
            id: 7,
            began: Timestamp::from_secs(9),
            originator: end([192, 0, 2, 1], 1024),
            responder: end([192, 0, 2, 2], 53),
            protocol: 17,
            vlan: Some(5),
            swapped: false,
        };
        let conduct = Conduct {
            rtt: Some(core::time::Duration::from_micros(9)),
            vlans: [5, 6, 0],
            icmp: [Some((8, 0)), None],
            originator: Way { mac: Some([2, 0, 0, 0, 0, 0xab]), ..Way::default() },
            ..Conduct::default()
        };
        let server_name = Some("www.example.jp".into());
        let record = FlowRecord { server_name, conduct, ..FlowRecord::default() };
        let what = FlowEvent::Ended(Box::new(record));
        let event = Event::Flow { at: Timestamp::from_secs(9), flow, what };
        let ended = Flow::ended(&event, &Policy::default_private()).unwrap();
        for column in COLUMNS {
            let fits = match (column.value)(&ended) {
                Value::Unset => true,
                Value::Count(_) => column.kind == Kind::Count,
                Value::Small(_) => column.kind == Kind::Small,
                Value::Text(text) => column.kind == Kind::Text && !text.is_empty(),
                Value::Time(_) => column.kind == Kind::Time,
                Value::Flag(_) => column.kind == Kind::Flag,
            };
            assert!(fits, "{}", column.name);
        }
        let value = |name: &str| (COLUMNS.iter().find(|column| column.name == name).unwrap().value)(&ended);
        assert_eq!(value("server_name"), Value::Text("www.example.jp".to_owned()));
        assert_eq!(value("registered_domain"), Value::Text("example.jp".to_owned()));
        assert_eq!((value("vlan"), value("ja4")), (Value::Small(5), Value::Unset));
        assert_eq!((value("rtt_ns"), value("vlans")), (Value::Count(9_000), Value::Text("5 6".to_owned())));
        assert_eq!(
            (value("originator_icmp"), value("responder_icmp")),
            (Value::Text("8/0".to_owned()), Value::Unset)
        );
        assert_eq!(value("originator_mac"), Value::Text("02:00:00:00:00:ab".to_owned()));
        assert_eq!((value("tcp_state"), value("midstream")), (Value::Unset, Value::Flag(false)));
    }
}
