//! What the configuration file means: defaults filled in, units in types, every reference checked.
//!
//! An error names the file, the line, the key and the rule that was broken.

mod endpoint;
pub(crate) mod file;
mod keys;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekimori_sensor::alert::Mappings;
use sekimori_sensor::limits::Limits;
use sekimori_sensor::segment::{Policy, PolicyError, PolicyFile};
use sekimori_wire::exception::{ExceptionFile, Exceptions};
use sekimori_wire::id::Digest;

use crate::capture::Options;
use crate::endpoint::Source;
use crate::endpoint::mappings::{self, MappingsError};
use crate::exceptions::{self, ExceptionsError};
use crate::intel::Sources;
use crate::line::{self, Line};
use crate::watch::Plan;
use file::{Engine, File};
pub(crate) use keys::{Changes, Keys};

/// 1 GiB: more than a day of the full uplink, a week of an ordinary one.
pub(crate) const SPOOL_BYTES: u64 = 1 << 30;

/// The configuration in force.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file it came from.
    pub(crate) path: PathBuf,
    /// Of the file's bytes.
    pub(crate) digest: Digest,
    /// What it says, for comparing.
    pub(crate) keys: Keys,
    pub(crate) interfaces: Vec<String>,
    pub(crate) capture: Options,
    /// Capture threads of each interface.
    pub(crate) workers: usize,
    /// Where a copy of what is captured is written.
    pub(crate) record: Option<PathBuf>,
    pub(crate) state: PathBuf,
    /// How the collector is reached.
    pub(crate) collector: Line,
    /// Where alerts of endpoint products come from.
    pub(crate) endpoint: Vec<Arc<Source>>,
    /// What their messages mean.
    pub(crate) mappings: Arc<Mappings>,
    /// Servers that are asked whether they serve.
    pub(crate) watch: Plan,
    pub(crate) spool_bytes: u64,
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) intel: Sources,
    /// Those written in the configuration, and those of the files it names; checked.
    pub(crate) exceptions: Vec<ExceptionFile>,
}

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{file}: cannot read the configuration")]
    Read {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{file}:{line}: {key}: {rule}")]
    Value { file: PathBuf, line: usize, key: String, rule: String },
    #[error("{file}:{line}: the networks described do not fit together")]
    Policy {
        file: PathBuf,
        line: usize,
        #[source]
        cause: PolicyError,
    },
    #[error("{file}:{line}: the exceptions cannot be used")]
    Exceptions {
        file: PathBuf,
        line: usize,
        #[source]
        cause: Box<ExceptionsError>,
    },
    #[error(transparent)]
    Mappings(#[from] MappingsError),
    #[error("{file}: capture.interfaces: name at least one interface; there are: {there}")]
    NoInterface { file: PathBuf, there: String },
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(cause) => Err(ConfigError::Read { file: path.to_owned(), cause }),
        }
    }

    /// Checks a text as if it lay in this file.
    pub(crate) fn check(path: &Path, text: &str) -> Result<(), ConfigError> {
        Self::parse(path, text)?.require_interface()
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, key) = place(text, at);
            let rule = error.message().replace("unknown field", "unknown key").replace('\n', " ");
            ConfigError::Value { file: path.to_owned(), line, key, rule }
        })?;
        let limits = limits_of(file.memory, &file.limits);
        let networks = PolicyFile { body: file.body, segment: file.segment, allow: file.allow };
        let policy = Policy::from_file(networks).map_err(|cause| {
            let line = line_of(text, &cause.to_string());
            ConfigError::Policy { file: path.to_owned(), line, cause }
        })?;
        let exceptions = exceptions_of(path, file.exception, &file.exceptions.files).map_err(|cause| {
            let line = line_of(text, &cause.to_string());
            ConfigError::Exceptions { file: path.to_owned(), line, cause: Box::new(cause) }
        })?;
        let workers = workers_of(path, text, &file.capture)?;
        let (mappings, endpoint) = endpoint::sources(path, text, file.endpoint)?;
        Ok(Self {
            path: path.to_owned(),
            digest: Digest::of(text.as_bytes()),
            keys: Keys::of(text),
            interfaces: file.capture.interfaces.into_iter().map(|name| name.0).collect(),
            capture: Options {
                engine: file.capture.engine,
                filter: file.capture.filter.0,
                promiscuous: file.capture.promiscuous,
                ignore_outgoing: file.capture.ignore_outgoing,
            },
            workers,
            record: file.capture.record,
            state: file.state.dir,
            collector: line_to(path, text, file.collector)?,
            endpoint,
            mappings,
            watch: watch::plan(path, text, file.watch)?,
            spool_bytes: file.spool.max_bytes.map_or(SPOOL_BYTES, file::Within::value),
            limits,
            policy,
            intel: sources(path, file.intel),
            exceptions,
        })
    }

    /// For live operation: at least one interface must be named.
    pub(crate) fn require_interface(&self) -> Result<(), ConfigError> {
        if !self.interfaces.is_empty() {
            return Ok(());
        }
        let there: Vec<String> = pnet::datalink::interfaces().into_iter().map(|one| one.name).collect();
        Err(ConfigError::NoInterface { file: self.path.clone(), there: there.join(", ") })
    }
}

