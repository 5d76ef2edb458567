//! The search: on its page in both languages, by the API, with what is wrong named, nothing of others, and written down.

use super::*;

/// Percent-encoded, as a browser sends it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn the_page_finds_flows_findings_and_alerts() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    for lang in ["ja", "en"] {
        let cookie = format!("{cookie}; sekimori-lang={lang}");
        let empty = bench.get("/search", &cookie).await;
        assert_eq!(empty.status, StatusCode::OK);
        assert!(empty.text.contains("<option value=\"originator:\">") && !empty.text.contains("⟦"));
        for (kind, query, part) in [
            ("flows", "", "192.0.2."),
            ("flows", "address:192.0.2.0/24 time>=-7d", "192.0.2."),
            ("findings", "category:scan.*", incident.as_str()),
            ("alerts", "host:192.0.2.20", "192.0.2.20"),
        ] {
            let page = bench.get(&format!("/search?kind={kind}&q={}", encoded(query)), &cookie).await;
            assert_eq!(page.status, StatusCode::OK, "{kind} {query}: {}", page.text);
            assert!(
                page.text.contains("<tbody>") && page.text.contains(part),
                "{kind} {query}: {}",
                page.text
            );
            assert!(!page.text.contains("<script>alert") && !page.text.contains("⟦"));
        }
        let none = bench.get("/search?kind=flows&q=port:1", &cookie).await.text;
        assert!(!none.contains("<tbody>") && none.contains("class=\"empty\""));
    }
}

#[tokio::test]
async fn what_is_no_query_is_shown_with_its_place() {
    let (bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let page =
        bench.get(&format!("/search?kind=flows&q={}", encoded("port:443 port:\"<b>\"")), &cookie).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("15 文字目: port は整数"), "{}", page.text);
    assert!(page.text.contains("port:443 port:<mark>▲&#34;&#60;b") && !page.text.contains("<b>"));
    let english = bench.get("/search?kind=flows&from=soon", &format!("{cookie}; sekimori-lang=en")).await;
    assert!(english.status == StatusCode::BAD_REQUEST && english.text.contains("“From” needs a time"));
    for (path, said) in [
        ("flows?q=nope%3A1", "q: at character 1: there is no field"),
        ("findings?from=soon", "from: a time such as"),
        ("alerts?limit=0", "limit: "),
        ("flows?cursor=x", "cursor: "),
    ] {
        let answer = bench.get(&format!("/api/v1/search/{path}"), &cookie).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(said), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_api_gives_pages_and_every_search_is_written_down() {
    let (bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let first = bench.get("/api/v1/search/findings?limit=1", &cookie).await.json();
    assert_eq!(first["findings"].as_array().unwrap().len(), 1);
    let cursor = first["next"].as_str().unwrap().to_owned();
    let second = bench.get(&format!("/api/v1/search/findings?limit=1&cursor={cursor}"), &cookie).await.json();
    assert_ne!(first["findings"][0]["id"], second["findings"][0]["id"]);
    assert!(second["findings"][0]["finding"]["category"].is_string());
    let flows = bench.get("/api/v1/search/flows?q=address%3A192.0.2.0/24", &cookie).await.json();
    assert_eq!(flows["next"], Value::Null);
    assert!(flows["flows"][0]["start"].as_str().unwrap().ends_with('Z'), "{flows}");
    bench.get("/search?kind=alerts&q=host%3A192.0.2.20&from=-1d", &cookie).await;
    let lines: Vec<(String, String, String, String)> =
        db::query_as("SELECT actor, role, action, reason FROM audit ORDER BY seq")
            .fetch_all(bench.store.reader())
            .await
            .unwrap();
    let line = |action: &str, reason: &str| ["monitor", "monitor", action, reason].map(str::to_owned);
    let lines: Vec<[String; 4]> = lines.into_iter().map(|(a, b, c, d)| [a, b, c, d]).collect();
    assert_eq!(
        lines,
        [
            line("search:findings", ""),
            line("search:findings", ""),
            line("search:flows", "address:192.0.2.0/24"),
            line("search:alerts", "host:192.0.2.20 from=-1d"),
        ]
    );
    assert!(bench.store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn what_may_come_next_is_told_while_somebody_types() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.session("monitor").await;
    let ask = async |q: &str| {
        bench.get(&format!("/search/complete?kind=flows&q={}", encoded(q)), &cookie).await.text
    };
    assert_eq!(ask("port:443 proto:ic").await, "port:443 proto:icmp\nport:443 proto:icmpv6");
    assert!(ask("").await.lines().any(|line| line == "originator:"));
    assert_eq!(ask(&"x".repeat(3000)).await, "");
    let stranger = bench.get("/search/complete?q=a", "").await;
    assert_eq!(stranger.status, StatusCode::SEE_OTHER);
}
