//! Dead letters: listed, sent once more, put aside; by page and API, in the audit log and in what is counted.

use serde_json::json;

use super::work::People;
use super::*;
use crate::auth::scope::Scope;
use crate::incident::IncidentCategory;

async fn dead_letter(store: &Store, key: &str, incident: &str, channel: &str) {
    db::query(
        "INSERT INTO notices (key, incident, kind, level, drill, body, role, place, contact, channel, address, subject,
            text, written_at, attempts, dead_at, error)
         VALUES ($1, $2, 'opened', 3, 0, '422011', 'control', 0, $3, $3, 'a@example.jp', 's', 't', $4, 9, $4, $5)",
    )
    .bind(key)
    .bind(incident)
    .bind(channel)
    .bind(stored(now()))
    .bind(format!("550 {HOSTILE}"))
    .execute(store.writer())
    .await
    .unwrap();
}

#[tokio::test]
async fn a_dead_letter_is_sent_once_more_or_put_aside_with_a_reason() {
    let people = People::of(Bench::new().await).await;
    let store = &people.bench.store;
    let id = people.open(IncidentCategory::DeviceLost).await;
    for (key, channel) in [("k/1", "mail"), ("k/2", "mail"), ("k/3", "")] {
        dead_letter(store, key, &id, channel).await;
    }
    let (cookie, csrf) = people.session(Role::Control);
    let page = people.bench.get("/notices", cookie).await;
    assert!(
        page.text.contains(&id) && page.text.contains("550 ") && !page.text.contains("<script>alert"),
        "{}",
        page.text
    );
    assert_eq!(
        people.bench.get("/api/v1/notices/dead", cookie).await.json()["notices"].as_array().unwrap().len(),
        3
    );

    let settle = async |body: Value| people.post(Role::Control, "notices/dead", &body).await;
    let without = settle(json!({ "key": "k/1", "what": "aside", "reason": " " })).await;
    assert_eq!(without.json()["missing"], json!(["reason"]));
    let nobody = settle(json!({ "key": "k/3", "what": "again" })).await;
    assert_eq!(nobody.json()["missing"], json!(["contact"]), "there is nobody to send it to");
    assert_eq!(settle(json!({ "key": "k/9", "what": "again" })).await.status, StatusCode::NOT_FOUND);
    let left = settle(json!({ "key": "k/1", "what": "again" })).await.json();
    assert_eq!(left["notices"].as_array().unwrap().len(), 2);
    let waits: i64 = db::query_scalar(
        "SELECT count(*) FROM notices WHERE key = 'k/1' AND dead_at IS NULL AND next_at IS NOT NULL",
    )
    .fetch_one(store.reader())
    .await
    .unwrap();
    assert_eq!(waits, 1, "the outbox has it again");
    let form = format!("csrf={csrf}&key=k%2F2&what=aside&reason=%E9%9B%BB%E8%A9%B1");
    assert_eq!(people.bench.post("/notices", cookie, &form).await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        settle(json!({ "key": "k/2", "what": "again" })).await.status,
        StatusCode::NOT_FOUND,
        "decided"
    );
    assert_eq!(store.notices(None, 10).await.unwrap().len(), 1);

    let other = Scope::parse("422029").unwrap();
    assert!(store.seen_in(&other).dead_letters().await.unwrap().is_empty(), "another body sees none");
    let (reads, csrf) = people.session(Role::Auditor);
    let form = format!("csrf={csrf}&key=k%2F3&what=aside&reason=x");
    assert_eq!(people.bench.post("/notices", reads, &form).await.status, StatusCode::FORBIDDEN);
    let lines = store.audit_of(&id, 100).await.unwrap();
    let said: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| line.entry.action.starts_with("notice:"))
        .map(|line| (line.entry.action.as_str(), line.entry.reason.as_str()))
        .collect();
    assert!(
        said.contains(&("notice:again", "k/1")) && said.contains(&("notice:aside", "k/2: 電話")),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);
}
