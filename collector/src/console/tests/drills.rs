//! Drills, by the pages: who may begin one, what players see of it, what is there when it is over.

use super::work::People;
use super::*;

#[tokio::test]
async fn a_drill_is_begun_shown_ended_and_reported() {
    let people = People::of(Bench::new().await).await;
    let bench = &people.bench;
    for role in Role::ALL {
        let (cookie, csrf) = people.session(*role);
        let page = bench.get("/drills", cookie).await;
        assert_eq!(page.status, StatusCode::OK, "{role}");
        let may = matches!(role, Role::Control | Role::PrefCsirt);
        assert_eq!(page.text.contains("name=\"scenario\""), may, "{role}");
        if !may {
            let form = format!("csrf={csrf}&scenario=lost_device&body=422011");
            assert_eq!(bench.post("/drills", cookie, &form).await.status, StatusCode::FORBIDDEN, "{role}");
        }
    }
    let (cookie, csrf) = people.session(Role::Control);
    for (form, status) in [
        ("csrf=x&scenario=lost_device&body=422011".to_owned(), StatusCode::FORBIDDEN),
        (format!("csrf={csrf}&scenario=nothing&body=422011"), StatusCode::BAD_REQUEST),
        (format!("csrf={csrf}&scenario=lost_device"), StatusCode::UNPROCESSABLE_ENTITY),
        (format!("csrf={csrf}&scenario=lost_device&body=422011"), StatusCode::SEE_OTHER),
    ] {
        assert_eq!(bench.post("/drills", cookie, &form).await.status, status, "{form}");
    }
    assert_eq!(bench.store.drill_tick(now()).await.unwrap(), 1, "the call");
    let runs = bench.get("/drills/1", cookie).await.text;
    assert!(
        runs.contains("【訓練】") && runs.contains("DRL-422011-") && runs.contains("期待される対応"),
        "{runs}"
    );
    let (player, player_csrf) = people.session(Role::Monitor);
    let seen = bench.get("/drills/1", player).await.text;
    assert!(seen.contains("DRL-422011-") && !seen.contains("役割別の採点"), "{seen}");
    assert_eq!(bench.get("/drills/1?format=html", player).await.status, StatusCode::FORBIDDEN);
    let end = format!("csrf={player_csrf}");
    assert_eq!(bench.post("/drills/1/end", player, &end).await.status, StatusCode::FORBIDDEN);

    let end = format!("csrf={csrf}");
    assert_eq!(bench.post("/drills/1/end", cookie, &end).await.status, StatusCode::SEE_OTHER);
    assert_eq!(bench.post("/drills/1/end", cookie, &end).await.status, StatusCode::NOT_FOUND);
    for (lang, word) in [("ja", "改善事項"), ("en", "What to improve")] {
        for format in ["", "?format=markdown", "?format=html"] {
            let answer =
                bench.get(&format!("/drills/1{format}"), &format!("{player}; sekimori-lang={lang}")).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.text.contains(word) && !answer.text.contains('⟦'), "{}", answer.text);
        }
    }
    assert_eq!(bench.get("/drills/x", cookie).await.status, StatusCode::NOT_FOUND);
}
