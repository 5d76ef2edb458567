//! `cargo xtask pcaps`: makes every file of `pcaps/`.
//!
//! ```text
//! cases, scenario ─► behaviour, talk ─► app, craft ─► capture ─► pcaps/<category>/{positive,benign}-<case>.pcap
//!                                                                 and <same>.expected.json beside it
//! record ─► real tools between network namespaces, captured by our own agent ─► positive-recorded-<tool>.pcap
//! ```
//!
//! The seeded captures are byte-identical on every run and every machine: own pseudo-random numbers seeded with the
//! capture's name, no clock, documentation addresses (RFC 5737, RFC 3849, RFC 1918) and names (RFC 2606) only.

pub(crate) mod app;
mod behaviour;
pub(crate) mod capture;
mod cases;
pub(crate) mod craft;
pub(crate) mod record;
pub(crate) mod scenario;
mod talk;
mod windows;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use capture::Capture;
use serde_json::{Map, Value, json};

/// No capture may be larger.
const FILE_BYTES_MAX: usize = 1 << 20;
/// All captures together may not be larger.
const ALL_BYTES_MAX: usize = 40 << 20;
/// A benign capture may not raise a finding of this severity or above.
const FORBIDDEN_SEVERITY: u8 = 2;
/// The configuration of the cases about segments.
const SEGMENTS_TOML: &str = r#"# Segments for the captures beside this file (the example of docs/detectors/segment.violation.md).
[[body]]
code = "422011"
name = "長崎市"
model = "alpha"

[[segment]]
name = "my_number"
cidr = ["172.16.0.0/16"]

[[segment]]
name = "lgwan"
cidr = ["172.17.0.0/16"]

[[segment]]
name = "internet"
cidr = ["192.168.0.0/16"]

[[allow]]
id = "SC-001"
from = "lgwan"
to = "internet"
src = "172.17.5.10/32"
dst = "192.168.9.8/32"
proto = "tcp"
port = 443
purpose = "VDI画面転送"
approved_by = "情報政策課長"
expires = "2036-03-31"

[[allow]]
id = "SC-000"
from = "lgwan"
to = "internet"
src = "172.17.5.11/32"
dst = "192.168.9.8/32"
proto = "tcp"
port = 443
purpose = "VDI画面転送(試行)"
approved_by = "情報政策課長"
expires = "2026-03-31"
"#;
/// Two bodies with like addresses, told apart by VLAN.
const TWO_BODIES_TOML: &str = r#"# Two bodies behind one interface, for the capture beside this file.
[[body]]
code = "422011"
name = "長崎市"

[[body]]
code = "422029"
name = "佐世保市"

[[segment]]
name = "lgwan"
cidr = ["172.17.0.0/16"]
vlan = [20]
body = "422011"

[[segment]]
name = "lgwan"
cidr = ["172.17.0.0/16"]
vlan = [120]
body = "422029"
"#;

/// One capture to make.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Path under `pcaps/`, without the extension.
    name: &'static str,
    /// What happens in it.
    about: &'static str,
    /// Configuration to replay it with, beside it.
    config: Option<&'static str>,
    /// Findings that must be there; empty for a near-miss.
    expect: Vec<Expect>,
    /// Writes its frames.
    build: fn(&mut Capture),
}

/// A finding that must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    category: &'static str,
    originator: Option<IpAddr>,
    responder: Option<IpAddr>,
}

impl Expect {
    const fn of(category: &'static str, originator: Option<IpAddr>, responder: Option<IpAddr>) -> Self {
        Self { category, originator, responder }
    }

    fn to_json(self) -> Value {
        let mut out = Map::new();
        out.insert("category".into(), self.category.into());
        let ends = [("originator", self.originator), ("responder", self.responder)];
        out.extend(ends.into_iter().filter_map(|(key, ip)| Some((key.into(), ip?.to_string().into()))));
        Value::Object(out)
    }
}

impl Case {
    fn expected_json(&self) -> anyhow::Result<String> {
        expected_json(self.about, self.config, &self.expect)
    }
}

fn expected_json(about: &str, config: Option<&str>, expect: &[Expect]) -> anyhow::Result<String> {
    let expect_json: Vec<Value> = expect.iter().map(|one| one.to_json()).collect();
    let mut out = json!({ "about": about, "expect": expect_json });
    if let (Some(map), Some(config)) = (out.as_object_mut(), config) {
        map.insert("config".into(), config.into());
    }
    if let (Some(map), true) = (out.as_object_mut(), expect.is_empty()) {
        map.insert("forbid_severity_from".into(), FORBIDDEN_SEVERITY.into());
    }
    Ok(serde_json::to_string_pretty(&out)? + "\n")
}

/// Every seeded file: its path under `pcaps/` and its bytes.
fn seeded() -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for case in cases::all().into_iter().chain(scenario::all()) {
        let mut capture = Capture::new(case.name);
        (case.build)(&mut capture);
        let bytes = capture.into_pcap().with_context(|| format!("cannot write {}", case.name))?;
        ensure!(bytes.len() <= FILE_BYTES_MAX, "{} has {} bytes, more than 1 MiB", case.name, bytes.len());
        files.insert(format!("{}.pcap", case.name), bytes);
        files.insert(format!("{}.expected.json", case.name), case.expected_json()?.into_bytes());
    }
    files.insert("segment.violation/segments.toml".to_owned(), SEGMENTS_TOML.as_bytes().to_vec());
    files.extend(cases::files());
    files.insert("segment.violation/two-bodies.toml".to_owned(), TWO_BODIES_TOML.as_bytes().to_vec());
    for body in &scenario::BODIES {
        files.insert(format!("demo/{}.toml", body.key), scenario::agent_toml(body).into_bytes());
    }
    let all: usize = files.values().map(Vec::len).sum();
    ensure!(all <= ALL_BYTES_MAX, "the captures have {all} bytes, more than 40 MiB");
    Ok(files)
}

/// Writes every seeded capture, its expectation and its configuration.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("pcaps");
    let files = seeded()?;
    let (mut changed, mut bytes) = (0, 0);
    for (name, content) in &files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        bytes += content.len();
        if std::fs::read(&path).ok().as_ref() != Some(content) {
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
            changed += 1;
        }
    }
    println!("{} files, {} KiB, {changed} changed", files.len(), bytes / 1024);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_captures_are_the_same_every_time_and_as_committed() {
        let files = seeded().unwrap();
        assert_eq!(files, seeded().unwrap());
        let folder = crate::command::root().unwrap().join("pcaps");
        for (name, content) in files {
            assert!(std::fs::read(folder.join(&name)).unwrap() == content, "{name}: run `cargo xtask pcaps`");
        }
    }

    #[test]
    fn every_detector_has_a_capture_that_fires_and_a_near_miss() {
        for case in cases::all() {
            let (category, file) = case.name.split_once('/').unwrap();
            assert_eq!(file.starts_with("positive-"), !case.expect.is_empty(), "{}", case.name);
            assert_eq!(file.starts_with("benign-"), case.expect.is_empty(), "{}", case.name);
            let fires = case.expect.iter().any(|expect| expect.category == category);
            assert_eq!(fires, !case.expect.is_empty(), "{}", case.name);
        }
    }
}
