//! Enrolment against a real TLS server in this process.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use sekimori_wire::enroll::{EnrollRefusal, EnrollRequest, EnrollResponse, Token};
use sekimori_wire::id::Digest;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::enroll::EnrollError;
use super::*;
use crate::line::Line;
use crate::tls;

/// A CA with what a collector makes of it.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: CertificateDer<'static>,
    ca_pem: String,
    pub(crate) collector: SigningKey,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (ca, ca_pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), ca, ca_pem, collector: SigningKey::generate().unwrap().0 }
    }

    pub(crate) fn identity(&self, ingest_urls: Vec<String>) -> Identity {
        let signing = SigningKey::generate().unwrap().0;
        let (certificate, tls_key) = self.issue("agent");
        Identity {
            name: "test".into(),
            body: "422011".parse().unwrap(),
            ingest_urls,
            signer: Arc::new(Signer::first(1, signing)),
            collector: vec![*self.collector.verifying_key()],
            certificates: vec![certificate],
            tls_key,
            ca: vec![self.ca.clone()],
            trust: String::new(),
            certified_at: crate::clock::now(),
            life: Duration::from_secs(3600),
            user_key: [0; 32],
        }
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    pub(crate) fn issue_pem(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A server at 127.0.0.1 that presents leaf and CA; with mutual TLS, it asks for certificates of `clients`.
    pub(crate) fn server_config(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue("127.0.0.1");
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
        let builder = match clients {
            Some(clients) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(clients.ca.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(vec![certificate, self.ca.clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// In place of a status: breaks the connection instead of answering.
pub(crate) const DROP: u16 = 0;

/// Serves until its runtime ends; `answer` gets path and body, and gives status and body.
pub(crate) async fn serve<F>(config: Arc<ServerConfig>, answer: F) -> String
where
    F: FnMut(String, Bytes) -> (u16, Vec<u8>) + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answer = Arc::new(Mutex::new(answer));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = Arc::clone(&answer);
                    async move {
                        let path = request.uri().path().to_owned();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let (status, body) = answer.lock().unwrap()(path, body);
                        if status == DROP {
                            return Err(std::io::Error::other("dropped"));
                        }
                        let response = Response::builder().status(status).body(Full::new(Bytes::from(body)));
                        Ok(response.unwrap())
                    }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(tls), service).await);
            });
        }
    });
    url
}

fn token(url: &str, authority: &Authority) -> Token {
    Token {
        enroll_url: url.to_owned(),
        ingest_urls: vec!["https://127.0.0.1:1".into()],
        ca_sha256: Digest::of(&authority.ca).to_string(),
        body: "422011".into(),
        secret: "once".into(),
        expires: u64::MAX,
    }
}

/// A collector that takes the secret `once` once.
async fn enrolling(authority: Arc<Authority>) -> String {
    let mut used = false;
    let config = authority.server_config(None);
    serve(config, move |path, body| {
        assert_eq!(path, "/v1/enroll");
        let request: EnrollRequest = serde_json::from_slice(&body).unwrap();
        if request.secret != "once" || std::mem::replace(&mut used, true) {
            let refusal = EnrollRefusal {
                error: "the token was used".into(),
                kind: String::new(),
                retry_after_seconds: 0,
            };
            return (403, serde_json::to_vec(&refusal).unwrap());
        }
        let key = verifying_key(&request.signing_key).unwrap();
        let possession = URL_SAFE_NO_PAD.decode(&request.possession).unwrap();
        let label = sekimori_wire::enroll::POSSESSION_LABEL;
        assert!(key.verifies_labelled(label, request.csr_pem.as_bytes(), &possession));
        let csr = CertificateSigningRequestParams::from_pem(&request.csr_pem).unwrap();
        let response = EnrollResponse {
            agent: key.id().to_string(),
            certificate_pem: csr.signed_by(&authority.issuer).unwrap().pem(),
            ca_pem: authority.ca_pem.clone(),
            collector_keys: Vec::new(),
            life_seconds: 0,
            trust: String::new(),
            collector_key: URL_SAFE_NO_PAD.encode(authority.collector.verifying_key().as_bytes()),
            body: "422011".into(),
            epoch: 3,
            ingest_urls: vec!["https://127.0.0.1:1".into()],
        };
        (200, serde_json::to_vec(&response).unwrap())
    })
    .await
}

