//! Attacks on the ingest listener, with and without a good certificate: each is refused for its own reason and counted,
//! nothing of it is stored, and the others are served meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sekimori_wire::ack::{Ack, Answer, RefusalKind, encode_submission};
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{BATCH_TYPE, Envelope, SigningKey};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::time::Timestamp;

use crate::support::{Agent, Collector, run_ok, wait_for};

const SOON: Duration = Duration::from_secs(10);
/// What the tests set: short, so that waiting for the end of patience does not take long.
const LIMITS: [(&str, &str); 4] = [
    ("connections_per_address = 1024", "connections_per_address = 48"),
    ("handshake_seconds = 10", "handshake_seconds = 2"),
    ("body_seconds = 30", "body_seconds = 2"),
    ("idle_seconds = 120", "idle_seconds = 3"),
];

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A collector with short patience, and an honest agent that delivers all the time.
struct Range {
    collector: Collector,
    honest: Option<JoinHandle<Honest>>,
    stop: Arc<AtomicBool>,
}

/// What became of the honest agent's batches.
#[derive(Default)]
struct Honest {
    delivered: u64,
    slowest: Duration,
}

impl Range {
    fn start(extra: (&str, &str)) -> Self {
        let mut collector = Collector::start();
        collector.kill_hard();
        let path = collector.config();
        let mut text = std::fs::read_to_string(&path).expect("the configuration");
        for (from, to) in LIMITS.into_iter().chain([extra]) {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).expect("the configuration is ours");
        collector.run();
        let stop = Arc::new(AtomicBool::new(false));
        let mut range = Self { collector, honest: None, stop };
        let honest = Attacker::of(&range.collector, &range.collector.enrol("422011", "honest"));
        let stop = Arc::clone(&range.stop);
        range.honest = Some(std::thread::spawn(move || honest.deliver_until(&stop)));
        range
    }

    /// Counted under this name within a moment, more often than before.
    fn counted(&self, name: &str, attack: impl FnOnce()) {
        let before = self.collector.counter(name);
        attack();
        wait_for(&format!("{name} is counted"), SOON, || {
            (self.collector.counter(name) > before).then_some(())
        });
    }

    /// Refused with this kind, and counted under it.
    fn refused(&self, kind: RefusalKind, attack: impl FnOnce() -> Option<RefusalKind>) {
        self.counted(&format!("refused.{kind}"), || assert_eq!(attack(), Some(kind)));
    }

    /// Ends the honest agent: everything that it delivered is stored, nothing took long, and nothing else is there.
    fn finish(mut self, stored_besides: u64) {
        wait_for("the honest agent is served", SOON, || {
            (self.collector.counter("batches_stored") > stored_besides + 5).then_some(())
        });
        self.stop.store(true, Ordering::Relaxed);
        let honest = self.honest.take().expect("it runs").join().expect("the honest agent was served");
        assert!(honest.slowest < Duration::from_secs(5), "one batch took {:?}", honest.slowest);
        assert_eq!(self.collector.counter("batches_stored"), honest.delivered + stored_besides);
        self.collector.assert_verifies();
    }
}

/// Somebody with keys of his own choice.
struct Attacker {
    address: std::net::SocketAddr,
    ca: CertificateDer<'static>,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    key: SigningKey,
}

impl Attacker {
    /// With everything that an enrolled agent has.
    fn of(collector: &Collector, agent: &Agent) -> Self {
        let read = |name| std::fs::read(agent.identity(name)).expect("the identity");
        let chain = CertificateDer::pem_file_iter(agent.identity("certificate.pem")).expect("a file");
        let chain = chain.map(|one| one.expect("PEM")).collect();
        let tls_key = PrivateKeyDer::from_pem_file(agent.identity("tls-key.pem")).expect("a key");
        Self {
            address: collector.ingest,
            ca: CertificateDer::from_pem_file(agent.identity("ca.pem")).expect("the CA"),
            certificate: Some((chain, tls_key)),
            key: SigningKey::from_pkcs8(&read("signing-key.p8")).expect("an Ed25519 key"),
        }
    }

