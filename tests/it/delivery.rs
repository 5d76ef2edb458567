//! The agent's transport over lines as they are: long, cut, slow, behind a proxy, with a collector of an older key exchange.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use sekimori_delivery::lanes::Lanes;
use sekimori_delivery::seal::{Sealer, Signer};
use sekimori_wire::batch::{Lane, Mode};
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::id::Digest;
use sekimori_wire::record::{Health, NamedCount, Record, Summary};
use sekimori_wire::time::Timestamp;

use crate::support::line::{Line, Way};
use crate::support::{Agent, Collector, Running, free_port, program, run_ok, said, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// In each direction, as over a congested line or halfway round the world.
const DELAY: Duration = Duration::from_millis(100);

/// Runs the agent with these lines in `[collector]`; it captures on the loopback, where it reports little.
pub(crate) fn run(agent: &Agent, collector: &str) -> Running {
    let quiet = "[capture]\ninterfaces = [\"lo\"]\nfilter = \"icmp\"\n";
    let config = agent.configure(&format!("{quiet}[collector]\n{collector}\n"));
    let mut command = std::process::Command::new(program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    Running::logged(&mut command, &log_of(agent))
}

fn log_of(agent: &Agent) -> std::path::PathBuf {
    agent.state.with_extension("log")
}

pub(crate) fn log(agent: &Agent) -> String {
    std::fs::read_to_string(log_of(agent)).unwrap_or_default()
}

/// Fills the agent's spool as an outage does: `urgent` and `detail` batches of 20 KB that no compression shortens much.
fn pile_up(agent: &Agent, urgent: u64, detail: u64) {
    let pkcs8 = std::fs::read(agent.identity("signing-key.p8")).expect("a key");
    let signer = Arc::new(Signer::first(1, SigningKey::from_pkcs8(&pkcs8).expect("a key")));
    let lanes = Arc::new(Lanes::open(&agent.state.join("spool"), 1 << 30).expect("a spool"));
    let now = || Timestamp::ZERO.plus(std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970"));
    let mut sealer = Sealer::open(signer, lanes, now()).expect("a spool");
    let counts = |batch: u64| {
        let name = |number: u64| Digest::of(&(batch * 1_000 + number).to_le_bytes()).to_string();
        (0..500).map(|number| (name(number), number)).collect::<std::collections::BTreeMap<_, _>>()
    };
    for batch in 0..urgent + detail {
        let counters: Vec<NamedCount<64>> = counts(batch)
            .iter()
            .map(|(name, count)| NamedCount { name: name.as_str().into(), count: *count })
            .collect();
        let record = if batch < urgent {
            Record::Health(Box::new(Health { at: now(), counters, ..Health::default() }))
        } else {
            let domains = counters
                .iter()
                .map(|one| NamedCount { name: one.name.as_str().into(), count: one.count })
                .collect();
            Record::Summary(Box::new(Summary { start: now(), end: now(), domains, ..Summary::default() }))
        };
        sealer.seal(vec![record], now(), Mode::Live).expect("room");
    }
    drop(sealer);
    let lanes = Lanes::open(&agent.state.join("spool"), 1 << 30).expect("a spool");
    let pending = |lane| lanes.of_lane(lane).pending();
    assert_eq!((pending(Lane::Urgent), pending(Lane::Detail)), (urgent, detail));
}

fn caught_up(agent: &Agent) {
    wait_for("everything is acknowledged", Duration::from_secs(120), || (agent.waiting() == 0).then_some(()));
}

fn per_second(bytes: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(bytes).expect("a few megabytes")) / took.as_secs_f64()
}

/// Bytes a second over a long line with so many submissions under way.
fn catch_up_rate(in_flight: usize) -> f64 {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "far");
    pile_up(&agent, 40, 360);
    let line = Line::to(collector.ingest, DELAY);
    let running =
        run(&agent, &format!("urls = [\"{}\"]\nrate = \"none\"\nin_flight = {in_flight}", line.url()));
    caught_up(&agent);
    let (bytes, took) = line.middle(Way::Up);
    assert!(running.stop().success(), "a clean stop");
    assert_eq!(line.connections(), 1);
    assert_eq!(collector.counter("batches_repeated"), 0, "nothing was sent twice");
    collector.assert_verifies();
    per_second(bytes, took)
}

#[test]
fn several_under_way_use_a_long_line() {
    let (one, four) = (catch_up_rate(1), catch_up_rate(4));
    println!(
        "with 100 ms in each direction: {:.2} MB/s with one submission, {:.2} with four",
        one / 1e6,
        four / 1e6
    );
    assert!(four > one * 1.2, "{one:.0} and {four:.0} bytes a second");
}

#[test]
fn a_line_that_is_cut_again_and_again_loses_nothing() {
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", "cut");
    pile_up(&agent, 20, 280);
    let line = Line::to(collector.ingest, Duration::from_millis(20));
    let running = run(&agent, &format!("urls = [\"{}\"]\nrate = \"8 Mbit/s\"", line.url()));
    for pause in [700, 900, 1_300, 400, 1_700] {
        std::thread::sleep(Duration::from_millis(pause));
        line.cut();
    }
    collector.kill_hard();
    collector.run();
    caught_up(&agent);
    assert!(running.stop().success(), "a clean stop");
    assert!(line.connections() >= 4, "{} connections", line.connections());
    let stored = collector.counter("batches_stored");
    // What was piled up and what the agent said of itself, each once.
    assert!((301..320).contains(&stored), "{stored} batches stored");
    println!(
        "{} connections, {stored} batches stored, {} repeated",
        line.connections(),
        collector.counter("batches_repeated")
    );
    assert_eq!(collector.counter("refused.forked"), 0);
    collector.assert_verifies();
}

#[test]
fn catching_up_never_takes_more_of_the_line_than_it_may() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "slow");
    pile_up(&agent, 5, 95);
    let line = Line::to(collector.ingest, Duration::from_millis(10));
    let running = run(&agent, &format!("urls = [\"{}\"]\nrate = \"2 Mbit/s\"", line.url()));
    caught_up(&agent);
    assert!(running.stop().success(), "a clean stop");
    let (second, ten) = [1, 10].map(|seconds| line.most_within(Way::Up, Duration::from_secs(seconds))).into();
    let (bytes, took) = line.middle(Way::Up);
    let rate = per_second(bytes, took);
    println!(
        "at 2 Mbit/s: {second} bytes in the busiest second, {ten} in ten, {rate:.0} a second on average"
    );
    // Without headers, and what may be saved up in a twentieth of a second.
    assert!(second <= 250_000 * 105 / 100, "{second} bytes in a second");
    assert!(ten <= 2_500_000, "{ten} bytes in ten seconds");
    assert!(rate > 250_000.0 * 0.8, "what may be used is used: {rate:.0} bytes a second");
    collector.assert_verifies();
}

