//! `exfil.volume`: data leaves: a great deal of it, or by a way that should not lead outside.
//!
//! Per pair of an inside host and an outside one, bytes each way are added up over an hour, whoever began the connection. An
//! upload is many bytes out and few back; a video call is about even and a download the other way round. How bad it is follows
//! from how well the destination is known: its name, what it is for, and whether as much went there before at another time, as
//! a nightly backup does. What small uploads show in their protocol is in [`small`].

mod small;
mod upload;

use core::net::IpAddr;

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::Findings;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRef, Traffic, Transaction};
use small::Small;
use upload::Upload;

/// State: what each inside host sent to each outside one.
#[derive(Debug)]
pub(super) struct ExfilVolume {
    uploads: Map<Pair, Upload>,
    small: Small,
    evicted: u64,
}

/// Inside, outside.
type Pair = (IpAddr, IpAddr);

impl ExfilVolume {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            uploads: Map::new(limits.detector_entries, seed),
            small: Small::new(limits.detector_entries, seed),
            evicted: 0,
        }
    }

    /// The client named whom it wants to speak to.
    fn on_name(&mut self, at: Timestamp, flow: &FlowRef, name: Option<&str>, scene: &Scene<'_>) {
        let pair = (flow.originator.address, flow.responder.address);
        let outward = scene.policy.is_inside(pair.0) && !scene.policy.is_inside(pair.1);
        if let Some(name) = name.filter(|_| outward) {
            let (upload, evicted) = self.uploads.get_or_insert_with(pair, || Upload::new(at));
            self.evicted += u64::from(evicted.is_some());
            upload.into_iter().for_each(|upload| upload.learn_name(name));
        }
    }

    fn on_traffic(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        traffic: Traffic,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let (originator, responder) = (flow.originator.address, flow.responder.address);
        let (pair, sent, received) = match (scene.inside.originator, scene.inside.responder) {
            (true, false) if !responder.is_multicast() => {
                ((originator, responder), traffic.sent, traffic.received)
            }
            (false, true) if !originator.is_multicast() => {
                ((responder, originator), traffic.received, traffic.sent)
            }
            _ => return,
        };
        let (upload, evicted) = self.uploads.get_or_insert_with(pair, || Upload::new(at));
        self.evicted += u64::from(evicted.is_some());
        if let Some(upload) = upload {
            upload.count(at, sent.bytes.into(), received.bytes.into());
            upload.judge(pair, flow, scene, out);
        }
    }
}

impl Detect for ExfilVolume {
    const RULE: &'static str = "exfil.volume/1";
    const WANTS: Kinds = Kinds::TRAFFIC.and(Kinds::TLS).and(Kinds::TRANSACTION);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if let FlowEvent::Traffic(traffic) = what {
            if matches!(flow.protocol, 6 | 17) {
                self.on_traffic(*at, flow, *traffic, scene, out);
            }
        } else if let FlowEvent::Tls(hello) = what {
            self.on_name(*at, flow, hello.server_name.as_deref(), scene);
        } else if let FlowEvent::Transaction(transaction) = what {
            let transaction: &Transaction = transaction;
            if let Transaction::Quic(hello) = transaction
                && hello.from_originator
            {
                self.on_name(*at, flow, hello.server_name.as_deref(), scene);
            }
            self.small.on_transaction(*at, flow, transaction, scene, out);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.small.take_evicted()
    }
}
