//! Files of every kind, what is left out of them and why, and signatures.

use std::fs;

use super::command::run as run_command;
use super::*;
use crate::cli::{Cli, Command, IntelCommand};
use clap::Parser as _;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn imported(name: &str, text: &str) -> (Intel, Report) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    let mut import = Import::default();
    import.file(&path).unwrap();
    import.finish()
}

fn refused(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    fs::write(&path, text).unwrap();
    Import::default().file(&path).unwrap_err().to_string()
}

fn shown(intel: &Intel) -> Vec<String> {
    let mut out: Vec<String> = intel
        .iter()
        .map(|hit| format!("{} {} {} {}", hit.kind.as_str(), hit.value(), hit.feed.name, hit.confidence))
        .collect();
    out.sort();
    out
}

#[test]
fn a_table_gives_its_rows_and_says_what_it_lost() {
    let text = "# a feed\ntype,value,feed,confidence,expires,note\n\
        domain,evil[.]example,one,90,2030-01-01,\"c2, old\"\n\
        ip,198.51.100.7,,,,\n\
        ip,198.51.100.7,,60,,\n\
        ip,10.0.0.1,two,,,\n\
        cidr,0.0.0.0/0,two,,,\n\
        md5,d41d8cd98f00b204e9800998ecf8427e,two,,,\n\
        domain,a.example,two,101,,\n\
        domain,b.example,two,,tomorrow,\n\
        domain,,two,,,\n\
        domain,c.example\n";
    let (intel, report) = imported("list.csv", text);
    assert_eq!(
        shown(&intel),
        ["domain c.example list 75", "domain evil.example one 90", "ip 198.51.100.7 list 75"]
    );
    assert_eq!((report.taken, report.repeated, report.refused()), (4, 1, 6));
    for (reason, count) in [
        (Reason::Kind, 1),
        (Reason::Confidence, 1),
        (Reason::Expires, 1),
        (Reason::Columns, 1),
        (Reason::Refused(sekimori_sensor::intel::Refused::Reserved), 1),
        (Reason::Refused(sekimori_sensor::intel::Refused::TooBroad), 1),
    ] {
        assert_eq!(report.count(reason), count, "{reason}");
    }
    let lines = report.lines();
    assert!(lines.iter().any(|line| line.contains("list.csv:6: feed two: `10.0.0.1`")), "{lines:#?}");
    let hit = intel.domain("evil.example", NOW).unwrap();
    assert_eq!((hit.note, hit.expires.map(Timestamp::secs)), ("c2, old", Some(1_893_542_399)));
    assert!(intel.domain("evil.example", Timestamp::from_secs(1_893_542_399)).is_none());
}

#[test]
fn a_tab_separated_list_with_other_names_is_read_too() {
    let text = "indicator_type\tindicator\tpath\tpackets\tnote\n\
        domain\tevil.example\ta/b.pcap\t3\tsaid \"so\"\n\
        url_path\t/Exploit.class\ta/b.pcap\t2\t\n";
    let (intel, report) = imported("ioc.tsv", text);
    assert_eq!(shown(&intel), ["domain evil.example ioc 75", "url_path /Exploit.class ioc 75"]);
    assert_eq!(report.refused(), 0);
    assert_eq!(intel.domain("evil.example", NOW).unwrap().note, "said \"so\"");
}

#[test]
fn what_is_no_list_is_refused_whole() {
    assert!(refused("").contains("must name the columns"));
    assert!(refused("198.51.100.7\n198.51.100.8\n").contains("must name the columns"));
    assert!(refused("{\"a\": [").contains("neither a MISP event nor a STIX"));
    assert!(refused("SEKIMORI-INTEL 1\n{}\n{}\n").contains("signed bundles belong under `bundles`"));
}

const MISP: &str = r#"{"response": [{"Event": {"info": "Loader", "timestamp": "1780000000", "Orgc": {"name": "CERT"},
  "Attribute": [
    {"type": "ip-dst|port", "value": "198.51.100.7|443", "to_ids": true, "uuid": "u1", "comment": "c2"},
    {"type": "domain", "value": "Evil.example", "to_ids": true, "uuid": "u2"},
    {"type": "domain", "value": "www.city.example", "to_ids": false, "uuid": "u3"},
    {"type": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e", "to_ids": true, "uuid": "u4"},
    {"type": "domain", "value": "gone.example", "to_ids": true, "deleted": true, "uuid": "u5"}],
  "Object": [{"name": "url", "Attribute": [{"type": "url", "value": "hxxp://b.example/x?\u0026y", "to_ids": true, "uuid": "u6"}]}]}}]}"#;

