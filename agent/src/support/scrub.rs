//! Takes secrets out of what leaves the machine. Three ways, each enough for most: of the configuration only values of keys that
//! are known to be harmless stay; every secret that is found on this machine is removed wherever it appears; and what looks like
//! a secret goes, whatever it is.

use toml::{Table, Value};

/// Stands where something was.
pub(super) const REMOVED: &str = "<removed>";
/// Shorter words are no secrets, and would tear holes into everything.
const SECRET_CHARS_MIN: usize = 4;

/// Keys whose values may leave: what is not here does not, so that a key that is added some day stays until somebody thinks.
const HARMLESS: &[&str] = &[
    "allow.dst",
    "allow.expires",
    "allow.from",
    "allow.id",
    "allow.port",
    "allow.proto",
    "allow.src",
    "allow.to",
    "body.code",
    "body.model",
    "body.name",
    "capture.engine",
    "capture.filter",
    "capture.ignore_outgoing",
    "capture.interfaces",
    "capture.promiscuous",
    "capture.record",
    "capture.workers",
    "collector.budget",
    "collector.in_flight",
    "collector.proxy",
    "collector.proxy_credentials",
    "collector.rate",
    "collector.require_post_quantum",
    "collector.urls",
    "endpoint.mappings",
    "endpoint.source.address",
    "endpoint.source.alerts_per_minute",
    "endpoint.source.allow",
    "endpoint.source.certificate",
    "endpoint.source.charset",
    "endpoint.source.client_ca",
    "endpoint.source.kind",
    "endpoint.source.mappings",
    "endpoint.source.name",
    "endpoint.source.path",
    "endpoint.source.quiet_after",
    "endpoint.source.zone",
    "endpoint.tcp",
    "endpoint.udp",
    "exceptions.files",
    "intel.bundles",
    "intel.feed.max_severity",
    "intel.feed.name",
    "intel.files",
    "intel.max_age",
    "intel.shared",
    "limits.flows",
    "limits.summary_bytes",
    "limits.window_seconds",
    "memory.max",
    "segment.body",
    "segment.cidr",
    "segment.importance",
    "segment.name",
    "segment.vlan",
    "spool.max_bytes",
    "state.dir",
];

/// Words before a value that is nobody's business.
const MARKS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "community",
    "authorization",
    "credentials",
    "api_key",
    "apikey",
];

/// What is known to be secret on this machine.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// From now on removed wherever it appears; too short ones are not.
    pub(super) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() >= SECRET_CHARS_MIN {
            self.0.push(secret.to_owned());
        }
    }

    /// Each line of a file of secrets, and each part of `user:password`.
    pub(super) fn add_file(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with("-----")) {
            self.add(line);
            line.split(':').for_each(|part| self.add(part));
        }
    }

    /// The text without them, and without what looks like one.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut known: Vec<&String> = self.0.iter().collect();
        // One may be part of another.
        known.sort_unstable_by_key(|secret| core::cmp::Reverse(secret.len()));
        let mut clean = text.to_owned();
        for secret in known {
            clean = clean.replace(secret.as_str(), REMOVED);
        }
        let mut in_pem = false;
        let lines = clean.lines().map(|line| {
            let was_in = in_pem;
            if line.contains("-----BEGIN") {
                in_pem = !line.contains("-----END");
                return REMOVED.to_owned();
            }
            if was_in {
                in_pem = !line.contains("-----END");
                return REMOVED.to_owned();
            }
            scrub_line(line)
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// Without users and passwords of addresses, and without what follows a word such as `password`.
fn scrub_line(line: &str) -> String {
    let mut clean = without_userinfo(line);
    let lower = clean.to_ascii_lowercase();
    let first = MARKS.iter().filter_map(|mark| mark_end(&lower, mark)).min();
    if let Some(at) = first {
        // Where a value ends nobody can say: the rest of the line goes.
        clean.truncate(at);
        clean.push_str(REMOVED);
    }
    clean
}

/// Where the value begins that follows this mark: after `=` or `:`, which quotes and blanks may surround.
fn mark_end(lower: &str, mark: &str) -> Option<usize> {
    lower.match_indices(mark).find_map(|(at, _)| {
        let after = at + mark.len();
        let rest = lower.get(after..)?;
        let trimmed = rest.trim_start_matches([' ', '"', '\'', '\\']);
        let value = trimmed.strip_prefix(['=', ':'])?;
        (!value.trim().is_empty()).then(|| lower.len() - value.len())
    })
}

/// `scheme://user:password@host` without what stands before the `@`.
fn without_userinfo(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/\"'<>".contains(c)).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_userinfo, host)) => {
                clean.push_str(REMOVED);
                clean.push('@');
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

/// A configuration with nothing but harmless values, and the keys of which something was removed. What was removed becomes a
/// secret.
pub(super) fn configuration(text: &str, secrets: &mut Secrets) -> Option<(String, Vec<String>)> {
    let mut table = text.parse::<Table>().ok()?;
    let mut removed = Vec::new();
    walk("", &mut table, secrets, &mut removed);
    removed.sort_unstable();
    removed.dedup();
    Some((toml::to_string(&table).ok()?, removed))
}

fn walk(above: &str, table: &mut Table, secrets: &mut Secrets, removed: &mut Vec<String>) {
    for (name, value) in table.iter_mut() {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Table(inner) => walk(&key, inner, secrets, removed),
            Value::Array(all) if all.iter().all(Value::is_table) => {
                for inner in all.iter_mut().filter_map(Value::as_table_mut) {
                    walk(&key, inner, secrets, removed);
                }
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
                if HARMLESS.binary_search(&key.as_str()).is_ok() => {}
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                learn(value, secrets);
                *value = Value::String(REMOVED.to_owned());
                removed.push(key);
            }
        }
    }
}

