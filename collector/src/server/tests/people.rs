//! Certificates of people over real TLS: who comes in with which, and for how long.

use super::*;
use crate::auth::certificate::{Issued, issue};
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::fleet::authority::make_ca_named;
use crate::store::account::AccountChange;
use crate::store::people::testing::root;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Collector {
    async fn person(&self, name: &str, life: Duration) -> Issued {
        let issued = issue(&Paths::of(&self.dir), name, (clock::now(), life)).unwrap();
        let store = self.store().await;
        store
            .add_account(&name.into(), Role::Monitor, &Scope::All, "no password", clock::now())
            .await
            .unwrap();
        assert!(store.put_person_certificate(&root(clock::now()), name, &issued).await.unwrap());
        issued
    }

    /// The console's TLS follows the new CA within seconds.
    async fn asks_for_certificates(&self, issued: &Issued) {
        for _ in 0..100 {
            if let Ok((200, _, page)) = self.ask("GET", "/login", Some(&issued.pem), "").await
                && page.contains("/login/certificate")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the console does not ask for certificates");
    }

    /// Status, cookie and body; an error if TLS ends.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        pem: Option<&str>,
        cookie: &str,
    ) -> anyhow::Result<(u16, String, String)> {
        let stream = TcpStream::connect(self.config.console).await?;
        let name = ServerName::try_from("127.0.0.1")?;
        let identity = pem.map(|pem| (pem.to_owned(), pem.to_owned()));
        let stream = tokio_rustls::TlsConnector::from(self.tls(identity)).connect(name, stream).await?;
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1{path}"))
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            // What is ours to say, said by a stranger.
            .header("sekimori-shown-certificate", "00".repeat(32))
            .body(Full::new(Bytes::from_static(b"next=%2Faccount")))?;
        let response = client.send_request(request).await?;
        let status = response.status().as_u16();
        let cookie = response.headers().get("set-cookie").map_or("", |value| value.to_str().unwrap());
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, cookie, String::from_utf8(body.to_vec())?))
    }

    async fn come(&self, pem: &str) -> Option<(u16, String)> {
        self.ask("POST", "/login/certificate", Some(pem), "")
            .await
            .ok()
            .map(|(status, cookie, _)| (status, cookie))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_comes_in_with_a_certificate_and_an_agent_does_not() {
    let collector = Collector::start().await;
    let store = collector.store().await;
    let agent_pem = {
        let agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
        // Before there is a CA for people the console asks for nothing, and what is offered counts for nothing.
        let (status, _, page) = collector.ask("GET", "/login", None, "").await.unwrap();
        assert!(status == 200 && !page.contains("/login/certificate"));
        agent
    };
    let good = collector.person("監視", YEAR).await;
    collector.asks_for_certificates(&good).await;

    let (status, cookie) = collector.come(&good.pem).await.unwrap();
    assert_eq!((status, cookie.is_empty()), (303, false));
    let account = async |pem: Option<&str>| {
        collector.ask("GET", "/account", pem, &cookie).await.map(|(status, ..)| status).unwrap()
    };
    assert_eq!(account(Some(&good.pem)).await, 200);
    // A stolen cookie is worth nothing without the key, and nothing with another's certificate.
    assert_eq!(account(None).await, 303);
    let other = collector.person("統制", YEAR).await;
    assert_eq!(account(Some(&other.pem)).await, 303);
    let (_, _, page) = collector.ask("GET", "/login", None, "").await.unwrap();
    assert!(!page.contains("/login/certificate"), "who shows none signs in as before");

    // One of our CA that we did not write down, one of another CA of the same name, an agent's.
    let unknown = issue(&Paths::of(&collector.dir), "監視", (clock::now(), YEAR)).unwrap();
    assert_eq!(collector.come(&unknown.pem).await.unwrap().0, 401);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("ca")).unwrap();
    let foreign = issue(&Paths::of(elsewhere.path()), "監視", (clock::now(), YEAR)).unwrap();
    assert_eq!(collector.come(&foreign.pem).await, None, "TLS refuses a foreign CA");
    let stream = TcpStream::connect(collector.config.console).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connected = tokio_rustls::TlsConnector::from(Arc::clone(&agent_pem.tls)).connect(name, stream).await;
    let refused = match connected {
        Err(_) => true,
        Ok(stream) => {
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let request =
                Request::post("https://127.0.0.1/login/certificate").body(Full::new(Bytes::new())).unwrap();
            client.send_request(request).await.map_or(true, |answer| answer.status() != 303)
        }
    };
    assert!(refused, "an agent is nobody at the console");
    // And a person is nobody at ingest.
    let person = collector.tls(Some((good.pem.clone(), good.pem.clone())));
    post(collector.config.ingest, person, "/v1/batches", Vec::new()).await.unwrap_err();

    // Revoked: with the next request, whatever the session or the connection.
    let serial = good.serial.as_str();
    assert!(store.revoke_person_certificate(&root(clock::now()), "監視", serial).await.unwrap());
    assert!(!store.revoke_person_certificate(&root(clock::now()), "監視", serial).await.unwrap());
    assert_eq!(account(Some(&good.pem)).await, 303);
    assert_eq!(collector.come(&good.pem).await.unwrap().0, 401);
    collector.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_ends_with_its_time_and_with_its_account() {
    let collector = Collector::start().await;
    let store = collector.store().await;
    let good = collector.person("control-1", YEAR).await;
    collector.asks_for_certificates(&good).await;
    let short = collector.person("control-2", Duration::from_secs(4)).await;
    let (status, cookie) = collector.come(&short.pem).await.unwrap();
    assert_eq!(status, 303);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(collector.come(&short.pem).await, None, "TLS refuses one that has ended");
    assert_eq!(collector.ask("GET", "/account", None, &cookie).await.unwrap().0, 303);

    let (_, cookie) = collector.come(&good.pem).await.unwrap();
    assert_eq!(collector.ask("GET", "/account", Some(&good.pem), &cookie).await.unwrap().0, 200);
    store.change_account("control-1", &AccountChange::Disable, clock::now()).await.unwrap();
    assert_eq!(collector.ask("GET", "/account", Some(&good.pem), &cookie).await.unwrap().0, 303);
    assert_eq!(collector.come(&good.pem).await.unwrap().0, 401);

    let record = store.sign_ins(None, 10).await.unwrap();
    let told: Vec<_> = record.iter().map(|line| (&*line.account, &*line.method, &*line.outcome)).collect();
    assert_eq!(told[0], ("control-1", "certificate", "refused"));
    assert!(told.contains(&("control-2", "certificate", "in")));
    assert!(store.verify_audit().await.unwrap().broken.is_none());
    collector.end(0).await;
}

#[test]
fn the_two_authorities_have_nothing_in_common() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("ca")).unwrap();
    let paths = Paths::of(dir.path());
    issue(&paths, "a", (clock::now(), YEAR)).unwrap();
    let first = std::fs::read(paths.people_ca()).unwrap();
    issue(&paths, "b", (clock::now(), YEAR)).unwrap();
    assert_eq!(std::fs::read(paths.people_ca()).unwrap(), first, "made once");
    assert!(!paths.ca().exists() && make_ca_named("x", clock::now()).is_ok());
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(paths.people_ca_key()).unwrap().mode() & 0o777, 0o600);
}
