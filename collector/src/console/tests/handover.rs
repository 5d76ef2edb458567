//! The hand-over: what is in it, for whom, in both languages, and that it is written down.

use serde_json::json;

use super::work::People;
use super::*;
use crate::incident::IncidentCategory;

/// A notice of an incident that was given up, with a hostile word of a mail server.
async fn dead_letter(store: &Store, incident: &str) {
    db::query(
        "INSERT INTO notices (key, incident, kind, level, drill, body, role, place, contact, channel, address, subject,
            text, written_at, attempts, dead_at, error)
         VALUES ($1, $2, 'opened', 3, 0, '422011', 'control', 0, '統制 当番', 'mail', 'a@example.jp', 's', 't', $3, 9, $3, $4)",
    )
    .bind(format!("{incident}/findings/1/control/0"))
    .bind(incident)
    .bind(stored(now()))
    .bind(format!("550 no such user {HOSTILE}"))
    .execute(store.writer())
    .await
    .unwrap();
}

/// People, and an incident with a note, a proposal, a dead letter and a limit that has passed.
async fn busy_shift() -> (People, String) {
    let people = People::of(Bench::new().await).await;
    let store = &people.bench.store;
    let id = people.open(IncidentCategory::DeviceLost).await;
    people.must(Role::Monitor, &id, json!({ "action": "acknowledge" })).await;
    people.must(Role::Monitor, &id, json!({ "action": "note", "text": "折り返し待ち|`x`" })).await;
    people
        .must(Role::Monitor, &id, json!({ "action": "unmask", "what": "reporter.name", "reason": "連絡" }))
        .await;
    dead_letter(store, &id).await;
    let since = stored(now());
    db::query("INSERT INTO timers (incident, what, since, rung, due_at) SELECT id, 'close', opened_at, 100, $2 FROM incidents WHERE id = $1")
        .bind(&id)
        .bind(since - 1)
        .execute(store.writer())
        .await
        .unwrap();
    (people, id)
}

#[tokio::test]
async fn a_hand_over_tells_what_is_open_who_owes_what_and_what_runs_out() {
    let (people, id) = busy_shift().await;
    let (cookie, _) = people.session(Role::Control);
    let pack = people.bench.get("/api/v1/handover?since=-1h", cookie).await.json();
    let one = pack["incidents"].as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap();
    assert_eq!(one["state"], "received");
    assert_eq!(one["note"]["text"], "折り返し待ち|`x`");
    assert_eq!(
        (&one["proposals"][0]["action"], &one["proposals"][0]["by"]),
        (&json!("unmask"), &json!("person-monitor"))
    );
    assert_eq!((&one["limits"][0]["what"], &one["limits"][0]["passed"]), (&json!("close"), &json!(true)));
    let kinds: Vec<&str> =
        pack["changes"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    for kind in ["opened", "acknowledged", "note", "proposed"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert_eq!(
        (&pack["notices"][0]["dead"], &pack["notices"][0]["contact"]),
        (&json!(true), &json!("統制 当番"))
    );
    // What changed before is not told.
    let later = people.bench.get("/api/v1/handover?since=-0s", cookie).await.json();
    assert_eq!(later["changes"], json!([]));

    let own = format!("/incidents/{id}/handover");
    for (path, lang, words) in [
        ("/handover".to_owned(), "ja", ["未完了の事案", "承認待ち", "送信断念"]),
        (own.clone(), "en", ["Open incidents", "Waits for agreement", "Given up"]),
        ("/handover?format=markdown".to_owned(), "ja", ["## 未完了の事案", "折り返し待ち\\|", "**送信断念"]),
        (format!("{own}?format=html"), "en", ["@page", "Who owes what next", "Given up"]),
        (format!("/api/v1{own}?format=markdown&lang=en"), "ja", ["## Open incidents", "Given up", "Limits"]),
    ] {
        let answer = people.bench.get(&path, &format!("{cookie}; sekimori-lang={lang}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        for word in words.into_iter().chain([id.as_str()]) {
            assert!(answer.text.contains(word), "{path} has no {word}: {}", answer.text);
        }
        assert!(!answer.text.contains("<script>") && !answer.text.contains('\u{202e}'), "{path}");
    }
    for (path, status) in [
        ("/handover?since=lunch", StatusCode::BAD_REQUEST),
        ("/api/v1/handover?since=lunch", StatusCode::BAD_REQUEST),
        ("/api/v1/handover?format=pdf", StatusCode::BAD_REQUEST),
        ("/api/v1/incidents/INC-422011-20200101-1/handover", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(people.bench.get(path, cookie).await.status, status, "{path}");
    }
    let store = &people.bench.store;
    let lines = store.audit_of(&id, 100).await.unwrap();
    let given: Vec<&str> = lines
        .iter()
        .map(|line| line.entry.action.as_str())
        .filter(|action| action.starts_with("handover:"))
        .collect();
    assert_eq!(given.len(), 3, "a line for each: {given:?}");
    for action in ["handover:view", "handover:html", "handover:markdown"] {
        assert!(given.contains(&action), "{given:?}");
    }
    let shifts: i64 =
        db::query_scalar("SELECT count(*) FROM audit WHERE action LIKE 'handover:%' AND incident = ''")
            .fetch_one(store.reader())
            .await
            .unwrap();
    assert_eq!(shifts, 4, "what was not given has no line");
}