    /// With a certificate that the collector's own CA signs for whatever is asked.
    fn certified(collector: &Collector, ask: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = collector.folder.path().join("collector/ca");
        let ca_pem = std::fs::read_to_string(folder.join("ca.pem")).expect("the CA");
        let ca_key = std::fs::read_to_string(folder.join("ca.key.pem")).expect("the CA's key");
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&ca_key).expect("a key"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "attacker");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        ask(&mut params);
        let certificate = params.signed_by(&key, &issuer.expect("a CA")).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Self {
            address: collector.ingest,
            ca: CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("the CA"),
            certificate: Some((vec![certificate.der().clone()], key)),
            key: SigningKey::generate().expect("randomness").0,
        }
    }

    fn id(&self) -> AgentId {
        self.key.verifying_key().id()
    }

    fn config(&self, alpn: &[&[u8]], classical: bool) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("a CA certificate");
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if classical {
            provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let mut config = match &self.certificate {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).expect("a certificate")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    fn connect(&self, config: ClientConfig) -> std::io::Result<Tls> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(SOON))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    fn open(&self) -> Tls {
        self.connect(self.config(&[b"http/1.1"], false)).expect("the handshake")
    }

    /// In TLS 1.3 a refused client learns it only when it reads.
    fn is_shut_out(&self, config: ClientConfig) {
        let refused = self.connect(config).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            stream.read_exact(&mut [0])
        });
        let refused = refused.expect_err("let in").to_string();
        assert!(refused.to_lowercase().contains("alert"), "{refused}");
    }

    fn batch(&self, seq: u64, prev: Digest) -> Batch {
        Batch {
            agent: self.id(),
            lane: Lane::Urgent,
            epoch: 1,
            seq,
            prev,
            sealed_at: Timestamp::from_secs(1_800_000_000),
            mode: Mode::Live,
            version: "attack".into(),
            records: Vec::new(),
            unknown_records: 0,
        }
    }

    fn seal(&self, batch: &Batch) -> Envelope {
        Envelope::seal(batch, &self.key).expect("a small batch")
    }

    /// Posts bytes and reads the answer.
    fn post(&self, body: &[u8]) -> Option<Answer> {
        let mut stream = self.open();
        let head = format!(
            "POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the head");
        // The collector may answer and close before it has read all of it.
        drop(stream.write_all(body));
        answer(stream)
    }

    fn refusal(&self, body: &[u8]) -> Option<RefusalKind> {
        match self.post(body)? {
            Answer::Refused(refusal) => Some(refusal.kind),
            Answer::Ack(_) => None,
        }
    }

    fn sends(&self, envelopes: &[Envelope]) -> Option<RefusalKind> {
        self.refusal(&encode_submission(envelopes))
    }

    fn ack(&self, collector_key: &SigningKey, envelopes: &[Envelope]) -> Ack {
        match self.post(&encode_submission(envelopes)) {
            Some(Answer::Ack(ack)) => {
                ack.verify_ack(collector_key.verifying_key()).expect("signed by the collector").into_inner()
            }
            Some(Answer::Refused(refusal)) => panic!("{refusal}"),
            None => panic!("no answer"),
        }
    }

    /// Delivers one batch after the other.
    fn deliver_until(&self, stop: &AtomicBool) -> Honest {
        let mut honest = Honest::default();
        let mut before = Digest::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let batch = self.seal(&self.batch(honest.delivered + 1, before));
            let began = Instant::now();
            let answer = self.post(&encode_submission(std::slice::from_ref(&batch)));
            assert!(matches!(answer, Some(Answer::Ack(_))), "batch {}: {answer:?}", honest.delivered + 1);
            honest.slowest = honest.slowest.max(began.elapsed());
            honest.delivered += 1;
            before = batch.digest();
            std::thread::sleep(Duration::from_millis(150));
        }
        honest
    }
}

/// The body of a response to a request that closes the connection.
fn answer(mut stream: Tls) -> Option<Answer> {
    let mut response = Vec::new();
    // Whether the end of TLS was said properly does not matter here.
    drop(stream.read_to_end(&mut response));
    let body = response.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    Answer::from_bytes(&response[body..]).ok()
}

/// The certificate of an agent that nobody enrolled, unless the test changes it.
fn names_agent(id: &str) -> SanType {
    SanType::URI(format!("urn:sekimori:agent:{id}").try_into().expect("ASCII"))
}

