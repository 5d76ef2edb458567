//! A good file, and every way in which one is refused.

use super::*;

const GOOD: &str = r#"
[mail]
server = "mail.example.jp"
from = "関守 <sekimori@example.jp>"

[[webhook]]
name = "chat"
url = "https://chat.example.jp/hook?x=1"
secret_file = "hook.secret"

[[syslog]]
name = "siem"
address = "192.0.2.1:514"
transport = "udp"

[[contact]]
name = "監視 代行"
roles = ["monitor"]
deputy = true
mail = "deputy@example.jp"

[[contact]]
name = "監視 一番"
roles = ["monitor", "reception"]
tags = ["広報"]
mail = "first@example.jp"

[[contact]]
name = "長崎"
roles = ["body_officer"]
bodies = ["422011"]
lang = "en"
webhook = "chat"

[[contact]]
name = "訓練"
roles = ["monitor"]
drill = true
syslog = "siem"
"#;

fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hook.secret"), "0123456789abcdef\n").unwrap();
    std::fs::write(dir.path().join("short.secret"), "0123\n").unwrap();
    dir
}

fn parse(text: &str) -> Result<Settings, DataError> {
    Settings::parse(&Text { file: "notify.toml".to_owned(), text: text.to_owned() }, dir().path())
}

#[test]
fn roles_lead_to_contacts_in_order() {
    let settings = parse(GOOD).unwrap();
    let (nagasaki, other): (BodyCode, BodyCode) = ("422011".parse().unwrap(), "472018".parse().unwrap());
    for (role, body, drill, expected) in [
        (Role::Monitor, None, false, &["監視 一番", "監視 代行"][..]),
        (Role::Monitor, Some(nagasaki), true, &["訓練"]),
        (Role::BodyOfficer, Some(nagasaki), false, &["長崎"]),
        (Role::BodyOfficer, Some(other), false, &[]),
        (Role::BodyOfficer, None, false, &[]),
        (Role::Reception, Some(other), false, &["監視 一番"]),
        (Role::Reception, Some(other), true, &[]),
    ] {
        let names: Vec<_> =
            settings.ladder(role, body.as_ref(), drill).into_iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, expected, "{role} {body:?} {drill}");
    }
    let mail = settings.mail.as_ref().unwrap();
    assert_eq!(
        (mail.port, mail.security),
        (587, Security::Starttls),
        "STARTTLS unless somebody says otherwise"
    );
    assert_eq!(&*settings.webhooks[0].secret, b"0123456789abcdef");
}

#[test]
fn errors_name_line_key_and_rule() {
    for (from, to, expected) in [
        ("roles = [\"monitor\"]", "roles = [\"monitors\"]", "which is not a role"),
        ("roles = [\"monitor\"]", "roles = []", "roles has at least one"),
        ("bodies = [\"422011\"]", "bodies = [\"422012\"]", "no 団体コード"),
        ("lang = \"en\"", "lang = \"fr\"", "lang is \"ja\" or \"en\""),
        ("webhook = \"chat\"", "webhook = \"chart\"", "by a name that stands above"),
        (
            "webhook = \"chat\"",
            "webhook = \"chat\"\nmail = \"a@b.jp\"",
            "has one of mail, webhook and syslog",
        ),
        ("first@example.jp", "first@example.jp\\r\\nBcc: all@example.jp", "is not a mail address"),
        ("name = \"訓練\"", "name = \"長崎\"", "contact 長崎 stands there twice"),
        ("name = \"訓練\"", "name = \"a\\nb\"", "name is one short line"),
        ("https://chat", "http://chat", "begins with https://"),
        ("https://chat", "https://user:pass@chat", "names a host, and no user"),
        ("hook.secret", "short.secret", "holds 16 bytes or more"),
        ("hook.secret", "no.secret", "cannot read"),
        ("192.0.2.1:514", "192.0.2.1", "syslog.address is like"),
        ("transport = \"udp\"", "transport = \"pigeon\"", "unknown variant `pigeon`"),
        ("from = ", "user = \"u\"\nfrom = ", "both of user and password_file"),
        (
            "from = ",
            "security = \"none\"\nuser = \"u\"\npassword_file = \"hook.secret\"\nfrom = ",
            "where there is a password",
        ),
        ("from = ", "ca_file = \"hook.secret\"\nfrom = ", "mail.ca_file"),
        ("[mail]\nserver = \"mail.example.jp\"\nfrom = \"関守 <sekimori@example.jp>\"", "", "needs [mail]"),
        ("[mail]", "[limits]\nattempts = 0\n[mail]", "attempts of 1 to 50"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let shown = data::shown(&parse(&GOOD.replacen(from, to, 1)).unwrap_err());
        assert!(shown.contains(expected), "{to:?}: {shown}");
        assert!(shown.contains("line ") || expected == "cannot read", "{shown}");
    }
}

#[test]
fn pauses_double_up_to_half_an_hour() {
    let waits: Vec<u64> = (1..=9).map(|failed| Limits::default().wait(failed).as_secs()).collect();
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]);
    assert_eq!(Limits::default().wait(u32::MAX).as_secs(), 1800);
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?}", parse(GOOD).unwrap());
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("48, 49, 50"), "{shown}");
}
