//! The API against its own document, asked by schemathesis over TLS; and the examples of docs/api.md.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{Collector, pcap, program, run_ok, said};

const REQUIREMENTS: &str = include_str!("openapi/requirements.txt");
/// For inventing requests; what begins then ends.
const SECONDS: &str = "75";

/// schemathesis in a virtual environment below the target folder: made once, and again for other versions.
fn schemathesis() -> PathBuf {
    let built = program("sekimori-collector");
    let folder = built.parent().expect("the target folder").join("schemathesis");
    let (bin, mark) = (folder.join("bin"), folder.join("installed.txt"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == REQUIREMENTS) {
        return bin.join("schemathesis");
    }
    run_ok(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    let list = folder.join("requirements.txt");
    std::fs::write(&list, REQUIREMENTS).expect("the folder is ours");
    let mut pip = Command::new(bin.join("pip"));
    pip.args(["install", "--quiet", "--no-input", "--no-deps", "--only-binary", ":all:", "--requirement"]);
    let output = pip.arg(&list).output().expect("pip starts");
    assert!(
        output.status.success(),
        "schemathesis does not come from PyPI (is it reachable? a proxy is named by HTTPS_PROXY): {}",
        said(&output)
    );
    std::fs::write(&mark, REQUIREMENTS).expect("the folder is ours");
    bin.join("schemathesis")
}

/// A collector with incidents, agents and findings, and a token that may act.
fn filled() -> (Collector, String) {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "gateway");
    let captures = [pcap("scan.port/positive-outside.pcap"), pcap("endpoint.alert/positive-cef.pcap")];
    run_ok(&mut agent.replay(None, &captures));
    collector.incidents("scan", Duration::from_secs(30));
    let name = collector.user.clone();
    let words = ["token", "add", "--name", &name, "--label", "test", "--right", "act"];
    let token = run_ok(&mut collector.cli(&words)).trim().to_owned();
    (collector, token)
}

#[test]
fn schemathesis_finds_no_server_error_and_no_violation() {
    let program = schemathesis();
    let (collector, token) = filled();
    let report = tempfile::tempdir().expect("a folder");
    let base = format!("https://{}", collector.console);
    // Names that exist, so that more than "not found" is looked at.
    let scan = &collector.incidents("scan", Duration::from_secs(30))[0];
    let (incident, agent) = (&scan["id"], &collector.status()["agents"][0]["id"]);
    let named = [("incidents", incident), ("agents", agent)].map(|(kind, id)| {
        format!("[[operations]]\ninclude-path-regex = \"^/api/v1/{kind}/\"\nparameters = {{ \"path.id\" = {id} }}\n")
    });
    std::fs::write(report.path().join("schemathesis.toml"), named.concat()).expect("the folder is ours");
    let mut command = Command::new(&program);
    command.current_dir(report.path()).args(["run", "--url", &base, "--tls-verify", "false"]);
    command.args(["--header", &format!("Authorization: Bearer {token}")]);
    // Streams do not end; they have a test of their own.
    command.args(["--exclude-path", "/api/v1/events", "--phases", "examples,coverage,fuzzing"]);
    // Every check but three: a text can be allowed by the schema and be no query, incidents are not deleted, and guessed
    // passwords are answered 429 after a while (the tests of sign-ins and of scopes ask without credentials).
    command.args(["--exclude-checks", "positive_data_acceptance,use_after_free,ignored_auth"]);
    command.args([
        "--max-examples",
        "40",
        "--max-time",
        SECONDS,
        "--seed",
        "20261123",
        "--request-timeout",
        "20",
    ]);
    command.args(["--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"]);
    let output = command.arg(format!("{base}/api/v1/openapi.json")).output().expect("schemathesis starts");
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("No issues found"), "{said}");
    collector.assert_verifies();
}

/// The shell blocks of a page, in order.
fn examples(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect()
}

#[test]
fn the_examples_of_the_page_about_the_api_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(path).expect("docs/api.md");
    let examples = examples(&page);
    assert!(examples.matches("api ").count() >= 10, "{examples}");
    let (collector, token) = filled();
    let mut shell = Command::new("bash");
    shell
        .args(["-e", "-u", "-o", "pipefail", "-x", "-c", &examples])
        .current_dir(collector.config().parent().expect("a folder"));
    shell.env("COLLECTOR", format!("https://{}", collector.console)).env("TOKEN", token);
    let output: Output = shell.output().expect("bash starts");
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    for part in [
        "\"state\":\"received\"",
        "HTTP/1.1 304",
        "HTTP/1.1 412",
        "idempotency-replayed: true",
        "event: ready",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