#[test]
fn who_is_not_ours_gets_a_tls_alert() {
    let range = Range::start(("", ""));
    let agent = range.collector.enrol("422029", "true");
    let good = Attacker::of(&range.collector, &agent);
    let group = good.open().conn.negotiated_key_exchange_group().expect("after the handshake").name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768, "who is ours gets the hybrid key exchange");
    let h1: &[&[u8]] = &[b"http/1.1"];
    let tls = |attack: &dyn Fn()| range.counted("tls.failed", attack);

    // 1: no certificate at all.
    tls(&|| {
        let nobody = Attacker { certificate: None, ..Attacker::of(&range.collector, &agent) };
        nobody.is_shut_out(nobody.config(h1, false));
    });
    // 2: another CA's certificate, with the agent's own name in it.
    tls(&|| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = vec![names_agent(&good.id().to_string())];
        let certificate = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let foreign = Attacker {
            certificate: Some((vec![certificate.der().clone()], key)),
            ..Attacker::of(&range.collector, &agent)
        };
        foreign.is_shut_out(foreign.config(h1, false));
    });
    // 3: expired. 4: not valid yet. 5: a certificate for servers.
    for ask in [
        (|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)) as fn(&mut CertificateParams),
        |params| params.not_before = rcgen::date_time_ymd(2100, 1, 1),
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    ] {
        tls(&|| {
            let wrong = Attacker::certified(&range.collector, |params| {
                params.not_before = rcgen::date_time_ymd(2019, 1, 1);
                params.subject_alt_names = vec![names_agent(&good.id().to_string())];
                ask(params);
            });
            wrong.is_shut_out(wrong.config(h1, false));
        });
    }
    // 6: signed by an agent, which is no CA.
    tls(&|| {
        let pem = |name| std::fs::read_to_string(agent.identity(name)).expect("the identity");
        let issuer_key = KeyPair::from_pem(&pem("tls-key.pem")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&pem("certificate.pem"), issuer_key).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = vec![names_agent(&good.id().to_string())];
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let mut chain = vec![certificate.der().clone()];
        chain.extend(good.certificate.as_ref().expect("a certificate").0.clone());
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let child = Attacker { certificate: Some((chain, key)), ..Attacker::of(&range.collector, &agent) };
        child.is_shut_out(child.config(h1, false));
    });
    // 7: rubbish in place of TLS. 8: HTTP without TLS. 9: a handshake that never goes on.
    tls(&|| raw(&range.collector, &[0xff; 600]));
    tls(&|| raw(&range.collector, b"POST /v1/batches HTTP/1.1\r\nhost: x\r\n\r\n"));
    tls(&|| raw(&range.collector, b"\x16\x03\x01"));
    // 10: TLS 1.2.
    tls(&|| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--tls-max", "1.2", "--max-time", "10", "--cacert"]);
        curl.arg(agent.identity("ca.pem")).arg(format!("https://{}/", range.collector.ingest));
        assert_eq!(curl.output().expect("curl starts").status.code(), Some(35), "a TLS failure");
    });
    range.finish(0);
}

/// Sends bytes without TLS and waits until the other side gives up.
fn raw(collector: &Collector, bytes: &[u8]) {
    let mut stream = TcpStream::connect(collector.ingest).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    drop(stream.write_all(bytes));
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
}

#[test]
fn where_the_hybrid_is_required_a_downgrade_is_an_alert() {
    let range = Range::start(("require_post_quantum = false", "require_post_quantum = true"));
    let agent = Attacker::of(&range.collector, &range.collector.enrol("422029", "classical"));
    // 11: a key exchange without its post-quantum half.
    range.counted("tls.failed", || agent.is_shut_out(agent.config(&[b"http/1.1"], true)));
    range.finish(0);
}