#[tokio::test]
async fn a_token_makes_one_identity() {
    let authority = Arc::new(Authority::new());
    let url = enrolling(Arc::clone(&authority)).await;
    let state = tempfile::tempdir().unwrap();
    let text = token(&url, &authority).to_text();
    assert!(matches!(Identity::load(state.path()), Err(IdentityError::Missing { .. })));
    let enrolled = enroll(state.path(), &text, ("役場", false), &Line::direct()).await.unwrap();
    let loaded = Identity::load(state.path()).unwrap();
    assert_eq!((loaded.agent(), loaded.signer.epoch, loaded.name.as_str()), (enrolled.agent(), 3, "役場"));
    assert_eq!(loaded.ca, std::slice::from_ref(&authority.ca));

    for entry in fs::read_dir(folder(state.path())).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(folder(state.path())).unwrap().permissions().mode() & 0o777, 0o700);

    // Neither a second identity over the first, nor a second use of the token.
    assert!(matches!(
        enroll(state.path(), &text, ("x", false), &Line::direct()).await,
        Err(EnrollError::Exists { .. })
    ));
    assert_eq!(Identity::load(state.path()).unwrap().agent(), enrolled.agent());
    let other = tempfile::tempdir().unwrap();
    let refused = enroll(other.path(), &text, ("x", false), &Line::direct()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the collector refused the enrolment (403): the token was used");
    assert!(matches!(Identity::load(other.path()), Err(IdentityError::Missing { .. })));
}

#[tokio::test]
async fn a_secret_is_told_to_the_right_collector_only() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let url = serve(wrong.server_config(None), |_, _| panic!("the secret left")).await;
    let state = tempfile::tempdir().unwrap();
    let refused = enroll(state.path(), &token(&url, &right).to_text(), ("x", false), &Line::direct())
        .await
        .unwrap_err();
    assert!(matches!(refused, EnrollError::WrongFingerprint { .. }), "{refused:?}");

    // The right CA for another name.
    let url = url.replace("127.0.0.1", "localhost");
    let refused = enroll(state.path(), &token(&url, &wrong).to_text(), ("x", false), &Line::direct())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, EnrollError::Connection { cause: tls::ConnectionError::Tls { .. }, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_an_operator_can_mend_is_told_apart() {
    let authority = Authority::new();
    let state = tempfile::tempdir().unwrap();
    let nobody = token("https://127.0.0.1:1", &authority);
    let refused = enroll(state.path(), &nobody.to_text(), ("x", false), &Line::direct()).await.unwrap_err();
    assert!(matches!(refused, EnrollError::Connection { cause: tls::ConnectionError::Connect { .. }, .. }));
    let expired = Token { expires: 1, ..nobody }.to_text();
    assert!(matches!(
        enroll(state.path(), &expired, ("x", false), &Line::direct()).await,
        Err(EnrollError::Expired { .. })
    ));
    assert!(matches!(
        enroll(state.path(), "x", ("x", false), &Line::direct()).await,
        Err(EnrollError::Token(_))
    ));
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let authority = Arc::new(Authority::new());
    let url = enrolling(Arc::clone(&authority)).await;
    let state = tempfile::tempdir().unwrap();
    enroll(state.path(), &token(&url, &authority).to_text(), ("x", false), &Line::direct()).await.unwrap();
    let key = folder(state.path()).join(SIGNING_KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Identity::load(state.path()).unwrap_err();
    assert!(matches!(&refused, IdentityError::Exposed { path, mode: 0o640 } if *path == key), "{refused:?}");
}
