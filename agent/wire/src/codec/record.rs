//! Records other than findings and alerts.

use core::net::{IpAddr, SocketAddr};

use crate::codec::finding::{body, optional, string_of, text_of};
use crate::codec::{DecodeError, alert, finding};
use crate::id::Digest;
use crate::limits::{HEALTH_ENTRIES_MAX, SUMMARY_ENTRIES_MAX};
use crate::pb::{self, record::Kind};
use crate::record::{Clock, FlowSummary, Gap, Health, Interface, NamedCount, Record, Summary, Talker};
use crate::time::Timestamp;

pub(super) fn to_pb(record: &Record) -> pb::Record {
    let kind = match record {
        Record::Summary(summary) => Kind::Summary(summary_to_pb(summary)),
        Record::Finding(finding) => Kind::Finding(finding::to_pb(finding)),
        Record::EndpointAlert(alert) => Kind::EndpointAlert(alert::to_pb(alert)),
        Record::Health(health) => Kind::Health(health_to_pb(health)),
        Record::Gap(gap) => Kind::Gap(pb::Gap {
            from: gap.from.nanos(),
            until: gap.until.nanos(),
            reason: gap.reason.as_str().to_owned(),
            records: gap.records,
            bytes: gap.bytes,
        }),
    };
    pb::Record { kind: Some(kind) }
}

/// `None` for a kind of record that a newer agent knows and we do not.
pub(super) fn from_pb(record: pb::Record) -> Result<Option<Record>, DecodeError> {
    Ok(match record.kind {
        None => None,
        Some(Kind::Summary(summary)) => Some(Record::Summary(Box::new(summary_from_pb(summary)?))),
        Some(Kind::Finding(message)) => {
            finding::from_pb(message)?.map(|finding| Record::Finding(Box::new(finding)))
        }
        Some(Kind::EndpointAlert(message)) => {
            alert::from_pb(message)?.map(|alert| Record::EndpointAlert(Box::new(alert)))
        }
        Some(Kind::Health(health)) => Some(Record::Health(Box::new(health_from_pb(health)?))),
        Some(Kind::Gap(gap)) => Some(Record::Gap(Gap {
            from: Timestamp::from_nanos(gap.from),
            until: Timestamp::from_nanos(gap.until),
            reason: gap.reason.into(),
            records: gap.records,
            bytes: gap.bytes,
        })),
    })
}

fn counts_to_pb<const MAX: usize>(counts: &[NamedCount<MAX>]) -> Vec<pb::NamedCount> {
    counts.iter().map(|one| pb::NamedCount { name: one.name.as_str().to_owned(), count: one.count }).collect()
}

fn counts_from_pb<const MAX: usize>(counts: Vec<pb::NamedCount>, max: usize) -> Vec<NamedCount<MAX>> {
    counts.into_iter().take(max).map(|one| NamedCount { name: one.name.into(), count: one.count }).collect()
}

fn summary_to_pb(summary: &Summary) -> pb::Summary {
    let talker = |talker: &Talker| pb::Talker {
        host: talker.host.to_string(),
        bytes: talker.bytes,
        packets: talker.packets,
        flows: talker.flows,
    };
    pb::Summary {
        start: summary.start.nanos(),
        end: summary.end.nanos(),
        packets: summary.packets,
        bytes: summary.bytes,
        flows_started: summary.flows_started,
        flows_ended: summary.flows_ended,
        applications: counts_to_pb(&summary.applications),
        domains: counts_to_pb(&summary.domains),
        talkers: summary.talkers.iter().map(talker).collect(),
        flows: summary.flows.iter().map(flow_to_pb).collect(),
        flows_omitted: summary.flows_omitted,
        flow_bytes_omitted: summary.flow_bytes_omitted,
        domains_omitted: summary.domains_omitted,
    }
}

fn summary_from_pb(message: pb::Summary) -> Result<Summary, DecodeError> {
    let talker = |talker: pb::Talker| {
        let host = talker.host.parse().map_err(|_cause| DecodeError::Field("talker.host"))?;
        Ok(Talker { host, bytes: talker.bytes, packets: talker.packets, flows: talker.flows })
    };
    Ok(Summary {
        start: Timestamp::from_nanos(message.start),
        end: Timestamp::from_nanos(message.end),
        packets: message.packets,
        bytes: message.bytes,
        flows_started: message.flows_started,
        flows_ended: message.flows_ended,
        applications: counts_from_pb(message.applications, SUMMARY_ENTRIES_MAX),
        domains: counts_from_pb(message.domains, SUMMARY_ENTRIES_MAX),
        talkers: message
            .talkers
            .into_iter()
            .take(SUMMARY_ENTRIES_MAX)
            .map(talker)
            .collect::<Result<_, _>>()?,
        flows: message
            .flows
            .into_iter()
            .take(SUMMARY_ENTRIES_MAX)
            .map(flow_from_pb)
            .collect::<Result<_, _>>()?,
        flows_omitted: message.flows_omitted,
        flow_bytes_omitted: message.flow_bytes_omitted,
        domains_omitted: message.domains_omitted,
    })
}