#[test]
fn what_is_forged_is_refused_by_name() {
    let range = Range::start(("", ""));
    let first = range.collector.enrol("422029", "first");
    let (agent, other) = (
        Attacker::of(&range.collector, &first),
        Attacker::of(&range.collector, &range.collector.enrol("422045", "second")),
    );
    let key = std::fs::read(range.collector.folder.path().join("collector/keys/ack.pk8")).expect("a key");
    let key = SigningKey::from_pkcs8(&key).expect("an Ed25519 key");
    let one = agent.seal(&agent.batch(1, Digest::ZERO));
    let two = agent.seal(&agent.batch(2, one.digest()));

    // 12: reordered; it is asked for again, and nothing is stored.
    assert_eq!(agent.ack(&key, std::slice::from_ref(&two)).through, 0);
    assert_eq!(agent.ack(&key, std::slice::from_ref(&one)).through, 1);
    // 13: resent; acknowledged again, stored once.
    range.counted("batches_repeated", || {
        assert_eq!(agent.ack(&key, std::slice::from_ref(&one)).through, 1);
    });
    // 14: resent by another agent. 15: signed by this agent in another's name. 16: another's name on our envelope.
    range.refused(RefusalKind::WrongKey, || other.sends(std::slice::from_ref(&one)));
    range.refused(RefusalKind::WrongKey, || {
        agent.sends(&[agent.seal(&Batch { agent: other.id(), ..agent.batch(2, one.digest()) })])
    });
    range.refused(RefusalKind::WrongKey, || {
        let body = encode_submission(std::slice::from_ref(&two));
        let (own, theirs) = (agent.id(), other.id());
        let at = body.windows(32).position(|window| window == own.as_bytes()).expect("the signer");
        let mut body = body;
        body[at..at + 32].copy_from_slice(theirs.as_bytes());
        agent.refusal(&body)
    });
    // 17: one changed byte. 18: truncated. 19: rubbish. 20: an acknowledgement in place of a batch.
    range.refused(RefusalKind::WrongKey, || {
        let mut body = encode_submission(std::slice::from_ref(&two));
        let at = body.len() - 8;
        body[at] ^= 1;
        agent.refusal(&body)
    });
    range.refused(RefusalKind::Malformed, || {
        let body = encode_submission(std::slice::from_ref(&two));
        agent.refusal(&body[..body.len() - 9])
    });
    range.refused(RefusalKind::Malformed, || agent.refusal(&[0xff; 64]));
    range.refused(RefusalKind::Malformed, || {
        let through = Ack {
            agent: agent.id(),
            lane: Lane::Urgent,
            epoch: 1,
            through: 9,
            head: Digest::ZERO,
            at: Timestamp::ZERO,
            policy_version: 0,
        };
        agent.sends(&[Envelope::seal_ack(&through, &agent.key)])
    });
    // 21: a fork. 22: another past. 23: a chain that was given up (a state folder set back). 24: epoch 0.
    range.refused(RefusalKind::Forked, || {
        agent.sends(&[agent.seal(&Batch { version: "fork".into(), ..agent.batch(1, Digest::ZERO) })])
    });
    range.refused(RefusalKind::Forked, || agent.sends(&[agent.seal(&agent.batch(2, Digest::of(b"past")))]));
    let newer = agent.seal(&Batch { epoch: 2, ..agent.batch(1, Digest::ZERO) });
    assert_eq!(agent.ack(&key, &[newer]).epoch, 2);
    range.refused(RefusalKind::Forked, || agent.sends(std::slice::from_ref(&two)));
    range.refused(RefusalKind::Malformed, || {
        agent.sends(&[agent.seal(&Batch { epoch: 0, ..agent.batch(1, Digest::ZERO) })])
    });
    strangers_are_refused(&range);
    // 27: revoked, on its next request.
    run_ok(range.collector.cli(&["agent", "revoke"]).arg(other.id().to_string()));
    range.refused(RefusalKind::NotEnrolled, || other.sends(&[other.seal(&other.batch(1, Digest::ZERO))]));
    assert!(!range.collector.incidents("sensor_silent", SOON).is_empty(), "another history is an incident");
    range.finish(2);
}

fn strangers_are_refused(range: &Range) {
    // 25: a certificate of our CA for an agent that nobody enrolled. 26: one that names no agent.
    let stranger = SigningKey::generate().expect("randomness").0;
    let name = names_agent(&stranger.verifying_key().id().to_string());
    let stranger = Attacker {
        key: stranger,
        ..Attacker::certified(&range.collector, |params| params.subject_alt_names = vec![name])
    };
    range.refused(RefusalKind::NotEnrolled, || {
        stranger.sends(&[stranger.seal(&stranger.batch(1, Digest::ZERO))])
    });
    let nameless = Attacker::certified(&range.collector, |_params| {});
    range.counted("refused.no_agent", || assert!(nameless.post(b"").is_none(), "no answer of ours"));
}

