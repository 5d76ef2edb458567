//! Measures and health of a running collector, by their own listener; and what `status` says of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::i18n::Lang;
use crate::status::overview;

const METRICS: &str = "\n[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// Status, head and body of an answer over plain HTTP.
async fn get(at: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// Reads OpenMetrics 1.0 as its grammar has it; families with their types, and every sample.
fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut types, mut helped, mut samples) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    assert!(text.ends_with("# EOF\n"), "it ends with # EOF");
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
            && !name.starts_with(|ch: char| ch.is_ascii_digit())
    };
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# ") {
            let [word, name, told] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            assert!(is_name(name) && !told.is_empty(), "{line}");
            match word {
                "TYPE" => {
                    assert_eq!(types.insert(name.to_owned(), told.to_owned()), None, "{name} comes twice");
                }
                "HELP" => assert!(helped.insert(name.to_owned()), "{line}"),
                "UNIT" => assert!(name.ends_with(&format!("_{told}")), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        assert!(is_name(name), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let ends = ["_total", "_bucket", "_sum", "_count"];
        let family =
            ends.iter().find_map(|end| name.strip_suffix(end).filter(|name| types.contains_key(*name)));
        let family = family.unwrap_or(name);
        let kind = types.get(family).unwrap_or_else(|| panic!("{line} has no type"));
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(helped.contains(family) && value.is_finite(), "{line}");
        if let Some((_, labels)) = series.split_once('{') {
            for label in labels.strip_suffix('}').unwrap().split("\",") {
                let (name, value) = label.split_once("=\"").unwrap();
                assert!(is_name(name) && !value.trim_end_matches('"').contains(['"', '\n']), "{line}");
            }
        }
        assert_eq!(samples.insert(series.to_owned(), value), None, "{series} comes twice");
    }
    (types, samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn measures_count_what_happens_and_the_document_lists_them() {
    let collector = Collector::start_with(METRICS).await;
    let at = collector.config.metrics.unwrap();
    // A batch that is taken, its repetition, somebody who speaks no TLS, somebody without a certificate.
    let agent = collector.enroll(&collector.token("422011", 60).await).await.ok().unwrap();
    let first = agent.seal(1, Digest::ZERO, vec![finding("one", 1, "203.0.113.9", 10_000, 2)]);
    for _ in 0..2 {
        assert_eq!(agent.send(std::slice::from_ref(&first)).await.unwrap().through, 1);
    }
    let mut stranger = TcpStream::connect(collector.config.ingest).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    stranger.read_to_end(&mut Vec::new()).await.unwrap_or_default();
    let (types, samples) = loop {
        let (status, head, body) = get(at, "/metrics").await;
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
        let (types, samples) = parse(&body);
        if samples.contains_key("sekimori_collector_ingest_rejected_total{reason=\"tls\"}") {
            break (types, samples);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let value = |name: &str| samples.get(name).copied().unwrap_or_else(|| panic!("{name}: {samples:?}"));
    assert!((value("sekimori_collector_events_total{event=\"batches_stored\"}") - 1.0).abs() < 0.1);
    assert!((value("sekimori_collector_events_total{event=\"batches_repeated\"}") - 1.0).abs() < 0.1);
    assert!((value("sekimori_collector_ingest_answer_seconds_count{answer=\"ack\"}") - 2.0).abs() < 0.1);
    assert!(value("sekimori_collector_ingest_bytes_total") > 100.0);
    assert!(value("sekimori_collector_connections_total{listener=\"ingest\"}") >= 2.0);
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") > 5.0);
    assert!(value("sekimori_collector_certificate_left_seconds{of=\"server\"}") > 86_400.0);
    let document = include_str!("../../../../docs/operations.md");
    for family in types.keys() {
        assert!(document.contains(&format!("`{family}")), "docs/operations.md has no {family}");
    }
    for (series, _) in samples {
        assert!(!series.contains("127.0.0.1") && !series.contains("422011"), "{series} names somebody");
    }
    collector.end(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_is_wrong_and_status_that_it_runs() {
    let collector = Collector::start_with(METRICS).await;
    let at = collector.config.metrics.unwrap();
    let (status, _, body) = get(at, "/readyz").await;
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["ready"]), (200, &true.into()), "{body}");
    assert_eq!(told["checks"].as_array().unwrap().len(), 6);
    assert_eq!(get(at, "/healthz").await.0, 200);
    assert_eq!(get(at, "/api/v1/incidents").await.0, 404);

    let overview = async || {
        let store = Store::open_read_only(collector.config.store()).await.unwrap();
        let status = status::read(&store, None).await.unwrap();
        overview::read(&store, &collector.config, Vec::new(), &status).await.unwrap()
    };
    let seen = loop {
        let seen = overview().await;
        if !seen.collectors.is_empty() {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(seen.collectors[0].alive && !seen.is_bad(), "{:?}", seen.attention);
    let page = seen.text(&collector.status().await, Lang::En, clock::now());
    assert!(page.starts_with("ATTENTION") && page.contains("nothing needs attention"), "{page}");

    // Another program holds the store for longer than anybody waits.
    if !collector.store().await.is_shared() {
        let other = collector.store().await;
        let held = other.begin().await.unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let (status, _, body) = get(at, "/readyz").await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("\"name\":\"writable\",\"ok\":false"), "{body}");
        assert_eq!(get(at, "/healthz").await.0, 200, "it lives all the same");
        drop(held);
    }
    let (config, dir) = (collector.config.clone(), collector.end(0).await);
    let store = Store::open_read_only(config.store()).await.unwrap();
    let status = status::read(&store, None).await.unwrap();
    let after = overview::read(&store, &config, Vec::new(), &status).await.unwrap();
    assert!(after.collectors.is_empty() && after.is_bad(), "one that stops takes its row away");
    assert_eq!(after.attention[0].what, "not_running");
    drop(dir);
}

#[test]
fn measures_without_a_login_are_for_this_machine_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let text = "[listen]\nhosts = [\"h\"]\ningest = \"127.0.0.1:1\"\nenroll = \"127.0.0.1:2\"\nconsole = \"127.0.0.1:3\"\n";
    let load = |more: &str| {
        std::fs::write(&path, format!("{text}{more}")).unwrap();
        Config::load(&path)
    };
    assert_eq!(load("").unwrap().metrics, None);
    assert_eq!(load("[metrics]\nlisten = \"[::1]:9464\"\n").unwrap().metrics, "[::1]:9464".parse().ok());
    let refused = load("[metrics]\nlisten = \"0.0.0.0:9464\"\n").unwrap_err();
    assert!(refused.to_string().contains("metrics.listen is an address of this machine alone"), "{refused}");
}
