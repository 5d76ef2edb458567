//! What the fields of one HTTP request say about who sent it. Nothing of it is kept but yes and no and hashes.

use crate::bounded::{Map, stand_in};
use crate::event::http::{Field, Request, value};

/// The engines and families that browsers name; whoever names one says that it is a browser.
const BROWSERS: [&str; 6] = ["MSIE ", "Trident/", "Firefox/", "Chrome/", "Safari/", "Gecko/"];
/// Programs whose names are kept.
const AGENTS: usize = 256;
/// Programs that are no browsers and say so. A missing name counts as well.
const SCRIPTS: [&str; 12] = [
    "curl/",
    "wget/",
    "python",
    "go-http-client",
    "powershell",
    "winhttp",
    "java/",
    "libwww-perl",
    "ruby",
    "okhttp",
    "node-fetch",
    "axios/",
];
/// Content types of protocols over HTTP that programs post to by design: certificate status and time (RFC 6960, RFC 3161), printing
/// (RFC 8010), web services, remote procedure calls and metrics.
const SERVICES: [&str; 10] = [
    "application/ocsp-request",
    "application/timestamp-query",
    "application/ipp",
    "application/soap+xml",
    "text/xml",
    "application/xml",
    "application/grpc",
    "application/x-protobuf",
    "application/dns-message",
    "application/vnd.",
];

/// What a program says that it is.
#[derive(Clone, Copy, Debug)]
struct Agent {
    is_browser: bool,
    is_script: bool,
}

impl Agent {
    fn of(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        Self {
            is_browser: BROWSERS.iter().any(|one| name.contains(one)),
            is_script: name.is_empty() || SCRIPTS.iter().any(|one| lower.contains(one)),
        }
    }
}

/// What programs were seen to say last, so that it is not looked through with every request.
#[derive(Debug)]
pub(super) struct Agents(Map<u64, Agent>);

impl Agents {
    pub(super) fn new(seed: u64) -> Self {
        Self(Map::new(AGENTS, seed))
    }

    fn look(&mut self, name: &str) -> Agent {
        let (known, _left) = self.0.get_or_insert_with(stand_in(name), || Agent::of(name));
        known.copied().unwrap_or_else(|| Agent::of(name))
    }
}

/// One request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
pub(super) struct Facts {
    pub(super) posts: bool,
    /// A page led to it, or a script of one sent it.
    pub(super) led: bool,
    /// It says it is a browser and does not say which languages are read, which all browsers do.
    pub(super) false_browser: bool,
    pub(super) script: bool,
    pub(super) identifiers: bool,
    /// A protocol that programs speak over HTTP.
    pub(super) service: bool,
    /// Method and path without the query.
    pub(super) path: u64,
    /// Names of the query's parameters; 0: there are none.
    pub(super) keys: u64,
}

impl Facts {
    pub(super) fn of(request: &Request, agents: &mut Agents) -> Self {
        let has = |name: &str| value(&request.fields, name).is_some();
        let agent = agents.look(value(&request.fields, "user-agent").unwrap_or_default());
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let content = value(&request.fields, "content-type").unwrap_or_default().to_ascii_lowercase();
        let keys: Vec<&str> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, _)| key).collect();
        Self {
            posts: matches!(&*request.method, "POST" | "PUT"),
            led: has("referer") || has("origin"),
            false_browser: agent.is_browser && !has("accept-language"),
            script: agent.is_script,
            identifiers: has_identifier(query),
            service: SERVICES.iter().any(|kind| content.starts_with(kind))
                || has("soapaction")
                || has("x-requested-with"),
            path: stand_in(&(&*request.method, path)),
            keys: if keys.is_empty() { 0 } else { stand_in(&keys) },
        }
    }
}

/// A GUID (RFC 9562) among other parameters: which machine asks.
fn has_identifier(query: &str) -> bool {
    let values: Vec<&str> =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value).collect();
    values.len() >= 3 && values.iter().any(|value| is_guid(value))
}

/// Digits and dashes, 36 characters when nothing is escaped.
fn is_guid(value: &str) -> bool {
    if value.len() < 36 {
        return false;
    }
    let value = value.replace("%2D", "-").replace("%2d", "-");
    let value = value.trim_matches(['{', '}']);
    let groups = [8, 4, 4, 4, 12];
    value.split('-').count() == groups.len()
        && value.split('-').zip(groups).all(|(group, digits)| {
            group.len() == digits && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// The Host field: the name that was asked for, without the port.
pub(super) fn host(fields: &[Field]) -> Option<&str> {
    let host = value(fields, "host")?;
    Some(match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_of(request: &Request) -> Facts {
        Facts::of(request, &mut Agents::new(0))
    }

    fn request(target: &str, fields: &[(&str, &str)]) -> Request {
        let field = |(name, value): &(&str, &str)| Field { name: (*name).into(), value: (*value).into() };
        Request {
            method: "GET".into(),
            target: target.into(),
            fields: fields.iter().map(field).collect(),
            ..Request::default()
        }
    }

    #[test]
    fn browsers_say_which_languages_they_read() {
        let agent = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0");
        assert!(facts_of(&request("/", &[agent])).false_browser);
        assert!(!facts_of(&request("/", &[agent, ("Accept-Language", "ja")])).false_browser);
        let other = ("User-Agent", "Mozilla/4.0 (compatible; UPnP/1.0; Windows NT/5.1)");
        let facts = facts_of(&request("/", &[other]));
        assert!(!facts.false_browser && !facts.script);
        assert!(facts_of(&request("/", &[])).script);
    }

    #[test]
    fn identifiers_and_parameters() {
        let facts = facts_of(&request("/in?a=1&b=2&id=747f3d96%2D68a7%2D43f1%2D8cbe%2De8d6dadd0358", &[]));
        let other = facts_of(&request("/in?c=1", &[]));
        assert!(facts.identifiers && facts.path == other.path && facts.keys != other.keys);
        assert!(!facts_of(&request("/in?id=1&b=2&c=747f3d96-68a7", &[])).identifiers);
        assert_eq!(host(&[Field { name: "Host".into(), value: "192.0.2.1:8888".into() }]), Some("192.0.2.1"));
    }
}
