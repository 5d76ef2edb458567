//! The ready scenarios hold together, with the captures of this repository; what is wrong with a file is said.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

const GOOD: &str = r#"
id = "x"
version = 1
source = "us"
title_ja = "題"
title_en = "Title"
about_ja = "概要"
about_en = "About"
category = "scan"
severity = 2
bodies = 1
minutes = 60

[[capture]]
minute = 0
body = 1
file = "a/b.pcap"
finds = ["scan.port"]

[[inject]]
id = "call"
minute = 5
to = "monitor"
ja = "電話"
en = "A call"

[[expect]]
role = "monitor"
action = "do_task"
step = "source"
by = 15
ja = "確認"
en = "Look"
"#;

#[test]
fn ready_scenarios_hold_together_with_their_captures() {
    let pcaps = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../pcaps"));
    let scenarios = ready().unwrap();
    let ids: Vec<&str> = scenarios.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "each is named for its file");
    for scenario in &scenarios {
        for capture in &scenario.captures {
            let file = pcaps.join(&capture.file);
            assert!(file.is_file(), "{}: {}", scenario.id, capture.file);
            let told = std::fs::read_to_string(file.with_extension("expected.json")).unwrap();
            let told: Value = serde_json::from_str(&told).unwrap();
            let found: Vec<&str> = told["expect"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|one| one["category"].as_str())
                .collect();
            for category in &capture.finds {
                assert!(
                    found.contains(&category.as_str()),
                    "{}: {} in {}",
                    scenario.id,
                    category,
                    capture.file
                );
            }
            // An agent without the segments that a capture is about finds nothing in it.
            let beside = told["config"].as_str().map(|name| file.with_file_name(name));
            assert_eq!(
                beside,
                capture.config.as_ref().map(|name| pcaps.join(name)),
                "{}: {}",
                scenario.id,
                capture.file
            );
        }
        // A drill in which nobody but one plays exercises no hand-over.
        let roles: BTreeSet<Role> = scenario.expected.iter().map(|one| one.role).collect();
        assert!(roles.len() >= 3, "{}: {roles:?}", scenario.id);
        assert_eq!(scenario.expected[0].action, Deed::Acknowledge, "{}", scenario.id);
        assert_eq!(load(&scenario.id).unwrap(), *scenario);
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_key() {
    parse("x", GOOD).unwrap();
    for (from, to, says) in [
        ("id = \"x\"", "id = \"X\"", "the scenario x: id: "),
        ("version = 1", "version = 0", "version: versions begin at 1"),
        ("source = \"us\"", "source = \" \"", "source: "),
        ("title_ja = \"題\"", "title_ja = \"\"", "title_ja, title_en: "),
        ("about_en = \"About\"", "about_en = \"\"", "about_ja, about_en: "),
        ("\"scan\"", "\"weather\"", "weather"),
        ("\"scan\"", "\"ransomware\"", "severity: its category demands"),
        ("\"scan\"", "\"drill_test\"", "category: "),
        ("severity = 2", "severity = 5", "a level is 0 to 4"),
        ("bodies = 1", "bodies = 0", "bodies: from 1 to 47"),
        ("minutes = 60", "minutes = 1441", "minutes: from 1 to 1440"),
        ("minutes = 60", "minutes = 4", "inject 1: minute: "),
        ("minutes = 60", "minutes = 10", "expect 1: by: "),
        ("body = 1", "body = 2", "capture 1: body: "),
        ("body = 1", "body = 0", "capture 1: body: "),
        ("a/b.pcap", "../b.pcap", "capture 1: file: "),
        ("a/b.pcap", "/etc/passwd", "capture 1: file: "),
        ("a/b.pcap", "", "capture 1: file: "),
        ("finds = [\"scan.port\"]", "finds = []", "capture 1: finds: "),
        ("finds = [\"scan.port\"]", "finds = [\"scan.moon\"]", "scan.moon"),
        ("finds = [", "config = \"../x\"\nfinds = [", "capture 1: config: "),
        ("to = \"monitor\"", "to = \"auditor\"", "inject 1: to: "),
        ("to = \"monitor\"", "to = \"king\"", "king"),
        ("ja = \"電話\"", "ja = \"\"", "inject 1: ja, en: "),
        ("\"source\"\nby", "\"moon\"\nby", "expect 1: step: the category's playbook"),
        ("step = \"source\"\n", "", "expect 1: step: only do_task"),
        ("\"do_task\"", "\"note\"", "expect 1: step: only do_task"),
        ("\"do_task\"", "\"delete\"", "delete"),
        ("role = \"monitor\"", "role = \"admin\"", "expect 1: action: "),
        ("by = 15", "by = 0", "expect 1: by: "),
        ("by = 15", "until = 15", "until"),
        ("[[expect]]", "[[expected]]", "expected"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = parse("x", &GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.starts_with("the scenario x: ") && error.contains(says), "{from} -> {to}: {error}");
    }
    let card = "\n[[inject]]\nid = \"call\"\nminute = 6\nto = \"monitor\"\nja = \"電話\"\nen = \"A call\"\n";
    assert!(parse("x", &format!("{GOOD}{card}")).unwrap_err().to_string().contains("an id of its own"));
    let many: String = (0..MOST).map(|n| card.replace("\"call\"", &format!("\"call{n}\""))).collect();
    assert!(parse("x", &format!("{GOOD}{many}")).unwrap_err().to_string().contains("at most 200"));
}

#[test]
fn a_file_of_ones_own_is_read_up_to_a_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let name = path.to_str().unwrap();
    assert!(matches!(load(name), Err(ScenarioError::Unknown { .. })));
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(load(name).unwrap().id, "x");
    let padding = "#".repeat(usize::try_from(LARGEST).unwrap());
    std::fs::write(&path, format!("{GOOD}{padding}")).unwrap();
    assert!(matches!(load(name), Err(ScenarioError::TooLong { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(load(name), Err(ScenarioError::Io { .. })));
    assert!(matches!(load(folder.path().to_str().unwrap()), Err(ScenarioError::Io { .. })));
}
