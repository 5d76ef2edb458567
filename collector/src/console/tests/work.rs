//! People work on incidents, by the API and by the forms.

use serde_json::json;

use super::*;
use crate::incident::IncidentCategory;

/// One person for each role, logged in.
pub(super) struct People {
    pub(super) bench: Bench,
    sessions: Vec<(Role, String, String)>,
}

impl People {
    pub(super) async fn of(bench: Bench) -> Self {
        let mut sessions = Vec::new();
        for role in Role::ALL {
            let name = format!("person-{role}");
            let scope = if role.is_of_body() { "422011" } else { "all" };
            let scope = crate::auth::scope::Scope::parse(scope).unwrap();
            bench
                .store
                .add_account(&name.as_str().into(), *role, &scope, "no password", now())
                .await
                .unwrap();
            let (cookie, csrf) = bench.session(&name).await;
            sessions.push((*role, cookie, csrf));
        }
        Self { bench, sessions }
    }

    pub(super) fn session(&self, role: Role) -> (&str, &str) {
        let (_, cookie, csrf) = self.sessions.iter().find(|(one, ..)| *one == role).unwrap();
        (cookie, csrf)
    }

    pub(super) async fn post(&self, role: Role, path: &str, body: &Value) -> Answer {
        let (cookie, csrf) = self.session(role);
        let request = Request::post(format!("/api/v1/{path}"))
            .header("cookie", cookie)
            .header("sekimori-csrf", csrf)
            .header("content-type", "application/json");
        self.bench.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub(super) async fn read(&self, id: &str) -> Value {
        let (cookie, _) = self.session(Role::Auditor);
        self.bench.get(&format!("/api/v1/incidents/{id}"), cookie).await.json()
    }

    /// Sends an action with the version that is.
    pub(super) async fn act(&self, role: Role, id: &str, mut action: Value) -> Answer {
        let version = self.read(id).await["version"].as_i64().unwrap();
        action["version"] = json!(version);
        self.post(role, &format!("incidents/{id}/actions"), &action).await
    }

    /// The same, which must be done.
    pub(super) async fn must(&self, role: Role, id: &str, action: Value) -> Value {
        let answer = self.act(role, id, action.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{role} {action}: {}", answer.text);
        answer.json()
    }

    pub(super) async fn open(&self, category: IncidentCategory) -> String {
        let intake = json!({
            "category": category, "body": "422011", "title": "電話で連絡", "text": "端末が見当たらない",
            "reporter": { "kind": "staff", "name": "総務課 山田" },
        });
        let answer = self.post(Role::Reception, "incidents", &intake).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api/v1/incidents/{id}"));
        id
    }
}

fn triage(category: IncidentCategory) -> Value {
    json!({ "action": "triage", "triage": {
        "category": category, "impact": "i2", "urgency": "u2", "hurts": ["confidentiality"],
        "leak_class": "none", "owner": "person-monitor",
    }})
}

fn investigation() -> Value {
    let known = json!({ "value": "x" });
    json!({ "action": "investigation", "form": {
        "vector": known, "assets": known, "scope": known, "period": known,
        "accounts": { "unknown_because": "認証記録なし" }, "evidence": known,
    }})
}

fn review() -> Value {
    json!({ "action": "review", "form": {
        "held_on": "2026-12-01", "attendees": ["統制"], "whys": ["なぜ"], "root_cause": "棚卸の未実施",
        "cause": "negligence", "lesson": "月次で棚卸する",
        "prevention": [{ "what": "棚卸", "owner": "総務課", "due": "2027-01-31" }],
    }})
}

/// From the call to the end.
pub(super) async fn walk(people: &People, category: IncidentCategory) -> String {
    let id = people.open(category).await;
    let done = |state: &'static str, answer: &Value| assert_eq!(answer["state"], state, "{category}");
    done("received", &people.must(Role::Reception, &id, json!({ "action": "acknowledge" })).await);
    done("triaged", &people.must(Role::Monitor, &id, triage(category)).await);
    done("containing", &people.must(Role::Monitor, &id, json!({ "action": "start" })).await);
    let early = people.act(Role::TechSupport, &id, json!({ "action": "investigate" })).await;
    assert_eq!(early.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(early.header("content-type"), "application/problem+json");
    assert_eq!(early.json()["type"], "urn:sekimori:problem:missing");
    assert!(early.json()["missing"].as_array().unwrap().contains(&json!("evidence_preserved")));
    people.must(Role::TechSupport, &id, json!({ "action": "preserve_evidence", "what": "pcap" })).await;
    let tasks = people.read(&id).await["work"]["tasks"].clone();
    for task in tasks.as_array().unwrap().iter().filter(|task| task["mandatory"] == true) {
        let action = json!({ "action": "do_task", "task": task["n"], "note": "済" });
        people.must(Role::BodyOfficer, &id, action).await;
    }
    done("investigating", &people.must(Role::TechSupport, &id, json!({ "action": "investigate" })).await);
    people.must(Role::TechSupport, &id, investigation()).await;
    done("notifying", &people.must(Role::BodyOfficer, &id, json!({ "action": "notify" })).await);
    done("recovering", &people.must(Role::BodyOfficer, &id, json!({ "action": "recover" })).await);
    let until = now().plus(Duration::from_secs(3600));
    people.must(Role::TechSupport, &id, json!({ "action": "eta", "until": until })).await;
    let proposed = people.must(Role::TechSupport, &id, json!({ "action": "finish" })).await;
    assert_eq!(
        (proposed["outcome"].as_str(), proposed["state"].as_str()),
        (Some("proposed"), Some("recovering"))
    );
    let approve = json!({ "action": "approve", "proposal": proposed["proposal"] });
    assert_eq!(people.act(Role::TechSupport, &id, approve.clone()).await.status, StatusCode::FORBIDDEN);
    done("post_review", &people.must(Role::BodyOfficer, &id, approve).await);
    people.must(Role::Control, &id, review()).await;
    done("closed", &people.must(Role::Control, &id, json!({ "action": "close" })).await);
    id
}

#[tokio::test]
async fn an_incident_of_each_category_goes_through_the_six_steps_by_the_api() {
    let people = People::of(Bench::new().await).await;
    for category in IncidentCategory::ALL {
        let id = walk(&people, *category).await;
        assert_eq!(id.starts_with("DRL-"), *category == IncidentCategory::DrillTest, "{id}");
    }
    let audited = people.bench.store.verify_audit().await.unwrap();
    assert!(audited.broken.is_none() && audited.lines > 200, "{audited:?}");
    // The next one of a kind shows what was learnt.
    let id = people.open(IncidentCategory::DeviceLost).await;
    let similar = people.read(&id).await["work"]["similar"][0].clone();
    assert_eq!(similar["lesson"], "月次で棚卸する");
}

#[tokio::test]
async fn who_may_not_is_told_so_and_nothing_changes() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::HumanError).await;
    let before = people.read(&id).await;
    for (role, action, status, kind) in [
        (Role::Auditor, json!({ "action": "acknowledge" }), StatusCode::FORBIDDEN, "role"),
        (Role::Admin, json!({ "action": "acknowledge" }), StatusCode::FORBIDDEN, "role"),
        (Role::BodyCiso, json!({ "action": "acknowledge" }), StatusCode::FORBIDDEN, "role"),
        (Role::Control, json!({ "action": "close" }), StatusCode::CONFLICT, "state"),
        (
            Role::Control,
            json!({ "action": "observe", "reason": " " }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "missing",
        ),
        (Role::Control, json!({ "action": "explode" }), StatusCode::BAD_REQUEST, "bad-request"),
        (Role::Control, json!({ "action": "note" }), StatusCode::BAD_REQUEST, "bad-request"),
    ] {
        let answer = people.act(role, &id, action.clone()).await;
        assert_eq!(answer.status, status, "{role} {action} {}", answer.text);
        assert_eq!(answer.json()["type"], format!("urn:sekimori:problem:{kind}"));
        assert_eq!(answer.json()["status"], status.as_u16());
    }
    let path = format!("incidents/{id}/actions");
    for (body, status) in [
        (json!({ "action": "acknowledge" }), StatusCode::PRECONDITION_REQUIRED),
        (json!([]), StatusCode::PRECONDITION_REQUIRED),
        (json!({ "version": "1", "action": "acknowledge" }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(people.post(Role::Control, &path, &body).await.status, status, "{body}");
    }
    let start = json!({ "version": 1, "action": "start" });
    let none = people.post(Role::Control, "incidents/INC-NONE/actions", &start).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let (cookie, _) = people.session(Role::Control);
    let forged = Request::post(format!("/api/v1/{path}")).header("cookie", cookie);
    let forged = forged.header("content-type", "application/json").body(Body::from("{}")).unwrap();
    assert_eq!(people.bench.send(forged).await.status, StatusCode::FORBIDDEN);
    let mut after = people.read(&id).await;
    after["updated_at"] = before["updated_at"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn two_at_once_and_one_of_them_is_told() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::PhishingMail).await;
    people.must(Role::Monitor, &id, json!({ "action": "acknowledge" })).await;
    let version = people.read(&id).await["version"].clone();
    let path = format!("incidents/{id}/actions");
    let note = |text: &str| json!({ "version": version, "action": "note", "text": text });
    let (first, second) = (note("甲"), note("乙"));
    let (one, two) =
        tokio::join!(people.post(Role::Monitor, &path, &first), people.post(Role::Control, &path, &second));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
    let refused = if one.status == StatusCode::CONFLICT { &one } else { &two };
    assert_eq!(refused.json()["type"], "urn:sekimori:problem:version");
    let notes = people.read(&id).await["work"]["notes"].clone();
    assert_eq!(
        notes.as_array().unwrap().len(),
        1,
        "what was answered 200 is there, what was answered 409 is not"
    );
    // Whoever reads again loses nothing.
    people.must(Role::Control, &id, json!({ "action": "note", "text": "乙" })).await;
    assert_eq!(people.read(&id).await["work"]["notes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn of_many_who_write_at_once_nobody_is_lost() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::ServiceOutage).await;
    let path = format!("incidents/{id}/actions");
    let write = async |role: Role, n: u32| {
        let mut refused = 0;
        loop {
            let version = people.read(&id).await["version"].clone();
            let note = json!({ "version": version, "action": "note", "text": format!("{role} {n}") });
            match people.post(role, &path, &note).await.status {
                StatusCode::OK => return refused,
                StatusCode::CONFLICT => refused += 1,
                other => panic!("{other}"),
            }
        }
    };
    let roles = [Role::Reception, Role::Monitor, Role::Control, Role::BodyOfficer, Role::BodyCiso];
    let writers = roles.iter().flat_map(|role| (0..4).map(|n| write(*role, n)));
    let refused: u32 = futures_util::future::join_all(writers).await.into_iter().sum();
    assert!(refused > 0, "nobody was in anybody's way: that shows nothing");
    let after = people.read(&id).await;
    let notes = after["work"]["notes"].as_array().unwrap().clone();
    let texts: BTreeSet<_> = notes.iter().map(|note| note["text"].to_string()).collect();
    assert_eq!((notes.len(), texts.len()), (20, 20));
    assert_eq!(after["version"], 21, "one version for each, and none for those that were refused");
    let audited = people.bench.store.verify_audit().await.unwrap();
    assert_eq!((audited.lines, audited.broken), (21, None));
}

#[tokio::test]
async fn a_manual_intake_says_what_is_missing_and_keeps_no_name_of_the_nameless() {
    let people = People::of(Bench::new().await).await;
    let good = json!({
        "category": "human_error", "body": "422011", "title": "誤送信", "text": "宛先を誤った",
        "reporter": { "kind": "anonymous" }, "severity": 2,
    });
    let with = |field: &str, value: Value| {
        let mut intake = good.clone();
        intake[field] = value;
        intake
    };
    for (intake, status, missing) in [
        (with("title", json!(" ")), StatusCode::UNPROCESSABLE_ENTITY, json!(["title"])),
        (with("text", json!("")), StatusCode::UNPROCESSABLE_ENTITY, json!(["text"])),
        (with("severity", json!(5)), StatusCode::UNPROCESSABLE_ENTITY, json!(["severity"])),
        (with("body", json!("422012")), StatusCode::UNPROCESSABLE_ENTITY, json!(["body"])),
        (with("body", json!("131016")), StatusCode::UNPROCESSABLE_ENTITY, json!(["body"])),
        (
            with("reporter", json!({ "kind": "staff", "name": "" })),
            StatusCode::UNPROCESSABLE_ENTITY,
            json!(["reporter.name"]),
        ),
        (with("category", json!("weather")), StatusCode::UNPROCESSABLE_ENTITY, Value::Null),
        (
            with("reporter", json!({ "kind": "anonymous", "name": "山田" })),
            StatusCode::UNPROCESSABLE_ENTITY,
            Value::Null,
        ),
    ] {
        let answer = people.post(Role::Reception, "incidents", &intake).await;
        if missing.is_null() {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{intake}");
        } else {
            assert_eq!((answer.status, &answer.json()["missing"]), (status, &missing), "{intake}");
        }
    }
    for role in Role::ALL {
        let wanted = match role {
            Role::Auditor | Role::Admin => StatusCode::FORBIDDEN,
            Role::Reception
            | Role::Monitor
            | Role::TechSupport
            | Role::Control
            | Role::BodyOfficer
            | Role::BodyCiso
            | Role::PrefCsirt => StatusCode::CREATED,
        };
        assert_eq!(people.post(*role, "incidents", &good).await.status, wanted, "{role}");
    }
    let drill = people.post(Role::Control, "incidents", &with("drill", json!(true))).await.json();
    assert!(drill["id"].as_str().unwrap().starts_with("DRL-422011-"));
    assert!(drill["title"]["ja"].as_str().unwrap().starts_with("【訓練】"));
    assert_eq!((drill["sources"].clone(), drill["verified"].clone()), (json!(["manual"]), json!(false)));
}

#[tokio::test]
async fn a_merge_and_its_undoing_restore_both_incidents() {
    let people = People::of(Bench::new().await).await;
    let (one, two) =
        (people.open(IncidentCategory::Scan).await, people.open(IncidentCategory::C2Beacon).await);
    people.must(Role::Monitor, &one, json!({ "action": "set_level", "level": 1, "reason": "x" })).await;
    let answer =
        people.must(Role::Control, &one, json!({ "action": "set_level", "level": 4, "reason": "x" })).await;
    assert_eq!(answer["severity"], 4);
    let (before_one, before_two) = (people.read(&one).await, people.read(&two).await);
    let merged = people
        .must(Role::Control, &one, json!({ "action": "merge", "into": two, "reason": "同じ攻撃者" }))
        .await;
    assert_eq!(merged["state"], "merged");
    let target = people.read(&two).await;
    assert_eq!((&target["severity"], &target["work"]["merged_here"]), (&json!(4), &json!([one])));
    // What is merged can neither be worked on nor merged into.
    assert_eq!(
        people.act(Role::Control, &one, json!({ "action": "acknowledge" })).await.status,
        StatusCode::CONFLICT
    );
    let into =
        people.act(Role::Control, &two, json!({ "action": "merge", "into": one, "reason": "x" })).await;
    assert_eq!(into.json()["missing"], json!(["into.open"]));
    people.must(Role::Control, &one, json!({ "action": "unmerge", "reason": "別件" })).await;
    for (id, before) in [(&one, before_one), (&two, before_two)] {
        let after = people.read(id).await;
        for field in ["state", "severity", "category", "parent", "children", "findings"] {
            assert_eq!(after[field], before[field], "{id} {field}");
        }
        for field in ["facts", "tasks", "proposals", "notes", "merged_here"] {
            assert_eq!(after["work"][field], before["work"][field], "{id} {field}");
        }
    }
    assert!(people.bench.store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn a_changed_row_of_the_audit_log_is_named() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::Dos).await;
    people.must(Role::Monitor, &id, json!({ "action": "acknowledge" })).await;
    people.must(Role::Monitor, &id, json!({ "action": "observe", "reason": "様子を見る" })).await;
    let good = people.bench.store.verify_audit().await.unwrap();
    assert_eq!((good.lines, good.broken), (3, None));
    for (sql, says) in [
        ("UPDATE audit SET reason = 'x' WHERE seq = 2", "line 2 of the audit log was changed"),
        ("DELETE FROM audit WHERE seq = 2", "line 2 of the audit log is missing (line 3 is there instead)"),
        ("DELETE FROM audit WHERE seq >= 2", "the audit log ends with line 1, but its head says line 3"),
    ] {
        db::query(sql).execute(people.bench.store.writer()).await.unwrap();
        let audited = people.bench.store.verify_audit().await.unwrap();
        assert_eq!(audited.broken.unwrap().to_string(), says, "{sql}");
    }
}

#[tokio::test]
async fn the_page_has_the_forms_that_the_person_may_send() {
    let (bench, incident) = Bench::filled().await;
    let people = People::of(bench).await;
    let (monitor, csrf) = people.session(Role::Monitor);
    let (auditor, _) = people.session(Role::Auditor);
    let page = format!("/incidents/{incident}");
    people.must(Role::Monitor, &incident, json!({ "action": "acknowledge" })).await;
    let shown = people.bench.get(&page, monitor).await.text;
    assert!(shown.contains("id=\"form-triage\"") && shown.contains("value=\"false_positive\""));
    let read_only = people.bench.get(&page, auditor).await.text;
    assert!(!read_only.contains("/act\""), "an auditor has no form");

    let version = people.read(&incident).await["version"].clone();
    let act = format!("{page}/act");
    let form = |fields: &str| format!("csrf={csrf}&version={version}&{fields}");
    let missing = people.bench.post(&act, monitor, &form("action=triage&category=scan&owner=x")).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(missing.text.contains("role=\"alert\"") && missing.text.contains("影響度"));
    let full = "action=triage&category=scan&impact=i1&urgency=u2&hurts_stated=1&leak_class=none&owner=x";
    for (cookie, form, status) in [
        (monitor, format!("csrf=wrong&version={version}&{full}"), StatusCode::FORBIDDEN),
        (monitor, form("action=no"), StatusCode::BAD_REQUEST),
        (monitor, form("action=close"), StatusCode::FORBIDDEN),
        (monitor, format!("csrf={csrf}&version=1&{full}"), StatusCode::CONFLICT),
        (auditor, form(full), StatusCode::FORBIDDEN),
        (monitor, form(full), StatusCode::SEE_OTHER),
        (monitor, form(full), StatusCode::CONFLICT),
    ] {
        assert_eq!(people.bench.post(&act, cookie, &form).await.status, status, "{form}");
    }
    let shown = people.bench.get(&page, monitor).await.text;
    assert!(shown.contains("value=\"do_task\"") && shown.contains("value=\"start\""));
    assert!(!shown.contains("value=\"waive_task\""), "a monitoring analyst only proposes a waiver");
    let english = people.bench.get(&page, &format!("{monitor}; sekimori-lang=en")).await.text;
    assert!(english.contains("Start the first response") && !english.contains('⟦'));
}

/// A finding of the same attacker, told now.
fn again(n: u8) -> Record {
    Record::Finding(Box::new(finding(n)))
}

#[tokio::test]
async fn what_is_only_watched_recurs_with_a_new_finding() {
    let (bench, id) = Bench::filled().await;
    let mut people = People::of(bench).await;
    people.must(Role::Monitor, &id, json!({ "action": "observe", "reason": "様子を見る" })).await;
    people.bench.deliver(vec![again(2)]).await;
    let after = people.read(&id).await;
    assert_eq!((&after["state"], &after["findings"]), (&json!("received"), &json!(2)));
    let line = people.bench.store.audit_of(&id, 1).await.unwrap().remove(0);
    assert_eq!((line.entry.actor.as_str(), line.entry.action.as_str()), ("system", "recur"));
    // Once is enough: what is received already stays so.
    people.bench.deliver(vec![again(3)]).await;
    assert_eq!(people.read(&id).await["version"], after["version"], "findings alone change no version");
}

#[tokio::test]
async fn what_belongs_to_a_merged_incident_joins_the_other() {
    let (bench, id) = Bench::filled().await;
    let mut people = People::of(bench).await;
    let other = people.open(IncidentCategory::ExploitAttempt).await;
    people.must(Role::Control, &id, json!({ "action": "merge", "into": other, "reason": "同じ攻撃" })).await;
    people.bench.deliver(vec![again(2)]).await;
    assert_eq!(people.read(&other).await["findings"], 1);
    let (open, _) = people.bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    assert!(open.iter().all(|one| one.category.as_str() != "scan"), "no third one was opened");
}

#[tokio::test]
async fn findings_can_leave_for_an_incident_of_their_own() {
    let (bench, id) = Bench::filled().await;
    let mut people = People::of(bench).await;
    people.bench.deliver(vec![again(2)]).await;
    let ids = people.read(&id).await["findings_detail"].clone();
    let leaving = ids[0]["finding"]["id"].clone();
    let action = json!({ "action": "split", "findings": [leaving], "reason": "別の攻撃者" });
    assert_eq!(people.must(Role::Control, &id, action).await["findings"], 1);
    let (all, _) = people.bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    let new = all.iter().find(|one| one.category.as_str() == "scan" && one.id != id).unwrap();
    let new = people.read(&new.id).await;
    assert_eq!((&new["state"], &new["findings"]), (&json!("received"), &json!(1)));
    assert_eq!(new["findings_detail"][0]["finding"]["id"], leaving);
    assert_eq!(new["work"]["facts"]["split_from"], id);
    let unknown = json!({ "action": "split", "findings": ["nothing"], "reason": "x" });
    assert_eq!(people.act(Role::Control, &id, unknown).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn what_comes_again_is_promoted() {
    let mut bench = Bench::new().await;
    let small = |n: u8| {
        let small = Finding { category: Category::C2Beacon, severity: Severity::INFORMATIONAL, ..finding(n) };
        Record::Finding(Box::new(small))
    };
    for n in [1, 2, 2] {
        bench.deliver(vec![small(n)]).await;
        assert_eq!(bench.store.incidents(&IncidentFilter::default()).await.unwrap().1, 0, "{n}");
    }
    bench.deliver(vec![small(3)]).await;
    let (opened, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    assert_eq!((opened.len(), opened[0].findings, opened[0].severity), (1, 3, Severity::LOW));
    assert_eq!(opened[0].reason["rule"], "precursor.repeated/1");
    // The fourth joins what is open.
    bench.deliver(vec![small(4)]).await;
    let (opened, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    assert_eq!((opened.len(), opened[0].findings), (1, 4));
}

#[tokio::test]
async fn a_high_one_is_called_a_false_positive_by_two_persons() {
    let (bench, id) = Bench::filled().await;
    let people = People::of(bench).await;
    let action = json!({ "action": "false_positive", "code": "agreed_test", "reason": "脆弱性診断" });
    let proposed = people.must(Role::Control, &id, action).await;
    assert_eq!((&proposed["outcome"], &proposed["state"]), (&json!("proposed"), &json!("detected")));
    let approve = json!({ "action": "approve", "proposal": 1 });
    let same = people.act(Role::Control, &id, approve.clone()).await;
    assert_eq!(same.json()["type"], "urn:sekimori:problem:same-person");
    assert_eq!(people.act(Role::Monitor, &id, approve.clone()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(people.must(Role::PrefCsirt, &id, approve).await["state"], "false_positive");
    let lines = people.bench.store.audit_of(&id, 10).await.unwrap();
    let actions: Vec<&str> = lines.iter().map(|line| line.entry.action.as_str()).collect();
    assert_eq!(actions, ["approve:false_positive", "propose:false_positive"]);
}

#[tokio::test]
async fn calls_are_written_down_by_whoever_works_on_it() {
    let people = People::of(Bench::new().await).await;
    let id = people.open(IncidentCategory::HumanError).await;
    let path = format!("incidents/{id}/calls");
    let call = json!({ "to": "情報政策課 山田", "reached": true, "said": "第一報を伝えた" });
    for role in Role::ALL {
        let works = ![Role::Auditor, Role::Admin].contains(role);
        let status = if works { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(people.post(*role, &path, &call).await.status, status, "{role}");
    }
    let silent = people.post(Role::Monitor, &path, &json!({ "to": " ", "reached": true })).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(silent.json()["missing"], json!(["to", "said"]));
    assert_eq!(people.bench.store.verify_audit().await.unwrap().broken, None);
}

/// An incident that owes a preliminary report since long ago, and one to JPCERT/CC if it likes.
async fn owing(people: &People) -> String {
    let id = people.open(IncidentCategory::HumanError).await;
    for (kind, voluntary) in [("ppc_prelim", 0), ("jpcert", 1)] {
        db::query(
            "INSERT INTO obligations (incident, kind, state, voluntary, last_day, triggers, reason, moved_by,
                                      approved_by, moved_at)
             VALUES ($1, $2, 'not_assessed', $3, '2026-01-05', 'sensitive', '', '', '', 1)",
        )
        .bind(&id)
        .bind(kind)
        .bind(voluntary)
        .execute(people.bench.store.writer())
        .await
        .unwrap();
    }
    id
}

#[tokio::test]
async fn obligations_are_moved_by_whoever_owes_them() {
    let people = People::of(Bench::new().await).await;
    let id = owing(&people).await;
    let path = format!("incidents/{id}/obligations");
    let without =
        people.post(Role::BodyOfficer, &path, &json!({ "kind": "jpcert", "move": "applies" })).await;
    assert_eq!(without.status, StatusCode::PRECONDITION_REQUIRED);
    let exempt = |kind: &str, note: &str| json!({ "kind": kind, "move": "propose_exempt", "reason": "below_threshold", "note": note });
    let prelim = |wanted: &str| json!({ "kind": "ppc_prelim", "move": wanted });
    let future =
        json!({ "kind": "ppc_prelim", "move": "file", "filed_to": "PPC", "at": "2099-01-01T00:00:00Z" });
    let file = json!({ "kind": "ppc_prelim", "move": "file", "filed_to": "個人情報保護委員会<script>", "receipt": "第12号" });
    use StatusCode as S;
    for (role, body, status) in [
        (Role::Monitor, prelim("applies"), S::FORBIDDEN),
        (Role::Auditor, prelim("applies"), S::FORBIDDEN),
        (Role::Control, exempt("jpcert", " "), S::UNPROCESSABLE_ENTITY),
        (Role::Control, exempt("jpcert", "1人"), S::OK),
        (Role::Control, json!({ "kind": "jpcert", "move": "approve_exempt" }), S::UNPROCESSABLE_ENTITY),
        (Role::BodyOfficer, json!({ "kind": "jpcert", "move": "reject_exempt" }), S::FORBIDDEN),
        (Role::BodyCiso, json!({ "kind": "jpcert", "move": "approve_exempt" }), S::OK),
        (Role::BodyCiso, json!({ "kind": "jpcert", "move": "approve_exempt" }), S::UNPROCESSABLE_ENTITY),
        (Role::BodyCiso, json!({ "kind": "police", "move": "applies" }), S::NOT_FOUND),
        (Role::TechSupport, prelim("applies"), S::OK),
        (Role::Control, file.clone(), S::FORBIDDEN),
        (Role::BodyOfficer, prelim("file"), S::UNPROCESSABLE_ENTITY),
        (Role::BodyOfficer, prelim("schedule"), S::UNPROCESSABLE_ENTITY),
        (Role::BodyOfficer, future, S::UNPROCESSABLE_ENTITY),
        (Role::BodyOfficer, file, S::OK),
    ] {
        let version = people.read(&id).await["version"].as_i64().unwrap();
        let (cookie, _) = people.session(Role::Auditor);
        let before = people.bench.get(&format!("/api/v1/{path}"), cookie).await.json();
        let one =
            before["obligations"].as_array().unwrap().iter().find(|one| one["kind"] == "ppc_prelim").cloned();
        assert_eq!(one.unwrap()["overdue"], true, "nothing but filing ends it: {body}");
        let mut body = body;
        body["version"] = json!(version);
        let answer = people.post(role, &path, &body).await;
        assert_eq!(answer.status, status, "{role} {body}: {}", answer.text);
        if status == S::OK {
            assert_eq!(answer.json()["version"], version + 1);
            assert_eq!(people.post(role, &path, &body).await.status, S::CONFLICT, "of an older version");
        }
    }
    let (cookie, _) = people.session(Role::BodyOfficer);
    let after = people.bench.get(&format!("/api/v1/{path}"), cookie).await.json();
    let of = |kind: &str| {
        after["obligations"].as_array().unwrap().iter().find(|one| one["kind"] == kind).cloned().unwrap()
    };
    assert_eq!((&of("jpcert")["state"], &of("jpcert")["proposed"]), (&json!("not_applicable"), &Value::Null));
    let filed = of("ppc_prelim");
    assert_eq!(
        (&filed["state"], &filed["late"], &filed["receipt"]),
        (&json!("filed_prelim"), &json!(true), &json!("第12号"))
    );
    let page = people.bench.get(&format!("/incidents/{id}"), cookie).await.text;
    assert!(page.contains("第12号") && !page.contains('⟦') && !page.contains("<script>"), "harmless");
    assert_eq!(people.bench.store.verify_audit().await.unwrap().broken, None);
    let lines = people.bench.store.audit_of(&id, 9).await.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.entry.action == "obligation:ppc_prelim" && line.entry.reason.contains("第12号"))
    );
}

#[tokio::test]
async fn since_when_it_is_known_is_corrected_with_a_reason_and_calls_have_a_form() {
    let people = People::of(Bench::new().await).await;
    let id = owing(&people).await;
    let path = format!("incidents/{id}/awareness");
    let known =
        |reason: &str| json!({ "known_at": "2026-01-01T00:00:00Z", "known_by": "市民課", "reason": reason });
    for (role, body, status) in [
        (Role::Monitor, known(""), StatusCode::FORBIDDEN),
        (
            Role::TechSupport,
            json!({ "known_at": "2099-01-01T00:00:00Z", "known_by": "x" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (Role::TechSupport, known(""), StatusCode::OK),
        (Role::TechSupport, known("x"), StatusCode::FORBIDDEN),
        (Role::Control, known(" "), StatusCode::UNPROCESSABLE_ENTITY),
        (Role::Control, known("電話記録"), StatusCode::OK),
    ] {
        let mut body = body;
        body["version"] = people.read(&id).await["version"].clone();
        let answer = people.post(role, &path, &body).await;
        assert_eq!(answer.status, status, "{role} {body}: {}", answer.text);
    }
    let (cookie, csrf) = people.session(Role::Monitor);
    for (fields, status) in [
        ("to=x&role=other", StatusCode::SEE_OTHER),
        ("to=&role=other", StatusCode::UNPROCESSABLE_ENTITY),
        ("to=x&role=other&reached=1", StatusCode::UNPROCESSABLE_ENTITY),
        ("to=x&role=nobody", StatusCode::BAD_REQUEST),
    ] {
        let form = format!("csrf={csrf}&version=1&move=call&{fields}");
        let answer = people.bench.post(&format!("/incidents/{id}/duty"), cookie, &form).await;
        assert_eq!(answer.status, status, "{fields}");
    }
    assert_eq!(people.bench.store.verify_audit().await.unwrap().broken, None);
}
