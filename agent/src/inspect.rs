//! What an operator can look at without disturbing the running agent: interfaces, status, spool.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::{Config, ConfigError};
use crate::identity::{Identity, IdentityError};
use sekimori_delivery::lanes::{self, Inspected};
use sekimori_delivery::spool::{Problem, SpoolError};

/// Written by the running agent into its state folder.
pub(crate) const STATUS_FILE: &str = "status.json";
/// A status older than this is that of an agent that no longer runs.
const STALE_SECONDS: u64 = 30;

/// How the running agent is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) agent: String,
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// Why nothing is being acknowledged; `null` while all is well.
    pub(crate) collector_trouble: Option<String>,
    /// Why nothing is being sealed; `null` while all is well.
    pub(crate) disk_trouble: Option<String>,
    /// Why the certificate is not renewed; `null` while all is well.
    #[serde(default)]
    pub(crate) identity_trouble: Option<String>,
    #[serde(default)]
    pub(crate) certificate_expires_at: Option<String>,
    pub(crate) acknowledged_epoch: u64,
    pub(crate) acknowledged_seq: u64,
    pub(crate) acknowledged_detail_epoch: u64,
    pub(crate) acknowledged_detail_seq: u64,
    /// How the servers are that are watched.
    #[serde(default)]
    pub(crate) watch: Vec<crate::watch::Line>,
    /// As in the latest health record.
    pub(crate) health: serde_json::Value,
}

/// The part of a health record that is shown to people.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Measured {
    at: String,
    uptime_seconds: u64,
    spool_batches: u64,
    spool_bytes: u64,
    disk_free_bytes: u64,
    rss_bytes: u64,
    cpu_permille: u32,
    clock: Option<MeasuredClock>,
    policy_version: u64,
    policy_state: String,
    intel_version: String,
    certificate_expires_at: String,
    interfaces: Vec<MeasuredInterface>,
    counters: Vec<MeasuredCount>,
}

#[derive(Debug, Deserialize)]
struct MeasuredClock {
    offset_ms: i64,
    error_ms: u64,
}

#[derive(Debug, Deserialize)]
struct MeasuredCount {
    name: String,
    count: u64,
}

#[derive(Debug, Deserialize)]
struct MeasuredInterface {
    name: String,
    up: bool,
    packets: u64,
    kernel_drops: u64,
}

