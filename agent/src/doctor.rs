//! Looks for what would keep the agent from working, and says what to do about it.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use crate::capture::{Fanout, Live, Options};
use crate::clock;
use crate::config::Config;
use crate::config::file::Engine;
use crate::identity::Identity;
use crate::line::Line;
use crate::tls::Endpoint;

/// How long a collector may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Any clock before this is wrong: the time of this program's first release.
const EARLIEST_SECONDS: u64 = 1_795_000_000;
/// Less free space than this is worth a word.
const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;

/// A report in lines, and whether all is well.
pub(crate) fn doctor(path: Option<&Path>) -> (String, bool) {
    let mut findings = Findings::default();
    let config = path.and_then(|path| match Config::load(path) {
        Ok(config) => {
            findings.good(&format!("configuration {}", path.display()));
            Some(config)
        }
        Err(error) => {
            findings.bad(&format!("{:#}", anyhow::Error::from(error)));
            None
        }
    });
    clock(&mut findings);
    interfaces(&mut findings, config.as_ref());
    match &config {
        Some(config) => state(&mut findings, config),
        None => findings.note("without --config: enrolment, disk and collector are not looked at"),
    }
    (findings.report, findings.well)
}

struct Findings {
    report: String,
    well: bool,
}

impl Default for Findings {
    fn default() -> Self {
        Self { report: String::new(), well: true }
    }
}

impl Findings {
    fn good(&mut self, what: &str) {
        self.line("good", what);
    }
    fn note(&mut self, what: &str) {
        self.line("note", what);
    }
    fn bad(&mut self, what: &str) {
        self.line("BAD", what);
        self.well = false;
    }
    fn line(&mut self, verdict: &str, what: &str) {
        self.report.push_str(&format!("{verdict:<5} {what}\n"));
    }
}

fn clock(findings: &mut Findings) {
    let now = clock::now();
    if now.secs() < EARLIEST_SECONDS {
        findings.bad(&format!("the clock says {now}: set it (timedatectl, chrony), times are evidence"));
    } else {
        findings.good(&format!("clock {now}"));
    }
}

/// Opens each configured interface; without configuration, whether any could be opened.
fn interfaces(findings: &mut Findings, config: Option<&Config>) {
    let fallback =
        Options { engine: Engine::Ring, filter: String::new(), promiscuous: false, ignore_outgoing: false };
    // As many rings as there would be: that the kernel shares among them is part of what is asked.
    let fanout = Fanout::new(config.map_or(1, |config| config.workers), 0);
    let loopback = ["lo".to_owned()];
    let (names, options) =
        config.map_or((&loopback[..], &fallback), |config| (config.interfaces.as_slice(), &config.capture));
    if names.is_empty() {
        findings.bad("capture.interfaces is empty: name at least one (`sekimori-agent interfaces`)");
    }
    for name in names {
        match Live::open(name, options, &fanout) {
            Ok(_live) => findings.good(&format!("{name} can be captured from")),
            Err(error) => findings.bad(&format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

fn state(findings: &mut Findings, config: &Config) {
    let identity = match Identity::load(&config.state) {
        Ok(identity) => identity,
        Err(error) => return findings.bad(&format!("{:#}", anyhow::Error::from(error))),
    };
    findings.good(&format!("enrolled as {} for body {}", identity.agent(), identity.body));
    match nix::unistd::access(&config.state, nix::unistd::AccessFlags::W_OK) {
        Ok(()) => findings.good(&format!("{} can be written", config.state.display())),
        Err(error) => findings.bad(&format!("{} cannot be written: {error}", config.state.display())),
    }
    let free = crate::health::disk_free(&config.state);
    if free < DISK_LOW_BYTES.max(config.spool_bytes) {
        findings.note(&format!("{free} bytes free, the spool may grow to {}", config.spool_bytes));
    } else {
        findings.good(&format!("{free} bytes free for the spool"));
    }
    let urls = if config.collector.urls.is_empty() { &identity.ingest_urls } else { &config.collector.urls };
    let way = config.collector.proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
    for url in urls {
        match connect(url, &config.collector) {
            Ok(()) => findings.good(&format!("{url} accepts connections{way}")),
            Err(error) => {
                findings.bad(&format!("{url}: {error} (what is found stays in the spool until it answers)"));
            }
        }
    }
}

fn connect(url: &str, line: &Line) -> std::io::Result<()> {
    if let Some(proxy) = &line.proxy {
        let endpoint = Endpoint::parse(url).map_err(std::io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connected = async { tokio::time::timeout(CONNECT, proxy.connect(&endpoint.authority())).await };
        return match runtime.block_on(connected) {
            Ok(Ok(_stream)) => Ok(()),
            Ok(Err(refused)) => Err(std::io::Error::other(format!("the proxy {proxy}: {refused}"))),
            Err(_elapsed) => Err(std::io::ErrorKind::TimedOut.into()),
        };
    }
    let uri: hyper::Uri = url.parse().map_err(std::io::Error::other)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut last = std::io::Error::other("no address of this name");
    for address in (host, uri.port_u16().unwrap_or(443)).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_stream) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
