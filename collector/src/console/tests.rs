//! The console and the API without a socket, on a store filled by the real writer.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::store::db;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use http_body_util::BodyExt as _;
use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake};
use sekimori_wire::batch::{Batch, Lane, Mode};
use sekimori_wire::envelope::{Envelope, SigningKey};
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use sekimori_wire::id::{Digest, FindingId};
use sekimori_wire::keyring::KeyRing;
use sekimori_wire::record::{FlowSummary, Health, Interface, NamedCount, Record, Summary};
use sekimori_wire::time::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::auth::User;
use crate::auth::password::hash_password;
use crate::auth::role::Role;
use crate::auth::rules::AccountRules;
use crate::auth::session::{SessionRules, SessionToken, Stage};
use crate::clock::{now, stored};
use crate::config::{AgentsOwn, Correlation};
use crate::exceptions::InForce;
use crate::ingest::registry::Registered;
use crate::ingest::{Outcome, Received, Submission};
use crate::store::Store;
use crate::store::people::session::NewSession;
use crate::store::view::{BatchName, IncidentFilter};
use crate::store::writer::Writer;

mod agents;
mod api;
mod asked;
mod audit;
mod budget;
mod drills;
mod exceptions;
mod export;
mod granted;
mod handover;
mod host;
mod hostile;
mod indicator;
mod monthly;
mod notices;
mod people;
mod scope;
mod search;
mod sign_in;
mod suppression;
mod work;
const PASSWORD: &str = "関守の長い合言葉";
/// What an attacker would send in every field that may hold text.
const HOSTILE: &str = "<script>alert(1)</script>\"'\u{202e}&";

pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) store: Store,
    router: Router,
    writer: Writer,
    key: SigningKey,
    from: Registered,
    head: (u64, Digest),
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Bench {
    async fn new() -> Self {
        Self::with(InForce::load(&[], AgentsOwn::Accept).unwrap()).await
    }

    async fn with(exceptions: InForce) -> Self {
        let rules = AccountRules { second_factor: BTreeSet::new(), ..AccountRules::default() };
        Self::with_rules(exceptions, rules).await
    }

    async fn with_rules(exceptions: InForce, rules: AccountRules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::testing::store(&dir.path().join("s.db")).await;
        for (name, role) in
            [("monitor", Role::Monitor), ("auditor", Role::Auditor), ("control", Role::Control)]
        {
            store.put_user(&name.into(), role, &hash_password(PASSWORD).unwrap(), now()).await.unwrap();
        }
        let (key, _) = SigningKey::generate().unwrap();
        let from = Registered {
            agent: key.verifying_key().id(),
            body: "422011".parse().unwrap(),
            keys: Arc::new(KeyRing::new(*key.verifying_key())),
        };
        db::query("INSERT INTO bodies (code, name) VALUES ('422011', $1)")
            .bind(format!("長崎市{HOSTILE}"))
            .execute(store.writer())
            .await
            .unwrap();
        db::query(
            "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
             VALUES ($1, $2, '422011', $3, '01', $4, $5)",
        )
        .bind(from.agent.to_string())
        .bind(format!("gw{HOSTILE}"))
        .bind(key.verifying_key().as_bytes().as_slice())
        .bind(stored(now().plus(Duration::from_secs(80 * 86_400))))
        .bind(stored(now()))
        .execute(store.writer())
        .await
        .unwrap();
        let correlation = Correlation {
            gap: Duration::from_secs(1800),
            wide_area_bodies: 3,
            wide_area_window: Duration::from_secs(86_400),
        };
        let (writer, _task) = Writer::start(store.clone(), correlation, exceptions);
        let router = super::router_of(store.clone(), None, rules);
        Self { _dir: dir, store, router, writer, key, from, head: (0, Digest::ZERO) }
    }

    /// Delivers records as the ingest listener does.
    async fn deliver(&mut self, records: Vec<Record>) {
        let batch = Batch {
            lane: Lane::Urgent,
            agent: self.from.agent,
            epoch: 1,
            seq: self.head.0 + 1,
            prev: self.head.1,
            sealed_at: now(),
            mode: Mode::Replay,
            version: HOSTILE.into(),
            records,
            unknown_records: 0,
        };
        let envelope = Envelope::seal(&batch, &self.key).unwrap();
        let verified = self.from.keys.verify(&envelope).unwrap();
        self.head = (batch.seq, verified.digest());
        let batches = vec![Received { batch: verified, envelope: envelope.to_bytes() }];
        let outcome = self
            .writer
            .commit(Submission { from: self.from.clone(), batches, carried: false })
            .await
            .unwrap();
        assert!(matches!(outcome, Outcome::Through(_, _)), "{outcome:?}");
    }

    pub(crate) async fn filled() -> (Self, String) {
        let mut bench = Self::new().await;
        bench
            .deliver(vec![Record::Summary(Box::new(summary())), Record::Finding(Box::new(finding(1)))])
            .await;
        bench
            .deliver(vec![Record::EndpointAlert(Box::new(alert())), Record::Health(Box::new(health()))])
            .await;
        bench.writer.reject("192.0.2.66", "tls", HOSTILE);
        bench.writer.reject("ab", "forked", "detail");
        bench.writer.flush().await;
        let (rows, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
        let scan = rows.iter().find(|row| row.category.as_str() == "scan").unwrap();
        let id = scan.id.clone();
        (bench, id)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 9], 40_000))));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send(Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let request = Request::post(path)
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// A session without the slow password: its cookie and its form token.
    async fn session(&self, name: &str) -> (String, String) {
        let user: User = self.store.credentials(name).await.unwrap().unwrap().user;
        let token = SessionToken::generate().unwrap();
        let new = NewSession { token: &token, user: &user, stage: Stage::Full, address: "192.0.2.9" };
        self.store.start_session(new, SessionRules::default(), now()).await.unwrap();
        (token.set_cookie().split(';').next().unwrap().to_owned(), token.csrf())
    }
}

