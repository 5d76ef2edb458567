//! Everything that a stranger may put into a name, on every route that is read: harmless there, in exports and in mails.

use super::scope::pages;
use super::*;
use crate::auth::scope::Scope;

/// HTML, a formula, control characters, marks that turn the direction of writing, ends of lines: in front of ten thousand
/// more, as the wire bounds it.
fn nasty() -> String {
    format!(
        "=HYPERLINK(\"http://evil\")<img src=x onerror=alert(2)>{HOSTILE}\u{0}\u{1b}[2J\u{2066}\u{feff}\r\n{}",
        "あ".repeat(10_000)
    )
}

fn text<const N: usize>() -> sekimori_wire::text::BoundedText<N> {
    nasty().as_str().into()
}

fn nasty_finding(n: u8) -> Finding {
    let mut one = finding(n);
    one.title = Bilingual::new(&nasty(), &nasty());
    one.explanation = Bilingual::new(&nasty(), &nasty());
    one.segment = Some(text());
    one.technique = text();
    one.targets = vec![text()];
    one.excepted_by = (n == 3).then(text);
    one.evidence.formula = text();
    one.evidence.rule = text();
    one.evidence.inputs = [(text(), text::<512>().to_string().as_str().into())].into();
    one
}

fn nasty_alert() -> EndpointAlert {
    EndpointAlert {
        vendor: text(),
        product: text(),
        signature_id: text(),
        name: text(),
        host_name: text(),
        process: text(),
        action: text(),
        original: text(),
        ..alert()
    }
}

/// What a page or a file must not hold, whatever its kind.
const STEERS: [&str; 6] = ["\u{0}", "\u{1b}", "\u{202e}", "\u{2066}", "<img src=x", "<script>alert"];

/// What is wrong with an answer.
fn harm(place: &str, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    // What the operator called a body and an agent is given to programs as it is.
    let quoted = serde_json::to_string(HOSTILE).unwrap();
    let own = ["長崎市", "gw"].map(|name| format!("{name}{}", quoted.trim_matches('"')));
    let seen = own.iter().fold(answer.text.clone(), |text, own| text.replace(own, ""));
    let kind = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    for bad in STEERS {
        // In JSON and in a table a tag is text like any other: nobody reads it as HTML, and the header says so.
        let is_data = (kind.contains("json") || kind.contains("csv")) && bad.starts_with('<');
        let before =
            seen.split_once(bad).filter(|_| !is_data).map(|(before, _)| before.chars().rev().take(120));
        let around = before.map(|before| before.collect::<Vec<_>>().into_iter().rev().collect::<String>());
        wrong.extend(around.map(|around| format!("{place} ({kind}) holds {bad:?} after {around}")));
    }
    if (kind.contains("json") || kind.contains("csv")) && answer.header("x-content-type-options") != "nosniff"
    {
        wrong.push(format!("{place} may be taken for HTML"));
    }
    if kind.contains("csv") {
        let mut cells = answer.text.split(['\n', ',']).map(|cell| cell.trim_start_matches('"'));
        let formula = cells.find(|cell| cell.starts_with(['=', '+', '@', '\t']));
        wrong.extend(formula.map(|cell| format!("{place} has a formula: {cell:.80}")));
    }
    wrong
}

#[tokio::test]
async fn what_a_stranger_names_himself_is_harmless_on_every_route_and_in_every_file() {
    let mut bench = Bench::new().await;
    let mut records: Vec<Record> = [1, 2, 3].map(|n| Record::Finding(Box::new(nasty_finding(n)))).into();
    records.push(Record::EndpointAlert(Box::new(nasty_alert())));
    records.push(Record::Summary(Box::new(summary())));
    records.push(Record::Health(Box::new(health())));
    bench.deliver(records).await;
    bench.writer.reject("192.0.2.66", "tls", &nasty());
    bench.writer.flush().await;
    for (name, role) in [("soc", Role::Control), ("auditor", Role::Auditor), ("keeper", Role::Admin)] {
        bench.store.add_account(&name.into(), role, &Scope::All, "x", now()).await.unwrap();
    }
    let (rows, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    assert!(rows.len() >= 2, "{rows:?}");
    let agent = bench.from.agent.to_string();
    let (mut shown, mut wrong) = (0, Vec::new());
    for name in ["soc", "auditor", "keeper"] {
        let (cookie, _) = bench.session(name).await;
        for row in &rows {
            let fill = |path: &str| {
                let id = if path.contains("agents") { &agent } else { &row.id };
                path.replace("{id}", id)
                    .replace("{name}", "console.css")
                    .replace("{n}", "1")
                    .replace("{digest}", "ab")
            };
            let asked = [
                "/search?kind=findings",
                "/search?kind=alerts",
                "/search?kind=flows",
                "/hosts?address=198.51.100.7",
                "/indicators?value=198.51.100.7",
            ];
            let mut paths: Vec<String> = pages().iter().map(|path| fill(path)).collect();
            paths.extend(asked.map(str::to_owned));
            for format in ["stix", "ocsf", "csv"] {
                paths.push(format!("/api/v1/incidents/{}/export?format={format}", row.id));
                paths.push(format!("/api/v1/export?format={format}"));
            }
            for format in ["markdown", "html", "json"] {
                paths.push(format!("/incidents/{}/handover?format={format}", row.id));
                paths.push(format!("/handover?format={format}"));
            }
            for language in ["ja", "en"] {
                for path in &paths {
                    let answer = bench.get(path, &format!("{cookie}; sekimori-lang={language}")).await;
                    assert!(answer.status != StatusCode::INTERNAL_SERVER_ERROR, "{name} {path}");
                    wrong.extend(harm(&format!("{name} {path} {language}"), &answer));
                    shown += usize::from(answer.text.contains("HYPERLINK"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
    assert!(shown > 50, "the name is shown in {shown} places only: nothing was looked at");
}