/// Why there is nothing to show, or what is shown is bad.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no status of a running agent in {}", path.display())]
    NoStatus {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{} is not a status file", path.display())]
    BadStatus {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("the status is {seconds} s old: the agent does not run")]
    Stale { seconds: u64 },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot read the spool")]
    Spool(#[from] SpoolError),
    #[error("{count} problems in the spool; the first: {} at byte {offset_bytes}: {what}", path.display())]
    Damaged { count: u64, path: PathBuf, offset_bytes: u64, what: &'static str },
}

/// A line for each interface.
pub(crate) fn interfaces() -> String {
    let line = |one: pnet::datalink::NetworkInterface| {
        let state = match (one.is_up(), one.is_running()) {
            (true, true) => "up",
            (true, false) => "no carrier",
            (false, _) => "down",
        };
        let mac = one.mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
        let addresses: Vec<String> = one.ips.iter().map(ToString::to_string).collect();
        format!("{:<16} {state:<10} {mac:<18} {}\n", one.name, addresses.join(" "))
    };
    pnet::datalink::interfaces().into_iter().map(line).collect()
}

/// The running agent's status, and an error if it is too old.
pub(crate) fn status(config: &Path, json: bool) -> Result<(String, Option<InspectError>), InspectError> {
    let path = Config::load(config)?.state.join(STATUS_FILE);
    let bytes = std::fs::read(&path).map_err(|cause| InspectError::NoStatus { path: path.clone(), cause })?;
    let status: Status =
        serde_json::from_slice(&bytes).map_err(|cause| InspectError::BadStatus { path, cause })?;
    let health = Measured::deserialize(&status.health).unwrap_or_default();
    let at = health.at.parse::<Timestamp>().unwrap_or_default();
    let age = clock::now().since(at).as_secs();
    let stale = (age > STALE_SECONDS).then_some(InspectError::Stale { seconds: age });
    if json {
        return Ok((String::from_utf8_lossy(&bytes).into_owned() + "\n", stale));
    }
    let trouble = |what: &Option<String>| what.clone().unwrap_or_else(|| "well".to_owned());
    let mut out = format!(
        "agent      {} ({}, body {}), version {}, pid {}\nat         {at}, up {} s\ncollector  {}; acknowledged through {}/{}, detail {}/{}\n\
         disk       {}; {} batches of {} bytes in the spool, {} bytes free\n\
         identity   {}; certificate until {}\nmemory     {} bytes, cpu {} permille\n",
        status.agent,
        status.name,
        status.body,
        status.version,
        status.pid,
        health.uptime_seconds,
        trouble(&status.collector_trouble),
        status.acknowledged_epoch,
        status.acknowledged_seq,
        status.acknowledged_detail_epoch,
        status.acknowledged_detail_seq,
        trouble(&status.disk_trouble),
        health.spool_batches,
        health.spool_bytes,
        health.disk_free_bytes,
        trouble(&status.identity_trouble),
        status.certificate_expires_at.as_deref().unwrap_or("unknown"),
        health.rss_bytes,
        health.cpu_permille,
    );
    out.extend(health.interfaces.iter().map(|one| {
        let up = if one.up { "up" } else { "down" };
        format!(
            "{:<10} {up}; {} packets, {} dropped by the kernel\n",
            one.name, one.packets, one.kernel_drops
        )
    }));
    out += &standing(&health);
    out.extend(status.watch.iter().map(watched));
    let count = |name: &str| health.counters.iter().find(|one| one.name == name).map_or(0, |one| one.count);
    if count("capture.unwatched_ms") > 0 {
        let ms = count("capture.unwatched_ms");
        out += &format!("unwatched  {ms} ms at most between the last run and this one\n");
    }
    if count("overload.begun") > 0 {
        out += &format!(
            "overload   level {} now; {} times, {} frames, {} payloads and {} events left out\n",
            count("overload.level"),
            count("overload.begun"),
            count("overload.frames_shed"),
            count("overload.payloads_shed"),
            count("overload.events_shed"),
        );
    }
    Ok((out, stale))
}

/// How long nothing was captured before `now`: since the last status of the run before, which a clean stop writes last, and a
/// run that was killed wrote some seconds before its end. `None` if there was none, or the clock was set back since.
pub(crate) fn unwatched(state: &Path, now: Timestamp) -> Option<Duration> {
    let status: Status = serde_json::from_slice(&std::fs::read(state.join(STATUS_FILE)).ok()?).ok()?;
    let last: Timestamp = Measured::deserialize(&status.health).ok()?.at.parse().ok()?;
    (now >= last).then(|| now.since(last))
}

/// A server that is watched.
fn watched(one: &crate::watch::Line) -> String {
    let trouble = one.trouble.as_ref().map(|what| format!("; {}", BoundedText::<256>::new(what)));
    let because = one.because_of.as_ref().map(|name| format!("; because of {name}"));
    let more = [trouble, because].map(Option::unwrap_or_default).concat();
    format!("watch      {}: {} since {}{more}\n", one.name, one.level, one.since)
}

/// Clock, certificate, policy and intelligence.
fn standing(health: &Measured) -> String {
    let clock = match &health.clock {
        None => "not measured yet".to_owned(),
        Some(MeasuredClock { offset_ms, error_ms }) => {
            format!("{offset_ms:+} ms from the collector's, within {error_ms} ms")
        }
    };
    let intel = if health.intel_version.is_empty() { "none" } else { &health.intel_version };
    format!(
        "clock      {clock}\npolicy     version {}, {}\nintel      {intel}\ncertificate ends {}\n",
        health.policy_version,
        BoundedText::<256>::new(&health.policy_state),
        health.certificate_expires_at,
    )
}

/// What is in the spool of a state folder.
pub(crate) fn spool_inspect(state: &Path, json: bool) -> Result<String, InspectError> {
    let found = lanes::inspect(&state.join("spool"), None)?;
    if json {
        return Ok(serde_json::to_string(&found).unwrap_or_default() + "\n");
    }
    let mut out = String::new();
    for (lane, found) in found.all() {
        out += &format!(
            "{lane}: sealed through {}/{}, acknowledged through {}/{}; {} batches wait for acknowledgement, {} bytes in {} files\n",
            found.head.epoch,
            found.head.seq,
            found.acked.epoch,
            found.acked.seq,
            found.pending,
            found.bytes,
            found.segments.len(),
        );
        out.extend(found.problems.iter().map(|problem| {
            format!("{} at byte {}: {}\n", problem.path.display(), problem.offset_bytes, problem.what)
        }));
    }
    Ok(out)
}

/// Whether the spool is whole, in order and signed by this agent.
pub(crate) fn spool_verify(state: &Path) -> Result<String, InspectError> {
    let identity = Identity::load(state)?;
    let keys = &identity.signer.keys;
    let Inspected { urgent, detail } = lanes::inspect(&state.join("spool"), Some(keys))?;
    let count = urgent.problems_count + detail.problems_count;
    if let Some(Problem { path, offset_bytes, what }) =
        urgent.problems.into_iter().chain(detail.problems).next()
    {
        return Err(InspectError::Damaged { count, path, offset_bytes, what });
    }
    let batches: u64 = urgent.segments.iter().chain(&detail.segments).map(|segment| segment.batches).sum();
    Ok(format!("{batches} batches, all whole, in order and signed by this agent\n"))
}
