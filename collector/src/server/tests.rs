//! A whole collector on the loopback: init, enrol by token, deliver over real mutual TLS, look at answers and store.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::store::db;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sekimori_wire::ack::{Ack, Answer, RefusalKind, encode_submission};
use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake as AlertIntake};
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::enroll::{EnrollRefusal, EnrollRequest, EnrollResponse, POSSESSION_LABEL, Token};
use sekimori_wire::envelope::{Envelope, SigningKey, VerifyingKey};
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use sekimori_wire::id::{Digest, FindingId};
use sekimori_wire::record::{Gap, Health, Record};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use tokio::task::JoinHandle;

use super::*;
use crate::config::AgentsOwn;
use crate::fleet::authority::{Authority, Paths};
use crate::status::{self, Status};
use crate::{clock, init, verify};

mod identity;
mod observe;
mod people;
mod storm;

struct Collector {
    holder: tempfile::TempDir,
    dir: PathBuf,
    config: Config,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), ServeError>>,
}

impl Collector {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more in its configuration.
    async fn start_with(more: &str) -> Self {
        let holder = tempfile::tempdir().unwrap();
        let dir = holder.path().join("collector");
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let plan = init::Plan {
            dir: dir.clone(),
            hosts: Vec::new(),
            ingest: any,
            enroll: any,
            console: any,
            without_second_factor: true,
            store: crate::store::testing::url(),
        };
        let made = init::run(&plan).await.unwrap();
        assert!(matches!(init::run(&plan).await, Err(init::InitError::Exists { .. })));
        let text = std::fs::read_to_string(&made.config).unwrap();
        std::fs::write(&made.config, text + more).unwrap();
        let server =
            Server::bind(Config::load(&made.config).unwrap(), InForce::load(&[], AgentsOwn::Accept).unwrap())
                .await
                .unwrap();
        let config = server.config().clone();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(server.run(stopped, || {}));
        Self { holder, dir, config, stop, running }
    }

    async fn store(&self) -> Store {
        Store::open(self.config.store()).await.unwrap()
    }

    async fn status(&self) -> Status {
        let store = Store::open_read_only(self.config.store()).await.unwrap();
        status::read(&store, None).await.unwrap()
    }

    async fn token(&self, body: &str, ttl_seconds: u64) -> Token {
        let order = fleet::TokenOrder {
            body: body.parse().unwrap(),
            body_name: Some(format!("団体 {body}")),
            name: String::new(),
            ttl: Duration::from_secs(ttl_seconds),
            replaces: None,
        };
        fleet::new_token(&self.store().await, &self.config, &order).await.unwrap()
    }

    fn ca(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(Paths::of(&self.dir).ca()).unwrap()
    }

    fn tls(&self, identity: Option<(String, String)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    async fn enroll(&self, token: &Token) -> Result<Agent, u16> {
        let (_key, pkcs8) = SigningKey::generate().unwrap();
        self.enroll_with(token, &pkcs8)
            .await
            .map_err(|refusal| if refusal.kind == "enroll.token" { 403 } else { panic!("{refusal:?}") })
    }

    async fn enroll_with(&self, token: &Token, pkcs8: &[u8]) -> Result<Agent, EnrollRefusal> {
        let key = SigningKey::from_pkcs8(pkcs8).unwrap();
        let tls_key = KeyPair::generate().unwrap();
        let csr_pem = CertificateParams::default().serialize_request(&tls_key).unwrap().pem().unwrap();
        let request = EnrollRequest {
            secret: token.secret.clone(),
            possession: URL_SAFE_NO_PAD.encode(key.sign_labelled(POSSESSION_LABEL, csr_pem.as_bytes())),
            signing_key: URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
            csr_pem,
            name: "gw\u{202e}1".into(),
        };
        let body = serde_json::to_vec(&request).unwrap();
        let (status, answer) = post(self.config.enroll, self.tls(None), "/v1/enroll", body).await.unwrap();
        if status != 200 {
            return Err(serde_json::from_slice(&answer).unwrap());
        }
        let response: EnrollResponse = serde_json::from_slice(&answer).unwrap();
        let collector = URL_SAFE_NO_PAD.decode(&response.collector_key).unwrap();
        Ok(Agent {
            tls: self.tls(Some((response.certificate_pem, tls_key.serialize_pem()))),
            ingest: self.config.ingest,
            collector: VerifyingKey::from_bytes(&collector).unwrap(),
            epoch: response.epoch,
            pkcs8: pkcs8.to_vec(),
            key,
        })
    }

    /// Stops it as SIGTERM does, and checks every stored batch.
    async fn end(self, batches: u64) -> tempfile::TempDir {
        self.stop.send_replace(true);
        self.running.await.unwrap().unwrap();
        let store = Store::open_read_only(self.config.store()).await.unwrap();
        assert_eq!(verify::store(&store).await.unwrap(), verify::Report { batches, bad: None });
        self.holder
    }
}

struct Agent {
    tls: Arc<ClientConfig>,
    ingest: SocketAddr,
    collector: VerifyingKey,
    epoch: u64,
    pkcs8: Vec<u8>,
    key: SigningKey,
}

impl Agent {
    fn seal(&self, seq: u64, prev: Digest, records: Vec<Record>) -> Envelope {
        let batch = Batch {
            agent: self.key.verifying_key().id(),
            lane: Lane::Urgent,
            epoch: self.epoch,
            seq,
            prev,
            sealed_at: clock::now(),
            mode: Mode::Live,
            version: "1".into(),
            records,
            unknown_records: 0,
        };
        Envelope::seal(&batch, &self.key).unwrap()
    }

