//! Files of exceptions, and the dry run over stored findings.

use super::*;

const GOOD: &str = r#"
[[exception]]
id = "EX-1"
category = "scan.*"
originator = "192.168.10.9"
reason = "脆弱性診断"
owner = "情報政策課"
created = "2026-04-01"
expires = "2027-03-31"

[[exception]]
id = "EX-2"
target = "example.org"
reason = "monitoring"
owner = "情報政策課"
created = "2026-04-01"
expires = "2027-03-31"
"#;

const FINDINGS: &str = r#"{"id":"01","category":"scan.port","severity":1,"time":"2026-05-01T00:00:00Z","end":"2026-05-01T00:00:00Z","originator":"192.168.10.9","responder":"192.168.10.5","targets":[],"ports":[1,2]}
{"id":"02","category":"scan.port","severity":1,"end":"2027-04-01T00:00:00Z","originator":"192.168.10.9","responder":null,"targets":[],"ports":[]}
{"id":"03","category":"flood.syn","severity":3,"end":"2026-05-01T00:00:00Z","originator":null,"responder":"192.168.10.5","targets":[]}

{"id":"04","category":"of.tomorrow","severity":3,"end":"2026-05-01T00:00:00Z"}
"#;

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_dry_run_says_what_each_exception_would_cover() {
    let dir = tempfile::tempdir().unwrap();
    let exceptions = vec![written(dir.path(), "x.toml", GOOD)];
    let findings = vec![written(dir.path(), "f.jsonl", FINDINGS)];
    let shown = dry_run(&DryRunArgs { exceptions: exceptions.clone(), findings }).unwrap();
    for line in [
        "covers 1:",
        "01 scan.port severity 1 192.168.10.9 to 192.168.10.5",
        "covers nothing",
        "1 of 4 findings would be excepted",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("02 scan.port"), "it had run out by then");
    let checked = check(&exceptions).unwrap();
    assert_eq!(checked.lines().count(), 2);
    let broken = vec![written(dir.path(), "b.jsonl", "{}\n")];
    let error = dry_run(&DryRunArgs { exceptions, findings: broken }).unwrap_err();
    assert!(error.to_string().ends_with("b.jsonl:1: not a finding of `replay --format findings`"));
}

#[test]
fn a_file_that_is_wrong_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |text: &str| {
        let path = written(dir.path(), "x.toml", text);
        format!("{:#}", anyhow::Error::from(checked(Vec::new(), &[path]).unwrap_err()))
    };
    assert!(refused("[[exception]]\nid = \"a\"\nscope = 1\n").contains("unknown field `scope`"));
    assert!(refused("[[exceptions]]\n").contains("unknown field `exceptions`"));
    assert!(refused(&GOOD.replace("EX-2", "EX-1")).contains("\"EX-1\" is given twice"));
    assert!(refused(&GOOD.replace("target = \"example.org\"", "")).contains("\"EX-2\" has no scope"));
    let good = written(dir.path(), "good.toml", GOOD);
    let twice = checked(Vec::new(), &[good.clone(), good]).unwrap_err();
    assert!(twice.to_string().contains("is given twice"), "over all files");
}
