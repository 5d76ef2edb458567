//! The page of an address: what is counted is what was delivered, of the bodies that are seen, and who looks is written down.

use super::scope::{A, A_INSIDE, B, B_INSIDE, Three, WIDE};
use super::*;

/// The cells of the rows of a page's tables, without their tags.
fn cells(text: &str) -> Vec<Vec<String>> {
    let plain = |cell: &str| {
        let mut out = String::new();
        let mut inside = false;
        for ch in cell.chars() {
            match ch {
                '<' => inside = true,
                '>' => inside = false,
                ch if !inside => out.push(ch),
                _ => {}
            }
        }
        out.trim().to_owned()
    };
    let rows = text.split("<tr").skip(1).map(|row| row.split("</tr>").next().unwrap());
    rows.map(|row| row.split("<td").skip(1).map(|cell| plain(&format!("<td{cell}"))).collect()).collect()
}

#[tokio::test]
async fn an_address_is_told_with_findings_flows_names_and_incidents() {
    let (mut bench, incident) = Bench::filled().await;
    let old = Finding {
        time: now().minus(Duration::from_secs(3 * 86_400)),
        responder: "192.0.2.10".parse().ok(),
        originator: None,
        category: Category::FloodSyn,
        ..finding(9)
    };
    bench.deliver(vec![Record::Finding(Box::new(old))]).await;
    let (cookie, _) = bench.session("monitor").await;
    for lang in ["ja", "en"] {
        let cookie = format!("{cookie}; sekimori-lang={lang}");
        let page = bench.get("/hosts?address=192.0.2.10", &cookie).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let side = if lang == "ja" { "応答側" } else { "Responder" };
        let rows = cells(&page.text);
        let row = |first: &str| rows.iter().find(|row| row.first().is_some_and(|cell| cell == first));
        for category in ["scan.port", "flood.syn"] {
            let row = row(category).unwrap_or_else(|| panic!("{category}: {rows:?}"));
            assert_eq!((row[1].as_str(), row[3].as_str(), row[4].as_str()), (side, "1", "0"));
        }
        // One flow: the other side sent 4,036 bytes, this one 60.
        let totals = rows.iter().find(|row| row.len() == 5 && row[0] == side && row[1] == "1").unwrap();
        assert_eq!(totals[2..], ["1", "60 B", "3.9 KiB"]);
        assert!(page.text.contains("TCP/22") || page.text.contains("tcp/22"), "{}", page.text);
        assert!(page.text.contains(&format!("/incidents/{incident}")));
        assert!(page.text.contains("class=\"bars\" role=\"img\" aria-label="));
        for bad in ["<script>alert", "\u{202e}", "⟦", " style="] {
            assert!(!page.text.contains(bad), "{bad:?}");
        }
        // The server's name that somebody asked for, and that of the endpoint product, are hostile and harmless.
        assert!(page.text.contains("&#60;script&#62;alert(1)"));
        let endpoint = bench.get("/hosts?address=192.0.2.20&from=-1h", &cookie).await.text;
        let by =
            if lang == "ja" { "端末製品による名前" } else { "so called by an endpoint product" };
        assert!(endpoint.contains(by) && endpoint.contains("malware"), "{endpoint}");
    }
    let page = bench.get(&format!("/incidents/{incident}"), &cookie).await.text;
    assert!(page.contains("/hosts?address=198.51.100.7&#38;body=422011"), "an incident leads to the address");
    let found = bench.get("/search?kind=flows&q=", &cookie).await.text;
    assert!(found.contains("/hosts?address=192.0.2.10&#38;body=422011"), "a search leads to the address");
}

