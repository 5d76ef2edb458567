//! The byte budget, the windows, and which flows come first.

use core::net::SocketAddr;
use std::time::Duration;

use sekimori_wire::batch::Batch;
use sekimori_wire::envelope::{Envelope, SigningKey};
use sekimori_wire::record::Record;

use super::*;
use crate::detect::domain_of;
use crate::event::{ConnState, Dns, EndReason, Endpoint, FlowRecord, FlowRef, Volume};
use crate::segment::Policy;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus(Duration::from_millis(ms))
}

fn flow(n: u64) -> FlowRef {
    let address = |high: u64| core::net::Ipv6Addr::from_bits(u128::from(high) << 96 | u128::from(n)).into();
    let end = |high, port| Endpoint { address: address(high), port };
    FlowRef {
        id: n,
        began: at(0),
        originator: end(0x2001_0db8, 50_000),
        responder: end(0xfd00_ffff, 443),
        protocol: 6,
        vlan: Some(100),
        swapped: false,
    }
}

fn record(bytes: u64) -> FlowRecord {
    let volume = Volume { packets: 10, bytes, payload_bytes: bytes, ..Volume::default() };
    FlowRecord {
        start: at(0),
        end: at(5),
        originator: volume,
        responder: volume,
        state: ConnState::Rstos0,
        reason: EndReason::Closed,
        application: Application::Tls,
        applications: [Application::Tls, Application::Unknown, Application::Unknown, Application::Unknown],
        server_name: Some("www.a-rather-long-name-that-somebody-registered.example.co.jp".into()),
        ja4: Some("t13d1516h2_8daaf6152771_e5627efa2ab1".into()),
        conduct: crate::event::Conduct::default(),
    }
}

fn add_flow(summarizer: &mut Summarizer, n: u64, bytes: u64, findings: &Findings) {
    let (flow, record) = (flow(n), record(bytes));
    summarizer.begin(at(0));
    summarizer.on_flow(EndedFlow::new(&flow, &record), findings);
}

fn no_findings() -> Findings {
    Findings::new(&Limits::gateway(), 0)
}

#[test]
fn a_summary_keeps_its_budget_and_counts_the_rest() {
    let limits = Limits { summary_entries: 2_000, ..Limits::gateway() };
    let mut summarizer = Summarizer::new(&limits, 0);
    let findings = no_findings();
    for n in 0..5_000 {
        add_flow(&mut summarizer, n, n * 1_000_000_007, &findings);
        let dns = Dns {
            from_originator: true,
            qname: format!("www.domain-number-{n}.example").into(),
            ..Dns::default()
        };
        let event = Event::Flow { at: at(0), flow: flow(n), what: FlowEvent::Dns(Box::new(dns)) };
        summarizer.on_event(at(0), &event, domain_of(&event).map(|domain| domain.name));
    }
    let summary = summarizer.close(&findings, &Policy::default_private()).unwrap();
    assert_eq!(summary.flows_ended, 5_000);
    assert_eq!(summary.flows_omitted + summary.flows.len() as u64, 5_000);
    assert_eq!(summary.domains_omitted + summary.domains.len() as u64, 5_000);
    let all: u64 = (0..5_000).map(|n| n * 1_000_000_007 * 2).sum();
    assert_eq!(summary.flow_bytes_omitted + summary.flows.iter().map(volume).sum::<u64>(), all);
    assert!(summary.flows.len() > 50 && summary.talkers.len() == 32, "{}", summary.flows.len());
    assert!(summary.flows.windows(2).all(|pair| volume(&pair[0]) >= volume(&pair[1])));
    assert_eq!(summary.flows[0].server_name.as_str(), "example.co.jp");
    assert_eq!(volume(&summary.flows[0]), 4_999 * 1_000_000_007 * 2);
    assert!(summarizer.counters().value(Counter::SummaryDetailShed) >= summary.flows_omitted);
    assert!(summarizer.close(&findings, &Policy::default_private()).is_none());
    assert_fits(&summary, limits.summary_bytes);
}

/// A batch has a bound of its own on its uncompressed size: as many summaries as fit there by the budget must be let in.
fn assert_fits(summary: &Summary, budget: usize) {
    let many = (sekimori_wire::limits::BATCH_BYTES_MAX - 1_024) / budget;
    let batch = Batch {
        lane: sekimori_wire::batch::Lane::Detail,
        agent: sekimori_wire::id::AgentId::of_public_key(&[0; 32]),
        epoch: 1,
        seq: 1,
        prev: sekimori_wire::id::Digest::ZERO,
        sealed_at: at(0),
        mode: sekimori_wire::batch::Mode::Live,
        version: "".into(),
        records: vec![Record::Summary(Box::new(summary.clone())); many],
        unknown_records: 0,
    };
    let (key, _) = SigningKey::generate().unwrap();
    Envelope::seal(&batch, &key).unwrap();
}

#[test]
fn windows_are_aligned_and_silence_makes_none() {
    let mut summarizer = Summarizer::new(&Limits::gateway(), 0);
    assert!(!summarizer.is_past(at(3_000)));
    summarizer.on_frame(at(3_000), 1_500);
    assert!(!summarizer.is_past(at(9_999)) && summarizer.is_past(at(10_000)));
    let summary = summarizer.close(&no_findings(), &Policy::default_private()).unwrap();
    assert_eq!((summary.start, summary.end, summary.packets, summary.bytes), (at(0), at(10_000), 1, 1_500));
    assert!(!summarizer.is_past(at(90_000)));
}

#[test]
fn flows_behind_findings_come_first() {
    let policy = Policy::default_private();
    let small = flow(7);
    let mut findings = no_findings();
    let mut detectors = crate::detect::Detectors::new(&crate::detect::Setup {
        limits: &Limits::gateway(),
        seed: 0,
        user_key: &[7; 32],
    });
    for port in 1..=20 {
        let mut probe = small;
        probe.responder.port = port;
        detectors.on_event(
            &Event::Flow { at: at(0), flow: probe, what: FlowEvent::Rejected },
            &policy,
            &mut findings,
        );
    }
    let mut summarizer = Summarizer::new(&Limits::gateway(), 0);
    for n in 0..100 {
        add_flow(&mut summarizer, n, if n == 7 { 1 } else { 1_000_000 }, &findings);
    }
    let summary = summarizer.close(&findings, &Policy::default_private()).unwrap();
    assert_eq!(summary.flows[0].originator, SocketAddr::from(small.originator));
}