/// What messages of endpoint products mean: as the configuration says, or as the agent knows.
pub(crate) fn mappings_of(config: Option<&Config>) -> Result<Arc<Mappings>, ConfigError> {
    match config {
        Some(config) => Ok(Arc::clone(&config.mappings)),
        None => Ok(mappings::built_in()?),
    }
}

/// The memory shared out, and what is said of single bounds in its place.
fn limits_of(memory: file::Memory, single: &file::LimitsFile) -> Limits {
    let mut limits = memory.max.map_or_else(Limits::gateway, |size| size.0);
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    if let Some(seconds) = single.window_seconds {
        limits.window = Duration::from_secs(seconds.value());
    }
    if let Some(flows) = single.flows {
        let flows = size(flows.value());
        // More flows than were meant have the same room each.
        let more = flows.saturating_sub(limits.flows);
        let each = limits.flow_bytes / limits.flows.max(1);
        limits.flow_bytes = limits.flow_bytes.saturating_add(more.saturating_mul(each));
        limits.flows = flows;
    }
    if let Some(bytes) = single.summary_bytes {
        limits.summary_bytes = size(bytes.value());
    }
    limits
}

/// How the collector is reached.
fn line_to(path: &Path, text: &str, collector: file::Collector) -> Result<Line, ConfigError> {
    let credentials = collector.proxy_credentials.and_then(|file| beside(path, &[file]).pop());
    let proxy = match (collector.proxy, credentials) {
        (Some(proxy), credentials) => Some(proxy.0.with_credentials(credentials)),
        (None, Some(_)) => {
            return Err(ConfigError::Value {
                file: path.to_owned(),
                line: text
                    .lines()
                    .position(|line| line.trim_start().starts_with("proxy_credentials"))
                    .map_or(1, |at| at + 1),
                key: "collector.proxy_credentials".to_owned(),
                rule: "there is no collector.proxy that they could be for".to_owned(),
            });
        }
        (None, None) => None,
    };
    let in_flight = collector.in_flight.and_then(|most| usize::try_from(most.value()).ok());
    let line = Line {
        urls: collector.urls.into_iter().map(|url| url.0).collect(),
        in_flight: in_flight.unwrap_or(line::IN_FLIGHT),
        proxy,
        require_post_quantum: collector.require_post_quantum,
        ..Line::direct()
    };
    let budget = collector.budget.map_or(line::BUDGET_BYTES, |budget| budget.0);
    Ok(line.limited(collector.rate.map_or(line::RATE_BITS, |rate| rate.0)).budgeted(budget))
}

/// Names of files are relative to the configuration.
fn beside(config: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    files.iter().map(|file| folder.join(file)).collect()
}

fn sources(path: &Path, intel: file::Intel) -> Sources {
    Sources {
        files: beside(path, &intel.files),
        bundles: beside(path, &intel.bundles),
        shared: beside(path, &intel.shared),
        central: Vec::new(),
        keys: intel.keys.into_iter().map(|key| key.0).collect(),
        max_age: intel.max_age.map(|age| age.0),
        severities: intel.feed.into_iter().map(|feed| (feed.name, feed.max_severity.0)).collect(),
    }
}

