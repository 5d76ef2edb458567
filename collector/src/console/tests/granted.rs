//! What takes two persons is done once, for whom it is meant, and no longer than it may.

use serde_json::json;

use super::work::People;
use super::*;
use crate::incident::IncidentCategory;
use crate::incident::action::Action;
use crate::incident::permission::Part;
use crate::incident::transition::{Actor, Asked, Bodies};
use crate::store::conformance::each;
use crate::store::work::{Acted, Intake};

const NAME: &str = "総務課 山田";

async fn body(store: &Store, code: &str, name: &str) {
    db::query("INSERT INTO bodies (code, name) VALUES ($1, $2) ON CONFLICT (code) DO UPDATE SET name = $2")
        .bind(code)
        .bind(name)
        .execute(store.writer())
        .await
        .unwrap();
}

async fn get(people: &People, role: Role, path: &str) -> Answer {
    let (cookie, _) = people.session(role);
    people.bench.get(path, cookie).await
}

#[tokio::test]
async fn a_hidden_name_is_seen_by_who_asked_after_another_agreed_and_not_for_long() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::DeviceLost).await;
    for path in [
        format!("/incidents/{id}"),
        format!("/api/v1/incidents/{id}"),
        format!("/api/v1/incidents/{id}/history"),
        format!("/api/v1/incidents/{id}/export?format=stix"),
        format!("/api/v1/incidents/{id}/export?format=csv&table=incidents"),
    ] {
        assert!(!get(&people, Role::Control, &path).await.text.contains(NAME), "{path}");
    }
    assert_eq!(people.read(&id).await["work"]["masked"], json!(["reporter.name"]));
    let ask = |what: &str| json!({ "action": "unmask", "what": what, "reason": "折り返し連絡" });
    let none = people.act(Role::Monitor, &id, ask("holder")).await;
    assert_eq!(none.json()["missing"], json!(["what.hidden"]));
    let proposed = people.must(Role::Monitor, &id, ask("reporter.name")).await;
    let approve = json!({ "action": "approve", "proposal": proposed["proposal"] });
    let own = people.act(Role::Monitor, &id, approve.clone()).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN);
    let look = format!("/api/v1/incidents/{id}/unmasked/1");
    assert_eq!(get(&people, Role::Monitor, &look).await.status, StatusCode::NOT_FOUND, "not yet");
    people.must(Role::BodyCiso, &id, approve).await;
    assert_eq!(people.read(&id).await["work"]["grants"][0]["state"], "open");
    let seen = get(&people, Role::Monitor, &look).await;
    assert_eq!((seen.status, &seen.json()["value"]), (StatusCode::OK, &json!(NAME)), "{}", seen.text);
    assert_eq!(seen.header("cache-control"), "no-store");
    let (cookie, csrf) = people.session(Role::Monitor);
    let page =
        people.bench.post(&format!("/incidents/{id}/unmasked/1"), cookie, &format!("csrf={csrf}")).await;
    assert!(page.status == StatusCode::OK && page.text.contains(NAME), "{}", page.text);
    for role in [Role::BodyCiso, Role::Control, Role::Auditor] {
        assert_eq!(get(&people, role, &look).await.status, StatusCode::NOT_FOUND, "{role}");
    }
    let store = &people.bench.store;
    let lines = store.audit_of(&id, 100).await.unwrap();
    let views = lines.iter().filter(|line| line.entry.action == "view:unmasked");
    assert_eq!(views.map(|line| line.entry.actor.as_str()).collect::<Vec<_>>(), ["person-monitor"; 2]);
    assert!(lines.iter().all(|line| !line.entry.reason.contains(NAME)), "the log holds no hidden name");
    db::query("UPDATE grants SET until = 1").execute(store.writer()).await.unwrap();
    assert_eq!(get(&people, Role::Monitor, &look).await.status, StatusCode::NOT_FOUND, "it ended");
    assert_eq!(people.read(&id).await["work"]["grants"][0]["state"], "ended");
    assert!(store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn what_is_shared_is_made_for_its_recipient_and_names_nobody_else() {
    let people = People::of(Bench::new().await).await;
    let store = &people.bench.store;
    body(store, "422011", "甲市").await;
    body(store, "422029", "乙町").await;
    let other = crate::auth::scope::Scope::parse("422029").unwrap();
    store.add_account(&"officer-b".into(), Role::BodyOfficer, &other, "x", now()).await.unwrap();
    let (cookie, _) = people.bench.session("officer-b").await;
    let id = people.open(IncidentCategory::C2Beacon).await;
    for (value, kind) in [("203.0.113.99", "address"), ("10.1.2.3", "address"), ("bad.example", "domain")] {
        db::query(
            "INSERT INTO indicators (kind, value, incident, body, first_seen, last_seen) VALUES ($1, $2, $3, '422011', 1, 2)",
        )
        .bind(kind)
        .bind(value)
        .bind(&id)
        .execute(store.writer())
        .await
        .unwrap();
    }
    let share =
        |to: &str, tlp: &str| json!({ "action": "share", "recipient": to, "tlp": tlp, "reason": "同種攻撃" });
    for (to, tlp, missing) in [
        ("community", "AMBER", "tlp.green_or_clear"),
        ("community", "WHITE", "tlp"),
        ("131016", "AMBER", "recipient"),
    ] {
        let refused = people.act(Role::Control, &id, share(to, tlp)).await;
        assert_eq!(refused.json()["missing"], json!([missing]), "{to} {tlp}");
    }
    let before = people.bench.get("/api/v1/shared", &cookie).await.json();
    assert_eq!(before["extracts"], json!([]));
    let proposed = people.must(Role::Control, &id, share("422029", "AMBER")).await;
    assert_eq!(proposed["outcome"], "proposed", "nobody shares alone");
    let none = people.bench.get("/api/v1/shared", &cookie).await.json();
    assert_eq!(none["extracts"], json!([]), "without approval nothing is shared");
    let approve = json!({ "action": "approve", "proposal": proposed["proposal"] });
    people.must(Role::BodyCiso, &id, approve).await;
    let list = people.bench.get("/api/v1/shared", &cookie).await.json();
    let digest = list["extracts"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(list["extracts"][0]["incident"], Value::Null, "the name of an incident names its body");
    let extract = people.bench.get(&format!("/api/v1/shared/{digest}"), &cookie).await;
    assert_eq!(extract.status, StatusCode::OK);
    assert_eq!(Digest::of(extract.text.as_bytes()).to_string(), digest);
    let json = extract.json();
    assert_eq!((&json["tlp"], &json["body"]), (&json!("TLP:AMBER"), &json!("団体1")));
    let values: Vec<_> = json["indicators"].as_array().unwrap().iter().map(|one| &one["value"]).collect();
    assert_eq!(values, ["203.0.113.99", "bad.example"], "inner addresses stay");
    for word in ["422011", "甲市", id.as_str(), NAME] {
        assert!(!extract.text.contains(word), "{word}: {}", extract.text);
    }
    let page = people.bench.get("/shared", &cookie).await;
    assert!(page.text.contains(&digest) && !page.text.contains(&id));
    let file = people.bench.get(&format!("/shared/{digest}"), &cookie).await;
    assert!(file.header("content-disposition").contains("TLP-AMBER"));
    // Of another body, and not for it.
    let third = crate::auth::scope::Scope::parse("422037").unwrap();
    store.add_account(&"officer-c".into(), Role::BodyOfficer, &third, "x", now()).await.unwrap();
    let (third, _) = people.bench.session("officer-c").await;
    assert_eq!(people.bench.get(&format!("/shared/{digest}"), &third).await.status, StatusCode::NOT_FOUND);
    let lines = store.audit_of(&id, 100).await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.entry.action == "view:extract").count(), 2);
    assert!(lines.iter().any(|line| line.entry.action == "grant:share"));
}

