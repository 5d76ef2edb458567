//! Looks for what would keep the agent from working or make what it says false, and names what mends it. Changes nothing.
//!
//! ```text
//! configuration ─► interfaces (link: device, traffic) ─► enrolment, disk ─► collector: way, certificates, clock
//! ```

mod collector;
mod link;
mod traffic;

use std::path::Path;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use sekimori_sensor::segment::Policy;
use serde::Serialize;

use crate::capture::Options;
use crate::clock;
use crate::config::Config;
use crate::config::file::Engine;
use crate::identity::Identity;
use link::Wanted;

/// Any clock before this is wrong: the time of this program's first release.
const EARLIEST_SECONDS: u64 = 1_795_000_000;
/// With less the next batch may not be kept.
const DISK_FULL_BYTES: u64 = 16 * 1024 * 1024;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Looked at, and well.
    Good,
    /// Works, and should be mended.
    Note,
    /// Keeps the agent from working, or makes what it says false.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was asked, for programs: `permission`, `mirror`, `clock`, …
    check: &'static str,
    /// Of what: an interface, a file, an address.
    subject: String,
    verdict: Verdict,
    what: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(check: &'static str, subject: &str, verdict: Verdict, what: String, mend: &str) -> Self {
        Self { check, subject: subject.to_owned(), verdict, what, mend: Some(mend.to_owned()) }
    }

    fn good(check: &'static str, subject: &str, what: String) -> Self {
        Self { check, subject: subject.to_owned(), verdict: Verdict::Good, what, mend: None }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    version: &'static str,
    at: String,
    /// Nothing is bad.
    well: bool,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) const fn is_well(&self) -> bool {
        self.well
    }

    /// In lines for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let word = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Note => "note",
                Verdict::Bad => "BAD",
            };
            text.push_str(&format!("{word:<5} {}\n", finding.what));
            if let Some(mend) = &finding.mend {
                text.push_str(&format!("      mend: {mend}\n"));
            }
        }
        text
    }

    /// As one JSON object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).map_or_else(|_never| String::new(), |json| json + "\n")
    }
}

/// Looks at everything; at the traffic of each interface for this long.
pub(crate) fn doctor(path: Option<&Path>, look: Duration) -> Report {
    let mut findings = Vec::new();
    let config = path.and_then(|path| match Config::load(path) {
        Ok(config) => {
            let what = format!("configuration {}", path.display());
            findings.push(Finding::good("configuration", &path.display().to_string(), what));
            Some(config)
        }
        Err(error) => {
            let what = format!("{:#}", anyhow::Error::from(error));
            let mend = format!("sekimori-agent check --config {}", path.display());
            let subject = path.display().to_string();
            findings.push(Finding::new("configuration", &subject, Verdict::Bad, what, &mend));
            None
        }
    });
    findings.push(clock());
    findings.extend(interfaces(config.as_ref(), look));
    match &config {
        Some(config) => findings.extend(state(config)),
        None => findings.push(Finding::new(
            "configuration",
            "",
            Verdict::Note,
            "without a configuration: enrolment, disk and collector are not looked at".to_owned(),
            "sekimori-agent doctor --config /etc/sekimori/agent.toml",
        )),
    }
    let well = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    Report { version: env!("CARGO_PKG_VERSION"), at: clock::now().to_string(), well, findings }
}

fn clock() -> Finding {
    let now = clock::now();
    if now.secs() < EARLIEST_SECONDS {
        let what = format!("the clock says {now}: times are evidence");
        return Finding::new(
            "clock",
            "",
            Verdict::Bad,
            what,
            "timedatectl set-ntp true (with chrony: chronyc makestep)",
        );
    }
    Finding::good("clock", "", format!("clock {now}"))
}

