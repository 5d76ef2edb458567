//! A receiver of our own: signatures, answers, TLS.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::notify::template::{Message, NoticeKind};

fn letter() -> Letter {
    Letter {
        key: "INC-422011-20261122-1/ack/1/50/monitor/0".to_owned(),
        kind: NoticeKind::Timer,
        incident: Some("INC-422011-20261122-1".to_owned()),
        level: 4,
        at: Timestamp::from_secs(1_764_000_000),
        message: Message { subject: "件名".to_owned(), body: "本文\n\"引用\"".to_owned() },
    }
}

fn hook(url: &str) -> Hook {
    Hook {
        name: "h".to_owned(),
        url: url.parse().unwrap(),
        tls: None,
        secret: Arc::from(*b"0123456789abcdef"),
    }
}

/// Takes one request and answers; gives back what came.
async fn receiver(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=1", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            got.extend_from_slice(&buffer[..n]);
            if n == 0 || got.ends_with(b"}") {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(got).unwrap()
    });
    (url, task)
}

/// The vector was computed with another program: `printf '1764000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
#[test]
fn the_signature_is_that_of_others() {
    let found = signature(b"0123456789abcdef", Timestamp::from_secs(1_764_000_000), b"{}");
    assert_eq!(found, "t=1764000000,v1=7d30677170eef90881d27d4ed43c2fbd6dc9b8344fa6abe28751fe26722a3342");
}

#[tokio::test]
async fn a_letter_is_signed_and_complete() {
    let (url, receiver) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let now = Timestamp::from_secs(1_764_000_100);
    send(&hook(&url), &letter(), now).await.unwrap();
    let got = receiver.await.unwrap();
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{head}");
    let expected = signature(b"0123456789abcdef", now, body.as_bytes());
    assert!(head.to_ascii_lowercase().contains(&format!("sekimori-signature: {expected}")), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json["incident"], "INC-422011-20261122-1");
    assert_eq!(json["text"], "本文\n\"引用\"");
    assert_eq!(json["kind"], "timer");
}

#[tokio::test]
async fn answers_decide_whether_it_is_tried_again() {
    for (answer, lasting) in [
        ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Some(false)),
        ("HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", Some(false)),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Some(true)),
        ("HTTP/1.1 302 There\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", Some(true)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nx", None),
        ("nonsense\r\n\r\n", Some(false)),
        ("", Some(false)),
    ] {
        let (url, receiver) = receiver(answer).await;
        let found = send(&hook(&url), &letter(), letter().at).await;
        assert_eq!(found.err().map(|failure| failure.lasting), lasting, "{answer:?}");
        receiver.await.unwrap();
    }
}

#[tokio::test]
async fn tls_is_checked() {
    use rcgen::{CertificateParams, KeyPair};
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let good = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let other = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    std::fs::write(dir.path().join("good.pem"), good.pem()).unwrap();
    std::fs::write(dir.path().join("other.pem"), other.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![good.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let serving = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut buffer = [0; 4096];
            drop(tokio::time::timeout(Duration::from_secs(5), tls.read(&mut buffer)).await);
            drop(tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
            drop(tls.flush().await);
        }
    });
    for (ca, arrives) in [("good.pem", true), ("other.pem", false)] {
        let mut hook = hook(&format!("https://localhost:{port}/"));
        hook.tls = Some(crate::notify::tls::client(Some(&dir.path().join(ca))).unwrap());
        assert_eq!(send(&hook, &letter(), letter().at).await.is_ok(), arrives, "{ca}");
    }
    serving.abort();
}