#[tokio::test]
async fn flows_are_of_the_time_that_is_asked_for() {
    let (bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let none = bench.get("/hosts?address=192.0.2.10&from=-10d&to=-1d", &cookie).await;
    assert_eq!(none.status, StatusCode::OK);
    assert!(!none.text.contains("3.9 KiB") && none.text.contains("scan.port"), "{}", none.text);
}

#[tokio::test]
async fn what_is_no_address_is_said_and_who_looks_is_written_down() {
    let (bench, _) = Bench::filled().await;
    let (cookie, _) = bench.session("monitor").await;
    let lines = async || {
        let lines: Vec<(String, String, String)> =
            db::query_as("SELECT actor, action, reason FROM audit ORDER BY seq")
                .fetch_all(bench.store.reader())
                .await
                .unwrap();
        lines
    };
    for (query, words) in [
        ("address=%3Cb%3E", "アドレスは"),
        ("address=192.0.2.0/24", "アドレスは"),
        ("address=192.0.2.10&body=422012", "団体コードは"),
        ("address=192.0.2.10&from=soon", "「いつから」は"),
        ("address=192.0.2.10&to=soon", "「いつまで」は"),
    ] {
        let answer = bench.get(&format!("/hosts?{query}"), &cookie).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.text.contains(words) && !answer.text.contains("<b>"), "{query}: {}", answer.text);
    }
    assert_eq!(bench.get("/hosts", &cookie).await.status, StatusCode::OK);
    assert_eq!(lines().await, [], "nothing was shown of anybody");
    bench.get("/hosts?address=2001:DB8::1&body=422011&to=-1h", &cookie).await;
    let line = ("monitor", "search:host", "2001:db8::1 body=422011 from=-24h to=-1h");
    assert_eq!(lines().await, [(line.0.to_owned(), line.1.to_owned(), line.2.to_owned())]);
    assert!(bench.store.verify_audit().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn an_address_tells_a_bodys_user_nothing_of_another() {
    let three = Three::new().await;
    let (bench, foreign) = (&three.bench, three.foreign());
    let wide = three.incident(None, WIDE).await;
    for name in ["officer-a", "ciso-a", "auditor-a"] {
        let (cookie, _) = bench.session(name).await;
        let ask = async |query: &str| bench.get(&format!("/hosts?address={query}"), &cookie).await;
        // Seen in all three: their own part of it.
        let shared = ask(WIDE).await;
        assert_eq!(shared.status, StatusCode::OK);
        scope::nothing_of(&foreign, &shared.text, name);
        assert!(shared.text.contains(&wide) && shared.text.contains(A), "{}", shared.text);
        let rows = cells(&shared.text);
        assert!(rows.iter().any(|row| row.len() == 2 && row[1] == "1"), "one body, one finding: {rows:?}");
        // Another's: as one that was never seen.
        for query in [B_INSIDE.to_owned(), format!("{WIDE}&body={B}"), format!("{B_INSIDE}&body={B}")] {
            let other = ask(&query).await;
            assert_eq!(other.status, StatusCode::OK, "{query}");
            let asked: Vec<String> =
                foreign.iter().filter(|one| !query.contains(one.as_str())).cloned().collect();
            scope::nothing_of(&asked, &other.text, &query);
            assert!(!other.text.contains("/incidents/INC") && !other.text.contains("<td"), "{query}");
        }
        let own = ask(A_INSIDE).await.text;
        assert!(own.contains("組織内用のアドレス") && own.contains("scan.port"));
    }
    let (cookie, _) = bench.session("soc").await;
    let all = bench.get(&format!("/hosts?address={WIDE}"), &cookie).await.text;
    for part in ["甲市", "乙町", "丙村", &wide] {
        assert!(all.contains(part), "{part}");
    }
    let one = bench.get(&format!("/hosts?address={WIDE}&body={B}"), &cookie).await.text;
    assert!(one.contains("乙町") && !one.contains("甲市") && !one.contains("組織内用"));
}

#[tokio::test]
async fn flows_alerts_and_names_of_another_body_are_not_counted() {
    let mut three = Three::new().await;
    // The last of the three delivers: what only its body saw of an address that all of them know.
    let flow = FlowSummary {
        originator: format!("{WIDE}:40000").parse().unwrap(),
        responder: "10.3.3.3:22".parse().unwrap(),
        ..flow()
    };
    let back = FlowSummary { originator: flow.responder, responder: flow.originator, ..flow.clone() };
    let named = FlowSummary { server_name: "only-there.example".into(), ..back };
    let alert = EndpointAlert { host: WIDE.parse().ok(), host_name: "PC-THERE".into(), ..alert() };
    let summary = Summary { flows: vec![flow, named], ..Summary::default() };
    let records = vec![Record::Summary(Box::new(summary)), Record::EndpointAlert(Box::new(alert))];
    three.bench.deliver(records).await;
    let bench = &three.bench;
    let path = format!("/hosts?address={WIDE}");
    let there = ["only-there.example", "PC-THERE", "3.9 KiB", "malware"];
    let (soc, _) = bench.session("soc").await;
    let all = bench.get(&path, &soc).await.text;
    for part in there {
        assert!(all.contains(part), "{part}: {all}");
    }
    let (officer, _) = bench.session("officer-a").await;
    for text in
        [bench.get(&path, &officer).await.text, bench.get(&format!("{path}&body={A}"), &soc).await.text]
    {
        for part in there {
            assert!(!text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("scan.port"), "their own finding is there");
    }
}
