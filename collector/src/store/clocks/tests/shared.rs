//! A body is told that an extract was made for it, once, and not by whose.

use super::*;
use crate::store::conformance::each;

const OTHERS: &str =
    "[[contact]]\nname = \"otsu\"\nroles = [\"body_officer\"]\nbodies = [\"422029\"]\nsyslog = \"monitor\"\n";

async fn share(store: &Store, n: i64, recipient: &str, to: Option<&str>, at: Timestamp) {
    db::query(
        "INSERT INTO grants (incident, n, kind, what, asked_by, granted_by, at, reason, tlp, to_body, digest, document)
         VALUES ($1, $2, 'share', $3, 'control', 'ciso', $4, '同種攻撃', 'GREEN', $5, $6, '{}')",
    )
    .bind(ID)
    .bind(n)
    .bind(recipient)
    .bind(stored(at))
    .bind(to)
    .bind(format!("{n:064x}"))
    .execute(store.writer())
    .await
    .unwrap();
    changed(store, ID, "moved", at).await;
}

/// Key, body, contact, subject and text, given up.
async fn told(store: &Store) -> Vec<(String, String, String, String, bool)> {
    let rows: Vec<(String, String, String, String, Option<i64>)> = db::query_as(
        "SELECT key, body, contact, subject || text, dead_at FROM notices WHERE kind = 'shared' ORDER BY key",
    )
    .fetch_all(store.reader())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(key, body, contact, text, dead)| (key, body, contact, text, dead.is_some()))
        .collect()
}

#[tokio::test]
async fn a_body_is_told_once_that_an_extract_is_for_it_and_not_of_whose_incident() {
    for (_dir, place, store) in each().await {
        let bench = bench().await;
        let address = bench.sink.local_addr().unwrap().to_string();
        let settings = Arc::new(settings(&address, OTHERS));
        let clocks = Clocks { store, settings, ..bench.one.clone() };
        let second = Clocks { store: Store::open(&place).await.unwrap(), ..clocks.clone() };
        let store = &clocks.store;
        for (code, name) in [("422011", "甲市"), ("422029", "乙町"), ("422037", "丙村")] {
            db::query("INSERT INTO bodies (code, name) VALUES ($1, $2)")
                .bind(code)
                .bind(name)
                .execute(store.writer())
                .await
                .unwrap();
        }
        open(store, ID, 3, "live").await;
        share(store, 1, "422029", Some("422029"), after(10)).await;
        let (one, two) = tokio::join!(clocks.look(after(11)), second.look(after(11)));
        one.unwrap();
        two.unwrap();
        let first = told(store).await;
        assert_eq!(first.len(), 1, "{place} {first:?}");
        let (key, body, contact, text, dead) = &first[0];
        assert_eq!((body.as_str(), contact.as_str(), *dead), ("422029", "otsu", false), "{place}");
        for part in ["422029", "TLP:GREEN", "https://soc.example.jp/shared"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in ["422011", "甲市", "203.0.113.7"] {
            assert!(!text.contains(part) && !key.contains(part), "{part}: {text}");
        }
        // The incident goes on: nothing more is told of that extract.
        changed(store, ID, "moved", after(20)).await;
        clocks.look(after(21)).await.unwrap();
        assert_eq!(told(store).await, first, "{place}");
        // To all: those that name somebody of their own; not the body that it comes from.
        share(store, 2, "community", None, after(30)).await;
        clocks.look(after(31)).await.unwrap();
        let bodies: Vec<_> =
            told(store).await.into_iter().map(|(_, body, contact, ..)| (body, contact)).collect();
        let otsu = ("422029".to_owned(), "otsu".to_owned());
        assert_eq!(bodies, [otsu.clone(), otsu], "{place}");
        // What lies outside gets a file, and no notice; what was made long ago is no news.
        share(store, 3, "JPCERT/CC", None, after(40)).await;
        share(store, 4, "422029", Some("422029"), opened().minus(Duration::from_secs(9 * 86_400))).await;
        clocks.look(after(41)).await.unwrap();
        assert_eq!(told(store).await.len(), 2, "{place}");
    }
}

#[tokio::test]
async fn an_extract_for_a_body_that_names_nobody_is_a_dead_letter() {
    let mut bench = bench().await;
    bench.one = on_any_store(&bench.one, &bench.dir).await;
    let address = bench.sink.local_addr().unwrap().to_string();
    let text =
        format!("[[syslog]]\nname = \"monitor\"\naddress = \"{address}\"\ntransport = \"udp\"\n{OTHERS}");
    let settings = Settings::parse(&Text { file: "n".to_owned(), text }, Path::new(".")).unwrap();
    let clocks = Clocks { settings: Arc::new(settings), ..bench.one.clone() };
    open(&clocks.store, ID, 3, "live").await;
    share(&clocks.store, 1, "422037", Some("422037"), after(10)).await;
    clocks.look(after(11)).await.unwrap();
    let told = told(&clocks.store).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].1.as_str(), told[0].2.as_str(), told[0].4), ("422037", "", true));
}