/// Those written here and in further files; a mistake in any of them is one of the configuration.
fn exceptions_of(
    path: &Path,
    mut own: Vec<ExceptionFile>,
    files: &[PathBuf],
) -> Result<Vec<ExceptionFile>, ExceptionsError> {
    for file in beside(path, files) {
        own.extend(exceptions::read(&file)?);
    }
    Exceptions::from_files(own.clone())?;
    Ok(own)
}

/// The line of a byte offset, and the key that is written there, with its table.
pub(crate) fn place(text: &str, at: usize) -> (usize, String) {
    let before = text.get(..at).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let mut key = String::new();
    let mut table = String::new();
    for line in text.lines().take(number) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            // An array's continuation may begin with a bracket too, but it is no bare name.
            let name = name.trim_start_matches('[').trim();
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.- ".contains(c)) {
                name.clone_into(&mut table);
                key.clear();
                continue;
            }
        }
        if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            name.trim().clone_into(&mut key);
        }
    }
    match (table.is_empty(), key.is_empty()) {
        (true, _) => (number, key),
        (false, true) => (number, format!("[{table}]")),
        (false, false) => (number, format!("{table}.{key}")),
    }
}

/// The line that a complaint about networks is about: that of `segment[N]`, or the last one with the value it quotes.
fn line_of(text: &str, complaint: &str) -> usize {
    let segment = complaint.strip_prefix("segment[").and_then(|rest| rest.split(']').next());
    let lines = text.lines().enumerate();
    let found = match segment.and_then(|index| index.parse::<usize>().ok()) {
        Some(index) => lines.filter(|(_, line)| line.trim_start().starts_with("[[segment]]")).nth(index),
        None => {
            let quoted = complaint.split('"').nth(1).map(|value| format!("\"{value}\""));
            lines.filter(|(_, line)| quoted.as_ref().is_some_and(|quoted| line.contains(quoted))).last()
        }
    };
    found.map_or(1, |(idx, _)| idx + 1)
}