fn flow_to_pb(flow: &FlowSummary) -> pb::FlowSummary {
    pb::FlowSummary {
        originator: Some(endpoint_to_pb(flow.originator)),
        responder: Some(endpoint_to_pb(flow.responder)),
        protocol: u32::from(flow.protocol),
        start: flow.start.nanos(),
        end: flow.end.nanos(),
        originator_packets: flow.originator_packets,
        originator_bytes: flow.originator_bytes,
        responder_packets: flow.responder_packets,
        responder_bytes: flow.responder_bytes,
        state: flow.state.as_str().to_owned(),
        application: flow.application.as_str().to_owned(),
        server_name: flow.server_name.as_str().to_owned(),
        ja4: flow.ja4.as_str().to_owned(),
        // 0 is "no VLAN": 802.1Q reserves the identifier 0 for priority-tagged frames.
        vlan: flow.vlan.map(u32::from).unwrap_or_default(),
        body: text_of(flow.body),
        segment: string_of(flow.segment.as_ref()),
    }
}

fn flow_from_pb(message: pb::FlowSummary) -> Result<FlowSummary, DecodeError> {
    let vlan = u16::try_from(message.vlan).map_err(|_cause| DecodeError::Field("flow.vlan"))?;
    Ok(FlowSummary {
        originator: endpoint_from_pb(message.originator)?,
        responder: endpoint_from_pb(message.responder)?,
        protocol: u8::try_from(message.protocol).map_err(|_cause| DecodeError::Field("flow.protocol"))?,
        start: Timestamp::from_nanos(message.start),
        end: Timestamp::from_nanos(message.end),
        originator_packets: message.originator_packets,
        originator_bytes: message.originator_bytes,
        responder_packets: message.responder_packets,
        responder_bytes: message.responder_bytes,
        state: message.state.into(),
        application: message.application.into(),
        server_name: message.server_name.into(),
        ja4: message.ja4.into(),
        vlan: if vlan == 0 { None } else { Some(vlan) },
        body: body(&message.body)?,
        segment: optional(message.segment),
    })
}

fn endpoint_to_pb(end: SocketAddr) -> pb::Endpoint {
    let address = match end.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    pb::Endpoint { address, port: u32::from(end.port()) }
}

fn endpoint_from_pb(message: Option<pb::Endpoint>) -> Result<SocketAddr, DecodeError> {
    let message = message.ok_or(DecodeError::Field("flow.endpoint"))?;
    let port = u16::try_from(message.port).map_err(|_cause| DecodeError::Field("endpoint.port"))?;
    let address = if let Ok(v4) = <[u8; 4]>::try_from(message.address.as_slice()) {
        IpAddr::from(v4)
    } else if let Ok(v6) = <[u8; 16]>::try_from(message.address.as_slice()) {
        IpAddr::from(v6)
    } else {
        return Err(DecodeError::Field("endpoint.address"));
    };
    Ok(SocketAddr::new(address, port))
}

fn health_to_pb(health: &Health) -> pb::Health {
    let interface = |interface: &Interface| pb::Interface {
        name: interface.name.as_str().to_owned(),
        packets: interface.packets,
        kernel_drops: interface.kernel_drops,
        up: interface.up,
    };
    pb::Health {
        at: health.at.nanos(),
        uptime_seconds: health.uptime_seconds,
        counters: counts_to_pb(&health.counters),
        interfaces: health.interfaces.iter().map(interface).collect(),
        spool_bytes: health.spool_bytes,
        spool_batches: health.spool_batches,
        rss_bytes: health.rss_bytes,
        memory_total_bytes: health.memory_total_bytes,
        disk_free_bytes: health.disk_free_bytes,
        cpu_permille: health.cpu_permille,
        load_centi: health.load_centi,
        config_digest: health.config_digest.as_bytes().to_vec(),
        clock_offset_ms: health.clock.map(|clock| clock.offset_ms).unwrap_or_default(),
        clock_error_ms: health.clock.map(|clock| clock.error_ms.max(1)).unwrap_or_default(),
        policy_version: health.policy_version,
        policy_state: health.policy_state.as_str().to_owned(),
        intel_version: health.intel_version.as_str().to_owned(),
        certificate_expires_at: health.certificate_expires_at.nanos(),
    }
}

fn health_from_pb(message: pb::Health) -> Result<Health, DecodeError> {
    let interface = |interface: pb::Interface| Interface {
        name: interface.name.into(),
        packets: interface.packets,
        kernel_drops: interface.kernel_drops,
        up: interface.up,
    };
    Ok(Health {
        at: Timestamp::from_nanos(message.at),
        uptime_seconds: message.uptime_seconds,
        counters: counts_from_pb(message.counters, HEALTH_ENTRIES_MAX),
        interfaces: message.interfaces.into_iter().take(HEALTH_ENTRIES_MAX).map(interface).collect(),
        spool_bytes: message.spool_bytes,
        spool_batches: message.spool_batches,
        rss_bytes: message.rss_bytes,
        memory_total_bytes: message.memory_total_bytes,
        disk_free_bytes: message.disk_free_bytes,
        cpu_permille: message.cpu_permille,
        load_centi: message.load_centi,
        config_digest: Digest::from_bytes(&message.config_digest)
            .ok_or(DecodeError::Field("health.config_digest"))?,
        clock: (message.clock_error_ms > 0)
            .then_some(Clock { offset_ms: message.clock_offset_ms, error_ms: message.clock_error_ms }),
        policy_version: message.policy_version,
        policy_state: message.policy_state.into(),
        intel_version: message.intel_version.into(),
        certificate_expires_at: Timestamp::from_nanos(message.certificate_expires_at),
    })
}
