//! Sources at work: real sockets, real files, real TLS.

use core::net::SocketAddr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rustls::pki_types::ServerName;
use sekimori_sensor::alert::Zone;
use sekimori_sensor::segment::Policy;
use sekimori_wire::alert::EndpointAlert;
use sekimori_wire::record::Record;
use tokio::io::AsyncWriteExt as _;

use super::source::{Charset, Kind, TlsFiles, Where};
use super::*;

fn source(name: &str, kind: Kind, place: Where) -> Source {
    Source {
        name: name.to_owned(),
        key: format!("endpoint.{name}"),
        kind,
        place,
        tls: None,
        allow: Vec::new(),
        mappings: mappings::built_in().unwrap(),
        charset: Charset::Auto,
        zone: Zone::default(),
        alerts_per_minute: 1_000_000,
        quiet_after: None,
    }
}

fn any() -> Where {
    Where::Address("127.0.0.1:0".parse().unwrap())
}

/// A running intake whose records a test takes.
struct Running {
    stop: Arc<AtomicBool>,
    records: Receiver<Record>,
    intake: Arc<Intake>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(sources: Vec<Source>, state: &Path) -> (Self, Vec<SocketAddr>) {
        let sources: Vec<_> = sources.into_iter().map(Arc::new).collect();
        let bound = Bound::bind(&sources).unwrap();
        let addresses = bound.listeners.iter().map(Listener::address).collect();
        let (intake, reading, follow) = bound.start(state).unwrap().split();
        let (to_sealing, records) = bounded(100_000);
        let stop = Arc::new(AtomicBool::new(false));
        let stops = [Arc::clone(&stop), Arc::clone(&stop)];
        let [one, two] = stops;
        let place = Place { policy: Policy::default_private(), user_key: [1; 32], hosts: Arc::default() };
        let threads = vec![
            std::thread::spawn(move || reading.run(&place, &to_sealing, &one)),
            std::thread::spawn(move || follow(two)),
        ];
        (Self { stop, records, intake, threads }, addresses)
    }

    fn alerts(&self, count: usize) -> Vec<EndpointAlert> {
        let mut out = Vec::new();
        while out.len() < count {
            match self.records.recv_timeout(Duration::from_secs(10)) {
                Ok(Record::EndpointAlert(alert)) => out.push(*alert),
                Ok(other) => panic!("{other:?}"),
                Err(_) => panic!("{} of {count} came: {:?}", out.len(), self.intake.counters()),
            }
        }
        out
    }

    fn names(&self, count: usize) -> Vec<String> {
        self.alerts(count).into_iter().map(|alert| alert.signature_id.as_str().to_owned()).collect()
    }

    fn count(&self, name: &str) -> u64 {
        self.intake.counters().iter().filter(|(one, _)| one == name).map(|(_, count)| count).sum()
    }

    fn wait_for(&self, name: &str, count: u64) {
        let begun = Instant::now();
        while self.count(name) < count && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.count(name), count, "{name}: {:?}", self.intake.counters());
    }

    /// Everything taken is sealed, as the sealing thread would say.
    fn sealed(&self, count: u64) {
        self.intake.marks.add_sealed(count);
        self.intake.marks.settle();
    }

    /// As an agent ends: what was handed on last is sealed after the reading threads are gone.
    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.intake.marks.settle();
    }
}

