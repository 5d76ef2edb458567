//! How long searches and pages take over a large store. `cargo xtask bench store` runs this in a release build:
//! 1,000,000 flow summaries, 100,000 incidents, 200,000 findings, on SQLite and on PostgreSQL.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant as Clock;

use sekimori_wire::batch::Lane;
use sekimori_wire::id::BodyCode;
use sekimori_wire::record::FlowSummary;

use super::*;
use crate::store::commit::Origin;
use crate::store::testing::server;
use crate::store::testserver::database;
use crate::store::view::{IncidentFilter, Order, Scope as Which};
use crate::store::{Place as At, Store};

/// Flow summaries.
const FLOWS: u32 = 1_000_000;
/// The last of them begins here; they come over ten days.
const LAST: u64 = 1_800_000_000;
const DAYS: u64 = 10;
/// What is promised.
const SEARCH_MS: u128 = 2_000;
const PAGE_MS: u128 = 200;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(end)).unwrap()
    }

    /// Mostly small ones.
    fn skewed(&mut self, end: u32) -> u32 {
        let (one, other, third) = (self.below(end), self.below(end), self.below(end));
        one.min(other).min(third)
    }
}

/// The code of one of sixty bodies.
fn code(number: u32) -> BodyCode {
    (0..10).find_map(|check| format!("42{:03}{check}", 10 + number).parse().ok()).unwrap()
}

fn flow(numbers: &mut Numbers, at: u32, body: u32) -> FlowSummary {
    const PORTS: [(u16, &str); 8] = [
        (443, "tls"),
        (443, "tls"),
        (53, "dns"),
        (80, "http"),
        (123, "ntp"),
        (445, "smb"),
        (22, "ssh"),
        (3389, "rdp"),
    ];
    let (port, application) = PORTS[usize::try_from(numbers.skewed(8)).unwrap()];
    let host = numbers.skewed(4000);
    let outside = numbers.skewed(20_000);
    let step = DAYS * 86_400_000 / u64::from(FLOWS);
    let start = (LAST - DAYS * 86_400) * 1000 + u64::from(at) * step + u64::from(numbers.below(60_000));
    let start = Timestamp::from_nanos(start * 1_000_000);
    let address = |a: u32, rest: u32| IpAddr::V4(Ipv4Addr::from_bits((a << 24) | rest));
    FlowSummary {
        originator: SocketAddr::new(
            address(10, (body << 16) | host),
            1024 + u16::try_from(at % 60_000).unwrap(),
        ),
        responder: SocketAddr::new(address(198, outside * 16), port),
        protocol: if port == 53 || port == 123 { 17 } else { 6 },
        start,
        end: start.plus(Duration::from_secs(numbers.skewed(600).into())),
        originator_packets: 10,
        originator_bytes: numbers.skewed(5_000_000).into(),
        responder_packets: 12,
        responder_bytes: numbers.skewed(5_000_000).into(),
        state: "SF".into(),
        application: application.into(),
        server_name: format!("www{outside}.example.jp").as_str().into(),
        ja4: "t13d1516h2_8daaf6152771_02713d6af862".into(),
        vlan: None,
        body: None,
        segment: Some("kyotaku".into()),
    }
}

