//! `[endpoint]`: the sources of alerts.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekimori_sensor::alert::{Mappings, Zone};
use serde::Deserialize;

use super::ConfigError;
use super::file::{Age, Within};
use crate::endpoint::mappings;
use crate::endpoint::source::{Charset, Kind, Network, Source, TlsFiles, Where};

/// Sources of one agent.
const SOURCES_MAX: usize = 32;
/// A hundred a second, all through a minute.
const ALERTS_PER_MINUTE: u32 = 6_000;
/// The two older keys have never had a limit that anybody meets.
const ALERTS_PER_MINUTE_MAX: u32 = 1_000_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Endpoint {
    udp: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    /// A folder with further mappings.
    mappings: Option<PathBuf>,
    source: Vec<SourceFile>,
}

impl Endpoint {
    /// Files that it names and that are read with it.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.source.iter().flat_map(SourceFile::files)
    }

    /// The folder with further mappings.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.mappings.as_deref()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceFile {
    name: SourceName,
    kind: Kind,
    address: Option<SocketAddr>,
    path: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    #[serde(default)]
    allow: Vec<Network>,
    /// Names of the mappings that its lines are tried with; left out: all.
    #[serde(default)]
    mappings: Vec<String>,
    #[serde(default)]
    charset: Charset,
    #[serde(default)]
    zone: Zone,
    alerts_per_minute: Option<Within<1, 1_000_000>>,
    quiet_after: Option<Age>,
}

impl SourceFile {
    fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key, &self.client_ca].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// Part of counter names.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct SourceName(String);

impl TryFrom<String> for SourceName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) {
            return Err(format!("`{name}` is not a name of 1 to 32 letters, digits, - and _"));
        }
        Ok(Self(name))
    }
}

/// What the section means: all mappings, and the sources.
pub(super) fn sources(
    path: &Path,
    text: &str,
    endpoint: Endpoint,
) -> Result<(Arc<Mappings>, Vec<Arc<Source>>), ConfigError> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let all = mappings::read(endpoint.mappings.map(|file| folder.join(file)).as_deref())?;
    let plain = |name: &str, kind, address| Source {
        name: name.to_owned(),
        key: format!("endpoint.{name}"),
        kind,
        place: Where::Address(address),
        tls: None,
        allow: Vec::new(),
        mappings: Arc::clone(&all),
        charset: Charset::default(),
        zone: Zone::default(),
        alerts_per_minute: ALERTS_PER_MINUTE_MAX,
        quiet_after: None,
    };
    let mut sources = Vec::new();
    sources.extend(endpoint.udp.map(|address| plain("udp", Kind::SyslogUdp, address)));
    sources.extend(endpoint.tcp.map(|address| plain("tcp", Kind::SyslogTcp, address)));
    for (at, source) in endpoint.source.into_iter().enumerate() {
        let wrong = |(key, rule): (&str, String)| ConfigError::Value {
            file: path.to_owned(),
            line: line_of(text, at, key),
            key: format!("endpoint.source.{key}"),
            rule,
        };
        if sources.iter().any(|other: &Source| other.name == source.name.0) {
            return Err(wrong(("name", format!("there is another source `{}`", source.name.0))));
        }
        if sources.len() >= SOURCES_MAX {
            return Err(wrong(("name", format!("more than {SOURCES_MAX} sources"))));
        }
        sources.push(meaning(source, folder, &all).map_err(wrong)?);
    }
    Ok((all, sources.into_iter().map(Arc::new).collect()))
}

/// A source, or the key that is wrong and why.
fn meaning(source: SourceFile, folder: &Path, all: &Arc<Mappings>) -> Result<Source, (&'static str, String)> {
    let kind = source.kind;
    let place = match (kind, source.address, source.path) {
        (Kind::File, None, Some(path)) => Where::File(folder.join(path)),
        (Kind::File, Some(_), _) => return Err(("address", "a file has a path, no address".to_owned())),
        (Kind::File, None, None) => return Err(("kind", "a file needs its `path`".to_owned())),
        (_, Some(address), None) => Where::Address(address),
        (_, _, Some(_)) => return Err(("path", "only kind = \"file\" has a path".to_owned())),
        (_, None, None) => return Err(("kind", "a listener needs its `address`".to_owned())),
    };
    let tls = match (kind.is_tls(), source.certificate, source.key) {
        (true, Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: folder.join(certificate),
            key: folder.join(key),
            client_ca: source.client_ca.map(|file| folder.join(file)),
        }),
        (true, None, _) => return Err(("kind", "TLS needs a `certificate`".to_owned())),
        (true, Some(_), None) => return Err(("certificate", "TLS needs the `key` of it".to_owned())),
        (false, Some(_), _) => return Err(("certificate", "only TLS kinds have one".to_owned())),
        (false, None, Some(_)) => return Err(("key", "only TLS kinds have one".to_owned())),
        (false, None, None) if source.client_ca.is_some() => {
            return Err(("client_ca", "only TLS kinds have one".to_owned()));
        }
        (false, None, None) => None,
    };
    if kind == Kind::File && !source.allow.is_empty() {
        return Err(("allow", "a file has no sender".to_owned()));
    }
    let mappings = if source.mappings.is_empty() {
        Arc::clone(all)
    } else {
        let only = all.only(&source.mappings);
        Arc::new(only.map_err(|name| ("mappings", format!("there is no mapping `{name}`")))?)
    };
    let per_minute = source.alerts_per_minute.and_then(|most| u32::try_from(most.value()).ok());
    Ok(Source {
        key: format!("endpoint.source \"{}\": address", source.name.0),
        name: source.name.0,
        kind,
        place,
        tls,
        allow: source.allow,
        mappings,
        charset: source.charset,
        zone: source.zone,
        alerts_per_minute: per_minute.unwrap_or(ALERTS_PER_MINUTE),
        quiet_after: source.quiet_after.map(|age| age.0),
    })
}

