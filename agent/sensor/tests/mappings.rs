//! Every mapping that comes with the agent, on messages as makers document them: `data/fixtures/NAME.toml`.
#![expect(clippy::tests_outside_test_module, reason = "an integration test is a test module")]
#![expect(clippy::disallowed_methods, reason = "the test may read what the crate may not")]

use std::collections::BTreeMap;
use std::path::Path;

use sekimori_sensor::alert::{BUILT_IN, Line, Mapping, Mappings, NotAnAlert, Zone, normalise};
use sekimori_wire::alert::{EndpointAlert, Intake};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixtures {
    message: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    line: String,
    alert: Option<BTreeMap<String, toml::Value>>,
    reason: Option<String>,
}

fn read(line: &str, mappings: &Mappings) -> Result<EndpointAlert, NotAnAlert> {
    let line = Line {
        raw: line.as_bytes(),
        text: line,
        received_at: "2026-04-01T03:00:10Z".parse().expect("a time"),
        intake: Intake::Listener,
        from: None,
        place: None,
        zone: Zone::default(),
        user_key: &[3; 32],
    };
    normalise(&line, mappings)
}

/// What a key of a fixture is in an alert.
fn said(alert: &EndpointAlert, key: &str) -> toml::Value {
    let host = |host: Option<sekimori_wire::id::Host>| host.map(|host| host.to_string()).unwrap_or_default();
    match key {
        "vendor" => alert.vendor.as_str().into(),
        "product" => alert.product.as_str().into(),
        "signature_id" => alert.signature_id.as_str().into(),
        "name" => alert.name.as_str().into(),
        "class" => alert.class.as_str().into(),
        "severity" => i64::from(alert.severity.level()).into(),
        "host" => host(alert.host).into(),
        "host_name" => alert.host_name.as_str().into(),
        "remote" => host(alert.remote).into(),
        "action" => alert.action.as_str().into(),
        "process" => alert.process.as_str().into(),
        "user" => alert.user.is_some().into(),
        "file" => alert.file_sha256.map(|file| file.to_string()).unwrap_or_default().into(),
        "time" => alert.time.to_string().into(),
        other => panic!("a fixture cannot ask for {other}"),
    }
}

#[test]
fn messages_of_every_maker_are_read_as_expected() {
    let parse = |(name, text): &(&str, &str)| -> Mapping {
        toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let mappings = Mappings::new(BUILT_IN.iter().map(parse)).expect("they fit together");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fixtures");
    let mut wrong = Vec::new();
    for (name, _) in BUILT_IN {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("its fixtures");
        let fixtures: Fixtures = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let alerts = fixtures.message.iter().filter(|message| message.alert.is_some()).count();
        assert!(alerts >= 3, "{name}: {alerts} messages that are alerts");
        for message in &fixtures.message {
            let read = read(&message.line, &mappings);
            match (&read, &message.alert, &message.reason) {
                (Ok(alert), Some(expect), None) => {
                    for (key, expect) in expect {
                        let mut got = said(alert, key);
                        if key == "time" {
                            let time = |text: &toml::Value| {
                                text.as_str()
                                    .and_then(|text| text.parse::<sekimori_wire::time::Timestamp>().ok())
                            };
                            if time(&got) == time(expect) {
                                got = expect.clone();
                            }
                        }
                        if got != *expect {
                            wrong.push(format!("{name}: {key} = {got}, not {expect}: {}", message.line));
                        }
                    }
                }
                (Err(reason), None, Some(expect)) if reason.counter().as_str() == expect => {}
                _ => wrong.push(format!("{name}: {read:?}: {}", message.line)),
            }
            if let Ok(alert) = &read
                && ["yamada", "sato"].iter().any(|user| alert.original.contains(user))
            {
                wrong.push(format!("{name}: a user name is left: {}", alert.original.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
