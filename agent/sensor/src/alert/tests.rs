//! Lines of products as they come, and lines that are no alert.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const KEY: [u8; 32] = [9; 32];
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// The mappings that come with the agent.
pub(crate) fn built_in() -> Arc<Mappings> {
    static READ: std::sync::LazyLock<Arc<Mappings>> = std::sync::LazyLock::new(|| {
        let read = |(name, text): &(&str, &str)| -> Mapping {
            toml::from_str(text).unwrap_or_else(|error| panic!("{name}.toml: {error}"))
        };
        Arc::new(Mappings::new(BUILT_IN.iter().map(read)).unwrap())
    });
    Arc::clone(&READ)
}

fn given(text: &str) -> Line<'_> {
    Line {
        raw: text.as_bytes(),
        text,
        received_at: NOW,
        intake: Intake::Listener,
        from: Some(IpAddr::from([192, 0, 2, 9])),
        place: None,
        zone: Zone::default(),
        user_key: &KEY,
    }
}

fn read(line: &str) -> Result<EndpointAlert, NotAnAlert> {
    normalise(&given(line), &built_in())
}

/// The alert of a line that is one.
pub(crate) fn alert_of(line: &str) -> EndpointAlert {
    read(line).unwrap()
}

#[test]
fn a_cef_line_becomes_an_alert() {
    let sha = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let line = format!(
        "<132>1 2026-04-01T00:00:00Z av-manager CEF - - - CEF:0|Maker|EDR|7.1|M-100|Trojan detected|8|rt=1767225600000 \
         dst=192.168.3.4 dhost=PC-034 src=203.0.113.7 duser=TOWN\\\\yamada act=quarantined fileHash={sha} \
         filePath=C:\\\\Users\\\\yamada\\\\x.exe msg=found for yamada"
    );
    let alert = read(&line).unwrap();
    assert_eq!(
        (alert.vendor.as_str(), alert.product.as_str(), alert.signature_id.as_str()),
        ("Maker", "EDR", "M-100")
    );
    assert_eq!(
        (alert.class, alert.severity, alert.format),
        (AlertClass::Malware, Severity::HIGH, AlertFormat::Cef)
    );
    assert_eq!(alert.host.map(|host| host.to_string()), Some("192.168.3.4".to_owned()));
    assert_eq!(alert.remote.map(|host| host.to_string()), Some("203.0.113.7".to_owned()));
    assert_eq!(alert.host_name.as_str(), "PC-034");
    assert_eq!(alert.action.as_str(), "quarantined");
    assert_eq!(alert.file_sha256.map(|hash| hash.to_string()), Some(sha.to_owned()));
    assert_eq!(alert.time, Timestamp::from_secs(1_767_225_600));
    assert_eq!(alert.original_sha256, Digest::of(line.as_bytes()));
    assert!(!alert.original.contains("yamada"), "{}", alert.original.as_str());
    assert_eq!(alert.id, read(&line).unwrap().id);
}

#[test]
fn the_endpoint_is_the_inside_end() {
    for (extension, host, remote) in [
        ("src=192.168.1.1 dst=203.0.113.1 cat=C2 beacon", "192.168.1.1", Some("203.0.113.1")),
        ("src=203.0.113.1 dst=192.168.1.1 cat=C2 beacon", "192.168.1.1", Some("203.0.113.1")),
        ("src=192.168.1.1 dst=203.0.113.1 cat=virus", "192.168.1.1", Some("203.0.113.1")),
        ("dvc=192.168.1.7 cat=virus", "192.168.1.7", None),
        ("cat=virus", "192.0.2.9", None),
    ] {
        let alert = read(&format!("CEF:0|v|p|1|id|name|5|{extension}")).unwrap();
        assert_eq!(alert.host.map(|host| host.to_string()).as_deref(), Some(host), "{extension}");
        assert_eq!(alert.remote.map(|host| host.to_string()).as_deref(), remote, "{extension}");
    }
}

#[test]
fn plain_words_become_an_alert() {
    let alert = read("<28>1 2026-04-01T00:00:00+09:00 PC-034 AntiVirus - - - ウイルスを検出しました。隔離しました。ユーザー名:yamada 通信先:203.0.113.7").unwrap();
    assert_eq!(
        (alert.class, alert.severity, alert.format),
        (AlertClass::Malware, Severity::HIGH, AlertFormat::Plain)
    );
    assert_eq!(
        (alert.host_name.as_str(), alert.product.as_str(), alert.action.as_str()),
        ("PC-034", "AntiVirus", "quarantined")
    );
    assert_eq!((alert.host, alert.remote.is_some(), alert.user.is_some()), (None, true, true));
    assert_eq!(alert.time, "2026-03-31T15:00:00Z".parse().unwrap());
    assert!(!alert.original.contains("yamada") && !alert.name.contains("yamada"));
    let finding = alert.to_finding();
    assert_eq!(finding.severity, alert.severity);
}

#[test]
fn ransom_behaviour_is_critical_whatever_the_product_says() {
    let alert = read("CEF:0|v|p|1|id|Ransomware behaviour|3|dst=10.0.0.1").unwrap();
    assert_eq!((alert.class, alert.severity), (AlertClass::Ransomware, Severity::CRITICAL));
}

#[test]
fn what_is_no_alert_has_a_reason() {
    assert_eq!(read("<13>1 - - - - - -").unwrap_err(), NotAnAlert::Empty);
    assert_eq!(read("").unwrap_err(), NotAnAlert::Empty);
    assert_eq!(read("<13>CEF:0|a|b").unwrap_err(), NotAnAlert::MalformedCef);
    assert_eq!(read("<13>Apr  1 09:00:00 pc cron[1]: job done").unwrap_err(), NotAnAlert::NoPhrase);
}

proptest! {
    #[test]
    fn never_panics(line in prop::collection::vec(any::<u8>(), 0..300)) {
        let _alert = read(&String::from_utf8_lossy(&line));
    }

    #[test]
    fn never_panics_on_what_looks_like_cef(rest in ".{0,200}") {
        let _alert = read(&format!("<13>1 - h a - - - CEF:0|v|p|1|id|virus {rest}|9|duser={rest} msg={rest}"));
    }

    #[test]
    fn user_names_never_leave(user in "[a-z]{4,12}x9q") {
        let alert = read(&format!("CEF:0|v|p|1|id|virus of {user}|9|suser={user} msg=/home/{user}/a {user}")).unwrap();
        let shown = serde_json::to_string(&alert).unwrap();
        prop_assert!(!shown.contains(&user), "{}", shown);
    }
}
