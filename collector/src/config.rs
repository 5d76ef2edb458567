//! `collector.toml`: as written (`File`, unknown keys are errors), then checked ([`Config`], units in types).
//!
//! Everything else lies at fixed places beside it: `ca/`, `keys/`, `store/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::auth::oidc::settings::OidcFile;
use crate::auth::role::Role;
use crate::auth::rules::AccountRules;
use crate::auth::session::SessionRules;
use crate::export::{Settings as ExportSettings, Tlp};
use crate::fleet::watch::Limits;
use crate::retain::{self, RetentionFile};
use crate::server::guard::Rate;
use crate::store::{Place, Servers};
use crate::timing::Sources;

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the collector runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the configuration file.
    pub dir: PathBuf,
    /// Names and addresses that agents and browsers use; the first one goes into tokens. Never empty.
    pub hosts: Vec<String>,
    /// Where agents deliver batches.
    pub ingest: SocketAddr,
    /// Where new agents enrol.
    pub enroll: SocketAddr,
    /// Console and JSON API.
    pub console: SocketAddr,
    /// The database servers; none: a file of our own.
    pub servers: Option<Servers>,
    /// When findings belong together.
    pub correlation: Correlation,
    /// Files of exceptions.
    pub exceptions: Vec<PathBuf>,
    /// What holds of exceptions that only agents know.
    pub agents_own: AgentsOwn,
    /// When an agent's silence or clock is told.
    pub watch: Limits,
    /// Connections of each listener at a time.
    pub connections_max: usize,
    /// Of these, from one address (of IPv6: from one network of 64 bits).
    pub connections_per_address: usize,
    /// How long TLS and the head of a request may take.
    pub handshake_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// A connection without a request for so long is closed.
    pub idle_timeout: Duration,
    /// What one agent may deliver.
    pub agent_rate: Rate,
    /// No key exchange but a post-quantum hybrid.
    pub require_post_quantum: bool,
    /// How long the certificate of an agent is good; it renews it at two thirds.
    pub certificate_life: Duration,
    /// Data that takes the place of what is built in.
    pub timing: Sources,
    /// Who is told, and by which servers; `None`: nobody.
    pub notify: Option<PathBuf>,
    /// What notices say; `None`: what is built in.
    pub notices: Option<PathBuf>,
    /// Sign-ins and sessions.
    pub accounts: AccountRules,
    /// What exports of incidents say of themselves.
    pub export: ExportSettings,
    /// Where measures are given; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// What is kept, and for how long.
    pub retention: retain::Rules,
}