    async fn send(&self, envelopes: &[Envelope]) -> Result<Ack, RefusalKind> {
        let body = encode_submission(envelopes);
        let (status, bytes) = post(self.ingest, Arc::clone(&self.tls), "/v1/batches", body).await.unwrap();
        match Answer::from_bytes(&bytes).unwrap() {
            Answer::Ack(envelope) => {
                assert_eq!(status, 200);
                Ok(envelope.verify_ack(&self.collector).unwrap().into_inner())
            }
            Answer::Refused(refusal) => {
                assert_eq!(status, refusal.kind.http_status());
                Err(refusal.kind)
            }
        }
    }
}

async fn post(
    to: SocketAddr,
    tls: Arc<ClientConfig>,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await?;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(rustls::NamedGroup::X25519MLKEM768));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("https://127.0.0.1{path}")).body(Full::new(Bytes::from(body)))?;
    let response = client.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

fn finding(name: &str, revision: u32, originator: &str, at: u64, level: u8) -> Record {
    let mut evidence = Evidence { rule: "scan.port/1".into(), ..Evidence::default() };
    evidence.inputs.insert("ports".into(), 200_u64.into());
    evidence.threshold.insert("ports".into(), 100_u64.into());
    evidence.community_ids.push("1:abc=".into());
    Record::Finding(Box::new(Finding {
        id: FindingId::of(&[name.as_bytes()]),
        revision,
        time: Timestamp::from_secs(at),
        end: Timestamp::from_secs(at + 60),
        detected_at: Timestamp::from_secs(at + 1),
        category: Category::ScanPort,
        severity: Severity::new(level).unwrap(),
        confidence: Confidence::from_permille(900),
        originator: Some(originator.parse().unwrap()),
        responder: None,
        targets: Vec::new(),
        ports: vec![22],
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence,
        technique: "T1046".into(),
        count: 1,
        body: None,
        segment: None,
        degraded: false,
        excepted_by: None,
    }))
}

