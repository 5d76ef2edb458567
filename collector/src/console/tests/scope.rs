//! A body's user sees nothing of another body: every route of console and API is asked, as the one for the other's things.

use super::*;
use crate::auth::scope::Scope;
use crate::auth::token::{ApiToken, Right, TokenEntry};
use crate::fleet::policy::file::read;

/// What every route gives to somebody of body A who asks for what is body B's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gives {
    /// A page or an answer without anything of B.
    Own,
    /// There is no such thing.
    NotFound,
    /// Nothing of any body: logins, languages, one's own account, files.
    Neutral,
    /// A page of their own for who audits; for everybody else there is no such thing.
    Auditors,
    /// A stream.
    Stream,
}

/// Every route: method, path as the router has it, what it gives.
const ROUTES: &[(&str, &str, Gives)] = &[
    ("GET", "/", Gives::Own),
    ("GET", "/login", Gives::Neutral),
    ("POST", "/login", Gives::Neutral),
    ("GET", "/login/code", Gives::Neutral),
    ("POST", "/login/code", Gives::Neutral),
    ("GET", "/login/enrol", Gives::Neutral),
    ("POST", "/login/enrol", Gives::Neutral),
    ("POST", "/login/certificate", Gives::Neutral),
    ("GET", "/login/oidc", Gives::Neutral),
    ("GET", "/login/oidc/callback", Gives::Neutral),
    ("GET", "/accounts", Gives::NotFound),
    ("POST", "/accounts", Gives::NotFound),
    ("POST", "/accounts/change", Gives::NotFound),
    ("POST", "/logout", Gives::Neutral),
    ("GET", "/account", Gives::Own),
    ("POST", "/account/password", Gives::Neutral),
    ("GET", "/account/authenticator", Gives::Neutral),
    ("POST", "/account/authenticator", Gives::Neutral),
    ("POST", "/account/sessions/end", Gives::Neutral),
    ("GET", "/language", Gives::Neutral),
    ("GET", "/incidents", Gives::Own),
    ("GET", "/incidents/{id}", Gives::NotFound),
    ("POST", "/incidents/{id}/acknowledge", Gives::NotFound),
    ("POST", "/incidents/{id}/act", Gives::NotFound),
    ("GET", "/agents", Gives::Own),
    ("GET", "/agents/{id}", Gives::NotFound),
    ("POST", "/agents/{id}/confirm", Gives::Neutral),
    ("GET", "/intake", Gives::NotFound),
    ("GET", "/exceptions", Gives::Own),
    ("GET", "/policies", Gives::Own),
    ("GET", "/hosts", Gives::Own),
    ("GET", "/indicators", Gives::Own),
    ("GET", "/audit", Gives::Auditors),
    ("GET", "/search", Gives::Own),
    ("GET", "/search/complete", Gives::Neutral),
    ("GET", "/events", Gives::Stream),
    ("GET", "/assets/{name}", Gives::Neutral),
    ("GET", "/api/v1/incidents", Gives::Own),
    ("GET", "/api/v1/incidents/{id}", Gives::NotFound),
    ("POST", "/api/v1/incidents/{id}/acknowledge", Gives::NotFound),
    ("POST", "/api/v1/incidents", Gives::Neutral),
    ("POST", "/api/v1/incidents/{id}/actions", Gives::NotFound),
    ("GET", "/api/v1/incidents/{id}/obligations", Gives::NotFound),
    ("POST", "/api/v1/incidents/{id}/obligations", Gives::NotFound),
    ("POST", "/api/v1/incidents/{id}/awareness", Gives::NotFound),
    ("POST", "/api/v1/incidents/{id}/calls", Gives::NotFound),
    ("POST", "/incidents/{id}/duty", Gives::NotFound),
    ("GET", "/api/v1/agents", Gives::Own),
    ("GET", "/api/v1/counters", Gives::NotFound),
    ("GET", "/api/v1/exceptions", Gives::Own),
    ("GET", "/api/v1/policies", Gives::Own),
    ("GET", "/api/v1/search/flows", Gives::Own),
    ("GET", "/api/v1/search/findings", Gives::Own),
    ("GET", "/api/v1/search/alerts", Gives::Own),
    ("GET", "/api/v1/health", Gives::Neutral),
    ("GET", "/api/v1/incidents/{id}/export", Gives::NotFound),
    ("GET", "/api/v1/export", Gives::Own),
    ("GET", "/api/v1/metrics", Gives::NotFound),
    ("GET", "/healthz", Gives::Neutral),
    ("GET", "/readyz", Gives::Neutral),
    ("GET", "/api/v1/openapi.json", Gives::Neutral),
    ("GET", "/api/v1/events", Gives::Stream),
    ("GET", "/api/v1/incidents/{id}/findings", Gives::NotFound),
    ("GET", "/api/v1/incidents/{id}/history", Gives::NotFound),
    ("GET", "/api/v1/incidents/{id}/tasks", Gives::NotFound),
    ("GET", "/api/v1/agents/{id}", Gives::NotFound),
    ("GET", "/api/v1/me", Gives::Own),
    ("GET", "/api/v1/incidents/{id}/unmasked/{n}", Gives::NotFound),
    ("GET", "/api/v1/shared", Gives::Own),
    ("GET", "/api/v1/shared/{digest}", Gives::NotFound),
    ("POST", "/incidents/{id}/unmasked/{n}", Gives::NotFound),
    ("GET", "/shared", Gives::Own),
    ("GET", "/incidents/new", Gives::Neutral),
    ("POST", "/incidents/new", Gives::Neutral),
    ("POST", "/account/tokens/end", Gives::Neutral),
    ("GET", "/api/v1/me/tokens", Gives::Own),
    ("POST", "/api/v1/me/tokens/{label}/revoke", Gives::Neutral),
    ("GET", "/shared/{digest}", Gives::NotFound),
    ("GET", "/notices", Gives::Own),
    ("POST", "/notices", Gives::Neutral),
    ("GET", "/api/v1/suppressions", Gives::Own),
    ("POST", "/api/v1/suppressions/{id}/end", Gives::Neutral),
    ("POST", "/suppressions/{id}/end", Gives::Neutral),
    ("GET", "/api/v1/notices/dead", Gives::Own),
    ("POST", "/api/v1/notices/dead", Gives::Neutral),
    ("GET", "/handover", Gives::Own),
    ("GET", "/reports/monthly", Gives::Own),
    ("GET", "/drills", Gives::Own),
    ("POST", "/drills", Gives::Neutral),
    ("GET", "/drills/{id}", Gives::NotFound),
    ("POST", "/drills/{id}/end", Gives::Neutral),
    ("GET", "/help", Gives::Neutral),
    ("GET", "/settings", Gives::Neutral),
    ("GET", "/api/v1/reports/monthly", Gives::Own),
    ("GET", "/incidents/{id}/handover", Gives::NotFound),
    ("GET", "/incidents/{id}/evidence", Gives::NotFound),
    ("GET", "/api/v1/handover", Gives::Own),
    ("GET", "/api/v1/incidents/{id}/handover", Gives::NotFound),
];