/// An HTTP proxy from Debian, in the foreground on a port of its own.
fn tinyproxy(agent: &Agent, extra: &str) -> (Running, u16) {
    let (port, folder) = (free_port(), agent.state.with_extension(format!("proxy-{extra:.5}")));
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = folder.join("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nLogFile {:?}\nPidFile {:?}\nMaxClients 20\n{extra}\n",
        folder.join("log"),
        folder.join("pid"),
    );
    std::fs::write(&config, text).expect("a file");
    let mut command = std::process::Command::new("tinyproxy");
    let running = Running::start(command.arg("-d").arg("-c").arg(&config));
    wait_for("the proxy listens", SOON, || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
    (running, port)
}

#[test]
fn a_proxy_is_the_way_out_and_sees_nothing_but_tls() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "inside");
    let (_proxy, port) = tinyproxy(&agent, "BasicAuth sekimori secret");
    let line = Line::to(([127, 0, 0, 1], port).into(), Duration::ZERO);
    // The collector must not be reached in any other way: the proxy is the only one that knows this address.
    let proxied = format!("proxy = \"http://{}\"", line.address);
    for (credentials, said) in [
        (
            None,
            "it wants user and password (407): name the file that holds them in collector.proxy_credentials",
        ),
        (
            Some("sekimori:wrong\n"),
            "it does not accept user and password of collector.proxy_credentials (401)",
        ),
    ] {
        let mut lines = proxied.clone();
        if let Some(credentials) = credentials {
            secret(&agent.state.join("credentials"), credentials);
            lines.push_str("\nproxy_credentials = \"credentials\"");
        }
        let running = run(&agent, &lines);
        wait_for(said, SOON, || log(&agent).contains(said).then_some(()));
        assert!(running.stop().success(), "a clean stop");
    }
    assert_eq!(collector.counter("batches_stored"), 0);
    secret(&agent.state.join("credentials"), "sekimori:secret\n");
    let running = run(&agent, &format!("{proxied}\nproxy_credentials = \"credentials\""));
    wait_for("a batch through the proxy", SOON, || (collector.counter("batches_stored") > 0).then_some(()));
    assert!(running.stop().success(), "a clean stop");
    collector.assert_verifies();
    // Doctor goes the same way.
    let config = agent.state.join("agent.toml");
    let doctor = crate::support::agent(&["doctor", "--config", config.to_str().expect("UTF-8")]);
    let report = said(&doctor);
    assert!(report.contains(&format!("accepts connections through http://{}", line.address)), "{report}");

    // A proxy that lets nobody through to this port.
    let (_proxy, port) = tinyproxy(&agent, "ConnectPort 443");
    let running = run(&agent, &format!("proxy = \"http://127.0.0.1:{port}\""));
    let refusal = "it refuses the way to the collector (403";
    wait_for(refusal, SOON, || log(&agent).contains(refusal).then_some(()));
    assert!(running.stop().success(), "a clean stop");
}

