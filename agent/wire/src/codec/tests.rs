//! What is encoded is decoded again, and hostile bytes end in a named error.

use core::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::alert::{AlertClass, AlertFormat, EndpointAlert, Intake, JoinedBy};
use crate::envelope::{SigningKey, VerifyError};
use crate::finding::{Category, Confidence, Evidence, Finding, Severity, Value};
use crate::id::FindingId;
use crate::record::{Clock, FlowSummary, Gap, Health, Interface, NamedCount, Record, Summary, Talker};

fn finding() -> Finding {
    let mut evidence = Evidence { rule: "scan.port/1".into(), ..Evidence::default() };
    evidence.inputs.insert("ports".into(), Value::Count(40));
    evidence.inputs.insert("share".into(), Value::Number(0.5));
    evidence.threshold.insert("words".into(), Value::Text("四十".into()));
    evidence.baseline.insert("list".into(), Value::List(vec!["a".into(), "b".into()]));
    evidence.community_ids.push("1:LQU9qZlK+B5F3KDmev6m5PMibrg=".into());
    Finding {
        id: FindingId::of(&[b"one"]),
        revision: 3,
        time: Timestamp::from_secs(1),
        end: Timestamp::from_secs(2),
        detected_at: Timestamp::from_nanos(1_500_000_001),
        category: Category::ScanPort,
        severity: Severity::HIGH,
        confidence: Confidence::from_permille(875),
        originator: "192.0.2.1".parse().ok(),
        responder: "02:00:00:00:00:01".parse().ok(),
        targets: vec!["198.51.100.1".into()],
        ports: vec![22, 80],
        title: crate::finding::Bilingual::new("題", "title"),
        explanation: crate::finding::Bilingual::new("説明", "words"),
        evidence,
        technique: "T1046".into(),
        count: 40,
        body: "422011".parse().ok(),
        segment: Some("internet".into()),
        degraded: true,
        excepted_by: Some("X-1".into()),
    }
}

fn alert() -> EndpointAlert {
    EndpointAlert {
        id: FindingId::of(&[b"alert"]),
        time: Timestamp::from_secs(3),
        received_at: Timestamp::from_secs(4),
        intake: Intake::Capture,
        format: AlertFormat::Cef,
        vendor: "Vendor".into(),
        product: "EDR".into(),
        signature_id: "100".into(),
        name: "Trojan".into(),
        severity: Severity::CRITICAL,
        class: AlertClass::Malware,
        host: "192.0.2.9".parse().ok(),
        host_name: "pc-1".into(),
        user: Some(FindingId::of(&[b"user"])),
        remote: None,
        file_sha256: Some(Digest::of(b"file")),
        action: "quarantined".into(),
        original: "CEF:0|…".into(),
        original_sha256: Digest::of(b"line"),
        process: "".into(),
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: Some(JoinedBy::Dhcp),
    }
}

fn summary() -> Summary {
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let named = |name: &str| NamedCount { name: name.into(), count: 7 };
    Summary {
        start: Timestamp::from_secs(10),
        end: Timestamp::from_secs(20),
        packets: 1,
        bytes: 2,
        flows_started: 3,
        flows_ended: 4,
        applications: vec![named("dns")],
        domains: vec![NamedCount { name: "example.jp".into(), count: 9 }],
        talkers: vec![Talker { host: "192.0.2.1".parse().unwrap(), bytes: 5, packets: 6, flows: 7 }],
        flows: vec![FlowSummary {
            originator: end("192.0.2.1:40000"),
            responder: end("[2001:db8::1]:443"),
            protocol: 6,
            start: Timestamp::from_secs(11),
            end: Timestamp::from_secs(12),
            originator_packets: 1,
            originator_bytes: 2,
            responder_packets: 3,
            responder_bytes: 4,
            state: "SF".into(),
            application: "tls".into(),
            server_name: "example.jp".into(),
            ja4: "t13d1516h2_8daaf6152771_b0da82dd1658".into(),
            vlan: Some(30),
            body: "422011".parse().ok(),
            segment: Some("internet".into()),
        }],
        flows_omitted: 1,
        flow_bytes_omitted: 2,
        domains_omitted: 3,
    }
}