/// Every route that changes something.
pub(super) fn forms() -> Vec<String> {
    let posts = ROUTES.iter().filter(|(method, ..)| *method == "POST");
    posts.map(|(_, path, _)| (*path).to_owned()).collect()
}

/// Every route that is read and ends.
pub(super) fn pages() -> Vec<String> {
    let gets = ROUTES.iter().filter(|(method, _, gives)| *method == "GET" && *gives != Gives::Stream);
    gets.map(|(_, path, _)| (*path).to_owned()).collect()
}

pub(super) const A: &str = "422011";
pub(super) const B: &str = "422029";
const C: &str = "422037";
/// Addresses that only one body's findings name.
pub(super) const A_INSIDE: &str = "10.1.1.1";
pub(super) const B_INSIDE: &str = "10.2.2.2";
/// Seen in all three bodies.
pub(super) const WIDE: &str = "203.0.113.99";

/// Three bodies with an agent each, incidents of their own and one of all.
pub(super) struct Three {
    pub(super) bench: Bench,
    /// By body: what its agent is called.
    agents: Vec<(&'static str, String)>,
}

impl Three {
    pub(super) async fn new() -> Self {
        let mut bench = Bench::new().await;
        let mut agents = Vec::new();
        for (body, name) in [(A, "甲市"), (B, "乙町"), (C, "丙村")] {
            let (key, _) = SigningKey::generate().unwrap();
            let from = Registered {
                agent: key.verifying_key().id(),
                body: body.parse().unwrap(),
                keys: Arc::new(KeyRing::new(*key.verifying_key())),
            };
            db::query(
                "INSERT INTO bodies (code, name) VALUES ($1, $2) ON CONFLICT (code) DO UPDATE SET name = $2",
            )
            .bind(body)
            .bind(name)
            .execute(bench.store.writer())
            .await
            .unwrap();
            db::query(
                "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
                 VALUES ($1, $2, $3, $4, '01', $5, $6)",
            )
            .bind(from.agent.to_string())
            .bind(format!("門番{name}"))
            .bind(body)
            .bind(key.verifying_key().as_bytes().as_slice())
            .bind(stored(now().plus(Duration::from_secs(80 * 86_400))))
            .bind(stored(now()))
            .execute(bench.store.writer())
            .await
            .unwrap();
            agents.push((body, from.agent.to_string()));
            (bench.key, bench.from, bench.head) = (key, from, (0, Digest::ZERO));
            let inside = match body {
                A => A_INSIDE,
                B => B_INSIDE,
                _ => "10.3.3.3",
            };
            let own = Finding { originator: inside.parse().ok(), ..finding(1) };
            let shared = Finding { originator: WIDE.parse().ok(), ..finding(2) };
            let excepted = Finding { excepted_by: Some(format!("EX-{name}").as_str().into()), ..finding(3) };
            let records = [own, shared, excepted].map(|one| Record::Finding(Box::new(one)));
            bench.deliver(records.into()).await;
        }
        for (body, name) in [(A, "甲市"), (B, "乙町")] {
            let text = format!("for = \"body:{body}\"\n# {name}\n");
            let path = bench._dir.path().join(format!("{body}.toml"));
            std::fs::write(&path, text).unwrap();
            bench.store.put_policy(&read(&path).unwrap(), now()).await.unwrap();
        }
        bench.writer.reject("198.51.100.200", "tls", "乙町");
        bench.writer.flush().await;
        for (name, role, scope) in [
            ("officer-a", Role::BodyOfficer, A),
            ("ciso-a", Role::BodyCiso, A),
            ("auditor-a", Role::Auditor, A),
            ("soc", Role::Control, "all"),
            ("nobody", Role::BodyOfficer, "all"),
        ] {
            let scope = Scope::parse(scope).unwrap();
            bench.store.add_account(&name.into(), role, &scope, "x", now()).await.unwrap();
        }
        Self { bench, agents }
    }