fn cef(n: usize) -> String {
    format!("<13>Apr  1 09:00:00 pc CEF:0|v|p|1|id{n}|virus {n}|5|dst=10.0.0.1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receives_over_udp_and_tcp_from_whom_it_may() {
    let state = tempfile::tempdir().unwrap();
    let mut closed = source("closed", Kind::SyslogTcp, any());
    closed.allow = vec![source::Network::try_from("192.0.2.0/24".to_owned()).unwrap()];
    let sources = vec![
        source("udp", Kind::SyslogUdp, any()),
        source("tcp", Kind::SyslogTcp, any()),
        source("json", Kind::JsonTcp, any()),
        closed,
    ];
    let (running, at) = Running::start(sources, state.path());
    let taken = Bound::bind(&[Arc::new(source("tcp", Kind::SyslogTcp, Where::Address(at[1])))]).unwrap_err();
    assert!(taken.to_string().starts_with("endpoint.tcp = \"127.0.0.1:"), "{taken}");

    let sender = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    sender.send_to(cef(1).as_bytes(), at[0]).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(at[1]).await.unwrap();
    stream.write_all(cef(2).as_bytes()).await.unwrap();
    drop(stream);
    let mut stream = tokio::net::TcpStream::connect(at[2]).await.unwrap();
    let eve = r#"{"timestamp":"2026-04-01T09:00:00.000000+0900","event_type":"alert","src_ip":"10.0.0.5","dest_ip":"203.0.113.1","alert":{"action":"allowed","signature_id":3,"signature":"ET MALWARE x","severity":1}}"#;
    stream.write_all(format!("{eve}\nnot an alert\n{{broken\n").as_bytes()).await.unwrap();
    drop(stream);
    let mut stream = tokio::net::TcpStream::connect(at[3]).await.unwrap();
    let _refused = stream.write_all(cef(4).as_bytes()).await;
    let running = tokio::task::spawn_blocking(move || {
        let mut got: Vec<_> = running
            .alerts(3)
            .into_iter()
            .map(|alert| (alert.source.as_str().to_owned(), alert.signature_id.as_str().to_owned()))
            .collect();
        got.sort();
        let expect = [("json", "3"), ("tcp", "id2"), ("udp", "id1")];
        assert_eq!(got, expect.map(|(source, id)| (source.to_owned(), id.to_owned())));
        running.wait_for("endpoint.closed.refused", 1);
        running.wait_for("endpoint.json.skip.malformed", 1);
        running.wait_for("endpoint.json.skip.no_phrase", 1);
        running
    });
    running.await.unwrap().stop();
}

/// An authority, and a certificate of it for `localhost`, as files.
fn authority(folder: &Path, name: &str) -> (TlsFiles, PathBuf) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |kind: &str, text: String| {
        let path = folder.join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: write("own", own.pem()),
        key: write("key", key.serialize_pem()),
        client_ca: None,
    };
    (files, write("ca", root.pem()))
}

async fn over_tls(at: SocketAddr, ca: &Path, client: Option<&TlsFiles>, bytes: &[u8]) -> io::Result<()> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(files) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&files.certificate).unwrap()],
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap(),
    };
    let stream = tokio::net::TcpStream::connect(at).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_and_without_certificates_of_clients() {
    let state = tempfile::tempdir().unwrap();
    let (own, ca) = authority(state.path(), "server");
    let (client, client_ca) = authority(state.path(), "client");
    let (stranger, _) = authority(state.path(), "stranger");
    let mut open = source("open", Kind::SyslogTls, any());
    open.tls = Some(own.clone());
    let mut closed = source("closed", Kind::SyslogTls, any());
    closed.tls = Some(TlsFiles { client_ca: Some(client_ca), ..own.clone() });
    let mut broken = source("broken", Kind::SyslogTls, any());
    broken.tls = Some(TlsFiles { key: state.path().join("nothing.pem"), ..own });
    let error = Bound::bind(&[Arc::new(broken)]).unwrap_err().to_string();
    assert!(
        error.starts_with("source \"broken\" of endpoint.source: ") && error.contains("nothing.pem"),
        "{error}"
    );

    let (running, at) = Running::start(vec![open, closed], state.path());
    let line = |n: usize| {
        let line = cef(n);
        format!("{} {line}", line.len())
    };
    over_tls(at[0], &ca, None, line(1).as_bytes()).await.unwrap();
    over_tls(at[1], &ca, Some(&client), line(2).as_bytes()).await.unwrap();
    // In TLS 1.3 a client hears of the refusal only when it reads.
    let _refused = over_tls(at[1], &ca, None, line(3).as_bytes()).await;
    let _refused = over_tls(at[1], &ca, Some(&stranger), line(4).as_bytes()).await;
    let plain = tokio::net::TcpStream::connect(at[0]).await;
    plain.unwrap().write_all(b"<13>in the clear\n").await.unwrap();
    let running = tokio::task::spawn_blocking(move || {
        let mut names = running.names(2);
        names.sort();
        assert_eq!(names, ["id1", "id2"]);
        running.wait_for("endpoint.closed.tls_failed", 2);
        running.wait_for("endpoint.open.tls_failed", 1);
        running
    });
    running.await.unwrap().stop();
}

/// A followed file and what writes to it.
struct Log {
    folder: tempfile::TempDir,
    next: usize,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), next: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("av.log")
    }

    fn write(&mut self, count: usize) -> Vec<String> {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(self.path()).unwrap();
        let from = self.next;
        self.next += count;
        let all = from..self.next;
        let text: String = all.clone().map(|n| cef(n) + "\n").collect();
        file.write_all(text.as_bytes()).unwrap();
        all.map(|n| format!("id{n}")).collect()
    }

    fn follow(&self) -> Running {
        let source = source("av", Kind::File, Where::File(self.path()));
        // A file needs no runtime.
        Running::start(vec![source], self.folder.path()).0
    }
}

