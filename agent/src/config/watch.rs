//! `[watch]`: servers that are asked whether they serve.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sekimori_wire::id::Digest;
use serde::Deserialize;

use super::ConfigError;
use super::file::Within;
use crate::watch::Plan;
use crate::watch::target::{Dns, Http, Mail, MailProtocol, Probe, RecordType, Security, Server, Target, Tls};
use crate::watch::window::Window;

/// Servers of one agent.
const TARGETS_MAX: usize = 64;
const DEPENDS_MAX: usize = 8;
const WINDOWS_MAX: usize = 16;
/// Of texts that are compared with.
const TEXT_MAX: usize = 1_024;
const INTERVAL: Duration = Duration::from_secs(60);
/// Expected records of one answer.
const ANSWERS_MAX: usize = 32;
/// Kerberos takes five minutes; a log that is read beside another does not.
const OFFSET: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A month is ordered, delivered and installed in less.
const CERTIFICATE_DAYS: u64 = 14;
/// Where systems keep the authorities that they trust.
const SYSTEM_CA: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Watch {
    /// Probes a second to one host.
    per_second: Option<Within<1, 10>>,
    target: Vec<TargetFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetFile {
    name: TargetName,
    server: Server,
    probe: Kind,
    address: Option<String>,
    url: Option<String>,
    interval: Option<Span>,
    timeout: Option<Span>,
    slow_after: Option<Span>,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default)]
    maintenance: Vec<Window>,
    status: Option<Within<100, 599>>,
    redirect: Option<String>,
    contains: Option<String>,
    sha256: Option<Hash>,
    ca: Option<PathBuf>,
    certificate_days: Option<Within<0, 365>>,
    query: Option<String>,
    record: Option<RecordType>,
    answer: Option<Vec<String>>,
    authenticated: Option<bool>,
    signed: Option<bool>,
    security: Option<SecurityKind>,
    certificate_name: Option<String>,
    realm: Option<String>,
    max_offset: Option<Span>,
}

/// Whether a mail server goes over to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecurityKind {
    Starttls,
    Tls,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Icmp,
    Tcp,
    Http,
    Dns,
    Smtp,
    Pop3,
    Imap,
    Ldap,
    Kerberos,
    Ntp,
}

impl Kind {
    /// Keys that only some probes have.
    const fn has(self, key: &Key) -> bool {
        match self {
            Self::Icmp | Self::Tcp | Self::Ldap => false,
            Self::Http => matches!(key, Key::Page | Key::Certificate),
            Self::Dns => matches!(key, Key::Question),
            Self::Smtp | Self::Pop3 | Self::Imap => matches!(key, Key::Mail | Key::Certificate),
            Self::Kerberos => matches!(key, Key::Realm),
            Self::Ntp => matches!(key, Key::Offset),
        }
    }
}

/// Groups of keys that go together.
enum Key {
    Page,
    Certificate,
    Question,
    Mail,
    Realm,
    Offset,
}

impl TargetFile {
    /// The first key that is there and that the probe has no use for.
    fn useless(&self) -> Option<&'static str> {
        let keys = [
            ("url", self.url.is_some(), Key::Page),
            ("status", self.status.is_some(), Key::Page),
            ("redirect", self.redirect.is_some(), Key::Page),
            ("contains", self.contains.is_some(), Key::Page),
            ("sha256", self.sha256.is_some(), Key::Page),
            ("ca", self.ca.is_some(), Key::Certificate),
            ("certificate_days", self.certificate_days.is_some(), Key::Certificate),
            ("query", self.query.is_some(), Key::Question),
            ("record", self.record.is_some(), Key::Question),
            ("answer", self.answer.is_some(), Key::Question),
            ("authenticated", self.authenticated.is_some(), Key::Question),
            ("signed", self.signed.is_some(), Key::Question),
            ("security", self.security.is_some(), Key::Mail),
            ("certificate_name", self.certificate_name.is_some(), Key::Mail),
            ("realm", self.realm.is_some(), Key::Realm),
            ("max_offset", self.max_offset.is_some(), Key::Offset),
        ];
        keys.into_iter().find(|(_, is_there, of)| *is_there && !self.probe.has(of)).map(|(key, ..)| key)
    }
}

/// Part of counter names.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct TargetName(String);

impl TryFrom<String> for TargetName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) {
            return Err(format!("`{name}` is not a name of 1 to 32 letters, digits, - and _"));
        }
        Ok(Self(name))
    }
}