fn batch(key: &SigningKey) -> Batch {
    let health = Health {
        at: Timestamp::from_secs(1),
        uptime_seconds: 2,
        counters: vec![NamedCount { name: "frames".into(), count: 3 }],
        interfaces: vec![Interface { name: "eth0".into(), packets: 4, kernel_drops: 5, up: true }],
        spool_bytes: 6,
        spool_batches: 7,
        rss_bytes: 8,
        memory_total_bytes: 9,
        disk_free_bytes: 10,
        cpu_permille: 11,
        load_centi: 12,
        config_digest: Digest::of(b"config"),
        clock: Some(Clock { offset_ms: -13, error_ms: 14 }),
        policy_version: 15,
        policy_state: "applied".into(),
        intel_version: "16".into(),
        certificate_expires_at: Timestamp::from_secs(17),
    };
    let gap = Gap {
        from: Timestamp::from_secs(1),
        until: Timestamp::from_secs(2),
        reason: "spool full".into(),
        records: 3,
        bytes: 4,
    };
    Batch {
        lane: Lane::Detail,
        agent: key.verifying_key().id(),
        epoch: 1,
        seq: 2,
        prev: Digest::of(b"before"),
        sealed_at: Timestamp::from_secs(99),
        mode: Mode::Replay,
        version: "0.1.0".into(),
        records: vec![
            Record::Summary(Box::new(summary())),
            Record::Finding(Box::new(finding())),
            Record::EndpointAlert(Box::new(alert())),
            Record::Health(Box::new(health)),
            Record::Gap(gap),
        ],
        unknown_records: 0,
    }
}

#[test]
fn a_batch_survives_the_journey_unchanged() {
    let (key, pkcs8) = SigningKey::generate().unwrap();
    assert_eq!(SigningKey::from_pkcs8(&pkcs8).unwrap().verifying_key(), key.verifying_key());
    let batch = batch(&key);
    let envelope = Envelope::seal(&batch, &key).unwrap();
    let received = Envelope::from_bytes(&envelope.to_bytes()).unwrap();
    let verified = received.verify(batch.agent, key.verifying_key()).unwrap();
    assert_eq!(*verified, batch);
    assert_eq!(verified.digest(), envelope.digest());
    assert_eq!(decode_submission(&encode_submission(std::slice::from_ref(&envelope))), Ok(vec![envelope]));
}

#[test]
fn every_changed_byte_of_an_envelope_is_noticed() {
    let (key, _) = SigningKey::generate().unwrap();
    let envelope = Envelope::seal(&batch(&key), &key).unwrap();
    let bytes = envelope.to_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let believed = Envelope::from_bytes(&changed).is_ok_and(|other| {
            // A change in the framing alone (an unknown field) leaves the signed bytes as they were.
            other.verify(key.verifying_key().id(), key.verifying_key()).is_ok()
                && other.digest() != envelope.digest()
        });
        assert!(!believed, "byte {at}");
    }
}

#[test]
fn another_key_another_agent_or_another_type_is_refused() {
    let (key, _) = SigningKey::generate().unwrap();
    let (other, _) = SigningKey::generate().unwrap();
    let good = batch(&key);
    let envelope = Envelope::seal(&good, &key).unwrap();
    assert_eq!(envelope.verify(good.agent, other.verifying_key()), Err(VerifyError::WrongSigner));
    let impostor = Envelope::seal(&good, &other).unwrap();
    let other_id = other.verifying_key().id();
    assert_eq!(impostor.verify(other_id, other.verifying_key()), Err(VerifyError::WrongSigner));
    assert_eq!(envelope.verify(other_id, key.verifying_key()), Err(VerifyError::WrongSigner));
    let ack = Ack {
        agent: good.agent,
        lane: Lane::Urgent,
        epoch: 1,
        through: 2,
        head: Digest::ZERO,
        at: Timestamp::ZERO,
        policy_version: 7,
    };
    let ack_envelope = Envelope::seal_ack(&ack, &key);
    assert_eq!(ack_envelope.verify(good.agent, key.verifying_key()), Err(VerifyError::WrongType));
    assert_eq!(ack_envelope.verify_ack(key.verifying_key()).map(|ack| ack.into_inner()), Ok(ack));
}

#[test]
fn a_small_payload_cannot_expand_without_bound() {
    let bomb = zstd::bulk::compress(&vec![0; 64 * BATCH_BYTES_MAX], 19).unwrap();
    assert!(bomb.len() < 64 * 1024);
    assert_eq!(decode_batch(&bomb), Err(DecodeError::TooLarge));
}

#[test]
fn what_a_newer_agent_adds_is_not_fatal() {
    let (key, _) = SigningKey::generate().unwrap();
    let mut message = pb::Batch {
        agent: key.verifying_key().id().as_bytes().to_vec(),
        seq: 1,
        prev: vec![0; 32],
        records: vec![pb::Record { kind: None }],
        ..pb::Batch::default()
    };
    message.records.push(record::to_pb(&Record::Finding(Box::new(finding()))));
    if let Some(pb::record::Kind::Finding(finding)) = &mut message.records[1].kind {
        finding.category = "quantum.entanglement".into();
    }
    let mut plain = message.encode_to_vec();
    plain.extend_from_slice(&[0xfa, 0x3f, 1, b'x']); // field 1023, three bytes: unknown to everybody
    let batch = decode_batch(&zstd::bulk::compress(&plain, 1).unwrap()).unwrap();
    assert_eq!((batch.records.len(), batch.unknown_records), (0, 2));
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        fuzz(&bytes);
    }

    #[test]
    fn any_protobuf_inside_good_zstd_too(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        fuzz(&zstd::bulk::compress(&bytes, 1).unwrap());
    }
}
