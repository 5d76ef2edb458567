//! Every mapping that comes with the agent, on messages as makers document them: `data/fixtures/NAME.toml`.
#![expect(clippy::tests_outside_test_module, reason = "an integration test is a test module")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use sekimori_sensor::alert::{BUILT_IN, Line, Mapping, Mappings, NotAnAlert, Zone, normalise};
use sekimori_wire::alert::{EndpointAlert, Intake};
use sekimori_wire::time::Timestamp;
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
        received_at: Timestamp::from_secs(1_775_012_410),
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

fn built_in() -> Mappings {
    let parse = |(name, text): &(&str, &str)| -> Mapping {
        toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    Mappings::new(BUILT_IN.iter().map(parse)).expect("they fit together")
}

fn fixtures(name: &str) -> Vec<Message> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/fixtures/{name}.toml"));
    let text = std::fs::read_to_string(path).expect("its fixtures");
    toml::from_str::<Fixtures>(&text).unwrap_or_else(|error| panic!("{name}: {error}")).message
}

#[test]
fn what_is_cut_or_damaged_is_read_without_harm() {
    let mappings = built_in();
    let mut seed = 7_u32;
    for message in BUILT_IN.iter().flat_map(|(name, _)| fixtures(name)) {
        let line = message.line.as_bytes();
        for at in 0..line.len() {
            let mut damaged = line.to_vec();
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            damaged[at] = seed.to_be_bytes()[0];
            let _read = read(&String::from_utf8_lossy(&damaged), &mappings);
            let _read = read(&String::from_utf8_lossy(&line[..at]), &mappings);
        }
    }
}

#[test]
fn messages_of_every_maker_are_read_as_expected() {
    let mappings = built_in();
    let mut wrong = Vec::new();
    for (name, _) in BUILT_IN {
        let messages = fixtures(name);
        let alerts = messages.iter().filter(|message| message.alert.is_some()).count();
        assert!(alerts >= 3, "{name}: {alerts} messages that are alerts");
        for message in &messages {
            let read = read(&message.line, &mappings);
            match (&read, &message.alert, &message.reason) {
                (Ok(alert), Some(expect), None) => {
                    for (key, expect) in expect {
                        let mut got = said(alert, key);
                        if key == "time" {
                            let time = |text: &toml::Value| {
                                text.as_str().and_then(|text| text.parse::<Timestamp>().ok())
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
