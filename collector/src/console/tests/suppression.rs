//! What people agree to keep out opens no incident, for one body and a time, and is seen by everybody whom it concerns.

use serde_json::json;

use super::work::People;
use super::*;
use crate::incident::IncidentCategory;
use crate::incident::action::Action;
use crate::incident::permission::Part;
use crate::incident::transition::{Actor, Asked, Bodies};
use crate::store::conformance::each;
use crate::store::work::{Acted, Intake};

const SCOPE: &str = "category=scan.* originator=198.51.100.7";

fn ask(scope: &str) -> Value {
    json!({ "action": "suppress", "scope": scope, "days": 1, "reason": "脆弱性診断<b>" })
}

/// A scan whose evidence is of this time.
fn scan(n: u8, at: Timestamp) -> Vec<Record> {
    vec![Record::Finding(Box::new(Finding { time: at, end: at, ..finding(n) }))]
}

async fn incidents(people: &People) -> u32 {
    people.bench.store.incidents(&IncidentFilter::default()).await.unwrap().1
}

async fn get(people: &People, role: Role, path: &str) -> Answer {
    let (cookie, _) = people.session(role);
    people.bench.get(path, cookie).await
}

/// One person asks, another approves.
async fn granted(people: &People, id: &str) {
    let proposed = people.must(Role::Monitor, id, ask(SCOPE)).await;
    assert_eq!(proposed["outcome"], "proposed", "{proposed}");
    let approve = json!({ "action": "approve", "proposal": proposed["proposal"] });
    assert_eq!(people.act(Role::Monitor, id, approve.clone()).await.status, StatusCode::FORBIDDEN);
    let none = get(people, Role::Monitor, "/api/v1/suppressions").await.json();
    let in_force = none["suppressions"].as_array().unwrap().iter().filter(|one| one["in_force"] == true);
    assert_eq!(in_force.count(), 0, "asked for is not granted");
    people.must(Role::Control, id, approve).await;
}

#[tokio::test]
async fn what_two_persons_agreed_to_opens_no_incident_until_it_ends() {
    let mut people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::HumanError).await;
    for (scope, missing) in
        [("すべて", "scope.form"), ("body=422011", "scope.form"), ("port=22 body=422029", "scope.body")]
    {
        let refused = people.act(Role::Control, &id, ask(scope)).await;
        assert_eq!(refused.json()["missing"], json!([missing]), "{scope}");
        let refused = people.act(Role::Monitor, &id, ask(scope)).await;
        assert_eq!(refused.json()["missing"], json!([missing]), "{scope}, before anybody is asked");
    }
    granted(&people, &id).await;
    let grant = people.read(&id).await["work"]["grants"][0].clone();
    assert_eq!((&grant["kind"], &grant["state"]), (&json!("suppress"), &json!("in_force")));
    people.bench.deliver(scan(1, now())).await;
    assert_eq!(incidents(&people).await, 1, "only the one that was opened by hand");
    let list = get(&people, Role::Auditor, "/api/v1/suppressions").await.json();
    let one = &list["suppressions"][0];
    let name = one["id"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("{id}-S1"));
    for (key, value) in [
        ("incident", json!(id)),
        ("body", json!("422011")),
        ("scope", json!(SCOPE)),
        ("asked_by", json!("person-monitor")),
        ("granted_by", json!("person-control")),
        ("in_force", json!(true)),
        ("findings", json!(1)),
    ] {
        assert_eq!(one[key], value, "{key}");
    }
    let kept = get(&people, Role::Auditor, "/api/v1/exceptions").await.json();
    let exception = &kept["findings"][0]["exception"];
    assert_eq!((&exception["id"], &exception["source"]), (&json!(name), &json!("collector")));
    assert_eq!(exception["owner"], "person-monitor → person-control");
    let counters = people.bench.store.counters().await.unwrap();
    assert!(counters.contains(&("findings_excepted_here".to_owned(), 1)), "{counters:?}");
    let page = get(&people, Role::Auditor, "/exceptions").await.text;
    for part in [name.as_str(), SCOPE, "脆弱性診断&#60;b&#62;", "person-monitor → person-control"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("/end\""), "an auditor ends nothing");
    // Another body's is another matter.
    db::query("INSERT INTO bodies (code, name) VALUES ('422029', '乙町')")
        .execute(people.bench.store.writer())
        .await
        .unwrap();
    let own = people.bench.from.body;
    people.bench.from.body = "422029".parse().unwrap();
    people.bench.deliver(scan(2, now())).await;
    assert_eq!(incidents(&people).await, 2);
    people.bench.from.body = own;
    // It goes on after the end.
    let later = now().plus(Duration::from_secs(86_400 + 60));
    people.bench.deliver(scan(3, later)).await;
    assert_eq!(incidents(&people).await, 3);
    assert!(people.bench.store.verify_audit().await.unwrap().broken.is_none());
    let lines = people.bench.store.audit_of(&id, 100).await.unwrap();
    assert!(lines.iter().any(|line| line.entry.action == "grant:suppress"));
}