/// A length of time such as `30s`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Span(Duration);

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let millis = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            _ => None,
        };
        let span = number.parse::<u64>().ok().zip(millis).and_then(|(number, unit)| number.checked_mul(unit));
        span.map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| format!("`{text}` is not a length of time such as \"30s\", \"500ms\" or \"5m\""))
    }
}

impl Span {
    fn within(span: Option<Self>, least: Duration, most: Duration) -> Result<Option<Duration>, String> {
        match span {
            Some(Self(span)) if span < least || span > most => {
                Err(format!("is not between {least:?} and {most:?}"))
            }
            Some(Self(span)) => Ok(Some(span)),
            None => Ok(None),
        }
    }
}

/// SHA-256 in hexadecimal.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Hash(Digest);

impl TryFrom<String> for Hash {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_cause| format!("`{text}` is not a SHA-256 of 64 hexadecimal digits"))
    }
}

/// A key, and why its value cannot be.
type Wrong = (&'static str, String);

/// What the section means.
pub(super) fn plan(path: &Path, text: &str, watch: Watch) -> Result<Plan, ConfigError> {
    let mut reader = Reader {
        folder: path.parent().unwrap_or_else(|| Path::new("")),
        tls: BTreeMap::new(),
        targets: Vec::new(),
    };
    for (at, target) in watch.target.into_iter().enumerate() {
        let wrong = |(key, rule): Wrong| ConfigError::Value {
            file: path.to_owned(),
            line: line_of(text, at, key),
            key: format!("watch.target.{key}"),
            rule,
        };
        let target = reader.target(target).map_err(wrong)?;
        reader.targets.push(Arc::new(target));
    }
    let per_second = watch.per_second.and_then(|most| u32::try_from(most.value()).ok()).unwrap_or(1);
    Ok(Plan { targets: reader.targets, per_second })
}

struct Reader<'a> {
    folder: &'a Path,
    /// By the file of authorities; the system's without one.
    tls: BTreeMap<Option<PathBuf>, Arc<ClientConfig>>,
    targets: Vec<Arc<Target>>,
}

