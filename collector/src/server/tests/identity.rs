//! Renewal, other keys, re-enrolment: what the collector answers over real mutual TLS.

use crate::store::db;
use sekimori_wire::enroll::{EnrollRefusal, HELD};
use sekimori_wire::keyring::{SUCCESSOR_LABEL, voucher, voucher_of};
use sekimori_wire::renew::{RENEW_LABEL, RenewRequest, RenewResponse, Rotation};

use super::*;

fn csr() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap(), key)
}

fn rotation(agent: &Agent, by: &SigningKey, next: &SigningKey, from_epoch: u64) -> Rotation {
    let id = agent.key.verifying_key().id();
    let text = voucher_of(id, next.verifying_key(), from_epoch);
    Rotation {
        signing_key: URL_SAFE_NO_PAD.encode(next.verifying_key().as_bytes()),
        from_epoch,
        voucher: URL_SAFE_NO_PAD.encode(voucher(by, id, next.verifying_key(), from_epoch)),
        possession: URL_SAFE_NO_PAD.encode(next.sign_labelled(SUCCESSOR_LABEL, &text)),
    }
}

impl Agent {
    /// Asks for another certificate as `signer`; the kind of the refusal if there is one.
    async fn renew(
        &mut self,
        collector: &Collector,
        signer: &SigningKey,
        rotation: Option<Rotation>,
    ) -> Result<RenewResponse, String> {
        let (csr_pem, tls_key) = csr();
        let possession = URL_SAFE_NO_PAD.encode(signer.sign_labelled(RENEW_LABEL, csr_pem.as_bytes()));
        let body = serde_json::to_vec(&RenewRequest { csr_pem, possession, rotation }).unwrap();
        let (status, answer) = post(self.ingest, Arc::clone(&self.tls), "/v1/renew", body).await.unwrap();
        if status != 200 {
            return Err(serde_json::from_slice::<EnrollRefusal>(&answer).unwrap().kind);
        }
        let response: RenewResponse = serde_json::from_slice(&answer).unwrap();
        self.tls = collector.tls(Some((response.certificate_pem.clone(), tls_key.serialize_pem())));
        Ok(response)
    }