fn finding(n: u8) -> Finding {
    let at = now().minus(Duration::from_secs(30));
    Finding {
        id: FindingId::of(&[&[n]]),
        revision: 1,
        time: at,
        end: at,
        detected_at: at,
        category: Category::ScanPort,
        severity: Severity::HIGH,
        confidence: Confidence::from_permille(900),
        originator: Some("198.51.100.7".parse().unwrap()),
        responder: Some("192.0.2.10".parse().unwrap()),
        targets: vec![HOSTILE.into()],
        ports: vec![22, 443],
        title: Bilingual::new(&format!("ポート走査{HOSTILE}"), &format!("Port scan{HOSTILE}")),
        explanation: Bilingual::new(&format!("説明{HOSTILE}"), &format!("Because{HOSTILE}")),
        evidence: Evidence {
            rule: "scan.port/1".into(),
            formula: HOSTILE.into(),
            inputs: [(HOSTILE.into(), HOSTILE.into()), ("ports".into(), 1234u64.into())].into(),
            threshold: [("ports".into(), 20u64.into())].into(),
            baseline: [("ports".into(), 1.5.into())].into(),
            community_ids: vec![flow().community_id().into()],
        },
        technique: "T1046".into(),
        count: 1234,
        body: None,
        segment: Some(HOSTILE.into()),
        degraded: true,
        excepted_by: None,
    }
}

fn flow() -> FlowSummary {
    FlowSummary {
        originator: "198.51.100.7:40000".parse().unwrap(),
        responder: "192.0.2.10:22".parse().unwrap(),
        protocol: 6,
        start: now().minus(Duration::from_secs(30)),
        end: now(),
        originator_packets: 3,
        originator_bytes: 4036,
        responder_packets: 1,
        responder_bytes: 60,
        state: "S0".into(),
        application: HOSTILE.into(),
        server_name: HOSTILE.into(),
        ja4: "".into(),
        vlan: None,
        body: None,
        segment: None,
    }
}

fn summary() -> Summary {
    Summary { flows: vec![flow()], ..Summary::default() }
}

fn alert() -> EndpointAlert {
    EndpointAlert {
        id: FindingId::of(&[b"alert"]),
        time: now(),
        received_at: now(),
        intake: Intake::Listener,
        format: AlertFormat::Cef,
        vendor: HOSTILE.into(),
        product: HOSTILE.into(),
        signature_id: HOSTILE.into(),
        name: HOSTILE.into(),
        severity: Severity::HIGH,
        class: AlertClass::Malware,
        host: Some("192.0.2.20".parse().unwrap()),
        host_name: HOSTILE.into(),
        user: None,
        remote: None,
        file_sha256: None,
        action: HOSTILE.into(),
        original: HOSTILE.into(),
        original_sha256: Digest::of(b"x"),
        process: "".into(),
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: None,
    }
}

