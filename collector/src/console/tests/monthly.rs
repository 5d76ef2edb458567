//! The monthly report: its figures against those of the incidents' own histories, its forms, and what it tells of whom.

use serde_json::{Value, json};

use super::work::{People, walk};
use super::*;
use crate::incident::IncidentCategory;
use crate::monthly::Month;

/// This month.
fn month() -> Month {
    Month::last(now()).after()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Seconds from the opening to the first change of one of these kinds, of each incident in its history, by level.
async fn waits(people: &People, kinds: &[&str]) -> Vec<(u64, f64)> {
    let (cookie, _) = people.session(Role::Auditor);
    let list = people.bench.get("/api/v1/incidents?scope=all&limit=100", cookie).await.json();
    let mut found = Vec::new();
    for one in list["incidents"].as_array().unwrap() {
        let id = one["id"].as_str().unwrap();
        if id.starts_with("DRL-") || ["merged", "false_positive"].contains(&one["state"].as_str().unwrap()) {
            continue;
        }
        let history =
            people.bench.get(&format!("/api/v1/incidents/{id}/history?limit=100"), cookie).await.json();
        let changes = history["changes"].as_array().unwrap_or_else(|| panic!("{history}")).iter();
        let done = changes.filter(|change| kinds.contains(&change["kind"].as_str().unwrap()));
        let first = done.map(|change| time(&change["at"])).min();
        if let Some(first) = first {
            let level = one["severity"].as_u64().unwrap();
            found.push((level, first.since(time(&one["opened_at"])).as_secs_f64()));
        }
    }
    found
}

#[tokio::test]
async fn a_report_has_the_figures_of_the_histories_and_what_is_owed() {
    let people = People::of(Bench::new().await).await;
    let mut walked = Vec::new();
    for category in [IncidentCategory::DeviceLost, IncidentCategory::DeviceLost, IncidentCategory::HumanError]
    {
        walked.push(walk(&people, category).await);
    }
    let open = people.open(IncidentCategory::Ransomware).await;
    people.must(Role::Monitor, &open, json!({ "action": "acknowledge" })).await;
    let drill = people.open(IncidentCategory::DrillTest).await;
    let (cookie, _) = people.session(Role::Control);
    let path = format!("/api/v1/reports/monthly?month={}", month());
    let report = people.bench.get(&path, cookie).await.json();

    let waits = waits(&people, &["acknowledged"]).await;
    let figures = report["figures"].as_array().unwrap();
    let mut compared = 0;
    for figure in figures.iter().filter(|figure| figure["what"] == "mtta") {
        let (from, to) = (figure["from_level"].as_u64().unwrap(), figure["to_level"].as_u64().unwrap());
        let mut own: Vec<f64> =
            waits.iter().filter(|(level, _)| (from..=to).contains(level)).map(|(_, wait)| *wait).collect();
        own.sort_by(f64::total_cmp);
        assert_eq!(figure["count"].as_u64(), u64::try_from(own.len()).ok(), "{figure}");
        let Some(longest) = own.last() else { continue };
        let mean: f64 = own.iter().sum::<f64>() / f64::from(u32::try_from(own.len()).unwrap());
        assert!((figure["mean"].as_f64().unwrap() - mean).abs() < 0.01, "{figure}: {own:?}");
        assert!((figure["p95"].as_f64().unwrap() - longest).abs() < 0.01, "of fewer than twenty: {figure}");
        assert_eq!(figure["met"], true, "{figure}");
        compared += own.len();
    }
    assert_eq!(compared, 4, "{waits:?}");

    assert_eq!(
        report["counts"]["incidents"],
        report["counts"]["by_hand"].as_i64().unwrap() + seeded(&people).await
    );
    let category = |name: &str| {
        let rows = report["categories"].as_array().unwrap();
        rows.iter().find(|row| row["key"] == name).map_or(0, |row| row["count"].as_i64().unwrap())
    };
    assert_eq!((category("device_lost"), category("drill_test"), category("ransomware")), (2, 0, 1));
    assert_eq!(report["drills"][0]["incident"], drill.as_str());
    let recurrence =
        report["shares"].as_array().unwrap().iter().find(|one| one["what"] == "recurrence").unwrap();
    assert_eq!((&recurrence["count"], &recurrence["of"]), (&json!(1), &json!(3)), "the second lost device");
    let improvements = report["improvements"].as_array().unwrap();
    assert_eq!(improvements.len(), 3);
    assert!(walked.iter().all(|id| improvements.iter().any(|one| one["incident"] == id.as_str())));
    let earlier = format!("/api/v1/reports/monthly?month={}", month().before());
    assert_eq!(people.bench.get(&earlier, cookie).await.json()["counts"]["incidents"], 0);
}

/// Incidents that the bench's findings opened, live.
async fn seeded(people: &People) -> i64 {
    db::query_scalar(
        "SELECT count(*) FROM incidents WHERE mode <> 'replay' AND drill = 0 AND category <> 'drill_test'
            AND state <> 'merged' AND reason_json NOT LIKE '%intake.%'",
    )
    .fetch_one(people.bench.store.reader())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_report_prints_leaves_as_files_and_names_nobody_when_asked() {
    let people = People::of(Bench::new().await).await;
    let id = walk(&people, IncidentCategory::DeviceLost).await;
    let (cookie, _) = people.session(Role::Control);
    let own = format!("/reports/monthly?month={}", month());
    for (path, lang, words) in [
        (own.clone(), "ja", ["月次報告", "受付時間 (MTTA)", "棚卸の未実施"]),
        (
            format!("{own}&body=422011"),
            "en",
            ["Monthly report", "Time to acknowledge (MTTA)", "棚卸の未実施"],
        ),
        (format!("{own}&format=markdown"), "ja", ["# 月次報告", "TLP:AMBER", "端末・媒体紛失"]),
        (format!("{own}&format=html"), "ja", ["@page", "総括", "改善事項"]),
        (format!("{own}&format=csv&table=incidents"), "ja", ["根本原因", "棚卸の未実施", "\r\n"]),
        (format!("/api/v1{own}&format=csv&table=kpi&lang=en"), "ja", ["Figure,Level", "≤ 10.0 min", "\r\n"]),
    ] {
        let answer = people.bench.get(&path, &format!("{cookie}; sekimori-lang={lang}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        for word in words {
            assert!(answer.text.contains(word), "{path} has no {word}: {}", answer.text);
        }
    }
    let hidden = people.bench.get(&format!("/api/v1{own}&anonymous=true"), cookie).await.text;
    for word in [id.as_str(), "422011", "棚卸", "端末が見当たらない"] {
        assert!(!hidden.contains(word), "{word} in {hidden}");
    }
    assert!(hidden.contains("\"body\": \"A\""), "{hidden}");
    for (path, status) in [
        ("/reports/monthly?month=lunch", StatusCode::BAD_REQUEST),
        ("/reports/monthly?format=csv&table=users", StatusCode::BAD_REQUEST),
        ("/reports/monthly?body=999999", StatusCode::NOT_FOUND),
        ("/api/v1/reports/monthly?month=2026-13", StatusCode::BAD_REQUEST),
        ("/api/v1/reports/monthly?format=csv&table=users", StatusCode::BAD_REQUEST),
        ("/api/v1/reports/monthly?table=users", StatusCode::BAD_REQUEST),
        ("/api/v1/reports/monthly?body=999999", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(people.bench.get(path, cookie).await.status, status, "{path}");
    }
    let given: i64 = db::query_scalar("SELECT count(*) FROM audit WHERE action LIKE 'report:%'")
        .fetch_one(people.bench.store.reader())
        .await
        .unwrap();
    assert_eq!(given, 8, "of the page a table that is not there is seen only when it is written");
}