    fn seal_by(&self, key: &SigningKey, (epoch, seq): (u64, u64), prev: Digest) -> Envelope {
        let batch = Batch {
            agent: self.key.verifying_key().id(),
            lane: Lane::Urgent,
            epoch,
            seq,
            prev,
            sealed_at: clock::now(),
            mode: Mode::Live,
            version: "1".into(),
            records: Vec::new(),
            unknown_records: 0,
        };
        Envelope::seal(&batch, key).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_signs_from_its_epoch_on_and_what_the_one_before_signed_stays_good() {
    let collector = Collector::start().await;
    let mut agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    let first = SigningKey::from_pkcs8(&agent.pkcs8).unwrap();
    let (second, third, stranger) = (
        SigningKey::generate().unwrap().0,
        SigningKey::generate().unwrap().0,
        SigningKey::generate().unwrap().0,
    );
    let one = agent.seal(1, Digest::ZERO, Vec::new());
    agent.send(std::slice::from_ref(&one)).await.unwrap();

    // A renewal alone: only with the agent's own key.
    assert_eq!(agent.renew(&collector, &stranger, None).await, Err("renew.malformed".into()));
    let response = agent.renew(&collector, &first, None).await.unwrap();
    assert_eq!((response.life_seconds, response.collector_keys.len()), (7_776_000, 1));
    let two = agent.seal(2, one.digest(), Vec::new());
    agent.send(std::slice::from_ref(&two)).await.unwrap();

    // A key that nobody vouches for, one that vouches for itself, one for an epoch that has begun.
    for (rotation, kind) in [
        (rotation(&agent, &stranger, &second, 2), "renew.malformed"),
        (rotation(&agent, &second, &second, 2), "renew.malformed"),
        (Rotation { from_epoch: 3, ..rotation(&agent, &first, &second, 2) }, "renew.malformed"),
        (Rotation { possession: String::new(), ..rotation(&agent, &first, &second, 2) }, "renew.malformed"),
        (rotation(&agent, &first, &second, 1), "renew.epoch"),
    ] {
        assert_eq!(agent.renew(&collector, &first, Some(rotation)).await, Err(kind.into()));
    }
    let to_second = rotation(&agent, &first, &second, 5);
    agent.renew(&collector, &first, Some(to_second.clone())).await.unwrap();
    // The answer was lost: asked for again as before, and for a later epoch.
    agent.renew(&collector, &first, Some(to_second)).await.unwrap();
    let later = rotation(&agent, &first, &second, 6);
    agent.renew(&collector, &first, Some(later)).await.unwrap();

    // The old key still ends its own epoch, and begins no other.
    let three = agent.seal(3, two.digest(), Vec::new());
    agent.send(std::slice::from_ref(&three)).await.unwrap();
    let stolen = agent.seal_by(&first, (6, 1), Digest::ZERO);
    assert_eq!(agent.send(&[stolen]).await, Err(RefusalKind::WrongKey));
    let early = agent.seal_by(&second, (5, 1), Digest::ZERO);
    assert_eq!(agent.send(&[early]).await, Err(RefusalKind::WrongKey));
    let four = agent.seal_by(&second, (6, 1), Digest::ZERO);
    assert_eq!(agent.send(std::slice::from_ref(&four)).await.unwrap().epoch, 6);
    assert_eq!(agent.send(std::slice::from_ref(&one)).await.unwrap().through, 3, "acknowledged again");

    // Whoever has the first key alone can do nothing more with it.
    assert_eq!(agent.renew(&collector, &first, None).await, Err("renew.malformed".into()));
    let by_first = rotation(&agent, &first, &third, 9);
    assert_eq!(agent.renew(&collector, &first, Some(by_first)).await, Err("renew.malformed".into()));
    agent.renew(&collector, &second, None).await.unwrap();

    // A revocation acts on renewals too.
    let id = agent.key.verifying_key().id();
    assert!(fleet::revoke(&collector.store().await, id).await.unwrap());
    assert_eq!(agent.renew(&collector, &second, None).await, Err("renew.not_enrolled".into()));
    let path = collector.config.store();
    let _files = collector.end(4).await;

    // A voucher that is not good makes a key worthless, whatever the store says.
    let store = Store::open(&path).await.unwrap();
    db::query("UPDATE agent_keys SET from_epoch = 4").execute(store.writer()).await.unwrap();
    let bad = verify::store(&store).await.unwrap().bad.unwrap();
    assert!(bad.starts_with(&format!("agent {id} lane 0 epoch 6 batch 1: ")), "{bad}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_acts_on_connections_that_are_open() {
    let collector = Collector::start().await;
    let agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    let stream = TcpStream::connect(agent.ingest).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream =
        tokio_rustls::TlsConnector::from(Arc::clone(&agent.tls)).connect(name, stream).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut statuses = Vec::new();
    for revoke in [true, false] {
        let request = Request::post("https://127.0.0.1/v1/batches")
            .header("sekimori-trust", "what it goes by")
            .body(Full::new(Bytes::from(encode_submission(&[]))))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.headers()["sekimori-trust"].len(), 16);
        statuses.push(response.status().as_u16());
        if revoke {
            let id = agent.key.verifying_key().id();
            assert!(fleet::revoke(&collector.store().await, id).await.unwrap());
        }
    }
    assert_eq!(statuses, [200, 403]);
    let said: String = db::query_scalar("SELECT trust FROM agents")
        .fetch_one(collector.store().await.reader())
        .await
        .unwrap();
    assert_eq!(said, "what it goes by");
    collector.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_key_comes_back_only_when_an_operator_has_confirmed_it() {
    let collector = Collector::start().await;
    let agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    let id = agent.key.verifying_key().id();
    // It never delivered: its enrolment was cut short, and nothing is at stake.
    assert_eq!(
        collector.enroll_with(&collector.token("422011", 60).await, &agent.pkcs8).await.unwrap().epoch,
        1
    );
    agent.send(&[agent.seal(1, Digest::ZERO, Vec::new())]).await.unwrap();

    let token = collector.token("422011", 60).await;
    for _ in 0..2 {
        let refusal = collector.enroll_with(&token, &agent.pkcs8).await.err().unwrap();
        assert_eq!((refusal.kind.as_str(), refusal.retry_after_seconds), (HELD, 10));
        assert!(refusal.error.contains(&format!("agent confirm {id}")) && refusal.error.len() < 256);
    }
    let store = collector.store().await;
    assert_eq!(fleet::admission::held(&store).await.unwrap().len(), 1);
    // Another key with the same token does not inherit the confirmation, nor uses it up.
    assert!(fleet::admission::confirm(&store, id).await.unwrap());
    assert!(!fleet::admission::confirm(&store, id).await.unwrap());
    assert_eq!(collector.enroll_with(&token, &agent.pkcs8).await.unwrap().epoch, 2);
    assert!(collector.enroll_with(&token, &agent.pkcs8).await.is_err_and(|it| it.kind == "enroll.token"));
    assert!(fleet::admission::held(&store).await.unwrap().is_empty());

    // In another body, or after a revocation: never.
    let elsewhere = collector.token("422029", 60).await;
    assert!(collector.enroll_with(&elsewhere, &agent.pkcs8).await.is_err_and(|it| it.kind == "enroll.taken"));
    assert!(fleet::revoke(&store, id).await.unwrap());
    let token = collector.token("422011", 60).await;
    assert!(collector.enroll_with(&token, &agent.pkcs8).await.is_err_and(|it| it.kind == "enroll.taken"));
    // Who was turned away is written with the next group.
    let mut held = None;
    for _ in 0..40 {
        held = collector.status().await.counters.get("refused.enroll.held").copied();
        if held == Some(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(held, Some(2));
    collector.end(1).await;
}
