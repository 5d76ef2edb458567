//! Searches over what was stored, on whichever database the run is for.

use std::net::{IpAddr, SocketAddr};

use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake};
use sekimori_wire::batch::Lane;
use sekimori_wire::finding::Severity;
use sekimori_wire::id::{Digest, FindingId, Host};
use sekimori_wire::record::FlowSummary;

use super::*;
use crate::query::address_key;
use crate::store::commit::Origin;
use crate::store::testing;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = testing::store(&dir.path().join("s.db")).await;
    (dir, store)
}

fn origin(body: &str) -> Origin {
    let body = body.parse().unwrap();
    Origin { agent: "aa".to_owned(), body, lane: Lane::Detail, epoch: 1, seq: 1, mode: "live" }
}

fn flow(originator: &str, responder: &str, second: u64) -> FlowSummary {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    FlowSummary {
        originator: address(originator),
        responder: address(responder),
        protocol: 6,
        start: Timestamp::from_secs(1_700_000_000 + second),
        end: Timestamp::from_secs(1_700_000_001 + second),
        originator_packets: 1,
        originator_bytes: second * 1000,
        responder_packets: 2,
        responder_bytes: 3,
        state: "SF".into(),
        application: "tls".into(),
        server_name: format!("host{second}.example.jp").as_str().into(),
        ja4: "".into(),
        vlan: None,
        body: None,
        segment: None,
    }
}

fn alert(n: u8, host: Option<&str>) -> EndpointAlert {
    EndpointAlert {
        id: FindingId::of(&[&[n]]),
        time: NOW,
        received_at: NOW,
        intake: Intake::Listener,
        format: AlertFormat::Cef,
        vendor: "v".into(),
        product: "p".into(),
        signature_id: "1".into(),
        name: "x".into(),
        severity: Severity::HIGH,
        class: AlertClass::Malware,
        host: host.map(|host| host.parse().unwrap()),
        host_name: "pc".into(),
        user: None,
        remote: None,
        file_sha256: None,
        action: "".into(),
        original: "".into(),
        original_sha256: Digest::of(b"x"),
        process: "".into(),
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: None,
    }
}

async fn put(store: &Store, body: &str, flows: &[FlowSummary]) {
    let mut tx = store.begin().await.unwrap();
    crate::store::commit::flows::store(&mut tx, std::iter::once((&origin(body), flows))).await.unwrap();
    tx.commit().await.unwrap();
}

fn asked(text: &str, entity: Entity) -> Search {
    let asked = Query::parse(text, entity, NOW).unwrap();
    Search { asked, between: (None, None), after: None, limit: 100 }
}

async fn servers(store: &Store, text: &str, scope: &str) -> Vec<String> {
    let found = store.search_flows(&asked(text, Entity::Flows), &Scope::parse(scope).unwrap()).await.unwrap();
    assert_eq!(found.next, None);
    found.rows.into_iter().map(|row| row.server_name.replace(".example.jp", "")).collect()
}

async fn some() -> (tempfile::TempDir, Store) {
    let (dir, store) = store().await;
    put(
        &store,
        "422011",
        &[
            flow("10.1.1.1:40000", "203.0.113.5:443", 1),
            flow("10.1.2.9:40000", "203.0.113.6:80", 2),
            flow("[2001:db8::1]:40000", "[2001:db8:1::2]:443", 3),
        ],
    )
    .await;
    put(&store, "422029", &[flow("10.2.1.1:40000", "10.1.1.1:445", 4)]).await;
    (dir, store)
}

#[tokio::test]
async fn flows_are_found_by_address_network_port_time_and_text() {
    let (_dir, store) = some().await;
    for (text, expected) in [
        ("", &["host4", "host3", "host2", "host1"][..]),
        ("originator:10.1.1.1", &["host1"]),
        ("address:10.1.1.1", &["host4", "host1"]),
        ("originator:10.1.0.0/16", &["host2", "host1"]),
        ("ip:10.0.0.0/8", &["host4", "host2", "host1"]),
        ("responder:2001:db8:1::/48", &["host3"]),
        ("port:443", &["host3", "host1"]),
        ("-port:443", &["host4", "host2"]),
        ("bytes>3k server:*.example.jp", &["host4", "host3"]),
        ("HOST2", &["host2"]),
        ("time>=2023-11-15T07:13:23", &["host4", "host3"]),
        ("host:2001:db8::1 or body:422029", &["host4", "host3"]),
        ("originator:192.0.2.0/24", &[]),
    ] {
        assert_eq!(servers(&store, text, "all").await, expected, "{text}");
    }
}

