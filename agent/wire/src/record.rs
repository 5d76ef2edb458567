//! One thing that an agent reports.

use core::net::SocketAddr;

use serde::Serialize;

use crate::alert::EndpointAlert;
use crate::community::community_id;
use crate::finding::Finding;
use crate::id::{BodyCode, Digest, Host};
use crate::text::BoundedText;
use crate::time::Timestamp;

/// One thing reported. Crosses the border between sensor and agent, and travels in a [`Batch`](crate::batch::Batch).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Aggregate of a window.
    Summary(Box<Summary>),
    /// A detector's claim, or a later revision of one.
    Finding(Box<Finding>),
    /// An endpoint product's alert.
    EndpointAlert(Box<EndpointAlert>),
    /// How the sensor is, and what it did not see.
    Health(Box<Health>),
    /// Records that existed and were dropped.
    Gap(Gap),
}

/// What went over the link in one window: the biggest flows and those behind findings, the rest counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Start of the window, event time, inclusive.
    pub start: Timestamp,
    /// End of the window, exclusive.
    pub end: Timestamp,
    /// Frames seen.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Flows that began.
    pub flows_started: u64,
    /// Flows that ended.
    pub flows_ended: u64,
    /// Flows ended by application.
    pub applications: Vec<NamedCount<32>>,
    /// Registered domains looked up, most first.
    pub domains: Vec<NamedCount<255>>,
    /// Hosts with the most bytes.
    pub talkers: Vec<Talker>,
    /// Flows: those behind findings first, then the biggest.
    pub flows: Vec<FlowSummary>,
    /// Flows that ended and are not in `flows`.
    pub flows_omitted: u64,
    /// Their bytes.
    pub flow_bytes_omitted: u64,
    /// Registered domains that are not in `domains`.
    pub domains_omitted: u64,
}

/// A name and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamedCount<const MAX: usize> {
    /// The name.
    pub name: BoundedText<MAX>,
    /// How often.
    pub count: u64,
}

/// A host's share of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Talker {
    /// The host.
    pub host: Host,
    /// Bytes on the wire, both directions.
    pub bytes: u64,
    /// Frames, both directions.
    pub packets: u64,
    /// Flows ended.
    pub flows: u64,
}

/// One flow that ended (or was cut by the active timeout) in the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowSummary {
    /// Who sent first. For ICMP, the port is the type.
    pub originator: SocketAddr,
    /// The other. For ICMP, the port is the code.
    pub responder: SocketAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// First packet.
    pub start: Timestamp,
    /// Last packet.
    pub end: Timestamp,
    /// Packets from the originator.
    pub originator_packets: u64,
    /// Bytes of IP packets from the originator.
    pub originator_bytes: u64,
    /// Packets from the responder.
    pub responder_packets: u64,
    /// Bytes of IP packets from the responder.
    pub responder_bytes: u64,
    /// Zeek's `conn_state`.
    pub state: BoundedText<8>,
    /// Application protocol by content, or empty.
    pub application: BoundedText<32>,
    /// TLS server name, HTTP host or first DNS name (registered domain only), or empty.
    pub server_name: BoundedText<255>,
    /// JA4 of the TLS client, or empty.
    pub ja4: BoundedText<40>,
    /// Outermost VLAN.
    pub vlan: Option<u16>,
    /// Whose network.
    pub body: Option<BodyCode>,
    /// Segment of the inside host.
    pub segment: Option<BoundedText<32>>,
}

impl FlowSummary {
    /// Community ID v1, seed 0.
    pub fn community_id(&self) -> String {
        community_id(
            0,
            self.protocol,
            (self.originator.ip(), self.originator.port()),
            (self.responder.ip(), self.responder.port()),
        )
    }
}

/// How the sensor is. Every loss has one counter here: "no alert" can be told from "could not see".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// When it was taken: event time in replay, the clock in live operation.
    pub at: Timestamp,
    /// Since the agent started.
    pub uptime_seconds: u64,
    /// Cumulative since start, by name, names ascending.
    pub counters: Vec<NamedCount<64>>,
    /// What is captured from.
    pub interfaces: Vec<Interface>,
    /// Bytes in the spool.
    pub spool_bytes: u64,
    /// Batches in the spool, not yet acknowledged.
    pub spool_batches: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Memory of the machine.
    pub memory_total_bytes: u64,
    /// Free on the spool's file system.
    pub disk_free_bytes: u64,
    /// Of one core, in thousandths.
    pub cpu_permille: u32,
    /// Load average over one minute, times 100.
    pub load_centi: u32,
    /// Digest of the configuration in force.
    pub config_digest: Digest,
    /// The agent's clock beside the collector's; none until the first acknowledgement.
    pub clock: Option<Clock>,
    /// Version of the collector's policy in force; 0 without one.
    pub policy_version: u64,
    /// What became of the last policy: `none`, `trial`, `applied`, `refused N: why`, `rolled_back N: why`.
    pub policy_state: BoundedText<256>,
    /// Names the threat intelligence in force; empty without any.
    pub intel_version: BoundedText<64>,
    /// When the agent's certificate ends; zero if it has none.
    pub certificate_expires_at: Timestamp,
}

/// How far the agent's clock is from the collector's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// The agent's clock less the collector's, in milliseconds: positive if the agent is ahead.
    pub offset_ms: i64,
    /// The offset is right within so many milliseconds; never 0.
    pub error_ms: u64,
}

/// One interface that is captured from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: BoundedText<64>,
    /// Frames received.
    pub packets: u64,
    /// Frames that the kernel dropped because we were slow.
    pub kernel_drops: u64,
    /// The link is up.
    pub up: bool,
}

/// Records that existed and will never arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When the loss began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// Why.
    pub reason: BoundedText<128>,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
}
