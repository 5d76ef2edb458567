//! What the console says of agents: silent, turned away, with threat intelligence that is old or broken.

use super::*;
use crate::console::router_of;
use crate::store::db;

#[tokio::test]
async fn silent_and_turned_away_are_seen() {
    let (bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    assert!(bench.get("/agents", &cookie).await.text.contains("再生(終了)"));
    db::query("UPDATE chains SET mode = 'live'").execute(bench.store.writer()).await.unwrap();
    let agents = bench.get("/agents", &cookie).await.text;
    for part in ["取りこぼし 3 パケット", "1 日 3 時間", "12.3%", "秒前"] {
        assert!(agents.contains(part), "{part}");
    }
    let long_ago = stored(Timestamp::from_nanos(now().nanos()).minus(Duration::from_secs(91)));
    db::query("UPDATE agents SET last_seen = $1").bind(long_ago).execute(bench.store.writer()).await.unwrap();
    assert!(bench.get("/agents", &cookie).await.text.contains("途絶(90 秒以上)"));
    assert!(bench.get("/", &cookie).await.text.contains("途絶(90 秒以上)"));
    let intake = bench.get("/intake", &cookie).await.text;
    for part in [
        "192.0.2.66",
        "TLS 接続の失敗 (tls)",
        "別の履歴(分岐) (forked)",
        "refused.forked",
        "重複して届いたバッチ",
    ] {
        assert!(intake.contains(part), "{part}");
    }
}

#[tokio::test]
async fn old_and_broken_threat_intelligence_is_seen() {
    let (mut bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    for (counters, words) in [
        (vec![("intel.feeds_stale", 2), ("intel.stale_days.CERT", 12)], "期限切れの脅威情報 2 件"),
        (vec![("intel.feeds_shrunk", 1), ("intel.feeds_stale", 2)], "急減した脅威情報 1 件"),
        (vec![("intel.feeds_shrunk", 1), ("intel.reload_refused", 1)], "新しい脅威情報を適用せず"),
        (vec![("intel.files_unread", 3), ("intel.reload_refused", 1)], "読み込めない脅威情報 3 件"),
        (vec![("intel.feeds_stale", 0), ("intel.files_unread", 0)], "正常"),
    ] {
        let counters =
            counters.into_iter().map(|(name, count)| NamedCount { name: name.into(), count }).collect();
        let health = Health { counters, interfaces: Vec::new(), ..health() };
        bench.deliver(vec![Record::Health(Box::new(health))]).await;
        db::query("UPDATE chains SET mode = 'live'").execute(bench.store.writer()).await.unwrap();
        let page = bench.get("/agents", &cookie).await.text;
        assert!(page.contains(words), "{words}");
    }
}

const WAITING: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A token and an agent that asks with it; `under` is who it would follow.
async fn hold(bench: &Bench, under: &str) {
    let (at, later) = (stored(now()), stored(now().plus(Duration::from_secs(600))));
    db::query("INSERT INTO tokens (secret_hash, body, name, expires_at, created_at) VALUES ($1, '422011', $2, $3, $4)")
        .bind([7_u8; 32].as_slice())
        .bind(format!("gw{HOSTILE}"))
        .bind(later)
        .bind(at)
        .execute(bench.store.writer())
        .await
        .unwrap();
    db::query("INSERT INTO enrolments_held (token, agent, replaces, since) VALUES ($1, $2, $3, $4)")
        .bind([7_u8; 32].as_slice())
        .bind(WAITING)
        .bind(under)
        .bind(at)
        .execute(bench.store.writer())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_held_enrolment_is_confirmed_by_whom_it_concerns_and_once() {
    let bench = Bench::new().await;
    let (monitor, monitors_csrf) = bench.session("monitor").await;
    assert!(!bench.get("/agents", &monitor).await.text.contains("確認待ちの登録"));
    let known = bench.from.agent.to_string();
    hold(&bench, &known).await;
    let (cookie, csrf) = bench.session("control").await;
    let page = bench.get("/agents", &cookie).await.text;
    for part in ["確認待ちの登録", WAITING, known.as_str(), "確認する", "確認すると失効します"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains(HOSTILE), "names are escaped");
    let watching = bench.get("/agents", &monitor).await.text;
    assert!(watching.contains(WAITING) && !watching.contains("/confirm\""), "a monitor looks on");
    let path = format!("/agents/{WAITING}/confirm");
    for (path, cookie, csrf, status) in [
        (path.as_str(), "", csrf.as_str(), StatusCode::UNAUTHORIZED),
        (path.as_str(), cookie.as_str(), "wrong", StatusCode::FORBIDDEN),
        (path.as_str(), cookie.as_str(), monitors_csrf.as_str(), StatusCode::FORBIDDEN),
        (path.as_str(), monitor.as_str(), monitors_csrf.as_str(), StatusCode::FORBIDDEN),
        ("/agents/nobody/confirm", cookie.as_str(), csrf.as_str(), StatusCode::NOT_FOUND),
        (path.as_str(), cookie.as_str(), csrf.as_str(), StatusCode::SEE_OTHER),
        (path.as_str(), cookie.as_str(), csrf.as_str(), StatusCode::CONFLICT),
    ] {
        let answer = bench.post(path, cookie, &format!("csrf={csrf}")).await;
        assert_eq!(answer.status, status, "{path} {csrf}");
    }
    assert!(bench.get("/agents", &cookie).await.text.contains("確認済み"));
    let english = bench.get("/agents", &format!("{cookie}; sekimori-lang=en")).await.text;
    assert!(english.contains("Enrolments that wait") && english.contains("it has not come back yet"));
    let status = crate::status::read(&bench.store, None).await.unwrap();
    assert!(status.fleet.held[0].confirmed && status.to_string().contains(WAITING));
}

#[tokio::test]
async fn who_follows_a_swap_and_who_renews_nothing_is_seen() {
    let mut bench = Bench::new().await;
    let (cookie, _) = bench.session("auditor").await;
    let folder = tempfile::tempdir().unwrap();
    let made = crate::init::run(&crate::init::Plan {
        dir: folder.path().join("collector"),
        hosts: Vec::new(),
        ingest: SocketAddr::from(([127, 0, 0, 1], 1)),
        enroll: SocketAddr::from(([127, 0, 0, 1], 2)),
        console: SocketAddr::from(([127, 0, 0, 1], 3)),
        without_second_factor: true,
        store: None,
    })
    .await
    .unwrap();
    let config = Arc::new(crate::config::Config::load(&made.config).unwrap());
    let rules = || AccountRules { second_factor: BTreeSet::new(), ..AccountRules::default() };
    let present = || crate::fleet::trust::follow(Arc::clone(&config)).unwrap().0;
    bench.router = router_of(bench.store.clone(), Some(present()), rules());
    let quiet = bench.get("/agents", &cookie).await.text;
    assert!(!quiet.contains("認証局と受領署名鍵の交換") && !quiet.contains("更新されていない証明書"));

    crate::fleet::swap::begin(&crate::fleet::authority::Paths::of(&config.dir), now()).unwrap();
    let swapping = present();
    bench.router = router_of(bench.store.clone(), Some(swapping.clone()), rules());
    let behind = bench.get("/agents", &cookie).await.text;
    for part in ["認証局と受領署名鍵の交換", "0 エージェントが移行済み", "未移行のエージェント"]
    {
        assert!(behind.contains(part), "{part}");
    }
    db::query("UPDATE agents SET trust = $1, cert_expires_at = $2, enrolled_at = $3")
        .bind(swapping.to_follow().unwrap())
        .bind(stored(now().plus(Duration::from_secs(29 * 86_400))))
        .bind(stored(now().minus(Duration::from_secs(61 * 86_400))))
        .execute(bench.store.writer())
        .await
        .unwrap();
    let followed = bench.get("/agents", &cookie).await.text;
    for part in ["1 エージェントが移行済み", "すべて移行済みです", "更新されていない証明書"]
    {
        assert!(followed.contains(part), "{part}");
    }
    let trust = swapping.to_follow();
    let status = crate::status::read(&bench.store, trust.as_deref()).await.unwrap().to_string();
    assert!(status.contains("1 agents follow, 0 do not yet") && status.contains("NOT RENEWED"), "{status}");
}