#[tokio::test]
async fn an_approved_capture_says_that_it_waits() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::C2Beacon).await;
    let ask = json!({ "action": "evidence_capture", "what": "10.1.1.1 10:00-10:10", "reason": "C2" });
    let proposed = people.must(Role::Monitor, &id, ask).await;
    assert_eq!(people.read(&id).await["work"]["grants"], json!([]));
    people.must(Role::Control, &id, json!({ "action": "approve", "proposal": proposed["proposal"] })).await;
    let grant = people.read(&id).await["work"]["grants"][0].clone();
    assert_eq!((&grant["kind"], &grant["state"]), (&json!("evidence_capture"), &json!("waiting")));
    assert_eq!(
        (&grant["asked_by"], &grant["granted_by"]),
        (&json!("person-monitor"), &json!("person-control"))
    );
    let page = get(&people, Role::Control, &format!("/incidents/{id}")).await;
    assert!(page.text.contains("実行できるセンサなし"));
}

#[tokio::test]
async fn an_owner_is_an_account_that_may_see_the_body_and_links_go_both_ways() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::Scan).await;
    let foreign = crate::auth::scope::Scope::parse("422029").unwrap();
    let store = &people.bench.store;
    store.add_account(&"officer-b".into(), Role::BodyOfficer, &foreign, "x", now()).await.unwrap();
    for name in ["nobody", "officer-b", "person-auditor"] {
        let refused = people.act(Role::Monitor, &id, json!({ "action": "assign", "owner": name })).await;
        assert_eq!(refused.json()["missing"], json!(["owner.account"]), "{name}");
    }
    people.must(Role::Monitor, &id, json!({ "action": "assign", "owner": "person-tech_support" })).await;
    assert_eq!(people.read(&id).await["work"]["facts"]["owner"], "person-tech_support");
    let page = get(&people, Role::Control, &format!("/incidents/{id}")).await.text;
    for form in ["form-assign", "form-link", "form-unmask", "form-share", "form-capture", "form-hold"] {
        assert!(page.contains(&format!("id=\"{form}\"")), "{form}");
    }
    assert!(!page.contains("officer-b"), "who may not see it is not offered");
    people.must(Role::Monitor, &id, json!({ "action": "release", "reason": "交代" })).await;
    assert_eq!(people.read(&id).await["work"]["facts"]["owner"], Value::Null);
    let other = people.open(IncidentCategory::BruteForce).await;
    let (cookie, csrf) = people.session(Role::Monitor);
    let version = people.read(&id).await["version"].clone();
    let form = format!("csrf={csrf}&version={version}&action=link&other={other}&reason=same+source");
    let answer = people.bench.post(&format!("/incidents/{id}/act"), cookie, &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_eq!(people.read(&other).await["links"][0]["incident"], json!(id));
    people.must(Role::Monitor, &other, json!({ "action": "unlink", "other": id, "reason": "別件" })).await;
    assert_eq!(people.read(&id).await["links"], json!([]));
    let gone =
        people.act(Role::Monitor, &id, json!({ "action": "link", "other": "INC-0", "reason": "x" })).await;
    assert_eq!(gone.json()["missing"], json!(["other"]));
}