/// Flow summaries as agents deliver them, thirty of one agent at a time; many to a transaction, for the sake of the disk.
async fn fill_flows(store: &Store) {
    let mut numbers = Numbers(0x5eed);
    let (mut at, mut slowest, began) = (0, Duration::ZERO, Clock::now());
    while at < FLOWS {
        let mut tx = store.begin().await.unwrap();
        let group = Clock::now();
        for _ in 0..1000 {
            let body = numbers.below(60);
            let flows: Vec<FlowSummary> =
                (at..(at + 30).min(FLOWS)).map(|at| flow(&mut numbers, at, body)).collect();
            at += u32::try_from(flows.len()).unwrap();
            let agent = format!("{:064x}", u64::from(body) * 1_000_003);
            let origin =
                Origin { agent, body: code(body), lane: Lane::Detail, epoch: 1, seq: 1, mode: "live" };
            crate::store::commit::flows::store(&mut tx, std::iter::once((&origin, flows.as_slice())))
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        slowest = slowest.max(group.elapsed());
    }
    let rate = u128::from(FLOWS) * 1000 / began.elapsed().as_millis().max(1);
    println!(
        "# {rate} flow summaries a second stored, slowest transaction of 30,000: {} ms",
        slowest.as_millis()
    );
}

/// Incidents of all states, 1 in 50 of them a part of a wide-area one; two findings each, in batches. SQLite binds `||`
/// before `%` and `/`, PostgreSQL after them: hence the parentheses.
const INCIDENTS: [&str; 5] = [
    "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
        WITH RECURSIVE s (i) AS (SELECT CAST(10 AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < 69)
        SELECT 'agent' || i, 'gw', (SELECT code FROM bodies WHERE name = 'body' || i), $1, '1', 0, 0 FROM s",
    "INSERT INTO batches (agent, lane, epoch, seq, digest, prev, sealed_at, received_at, mode, envelope)
        WITH RECURSIVE s (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < 1700)
        SELECT a.id, 0, 1, s.i, $1, $1, s.i, s.i, 'live', $1 FROM s CROSS JOIN agents a",
    "INSERT INTO incidents (id, category, severity, state, body, subject, opened_at, updated_at, first_evidence,
            last_evidence, findings, mode, version, title_ja, title_en, reason_json)
        WITH RECURSIVE s (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < 199)
        SELECT 'INC-WIDE-20270101-' || i, 'scan', 3, 'detected', NULL, '203.0.113.' || i, (i + 1) * 4000000000000,
            i, i, i, 20, 'live', 1, 'x', 'x', $1 FROM s",
    "INSERT INTO incidents (id, category, severity, state, body, subject, parent, opened_at, updated_at,
            first_evidence, last_evidence, findings, mode, version, title_ja, title_en, reason_json)
        WITH RECURSIVE s (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < 99799)
        SELECT 'INC-42' || (10 + i % 60) || '11-20270101-' || i,
            CASE i % 5 WHEN 0 THEN 'scan' WHEN 1 THEN 'malware_infection' WHEN 2 THEN 'brute_force' ELSE 'c2_beacon' END, i % 5,
            CASE i % 10 WHEN 0 THEN 'detected' WHEN 1 THEN 'triaged' WHEN 2 THEN 'false_positive' ELSE 'closed' END,
            (SELECT code FROM bodies WHERE name = 'body' || (10 + i % 60)), '10.' || (i % 60) || '.' || (i % 251) || '.' || (i % 241),
            CASE WHEN i % 50 = 0 THEN 'INC-WIDE-20270101-' || (i / 50 % 200) END, i * 8000000000, i, i, i, 2, 'live',
            1, '題', 'title', $1 FROM s",
    "INSERT INTO findings (id, body, revision, time, \"end\", category, severity, originator, responder, json, agent,
            lane, epoch, seq, mode, incident, originator_key, responder_key)
        WITH RECURSIVE s (i) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < 199599)
        SELECT 'f' || i, (SELECT code FROM bodies WHERE name = 'body' || (10 + i / 2 % 60)), 1, i * 4000000000, i * 4000000000,
            CASE i % 3 WHEN 0 THEN 'scan.port' WHEN 1 THEN 'c2.beacon' ELSE 'endpoint.alert' END, i % 5,
            '10.0.0.' || (10 + i % 90), '192.0.2.' || (10 + i % 80), $1, 'agent' || (10 + i / 2 % 60), 0, 1,
            1 + i / 120, 'live', 'INC-42' || (10 + i / 2 % 60) || '11-20270101-' || (i / 2),
            '40a0000' || (10 + i % 90), '4c00002' || (10 + i % 80) FROM s",
];