impl Reader<'_> {
    fn target(&mut self, file: TargetFile) -> Result<Target, Wrong> {
        if self.targets.len() >= TARGETS_MAX {
            return Err(("name", format!("more than {TARGETS_MAX} targets")));
        }
        if self.targets.iter().any(|other| other.name == file.name.0) {
            return Err(("name", format!("there is another target `{}`", file.name.0)));
        }
        let second = Duration::from_secs(1);
        let interval = Span::within(file.interval, second, Duration::from_secs(86_400));
        let interval = interval.map_err(|rule| ("interval", rule))?.unwrap_or(INTERVAL);
        let timeout = Span::within(file.timeout, Duration::from_millis(100), 60 * second);
        let timeout = timeout.map_err(|rule| ("timeout", rule))?.unwrap_or_else(|| TIMEOUT.min(interval));
        if timeout > interval {
            return Err(("timeout", format!("is longer than the interval of {interval:?}")));
        }
        let slow_after = Span::within(file.slow_after, Duration::from_millis(1), timeout);
        let slow_after = slow_after.map_err(|rule| ("slow_after", rule))?;
        let depends_on = self.depends_on(&file.depends_on)?;
        if file.maintenance.len() > WINDOWS_MAX {
            return Err(("maintenance", format!("more than {WINDOWS_MAX} windows")));
        }
        let (host, port, probe) = self.probe(&file)?;
        Ok(Target {
            name: file.name.0,
            server: file.server,
            host,
            port,
            probe,
            interval,
            timeout,
            slow_after,
            depends_on,
            maintenance: file.maintenance,
        })
    }

    /// Only what is written before it: so nothing depends on itself.
    fn depends_on(&self, names: &[String]) -> Result<Vec<usize>, Wrong> {
        if names.len() > DEPENDS_MAX {
            return Err(("depends_on", format!("more than {DEPENDS_MAX}")));
        }
        let place = |name: &String| {
            let found = self.targets.iter().position(|other| other.name == *name);
            found.ok_or_else(|| ("depends_on", format!("there is no target `{name}` above this one")))
        };
        names.iter().map(place).collect()
    }

    fn probe(&mut self, file: &TargetFile) -> Result<(String, u16, Probe), Wrong> {
        if let Some(key) = file.useless() {
            return Err((key, "this probe has no use for it".to_owned()));
        }
        match file.probe {
            Kind::Icmp => {
                let (host, port) = place_of(file, Some(0))?;
                if port > 0 {
                    return Err(("address", "an echo request has no port".to_owned()));
                }
                Ok((host, 0, Probe::Icmp))
            }
            Kind::Tcp => {
                let (host, port) = place_of(file, None)?;
                Ok((host, port, Probe::Tcp))
            }
            Kind::Http => self.http(file),
            Kind::Dns => {
                let (host, port) = place_of(file, Some(53))?;
                Ok((host, port, Probe::Dns(Box::new(dns_of(file)?))))
            }
            Kind::Smtp => self.mail(file, MailProtocol::Smtp, 25, 465),
            Kind::Pop3 => self.mail(file, MailProtocol::Pop3, 110, 995),
            Kind::Imap => self.mail(file, MailProtocol::Imap, 143, 993),
            Kind::Ldap => {
                let (host, port) = place_of(file, Some(389))?;
                Ok((host, port, Probe::Ldap))
            }
            Kind::Kerberos => {
                let (host, port) = place_of(file, Some(88))?;
                let is_realm = |realm: &&String| (1..=255).contains(&realm.len()) && realm.is_ascii();
                let realm = file.realm.as_ref().filter(is_realm);
                let realm = realm
                    .ok_or_else(|| ("realm", "a Kerberos server needs its `realm`, in ASCII".to_owned()))?;
                Ok((host, port, Probe::Kerberos { realm: realm.clone() }))
            }
            Kind::Ntp => {
                let (host, port) = place_of(file, Some(123))?;
                let most = Duration::from_secs(3_600);
                let max_offset = Span::within(file.max_offset, Duration::from_millis(1), most);
                let max_offset = max_offset.map_err(|rule| ("max_offset", rule))?.unwrap_or(OFFSET);
                Ok((host, port, Probe::Ntp { max_offset }))
            }
        }
    }

    fn mail(
        &mut self,
        file: &TargetFile,
        protocol: MailProtocol,
        plain: u16,
        tls: u16,
    ) -> Result<(String, u16, Probe), Wrong> {
        let usual = if file.security == Some(SecurityKind::Tls) { tls } else { plain };
        let (host, port) = place_of(file, Some(usual))?;
        let name = file.certificate_name.as_ref().unwrap_or(&host);
        let key = if file.certificate_name.is_some() { "certificate_name" } else { "address" };
        let security = match file.security {
            Some(SecurityKind::Starttls) => Security::Starttls(self.tls(file, key, name)?),
            Some(SecurityKind::Tls) => Security::Tls(self.tls(file, key, name)?),
            None if file.ca.is_some()
                || file.certificate_days.is_some()
                || file.certificate_name.is_some() =>
            {
                return Err(("probe", "a certificate needs security = \"starttls\" or \"tls\"".to_owned()));
            }
            None => Security::None,
        };
        Ok((host, port, Probe::Mail(Box::new(Mail { protocol, security }))))
    }

    fn http(&mut self, file: &TargetFile) -> Result<(String, u16, Probe), Wrong> {
        if file.address.is_some() {
            return Err(("address", "probe = \"http\" has a `url` in place of it".to_owned()));
        }
        let url =
            file.url.as_deref().ok_or_else(|| ("probe", "probe = \"http\" needs its `url`".to_owned()))?;
        let wrong = || ("url", format!("`{url}` is not of the form http://HOST/ or https://HOST/"));
        let uri: hyper::Uri = url.parse().map_err(|_cause| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') || url.len() > TEXT_MAX {
            return Err(wrong());
        }
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") => (443, Some(self.tls(file, "url", &host)?)),
            _ => return Err(wrong()),
        };
        for (key, text) in [("redirect", &file.redirect), ("contains", &file.contains)] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > TEXT_MAX) {
                return Err((key, format!("is empty, or longer than {TEXT_MAX} bytes")));
            }
        }
        let usual = if file.redirect.is_some() { 301 } else { 200 };
        let status = file.status.map_or(usual, Within::value);
        let http = Http {
            authority: authority.to_string(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            tls,
            status: u16::try_from(status).unwrap_or(200),
            redirect: file.redirect.clone(),
            contains: file.contains.clone(),
            sha256: file.sha256.as_ref().map(|hash| hash.0),
        };
        Ok((host, authority.port_u16().unwrap_or(port), Probe::Http(Box::new(http))))
    }

    fn tls(&mut self, file: &TargetFile, key: &'static str, host: &str) -> Result<Tls, Wrong> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_cause| (key, format!("no certificate can be for `{host}`")))?;
        let ca = file.ca.as_ref().map(|ca| self.folder.join(ca));
        let config = match self.tls.get(&ca) {
            Some(config) => Arc::clone(config),
            None => {
                let made = client(ca.as_deref()).map_err(|rule| ("ca", rule))?;
                self.tls.insert(ca, Arc::clone(&made));
                made
            }
        };
        let days = file.certificate_days.map_or(CERTIFICATE_DAYS, Within::value);
        Ok(Tls { config, name, days: u32::try_from(days).unwrap_or(u32::MAX) })
    }
}