/// As many capture threads as there are processors, up to two, unless the file says otherwise.
fn workers_of(path: &Path, text: &str, capture: &file::Capture) -> Result<usize, ConfigError> {
    let workers = match (capture.engine, capture.workers.map(file::Within::value)) {
        (Engine::Pcap, Some(2..)) => {
            return Err(ConfigError::Value {
                file: path.to_owned(),
                line: text
                    .lines()
                    .position(|line| line.trim_start().starts_with("workers"))
                    .map_or(1, |at| at + 1),
                key: "capture.workers".to_owned(),
                rule: "engine = \"pcap\" has one worker; engine = \"ring\" shares among several".to_owned(),
            });
        }
        (Engine::Pcap, _) => 1,
        (Engine::Ring, Some(workers)) => usize::try_from(workers).unwrap_or(1),
        (Engine::Ring, None) => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
    };
    Ok(workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Proxy;

    fn refused(text: &str) -> String {
        let error = Config::parse(Path::new("agent.toml"), text).unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    }

    /// Parsers and a spool that is read back need room beside the tables.
    #[test]
    fn the_unit_leaves_room_for_full_tables_and_half_as_much_again() {
        let unit = include_str!("../../systemd/sekimori-agent.service");
        let most = unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")?.strip_suffix('M')).unwrap();
        let most = most.parse::<usize>().unwrap() << 20;
        let full = Limits::gateway().worst_case_bytes();
        assert!(full + full / 2 <= most && most < full * 2, "{full} bytes of tables, {most} allowed");
    }

    #[test]
    fn an_error_names_file_line_key_and_rule() {
        for (text, expected) in [
            (
                "[capture]\ninterfacez = [\"eth0\"]\n",
                "agent.toml:2: capture.interfacez: unknown key `interfacez`",
            ),
            ("\n[captur]\ninterfaces = []\n", "agent.toml:2: [captur]: unknown key `captur`"),
            ("# x = 1\n[endpoint]\nudp = \"514\"\n", "agent.toml:3: endpoint.udp: invalid socket address"),
            ("[capture]\nworkers = 0\n", "agent.toml:2: capture.workers: 0 is not between 1 and 16"),
            (
                "[capture]\nengine = \"pcap\"\nworkers = 2\n",
                "agent.toml:3: capture.workers: engine = \"pcap\" has one worker",
            ),
            ("[capture]\nengine = \"xdp\"\n", "agent.toml:2: capture.engine: unknown variant `xdp`"),
            (
                "[capture]\ninterfaces = [\n  \"eth0\",\n  \"a b\",\n]\n",
                "agent.toml:2: capture.interfaces: `a b` cannot",
            ),
            ("[spool]\nmax_bytes = 10\n", "agent.toml:2: spool.max_bytes: 10 is not between 1048576 and"),
            (
                "[memory]\nmax = \"20 MiB\"\n",
                "agent.toml:2: memory.max: 20971520 bytes are too little for all tables: give",
            ),
            ("[memory]\nmax = \"much\"\n", "agent.toml:2: memory.max: is not a size such as \"256 MiB\""),
            ("[memory]\nmax = -1\n", "agent.toml:2: memory.max: "),
            ("[limits]\nflows = -1\n", "agent.toml:2: limits.flows: -1 is not between 1024 and"),
            (
                "[collector]\nurls = [\"http://a:1\"]\n",
                "agent.toml:2: collector.urls: `http://a:1` is not of the form https://",
            ),
            ("[collector]\nin_flight = 5\n", "agent.toml:2: collector.in_flight: 5 is not between 1 and 4"),
            (
                "[collector]\nrate = \"4 MB\"\n",
                "agent.toml:2: collector.rate: `4 MB` is not a rate such as \"4 Mbit/s\"",
            ),
            (
                "[collector]\nrate = \"63 kbit/s\"\n",
                "agent.toml:2: collector.rate: `63 kbit/s` is less than 64 kbit/s",
            ),
            ("[collector]\nbudget = \"64\"\n", "agent.toml:2: collector.budget: `64` is less than 32 KiB"),
            (
                "[collector]\nproxy = \"https://p:1\"\n",
                "agent.toml:2: collector.proxy: `https://p:1` is not of the form http://HOST:PORT",
            ),
            (
                "[collector]\nurls = []\nproxy_credentials = \"p\"\n",
                "agent.toml:3: collector.proxy_credentials: there is no collector.proxy",
            ),
            ("[capture]\ninterfaces = \n", "agent.toml:2: capture.interfaces: "),
            ("[[segment]]\nname = \"x\"\ncidrs = []\n", "agent.toml:3: segment.cidrs: unknown key `cidrs`"),
            ("[intel]\nmax_age = \"soon\"\n", "agent.toml:2: intel.max_age: `soon` is not an age such as 7d"),
            ("[intel]\nkeys = [\"x\"]\n", "agent.toml:2: intel.keys: `x` is not a public key"),
            (
                "[[intel.feed]]\nname = \"x\"\nmax_severity = 5\n",
                "agent.toml:3: intel.feed.max_severity: 5 is not between 0 and 4",
            ),
            (
                "[spool]\n[[exception]]\nid = \"EX-1\"\n",
                "agent.toml:3: the exceptions cannot be used: exception \"EX-1\": reason is missing",
            ),
            (
                "[exceptions]\nfiles = [\"missing.toml\"]\n",
                "agent.toml:1: the exceptions cannot be used: cannot read missing.toml",
            ),
        ] {
            let message = refused(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn networks_that_do_not_fit_name_a_line_too() {
        let twice = "[[body]]\ncode = \"422011\"\n[[body]]\ncode = \"422011\"\n";
        assert!(
            refused(twice).starts_with("agent.toml:4: the networks described do not fit together: body.code")
        );
        let empty = "[[segment]]\nname = \"dmz\"\nvlan = [1]\n\n[[segment]]\nname = \"wan\"\n";
        assert!(refused(empty).starts_with("agent.toml:5: "), "{}", refused(empty));
    }

    #[cfg(feature = "pcap")]
    #[test]
    fn a_filter_is_compiled_at_once() {
        let message = refused("[capture]\nfilter = \"tcp prot 80\"\n");
        assert!(message.starts_with("agent.toml:2: capture.filter: filter `tcp prot 80`: "), "{message}");
    }

    #[test]
    fn nothing_is_required() {
        let config = Config::parse(Path::new("agent.toml"), "").unwrap();
        assert!(config.require_interface().unwrap_err().to_string().contains("there are: "));
        let config = Config::parse(Path::new("a"), "[capture]\ninterfaces = [\"lo\"]\n").unwrap();
        config.require_interface().unwrap();
        assert_eq!(config.spool_bytes, SPOOL_BYTES);
    }

    #[test]
    fn memory_is_shared_out_unless_a_bound_is_given() {
        let limits = |text: &str| Config::parse(Path::new("agent.toml"), text).unwrap().limits;
        let (usual, half) = (limits(""), limits("[memory]\nmax = \"128 MiB\"\n"));
        assert!(usual.worst_case_bytes() <= 256 << 20 && half.worst_case_bytes() <= 128 << 20);
        assert_eq!(half.flows * 2, usual.flows);
        assert_eq!(limits("[memory]\nmax = 134217728\n").flow_bytes, half.flow_bytes);
        let own = limits("[memory]\nmax = \"128 MiB\"\n[limits]\nflows = 2_000_000\n");
        assert_eq!(own.flows, 2_000_000, "what is said of one bound holds");
        assert!(own.worst_case_bytes() > 256 << 20, "and is paid for: {}", own.worst_case_bytes());
    }

    #[test]
    fn the_example_parses() {
        let text = include_str!("../agent.example.toml");
        let config = Config::parse(Path::new("agent.example.toml"), text).unwrap();
        assert_eq!(config.interfaces, ["eth0"]);
        assert_eq!(config.endpoint.len(), 2);
        assert_eq!(config.limits.window, Duration::from_secs(10));
        assert_eq!((config.collector.in_flight, config.collector.require_post_quantum), (4, false));
        // The example says what holds without it: half of what 1,000,000 bytes may take, twice over.
        let silent = Config::parse(Path::new("agent.toml"), "").unwrap();
        for config in [&config, &silent] {
            assert_eq!(config.collector.allowance(1_000_000), Duration::from_secs(4));
            // Three quarters of 64 KiB flow in ten seconds: 4,915 bytes a second.
            assert_eq!(config.collector.allowance_up(1_000_000), Duration::from_secs(406));
        }
        assert_eq!(config.intel.max_age, Some(Duration::from_secs(7 * 86_400)));
    }

    #[test]
    fn the_way_to_the_collector_is_as_it_is_written() {
        let line = |text: &str| Config::parse(Path::new("/etc/sekimori/agent.toml"), text).unwrap().collector;
        let proxied = line("[collector]\nproxy = \"http://p:3128\"\nproxy_credentials = \"proxy\"\n");
        let proxy = Proxy::parse("http://p:3128").unwrap();
        assert_eq!(proxied.proxy, Some(proxy.with_credentials(Some("/etc/sekimori/proxy".into()))));
        for (rate, seconds) in [("64 kbit/s", 250), ("1 Mbit/s", 16), ("2Mbit/s", 8), ("none", 0)] {
            let allowance = line(&format!("[collector]\nrate = \"{rate}\"\n")).allowance(1_000_000);
            assert_eq!(allowance, Duration::from_secs(seconds), "{rate}");
        }
        assert!(line("[collector]\nbudget = \"1 MiB\"\n").is_budgeted());
        assert!(!line("[collector]\nbudget = \"none\"\n").is_budgeted());
        assert!(line("[collector]\nrequire_post_quantum = true\n").require_post_quantum);
    }

    #[test]
    fn files_are_looked_for_beside_the_configuration() {
        let text = "[intel]\nfiles = [\"a.csv\", \"/b.csv\"]\nbundles = [\"c.intel\"]\n";
        let config = Config::parse(Path::new("/etc/sekimori/agent.toml"), text).unwrap();
        assert_eq!(config.intel.files, [Path::new("/etc/sekimori/a.csv"), Path::new("/b.csv")]);
        assert_eq!(config.intel.bundles, [Path::new("/etc/sekimori/c.intel")]);
    }
}