#[test]
fn enrolment_goes_through_the_proxy_too() {
    let collector = Collector::start();
    let first = collector.enrol("422011", "direct");
    let (_proxy, port) = tinyproxy(&first, "");
    let line = Line::to(([127, 0, 0, 1], port).into(), Duration::ZERO);
    let token = run_ok(
        collector.cli(&["agent", "token", "--body", "422011", "--name", "inside"]).args(["--ttl", "600"]),
    );
    let state = first.state.with_file_name("agent-inside");
    let mut enroll = std::process::Command::new(program("sekimori-agent"));
    enroll.args(["enroll", "--token", token.trim(), "--require-post-quantum", "--state"]).arg(&state);
    run_ok(enroll.args(["--proxy", &format!("http://{}", line.address)]));
    assert_eq!(line.connections(), 1);
}

/// A file that others cannot read.
fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

/// A collector's listener as an old front before it is: TLS 1.3 with X25519 and nothing newer, and the collector's name.
fn old_front(collector: &Collector) -> SocketAddr {
    let folder = collector.folder.path().join("collector/ca");
    let ca_pem = std::fs::read_to_string(folder.join("ca.pem")).expect("the CA");
    let ca_key = std::fs::read_to_string(folder.join("ca.key.pem")).expect("the CA's key");
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&ca_key).expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let provider =
        CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("its own certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut session = ServerConnection::new(Arc::new(config.clone())).expect("a session");
            // As far as the handshake gets; then nobody answers.
            while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
        }
    });
    address
}

#[test]
fn a_collector_without_post_quantum_keys_is_refused_where_they_are_required() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "careful");
    let front = old_front(&collector);
    let urls = format!("urls = [\"https://{front}\"]");
    let refusal = "the collector offers no post-quantum key exchange (X25519MLKEM768), which collector.require_post_quantum demands";
    let running = run(&agent, &format!("{urls}\nrequire_post_quantum = true"));
    wait_for(refusal, SOON, || log(&agent).contains(refusal).then_some(()));
    assert!(!log(&agent).contains("connected"), "no connection came about: {}", log(&agent));
    assert!(running.stop().success(), "a clean stop");

    // Without the switch the same front would do, and with it the real collector does.
    let running = run(&agent, &urls);
    wait_for("a classical connection", SOON, || log(&agent).contains("group=Some(X25519) ").then_some(()));
    assert!(running.stop().success(), "a clean stop");
    let running = run(&agent, "require_post_quantum = true");
    wait_for("a batch", SOON, || (collector.counter("batches_stored") > 0).then_some(()));
    assert!(log(&agent).contains("group=Some(X25519MLKEM768)"), "{}", log(&agent));
    assert!(running.stop().success(), "a clean stop");
}