/// The question of a target.
fn dns_of(file: &TargetFile) -> Result<Dns, Wrong> {
    let query =
        file.query.as_deref().ok_or_else(|| ("probe", "probe = \"dns\" needs its `query`".to_owned()))?;
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.is_ascii();
    let is_name = query.len() <= 253 && query.trim_end_matches('.').split('.').all(is_label);
    if !is_name {
        return Err(("query", format!("`{query}` is not a name (write others than ASCII as xn--)")));
    }
    let answer = file.answer.clone().unwrap_or_default();
    if answer.len() > ANSWERS_MAX || answer.iter().any(|one| one.len() > TEXT_MAX) {
        return Err(("answer", format!("more than {ANSWERS_MAX}, or one longer than {TEXT_MAX} bytes")));
    }
    let record = file.record.unwrap_or_default();
    let answer = answer.iter().map(|one| record_text(record, one)).collect::<Result<_, _>>()?;
    let (authenticated, signed) = (file.authenticated.unwrap_or_default(), file.signed.unwrap_or_default());
    Ok(Dns { query: query.to_owned(), record, answer, authenticated, signed })
}

/// An expected answer, as one that is read is written.
fn record_text(record: RecordType, text: &str) -> Result<String, Wrong> {
    let wrong = |what: &str| ("answer", format!("`{text}` is not {what}"));
    match record {
        RecordType::A => {
            text.parse::<Ipv4Addr>().map(|one| one.to_string()).map_err(|_cause| wrong("an IPv4 address"))
        }
        RecordType::Aaaa => {
            text.parse::<Ipv6Addr>().map(|one| one.to_string()).map_err(|_cause| wrong("an IPv6 address"))
        }
        RecordType::Txt => Ok(text.to_owned()),
        RecordType::Ns | RecordType::Cname | RecordType::Soa | RecordType::Ptr | RecordType::Mx => {
            Ok(text.trim_end_matches('.').to_ascii_lowercase())
        }
    }
}

/// Trusts the authorities of this file, or those that the system trusts.
fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let system = || SYSTEM_CA.iter().map(Path::new).find(|path| path.exists());
    let path = ca
        .or_else(system)
        .ok_or_else(|| format!("none is given, and there is no {}", SYSTEM_CA.join(" nor ")))?;
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    // One of the system's that cannot be used does not take the others with it.
    roots.add_parsable_certificates(read.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(format!("{}: there is no certificate of an authority in it", path.display()));
    }
    let config = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Host and port of `address`; the port may be left out if there is a usual one.
fn place_of(file: &TargetFile, usual: Option<u16>) -> Result<(String, u16), Wrong> {
    let address = file.address.as_deref().ok_or_else(|| ("probe", "needs its `address`".to_owned()))?;
    let wrong = || {
        let form = if usual.is_some() { "HOST or HOST:PORT" } else { "HOST:PORT" };
        ("address", format!("`{address}` is not of the form {form}"))
    };
    if address.parse::<IpAddr>().is_ok() {
        return Ok((address.to_owned(), usual.ok_or_else(wrong)?));
    }
    let authority: hyper::http::uri::Authority = address.parse().map_err(|_cause| wrong())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_plain = !host.is_empty() && host.len() <= 253 && !address.contains('@');
    let port = if authority.port().is_some() { authority.port_u16() } else { usual };
    match port {
        Some(port) if is_plain && (port > 0 || usual == Some(0)) => Ok((host, port)),
        Some(_) | None => Err(wrong()),
    }
}

/// The line of a key of the target with this number.
fn line_of(text: &str, at: usize, key: &str) -> usize {
    let is_target = |line: &str| line.trim().starts_with("[[watch.target]]");
    let Some(begin) = text.lines().enumerate().filter(|(_, line)| is_target(line)).nth(at) else { return 1 };
    let own =
        text.lines().enumerate().skip(begin.0 + 1).take_while(|(_, line)| !line.trim().starts_with('['));
    let names = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    own.into_iter().find(|(_, line)| names(line)).map_or(begin.0 + 1, |(number, _)| number + 1)
}

#[cfg(test)]
mod tests;
