//! What must not be believed is refused with its typed reason, counted, and shown.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sekimori_wire::ack::{Ack, Answer, RefusalKind, encode_submission};
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, SigningKey, VerifyingKey};
use sekimori_wire::id::Digest;
use sekimori_wire::time::Timestamp;
use serde_json::Value;

use crate::support::{Agent, Collector, run_ok, wait_for};

/// An agent's identity in the hands of a test.
struct Hand<'a> {
    collector: &'a Collector,
    agent: &'a Agent,
    key: SigningKey,
    epoch: u64,
    collector_key: VerifyingKey,
}

impl<'a> Hand<'a> {
    fn of(collector: &'a Collector, agent: &'a Agent) -> Self {
        let key = std::fs::read(agent.identity("signing-key.p8")).expect("the signing key");
        let enrolment: Value =
            serde_json::from_slice(&std::fs::read(agent.identity("enrolment.json")).expect("the enrolment"))
                .expect("JSON");
        let collector_key = {
            use base64::Engine as _;
            let text = enrolment["collector_key"].as_str().expect("the collector's key");
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url");
            VerifyingKey::from_bytes(&bytes).expect("an Ed25519 key")
        };
        Self {
            collector,
            agent,
            key: SigningKey::from_pkcs8(&key).expect("an Ed25519 key"),
            epoch: enrolment["epoch"].as_u64().expect("the epoch"),
            collector_key,
        }
    }

    fn batch(&self, seq: u64, prev: Digest, version: &str) -> Batch {
        Batch {
            lane: Lane::Urgent,
            agent: self.key.verifying_key().id(),
            epoch: self.epoch,
            seq,
            prev,
            sealed_at: Timestamp::from_secs(1_800_000_000),
            mode: Mode::Live,
            version: version.into(),
            records: Vec::new(),
            unknown_records: 0,
        }
    }

    fn seal(&self, batch: &Batch) -> Envelope {
        Envelope::seal(batch, &self.key).expect("a small batch")
    }

    /// Sends bytes as this agent, by curl with the agent's certificate.
    fn send(&self, body: &[u8]) -> Answer {
        let path = self.agent.state.join("submission.bin");
        std::fs::write(&path, body).expect("the state folder is ours");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--tlsv1.3", "--max-time", "20"]);
        for (flag, file) in [("--cacert", "ca.pem"), ("--cert", "certificate.pem"), ("--key", "tls-key.pem")]
        {
            curl.arg(flag).arg(self.agent.identity(file));
        }
        curl.arg("--data-binary").arg(format!("@{}", path.display()));
        curl.arg(format!("https://{}/v1/batches", self.collector.ingest));
        let output = curl.output().expect("curl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Answer::from_bytes(&output.stdout).unwrap_or_else(|cause| {
            panic!("{cause}: {}", String::from_utf8_lossy(&output.stdout));
        })
    }

    fn acked(&self, envelope: &Envelope) -> Ack {
        match self.send(&encode_submission(std::slice::from_ref(envelope))) {
            Answer::Ack(ack) => {
                ack.verify_ack(&self.collector_key).expect("signed by the collector").into_inner()
            }
            Answer::Refused(refusal) => panic!("{refusal}"),
        }
    }

    fn refused(&self, body: &[u8]) -> RefusalKind {
        match self.send(body) {
            Answer::Refused(refusal) => refusal.kind,
            Answer::Ack(_) => panic!("acknowledged"),
        }
    }
}