/// Every text within.
fn learn(value: &Value, secrets: &mut Secrets) {
    match value {
        Value::String(text) => secrets.add(text),
        Value::Array(all) => all.iter().for_each(|one| learn(one, secrets)),
        Value::Table(table) => table.iter().for_each(|(_, one)| learn(one, secrets)),
        // Numbers and dates would be removed from everywhere.
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_keys_are_in_order() {
        assert!(HARMLESS.is_sorted(), "they are searched by halves");
    }

    #[test]
    fn of_a_configuration_only_what_is_known_stays() {
        let text = "# token = tok-1\n[capture]\ninterfaces = [\"eth0\"]\n[watch]\n[[watch.host]]\ncommunity = \"c0mm\"\n\
                    [[endpoint.source]]\nname = \"fw\"\nkey = \"my.key\"\n";
        let mut secrets = Secrets::default();
        let (clean, removed) = configuration(text, &mut secrets).unwrap();
        assert!(clean.contains("eth0") && clean.contains("name = \"fw\""), "{clean}");
        assert!(!clean.contains("tok-1") && !clean.contains("c0mm") && !clean.contains("my.key"), "{clean}");
        assert_eq!(removed, ["endpoint.source.key", "watch.host.community"]);
        assert_eq!(secrets.scrub("asked with c0mm twice: c0mm"), "asked with <removed> twice: <removed>\n");
        assert_eq!(configuration("[a", &mut secrets), None);
    }

    #[test]
    fn what_looks_like_a_secret_goes() {
        let secrets = Secrets::default();
        for (line, clean) in [
            ("via http://u:p@h:1/x and http://h:2", "via http://<removed>@h:1/x and http://h:2"),
            ("set {\"password\": \"x y\"}", "set {\"password\":<removed>"),
            ("Authorization: Basic abc", "Authorization:<removed>"),
            ("SNMP community=public!", "SNMP community=<removed>"),
            ("the token is used", "the token is used"),
            (
                "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nafter",
                "<removed>\n<removed>\n<removed>\nafter",
            ),
        ] {
            assert_eq!(secrets.scrub(line), format!("{clean}\n"));
        }
    }

    #[test]
    fn secrets_of_a_file_are_known_in_parts() {
        let mut secrets = Secrets::default();
        secrets.add_file("sekimori:hunter-two\n");
        assert_eq!(secrets.scrub("login sekimori with hunter-two"), "login <removed> with <removed>\n");
    }
}