#[test]
fn a_file_survives_renaming_copying_and_truncation() {
    let mut log = Log::new();
    let old = log.write(3);
    let running = log.follow();
    running.wait_for("endpoint.av.lines", 0);
    std::thread::sleep(Duration::from_millis(500));
    let expect = log.write(5);
    assert_eq!(running.names(5), expect, "what was there before is not read: {old:?}");
    // By renaming: the writer goes on for a moment.
    let mut writer = std::fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    std::fs::rename(log.path(), log.folder.path().join("av.log.1")).unwrap();
    writeln!(writer, "{}", cef(900)).unwrap();
    let expect = log.write(4);
    assert_eq!(running.names(1), ["id900"]);
    assert_eq!(running.names(4), expect);
    // By copying: something is written between the last look and the copy.
    let expect = log.write(50);
    std::fs::copy(log.path(), log.folder.path().join("av.log.2")).unwrap();
    std::fs::OpenOptions::new().write(true).truncate(true).open(log.path()).unwrap();
    assert_eq!(running.names(50), expect);
    let expect = log.write(60);
    assert_eq!(running.names(60), expect);
    // A line without end is a line once the file was rotated.
    let mut writer = std::fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    write!(writer, "{}", cef(901)).unwrap();
    std::fs::rename(log.path(), log.folder.path().join("av.log.3")).unwrap();
    let expect = log.write(1);
    assert_eq!(running.names(2), [vec!["id901".to_owned()], expect].concat());
    running.stop();
}

#[test]
fn a_restart_reads_on_where_everything_was_sealed() {
    let mut log = Log::new();
    let first = log.follow();
    std::thread::sleep(Duration::from_millis(300));
    let expect = log.write(6);
    assert_eq!(first.names(6), expect);
    first.wait_for("endpoint.av.alerts", 6);
    std::thread::sleep(Duration::from_millis(100));
    // Killed when four of six were in the spool.
    first.sealed(4);
    first.stop();

    // Meanwhile it is rotated twice.
    let later = log.write(3);
    std::fs::rename(log.path(), log.folder.path().join("av.log.2")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let more = log.write(2);
    std::fs::rename(log.path(), log.folder.path().join("av.log.1")).unwrap();
    let newest = log.write(1);
    let second = log.follow();
    let expect: Vec<_> = [&expect[4..], &later, &more, &newest].concat();
    assert_eq!(second.names(expect.len()), expect);
    second.sealed(u64::try_from(expect.len()).unwrap());
    second.stop();

    // Copied and emptied while nobody looked.
    let rest = log.write(2);
    std::fs::copy(log.path(), log.folder.path().join("av.log.0")).unwrap();
    std::fs::write(log.path(), "").unwrap();
    let new = log.write(1);
    let third = log.follow();
    assert_eq!(third.names(3), [rest, new].concat());
    third.stop();
}

#[test]
fn huge_binary_and_empty_lines_are_counted_and_passed() {
    let mut log = Log::new();
    std::fs::write(log.path(), "").unwrap();
    let running = log.follow();
    std::thread::sleep(Duration::from_millis(300));
    let mut file = std::fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    file.write_all(&vec![b'x'; 300_000]).unwrap();
    file.write_all(b"\n\n\r\n\xff\xfe\x00\x80\x81\n").unwrap();
    let expect = log.write(1);
    assert_eq!(running.names(1), expect);
    assert_eq!(running.count("endpoint.av.too_long"), 1);
    assert_eq!(running.count("endpoint.av.lines"), 2);
    running.stop();
}

#[test]
fn a_source_that_says_too_much_is_limited_and_counted() {
    let mut log = Log::new();
    std::fs::write(log.path(), "").unwrap();
    let mut source = source("av", Kind::File, Where::File(log.path()));
    source.alerts_per_minute = 10;
    let running = Running::start(vec![source], log.folder.path()).0;
    std::thread::sleep(Duration::from_millis(300));
    log.write(40);
    running.wait_for("endpoint.av.alerts", 40);
    assert_eq!(running.alerts(10).len(), 10);
    running.wait_for("endpoint.av.limited", 30);
    running.stop();
}