    pub(super) async fn incident(&self, body: Option<&str>, subject: &str) -> String {
        let (rows, _) = self.bench.store.incidents(&IncidentFilter::default()).await.unwrap();
        let it = rows.iter().find(|row| row.body.as_deref() == body && row.subject == subject);
        it.unwrap_or_else(|| panic!("{body:?} {subject}: {rows:?}")).id.clone()
    }

    fn agent(&self, body: &str) -> &str {
        &self.agents.iter().find(|(code, _)| *code == body).unwrap().1
    }

    /// Everything that names B: its code, name, agent, inner address; and what is nobody's to see.
    pub(super) fn foreign(&self) -> Vec<String> {
        let own = [B, C, "乙町", "丙村", B_INSIDE, "10.3.3.3", "198.51.100.200"].map(str::to_owned);
        own.into_iter().chain([self.agent(B).to_owned(), self.agent(C).to_owned()]).collect()
    }
}

pub(super) fn nothing_of(foreign: &[String], text: &str, place: &str) {
    for name in foreign {
        assert!(!text.contains(name.as_str()), "{place} shows {name}: {text}");
    }
}

/// The routes as the sources have them.
pub(super) fn routes_of_sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (source, prefix) in
        [(include_str!("../../console.rs"), ""), (include_str!("../../api.rs"), "/api/v1")]
    {
        for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, handlers) = line.split_once('"').unwrap();
            for (call, method) in [
                ("get(", "GET"),
                ("post(", "POST"),
                ("put(", "PUT"),
                ("delete(", "DELETE"),
                ("patch(", "PATCH"),
            ] {
                if handlers.contains(call) {
                    found.push((method.to_owned(), format!("{prefix}{path}")));
                }
            }
            assert!(handlers.contains('('), "one route, one line: {line}");
        }
    }
    found
}