/// Each configured interface; without configuration, whether any could be opened.
fn interfaces(config: Option<&Config>, look: Duration) -> Vec<Finding> {
    let fallback =
        Options { engine: Engine::Ring, filter: String::new(), promiscuous: false, ignore_outgoing: false };
    let policy = Policy::default_private();
    let Some(config) = config else {
        let wanted =
            Wanted { options: &fallback, workers: 1, policy: &policy, look, config: "the configuration" };
        return link::examine("lo", wanted);
    };
    let path = config.path.display().to_string();
    if config.interfaces.is_empty() {
        let what = "capture.interfaces is empty: nothing would be captured".to_owned();
        let mend = format!("sekimori-agent interfaces; then name one in capture.interfaces of {path}");
        return vec![Finding::new("interface", &path, Verdict::Bad, what, &mend)];
    }
    let (options, workers) = (&config.capture, config.workers);
    let wanted = Wanted { options, workers, policy: &config.policy, look, config: &path };
    // All at the same time: looking takes as long for ten as for one.
    std::thread::scope(|scope| {
        let names = config.interfaces.iter();
        let threads: Vec<_> = names.map(|name| scope.spawn(move || link::examine(name, wanted))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

fn state(config: &Config) -> Vec<Finding> {
    let subject = config.state.display().to_string();
    let told = |check, verdict, what: String, mend: &str| Finding::new(check, &subject, verdict, what, mend);
    let reenrol = format!(
        "on the collector: sekimori-collector agent token …; here: sekimori-agent enroll --again --state {subject} \
         --token-file FILE"
    );
    let mut findings = disk(config);
    let identity = match Identity::load(&config.state) {
        Ok(identity) => identity,
        Err(error) => {
            let what = format!("{:#}", anyhow::Error::from(error));
            findings.push(told("enrolment", Verdict::Bad, what, &reenrol.replace(" --again", "")));
            return findings;
        }
    };
    let enrolled = format!("enrolled as {} for body {}", identity.agent(), identity.body);
    findings.push(Finding::good("enrolment", &subject, enrolled));
    match access(&config.state, AccessFlags::W_OK) {
        Ok(()) => findings.push(Finding::good("state", &subject, format!("{subject} can be written"))),
        Err(error) => {
            let mend = format!("chown -R sekimori-agent: {subject}");
            findings.push(told(
                "state",
                Verdict::Bad,
                format!("{subject} cannot be written: {error}"),
                &mend,
            ));
        }
    }
    let urls = if config.collector.urls.is_empty() { &identity.ingest_urls } else { &config.collector.urls };
    for url in urls {
        findings.extend(collector::examine(url, &identity, &config.collector, &reenrol));
    }
    findings
}

/// What is in the spool already needs no more room.
fn disk(config: &Config) -> Vec<Finding> {
    let subject = config.state.display().to_string();
    let told = |verdict, what: String, mend: &str| vec![Finding::new("disk", &subject, verdict, what, mend)];
    let make_room = format!(
        "du -xh -d 2 {subject}; journalctl --vacuum-size=200M; or lower spool.max_bytes in {}",
        config.path.display()
    );
    let Ok(disk) = nix::sys::statvfs::statvfs(&config.state) else {
        let mend = format!("mkdir -p {subject} && chown sekimori-agent: {subject}");
        return told(Verdict::Bad, format!("{subject} cannot be looked at"), &mend);
    };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    // File systems without a fixed number of files say that they have none at all.
    let no_files = disk.files() > 0 && disk.files_available() == 0;
    if free < DISK_FULL_BYTES || no_files {
        let lacking =
            if no_files { "no file can be added".to_owned() } else { format!("{free} bytes are free") };
        let what = format!("the disk of {subject} is full: {lacking}, findings would be lost");
        return told(Verdict::Bad, what, &make_room);
    }
    let kept = spooled(&config.state);
    if free.saturating_add(kept) < config.spool_bytes {
        let what = format!(
            "{free} bytes free on the disk of {subject}, the spool may grow to {}",
            config.spool_bytes
        );
        return told(Verdict::Note, what, &make_room);
    }
    vec![Finding::good("disk", &subject, format!("{free} bytes free for the spool"))]
}

/// Bytes in the spool.
fn spooled(state: &Path) -> u64 {
    let mut folders = vec![state.join("spool")];
    let mut bytes = 0_u64;
    // One level of lanes: nothing deeper, so that no link leads anywhere else.
    for _depth in 0..2 {
        let entries = folders.drain(..).filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let entries: Vec<_> = entries.filter_map(Result::ok).collect();
        for entry in entries {
            match entry.metadata() {
                Ok(data) if data.is_dir() => folders.push(entry.path()),
                Ok(data) => bytes = bytes.saturating_add(data.len()),
                Err(_gone_meanwhile) => {}
            }
        }
    }
    bytes
}
