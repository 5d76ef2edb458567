//! What the console and the API show of exceptions.

use super::*;

const FILE: &str = r#"
[[exception]]
id = "EX-1"
category = "scan.*"
originator = "198.51.100.7"
reason = "脆弱性診断<b>"
owner = "情報政策課"
created = "DAY"
expires = "DAY"
"#;

/// Today in Japan, as files write it.
fn today() -> String {
    let now = jiff::Timestamp::from_nanosecond(i128::from(now().nanos())).unwrap();
    jiff::tz::Offset::from_seconds(9 * 3600).unwrap().to_datetime(now).date().to_string()
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exceptions.toml");
    std::fs::write(&path, FILE.replace("DAY", &today())).unwrap();
    let exceptions = InForce::load(&[path], AgentsOwn::Accept).unwrap();
    let mut bench = Bench::with(exceptions.clone()).await;
    bench.store.put_exceptions(&exceptions.current(), now()).await.unwrap();
    bench.deliver(vec![Record::Finding(Box::new(finding(1)))]).await;
    let other =
        Finding { originator: "198.51.100.9".parse().ok(), excepted_by: Some(HOSTILE.into()), ..finding(2) };
    bench.deliver(vec![Record::Finding(Box::new(other))]).await;
    bench
}

#[tokio::test]
async fn what_exceptions_keep_out_of_incidents_is_seen() {
    let bench = bench().await;
    let (cookie, _) = bench.session("auditor").await;
    assert_eq!(bench.store.incidents(&IncidentFilter::default()).await.unwrap().1, 0);
    let page = bench.get("/exceptions", &cookie).await.text;
    for part in [
        "EX-1",
        "脆弱性診断&#60;b&#62;",
        "情報政策課",
        "残り 0 日",
        "originator: 198.51.100.7",
        "収集装置が該当と判断",
        "エージェントの判断(収集装置に登録なし)",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("<b>") && !page.contains('\u{202e}'));
    assert!(bench.get("/", &cookie).await.text.contains("期限の近い例外"));
    bench.store.put_exceptions_error("x.toml, line 2", now()).await.unwrap();
    for path in ["/", "/exceptions"] {
        let page = bench.get(path, &cookie).await.text;
        assert!(page.contains("以前の例外が有効なままです") && page.contains("x.toml, line 2"), "{path}");
    }
    assert_eq!(bench.get("/exceptions", "").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_incident_shows_what_was_kept_out_and_programs_read_it_all() {
    let mut bench = bench().await;
    // The same host does something that nobody accepted.
    bench
        .deliver(vec![Record::Finding(Box::new(Finding { category: Category::FloodSyn, ..finding(3) }))])
        .await;
    let (rows, total) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    assert_eq!((total, rows[0].category.as_str(), rows[0].findings), (1, "dos", 1));
    let (cookie, _) = bench.session("monitor").await;
    let page = bench.get(&format!("/incidents/{}", rows[0].id), &cookie).await.text;
    for part in ["例外に該当した同じ対象の検知事象", "EX-1", "情報政策課"] {
        assert!(page.contains(part), "{part}");
    }
    let one = bench.get(&format!("/api/v1/incidents/{}", rows[0].id), &cookie).await.json();
    let beside = one["excepted_beside"].as_array().unwrap();
    assert!(beside.len() == 2 && beside.iter().any(|one| one["exception"]["id"] == "EX-1"), "{beside:?}");
    let all = bench.get("/api/v1/exceptions", &cookie).await.json();
    let here = &all["exceptions"][0];
    assert_eq!(
        (&here["id"], &here["findings"], &here["ends_within"]),
        (&"EX-1".into(), &1.into(), &7.into())
    );
    assert_eq!((&all["unknown"][0]["findings"], &all["error"]), (&1.into(), &Value::Null));
    assert_eq!(all["findings"].as_array().map(Vec::len), Some(2));
    let status = crate::status::read(&bench.store, None).await.unwrap();
    assert_eq!((status.exceptions[0].ends_within, status.exceptions_unknown[0].findings), (Some(7), 1));
    let shown = status.to_string();
    for part in ["ENDS within 7 days: 0 days left  EX-1  情報政策課  1 findings", "UNKNOWN HERE"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{202e}'));
}