#[test]
fn the_table_has_every_route() {
    let mut table: Vec<_> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    let mut sources = routes_of_sources();
    table.sort();
    sources.sort();
    assert_eq!(table, sources, "a route without a line here was not asked whether it shows another body");
    let sources = [include_str!("../../console.rs"), include_str!("../../api.rs")];
    assert_eq!(
        sources.iter().map(|text| text.matches(".route(").count()).sum::<usize>(),
        sources
            .iter()
            .map(|text| text.lines().filter(|line| line.trim().starts_with(".route(\"")).count())
            .sum::<usize>()
    );
    assert_eq!(sources.iter().map(|text| text.matches(".nest(").count()).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_bodys_user_sees_nothing_of_another_on_any_route() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let others = three.incident(Some(B), B_INSIDE).await;
    for name in ["officer-a", "ciso-a", "auditor-a"] {
        let (cookie, csrf) = bench.session(name).await;
        for (method, path, gives) in ROUTES {
            let id = if path.contains("agents") { three.agent(B) } else { &others };
            let at = path.replace("{id}", id).replace("{name}", "console.css").replace("{n}", "1");
            if *gives == Gives::Stream || at == "/logout" || at == "/account/sessions/end" {
                continue; // Asked for in their own tests; these two would end the session.
            }
            let form = if at.starts_with("/api") {
                "{\"version\": 1, \"action\": \"acknowledge\"}".to_owned()
            } else {
                format!(
                    "csrf={csrf}&version=1&action=acknowledge&name=x&password=x&current=x&new=x&again=x&code=1&next=%2F"
                )
            };
            let kind =
                if at.starts_with("/api") { "application/json" } else { "application/x-www-form-urlencoded" };
            let builder = Request::builder().method(*method).uri(&at).header("cookie", &cookie);
            let builder = builder.header("sekimori-csrf", &csrf).header("content-type", kind);
            let body = if *method == "POST" { Body::from(form) } else { Body::empty() };
            let answer = bench.send(builder.body(body).unwrap()).await;
            let place = format!("{name}: {method} {at}");
            nothing_of(&foreign, &answer.text.replace(id, ""), &place);
            match gives {
                Gives::Own => assert_eq!(answer.status, StatusCode::OK, "{place}"),
                Gives::Auditors if name == "auditor-a" => {
                    assert_eq!(answer.status, StatusCode::OK, "{place}");
                }
                // Who only reads is refused before anything is looked for, whether it is there or not.
                Gives::NotFound if *method == "POST" && name == "auditor-a" => {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{place}");
                }
                Gives::NotFound | Gives::Auditors => {
                    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{place}");
                }
                // Nobody serves here: there is nothing that could be ready.
                Gives::Neutral if at == "/readyz" => {
                    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{place}");
                }
                Gives::Neutral | Gives::Stream => assert!(!answer.status.is_server_error(), "{place}"),
            }
        }
    }
}

#[tokio::test]
async fn their_own_is_there_and_filters_tell_nothing() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let (cookie, csrf) = bench.session("officer-a").await;
    let own = three.incident(Some(A), A_INSIDE).await;
    for (path, part) in [
        ("/".to_owned(), "甲市"),
        ("/incidents".to_owned(), own.as_str()),
        (format!("/incidents/{own}"), A_INSIDE),
        (format!("/agents/{}", three.agent(A)), "門番甲市"),
        ("/agents".to_owned(), "門番甲市"),
        ("/exceptions".to_owned(), "EX-甲市"),
        ("/policies".to_owned(), "body:422011"),
        ("/api/v1/policies".to_owned(), "body:422011"),
        ("/api/v1/exceptions".to_owned(), "EX-甲市"),
        ("/account".to_owned(), A),
        ("/search?kind=findings".to_owned(), A_INSIDE),
        ("/search?kind=findings&q=body%3A*".to_owned(), A_INSIDE),
        ("/search?kind=flows".to_owned(), "role=\"search\""),
        ("/api/v1/search/findings?q=-body%3A422037".to_owned(), A_INSIDE),
    ] {
        let answer = bench.get(&path, &cookie).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.text.contains(part), "{path} has no {part}");
        nothing_of(&foreign, &answer.text, &path);
    }
    // Counts: two incidents of their own and their part of the wide one; nothing for a filter of another body.
    let count = async |query: &str| {
        bench.get(&format!("/api/v1/incidents?{query}"), &cookie).await.json()["total"].as_u64().unwrap()
    };
    assert_eq!(count("").await, 3);
    assert_eq!(count(&format!("body={A}")).await, 3);
    assert_eq!(count(&format!("body={B}")).await, 0);
    let (everyone, _) = bench.session("soc").await;
    let all = bench.get("/api/v1/incidents", &everyone).await.json()["total"].as_u64();
    assert_eq!(all, Some(7));
    let (soc, _) = bench.session("soc").await;
    assert!(bench.get("/", &soc).await.text.contains("198.51.100.200"), "the SOC sees who was turned away");
    let tiles = bench.get("/", &cookie).await.text;
    assert!(tiles.contains("<b>2</b>") && !tiles.contains("<b>7</b>") && !tiles.contains("<b>6</b>"));

    // What is theirs they may change; what is another's is not there, whatever they know of it.
    let acknowledge = async |id: &str| {
        let version = bench.store.incident(id).await.unwrap().unwrap().version;
        bench
            .post(&format!("/incidents/{id}/acknowledge"), &cookie, &format!("csrf={csrf}&version={version}"))
            .await
            .status
    };
    assert_eq!(acknowledge(&own).await, StatusCode::SEE_OTHER);
    assert_eq!(acknowledge(&three.incident(Some(B), B_INSIDE).await).await, StatusCode::NOT_FOUND);
    assert_eq!(acknowledge(&three.incident(None, WIDE).await).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_a_wide_area_incident_they_see_their_own_part() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let wide = three.incident(None, WIDE).await;
    let own = three.incident(Some(A), WIDE).await;
    let (cookie, _) = bench.session("officer-a").await;
    for path in [format!("/incidents/{wide}"), format!("/incidents/{own}")] {
        for lang in ["ja", "en"] {
            let answer = bench.get(&path, &format!("{cookie}; sekimori-lang={lang}")).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.text.contains(WIDE) && answer.text.contains(&own));
            nothing_of(&foreign, &answer.text, &path);
            assert!(!answer.text.contains("3 団体") && !answer.text.contains("3 bodies"));
        }
    }
    let one = bench.get(&format!("/api/v1/incidents/{wide}"), &cookie).await.json();
    assert_eq!((one["children"].as_u64(), one["findings"].as_u64()), (Some(1), Some(1)));
    assert_eq!(one["children_ids"], serde_json::json!([own]));
    assert_eq!(one["findings_detail"].as_array().unwrap().len(), 1);
    assert_eq!(one["batches"].as_array().unwrap().len(), 1);
    assert_eq!(one["reason"]["inputs"], serde_json::json!({ "kind": "address", "value": WIDE }));
    assert_eq!((one["version"].as_u64(), &one["changes"]), (Some(0), &serde_json::json!([])));
    let (soc, _) = bench.session("soc").await;
    let whole = bench.get(&format!("/api/v1/incidents/{wide}"), &soc).await.json();
    assert_eq!((whole["children"].as_u64(), whole["findings"].as_u64()), (Some(3), Some(3)));
    assert!(whole["reason"]["inputs"]["bodies"].as_array().unwrap().len() == 3);
    // An account of a body that names none sees nothing at all.
    let (nobody, _) = bench.session("nobody").await;
    assert_eq!(bench.get(&format!("/incidents/{wide}"), &nobody).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/incidents?scope=all", &nobody).await.json()["total"], 0);
    assert_eq!(bench.get("/api/v1/agents", &nobody).await.json()["agents"], serde_json::json!([]));
}

