//! Accounts and tokens from the command line, used over the real listener.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::support::{Collector, run_ok, said};

/// Runs with this on standard input.
pub(crate) fn fed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("standard input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn an_account_sees_its_body_and_ends_when_it_is_disabled() {
    let collector = Collector::start();
    collector.enrol("422011", "gw-a");
    collector.enrol("422029", "gw-b");
    let add = |name: &str, role: &str, scope: &str, password: &str| {
        let words = ["user", "add", "--name", name, "--role", role, "--scope", scope];
        fed(&mut collector.cli(&words), &format!("{password}\n"))
    };
    for (role, scope, password, code, words) in [
        ("body_officer", "all", "a long enough phrase", 2, "name the bodies"),
        ("body_officer", "422012", "a long enough phrase", 2, "no 団体コード"),
        ("root", "all", "a long enough phrase", 2, "a role is one of"),
        ("body_officer", "422011", "password2026", 2, "guessers try first"),
        ("body_officer", "422011", "a long enough phrase", 0, ""),
        ("body_officer", "422011", "a long enough phrase", 1, "there is an account officer"),
    ] {
        let output = add("officer", role, scope, password);
        assert_eq!(output.status.code(), Some(code), "{words}: {}", said(&output));
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    let listed = run_ok(&mut collector.cli(&["user", "list"]));
    assert!(listed.contains("officer  body_officer  422011  enabled  password only"), "{listed}");

    let token = run_ok(&mut collector.cli(&["token", "add", "--name", "officer", "--label", "siem"]));
    let ask = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--write-out", "%{http_code}"]);
        curl.args(["--header", &format!("authorization: Bearer {}", token.trim())]);
        let output = curl.arg(format!("https://{}/api/v1/{path}", collector.console)).output();
        String::from_utf8(output.expect("curl runs").stdout).expect("text")
    };
    let agents = ask("agents");
    assert!(agents.contains("gw-a") && !agents.contains("gw-b") && !agents.contains("422029"), "{agents}");
    assert!(agents.ends_with("200") && ask("counters").ends_with("404"));

    // It acts on the next request of the running collector.
    run_ok(&mut collector.cli(&["user", "scope", "--name", "officer", "422029"]));
    assert!(ask("agents").contains("gw-b"));
    run_ok(&mut collector.cli(&["user", "disable", "--name", "officer"]));
    assert!(ask("agents").ends_with("401"));
    run_ok(&mut collector.cli(&["user", "enable", "--name", "officer"]));
    assert!(ask("agents").ends_with("200"));
    run_ok(&mut collector.cli(&["token", "revoke", "--name", "officer", "--label", "siem"]));
    assert!(ask("agents").ends_with("401"));
    let tokens = run_ok(&mut collector.cli(&["token", "list"]));
    assert!(
        tokens.contains("siem") && tokens.contains("revoked") && !tokens.contains(token.trim()),
        "{tokens}"
    );
}