#[test]
fn what_is_too_much_too_slow_or_no_http_is_cut_off() {
    let range = Range::start(("", ""));
    let agent = Attacker::of(&range.collector, &range.collector.enrol("422029", "greedy"));

    // 28: more than a submission may be. 29: a small payload that expands without end. 30: more envelopes than allowed.
    range.refused(RefusalKind::TooLarge, || agent.refusal(&vec![0; 5 << 20]));
    range.refused(RefusalKind::TooLarge, || agent.refusal(&bomb(&agent.key)));
    range.refused(RefusalKind::TooLarge, || {
        let one = agent.seal(&agent.batch(1, Digest::ZERO));
        agent.sends(&vec![one; 65])
    });
    // 31: a body that never comes. 32: one that trickles.
    let head = b"POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n";
    range.refused(RefusalKind::Malformed, || {
        let mut stream = agent.open();
        stream.write_all(head).expect("the head");
        refusal_of(stream)
    });
    range.refused(RefusalKind::Malformed, || {
        let mut stream = agent.open();
        stream.write_all(head).expect("the head");
        // Less than the patience: what is sent to who has closed already would cost the answer.
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(300));
            drop(stream.write_all(b"x"));
        }
        refusal_of(stream)
    });
    // 33: a head that trickles (slow loris). 34: a connection that says nothing. 35: no HTTP. 36: a head without end.
    range.counted("refused.http", || {
        let mut stream = agent.open();
        for byte in b"POST /v1/batches HT" {
            std::thread::sleep(Duration::from_millis(300));
            if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
                break;
            }
        }
        drop(answer(stream));
    });
    range.counted("refused.http", || {
        let mut stream = agent.open();
        stream.write_all(b"\x00\x01\x02 rubbish\r\n\r\n").expect("sent");
        assert!(answer(stream).is_none());
    });
    range.counted("refused.http", || {
        let mut stream = agent.open();
        drop(stream.write_all(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000)).as_bytes()));
        assert!(answer(stream).is_none());
    });
    let idle = Instant::now();
    assert!(answer(agent.open()).is_none(), "a connection that says nothing is closed");
    assert!(idle.elapsed() < SOON, "{:?}", idle.elapsed());
    // 37: what is not there. 38: another method.
    for request in ["POST /v1/admin", "DELETE /v1/batches"] {
        range.counted("refused.http", || {
            let mut stream = agent.open();
            let head =
                format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            assert!(answer(stream).is_none());
        });
    }
    // 39: streams opened and reset as fast as they can be (CVE-2023-44487).
    range.counted("refused.http", || rapid_reset(&agent));
    // 40: more requests than an agent may make.
    range.refused(RefusalKind::Busy, || (0..400).find_map(|_| agent.refusal(&encode_submission(&[]))));
    // 41: more connections than an address may have; they time out, and the place is free again.
    range.counted("refused.connections", || {
        // From an address of their own: who shares it shares the fate.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut held = Vec::new();
            for _ in 0..64 {
                let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
                socket.bind("127.0.0.2:0".parse().expect("an address")).expect("a local address");
                held.push(socket.connect(range.collector.ingest).await.expect("it listens"));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
    });
    range.finish(0);
}

fn refusal_of(stream: Tls) -> Option<RefusalKind> {
    match answer(stream)? {
        Answer::Refused(refusal) => Some(refusal.kind),
        Answer::Ack(_) => None,
    }
}

/// A submission of one well-signed payload of 40 KB that expands to more than a gigabyte.
fn bomb(key: &SigningKey) -> Vec<u8> {
    // A zstd frame of one run-length block after another: 128 KiB of zeros each, in four bytes (RFC 8878, 3.1.1.2).
    let mut payload = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 0..10_000_u32 {
        let last = u32::from(block == 9_999);
        payload.extend_from_slice(&((131_072 << 3) | (1 << 1) | last).to_le_bytes()[..3]);
        payload.push(0);
    }
    let signature = key.sign_labelled(BATCH_TYPE, &payload);
    let field = |number: u8, bytes: &[u8]| {
        // Protobuf: a field of a length and so many bytes.
        let mut out = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(u8::try_from(len & 0x7f).expect("seven bits") | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).expect("seven bits"));
        [out.as_slice(), bytes].concat()
    };
    let signer = key.verifying_key().id();
    let fields = [BATCH_TYPE.as_bytes(), &payload, signer.as_bytes(), &signature];
    let envelope: Vec<u8> = (1..).zip(fields).flat_map(|(number, bytes)| field(number, bytes)).collect();
    field(1, &envelope)
}

/// Opens streams and resets each at once.
fn rapid_reset(agent: &Attacker) {
    let mut stream = agent.connect(agent.config(&[b"h2"], false)).expect("the handshake");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface");
    stream.write_all(&frame(4, 0, 0, &[])).expect("settings");
    // :method POST, :scheme https, :path /, :authority x (RFC 7541, literals without indexing where needed).
    let head = [0x83, 0x87, 0x84, 0x41, 0x01, b'x'];
    for number in 0..5_000_u32 {
        let id = 2 * number + 1;
        let mut bytes = frame(1, 4, id, &head);
        bytes.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest));
}

/// An HTTP/2 frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
