//! `host.new`: a device that was never seen on this network.
//!
//! A device is its Ethernet address, as ARP and DHCP tell it; where those are not seen (behind a router), an inside
//! address that completed a connection. For the first day of event time all that shows is learned and nothing is said:
//! see [`Known`]. What was seen, and how much was told within this hour, is kept over a restart.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Severity};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::baseline::{Pack, Read, Ripeness, Section};
use crate::detect::findings::{Findings, Who, draft, input, sample, threshold};
use crate::detect::known::{Known, Sighting, WARM_UP};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Arp, Event, FlowEvent, FlowRef, Transaction};

/// New devices told in one hour. What comes beyond (a replaced network, forged addresses) is learned in silence and counted
/// in the next finding.
const PER_HOUR: u32 = 20;
/// The hour of [`PER_HOUR`].
const HOUR: Duration = Duration::from_secs(3_600);
/// Second bit of the first byte: chosen by the device itself (IEEE 802, 8.2), as phones do for each network.
const LOCAL: u8 = 0x02;
/// First bit of the first byte: many devices.
const GROUP: u8 = 0x01;

/// State.
#[derive(Debug)]
pub(super) struct HostNew {
    known: Known<Host>,
    /// Beginning of the hour, findings in it, and what was left unsaid.
    hour: (Timestamp, u32, u64),
    evicted: u64,
}

impl HostNew {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { known: Known::new(setup), hour: (Timestamp::ZERO, 0, 0), evicted: 0 }
    }

    fn see(
        &mut self,
        (at, vlan): (Timestamp, Option<u16>),
        (host, address): (Host, IpAddr),
        flow: Option<&FlowRef>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let Sighting::New(hours) = self.known.see(at, host, &mut self.evicted) else { return };
        if at.since(self.hour.0) >= HOUR {
            self.hour = (at, 0, self.hour.2);
        }
        if self.hour.1 >= PER_HOUR {
            self.hour.2 += 1;
            return;
        }
        self.hour.1 += 1;
        let who =
            Who { originator: Some(host), responder: None, places: (address, address), vlan, what: "new" };
        let mut finding = draft(Category::HostNew, Self::RULE, scene.policy, who, (at, at));
        finding.severity = Severity::LOW;
        finding.confidence = Confidence::from_permille(700);
        finding.title =
            Bilingual::new(&format!("初めて見る機器: {host}"), &format!("Device never seen before: {host}"));
        finding.explanation = Bilingual::new(
            &format!(
                "{host} は、学習を始めてから{hours}時間のあいだ一度も見られなかった機器です。\
                 届け出のない機器が接続されていないか確認してください。"
            ),
            &format!(
                "{host} was never seen in {hours} hours of learning. Check that nobody connected a device that is not \
                 registered."
            ),
        );
        finding.evidence.formula = "never seen on this network, after the learning time".into();
        input(&mut finding, "learned_hours", hours);
        input(&mut finding, "address", address.to_string());
        if let Host::Mac([first, ..]) = host {
            let by = if first & LOCAL == 0 { "manufacturer" } else { "the device itself" };
            input(&mut finding, "ethernet_address_given_by", by);
        }
        input(&mut finding, "not_told_before", core::mem::take(&mut self.hour.2));
        threshold(&mut finding, "learning_hours", WARM_UP.as_secs() / 3_600);
        if let Some(flow) = flow {
            sample(&mut finding, flow);
        }
        out.open(finding);
    }

    fn on_arp(&mut self, place: (Timestamp, Option<u16>), arp: &Arp, around: (&Scene<'_>, &mut Findings)) {
        let [first, ..] = arp.sender_mac;
        if first & GROUP == 0 && arp.sender_mac != [0; 6] {
            self.see(place, (Host::Mac(arp.sender_mac), arp.sender_ip.into()), None, around);
        }
    }
}

impl Detect for HostNew {
    const RULE: &'static str = "host.new/1";
    const WANTS: Kinds = Kinds::ARP.and(Kinds::TRANSACTION).and(Kinds::ESTABLISHED);

    #[inline]
    fn is_due(&self, now: Timestamp) -> bool {
        self.known.is_due(now)
    }

    fn on_time(&mut self, now: Timestamp, _scene: &Scene<'_>, _out: &mut Findings) {
        // Time to learn runs from the first event, whatever it is.
        self.known.pass(now);
    }

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let (at, flow, what) = match event {
            Event::Arp { at, vlan, arp } => {
                // Its address is the device's as well: it must not look new when it connects somewhere.
                if scene.policy.is_inside(arp.sender_ip.into()) {
                    self.known.see(*at, Host::Ip(arp.sender_ip.into()), &mut self.evicted);
                }
                return self.on_arp((*at, *vlan), arp, (scene, out));
            }
            Event::Flow { at, flow, what } => (*at, flow, what),
            Event::Anomaly { .. } => return,
        };
        if let FlowEvent::Transaction(one) = what
            && let Transaction::Dhcp(message) = &**one
            && !message.is_reply
        {
            let address =
                message.client_ip.or(message.requested_ip).map_or(flow.originator.address, IpAddr::from);
            let device = (Host::Mac(message.client_mac), address);
            return self.see((at, flow.vlan), device, Some(flow), (scene, out));
        }
        if matches!(what, FlowEvent::Established) {
            let ends = [
                (flow.originator.address, scene.inside.originator),
                (flow.responder.address, scene.inside.responder),
            ];
            for (end, is_inside) in ends {
                if is_inside && !end.is_loopback() {
                    self.see((at, flow.vlan), (end.into(), end), Some(flow), (scene, out));
                }
            }
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }

    fn learned(&self) -> Option<(Section, Vec<u8>)> {
        let mut pack = Pack::default();
        let (began, told, untold) = self.hour;
        pack.u64(began.nanos());
        pack.u32(told);
        pack.u64(untold);
        self.known.pack(&mut pack);
        Some((Section::Devices, pack.0))
    }

    fn recall(&mut self, file: &Read<'_>) -> bool {
        let Some(mut section) = file.section(Section::Devices) else { return true };
        let (Some(began), Some(told), Some(untold)) = (section.u64(), section.u32(), section.u64()) else {
            return false;
        };
        let is_whole = self.known.recall(&mut section);
        if is_whole {
            self.hour = (Timestamp::from_nanos(began), told, untold);
        }
        is_whole
    }

    fn ripeness(&self) -> Ripeness {
        self.known.ripeness()
    }
}