async fn fill_incidents(store: &Store) {
    let reason = format!("{{\"rule\":\"x/1\",\"inputs\":{{\"text\":\"{}\"}}}}", "x".repeat(600));
    let json =
        format!("{{\"title\":{{\"ja\":\"{}\",\"en\":\"{}\"}}}}", "題".repeat(300), "abcde ".repeat(150));
    for number in 0..60 {
        db::query("INSERT INTO bodies (code, name) VALUES ($1, $2)")
            .bind(code(number).to_string())
            .bind(format!("body{}", 10 + number))
            .execute(store.writer())
            .await
            .unwrap();
    }
    for sql in INCIDENTS {
        let insert = db::query(sql);
        let insert = match sql {
            _ if sql.contains("findings (id") => insert.bind(json.as_str()),
            _ if sql.contains("signing_key") || sql.contains("envelope") => insert.bind(vec![7_u8; 600]),
            _ => insert.bind(reason.as_str()),
        };
        insert.execute(store.writer()).await.unwrap();
    }
}

/// The median and the longest of some runs, in milliseconds.
async fn timed(runs: usize, run: impl AsyncFn()) -> (u128, u128) {
    let mut took = Vec::new();
    for _ in 0..runs {
        let began = Clock::now();
        run().await;
        took.push(began.elapsed().as_millis());
    }
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() - 1])
}

struct Measured {
    store: &'static str,
    broken: Vec<String>,
}

impl Measured {
    /// One line for whoever reads, and for `xtask`.
    fn tell(&mut self, what: &str, (median, longest): (u128, u128), most: u128) {
        println!("FIGURE\t{}\t{what}\t{median}\t{longest}", self.store);
        if longest >= most {
            self.broken.push(format!("{} {what}: {longest} ms", self.store));
        }
    }
}

async fn searches(store: &Store, out: &mut Measured) {
    let one = Scope::parse(code(7).as_str()).unwrap();
    let all = Scope::All;
    let day = 86_400_000_000_000;
    let last = i64::try_from(LAST).unwrap() * 1_000_000_000;
    let yesterday = (Some(last - 2 * day), Some(last - day));
    let ever = (None, None);
    for (what, text, between, scope) in [
        ("flows: newest", "", ever, &all),
        ("flows: newest of one body", "", ever, &one),
        ("flows: one address", "originator:10.7.0.9", ever, &all),
        ("flows: an address at either end", "address:10.7.0.9", ever, &all),
        ("flows: an address that is not there", "address:192.0.2.77", ever, &all),
        ("flows: a busy server", "responder:198.0.0.0", ever, &all),
        ("flows: a network", "originator:10.7.0.0/24", ever, &all),
        ("flows: half the world", "originator:10.0.0.0/8 port:3389", ever, &all),
        ("flows: port and time", "port:3389", yesterday, &all),
        ("flows: free conjunction", "server:www19*.example.jp bytes>6M -port:443", ever, &all),
        ("flows: nothing found", "ja4:nosuch*", ever, &all),
        ("flows: a word", "nosuchword", ever, &all),
        ("flows: or", "(port:22 bytes>9M) or (address:10.9.0.1 app:rdp)", ever, &one),
    ] {
        let asked = Query::parse(text, Entity::Flows, Timestamp::from_secs(LAST)).unwrap();
        let search = Search { asked, between, after: None, limit: 100 };
        let took = timed(3, async || drop(store.search_flows(&search, scope).await.unwrap())).await;
        out.tell(what, took, SEARCH_MS);
    }
    let deep = Some(Cursor { time: last - 9 * day, n: i64::MAX });
    let asked = Query::parse("port:443", Entity::Flows, Timestamp::from_secs(LAST)).unwrap();
    let search = Search { asked, between: ever, after: deep, limit: 100 };
    let took = timed(3, async || drop(store.search_flows(&search, &all).await.unwrap())).await;
    out.tell("flows: a page nine days deep", took, SEARCH_MS);
    for (what, text) in [
        ("findings: an address", "address:10.0.0.77"),
        ("findings: level and kind", "severity>=4 category:c2.*"),
        ("findings: a word", "nosuchword"),
    ] {
        let asked = Query::parse(text, Entity::Findings, Timestamp::from_secs(LAST)).unwrap();
        let search = Search { asked, between: ever, after: None, limit: 100 };
        let took = timed(3, async || drop(store.search_findings(&search, &all).await.unwrap())).await;
        out.tell(what, took, SEARCH_MS);
    }
}

