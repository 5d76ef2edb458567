//! `handover` and `notices` from the command line, on the store of a running collector.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Collector, pcap, run_ok, said, wait_for};

const SOON: Duration = Duration::from_secs(30);
/// Replays tell the drill's own contacts alone, and this is none.
const NOTIFY: &str = "[[syslog]]\nname = \"soc\"\naddress = \"127.0.0.1:9\"\ntransport = \"tcp\"\n\
                      [[contact]]\nname = \"monitor\"\nroles = [\"monitor\"]\nsyslog = \"soc\"\n";

fn output(collector: &Collector, words: &[&str]) -> Output {
    collector.cli(words).output().expect("the collector starts")
}

fn refused(collector: &Collector, words: &[&str], code: i32, part: &str) {
    let output = output(collector, words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
    assert!(said(&output).contains(part), "{words:?}: {}", said(&output));
}

/// A collector with an incident in each of two bodies; their names.
fn with_incidents(more: &str) -> (Collector, [String; 2]) {
    let mut collector = Collector::start();
    if !more.is_empty() {
        collector.kill_hard();
        let folder = collector.config().parent().expect("a folder").to_owned();
        std::fs::write(folder.join("notify.toml"), more).expect("a file");
        let config = std::fs::read_to_string(collector.config()).expect("a configuration");
        let config = format!("{config}\n[notify]\nfile = \"notify.toml\"\n");
        std::fs::write(collector.config(), config).expect("a configuration");
        collector.run();
    }
    for (body, name) in [("422011", "gw-a"), ("422029", "gw-b")] {
        let agent = collector.enrol(body, name);
        run_ok(&mut agent.replay(None, &[pcap("c2.beacon/positive-raw.pcap")]));
    }
    let named = |body: &str| {
        wait_for("an incident of each body", SOON, || {
            let all = collector.incidents("c2_beacon", SOON);
            let own = all.iter().find(|one| one["body"] == body)?;
            Some(own["id"].as_str().expect("an id").to_owned())
        })
    };
    let ids = [named("422011"), named("422029")];
    (collector, ids)
}

#[test]
fn a_shift_is_handed_over_from_the_command_line() {
    let (collector, [own, other]) = with_incidents("");
    let markdown = run_ok(&mut collector.cli(&["handover"]));
    assert!(markdown.starts_with("# ") && markdown.contains(&own) && markdown.contains(&other), "{markdown}");
    let of_one = run_ok(&mut collector.cli(&["handover", "--bodies", "422011", "--format", "json"]));
    let pack: Value = serde_json::from_str(&of_one).expect("JSON");
    assert_eq!(pack["incidents"].as_array().map(Vec::len), Some(1), "{pack}");
    assert!(of_one.contains(&own) && !of_one.contains(&other) && !of_one.contains("422029"), "{of_one}");
    let english = run_ok(&mut collector.cli(&["handover", "--lang", "en", "--incident", &other]));
    assert!(english.contains(&other) && !english.contains(&own), "{english}");

    let file = collector.folder.path().join("handover.html");
    let name = file.to_str().expect("UTF-8");
    let said = run_ok(&mut collector.cli(&["handover", "--format", "html", "--output", name]));
    assert!(said.contains("2 incidents in "), "{said}");
    let html = std::fs::read_to_string(&file).expect("it is written");
    assert!(html.starts_with("<!") && html.contains(&own), "{html}");

    refused(&collector, &["handover", "--since", "soon"], 2, "--since: soon is no time");
    refused(&collector, &["handover", "--bodies", "422012"], 2, "--bodies");
    refused(&collector, &["handover", "--incident", "INC-1"], 1, "there is no such incident");
    // Of another body: as if it were not there.
    refused(
        &collector,
        &["handover", "--bodies", "422011", "--incident", &other],
        1,
        "there is no such incident",
    );
    run_ok(&mut collector.cli(&["audit", "verify"]));
}

#[test]
fn a_dead_letter_is_listed_sent_again_and_put_aside_from_the_command_line() {
    let (mut collector, [own, other]) = with_incidents(NOTIFY);
    let dead = |collector: &Collector| -> Vec<Value> {
        let json = run_ok(&mut collector.cli(&["notices", "dead", "--json"]));
        serde_json::from_str(&json).expect("JSON")
    };
    let of = |letters: &[Value], id: &str| letters.iter().find(|one| one["incident"] == id).cloned();
    let (first, second) = wait_for("nobody is named for a drill", SOON, || {
        let letters = dead(&collector);
        of(&letters, &own).zip(of(&letters, &other))
    });
    let key = |one: &Value| one["key"].as_str().expect("a key").to_owned();
    let (first, second) = (key(&first), key(&second));
    let text = run_ok(&mut collector.cli(&["notices", "dead"]));
    assert!(text.contains(&first) && text.contains("nobody is named for this role"), "{text}");

    refused(&collector, &["notices", "again", &first], 1, "nobody is named for its role");
    refused(&collector, &["notices", "again", "no such key"], 1, "there is no such dead letter");
    refused(&collector, &["notices", "aside", &first, "--reason", " "], 2, "--reason: say why");
    run_ok(&mut collector.cli(&["notices", "aside", &first, "--reason", "訓練の再生"]));
    refused(&collector, &["notices", "aside", &first, "--reason", "x"], 1, "there is no such dead letter");
    assert!(dead(&collector).iter().all(|one| one["key"] != first.as_str()));

    // One that had a way and was given up goes into the outbox again, and nothing else of it changes.
    collector.kill_hard();
    edit(
        &collector,
        "UPDATE notices SET contact = 'monitor', channel = 'syslog', address = 'soc' WHERE key = $1",
        &second,
    );
    run_ok(&mut collector.cli(&["notices", "again", &second]));
    assert!(dead(&collector).iter().all(|one| one["key"] != second.as_str()));
    collector.run();
    let waiting =
        || number(&collector, "SELECT count(*) FROM notices WHERE key = $1 AND attempts > 0", &second);
    wait_for("the outbox tries it", SOON, || (waiting() == 1).then_some(()));
    let lines = number(
        &collector,
        "SELECT count(*) FROM audit WHERE action IN ('notice:again', 'notice:aside') AND $1 <> ''",
        &second,
    );
    assert_eq!(lines, 2);
    run_ok(&mut collector.cli(&["audit", "verify"]));
}

fn on_store<T>(
    collector: &Collector,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> T {
    let file = collector.config().parent().expect("a folder").join("store/sekimori.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(SOON);
        let mut store = SqliteConnection::connect_with(&options).await.expect("the store opens");
        work(&mut store).await.expect("the statement runs")
    })
}

fn edit(collector: &Collector, sql: &'static str, key: &str) {
    on_store(collector, async |store| sqlx::query(sql).bind(key).execute(store).await.map(drop));
}

fn number(collector: &Collector, sql: &'static str, key: &str) -> i64 {
    on_store(collector, async |store| sqlx::query_scalar(sql).bind(key).fetch_one(store).await)
}