/// When findings belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// Longest silence within one incident, in event time.
    pub gap: Duration,
    /// Bodies that must have seen the same indicator.
    pub wide_area_bodies: usize,
    /// Within this time, in event time.
    pub wide_area_window: Duration,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Names the file, and the line and key or the rule that was broken.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Read { path: path.to_owned(), cause };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut file: File = toml::from_str(text)
            .map_err(|cause| ConfigError::Parse { path: path.to_owned(), cause: Box::new(cause) })?;
        let oidc = file.oidc.take();
        let mut config = Self::checked(file, path)?;
        if let Some(oidc) = oidc {
            let settings = oidc.check(&config.dir, &config.url(config.console));
            let rule = |(key, rule)| ConfigError::Rule { path: path.to_owned(), key, rule };
            config.accounts.oidc = Some(settings.map_err(rule)?);
        }
        Ok(config)
    }

    fn checked(file: File, path: &Path) -> Result<Self, ConfigError> {
        let rule = |key, rule| ConfigError::Rule { path: path.to_owned(), key, rule };
        let within = |key, value: u64, low: u64, high: u64, text| {
            if (low..=high).contains(&value) { Ok(value) } else { Err(rule(key, text)) }
        };
        if file.listen.hosts.is_empty() {
            return Err(rule("listen.hosts", "needs at least one name or address"));
        }
        let correlation = file.correlate.read(within)?;
        let connections = within("limits.connections", file.limits.connections, 1, 65_536, "is 1 to 65536")?;
        let seconds =
            within("limits.handshake_seconds", file.limits.handshake_seconds, 1, 120, "is 1 to 120")?;
        let limits = &file.limits;
        let per_address = within(
            "limits.connections_per_address",
            limits.connections_per_address.unwrap_or_else(|| connections.div_ceil(4)),
            1,
            connections,
            "is 1 to limits.connections",
        )?;
        let body = within("limits.body_seconds", limits.body_seconds, 1, 600, "is 1 to 600")?;
        let idle = within("limits.idle_seconds", limits.idle_seconds, 1, 3600, "is 1 to 3600")?;
        let submissions = within(
            "limits.agent_submissions_per_second",
            limits.agent_submissions_per_second,
            1,
            10_000,
            "is 1 to 10000",
        )?;
        let bytes = limits.agent_bytes_per_second;
        let bytes =
            within("limits.agent_bytes_per_second", bytes, 16_384, 1 << 30, "is 16384 to 1073741824")?;
        let rate = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let silent = within("fleet.silent_seconds", file.fleet.silent_seconds, 4, 86_400, "is 4 to 86400")?;
        let skew = within("fleet.skew_seconds", file.fleet.skew_seconds, 2, 86_400, "is 2 to 86400")?;
        let life = file.identity.certificate_seconds;
        let life =
            within("identity.certificate_seconds", life, 5, 34_128_000, "is 5 to 34128000 (395 days)")?;
        let dir = path.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        let servers = file.store.url.as_deref().map(Servers::parse).transpose();
        Ok(Self {
            servers: servers.map_err(|why| rule("store.url", why))?,
            agents_own: file.exceptions.agents_own,
            watch: Limits { silent: Duration::from_secs(silent), skew: Duration::from_secs(skew) },
            exceptions: file.exceptions.files.iter().map(|name| dir.join(name)).collect(),
            accounts: file.accounts.rules(&file.listen.hosts, within, rule)?,
            export: file.export.read(&file.listen.hosts),
            metrics: file.metrics.checked(rule)?,
            retention: file.retention.rules(within)?,
            hosts: file.listen.hosts,
            ingest: file.listen.ingest,
            enroll: file.listen.enroll,
            console: file.listen.console,
            correlation,
            connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
            connections_per_address: usize::try_from(per_address).unwrap_or(usize::MAX),
            handshake_timeout: Duration::from_secs(seconds),
            body_timeout: Duration::from_secs(body),
            idle_timeout: Duration::from_secs(idle),
            agent_rate: Rate { submissions: rate(submissions), bytes: rate(bytes) },
            require_post_quantum: file.tls.require_post_quantum,
            certificate_life: Duration::from_secs(life),
            timing: file.timing.beside(&dir),
            notify: file.notify.file.map(|name| dir.join(name)),
            notices: file.notify.templates.map(|name| dir.join(name)),
            dir,
        })
    }

    /// Where the store is.
    pub fn store(&self) -> Place {
        let file = || Place::File(self.dir.join("store/sekimori.db"));
        self.servers.clone().map_or_else(file, Place::Servers)
    }

    /// `https://…` of a listener as agents and browsers reach it, by the first host.
    pub fn url(&self, listener: SocketAddr) -> String {
        let host = self.hosts.first().map_or("localhost", String::as_str);
        match host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("https://[{address}]:{}", listener.port()),
            Err(_) => format!("https://{host}:{}", listener.port()),
        }
    }
}

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: ListenFile,
    #[serde(default)]
    correlate: CorrelateFile,
    #[serde(default)]
    exceptions: ExceptionsFile,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    tls: TlsFile,
    #[serde(default)]
    fleet: FleetFile,
    #[serde(default)]
    identity: IdentityFile,
    #[serde(default)]
    accounts: AccountsFile,
    #[serde(default)]
    store: StoreFile,
    #[serde(default)]
    timing: TimingFile,
    #[serde(default)]
    notify: NotifyFile,
    #[serde(default)]
    export: ExportFile,
    #[serde(default)]
    metrics: MetricsFile,
    oidc: Option<OidcFile>,
    #[serde(default)]
    retention: RetentionFile,
}

/// The text of the address may hold a password: it is never shown.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreFile {
    url: Option<String>,
}

impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFile").finish_non_exhaustive()
    }
}

/// Relative names are looked for beside the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TimingFile {
    holidays: Option<PathBuf>,
    calendar: Option<PathBuf>,
    obligations: Option<PathBuf>,
    timers: Option<PathBuf>,
}

impl TimingFile {
    fn beside(self, dir: &Path) -> Sources {
        let beside = |name: Option<PathBuf>| name.map(|name| dir.join(name));
        Sources {
            holidays: beside(self.holidays),
            calendar: beside(self.calendar),
            obligations: beside(self.obligations),
            timers: beside(self.timers),
        }
    }
}

/// Measures and health, without a login: for this machine alone.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MetricsFile {
    listen: Option<SocketAddr>,
}

impl MetricsFile {
    fn checked(
        &self,
        rule: impl Fn(&'static str, &'static str) -> ConfigError,
    ) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            return Err(rule(
                "metrics.listen",
                "is an address of this machine alone, such as 127.0.0.1:9464: others ask the console for \
                /api/v1/metrics with a token",
            ));
        }
        Ok(self.listen)
    }
}