/// Two replicas, the same proposal, two approvals at the same moment: one is done, once; and nobody approves their own.
#[tokio::test]
async fn two_replicas_grant_once() {
    for (_dir, place, store) in each().await {
        body(&store, "422011", "甲市").await;
        let other = Store::open(&place).await.unwrap();
        let actor =
            |name: &str, role| Actor { name: name.to_owned(), role: Part::Person(role), bodies: Bodies::All };
        let intake: Intake = serde_json::from_value(json!({
            "category": "device_lost", "body": "422011", "title": "PC", "text": "x",
            "reporter": { "kind": "staff", "name": NAME }, "contact": "内線 123",
        }))
        .unwrap();
        let reception = actor("reception", Role::Reception);
        let id = store.open_by_hand(&intake, &reception, now()).await.unwrap();
        let asked = |version, action| Asked { version, action };
        let unmask = Action::Unmask { what: "contact".to_owned(), reason: "連絡".to_owned() };
        let officer = actor("officer", Role::BodyOfficer);
        assert!(matches!(store.act(&id, &officer, &asked(1, unmask), now()).await.unwrap(), Acted::Done(_)));
        let approve = || asked(2, Action::Approve { proposal: 1 });
        let own = other.act(&id, &officer, &approve(), now()).await.unwrap();
        assert!(matches!(own, Acted::Refused(_)), "{place}");
        let (one, two) = (actor("ciso", Role::BodyCiso), actor("officer-2", Role::BodyOfficer));
        let (first, second) = (approve(), approve());
        let (a, b) = tokio::join!(store.act(&id, &one, &first, now()), other.act(&id, &two, &second, now()));
        let done = [a.unwrap(), b.unwrap()].iter().filter(|one| matches!(one, Acted::Done(_))).count();
        assert_eq!(done, 1, "{place}");
        let grants: i64 =
            db::query_scalar("SELECT count(*) FROM grants").fetch_one(store.reader()).await.unwrap();
        assert_eq!(grants, 1, "{place}");
        assert!(other.verify_audit().await.unwrap().broken.is_none());
    }
}

async fn report(people: &People, role: Role, fields: &str) -> Answer {
    let (cookie, csrf) = people.session(role);
    people.bench.post("/incidents/new", cookie, &format!("csrf={csrf}&body=422011&{fields}")).await
}

