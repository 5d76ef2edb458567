//! `sekimori-agent init`: what it writes is what the agent takes, and nothing of an operator's is lost.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Collector, program, run_ok, said};

const EXAMPLE: &str = include_str!("../../agent/agent.example.toml");

fn init(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program("sekimori-agent"));
    command.arg("init").arg("--config").arg(folder.join("etc/agent.toml"));
    command.arg("--state").arg(folder.join("state")).args(words).stdin(Stdio::null());
    command.output().expect("it starts")
}

fn check(folder: &Path) -> Output {
    let mut command = Command::new(program("sekimori-agent"));
    command.args(["check", "--config"]).arg(folder.join("etc/agent.toml")).output().expect("it starts")
}

#[test]
fn it_writes_what_the_agent_takes_and_nothing_over_an_operators_file() {
    let holder = tempfile::tempdir().expect("a folder");
    let (folder, file) = (holder.path(), holder.path().join("etc/agent.toml"));
    let bare = init(folder, &[]);
    assert_eq!(bare.status.code(), Some(2), "{}", said(&bare));
    assert!(said(&bare).contains("--interface: name at least one"), "{}", said(&bare));
    let whole = [
        "--interface",
        "lo",
        "--body",
        "422011",
        "--body-name",
        "長崎市",
        "--model",
        "beta",
        "--segment",
        "internet=10.3.0.0/16,fd00:3::/32",
        "--segment",
        "lgwan=10.2.0.0/16",
        "--proxy",
        "http://10.3.0.8:8080",
    ];
    let made = init(folder, &whole);
    assert!(made.status.success() && said(&made).contains("interfaces: lo"), "{}", said(&made));
    let checked = check(folder);
    assert!(checked.status.success(), "{}", said(&checked));
    let text = std::fs::read_to_string(&file).expect("the file");
    for line in
        ["interfaces = [\"lo\"]", "name = \"長崎市\"", "model = \"beta\"", "proxy = \"http://10.3.0.8:8080\""]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o640);
    let again = init(folder, &whole);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(said(&again).contains("--force writes over it"), "{}", said(&again));
    let forced = init(folder, &["--interface", "lo", "--force"]);
    assert!(forced.status.success() && check(folder).status.success(), "{}", said(&forced));
    // What the package brings is nobody's work.
    std::fs::write(&file, EXAMPLE).expect("a file");
    assert!(init(folder, &whole).status.success());
    // What is not sound is not written.
    for (words, why) in [
        (&["--interface", "lo", "--body", "422012"][..], "422012"),
        (&["--interface", "lo", "--segment", "internet"], "internet: is NAME=NETWORK"),
        (&["--interface", "lo", "--segment", "attic=10.0.0.0/8"], "attic"),
        (&["--interface", "a/b"], "a/b"),
    ] {
        let before = std::fs::read_to_string(&file).expect("the file");
        let refused = init(folder, &[words, &["--force"]].concat());
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {}", said(&refused));
        assert!(said(&refused).contains(why), "{words:?}: {}", said(&refused));
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), before, "{words:?}");
    }
}

#[test]
fn an_enrolled_agent_may_speak_with_its_collector_alone() {
    let collector = Collector::start();
    let agent = collector.enrol("422011", "gateway");
    let holder = tempfile::tempdir().expect("a folder");
    let made = |words: &[&str]| {
        let mut command = Command::new(program("sekimori-agent"));
        command.args(["init", "--interface", "lo", "--force", "--drop-in"]).arg(holder.path().join("unit.d"));
        command.arg("--config").arg(holder.path().join("agent.toml")).arg("--state").arg(&agent.state);
        run_ok(command.args(words));
        std::fs::read_to_string(holder.path().join("unit.d/addresses.conf")).expect("the addition")
    };
    // Its collector is on this machine.
    let own = made(&[]);
    assert!(own.contains("IPAddressDeny=any") && own.ends_with("IPAddressAllow=localhost \n"), "{own}");
    let given = made(&["--collector", "https://203.0.113.10:8440", "--collector", "2001:db8::5"]);
    assert!(given.ends_with("IPAddressAllow=localhost 203.0.113.10 2001:db8::5\n"), "{given}");
    // systemd reads it.
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/sekimori-agent.service");
    let whole = std::fs::read_to_string(unit).expect("the unit") + "\n" + &given;
    let copy = holder.path().join("sekimori-agent.service");
    std::fs::File::create(&copy).and_then(|mut file| file.write_all(whole.as_bytes())).expect("a file");
    let judged = run_ok(
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=17"]).arg(&copy),
    );
    assert!(judged.contains("defines IP address allow list"), "{judged}");
}