fn alert(class: AlertClass) -> Record {
    Record::EndpointAlert(Box::new(EndpointAlert {
        id: FindingId::of(&[b"alert"]),
        time: Timestamp::from_secs(5000),
        received_at: Timestamp::from_secs(5001),
        intake: AlertIntake::Listener,
        format: AlertFormat::Cef,
        vendor: "V".into(),
        product: "EDR".into(),
        signature_id: "1".into(),
        name: "encrypting files".into(),
        severity: Severity::HIGH,
        class,
        host: Some("10.0.0.7".parse().unwrap()),
        host_name: BoundedText::default(),
        user: None,
        remote: None,
        file_sha256: None,
        action: BoundedText::default(),
        original: "CEF:0|…".into(),
        original_sha256: Digest::of(b"CEF"),
        process: "".into(),
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: None,
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_stored_once_in_order_or_refused_with_the_reason() {
    let collector = Collector::start().await;
    let token = collector.token("422011", 60).await;
    let agent = collector.enroll(&token).await.ok().unwrap();
    assert_eq!(collector.enroll(&token).await.err(), Some(403), "a token is good once");
    let expired = collector.token("422011", 0).await;
    assert_eq!(collector.enroll(&expired).await.err(), Some(403));

    // Gap first: nothing to acknowledge yet. Then in order, then the same again.
    let gap = Record::Gap(Gap { records: 3, ..Gap::default() });
    let one = agent.seal(1, Digest::ZERO, vec![finding("f", 1, "203.0.113.9", 1000, 1), gap]);
    let health = Record::Health(Box::new(Health { uptime_seconds: 7, ..Health::default() }));
    let two = agent.seal(2, one.digest(), vec![alert(AlertClass::Ransomware), health]);
    let three = agent.seal(3, two.digest(), vec![finding("f", 2, "203.0.113.9", 1000, 3)]);
    assert_eq!(agent.send(std::slice::from_ref(&two)).await.unwrap().through, 0);
    let ack = agent.send(&[one.clone(), two.clone()]).await.unwrap();
    assert_eq!((ack.epoch, ack.through, ack.head), (agent.epoch, 2, two.digest()));
    assert_eq!(agent.send(&[one.clone(), two.clone(), three.clone()]).await.unwrap().through, 3);

    // Changed byte, another agent's envelope, the same number with other bytes, rubbish, an empty submission.
    let mut bytes = agent.seal(4, three.digest(), Vec::new()).to_bytes();
    let inside = bytes.len() - 110; // The last 100 bytes name and sign; before them is the payload.
    bytes[inside] ^= 1;
    let changed = Envelope::from_bytes(&bytes).unwrap();
    assert_eq!(agent.send(&[changed]).await, Err(RefusalKind::WrongKey));
    let other = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    assert_eq!(other.send(std::slice::from_ref(&one)).await, Err(RefusalKind::WrongKey));
    let forked = agent.seal(3, two.digest(), vec![alert(AlertClass::Malware)]);
    assert_eq!(agent.send(std::slice::from_ref(&forked)).await, Err(RefusalKind::Forked));
    assert_eq!(agent.send(&[forked]).await, Err(RefusalKind::Forked));
    let (status, answer) =
        post(agent.ingest, Arc::clone(&agent.tls), "/v1/batches", b"rubbish".to_vec()).await.unwrap();
    assert_eq!(status, 400);
    assert!(
        matches!(Answer::from_bytes(&answer), Ok(Answer::Refused(it)) if it.kind == RefusalKind::Malformed)
    );
    assert_eq!(agent.send(&[]).await.unwrap().through, 3);

    // A revocation acts on the next request.
    let agent_id = other.key.verifying_key().id();
    assert!(fleet::revoke(&collector.store().await, agent_id).await.unwrap());
    assert_eq!(other.send(&[]).await, Err(RefusalKind::NotEnrolled));

    let status = collector.status().await;
    let counter = |name: &str| status.counters.get(name).copied().unwrap_or_default();
    for (name, expected) in [
        ("batches_stored", 3),
        ("batches_repeated", 2),
        ("batches_early", 1),
        ("refused.wrong_key", 2),
        ("refused.forked", 2),
        ("refused.malformed", 1),
        ("refused.not_enrolled", 1),
        ("refused.enroll.token", 2),
        ("findings_stored", 2),
        ("findings_revised", 1),
        ("gaps_declared", 1),
        ("incidents_opened", 3),
        ("tls.failed", 0),
    ] {
        assert_eq!(counter(name), expected, "{name}");
    }
    let shown: Vec<_> = status
        .incidents
        .iter()
        .map(|one| (one.category.as_str(), one.severity, one.findings, one.sources.as_slice(), one.verified))
        .collect();
    assert_eq!(
        shown,
        [
            ("scan", 3, 1, ["finding"].as_slice(), true),
            ("ransomware", 4, 1, ["endpoint_alert"].as_slice(), true),
            ("sensor_silent", 3, 0, [].as_slice(), true),
        ]
    );
    assert_eq!(status.agents.iter().map(|one| one.through).max(), Some(3));
    assert!(status.agents.iter().all(|one| one.name == "gw\\u{202e}1" && one.body == "422011"));
    collector.end(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_actor_in_three_bodies_opens_one_parent() {
    let collector = Collector::start().await;
    for (number, body) in ["422011", "422029", "422037", "422045"].into_iter().enumerate() {
        let agent = collector.enroll(&collector.token(body, 60).await).await.ok().unwrap();
        let at = 10_000 + 600 * number as u64;
        let records = vec![
            finding(&format!("wide {body}"), 1, "203.0.113.9", at, 1),
            finding(&format!("local {body}"), 1, "10.0.0.9", at, 2),
            finding(&format!("later {body}"), 1, "203.0.113.9", at + 60 + 1801, 1),
        ];
        let ack = agent.send(&[agent.seal(1, Digest::ZERO, records)]).await.unwrap();
        assert_eq!(ack.through, 1);
        let parents = collector.status().await.incidents.iter().filter(|one| one.body.is_none()).count();
        assert_eq!(parents, usize::from(number >= 2), "after {} bodies", number + 1);
    }
    let incidents = collector.status().await.incidents;
    let parent = incidents.iter().find(|one| one.body.is_none()).unwrap();
    assert!(parent.id.starts_with("INC-WIDE-"), "{}", parent.id);
    assert_eq!((parent.severity, parent.children, parent.findings), (2, 8, 8));
    assert_eq!((parent.category.as_str(), parent.subject.as_str()), ("scan", "203.0.113.9"));
    for one in incidents.iter().filter(|one| one.body.is_some()) {
        let local = one.subject == "10.0.0.9";
        assert_eq!(one.parent.as_ref(), Some(&parent.id).filter(|_| !local), "{one:?}");
        assert_eq!((one.severity, one.findings), (if local { 2 } else { 1 }, 1), "{one:?}");
    }
    assert_eq!(incidents.len(), 13);
    collector.end(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_tls_alert_and_is_counted() {
    let collector = Collector::start().await;
    // Nobody's certificate, and one of another CA with the right names.
    let none = post(collector.config.ingest, collector.tls(None), "/v1/batches", Vec::new()).await;
    none.unwrap_err();
    let elsewhere = Collector::start().await;
    let foreign = elsewhere.enroll(&elsewhere.token("422011", 60).await).await.ok().unwrap();
    let key = KeyPair::generate().unwrap();
    let authority = Authority::load(&Paths::of(&elsewhere.dir)).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let issued = authority
        .certify(&csr, foreign.key.verifying_key().id(), (clock::now(), Duration::from_secs(60)))
        .unwrap();
    let tls = collector.tls(Some((issued.certificate_pem, key.serialize_pem())));
    post(collector.config.ingest, tls, "/v1/batches", Vec::new()).await.unwrap_err();
    elsewhere.end(0).await;

    // Failures of TLS are written with the next group; ending the collector writes what is left.
    let path = collector.config.store();
    let _files = collector.end(0).await;
    let store = Store::open_read_only(&path).await.unwrap();
    assert_eq!(status::read(&store, None).await.unwrap().counters.get("tls.failed"), Some(&2));
    let peers: Vec<(String, String, i64)> =
        db::query_as("SELECT peer, kind, count FROM rejections").fetch_all(store.reader()).await.unwrap();
    assert_eq!(peers, [("127.0.0.1".to_owned(), "tls".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_names_the_first_batch_that_is_not_good() {
    let collector = Collector::start().await;
    let agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    let one = agent.seal(1, Digest::ZERO, vec![finding("f", 1, "203.0.113.9", 1000, 1)]);
    let two = agent.seal(2, one.digest(), Vec::new());
    agent.send(&[one, two]).await.unwrap();
    let path = collector.config.store();
    let _files = collector.end(2).await;
    let id = agent.key.verifying_key().id();
    for (statement, expected) in [
        (
            "UPDATE chains SET through = 3",
            format!("agent {id} lane 0 epoch 1 batch 3: the end of the chain is missing"),
        ),
        (
            "UPDATE batches SET envelope = digest WHERE seq = 2",
            format!("agent {id} lane 0 epoch 1 batch 2: "),
        ),
        ("DELETE FROM batches WHERE seq = 1", format!("agent {id} lane 0 epoch 1 batch 2: ")),
    ] {
        let store = Store::open(&path).await.unwrap();
        db::query(statement).execute(store.writer()).await.unwrap();
        let bad = verify::store(&store).await.unwrap().bad.unwrap();
        assert!(bad.starts_with(&expected), "{statement}: {bad}");
        store.close().await;
    }
}