#[tokio::test]
async fn every_kind_of_report_has_its_form_and_its_own_questions() {
    let people = People::of(Bench::new().await).await;
    body(&people.bench.store, "422011", "甲市").await;
    for (kind, asks, not) in [
        ("staff", "name=\"name\"", "name=\"holder\""),
        ("device_lost", "name=\"holder\"", "name=\"mistake\""),
        ("human_error", "name=\"mistake\"", "name=\"holder\""),
        ("anonymous", "name=\"text\"", "name=\"name\""),
    ] {
        let page = get(&people, Role::Reception, &format!("/incidents/new?kind={kind}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains(asks) && !page.text.contains(not), "{kind}");
    }
    assert_eq!(get(&people, Role::Auditor, "/incidents/new").await.status, StatusCode::FORBIDDEN);
    for (fields, category, masked) in [
        (
            "kind=staff&category=phishing_mail&title=x&text=y&reporter=staff&name=Yamada&contact=123",
            "phishing_mail",
            json!(["contact", "reporter.name"]),
        ),
        (
            "kind=device_lost&title=x&text=y&reporter=outside&name=Yamada&device=PC&holder=Tanaka&encrypted=yes",
            "device_lost",
            json!(["holder", "reporter.name"]),
        ),
        (
            "kind=human_error&title=x&text=y&name=Yamada&mistake=misdirected&recipient=Tanaka&persons=12",
            "human_error",
            json!(["recipient", "reporter.name"]),
        ),
        ("kind=anonymous&category=scan&title=x&text=y&name=Yamada", "scan", json!([])),
    ] {
        let answer = report(&people, Role::Reception, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{fields}: {}", answer.text);
        let id = answer.header("location").trim_start_matches("/incidents/").to_owned();
        let incident = people.read(&id).await;
        assert_eq!(
            (&incident["category"], &incident["work"]["masked"]),
            (&json!(category), &masked),
            "{fields}"
        );
        let page = get(&people, Role::Control, &format!("/incidents/{id}")).await.text;
        assert!(!page.contains("Yamada") && !page.contains("Tanaka"), "{fields}");
    }
    // What is missing is named, and what was typed is still there.
    let again =
        report(&people, Role::Reception, "kind=device_lost&title=&text=typed&name=Yamada&device=PC").await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(again.text.contains("件名") && again.text.contains("typed"));
    assert_eq!(report(&people, Role::Auditor, "kind=anonymous").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_of_ones_own_can_be_ended_and_no_other() {
    use crate::auth::scope::Scope;
    use crate::auth::token::{ApiToken, Right, TokenEntry};
    let people = People::of(Bench::new().await).await;
    let store = &people.bench.store;
    for (owner, label) in
        [("person-monitor", "siem"), ("person-monitor", "two"), ("person-control", "theirs")]
    {
        let entry = TokenEntry {
            label: label.into(),
            owner: owner.into(),
            right: Right::Act,
            scope: Scope::All,
            created_at: now(),
            expires_at: now().plus(Duration::from_secs(3600)),
            revoked_at: None,
            used_at: None,
        };
        assert!(store.put_api_token(&ApiToken::generate().unwrap(), &entry).await.unwrap());
    }
    let revoke = async |label: &str| {
        people.post(Role::Monitor, &format!("me/tokens/{label}/revoke"), &json!({})).await.status
    };
    assert_eq!(revoke("theirs").await, StatusCode::NOT_FOUND);
    assert_eq!(revoke("siem").await, StatusCode::OK);
    assert_eq!(revoke("siem").await, StatusCode::NOT_FOUND);
    let list = get(&people, Role::Monitor, "/api/v1/me/tokens").await.json();
    assert_eq!(list["tokens"].as_array().unwrap().len(), 1);
    let (cookie, csrf) = people.session(Role::Monitor);
    let end = async |csrf: &str| {
        people.bench.post("/account/tokens/end", cookie, &format!("csrf={csrf}&label=two")).await.status
    };
    assert_eq!(end("forged").await, StatusCode::FORBIDDEN);
    assert_eq!(end(csrf).await, StatusCode::SEE_OTHER);
    let list = get(&people, Role::Monitor, "/api/v1/me/tokens").await.json();
    assert_eq!(list["tokens"], json!([]));
    assert!(store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn the_overview_shows_what_is_below_incidents_and_what_is_overdue() {
    let people = People::of(Bench::new().await).await;
    let store = &people.bench.store;
    let id = people.open(IncidentCategory::DeviceLost).await;
    let page = get(&people, Role::BodyOfficer, "/").await.text;
    assert!(!page.contains("報告期限の超過") && page.contains("L0"));
    let sql = "INSERT INTO obligations (incident, kind, state, voluntary, last_day, triggers, reason, moved_by,
            approved_by, moved_at) VALUES ($1, 'ppc_prelim', 'applicable', 0, '2020-01-01', '', '', '', '', 1)";
    db::query(sql).bind(&id).execute(store.writer()).await.unwrap();
    for (n, body) in [("1", "422011"), ("2", "422029")] {
        db::query(
            "INSERT INTO precursors (body, finding, category, subject, time) VALUES ($1, $2, 'x', 'x', $3)",
        )
        .bind(body)
        .bind(n)
        .bind(stored(now()))
        .execute(store.writer())
        .await
        .unwrap();
    }
    let own = get(&people, Role::BodyOfficer, "/").await.text;
    assert!(
        own.contains("報告期限の超過") && own.contains("2020-01-01") && own.contains("直近24時間: <b>1</b>")
    );
    let all = get(&people, Role::Control, "/").await.text;
    assert!(all.contains("直近24時間: <b>2</b>"));
}