#[tokio::test]
async fn nobody_finds_what_is_anothers() {
    let (_dir, store) = some().await;
    assert_eq!(servers(&store, "", "422029").await, ["host4"]);
    assert_eq!(servers(&store, "", "422011,422029").await.len(), 4);
    assert!(servers(&store, "body:422011 or body:422029 or -port:1", "422037").await.is_empty());
    let found = store.search_flows(&asked("", Entity::Flows), &Scope::NOTHING).await.unwrap();
    assert!(found.rows.is_empty());
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let (_dir, store) = store().await;
    // Many of one time.
    let flows: Vec<FlowSummary> =
        (0..25).map(|n| flow(&format!("10.0.0.{n}:1"), "10.9.9.9:2", n / 10)).collect();
    put(&store, "422011", &flows).await;
    let mut search = Search { limit: 7, ..asked("responder:10.9.9.9", Entity::Flows) };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let found = store.search_flows(&search, &Scope::All).await.unwrap();
        seen.extend(found.rows.iter().map(|row| (row.start, row.n, row.originator.clone())));
        pages += 1;
        let Some(next) = found.next else { break };
        assert_eq!(Cursor::parse(&next.to_string()), Some(next));
        search.after = Some(next);
    }
    assert_eq!((seen.len(), pages), (25, 4));
    assert!(seen.is_sorted_by(|one, next| (one.0, one.1) > (next.0, next.1)));
    search = Search { between: (Some(seen[14].0), Some(seen[14].0)), after: None, ..search };
    assert_eq!(store.search_flows(&search, &Scope::All).await.unwrap().rows.len(), 7);
    for wrong in ["", "1", "-", "x-!", "-1-1", "zzzzzzzzzzzzzzzzz-1"] {
        assert_eq!(Cursor::parse(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn alerts_are_found_by_host() {
    let (_dir, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    for (n, host) in
        [(1, Some("10.1.1.1")), (2, Some("2001:db8::7")), (3, Some("02:00:5e:00:00:01")), (4, None)]
    {
        let alert = alert(n, host);
        crate::store::finding::store_alert(&mut tx, &origin("422011"), &alert).await.unwrap();
    }
    tx.commit().await.unwrap();
    let hosts = async |text: &str| {
        let found = store.search_alerts(&asked(text, Entity::Alerts), &Scope::All).await.unwrap();
        found.rows.len()
    };
    assert_eq!(hosts("host:10.1.0.0/16").await, 1);
    assert_eq!(hosts("ip:2001:db8::7").await, 1);
    assert_eq!(hosts("host:02:00:5E:00:00:01").await, 1);
    assert_eq!(hosts("host:*").await, 3);
    assert_eq!(hosts("-host:*").await, 1);
}

/// What was stored before there were keys gets the same ones as what is stored now.
#[tokio::test]
async fn the_migration_fills_the_keys_as_the_program_does() {
    let (_dir, store) = store().await;
    let addresses: Vec<IpAddr> = [
        "0.0.0.0",
        "10.1.2.3",
        "255.255.255.255",
        "192.0.2.10",
        "::",
        "::1",
        "2001:db8::",
        "2001:db8::1",
        "2001:db8:1:2:3:4:5:6",
        "fe80::abcd:0:1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "::ffff:192.0.2.1",
        "1:0:2::3",
        "::2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "ffff::1",
        "0:0:1::",
    ]
    .map(|text| text.parse().unwrap())
    .to_vec();
    let flows: Vec<FlowSummary> = addresses
        .iter()
        .map(|address| FlowSummary {
            originator: SocketAddr::new(*address, 1),
            responder: SocketAddr::new(*address, 2),
            ..flow("10.1.1.1:1", "10.1.1.1:2", 1)
        })
        .collect();
    put(&store, "422011", &flows).await;
    let mut tx = store.begin().await.unwrap();
    let mac = "02:00:5e:10:00:ff";
    crate::store::finding::store_alert(&mut tx, &origin("422011"), &alert(1, Some(mac))).await.unwrap();
    tx.commit().await.unwrap();
    for forget in
        ["UPDATE flows SET originator_key = '', responder_key = ''", "UPDATE alerts SET host_key = NULL"]
    {
        db::query(forget).execute(store.writer()).await.unwrap();
    }
    let file = if store.is_shared() {
        include_str!("../schema/postgres/0013_search.sql")
    } else {
        include_str!("../schema/sqlite/0013_search.sql")
    };
    let (_, rest) = file.split_once("CREATE TABLE").unwrap();
    let (fill, _) = rest.split_once("CREATE INDEX").unwrap();
    store.writer().script(db::AssertSqlSafe(format!("CREATE TABLE{fill}"))).await.unwrap();
    let keys: Vec<(String, String, String)> =
        db::query_as("SELECT originator, originator_key, responder_key FROM flows ORDER BY n")
            .fetch_all(store.reader())
            .await
            .unwrap();
    let expected: Vec<_> = addresses
        .iter()
        .map(|address| (address.to_string(), address_key(*address), address_key(*address)))
        .collect();
    assert_eq!(keys, expected);
    let host: String =
        db::query_scalar("SELECT host_key FROM alerts").fetch_one(store.reader()).await.unwrap();
    assert_eq!(host, address_key(mac.parse::<Host>().unwrap()));
}

/// A statement that would take minutes ends with its time, and the connection is whole afterwards.
#[tokio::test]
async fn a_statement_ends_with_its_time() {
    let (_dir, store) = some().await;
    let began = Instant::now();
    let endless =
        "WITH RECURSIVE t (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM t WHERE i < 100000000000)
        SELECT count(*) FROM t";
    for _ in 0..6 {
        let over = Instant::now() + Duration::from_millis(200);
        let mut tx = Tx::within(&store.read, over.into_std()).await.unwrap();
        let error = db::query_scalar::<i64>(endless).fetch_one(&mut *tx).await.unwrap_err();
        assert!(query("wait")(error).is_too_slow());
        tx.end().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..20 {
        assert_eq!(servers(&store, "", "all").await.len(), 4);
    }
}

#[tokio::test]
async fn a_search_waits_for_its_turn_no_longer_than_its_time() {
    let (_dir, store) = some().await;
    let _turns = store.searches.acquire_many(2).await.unwrap();
    let found = store.search_flows(&asked("", Entity::Flows), &Scope::All).await;
    assert!(matches!(found, Err(SearchError::TooSlow)), "{found:?}");
}