/// The line of a key of the source with this number.
fn line_of(text: &str, at: usize, key: &str) -> usize {
    let is_source = |line: &str| line.trim().starts_with("[[endpoint.source]]");
    let Some(begin) = text.lines().enumerate().filter(|(_, line)| is_source(line)).nth(at) else { return 1 };
    let own =
        text.lines().enumerate().skip(begin.0 + 1).take_while(|(_, line)| !line.trim().starts_with("[["));
    let names = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    own.into_iter().find(|(_, line)| names(line)).map_or(begin.0 + 1, |(number, _)| number + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/etc/s/agent.toml"), text)
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    #[test]
    fn sources_of_every_kind() {
        let config = read(
            r#"
            [endpoint]
            udp = "127.0.0.1:514"
            [[endpoint.source]]
            name = "fw1"
            kind = "syslog-tls"
            address = "0.0.0.0:6514"
            certificate = "own.pem"
            key = "/k/own.key"
            client_ca = "ca.pem"
            allow = ["10.1.0.0/16"]
            mappings = ["fortigate"]
            charset = "shift_jis"
            zone = "+00:00"
            alerts_per_minute = 30
            quiet_after = "1d"
            [[endpoint.source]]
            name = "eve"
            kind = "file"
            path = "/var/log/suricata/eve.json"
            "#,
        )
        .unwrap();
        let sources = &config.endpoint;
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["udp", "fw1", "eve"]);
        let (fw, eve) = (&sources[1], &sources[2]);
        assert_eq!(fw.tls.as_ref().unwrap().certificate, Path::new("/etc/s/own.pem"));
        assert_eq!(
            (fw.mappings.iter().count(), fw.charset, fw.alerts_per_minute),
            (1, Charset::ShiftJis, 30)
        );
        assert_eq!((fw.quiet_after, eve.quiet_after), (Some(Duration::from_secs(86_400)), None));
        assert_eq!((eve.kind, &eve.place), (Kind::File, &Where::File("/var/log/suricata/eve.json".into())));
        assert!(eve.mappings.iter().count() > 10);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let source = |rest: &str| format!("[[endpoint.source]]\nname = \"a\"\n{rest}");
        for (text, expect) in [
            (source("kind = \"tcp\"\n"), "/etc/s/agent.toml:3: endpoint.source.kind: unknown variant `tcp`"),
            (
                source("kind = \"file\"\n"),
                "/etc/s/agent.toml:3: endpoint.source.kind: a file needs its `path`",
            ),
            (
                source("kind = \"syslog-udp\"\npath = \"x\"\n"),
                "/etc/s/agent.toml:4: endpoint.source.path: only kind = \"file\"",
            ),
            (
                source("kind = \"json-tls\"\naddress = \"[::]:1\"\n"),
                "/etc/s/agent.toml:3: endpoint.source.kind: TLS needs a `certificate`",
            ),
            (
                source("kind = \"syslog-tcp\"\naddress = \"[::]:1\"\nallow = [\"x\"]\n"),
                "/etc/s/agent.toml:5: endpoint.source.allow: `x` is not an address",
            ),
            (
                source("kind = \"syslog-tcp\"\naddress = \"[::]:1\"\nmappings = [\"x\"]\n"),
                "/etc/s/agent.toml:5: endpoint.source.mappings: there is no mapping `x`",
            ),
            (
                format!("{0}{0}", source("kind = \"syslog-udp\"\naddress = \"[::]:1\"\n")),
                "/etc/s/agent.toml:6: endpoint.source.name: there is another source `a`",
            ),
            ("[endpoint]\nmappings = \"/nowhere\"\n".to_owned(), "/nowhere: "),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
