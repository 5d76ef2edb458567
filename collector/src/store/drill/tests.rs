//! Drills on a store: each thing given once, apart from what is real, and scored by what people did.

use super::*;
use crate::drill::scenario::load;
use crate::drill::score::Verdict;
use crate::incident::action::Action;
use crate::incident::permission::Part;
use crate::incident::transition::{Actor, Asked, Bodies};
use crate::store::testing;

const BODY: &str = "422011";

async fn bench() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = testing::store(&dir.path().join("s.db")).await;
    for body in [BODY, "422029"] {
        db::query("INSERT INTO bodies (code, name) VALUES ($1, 'x')")
            .bind(body)
            .execute(store.writer())
            .await
            .unwrap();
    }
    (dir, store)
}

fn by() -> By {
    By { actor: "tanaka".to_owned(), role: "control".to_owned() }
}

fn began() -> Timestamp {
    Timestamp::from_nanos(1_800_000_000_000_000_000)
}

async fn start(store: &Store, scenario: &str) -> i64 {
    let scenario = load(scenario).unwrap();
    let seen = store.seen_in(&Scope::All);
    seen.start_drill(&scenario, &[BODY.to_owned()], &by(), began()).await.unwrap()
}

async fn drill(store: &Store, id: i64, minutes: u32) -> Drill {
    store.seen_in(&Scope::All).drill(id, minute(began(), minutes)).await.unwrap().unwrap()
}

async fn number(store: &Store, sql: &'static str) -> i64 {
    db::query_scalar(sql).fetch_one(store.reader()).await.unwrap()
}

#[tokio::test]
async fn the_clock_gives_each_thing_once_whoever_asks() {
    let (_dir, store) = bench().await;
    let id = start(&store, "lost_device").await;
    assert_eq!(store.drill_tick(began()).await.unwrap(), 1, "the call");
    assert_eq!(store.drill_tick(began()).await.unwrap(), 0);
    // Two collectors at the same moment.
    let at = minute(began(), 20);
    let (one, other) = tokio::join!(store.drill_tick(at), store.drill_tick(at));
    assert_eq!(one.unwrap() + other.unwrap(), 2, "two cards were due, and are given once");
    let found = drill(&store, id, 20).await;
    let kinds: Vec<Kind> = found.given.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Report, Kind::Inject, Kind::Inject]);
    let incident = found.incidents()[0];
    assert!(incident.starts_with("DRL-422011-"), "{incident}");
    assert_eq!(number(&store, "SELECT count(*) FROM incidents WHERE drill = 0").await, 0);
    let title =
        "SELECT count(*) FROM incidents WHERE title_ja LIKE '【訓練】%' AND title_en LIKE '【訓練】A work%'";
    assert_eq!(number(&store, title).await, 1);
    assert_eq!(number(&store, "SELECT count(*) FROM incident_notes WHERE author = 'drill'").await, 2);
}

#[tokio::test]
async fn a_drill_is_scored_by_what_was_done_and_the_score_stays() {
    let (_dir, store) = bench().await;
    let id = start(&store, "lost_device").await;
    store.drill_tick(began()).await.unwrap();
    let incident = drill(&store, id, 0).await.incidents()[0].to_owned();
    let actor = Actor { name: "suzuki".to_owned(), role: Part::Person(Role::Reception), bodies: Bodies::All };
    let asked = Asked { version: 1, action: Action::Acknowledge };
    let acted = store.act(&incident, &actor, &asked, minute(began(), 9)).await.unwrap();
    assert!(matches!(acted, crate::store::work::Acted::Done(_)), "{acted:?}");
    let line = drill(&store, id, 10).await.score.lines[0].clone();
    assert_eq!((line.verdict, line.by.as_deref()), (Verdict::Met, Some("suzuki")));
    assert_eq!(drill(&store, id, 10).await.score.lines[1].verdict, Verdict::Open);

    // Its time is up: the clock ends it, and what it came to is kept.
    store.drill_tick(minute(began(), 95)).await.unwrap();
    let over = drill(&store, id, 95).await;
    assert_eq!((over.ended_at, over.ended_by.as_deref()), (Some(minute(began(), 90)), Some("system")));
    assert_eq!(over.score.lines.iter().filter(|line| line.verdict == Verdict::Missed).count(), 7);
    db::query("DELETE FROM incident_changes").execute(store.writer()).await.unwrap();
    assert_eq!(drill(&store, id, 200).await.score, over.score);
    assert!(!store.seen_in(&Scope::All).end_drill(id, &by(), minute(began(), 96)).await.unwrap());
    assert_eq!(number(&store, "SELECT count(*) FROM audit WHERE action LIKE 'drill:%'").await, 2);
    for lang in [crate::i18n::Lang::Ja, crate::i18n::Lang::En] {
        let text = over.doc(lang).markdown();
        assert!(text.contains("【訓練】") && text.contains("TLP:GREEN") && !text.contains('⟦'), "{text}");
    }
}

#[tokio::test]
async fn a_drill_needs_its_bodies_and_shows_itself_to_whom_they_belong() {
    let (_dir, store) = bench().await;
    let scenario = load("lost_device").unwrap();
    let seen = store.seen_in(&Scope::All);
    for bodies in [vec![], vec![BODY, "422029"], vec!["999999"]] {
        let bodies: Vec<String> = bodies.into_iter().map(str::to_owned).collect();
        let refused = seen.start_drill(&scenario, &bodies, &by(), began()).await;
        assert!(
            matches!(refused, Err(StartError::Bodies { .. } | StartError::UnknownBody(_))),
            "{bodies:?}: {refused:?}"
        );
    }
    let other = Scope::parse("422029").unwrap();
    let own = [BODY.to_owned()];
    let refused = store.seen_in(&other).start_drill(&scenario, &own, &by(), began()).await;
    assert!(matches!(refused, Err(StartError::UnknownBody(_))), "{refused:?}");
    let id = start(&store, "lost_device").await;
    let other = store.seen_in(&other);
    assert!(other.drill(id, began()).await.unwrap().is_none());
    assert!(other.drills(began()).await.unwrap().is_empty());
    assert!(!other.end_drill(id, &by(), began()).await.unwrap());
    for _ in 1..RUNNING_MAX {
        start(&store, "lost_device").await;
    }
    let one_more = seen.start_drill(&scenario, &own, &by(), began()).await;
    assert!(matches!(one_more, Err(StartError::Busy)), "{one_more:?}");
}

#[tokio::test]
async fn what_sensors_would_find_opens_a_drill_incident_and_no_finding() {
    let (_dir, store) = bench().await;
    let id = start(&store, "ransomware").await;
    store.drill_tick(minute(began(), 1_000)).await.unwrap();
    let over = drill(&store, id, 1_000).await;
    assert!(over.is_over() && over.given.iter().any(|one| one.kind == Kind::Capture));
    assert!(over.incidents().iter().all(|one| one.starts_with("DRL-")));
    assert_eq!(number(&store, "SELECT count(*) FROM findings").await, 0);
}
