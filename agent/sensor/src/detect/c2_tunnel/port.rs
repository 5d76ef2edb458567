//! Ports and IP protocols that are let through without a thought, and carry something else.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};

use super::C2Tunnel;
use crate::detect::findings::{Findings, Who, draft, input, sample, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Scene, Setup};
use crate::event::{Application, FlowRecord, FlowRef};

const UDP: u8 = 17;
/// DNS and NTP: let out of nearly every network.
const PORTS: [u16; 2] = [53, 123];
/// IP protocols (IANA) that hosts and routers use among themselves: ICMP, IGMP, TCP, UDP, those of IP version 6, security, multicast and
/// routing. Tunnels of IP in IP and of Ethernet are read as what is within them, and SCTP has ports of its own.
const USUAL: [u8; 17] = [0, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 60, 88, 89, 132];
/// The same, for redundant routers: PIM, VRRP, L2TP and the encapsulation that carries MPLS.
const USUAL_ROUTERS: [u8; 5] = [97, 103, 112, 115, 137];
/// Packets each way that are a conversation.
const PACKETS_MIN: u64 = 20;
/// Payload both ways from which it is grave: more than a confused program repeats.
const BYTES_GRAVE: u64 = 64 * 1024;

/// Findings by who, where and what.
#[derive(Debug)]
pub(super) struct Carriers {
    told: Notices<(IpAddr, IpAddr, u16, u8)>,
}

impl Carriers {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { told: Notices::new(setup.limits.detector_entries / 4, setup.seed) }
    }

    pub(super) fn on_end(
        &mut self,
        flow: &FlowRef,
        record: &FlowRecord,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (from, to) = (flow.originator.address, flow.responder.address);
        let outward = scene.inside.originator && !scene.inside.responder;
        let sustained = record.originator.packets >= PACKETS_MIN && record.responder.packets >= PACKETS_MIN;
        if !sustained || !outward || !is_odd(flow, record) {
            return;
        }
        let bytes = record.originator.payload_bytes.saturating_add(record.responder.payload_bytes);
        let severity = if bytes >= BYTES_GRAVE { Severity::MEDIUM } else { Severity::LOW };
        let packets = record.originator.packets.saturating_add(record.responder.packets);
        let key = (from, to, flow.responder.port, flow.protocol);
        let more = |finding: &mut Finding| {
            finding.count = finding.count.saturating_add(packets);
            finding.severity = finding.severity.max(severity);
            sample(finding, flow);
        };
        if self.told.grow((&key, record.end), out, more) {
            return;
        }
        let mut finding = claim(flow, record, scene);
        finding.severity = severity;
        finding.count = packets;
        input(&mut finding, "packets", packets);
        input(&mut finding, "payload_bytes", bytes);
        self.told.open(key, finding, out);
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        self.told.take_evicted()
    }
}

fn is_odd(flow: &FlowRef, record: &FlowRecord) -> bool {
    if flow.protocol == UDP {
        return PORTS.contains(&flow.responder.port)
            && record.application == Application::Unknown
            && record.originator.payload_bytes > 0
            && record.responder.payload_bytes > 0;
    }
    !USUAL.contains(&flow.protocol) && !USUAL_ROUTERS.contains(&flow.protocol)
}

fn claim(flow: &FlowRef, record: &FlowRecord, scene: &Scene<'_>) -> Finding {
    let (from, to) = (flow.originator.address, flow.responder.address);
    let (port, protocol) = (flow.responder.port, flow.protocol);
    let (carrier_en, carrier_ja) = if protocol == UDP {
        let name = if port == 53 { "DNS" } else { "NTP" };
        (format!("UDP port {port} that is not {name}"), format!("{name}ではないUDPポート{port}"))
    } else {
        (format!("IP protocol {protocol}"), format!("IPプロトコル番号{protocol}"))
    };
    let what = format!("{port}/{protocol}");
    let mut finding = draft(
        Category::C2Tunnel,
        C2Tunnel::RULE,
        scene.policy,
        Who::of(flow, &what),
        (record.start, record.end),
    );
    finding.confidence = Confidence::from_permille(500);
    finding.title = Bilingual::new(
        &format!("不審な通信路: {from} → {to}({carrier_ja})"),
        &format!("Odd carrier: {from} → {to} ({carrier_en})"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{from} が {to} と、{carrier_ja}で通信を続けています。通過しやすい経路を使ったトンネルの可能性があります。"
        ),
        &format!(
            "{from} keeps talking with {to} over {carrier_en}: a way that is let through may carry something else."
        ),
    );
    finding.evidence.formula =
        "packets each way of a conversation with an outside host, over UDP ports 53 or 123 in an unknown protocol, or over an \
         IP protocol that hosts do not use; grave from an amount of payload on"
            .into();
    threshold(&mut finding, "packets_each_way", PACKETS_MIN);
    threshold(&mut finding, "payload_bytes_grave", BYTES_GRAVE);
    if protocol == UDP {
        finding.ports = vec![port];
    }
    sample(&mut finding, flow);
    finding
}