#[test]
fn misp_gives_what_is_meant_for_detection() {
    let (intel, report) = imported("misp.json", MISP);
    assert_eq!(
        shown(&intel),
        ["domain evil.example CERT 75", "ip 198.51.100.7 CERT 75", "url http://b.example/x?&y CERT 75"]
    );
    assert_eq!(intel.domain("evil.example", NOW).unwrap().note, "Loader");
    assert_eq!(intel.feeds()[0].made, Some(Timestamp::from_secs(1_780_000_000)));
    for reason in [Reason::NotForDetection, Reason::Kind, Reason::Revoked] {
        assert_eq!(report.count(reason), 1, "{reason}");
    }
    assert!(report.lines().iter().any(|line| line.contains("misp.json:u4: feed CERT")));
    let bare = r#"{"Event": {"info": "x", "Attribute": [{"type": "domain", "value": "evil.example"}]}}"#;
    assert_eq!(shown(&imported("one.json", bare).0), ["domain evil.example one 75"]);
    let search =
        r#"{"response": {"Attribute": [{"type": "domain", "value": "evil.example", "to_ids": true}]}}"#;
    assert_eq!(shown(&imported("two.json", search).0), ["domain evil.example two 75"]);
}

fn stix(pattern: &str, more: &str) -> String {
    let pattern = serde_json::to_string(pattern).unwrap();
    format!(
        r#"{{"type": "bundle", "id": "bundle--1", "objects": [
        {{"type": "identity", "id": "identity--1", "name": "CERT"}},
        {{"type": "indicator", "id": "indicator--1", "created_by_ref": "identity--1", "name": "Loader",
          "modified": "2026-04-01T00:00:00.000Z", "pattern_type": "stix", "pattern": {pattern}{more}}}]}}"#
    )
}