fn health() -> Health {
    Health {
        at: now(),
        uptime_seconds: 100_000,
        counters: vec![NamedCount { name: HOSTILE.into(), count: 7 }],
        interfaces: vec![Interface { name: HOSTILE.into(), packets: 1_234_567, kernel_drops: 3, up: true }],
        cpu_permille: 123,
        load_centi: 205,
        rss_bytes: 3 << 20,
        memory_total_bytes: 512 << 20,
        ..Health::default()
    }
}

async fn pages(bench: &Bench, incident: &str) -> Vec<String> {
    let (rows, _) = bench.store.incidents(&IncidentFilter::default()).await.unwrap();
    let others = rows.iter().filter(|row| row.id != incident).map(|row| format!("/incidents/{}", row.id));
    let mut pages: Vec<String> = others.collect();
    pages.extend(["/", "/incidents", "/agents", "/intake"].map(str::to_owned));
    pages.push("/incidents?severity=3&category=scan&body=422011&scope=all&order=worst&page=1".to_owned());
    pages.push("/incidents?severity=x&category=%3Cscript%3E&page=-1".to_owned());
    pages.push(format!("/incidents/{incident}"));
    pages.push(format!("/agents/{}", bench.from.agent));
    pages
}

#[tokio::test]
async fn every_page_shows_hostile_text_escaped_in_both_languages() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let mut shown = 0;
    for path in pages(&bench, &incident).await {
        for lang in ["ja", "en"] {
            let answer = bench.get(&path, &format!("{cookie}; sekimori-lang={lang}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            assert!(answer.text.contains(&format!("<html lang=\"{lang}\">")), "{path}");
            for bad in ["<script>alert", "alert(1)</script>\"", "\u{202e}", "⟦", " style=", " onclick="] {
                assert!(!answer.text.contains(bad), "{path} holds {bad:?}");
            }
            shown += answer.text.matches("alert(1)").count();
        }
    }
    assert!(shown > 40, "the hostile text is on the pages, escaped: {shown}");
}

#[tokio::test]
async fn an_incident_shows_why_it_was_opened_and_that_it_is_signed() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let text = bench.get(&format!("/incidents/{incident}"), &cookie).await.text;
    let community_id = flow().community_id();
    for part in [
        "署名検証済み",
        "scan.port/1",
        "1,234",
        "1.5",
        "受付する",
        &community_id,
        "送信元・対象・時間帯を確認",
        "T1046",
        "198.51.100.7:40000",
        "4.0 KiB",
        "aria-current=\"step\"",
        "取りこぼしあり",
        "経過",
        "title=\"20",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("class=\"mark bad\""));
    let english =
        bench.get(&format!("/incidents/{incident}"), &format!("{cookie}; sekimori-lang=en")).await.text;
    assert!(english.contains("Signatures verified (1 batch)") && english.contains("Port scan"));

    // One byte changed on the disk, and the page says so.
    let mut bytes: Vec<u8> = db::query_scalar("SELECT envelope FROM batches WHERE seq = 1")
        .fetch_one(bench.store.reader())
        .await
        .unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    db::query("UPDATE batches SET envelope = $1 WHERE seq = 1")
        .bind(bytes)
        .execute(bench.store.writer())
        .await
        .unwrap();
    let text = bench.get(&format!("/incidents/{incident}"), &cookie).await.text;
    assert!(text.contains("署名が一致しません") && text.contains("検証できないバッチが 1 件あります"));
    assert!(!text.contains("✓ 署名検証済み"));
}

#[tokio::test]
async fn what_is_shown_is_what_was_signed() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    db::query("UPDATE findings SET json = replace(json, '\"count\":', '\"count\":9')")
        .execute(bench.store.writer())
        .await
        .unwrap();
    let text = bench.get(&format!("/incidents/{incident}"), &cookie).await.text;
    assert!(text.contains("署名された内容と違います"));
    // A good envelope under another batch's number is found out, too.
    db::query("UPDATE batches SET envelope = (SELECT envelope FROM batches WHERE seq = 2)")
        .execute(bench.store.writer())
        .await
        .unwrap();
    let batches = bench.store.batches_of(&incident).await.unwrap();
    let name = BatchName { agent: bench.from.agent.to_string(), lane: 0, epoch: 1, seq: 1 };
    assert_eq!(batches[0].name, name);
    assert_eq!(super::Check::of(&batches[0]).as_str(), "other_batch");
}

