//! Against servers of the tests' own that misbehave; real ones are in `tests/it/watch.rs`.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::watch::target::{Dns, Http, Mail, MailProtocol, RecordType, Security, Server};

fn target(port: u16, probe: Probe) -> Target {
    Target {
        name: "t".to_owned(),
        server: Server::Web,
        host: "127.0.0.1".to_owned(),
        port,
        probe,
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(2),
        slow_after: None,
        depends_on: Vec::new(),
        maintenance: Vec::new(),
    }
}

fn page() -> Http {
    Http {
        authority: "localhost".to_owned(),
        path: "/".to_owned(),
        tls: None,
        status: 200,
        redirect: None,
        contains: Some("welcome".to_owned()),
        sha256: None,
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Asks a server that says this, again and again with this pause if there is one, until nobody reads any more.
fn asked(probe: Probe, says: Vec<u8>, again: Option<Duration>) -> (Outcome, Duration) {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(listener.local_addr().unwrap().port(), probe);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let says = says.clone();
                tokio::spawn(async move {
                    let mut room = [0; 4096];
                    let _asked = timeout(Duration::from_millis(50), stream.read(&mut room)).await;
                    while stream.write_all(&says).await.is_ok() {
                        match again {
                            Some(pause) => tokio::time::sleep(pause).await,
                            None => break,
                        }
                    }
                });
            }
        });
        let begun = Instant::now();
        (ask(&target).await, begun.elapsed())
    })
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Up(_) => "up",
        Outcome::Degraded(fault) | Outcome::Down(fault) => fault.kind.key(),
        Outcome::Unable(_) => "unable",
    }
}

#[test]
fn pages_of_hostile_servers_end_in_time_and_say_what_is_wrong() {
    let http = || Probe::Http(Box::new(page()));
    let head = "HTTP/1.1 200 OK\r\n";
    let none = None;
    let at_once = Some(Duration::ZERO);
    let mut binary = format!("{head}content-length: 4\r\n\r\n").into_bytes();
    binary.extend([0xff, 0, 0x80, 0xfe]);
    for (says, again, expect) in [
        (format!("{head}content-length: 7\r\n\r\nwelcome").into_bytes(), none, "up"),
        (format!("{head}content-length: 7\r\n\r\ndefaced").into_bytes(), none, "content"),
        (format!("{head}content-length: 9\r\n\r\nwelcome").into_bytes(), none, "broken"),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec(), none, "status"),
        (binary, none, "content"),
        (b"\x16\x03\x01\x00\xff not http at all\r\n\r\n".to_vec(), none, "broken"),
        (Vec::new(), none, "broken"),
        // Endless: a head, header lines, a body, chunks; then one byte at a time.
        (b"x".repeat(4096), at_once, "broken"),
        (format!("{head}a: b\r\n").into_bytes(), none, "broken"),
        (
            b"HTTP/1.1 200 OK\r\nx-long: ".iter().copied().chain(b"y".repeat(4096)).collect(),
            at_once,
            "broken",
        ),
        (format!("{head}\r\n{}", "z".repeat(65_536)).into_bytes(), at_once, "too_large"),
        (format!("{head}content-length: 99999999999\r\n\r\nzz").into_bytes(), at_once, "too_large"),
        (b"H".to_vec(), Some(Duration::from_millis(300)), "no_answer"),
    ] {
        let shown = String::from_utf8_lossy(&says).chars().take(60).collect::<String>();
        let (outcome, took) = asked(http(), says, again);
        assert_eq!(kind(&outcome), expect, "{shown:?}: {outcome:?}");
        assert!(took < Duration::from_secs(3), "{shown:?} took {took:?}");
    }
}

fn mail(protocol: MailProtocol) -> Probe {
    Probe::Mail(Box::new(Mail { protocol, security: Security::None }))
}