#[test]
fn stix_gives_the_values_of_simple_patterns() {
    let sha = "ab".repeat(32);
    let pattern = format!(
        "[ipv4-addr:value = '198.51.100.7' OR domain-name:value='evil.example'] OR [url:value IN ('http://b.example/it\\'s', \
         'http://c.example/')] OR [ipv4-addr:value ISSUBSET '203.0.113.0/24'] OR [x509-certificate:hashes.'SHA-256' = '{sha}']"
    );
    let (intel, report) =
        imported("s.json", &stix(&pattern, r#", "confidence": 40, "valid_until": "2027-01-01T00:00:00Z""#));
    assert_eq!(
        shown(&intel),
        [
            format!("cert_sha256 {sha} CERT 40"),
            "domain evil.example CERT 40".to_owned(),
            "ip 198.51.100.7 CERT 40".to_owned(),
            "ip 203.0.113.0/24 CERT 40".to_owned(),
            "url http://b.example/it's CERT 40".to_owned(),
            "url http://c.example/ CERT 40".to_owned(),
        ]
    );
    assert_eq!(report.refused(), 0, "{:?}", report.lines());
    assert!(intel.domain("evil.example", "2027-01-01T00:00:01Z".parse().unwrap()).is_none());
    assert!(intel.feeds()[0].made.is_some());
}

#[test]
fn stix_patterns_that_say_more_are_counted() {
    for (pattern, more, reason) in [
        ("[domain-name:value = 'a.example' AND url:value = 'http://a.example/']", "", Reason::Pattern),
        ("[domain-name:value != 'a.example']", "", Reason::Pattern),
        (
            "[domain-name:value = 'a.example'] FOLLOWEDBY [url:value = 'http://a.example/']",
            "",
            Reason::Pattern,
        ),
        ("[domain-name:value = 'a.example'] WITHIN 60 SECONDS", "", Reason::Pattern),
        ("[domain-name:value = 'a.example", "", Reason::Pattern),
        ("", "", Reason::Pattern),
        ("[file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']", "", Reason::Kind),
        ("[domain-name:value = 'a.example']", r#", "revoked": true"#, Reason::Revoked),
        ("[domain-name:value = 'a.example']", r#", "confidence": 1000"#, Reason::Confidence),
        ("[domain-name:value = 'a.example']", r#", "valid_until": "later""#, Reason::Expires),
    ] {
        let (intel, report) = imported("s.json", &stix(pattern, more));
        assert!(intel.is_empty(), "{pattern}");
        assert_eq!((report.count(reason), report.refused()), (1, 1), "{pattern} {more}");
    }
}

fn command(words: &[&str]) -> anyhow::Result<String> {
    let cli = Cli::try_parse_from(["sekimori-agent", "intel"].iter().chain(words))?;
    let Command::Intel(command) = cli.command else { anyhow::bail!("another command") };
    Ok(run_command(&command)?)
}

fn fails(words: &[&str]) -> String {
    format!("{:#}", command(words).unwrap_err())
}

#[test]
fn a_bundle_is_signed_verified_and_guarded() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, list, bundle) = (at("key"), at("list.csv"), at("list.intel"));
    let public = command(&["keygen", &key]).unwrap().trim().to_owned();
    assert!(fails(&["keygen", &key]).contains("never overwritten"));
    let rows = |count: u32| {
        let rows = (0..count).map(|n| format!("domain,host{n}.example,feed,80,2030-01-01,note {n}\n"));
        "type,value,feed,confidence,expires,note\n".to_owned() + &rows.collect::<String>()
    };
    fs::write(&list, rows(10)).unwrap();
    let import = ["import", "--output", &bundle, "--key", &key, "--max-age", "7d", &list];
    assert!(command(&import).unwrap().contains("10 taken"));
    assert!(command(&["verify", "--key", &public, &bundle]).unwrap().contains("list.intel: good"));
    assert_eq!(command(&["show", "--key", &public, &bundle]).unwrap(), command(&["show", &list]).unwrap());
    assert!(
        command(&["show", "--find", "a.host3.example", &list]).unwrap().contains("host3.example\tfeed\t80")
    );
    // Too few: refused, and the bundle stays as it was, until it is forced.
    fs::write(&list, rows(4)).unwrap();
    assert!(fails(&import).contains("feed feed has shrunk from 10 to 4"));
    assert!(command(&["verify", "--key", &public, &bundle]).unwrap().contains("10 taken"));
    assert!(command(&[&import[..], &["--force"]].concat()).unwrap().contains("4 taken"));
    // A changed byte, another key, a cut file.
    let good = fs::read_to_string(&bundle).unwrap();
    fs::write(&bundle, good.replacen("host3", "host9", 1)).unwrap();
    assert!(fails(&["verify", "--key", &public, &bundle]).contains("the signature does not fit the bytes"));
    fs::write(&bundle, good.lines().take(4).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    assert!(
        fails(&["verify", "--key", &public, &bundle]).contains("not a bundle of this version, or cut short")
    );
    fs::write(&bundle, &good).unwrap();
    let other = command(&["keygen", &at("other")]).unwrap();
    assert!(fails(&["verify", "--key", other.trim(), &bundle]).contains("none of the keys that are trusted"));
    assert!(fails(&["show", &bundle]).contains("none of the keys"));
    assert!(fails(&["verify", "--key", "short", &bundle]).contains("not a public key"));
}

#[test]
fn a_feed_grows_stale_and_its_severity_can_be_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("misp.json");
    fs::write(&path, MISP).unwrap();
    let missing = dir.path().join("missing.csv");
    let mut sources = Sources {
        files: vec![missing, path],
        max_age: Some(Duration::from_secs(7 * 86_400)),
        severities: vec![("CERT".to_owned(), Severity::LOW)],
        ..Sources::default()
    };
    let (Loaded { intel, version }, problems) = gather(&sources);
    assert_eq!(version.len(), 16);
    assert_eq!(problems.len(), 1, "the other file is used all the same");
    assert!(load(&sources).unwrap_err().to_string().contains("cannot read"));
    sources.files.remove(0);
    let again = load(&sources).unwrap();
    assert_eq!((again.intel.len(), again.version), (intel.len(), version));
    assert_eq!(intel.feeds()[0].severity_max, Severity::LOW);
    assert_eq!(stale(&intel, Timestamp::from_secs(1_780_000_000 + 7 * 86_400)), []);
    let age = Age { feed: "CERT".to_owned(), days: 7 };
    assert_eq!(stale(&intel, Timestamp::from_secs(1_780_000_001 + 7 * 86_400)), [age]);
}

#[test]
fn ages_have_a_unit() {
    assert_eq!(age_of("7d"), Ok(Duration::from_secs(604_800)));
    assert_eq!(age_of("12h"), Ok(Duration::from_secs(43_200)));
    for bad in ["", "7", "d", "0d", "-1d", "7w", "99999d", "７d"] {
        assert!(age_of(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_import_command_needs_a_key_to_write() {
    Cli::try_parse_from(["sekimori-agent", "intel", "import", "--output", "x", "a.csv"]).unwrap_err();
    let parsed = Cli::try_parse_from(["sekimori-agent", "intel", "import", "a.csv"]).unwrap();
    assert!(matches!(parsed.command, Command::Intel(IntelCommand::Import(_))));
}

#[test]
fn prefixes_of_delivery_networks_are_read_and_a_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cdn.tsv");
    let sources = Sources { shared: vec![path.clone()], ..Sources::default() };
    fs::write(&path, "# of today\n\n192.0.2.0/24\tA delivery network\n").unwrap();
    let intel = load(&sources).unwrap().intel;
    assert_eq!(intel.shared("192.0.2.9".parse().unwrap()), Some("A delivery network"));
    fs::write(&path, "# of today\n192.0.2.0/24 A delivery network\n").unwrap();
    assert!(load(&sources).unwrap_err().to_string().contains("cdn.tsv:2: not a prefix"));
}