#[tokio::test]
async fn nobody_gets_in_without_a_session() {
    let (bench, incident) = Bench::filled().await;
    for path in pages(&bench, &incident).await {
        let answer = bench.get(&path, "").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/login"), "{path}");
    }
    assert_eq!(bench.get("/events", "").await.status, StatusCode::UNAUTHORIZED);
    for path in ["incidents", "agents", "counters", &format!("incidents/{incident}")] {
        let answer = bench.get(&format!("/api/v1/{path}"), "__Host-sekimori=nonsense").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.json()["error"].is_string());
    }
    let acknowledge = format!("/incidents/{incident}/acknowledge");
    assert_eq!(bench.post(&acknowledge, "", "csrf=&version=1").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.get("/nothing", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/api/v1/health", "").await.json()["status"], "ok");
}

#[tokio::test]
async fn login_gives_a_session_and_logout_takes_it() {
    let bench = Bench::new().await;
    let form = bench.get("/login?next=%2Fagents", "").await;
    assert!(form.text.contains("value=\"/agents\"") && form.text.contains("<h1>ログイン</h1>"));
    let wrong = bench.post("/login", "", "name=monitor&password=nonsense&next=%2Fagents").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.header("set-cookie").is_empty());
    let fill =
        |next: &str| format!("name=monitor&password={}&next={next}", super::page::query_value(PASSWORD));
    let good = bench.post("/login", "", &fill("%2Fagents")).await;
    assert_eq!((good.status, good.header("location")), (StatusCode::SEE_OTHER, "/agents"));
    let cookie = good.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(bench.get("/agents", &cookie).await.status, StatusCode::OK);
    assert_eq!(bench.get("/login", &cookie).await.header("location"), "/");
    let elsewhere = bench.post("/login", "", &fill("%2F%2Fevil.example")).await;
    assert_eq!(elsewhere.header("location"), "/");

    assert_eq!(bench.post("/logout", &cookie, "csrf=wrong").await.status, StatusCode::FORBIDDEN);
    let csrf = SessionToken::from_cookies(&cookie).unwrap().csrf();
    assert_eq!(bench.post("/logout", &cookie, &format!("csrf={csrf}")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.get("/agents", &cookie).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let bench = Bench::new().await;
    for _ in 0..5 {
        assert_eq!(bench.post("/login", "", "name=x&password=y").await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = bench.post("/login", "", "name=x&password=y").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.text.contains("秒後まで"));
    let basic = base64::engine::general_purpose::STANDARD.encode("x:y");
    let request = Request::get("/api/v1/agents").header("authorization", format!("Basic {basic}"));
    let answer = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn acknowledging_needs_the_token_the_role_and_the_version() {
    let (bench, incident) = Bench::filled().await;
    let (cookie, csrf) = bench.session("monitor").await;
    let (auditor, auditors_csrf) = bench.session("auditor").await;
    let path = format!("/incidents/{incident}/acknowledge");
    let way = format!("action=\"{path}\"");
    assert!(bench.get(&format!("/incidents/{incident}"), &cookie).await.text.contains(&way));
    let version = bench.store.incident(&incident).await.unwrap().unwrap().version;
    let form = |csrf: &str, version: i64| format!("csrf={csrf}&version={version}");
    for (cookie, form, status) in [
        (&cookie, form("wrong", version), StatusCode::FORBIDDEN),
        (&cookie, form(&auditors_csrf, version), StatusCode::FORBIDDEN),
        (&auditor, form(&auditors_csrf, version), StatusCode::FORBIDDEN),
        (&cookie, form(&csrf, version - 1), StatusCode::CONFLICT),
        (&cookie, form(&csrf, version), StatusCode::SEE_OTHER),
        (&cookie, form(&csrf, version), StatusCode::CONFLICT),
    ] {
        assert_eq!(bench.post(&path, cookie, &form).await.status, status);
    }
    assert!(bench.get(&format!("/incidents/{incident}"), &auditor).await.text.contains("受付"));
    let text = bench.get(&format!("/incidents/{incident}"), &cookie).await.text;
    assert!(!text.contains(&way) && text.contains("種別・影響度・緊急度を判断する"), "{text}");
    let other = bench.post("/incidents/INC-NONE/acknowledge", &cookie, &form(&csrf, 1)).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    let bench = Bench::new().await;
    let request = Request::post("/login")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("name=monitor&password=x"))
        .unwrap();
    assert_eq!(bench.send(request).await.status, StatusCode::FORBIDDEN);
    let big = bench.post("/login", "", &"x".repeat(super::BODY_BYTES_MAX + 1)).await;
    assert_eq!(big.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let bench = Bench::new().await;
    for path in ["/login", "/", "/nothing", "/assets/console.js", "/api/v1/agents", "/language?to=en&back=/x"]
    {
        let answer = bench.get(path, "").await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{path}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(answer.header("strict-transport-security").starts_with("max-age="), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
    }
    let switched = bench.get("/language?to=en&back=https%3A%2F%2Fevil", "").await;
    assert_eq!(switched.header("location"), "/");
    assert!(switched.header("set-cookie").starts_with("sekimori-lang=en;"));
    assert!(bench.get("/login", "sekimori-lang=en").await.text.contains("<h1>Log in</h1>"));
}

#[tokio::test]
async fn pages_hear_of_changes() {
    let mut bench = Bench::new().await;
    let (cookie, _) = bench.session("monitor").await;
    let request = Request::get("/events").header("cookie", &cookie).body(Body::empty()).unwrap();
    let answer = bench.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut next = async || {
        let frame =
            tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap().unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert!(next().await.contains("event: change\ndata: 0\n"));
    bench.deliver(vec![Record::Finding(Box::new(finding(1)))]).await;
    let seq = *bench.store.subscribe().borrow();
    assert!(seq > 0);
    assert!(next().await.contains(&format!("data: {seq}\n")));
    // What the page then fetches knows that number, and does not keep the session alive.
    let request = Request::get("/incidents").header("cookie", &cookie).header("sekimori-live", "1");
    let page = bench.send(request.body(Body::empty()).unwrap()).await;
    assert!(page.text.contains(&format!("data-seq=\"{seq}\"")) && page.text.contains("スキャン・探索"));
}

#[tokio::test]
async fn programs_read_and_acknowledge() {
    let (bench, incident) = Bench::filled().await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("monitor:{PASSWORD}"));
    let send = async |request: axum::http::request::Builder, body: &str| {
        let request = request
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json");
        bench.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let list = send(Request::get("/api/v1/incidents?category=scan"), "").await.json();
    assert_eq!((list["total"].as_u64(), list["incidents"][0]["id"].as_str()), (Some(1), Some(&*incident)));
    assert_eq!(list["incidents"][0]["sources"], serde_json::json!(["finding"]));
    let one = send(Request::get(format!("/api/v1/incidents/{incident}")), "").await.json();
    assert_eq!(one["batches"][0]["signature"], "verified");
    assert_eq!(one["findings_detail"][0]["finding"]["category"], "scan.port");
    assert_eq!(one["reason"]["rule"], "scan.port/1");
    let agents = send(Request::get("/api/v1/agents"), "").await.json();
    assert_eq!(agents["agents"][0]["health"]["cpu_permille"], 123);
    let counters = send(Request::get("/api/v1/counters"), "").await.json();
    assert_eq!(
        (counters["counters"]["tls.failed"].as_u64(), counters["counters"]["refused.forked"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(send(Request::get("/api/v1/incidents/x"), "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(send(Request::get("/api/v1/x"), "").await.json()["error"], "there is no such thing");

    let path = format!("/api/v1/incidents/{incident}/acknowledge");
    let body = format!("{{\"version\": {}}}", one["version"]);
    assert_eq!(send(Request::post(&path), "{}").await.status, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(send(Request::post(&path), &body).await.json()["state"], "received");
    assert_eq!(send(Request::post(&path), &body).await.status, StatusCode::CONFLICT);
    // With a cookie, a change must carry the session's token.
    let (cookie, csrf) = bench.session("monitor").await;
    let with_cookie = |token: &str| {
        let request = Request::post(&path).header("cookie", &cookie).header("sekimori-csrf", token);
        request.header("content-type", "application/json").body(Body::from(body.clone())).unwrap()
    };
    assert_eq!(bench.send(with_cookie("")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(bench.send(with_cookie(&csrf)).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn streams_are_bounded() {
    let bench = Bench::new().await;
    let console = super::Console {
        listeners: crate::api::Listeners::default(),
        trust: None,
        store: bench.store.clone(),
        rules: Arc::default(),
        guard: Arc::default(),
        streams: Arc::new(tokio::sync::Semaphore::new(0)),
        provider: None,
    };
    let (cookie, _) = bench.session("monitor").await;
    let router = Router::new().route("/events", axum::routing::get(super::live::events)).with_state(console);
    let request = Request::get("/events").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}
