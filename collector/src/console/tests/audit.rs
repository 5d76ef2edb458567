//! The page of the audit log: who may read it, what they read of it, page by page, and what it says of a chain that was touched.

use super::scope::{A, A_INSIDE, B, B_INSIDE, Three};
use super::*;
use crate::audit::Entry;
use crate::store::seen::AUDIT_ROWS;

async fn told(store: &Store, actor: &str, action: &str, incident: &str, reason: &str) {
    let entry = Entry {
        at: now(),
        actor: actor.to_owned(),
        role: "monitor".to_owned(),
        action: action.to_owned(),
        incident: incident.to_owned(),
        reason: reason.to_owned(),
        ..Entry::default()
    };
    store.audit(entry).await.unwrap();
}

/// The numbers of the lines that are shown.
fn shown(text: &str) -> Vec<i64> {
    let rows = text.split("<tr><td class=\"num\">").skip(1);
    rows.map(|row| row.split('<').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn lines_are_filtered_by_person_kind_incident_and_time() {
    let (bench, incident) = Bench::filled().await;
    let store = &bench.store;
    told(store, "甲野", "triage", &incident, HOSTILE).await;
    told(store, "甲野", "search:flows", "", "port:1").await;
    told(store, "乙山", "account.create", "", "{}").await;
    told(store, "乙山", "sign_in.in", "", "{}").await;
    told(store, "乙山", "restore", "", "x").await;
    told(store, "乙山", "export:csv", &incident, "x").await;
    let (cookie, _) = bench.session("auditor").await;
    let ask = async |query: &str| bench.get(&format!("/audit?{query}"), &cookie).await;
    // What is asked here writes lines of its own: they are this auditor's.
    let own = |text: &str| shown(text).into_iter().filter(|seq| *seq <= 6).collect::<Vec<_>>();
    for (query, lines) in [
        ("", vec![6, 5, 4, 3, 2, 1]),
        ("actor=%E7%94%B2%E9%87%8E", vec![2, 1]),
        ("kind=incident", vec![1]),
        ("kind=look", vec![6, 2]),
        ("kind=account", vec![3]),
        ("kind=sign_in", vec![4]),
        ("kind=other", vec![5]),
        (&format!("incident={incident}"), vec![6, 1]),
        ("from=-1h&kind=account", vec![3]),
        ("to=-1h", vec![]),
        ("before=3", vec![2, 1]),
    ] {
        let page = ask(query).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert_eq!(own(&page.text), lines, "{query}");
        for bad in ["<script>alert", "\u{202e}", "⟦"] {
            assert!(!page.text.contains(bad), "{query} {bad:?}");
        }
    }
    let english = bench.get("/audit?kind=incident", &format!("{cookie}; sekimori-lang=en")).await.text;
    assert!(english.contains("Audit log") && english.contains("&#60;script&#62;alert(1)"));
    for query in ["kind=nope", "before=x", "from=soon", "to=soon"] {
        assert_eq!(ask(query).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let read = ask("actor=auditor&kind=look").await.text;
    assert!(read.contains("audit:read") && read.contains("actor=甲野"), "{read}");
}

#[tokio::test]
async fn every_line_is_on_one_page_and_only_one() {
    let bench = Bench::new().await;
    let many = i64::try_from(AUDIT_ROWS).unwrap() * 2 + 7;
    for n in 0..many {
        told(&bench.store, "甲野", "triage", "", &n.to_string()).await;
    }
    let (cookie, _) = bench.session("auditor").await;
    let (mut path, mut seen, mut pages) = ("/audit?actor=%E7%94%B2%E9%87%8E".to_owned(), Vec::new(), 0);
    loop {
        let page = bench.get(&path, &cookie).await.text;
        seen.extend(shown(&page));
        pages += 1;
        let Some((_, next)) = page.split_once("rel=\"next\" href=\"") else { break };
        path = next.split('"').next().unwrap().replace("&#38;", "&");
    }
    assert_eq!((pages, seen), (3, (1..=many).rev().collect::<Vec<_>>()));
}

#[tokio::test]
async fn the_chain_is_checked_and_a_touched_line_is_named() {
    let (bench, _) = Bench::filled().await;
    for n in 0..5 {
        told(&bench.store, "甲野", "triage", "", &n.to_string()).await;
    }
    let (cookie, _) = bench.session("auditor").await;
    let unasked = bench.get("/audit", &cookie).await.text;
    assert!(!unasked.contains("連鎖の状態") && unasked.contains("check=yes"));
    // Two more: the pages that were read.
    let good = bench.get("/audit?check=yes", &cookie).await.text;
    assert!(good.contains("✓ 7 行すべてが"), "{good}");
    db::query("UPDATE audit SET actor = '丙川' WHERE seq = 3").execute(bench.store.writer()).await.unwrap();
    let bad = bench.get("/audit?check=yes", &cookie).await.text;
    assert!(
        bad.contains("✕ 連鎖が壊れています") && bad.contains("line 3 of the audit log was changed"),
        "{bad}"
    );
}

#[tokio::test]
async fn who_may_read_it_reads_their_own_bodies() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let (own, other) = (three.incident(Some(A), A_INSIDE).await, three.incident(Some(B), B_INSIDE).await);
    told(&bench.store, "甲野", "triage", &own, "甲市のこと").await;
    told(&bench.store, "甲野", "triage", &other, "乙町のこと").await;
    told(&bench.store, "甲野", "search:flows", "", "address:10.2.2.2").await;
    for name in ["soc", "officer-a", "ciso-a", "auditor-a", "monitor", "auditor", "control"] {
        let (cookie, _) = bench.session(name).await;
        let page = bench.get("/audit", &cookie).await;
        let may = ["soc", "auditor-a", "auditor", "control"].contains(&name);
        assert_eq!(page.status, if may { StatusCode::OK } else { StatusCode::NOT_FOUND }, "{name}");
        let linked = bench.get("/", &cookie).await.text.contains("href=\"/audit\"");
        assert_eq!(linked, may, "{name}: the navigation leads there");
        if name == "auditor-a" {
            scope::nothing_of(&foreign, &page.text, name);
            assert!(page.text.contains("甲市のこと") && shown(&page.text).len() == 1, "{}", page.text);
            let forced = bench.get(&format!("/audit?incident={other}&check=yes"), &cookie).await;
            assert!(shown(&forced.text).is_empty() && !forced.text.contains("連鎖の状態"));
        } else if may {
            assert!(page.text.contains("乙町のこと") && page.text.contains("10.2.2.2"), "{name}");
        }
    }
}