#[test]
fn mail_servers_and_directories_that_are_hostile_end_in_time() {
    let at_once = Some(Duration::ZERO);
    let kerberos = || Probe::Kerberos { realm: "CITY.LOCAL".to_owned() };
    let smtp = || mail(MailProtocol::Smtp);
    // Message 1: an entry without attributes, and the end of the search with its code.
    let found = |code: u8| {
        let mut says = vec![0x30, 0x09, 2, 1, 1, 0x64, 4, 4, 0, 0x30, 0];
        says.extend([0x30, 0x0c, 2, 1, 1, 0x65, 7, 0x0a, 1, code, 4, 0, 4, 0]);
        says
    };
    let says = |text: &str| text.as_bytes().to_vec();
    // `[6] error-code` within a KRB-ERROR.
    let error = |code: u8| vec![0, 0, 0, 9, 0x7e, 7, 0x30, 5, 0xa6, 3, 2, 1, code];
    for (probe, says, again, expect) in [
        (smtp(), says("220 relay ESMTP\r\n"), None, "up"),
        (smtp(), says("220-relay\r\n220 ESMTP\r\n"), None, "up"),
        (smtp(), says("554 go away\r\n"), None, "status"),
        (smtp(), says("220-more\r\n"), at_once, "too_large"),
        (smtp(), b"2".repeat(4096), at_once, "too_large"),
        (smtp(), vec![0xff, 0, 0x80, b'\n'], None, "status"),
        (smtp(), says("2"), Some(Duration::from_millis(300)), "no_answer"),
        (smtp(), Vec::new(), None, "broken"),
        (mail(MailProtocol::Pop3), says("+OK ready\r\n"), None, "up"),
        (mail(MailProtocol::Pop3), says("-ERR\r\n"), None, "status"),
        (mail(MailProtocol::Imap), says("* OK ready\r\n"), None, "up"),
        (mail(MailProtocol::Imap), says("* BYE\r\n"), None, "status"),
        (Probe::Ldap, found(0), None, "up"),
        (Probe::Ldap, found(1), None, "status"),
        (Probe::Ldap, found(0).split_off(11), None, "content"),
        (Probe::Ldap, vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff], None, "too_large"),
        (Probe::Ldap, vec![0x30, 0x80], None, "too_large"),
        (Probe::Ldap, found(0)[..11].to_vec(), at_once, "too_large"),
        (Probe::Ldap, says("HTTP/1.1 400 Bad\r\n"), None, "broken"),
        (Probe::Ldap, vec![0x30, 0x02, 0xff, 0xff], None, "broken"),
        (kerberos(), error(6), None, "up"),
        (kerberos(), error(68), None, "content"),
        (kerberos(), vec![0xff; 64], at_once, "too_large"),
        (kerberos(), vec![0, 0, 0, 2, 0x7e, 0], None, "broken"),
        (kerberos(), vec![0, 0, 0, 0], None, "broken"),
    ] {
        let shown = format!("{} {:?}", probe.key(), &says[..says.len().min(24)]);
        let (outcome, took) = asked(probe, says, again);
        assert_eq!(kind(&outcome), expect, "{shown}: {outcome:?}");
        assert!(took < Duration::from_secs(3), "{shown} took {took:?}");
    }
}

/// Asks a server over UDP that answers with this made of what it got.
fn asked_udp(probe: Probe, answers: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Outcome {
    run(async {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = target(socket.local_addr().unwrap().port(), probe);
        tokio::spawn(async move {
            let mut room = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut room).await {
                let _sent = socket.send_to(&answers(&room[..len]), from).await;
            }
        });
        ask(&target).await
    })
}

#[test]
fn a_time_server_has_to_be_synchronised_and_near() {
    let seconds = |shift: u64| u32::try_from(crate::clock::now().secs() + 2_208_988_800 + shift).unwrap();
    let answer = move |asked: &[u8], first: u8, stratum: u8, shift: u64| {
        let mut out = vec![0; 48];
        (out[0], out[1]) = (first, stratum);
        out[24..32].copy_from_slice(&asked[40..48]);
        out[40..44].copy_from_slice(&seconds(shift).to_be_bytes());
        out
    };
    let probe = || Probe::Ntp { max_offset: Duration::from_secs(2) };
    for (first, stratum, shift, expect) in [
        (0x24, 2, 0, "up"),
        (0x24, 16, 0, "status"),
        (0xe4, 2, 0, "status"),
        (0x23, 2, 0, "broken"),
        (0x24, 2, 60, "offset"),
    ] {
        let outcome = asked_udp(probe(), move |asked| answer(asked, first, stratum, shift));
        assert_eq!(kind(&outcome), expect, "{outcome:?}");
    }
    // An answer to nothing that was asked.
    assert_eq!(kind(&asked_udp(probe(), |_| vec![0x24; 48])), "no_answer");
    assert_eq!(kind(&asked_udp(probe(), |_| vec![0x24; 3])), "no_answer");
}

#[test]
fn a_name_server_that_answers_nonsense_is_told_apart_from_one_that_is_silent() {
    let probe = || {
        Probe::Dns(Box::new(Dns {
            query: "www.city.example.jp".to_owned(),
            record: RecordType::A,
            answer: std::collections::BTreeSet::new(),
            authenticated: false,
            signed: false,
        }))
    };
    assert_eq!(kind(&asked_udp(probe(), |asked| asked.to_vec())), "broken", "the question itself");
    let refused = |asked: &[u8]| {
        let mut out = asked.to_vec();
        (out[2], out[3]) = (0x80, 5);
        out
    };
    assert_eq!(kind(&asked_udp(probe(), refused)), "status");
    assert_eq!(kind(&asked_udp(probe(), |_| vec![0xff; 1500])), "no_answer", "another question's");
    let cut = |asked: &[u8]| {
        let mut out = asked.to_vec();
        out[2] = 0x82;
        out
    };
    assert_eq!(kind(&asked_udp(probe(), cut)), "refused", "it has no TCP");
}