#[test]
fn every_forgery_is_refused_for_its_own_reason_and_counted() {
    let collector = Collector::start();
    let (first, second) = (collector.enrol("422011", "first"), collector.enrol("422029", "second"));
    let (hand, other) = (Hand::of(&collector, &first), Hand::of(&collector, &second));
    let one = hand.seal(&hand.batch(1, Digest::ZERO, "one"));
    assert_eq!(hand.acked(&one).through, 1);

    // An identical resend: acknowledged again, stored once, counted.
    let again = hand.acked(&one);
    assert_eq!((again.through, again.head), (1, one.digest()));
    assert_eq!((collector.counter("batches_stored"), collector.counter("batches_repeated")), (1, 1));

    let refusal = |kind: RefusalKind| collector.counter(&format!("refused.{kind}"));
    let submit = |envelope: &Envelope| encode_submission(std::slice::from_ref(envelope));
    // Not a submission at all.
    assert_eq!(hand.refused(b"\xff\xff\xff\xff"), RefusalKind::Malformed);
    // The same number with other bytes.
    assert_eq!(hand.refused(&submit(&hand.seal(&hand.batch(1, Digest::ZERO, "two")))), RefusalKind::Forked);
    // A history that does not fit.
    assert_eq!(
        hand.refused(&submit(&hand.seal(&hand.batch(2, Digest::of(b"x"), "two")))),
        RefusalKind::Forked
    );
    // Another agent's good batch, sent as this agent.
    let foreign = other.seal(&other.batch(1, Digest::ZERO, "one"));
    assert_eq!(hand.refused(&submit(&foreign)), RefusalKind::WrongKey);
    // One changed byte of a good batch.
    let two = hand.seal(&hand.batch(2, one.digest(), "two"));
    let mut bytes = submit(&two);
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    let kind = hand.refused(&bytes);
    assert!(matches!(kind, RefusalKind::WrongKey | RefusalKind::Malformed), "{kind}");
    // A gap is asked for again, not refused.
    let three = hand.seal(&hand.batch(3, two.digest(), "three"));
    assert_eq!(hand.acked(&three).through, 1);
    assert_eq!(hand.acked(&two).through, 2);
    assert_eq!(hand.acked(&three).through, 3);

    // An agent that was revoked: its certificate is still good, the agent is not.
    let id = hand.key.verifying_key().id().to_string();
    run_ok(collector.cli(&["agent", "revoke"]).arg(&id));
    assert_eq!(
        hand.refused(&submit(&hand.seal(&hand.batch(4, three.digest(), "four")))),
        RefusalKind::NotEnrolled
    );

    for kind in [RefusalKind::Malformed, RefusalKind::Forked, RefusalKind::WrongKey, RefusalKind::NotEnrolled]
    {
        wait_for("the refusal is counted", Duration::from_secs(5), || (refusal(kind) > 0).then_some(()));
    }
    assert_eq!(collector.counter("batches_stored"), 3);
    // Another history is an incident.
    assert!(!collector.incidents("sensor_silent", Duration::from_secs(5)).is_empty());
    collector.assert_verifies();
}

/// A TLS client of our own, to see what was negotiated.
fn client(
    ca: &Path,
    cert: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("the CA's file") {
        roots.add(certificate.expect("PEM")).expect("a CA certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(cert, key)
        .expect("a client certificate")
}

/// Handshakes, sends a byte and reads: in TLS 1.3 a refused client learns it only then.
fn handshake(
    collector: &Collector,
    config: rustls::ClientConfig,
) -> Result<rustls::NamedGroup, std::io::Error> {
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut socket = TcpStream::connect(collector.ingest)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.complete_io(&mut socket)?;
    let group = connection.negotiated_key_exchange_group().expect("after the handshake").name();
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    Ok(group)
}

#[test]
fn an_enrolled_agent_gets_a_hybrid_post_quantum_key_exchange() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "pq");
    let certificate = CertificateDer::pem_file_iter(agent.identity("certificate.pem")).expect("a file");
    let certificate = certificate.map(|one| one.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(agent.identity("tls-key.pem")).expect("a key");
    let group =
        handshake(&collector, client(&agent.identity("ca.pem"), certificate, key)).expect("it is let in");
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn a_certificate_of_another_ca_and_tls_1_2_end_in_a_tls_alert_that_is_counted() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "true");
    let foreign = rcgen::generate_simple_self_signed(vec!["agent".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(foreign.signing_key.serialize_der()).expect("a key");
    let config = client(&agent.identity("ca.pem"), vec![foreign.cert.der().clone()], key);
    let refused = handshake(&collector, config).expect_err("another CA's certificate");
    assert!(refused.to_string().contains("alert") || refused.to_string().contains("Alert"), "{refused}");
    let after_foreign = wait_for("the failure is counted", Duration::from_secs(5), || {
        Some(collector.counter("tls.failed")).filter(|failed| *failed > 0)
    });

    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--tls-max", "1.2", "--max-time", "10", "--cacert"]);
    let output = curl.arg(agent.identity("ca.pem")).arg(format!("https://{}/", collector.ingest)).output();
    let output = output.expect("curl starts");
    assert_eq!(output.status.code(), Some(35), "a TLS failure");
    assert!(String::from_utf8_lossy(&output.stderr).contains("alert protocol version"), "{output:?}");
    wait_for("the failure is counted", Duration::from_secs(5), || {
        (collector.counter("tls.failed") > after_foreign).then_some(())
    });
}
