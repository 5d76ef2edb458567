//! Against a real server: aiosmtpd, from Debian's `python3-aiosmtpd`, with a certificate made here.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::i18n::Lang;
use crate::notify::Letter;
use crate::notify::settings::{Address, Settings};
use crate::notify::template::{Field, Message, NOTICES, NoticeKind, Templates, Values};
use crate::timing::data::Text;

/// A mail server that ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn certificates(dir: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), server.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
    let stranger =
        CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap()).unwrap();
    std::fs::write(dir.join("stranger.pem"), stranger.pem()).unwrap();
}

async fn server(dir: &Path, tls: bool) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("aiosmtpd");
    command.args(["-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Mailbox"]);
    if tls {
        command.arg("--tlscert").arg(dir.join("server.pem")).arg("--tlskey").arg(dir.join("server.key"));
    }
    command.arg(dir.join("mailbox")).stdin(Stdio::null());
    // A private Python may stand before the system's, which has the package.
    command.env("PATH", "/usr/bin:/bin");
    let process = command.spawn().expect("aiosmtpd is there: apt install python3-aiosmtpd");
    let server = Server { process, port };
    for _ in 0..300 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("aiosmtpd did not listen within 30 s");
}

fn settings(dir: &Path, port: u16, more: &str) -> Settings {
    let text = format!(
        "[mail]\nserver = \"localhost\"\nport = {port}\nfrom = \"関守 <sekimori@example.jp>\"\n{more}"
    );
    Settings::parse(&Text { file: "notify.toml".to_owned(), text }, dir).unwrap()
}

fn letter() -> Letter {
    let values = Values::default()
        .with(Field::Incident, "INC-422011-20261122-1")
        .with(Field::Subject, "203.0.113.7\r\nBcc: all@example.jp");
    let templates = Templates::parse(&Text { file: "n".to_owned(), text: NOTICES.to_owned() }).unwrap();
    Letter {
        key: "INC-422011-20261122-1/ack/1/50/monitor/0".to_owned(),
        kind: NoticeKind::Opened,
        incident: Some("INC-422011-20261122-1".to_owned()),
        level: 3,
        at: "2026-11-22T12:00:00Z".parse().unwrap(),
        message: templates.fill(NoticeKind::Opened, Lang::Ja, &values, true),
    }
}

/// What the server keeps, as a program that reads mail sees it.
fn kept(dir: &Path) -> Vec<serde_json::Value> {
    let script = "import email, email.policy, glob, json, sys\n\
        for name in sorted(glob.glob(sys.argv[1] + '/new/*')):\n \
        m = email.message_from_binary_file(open(name, 'rb'), policy=email.policy.default)\n \
        print(json.dumps(dict(headers={k.lower(): str(v) for k, v in m.items()}, text=m.get_content())))";
    let out =
        Command::new("/usr/bin/python3").args(["-c", script]).arg(dir.join("mailbox")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_over_starttls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let server = server(dir.path(), true).await;
    let trusted = settings(dir.path(), server.port, "ca_file = \"ca.pem\"\n");
    let to = Address::Mail("当番 <monitor@example.jp>".to_owned());
    let now = letter().at;
    crate::notify::send(&trusted, &to, &letter(), now).await.unwrap();
    crate::notify::send(&trusted, &to, &letter(), now).await.unwrap();
    let mails = kept(dir.path());
    assert_eq!(mails.len(), 2);
    let [first, again] = [&mails[0], &mails[1]];
    let header = |mail: &serde_json::Value, name: &str| mail["headers"][name].as_str().map(str::to_owned);
    assert!(header(first, "subject").unwrap().starts_with("【訓練】[関守]"), "{first}");
    assert_eq!(header(first, "auto-submitted").as_deref(), Some("auto-generated"));
    assert_eq!(header(first, "message-id"), header(again, "message-id"), "the same letter has the same name");
    assert_eq!(header(first, "x-rcptto").as_deref(), Some("monitor@example.jp"), "and nobody else got it");
    assert_eq!(header(first, "bcc"), None);
    let text = first["text"].as_str().unwrap();
    assert!(text.contains("対象: 203.0.113.7 Bcc: all@example.jp"), "{text}");
    assert!(text.contains("INC-422011-20261122-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_starttls_or_with_a_strange_certificate_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let to = Address::Mail("monitor@example.jp".to_owned());
    let (plain, strange) = (server(dir.path(), false).await, server(dir.path(), true).await);
    for (port, more) in [
        (plain.port, "ca_file = \"ca.pem\"\n"),
        (strange.port, "ca_file = \"stranger.pem\"\n"),
        (strange.port, ""),
    ] {
        let found = crate::notify::send(&settings(dir.path(), port, more), &to, &letter(), letter().at).await;
        assert!(found.is_err(), "{port} {more:?}");
    }
    assert_eq!(kept(dir.path()).len(), 0);
    let open = settings(dir.path(), plain.port, "security = \"none\"\n");
    crate::notify::send(&open, &to, &letter(), letter().at).await.unwrap();
    assert_eq!(kept(dir.path()).len(), 1, "and with the configuration's word for it, it does");
}

#[tokio::test]
async fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = settings(dir.path(), port, "security = \"none\"\n");
    let to = Address::Mail("monitor@example.jp".to_owned());
    let failure = crate::notify::send(&settings, &to, &letter(), letter().at).await.unwrap_err();
    assert!(!failure.lasting, "{failure}");
    let none = Settings::default();
    assert!(crate::notify::send(&none, &to, &letter(), letter().at).await.unwrap_err().lasting);
}

#[test]
fn headers_cannot_be_injected() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 25, "security = \"none\"\n");
    let mut hostile = letter();
    hostile.message =
        Message { subject: "a\r\nBcc: all@example.jp".to_owned(), body: "b\r\n.\r\nQUIT\r\n".to_owned() };
    let bytes = mime(settings.mail.as_ref().unwrap(), "monitor@example.jp", &hostile).unwrap().formatted();
    let text = String::from_utf8(bytes).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    for bad in ["a@b.jp\r\nBcc: x@y.jp", "a b", "", "a@", "a@b.jp, c@d.jp"] {
        assert!(check(bad).is_err(), "{bad:?}");
    }
}