#[tokio::test]
async fn changes_of_others_are_not_even_events() {
    let mut three = Three::new().await;
    let (cookie, _) = three.bench.session("officer-a").await;
    let (soc, _) = three.bench.session("soc").await;
    let mut streams = Vec::new();
    for cookie in [&cookie, &soc] {
        let request = Request::get("/events").header("cookie", cookie).body(Body::empty()).unwrap();
        let mut body = three.bench.router.clone().oneshot(request).await.unwrap().into_body();
        let first = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap();
        streams.push((body, first.unwrap().unwrap().into_data().unwrap()));
    }
    let number = |first: &[u8]| String::from_utf8(first.to_vec()).unwrap();
    let page = three.bench.get("/incidents", &cookie).await.text;
    let seq = page.split("data-seq=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(number(&streams[0].1).contains(&format!("data: {seq}\n")));

    // The writer is now C's agent: something happens there.
    let other = Finding { originator: "10.3.3.9".parse().ok(), ..finding(9) };
    three.bench.deliver(vec![Record::Finding(Box::new(other))]).await;
    let heard =
        async |body: &mut Body| tokio::time::timeout(Duration::from_secs(2), body.frame()).await.is_ok();
    let (mut own, mut all) = (streams.remove(0).0, streams.remove(0).0);
    assert!(heard(&mut all).await, "the SOC hears of it");
    assert!(!heard(&mut own).await, "body A does not");
    let page = three.bench.get("/incidents", &cookie).await.text;
    assert!(page.contains(&format!("data-seq=\"{seq}\"")), "nor does its page know of a change");

    // A session that is ended ends its stream with the next change.
    three.bench.store.end_sessions("soc", None).await.unwrap();
    let again = Finding { originator: "10.3.3.10".parse().ok(), ..finding(10) };
    three.bench.deliver(vec![Record::Finding(Box::new(again))]).await;
    let rest = tokio::time::timeout(Duration::from_secs(5), all.frame()).await.unwrap();
    assert!(rest.is_none(), "{rest:?}");
}

#[tokio::test]
async fn programs_of_a_body_hear_and_count_their_own_changes_only() {
    let mut three = Three::new().await;
    let foreign = three.foreign();
    let (cookie, _) = three.bench.session("officer-a").await;
    let listen = async |bench: &Bench, last: &str| {
        let request = Request::get("/api/v1/events").header("cookie", &cookie).header("last-event-id", last);
        bench.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_body()
    };
    let next = async |body: &mut Body| {
        let frame = tokio::time::timeout(Duration::from_secs(2), body.frame()).await.ok()?;
        Some(String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap())
    };
    let reset = next(&mut listen(&three.bench, "from nowhere").await).await.unwrap();
    assert!(reset.contains("event: reset"), "{reset}");
    let id = reset.split("id: ").nth(1).unwrap().lines().next().unwrap();
    let (whose, count) = id.split_once('-').unwrap();
    let (count, all): (i64, i64) = (count.parse().unwrap(), *three.bench.store.subscribe().borrow());
    assert!(0 < count && count < all, "{count} of {all}");

    // From the beginning: all of their own, in order, and nothing else.
    let mut stream = listen(&three.bench, &format!("{whose}-0")).await;
    assert!(next(&mut stream).await.unwrap().contains("event: ready"));
    for number in 1..=count {
        let event = next(&mut stream).await.unwrap();
        assert!(event.contains(&format!("id: {whose}-{number}\n")) && event.contains(A), "{event}");
        nothing_of(&foreign, &event, "an event");
    }
    let other = Finding { originator: "10.3.3.9".parse().ok(), ..finding(9) };
    three.bench.deliver(vec![Record::Finding(Box::new(other))]).await;
    assert_eq!(next(&mut stream).await, None, "what happens at C is not for them");
    // The numbers of those who see everything are others, and theirs are nobody else's.
    let (soc, _) = three.bench.session("soc").await;
    let request = Request::get("/api/v1/events").header("cookie", &soc).header("last-event-id", id);
    let request = request.body(Body::empty()).unwrap();
    let mut body = three.bench.router.clone().oneshot(request).await.unwrap().into_body();
    assert!(next(&mut body).await.unwrap().contains("event: reset"));
}

#[tokio::test]
async fn tokens_see_and_do_no_more_than_they_were_given() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let own = three.incident(Some(A), A_INSIDE).await;
    let token = async |owner: &str, right: Right, scope: &str| {
        let token = ApiToken::generate().unwrap();
        let entry = TokenEntry {
            label: token.digest().to_string().as_str().into(),
            owner: owner.into(),
            right,
            scope: Scope::parse(scope).unwrap(),
            created_at: now(),
            expires_at: now().plus(Duration::from_secs(60)),
            revoked_at: None,
            used_at: None,
        };
        assert!(bench.store.put_api_token(&token, &entry).await.unwrap());
        token
    };
    let ask = async |token: &ApiToken, request: axum::http::request::Builder, body: &str| {
        let request = request.header("authorization", format!("Bearer {}", token.reveal()));
        let request = request.header("content-type", "application/json");
        bench.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let narrowed = token("soc", Right::Read, A).await;
    let list = ask(&narrowed, Request::get("/api/v1/incidents"), "").await;
    assert_eq!(list.json()["total"], 3);
    nothing_of(&foreign, &list.text, "a narrowed token");
    assert_eq!(ask(&narrowed, Request::get("/api/v1/counters"), "").await.status, StatusCode::NOT_FOUND);
    let beyond = token("officer-a", Right::Act, "all").await;
    assert_eq!(ask(&beyond, Request::get("/api/v1/incidents"), "").await.json()["total"], 3);
    let path = format!("/api/v1/incidents/{own}/acknowledge");
    let version = bench.store.incident(&own).await.unwrap().unwrap().version;
    let body = format!("{{\"version\": {version}}}");
    for right in [Right::Read, Right::Admin] {
        let token = token("officer-a", right, "all").await;
        assert_eq!(ask(&token, Request::post(&path), &body).await.status, StatusCode::FORBIDDEN, "{right:?}");
    }
    let auditor = token("auditor-a", Right::Act, "all").await;
    assert_eq!(ask(&auditor, Request::post(&path), &body).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&beyond, Request::post(&path), &body).await.json()["state"], "received");
    let unknown = ApiToken::generate().unwrap();
    assert_eq!(ask(&unknown, Request::get("/api/v1/agents"), "").await.status, StatusCode::UNAUTHORIZED);
    // A token opens the API, not the console.
    assert_eq!(ask(&beyond, Request::get("/incidents"), "").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn every_form_carries_the_sessions_token_and_no_page_lets_anything_else_run() {
    let three = Three::new().await;
    let bench = &three.bench;
    let (cookie, csrf) = bench.session("officer-a").await;
    let own = three.incident(Some(A), A_INSIDE).await;
    for (method, path, _) in
        ROUTES.iter().filter(|(_, path, gives)| *gives != Gives::Stream && *path != "/login")
    {
        let id = if path.contains("agents") { three.agent(A) } else { &own };
        let at = path.replace("{id}", id).replace("{name}", "console.css");
        if *method == "GET" {
            let answer = bench.get(&at, &cookie).await;
            let policy = answer.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none';") && !policy.contains("unsafe"),
                "{at}: {policy}"
            );
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{at}");
            assert!(!answer.header("cache-control").is_empty(), "{at}");
            if !at.starts_with("/assets") && answer.status == StatusCode::OK {
                assert_eq!(answer.header("cache-control"), "no-store", "{at}");
            }
            for bad in [" style=\"", " onclick=", "javascript:", "⟦"] {
                assert!(!answer.text.contains(bad), "{at} holds {bad}");
            }
            for form in answer.text.split("<form method=\"post\"").skip(1) {
                let form = form.split("</form>").next().unwrap();
                assert!(form.contains(&format!("name=\"csrf\" value=\"{csrf}\"")), "{at}: {form}");
            }
            continue;
        }
        // Without the token, and with that of another session.
        let (_, others) = bench.session("soc").await;
        for token in ["", &others] {
            let form = format!("csrf={token}&version=1&current=x&new=x&again=x&code=1&password=x");
            let json = at.starts_with("/api");
            let request = Request::post(&at).header("cookie", &cookie).header("sekimori-csrf", token);
            let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
            let body = if json { "{\"version\": 1}".to_owned() } else { form };
            let answer =
                bench.send(request.header("content-type", kind).body(Body::from(body)).unwrap()).await;
            // Half a sign-in is none: whoever is signed in is sent to the beginning.
            let expected =
                if at.starts_with("/login/") { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
            assert_eq!(answer.status, expected, "{at}");
        }
    }
    assert_eq!(
        bench.get("/account", &cookie).await.status,
        StatusCode::OK,
        "nothing of it ended the session"
    );
}