#[tokio::test]
async fn who_ends_one_says_why_and_what_comes_then_counts() {
    let mut people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::HumanError).await;
    granted(&people, &id).await;
    people.bench.deliver(scan(1, now())).await;
    assert_eq!(incidents(&people).await, 1);
    let path = format!("suppressions/{id}-S1/end");
    let why = json!({ "reason": "診断は終わった" });
    assert_eq!(people.post(Role::Auditor, &path, &why).await.status, StatusCode::FORBIDDEN);
    let blank = people.post(Role::Monitor, &path, &json!({ "reason": " " })).await;
    assert_eq!(blank.json()["missing"], json!(["reason"]));
    let unknown = people.post(Role::Monitor, "suppressions/INC-1-S1/end", &why).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let other = crate::auth::scope::Scope::parse("422029").unwrap();
    people.bench.store.add_account(&"officer-b".into(), Role::BodyOfficer, &other, "x", now()).await.unwrap();
    let (cookie, csrf) = people.bench.session("officer-b").await;
    let none = people.bench.get("/api/v1/suppressions", &cookie).await.json();
    assert_eq!(none["suppressions"], json!([]), "another body's is not seen");
    let form = format!("csrf={csrf}&reason=x");
    let answer = people.bench.post(&format!("/{path}"), &cookie, &form).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let (cookie, csrf) = people.session(Role::Monitor);
    assert!(people.bench.get("/exceptions", cookie).await.text.contains(&format!("/{path}\"")));
    let forged = people.bench.post(&format!("/{path}"), cookie, "csrf=x&reason=x").await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let form = format!("csrf={csrf}&reason=診断は終わった");
    let ended = people.bench.post(&format!("/{path}"), cookie, &form).await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER);
    assert_eq!(people.post(Role::Monitor, &path, &why).await.status, StatusCode::NOT_FOUND, "it is over");
    people.bench.deliver(scan(2, now())).await;
    assert_eq!(incidents(&people).await, 2);
    let list = get(&people, Role::Auditor, "/api/v1/suppressions").await.json();
    let one = &list["suppressions"][0];
    assert_eq!((&one["in_force"], &one["ended_by"]), (&json!(false), &json!("person-monitor")));
    assert_eq!((&one["ended_reason"], &one["findings"]), (&json!("診断は終わった"), &json!(1)));
    assert_eq!(people.read(&id).await["work"]["grants"][0]["state"], "ended");
    let lines = people.bench.store.audit_of(&id, 100).await.unwrap();
    assert!(lines.iter().any(|line| line.entry.action == "suppression:end"));
}

#[tokio::test]
async fn a_replica_judges_by_what_was_granted_at_another() {
    for (_dir, place, store) in each().await {
        db::query("INSERT INTO bodies (code, name) VALUES ('422011', '甲市')")
            .execute(store.writer())
            .await
            .unwrap();
        let other = Store::open(&place).await.unwrap();
        let exceptions = InForce::load(&[], AgentsOwn::Accept).unwrap();
        let actor =
            |name: &str, role| Actor { name: name.to_owned(), role: Part::Person(role), bodies: Bodies::All };
        let intake: Intake = serde_json::from_value(json!({
            "category": "human_error", "body": "422011", "title": "PC", "text": "x", "reporter": { "kind": "staff", "name": "総務課" },
        }))
        .unwrap();
        let id = store.open_by_hand(&intake, &actor("reception", Role::Reception), now()).await.unwrap();
        let action = Action::Suppress { scope: SCOPE.to_owned(), days: 366, reason: "診断".to_owned() };
        let asked = |version, action| Asked { version, action };
        let (monitor, control) = (actor("monitor", Role::Monitor), actor("control", Role::Control));
        let proposed = store.act(&id, &monitor, &asked(1, action), now()).await.unwrap();
        assert!(matches!(proposed, Acted::Done(_)), "{place} {proposed:?}");
        exceptions.look_at_suppressions(&other).await.unwrap();
        assert_eq!(exceptions.judge().suppressed.len(), 0, "{place}");
        let approved =
            other.act(&id, &control, &asked(2, Action::Approve { proposal: 1 }), now()).await.unwrap();
        assert!(matches!(approved, Acted::Done(_)), "{place} {approved:?}");
        exceptions.look_at_suppressions(&store).await.unwrap();
        let judge = exceptions.judge();
        let one = &judge.suppressed[0];
        assert_eq!((one.id.as_str(), one.owner.as_str()), (format!("{id}-S1").as_str(), "monitor → control"));
        assert_eq!(one.expires.since(one.created), Duration::from_secs(366 * 86_400), "{place}");
        let all = crate::auth::scope::Scope::All;
        let by = crate::export::By { actor: "control".to_owned(), role: "control".to_owned() };
        assert!(
            store.seen_in(&all).end_suppression(one.id.as_str(), &by, "x", now()).await.unwrap(),
            "{place}"
        );
        assert!(!other.seen_in(&all).end_suppression(one.id.as_str(), &by, "x", now()).await.unwrap());
        exceptions.look_at_suppressions(&other).await.unwrap();
        assert_eq!(exceptions.judge().suppressed.len(), 0, "{place}");
        assert!(other.verify_audit().await.unwrap().broken.is_none());
    }
}
