//! The page of an indicator: every body that saw it for who sees all, one's own for everybody else.

use super::scope::{A, B_INSIDE, Three, WIDE};
use super::*;
use crate::correlate::rule::IndicatorKind;

#[tokio::test]
async fn an_indicator_is_told_across_bodies_and_names_are_hidden_from_others() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let wide = three.incident(None, WIDE).await;
    let own = three.incident(Some(A), WIDE).await;
    let path = format!("/indicators?kind=address&value={WIDE}");
    let (soc, _) = bench.session("soc").await;
    for lang in ["ja", "en"] {
        let all = bench.get(&path, &format!("{soc}; sekimori-lang={lang}")).await;
        assert_eq!(all.status, StatusCode::OK);
        for part in ["甲市", "乙町", "丙村", &wide, &own, "/hosts?address=203.0.113.99"] {
            assert!(all.text.contains(part), "{part}: {}", all.text);
        }
        assert!(!all.text.contains("⟦") && !all.text.contains("ほかの団体の名称"));
    }
    for name in ["officer-a", "ciso-a", "auditor-a"] {
        let (cookie, _) = bench.session(name).await;
        let page = bench.get(&path, &cookie).await;
        assert_eq!(page.status, StatusCode::OK);
        scope::nothing_of(&foreign, &page.text, name);
        for part in ["甲市", &own, &wide, "ほかの団体の名称と件数は表示しません"] {
            assert!(page.text.contains(part), "{name} {part}: {}", page.text);
        }
        // What only another saw is as what nobody saw.
        let asked = |value: &str| format!("/indicators?kind=address&value={value}");
        let none = bench.get(&asked("192.0.2.77"), &cookie).await.text;
        db::query("UPDATE indicators SET value = '192.0.2.78' WHERE body = '422029'")
            .execute(bench.store.writer())
            .await
            .unwrap();
        let other = bench.get(&asked("192.0.2.78"), &cookie).await.text;
        assert_eq!(other.replace("192.0.2.78", "192.0.2.77"), none);
        db::query("UPDATE indicators SET value = $1 WHERE value = '192.0.2.78'")
            .bind(WIDE)
            .execute(bench.store.writer())
            .await
            .unwrap();
        let inside = bench.get(&asked(B_INSIDE), &cookie).await.text;
        assert!(inside.contains("担当する範囲では見られていません") && !inside.contains("/incidents/INC"));
    }
    // The incident leads there; who looked is written down.
    let incident = bench.get(&format!("/incidents/{own}"), &soc).await.text;
    assert!(incident.contains("/indicators?kind=address&#38;value=203.0.113.99"), "{incident}");
    let lines: Vec<String> = db::query_scalar(
        "SELECT reason FROM audit WHERE action = 'search:indicator' AND actor = 'officer-a'",
    )
    .fetch_all(bench.store.reader())
    .await
    .unwrap();
    assert_eq!(lines[0], "address 203.0.113.99");
}

#[tokio::test]
async fn what_is_no_indicator_is_said_and_shown_harmless() {
    let bench = Bench::new().await;
    let (cookie, _) = bench.session("monitor").await;
    for query in
        ["kind=address&value=x", "kind=file&value=12", "kind=nope&value=%3Cb%3E", "kind=domain&value=."]
    {
        let answer = bench.get(&format!("/indicators?{query}"), &cookie).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text.contains("aria-invalid") && !answer.text.contains("<b>"), "{query}");
    }
    assert_eq!(bench.get("/indicators", &cookie).await.status, StatusCode::OK);
    let hostile = "/indicators?kind=domain&value=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE";
    let answer = bench.get(hostile, &cookie).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
}

#[test]
fn values_are_written_as_correlation_writes_them() {
    let hash = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    let other = "A".repeat(64);
    for (kind, written, normal) in [
        (IndicatorKind::Address, " 2001:DB8:0::1 ", Some("2001:db8::1")),
        (IndicatorKind::Address, "192.0.2.0/24", None),
        (IndicatorKind::Domain, "Bad.Example.", Some("bad.example")),
        (IndicatorKind::Domain, "", None),
        (
            IndicatorKind::Ja4,
            "t13d1516h2_8daaf6152771_b186095e22b6",
            Some("t13d1516h2_8daaf6152771_b186095e22b6"),
        ),
        (IndicatorKind::Ja4, " ", None),
        (IndicatorKind::File, hash, None),
        (IndicatorKind::Certificate, &other, Some(&"a".repeat(64))),
        (IndicatorKind::File, "abc", None),
    ] {
        assert_eq!(kind.normal(written).as_deref(), normal, "{kind:?} {written}");
    }
    assert_eq!(IndicatorKind::Domain.normal(&"a".repeat(300)), None);
}
