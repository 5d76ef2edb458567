//! The query language where it is used: the list of incidents and the API, on either database.

use super::*;

/// Percent-encoded, as a browser sends it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_query_finds_incidents_in_the_list_and_by_the_api() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let every_field =
        "id:* category:* severity:* state:* body:* subject:* opened:* updated:* evidence:* findings:* mode:*";
    for (query, is_found) in [
        ("category:scan severity>=1 state:detected", true),
        ("category:scan,dos opened>=-1d findings>0 mode:live,replay", true),
        ("-category:scan", false),
        ("状態:検知", false),
        ("(category:dos or body:422011) -subject:\"%\"", true),
        ("body!=422011", false),
        ("parent:*", false),
        ("スキャン", true),
        ("nothing-of-the-kind", false),
        (every_field, true),
    ] {
        let place = format!("{query:?}");
        let answer =
            bench.get(&format!("/api/v1/incidents?category=scan&q={}", encoded(query)), &cookie).await;
        if query == "状態:検知" {
            // States have names of their own.
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
            assert!(answer.text.contains("at character 4: state is one of detected"), "{}", answer.text);
            continue;
        }
        assert_eq!(answer.json()["total"].as_u64(), Some(is_found.into()), "{place}: {}", answer.text);
        let page = bench.get(&format!("/incidents?category=scan&q={}", encoded(query)), &cookie).await.text;
        assert_eq!(page.contains(&format!("/incidents/{incident}\"")), is_found, "{place}");
    }
}

#[tokio::test]
async fn a_query_that_is_none_is_told_and_everything_is_shown() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let page = bench.get(&format!("/incidents?q={}", encoded("port:\"<b>\"")), &cookie).await.text;
    assert!(page.contains("この検索式は使われていません") && page.contains(&incident));
    assert!(!page.contains("<b>"), "what was asked is text");
    let answer = bench.get(&format!("/api/v1/incidents?q={}", encoded("port:80")), &cookie).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.contains("there is no field") && answer.text.contains("port"), "{}", answer.text);
}