#[test]
fn a_server_that_says_nothing_or_is_slow_is_not_waited_for() {
    let silent = run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(listener.local_addr().unwrap().port(), Probe::Http(Box::new(page())));
        let begun = Instant::now();
        let outcome = ask(&target).await;
        (outcome, begun.elapsed())
    });
    assert_eq!(kind(&silent.0), "no_answer");
    assert!(silent.1 < Duration::from_secs(3), "{:?}", silent.1);
    let slow = run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = target(listener.local_addr().unwrap().port(), Probe::Tcp);
        target.slow_after = Some(Duration::from_nanos(1));
        ask(&target).await
    });
    assert_eq!((kind(&slow), matches!(slow, Outcome::Degraded(_))), ("slow", true));
}

#[test]
fn a_closed_port_and_a_name_of_nothing_are_told_apart() {
    let port = run(async { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port() });
    assert_eq!(kind(&run(ask(&target(port, Probe::Tcp)))), "refused");
    let mut nameless = target(port, Probe::Tcp);
    nameless.host = "no-such-name.invalid".to_owned();
    let outcome = run(ask(&nameless));
    assert_eq!(kind(&outcome), "no_name", "{outcome:?}");
}

#[test]
fn a_hash_tells_that_a_page_has_changed() {
    let mut http = page();
    http.contains = None;
    http.sha256 = Some(sekimori_wire::id::Digest::of(b"welcome"));
    let says = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{body}").into_bytes();
    let (same, _) = asked(Probe::Http(Box::new(http)), says("welcome"), None);
    assert_eq!(kind(&same), "up", "{same:?}");
    let mut http = page();
    http.contains = None;
    http.sha256 = Some(sekimori_wire::id::Digest::of(b"welcome"));
    let (changed, _) = asked(Probe::Http(Box::new(http)), says("defaced"), None);
    assert_eq!(kind(&changed), "changed", "{changed:?}");
}

/// A certificate of an authority, for `localhost`, valid for so many days; and what trusts that authority.
fn tls(days: i64, name: &str) -> (Arc<rustls::ServerConfig>, crate::watch::target::Tls) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let digest = sekimori_wire::id::Digest::of(&key.serialize_der()).to_string();
    ca.distinguished_name.push(rcgen::DnType::CommonName, digest);
    let root = ca.self_signed(&key).unwrap();
    let own_key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    own.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(86_400) * u32::try_from(days.unsigned_abs()).unwrap();
    own.not_after = if days < 0 { (now - day).into() } else { (now + day + Duration::from_secs(60)).into() };
    let own = own.signed_by(&own_key, &Issuer::new(ca, key)).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(own_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    (Arc::new(server), crate::watch::target::Tls { config: Arc::new(client), name, days: 14 })
}

#[test]
fn certificates_that_ended_or_will_soon_or_are_of_others_are_told_apart() {
    let ask_tls = |server: Arc<rustls::ServerConfig>, tls| {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let probe = Probe::Http(Box::new(Http { tls: Some(tls), ..page() }));
            let target = target(listener.local_addr().unwrap().port(), probe);
            tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(server).accept(stream).await else {
                    return;
                };
                let mut room = [0; 4096];
                let _asked = stream.read(&mut room).await;
                let _said = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nwelcome").await;
                let _ended = stream.shutdown().await;
            });
            ask(&target).await
        })
    };
    for (days, name, expect, words) in [
        (90, "localhost", "up", ""),
        (13, "localhost", "certificate_soon", "13 days left"),
        (-1, "localhost", "certificate", "it has expired"),
        (90, "other.example", "certificate", "it is for another name"),
    ] {
        let (server, client) = tls(days, name);
        let outcome = ask_tls(server, client);
        assert_eq!(kind(&outcome), expect, "{outcome:?}");
        assert!(format!("{outcome:?}").contains(words), "{outcome:?}");
    }
    let ((server, _), (_, of_another)) = (tls(90, "localhost"), tls(90, "localhost"));
    let outcome = ask_tls(server, of_another);
    assert!(kind(&outcome) == "certificate" && format!("{outcome:?}").contains("nobody"), "{outcome:?}");
}