/// Who exports say they are from, and with whom they may be shared.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExportFile {
    producer: Option<String>,
    tlp: Tlp,
}

impl ExportFile {
    /// Two collectors that know of different incidents must not have the same name: by itself it is that of the machine.
    fn read(self, hosts: &[String]) -> ExportSettings {
        let producer = self.producer.or_else(|| hosts.first().cloned()).unwrap_or_default();
        ExportSettings { producer, tlp: self.tlp }
    }
}

/// Relative names are looked for beside the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NotifyFile {
    file: Option<PathBuf>,
    templates: Option<PathBuf>,
}

/// Relative names are looked for beside the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExceptionsFile {
    files: Vec<PathBuf>,
    agents_own: AgentsOwn,
}

/// What holds of exceptions that only agents know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentsOwn {
    /// The agent's mark stands, and is shown and counted as unknown.
    #[default]
    Accept,
    /// The finding counts, whatever its agent said.
    Refuse,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenFile {
    hosts: Vec<String>,
    ingest: SocketAddr,
    enroll: SocketAddr,
    console: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CorrelateFile {
    gap_minutes: u64,
    wide_area_bodies: u64,
    wide_area_hours: u64,
}

impl CorrelateFile {
    fn read(
        &self,
        within: impl Fn(&'static str, u64, u64, u64, &'static str) -> Result<u64, ConfigError>,
    ) -> Result<Correlation, ConfigError> {
        let minutes = within("correlate.gap_minutes", self.gap_minutes, 1, 1440, "is 1 to 1440")?;
        let bodies = within("correlate.wide_area_bodies", self.wide_area_bodies, 2, 1788, "is 2 to 1788")?;
        let hours = within("correlate.wide_area_hours", self.wide_area_hours, 1, 720, "is 1 to 720")?;
        Ok(Correlation {
            gap: Duration::from_secs(minutes * 60),
            wide_area_bodies: usize::try_from(bodies).unwrap_or(usize::MAX),
            wide_area_window: Duration::from_secs(hours * 3600),
        })
    }
}

impl Default for CorrelateFile {
    fn default() -> Self {
        Self { gap_minutes: 30, wide_area_bodies: 3, wide_area_hours: 24 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsFile {
    connections: u64,
    connections_per_address: Option<u64>,
    handshake_seconds: u64,
    body_seconds: u64,
    idle_seconds: u64,
    agent_submissions_per_second: u64,
    agent_bytes_per_second: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: None,
            handshake_seconds: 10,
            body_seconds: 30,
            idle_seconds: 120,
            agent_submissions_per_second: 20,
            agent_bytes_per_second: 4 << 20,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsFile {
    require_post_quantum: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetFile {
    silent_seconds: u64,
    skew_seconds: u64,
}

impl Default for FleetFile {
    fn default() -> Self {
        Self { silent_seconds: 300, skew_seconds: 30 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IdentityFile {
    certificate_seconds: u64,
}

impl Default for IdentityFile {
    fn default() -> Self {
        Self { certificate_seconds: 90 * 86_400 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AccountsFile {
    /// None: every role that works on incidents.
    second_factor: Option<Vec<String>>,
    session_idle_minutes: u64,
    session_hours: u64,
}

impl Default for AccountsFile {
    fn default() -> Self {
        Self { second_factor: None, session_idle_minutes: 60, session_hours: 12 }
    }
}

impl AccountsFile {
    fn rules(
        self,
        hosts: &[String],
        within: impl Fn(&'static str, u64, u64, u64, &'static str) -> Result<u64, ConfigError>,
        rule: impl Fn(&'static str, &'static str) -> ConfigError,
    ) -> Result<AccountRules, ConfigError> {
        let idle = self.session_idle_minutes;
        let idle = within("accounts.session_idle_minutes", idle, 5, 720, "is 5 to 720")?;
        let age = within("accounts.session_hours", self.session_hours, 1, 24, "is 1 to 24")?;
        let unknown = || rule("accounts.second_factor", "names a role that there is not");
        let named = self.second_factor.map(|names| {
            names.iter().map(|name| Role::from_name(name).ok_or_else(unknown)).collect::<Result<_, _>>()
        });
        Ok(AccountRules {
            second_factor: named.transpose()?.unwrap_or_else(|| AccountRules::default().second_factor),
            session: SessionRules {
                idle: Duration::from_secs(idle * 60),
                age: Duration::from_secs(age * 3600),
            },
            host: hosts.first().cloned().unwrap_or_default(),
            oidc: None,
        })
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Something else than a configuration.
    #[error("{path} is larger than a configuration can be")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Its form; the cause names line and key.
    #[error("{path} is not a valid configuration")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// A value.
    #[error("{path}: {key} {rule}")]
    Rule {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    const GOOD: &str = "[listen]\nhosts = [\"::1\"]\ningest = \"127.0.0.1:1\"\nenroll = \"127.0.0.1:2\"\nconsole = \"127.0.0.1:3\"\n";

    #[test]
    fn the_shortest_file_is_enough() {
        let config = Config::parse(GOOD, Path::new("etc/collector.toml")).unwrap();
        assert_eq!(config.store().to_string(), "etc/store/sekimori.db");
        assert_eq!(config.url(config.console), "https://[::1]:3");
        assert_eq!((config.exceptions.len(), config.agents_own), (0, AgentsOwn::Accept));
        let named =
            format!("{GOOD}[exceptions]\nfiles = [\"a.toml\", \"/b.toml\"]\nagents_own = \"refuse\"\n");
        let named = Config::parse(&named, Path::new("etc/collector.toml")).unwrap();
        assert_eq!(named.exceptions, [Path::new("etc/a.toml"), Path::new("/b.toml")]);
        assert_eq!(named.agents_own, AgentsOwn::Refuse);
        let own =
            format!("{GOOD}[timing]\nholidays = \"syukujitsu.csv\"\n[notify]\nfile = \"notify.toml\"\n");
        let own = Config::parse(&own, Path::new("etc/collector.toml")).unwrap();
        assert_eq!(own.timing.holidays.as_deref(), Some(Path::new("etc/syukujitsu.csv")));
        assert_eq!((own.timing.timers, own.notify.as_deref()), (None, Some(Path::new("etc/notify.toml"))));
        assert_eq!((config.correlation.wide_area_bodies, config.connections_max), (3, 4096));
        assert_eq!(config.accounts, AccountRules { host: "::1".to_owned(), ..AccountRules::default() });
        let eased = format!("{GOOD}[accounts]\nsecond_factor = [\"control\"]\nsession_hours = 1\n");
        let eased = Config::parse(&eased, Path::new("c.toml")).unwrap().accounts;
        assert_eq!(Vec::from_iter(eased.second_factor), [Role::Control]);
        assert_eq!(eased.session.age.as_secs(), 3600);
    }

    #[test]
    fn the_example_sets_what_holds_without_it() {
        const EXAMPLE: &str = include_str!("../collector.example.toml");
        let (before, after) = EXAMPLE.split_once("\n\n[listen]\n").unwrap();
        let listen = after.split_once("\n\n").unwrap().0;
        assert!(before.starts_with("# Sekimori collector"));
        let said = |text: &str| format!("{:?}", Config::parse(text, Path::new("c.toml")).unwrap());
        assert_eq!(said(EXAMPLE), said(&format!("[listen]\n{listen}\n")));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (added, expected) in [
            ("speed = 1\n", "line 6, column 1"),
            ("speed = 1\n", "unknown field `speed`"),
            ("[correlate]\ngap_minuets = 3\n", "unknown field `gap_minuets`"),
            ("[correlate]\ngap_minutes = 0\n", "correlate.gap_minutes is 1 to 1440"),
            ("[limits]\nconnections = -1\n", "line 7, column 15"),
            ("[identity]\ncertificate_seconds = 4\n", "identity.certificate_seconds is 5 to"),
            ("[listen]\n", "line 6"),
            ("[exceptions]\nagents_own = \"maybe\"\n", "unknown variant `maybe`"),
            ("[accounts]\nsecond_factor = [\"root\"]\n", "accounts.second_factor names a role"),
            ("[oidc]\nissuer = \"http://idp\"\nclient_id = \"x\"\n", "oidc.issuer is an https URL"),
            ("[retention]\nflows_days = 0\n", "retention.flows_days is 1 to 36500 days"),
            ("[retention]\nmax_size = 5\n", "retention.max_size is 0 (no limit) or at least"),
            ("[accounts]\nsession_idle_minutes = 0\n", "accounts.session_idle_minutes is 5 to 720"),
        ] {
            let error = Config::parse(&format!("{GOOD}{added}"), Path::new("c.toml")).unwrap_err();
            let shown = format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
            assert!(shown.starts_with("c.toml") && shown.contains(expected), "{added:?}: {shown}");
        }
        let missing = Config::parse("", Path::new("c.toml")).unwrap_err();
        assert!(missing.source().is_some_and(|cause| cause.to_string().contains("missing field `listen`")));
    }
}
