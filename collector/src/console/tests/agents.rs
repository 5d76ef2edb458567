//! What the console says of agents: silent, turned away, with threat intelligence that is old or broken.

use super::*;
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