async fn pages(store: &Store, out: &mut Measured) {
    // All incidents of this body are open, and of level 1.
    let one = Scope::parse(code(11).as_str()).unwrap();
    let all = Scope::All;
    let first = IncidentFilter { page: 1, ..IncidentFilter::default() };
    let everything = IncidentFilter { scope: Which::All, ..first.clone() };
    let query = |text: &str| Query::parse(text, Entity::Incidents, Timestamp::from_secs(LAST)).ok();
    for (what, filter, scope) in [
        ("incidents: open, first page", first.clone(), &all),
        ("incidents: open of one body", first.clone(), &one),
        ("incidents: all, first page", everything.clone(), &all),
        ("incidents: all, page 1900", IncidentFilter { page: 1900, ..everything.clone() }, &all),
        (
            "incidents: worst, page 300",
            IncidentFilter { page: 300, order: Order::Worst, ..first.clone() },
            &all,
        ),
        (
            "incidents: level, category, body",
            IncidentFilter {
                severity: sekimori_wire::finding::Severity::new(1),
                category: crate::incident::IncidentCategory::from_name("malware_infection"),
                body: Some(code(11).to_string()),
                ..everything.clone()
            },
            &all,
        ),
        (
            "incidents: a query",
            IncidentFilter { asked: query("subject:10.8.* severity>=3"), ..everything },
            &all,
        ),
    ] {
        let seen = store.seen_in(scope);
        let took = timed(5, async || {
            let (rows, total) = seen.incidents(&filter).await.unwrap();
            assert!(!rows.is_empty() && total > 0);
        })
        .await;
        out.tell(what, took, PAGE_MS);
    }
    for (what, scope) in [("overview of all", &all), ("overview of one body", &one)] {
        let seen = store.seen_in(scope);
        let worst = IncidentFilter { order: Order::Worst, ..first.clone() };
        let took = timed(5, async || {
            seen.change_number().await.unwrap();
            seen.incidents(&worst).await.unwrap();
            seen.open_by_severity().await.unwrap();
            seen.agents().await.unwrap();
            seen.counters().await.unwrap();
            seen.rejections().await.unwrap();
            seen.exceptions().await.unwrap();
        })
        .await;
        out.tell(what, took, PAGE_MS);
    }
    let (rows, _) = store.incidents(&first).await.unwrap();
    let (one_of_them, seen) = (&rows[0], store.seen_in(&all));
    let took = timed(5, async || {
        seen.incident(&one_of_them.id).await.unwrap();
        seen.findings_of(&one_of_them.id).await.unwrap();
        seen.alerts_of(&one_of_them.id).await.unwrap();
        seen.excepted_beside(one_of_them).await.unwrap();
        seen.changes_of(one_of_them).await.unwrap();
    })
    .await;
    out.tell("one incident", took, PAGE_MS);
}

async fn measure(name: &'static str, place: At) -> Vec<String> {
    let store = Store::create(place).await.unwrap();
    let began = Clock::now();
    fill_flows(&store).await;
    fill_incidents(&store).await;
    if store.is_shared() {
        // As the server does by itself within a minute.
        db::query("ANALYZE").execute(store.writer()).await.unwrap();
    }
    println!("# {name}: filled in {} s", began.elapsed().as_secs());
    let mut out = Measured { store: name, broken: Vec::new() };
    searches(&store, &mut out).await;
    pages(&store, &mut out).await;
    store.close().await;
    out.broken
}

#[tokio::test]
#[ignore = "minutes: cargo xtask bench store"]
async fn on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let broken = measure("sqlite", (&dir.path().join("s.db")).into()).await;
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test]
#[ignore = "minutes: cargo xtask bench store"]
async fn on_postgres() {
    let broken = measure("postgres", server(&database())).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
