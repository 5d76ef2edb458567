//! Event sequences in few words.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::time::Duration;

use sekimori_wire::finding::{Category, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::detect::{Detect, Detectors, Findings, Kinds, Names, Reports, Scene, Setup, domain_of, show_one};
use crate::event::*;
use crate::limits::Limits;
use crate::segment::Policy;

/// Shows events to one detector as [`Detectors`] shows them to all.
#[derive(Debug, Default)]
pub(in crate::detect) struct Alone {
    reports: Reports,
}

impl Alone {
    pub(in crate::detect) fn show<D: Detect>(
        &mut self,
        detector: &mut D,
        event: &Event,
        (policy, names): (&Policy, &Names),
        out: &mut Findings,
    ) {
        let report = self.reports.pass(event);
        let scene = Scene::of(event, domain_of(event), policy, names);
        show_one::<D, { Kinds::ALL.bits() }>(detector, (event, report.as_ref()), &scene, out);
    }
}

pub(in crate::detect) const TCP: u8 = 6;
pub(in crate::detect) const UDP: u8 = 17;
pub(in crate::detect) const ICMP: u8 = 1;
pub(in crate::detect) const ICMP6: u8 = 58;

/// Events, each at a number of milliseconds after the start; sorted by time before use.
#[derive(Default)]
pub(in crate::detect) struct Script {
    events: Vec<(u64, Event)>,
    flows: u64,
    began: BTreeMap<u64, Timestamp>,
}

pub(in crate::detect) fn at(ms: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus(Duration::from_millis(ms))
}

impl Script {
    pub(in crate::detect) fn flow(&mut self, protocol: u8, from: (&str, u16), to: (&str, u16)) -> FlowRef {
        let end = |(address, port): (&str, u16)| Endpoint { address: address.parse().unwrap(), port };
        self.flows += 1;
        FlowRef {
            id: self.flows,
            began: at(0),
            originator: end(from),
            responder: end(to),
            protocol,
            vlan: None,
            swapped: false,
        }
    }

    pub(in crate::detect) fn push(&mut self, ms: u64, mut flow: FlowRef, what: FlowEvent) {
        let began = *self.began.entry(flow.id).or_insert_with(|| at(ms));
        flow.began = began;
        self.events.push((ms, Event::Flow { at: at(ms), flow, what }));
    }

    /// A TCP SYN and what became of it.
    pub(in crate::detect) fn syn(
        &mut self,
        ms: u64,
        from: (&str, u16),
        to: (&str, u16),
        then: &[FlowEvent],
    ) -> FlowRef {
        let flow = self.flow(TCP, from, to);
        self.push(ms, flow, FlowEvent::Started(First::Syn));
        for what in then {
            let delay = if *what == FlowEvent::Unanswered { 5_000 } else { 20 };
            self.push(ms + delay, flow, what.clone());
        }
        flow
    }

    /// A completed TCP connection with payload each way.
    pub(in crate::detect) fn session(
        &mut self,
        ms: u64,
        from: (&str, u16),
        to: (&str, u16),
        ms_long: u64,
        payload: (u64, u64),
    ) {
        let flow = self.syn(ms, from, to, &[FlowEvent::Answered, FlowEvent::Established]);
        let volume = |payload_bytes| Volume {
            packets: 5,
            bytes: payload_bytes + 200,
            payload_bytes,
            ..Volume::default()
        };
        let record = FlowRecord {
            start: at(ms),
            end: at(ms + ms_long),
            originator: volume(payload.0),
            responder: volume(payload.1),
            state: ConnState::SF,
            reason: EndReason::Closed,
            ..FlowRecord::default()
        };
        self.push(ms + ms_long, flow, FlowEvent::Ended(Box::new(record)));
    }

    /// A TCP flow of an ACK that carried nothing.
    pub(in crate::detect) fn bare(&mut self, ms: u64, from: (&str, u16), to: (&str, u16), answers: u64) {
        self.probe(ms, from, to, (0x10, answers));
    }

    /// A TCP flow of one empty segment with these flags, and so many RSTs in answer.
    pub(in crate::detect) fn probe(
        &mut self,
        ms: u64,
        from: (&str, u16),
        to: (&str, u16),
        (flags, answers): (u8, u64),
    ) {
        let flow = self.flow(TCP, from, to);
        self.push(ms, flow, FlowEvent::Started(First::Midstream));
        let record = FlowRecord {
            start: at(ms),
            end: at(ms),
            originator: Volume { packets: 1, bytes: 40, payload_bytes: 0, ..Volume::default() },
            responder: Volume {
                packets: answers,
                bytes: 40 * answers,
                payload_bytes: 0,
                ..Volume::default()
            },
            state: ConnState::Oth,
            reason: EndReason::Idle,
            conduct: Conduct { originator: Way { flags, ..Way::default() }, ..Conduct::default() },
            ..FlowRecord::default()
        };
        self.push(ms + 60_000, flow, FlowEvent::Ended(Box::new(record)));
    }

    pub(in crate::detect) fn arp(&mut self, ms: u64, operation: u16, from: &str, to: &str) {
        let arp = Arp {
            operation,
            sender_mac: [2, 0, 0, 0, 0, 1],
            sender_ip: from.parse().unwrap(),
            target_mac: [0; 6],
            target_ip: to.parse().unwrap(),
            frame: None,
        };
        self.events.push((ms, Event::Arp { at: at(ms), vlan: None, arp }));
    }

    /// An HTTP exchange: method, target, user agent, status (0: no answer).
    pub(in crate::detect) fn http(
        &mut self,
        ms: u64,
        from: (&str, u16),
        to: (&str, u16),
        (method, path, agent, status): (&str, &str, &str, u16),
    ) {
        let flow = self.flow(TCP, from, to);
        let field = |name: &str, value: &str| http::Field { name: name.into(), value: value.into() };
        let request = http::Request {
            method: method.into(),
            target: path.into(),
            fields: [field("Host", "www.city.example"), field("User-Agent", agent)].into(),
            ..http::Request::default()
        };
        let response = http::Response { status: status.to_string().into(), ..http::Response::default() };
        let exchange = HttpExchange {
            from_originator: true,
            request: Some(request),
            response: (status > 0).then_some(response),
            ..HttpExchange::default()
        };
        let head = HttpRequest {
            method: method.into(),
            path: path.into(),
            user_agent: Some(agent.into()),
            ..HttpRequest::default()
        };
        self.push(ms, flow, FlowEvent::HttpRequest(Box::new(head)));
        self.push(ms + 10, flow, FlowEvent::Transaction(Box::new(exchange.into())));
    }

    pub(in crate::detect) fn arp_packet(&mut self, ms: u64, arp: Arp) {
        self.events.push((ms, Event::Arp { at: at(ms), vlan: None, arp }));
    }

    /// A DNS query and its response.
    pub(in crate::detect) fn dns(
        &mut self,
        ms: u64,
        client: &str,
        name: &str,
        qtype: u16,
        (rcode, answer_bytes): (u8, u32),
    ) {
        let flow = self.flow(UDP, (client, 40_000), ("192.0.2.53", 53));
        let query =
            Dns { from_originator: true, qtype, qname: name.into(), message_bytes: 60, ..Dns::default() };
        let response = Dns {
            from_originator: false,
            is_response: true,
            rcode,
            answers: 1,
            answer_bytes,
            ..query.clone()
        };
        self.push(ms, flow, FlowEvent::Dns(Box::new(query)));
        self.push(ms + 20, flow, FlowEvent::Dns(Box::new(response)));
    }

    /// A query for an address and the address that is answered.
    pub(in crate::detect) fn dns_address(&mut self, ms: u64, client: &str, name: &str, answer: [u8; 4]) {
        self.dns(ms, client, name, 1, (0, 4));
        let Some((_, Event::Flow { what: FlowEvent::Dns(response), .. })) = self.events.last_mut() else {
            panic!("the response was pushed last");
        };
        response.answer_records = [dns::Resource {
            name: name.into(),
            rtype: 1,
            class: 1,
            ttl: 300,
            data: dns::Rdata::Address(answer.into()),
        }]
        .into();
    }

    /// The events in the order in which they were pushed.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// The last revision of each finding, in order of the first.
    pub(in crate::detect) fn findings(&self, policy: &Policy, seed: u64) -> Vec<Finding> {
        let mut events = self.events.clone();
        events.sort_by_key(|(ms, _)| *ms);
        let limits = Limits::gateway();
        let (mut detectors, mut findings) = (
            Detectors::new(&Setup { limits: &limits, seed, user_key: &[7; 32] }),
            Findings::new(&limits, seed),
        );
        let mut last: Vec<Finding> = Vec::new();
        let mut keep = |ready: Vec<Finding>| {
            for finding in ready {
                match last.iter_mut().find(|one| one.id == finding.id) {
                    Some(one) => {
                        assert_eq!(finding.revision, one.revision + 1);
                        *one = finding;
                    }
                    None => last.push(finding),
                }
            }
        };
        let mut shown = BTreeMap::<u32, u32>::new();
        for (_, event) in &events {
            findings.on_time(event.at());
            let times = shown.entry(Kinds::of(event).bits()).or_default();
            *times += 1;
            if *times <= 3 {
                let changed = detectors.on_event_unasked(event, policy, &mut findings);
                assert!(changed.is_empty(), "{changed:?} want {event:?} and do not say so");
            }
            detectors.on_event(event, policy, &mut findings);
            keep(findings.take_ready());
        }
        detectors.finish(policy, &mut findings);
        findings.finish();
        keep(findings.take_ready());
        last
    }

    /// How much one detector forgets that has room for ten of whatever it remembers.
    pub(in crate::detect) fn forgotten<D: Detect>(&self, new: impl FnOnce(&Setup<'_>) -> D) -> u64 {
        let limits = Limits { detector_entries: 10, ..Limits::gateway() };
        let mut detector = new(&Setup { limits: &limits, seed: 1, user_key: &[7; 32] });
        let (names, policy) = (Names::new(&limits, 1), Policy::default_private());
        let mut out = Findings::new(&limits, 1);
        let mut one = Alone::default();
        self.events().for_each(|event| {
            one.show(&mut detector, event, (&policy, &names), &mut out);
        });
        detector.take_evicted()
    }

    /// With private networks inside, and the same under another seed.
    pub(in crate::detect) fn run(&self) -> Vec<Finding> {
        let policy = Policy::default_private();
        let findings = self.findings(&policy, 1);
        assert_eq!(findings, self.findings(&policy, 2), "the seed must not show");
        findings
    }

    /// Nothing that anybody would be told: severity 0 is for the record only.
    pub(in crate::detect) fn quiet(&self) {
        let mut findings = self.run();
        findings.retain(|finding| finding.severity > Severity::INFORMATIONAL);
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// The only finding of its category; others may have something to say of the same events.
    pub(in crate::detect) fn only(&self, category: Category) -> Finding {
        let mut findings = self.run();
        findings.retain(|finding| finding.category == category);
        assert_eq!(findings.iter().map(|one| one.category).collect::<Vec<_>>(), [category], "{findings:#?}");
        let finding = findings.into_iter().next().unwrap();
        let complete = !finding.title.ja.is_empty() && !finding.explanation.en.is_empty();
        let shown = !finding.evidence.formula.is_empty() && !finding.evidence.inputs.is_empty();
        assert!(complete && shown && !finding.evidence.threshold.is_empty(), "{finding:#?}");
        finding
    }
}

pub(in crate::detect) fn host(text: &str) -> Option<sekimori_wire::id::Host> {
    text.parse::<IpAddr>().ok().map(Into::into)
}

/// Letters that look random and are the same on every run.
pub(in crate::detect) fn letters(n: u64, len: usize) -> String {
    let mut state = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + u8::try_from(state % 26).unwrap())
    };
    (0..len).map(letter).collect()
}
