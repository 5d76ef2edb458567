//! Queries as people write them, what they become, and what is said of those that are none.

use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-22T03:00:00Z".parse().unwrap()
}

fn sql(text: &str, entity: Entity) -> (String, Vec<Param>) {
    let found = Query::parse(text, entity, now()).unwrap().condition(1);
    (found.sql, found.params)
}

fn nanos(text: &str) -> i64 {
    i64::try_from(text.parse::<Timestamp>().unwrap().nanos()).unwrap()
}

fn key(address: &str) -> String {
    address_key(address.parse::<Host>().unwrap())
}

fn error(text: &str) -> String {
    Query::parse(text, Entity::Flows, now()).unwrap_err().to_string()
}

use Param::{Int, Text};

#[test]
fn an_empty_query_matches_everything() {
    for text in ["", "   ", "　"] {
        let query = Query::parse(text, Entity::Incidents, now()).unwrap();
        assert!(query.is_empty());
        assert_eq!(query.condition(1), Condition { sql: "TRUE".to_owned(), params: vec![] });
    }
}

#[test]
fn conditions_become_parameters() {
    let text = |text: &str| Text(text.to_owned());
    for (query, wanted, params) in [
        ("port:443", "(w.responder_port = $1)", vec![Int(443)]),
        ("port:80,443", "(w.responder_port = $1 OR w.responder_port = $2)", vec![Int(80), Int(443)]),
        ("port:1..1024", "((w.responder_port >= $1 AND w.responder_port <= $2))", vec![Int(1), Int(1024)]),
        ("bytes>10M", "(((w.originator_bytes + w.responder_bytes) >= $1))", vec![Int(10_000_001)]),
        ("bytes_out<=64Ki", "((w.originator_bytes <= $1))", vec![Int(65_536)]),
        ("bytes_in:>=2", "((w.responder_bytes >= $1))", vec![Int(2)]),
        ("src:::1", "((w.originator_key = $1))", vec![text(&key("::1"))]),
        (
            "ip:10.0.0.0/8",
            "((w.originator_key BETWEEN $1 AND $2 OR w.responder_key BETWEEN $3 AND $4))",
            vec![text("40a000000"), text("40affffff"), text("40a000000"), text("40affffff")],
        ),
        ("src:02:00:5e:10:00:FF", "((w.originator_key = $1))", vec![text("m02005e1000ff")]),
        ("host:*", "(w.originator_key <> '' OR w.responder_key <> '')", vec![]),
        ("bytes_in>=1.5k", "((w.responder_bytes >= $1))", vec![Int(1500)]),
        ("-protocol:udp", "NOT coalesce((w.protocol = $1), FALSE)", vec![Int(17)]),
        ("proto!=TCP", "NOT coalesce((w.protocol = $1), FALSE)", vec![Int(6)]),
        ("server:*.Example.jp", "(lower(w.server_name) LIKE $1 ESCAPE '!')", vec![text("%.example.jp")]),
        ("server:\"100%_!*\"", "(lower(w.server_name) LIKE $1 ESCAPE '!')", vec![text("100!%!_!!*")]),
        ("server~jp", "(lower(w.server_name) LIKE $1 ESCAPE '!')", vec![text("%jp%")]),
        ("ja4:*", "(w.ja4 IS NOT NULL AND w.ja4 <> '')", vec![]),
        ("送信元：192.0.2.7", "((w.originator_key = $1))", vec![text("4c0000207")]),
        ("src:::ffff:192.0.2.7", "((w.originator_key = $1))", vec![text("4c0000207")]),
        ("dst:2001:DB8:0::1", "((w.responder_key = $1))", vec![text(&key("2001:db8::1"))]),
        (
            "(port:53 or port:853) -app:dns",
            "((w.responder_port = $1) OR (w.responder_port = $2)) AND \
             NOT coalesce((lower(w.application) LIKE $3 ESCAPE '!'), FALSE)",
            vec![Int(53), Int(853), text("dns")],
        ),
    ] {
        let found = sql(query, Entity::Flows);
        let wanted = if wanted.contains(") AND NOT") { format!("({wanted})") } else { wanted.to_owned() };
        assert_eq!(found, (wanted, params), "{query}");
    }
}

#[test]
fn prefixes_and_ranges_of_addresses_are_ranges_of_keys() {
    let key = |address: &str| Text(key(address));
    for (query, low, high) in [
        ("10.1.0.0/16", "10.1.0.0", "10.1.255.255"),
        ("10.1.2.3/12", "10.0.0.0", "10.15.255.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("::ffff:192.0.2.0/120", "192.0.2.0", "192.0.2.255"),
        ("192.0.2.1/31", "192.0.2.0", "192.0.2.1"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"),
        ("192.0.2.1-192.0.2.9", "192.0.2.1", "192.0.2.9"),
    ] {
        let (sql, params) = sql(&format!("originator:{query}"), Entity::Flows);
        assert_eq!(sql, "((w.originator_key BETWEEN $1 AND $2))");
        assert_eq!(params, [key(low), key(high)], "{query}");
    }
    assert_eq!(sql("originator:192.0.2.1/32", Entity::Flows).0, "((w.originator_key = $1))");
}

#[test]
fn of_several_addresses_one_may_be_looked_up() {
    let text = "port:1 src:10.0.0.0/8 ip:192.0.2.1 (dst:192.0.2.2 or port:2)";
    let query = Query::parse(text, Entity::Flows, now()).unwrap();
    let terms = query.address_terms();
    let numbers: Vec<(usize, usize)> = terms.iter().map(|term| (term.number, term.ranges.len())).collect();
    assert_eq!(numbers, [(1, 1), (2, 2)], "one that may or may not hold is none");
    let written = |index| query.condition_in(1, Style { folds_case: true, index, hides: true }).sql;
    let none = written(None);
    assert!(none.contains("(+w.originator_key BETWEEN") && none.contains("+w.responder_key = $6"), "{none}");
    let one = written(Some(2));
    assert!(one.contains("(+w.originator_key BETWEEN") && one.contains("+w.responder_key = $6"), "{one}");
    assert!(one.contains("(w.originator_key = $4 OR w.responder_key = $5)"), "{one}");
}

#[test]
fn times_are_of_japan_and_as_long_as_they_are_written() {
    let day = |start: &str, end: &str| vec![Int(nanos(start)), Int(nanos(end) - 1)];
    for (query, params) in [
        ("opened:2026-11-22", day("2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z")),
        ("opened:today", day("2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z")),
        ("opened:昨日", day("2026-11-20T15:00:00Z", "2026-11-21T15:00:00Z")),
        ("opened:2026-11-22T09:30", day("2026-11-22T00:30:00Z", "2026-11-22T00:31:00Z")),
        ("opened:2026-11-22T09:30:05", day("2026-11-22T00:30:05Z", "2026-11-22T00:30:06Z")),
        ("opened:2026-11-22T09:30:05Z", day("2026-11-22T09:30:05Z", "2026-11-22T09:30:06Z")),
        ("opened:2026-11-22T09:30+00:00", day("2026-11-22T09:30:00Z", "2026-11-22T09:31:00Z")),
        ("opened:2026-11-01..2026-11-02", day("2026-10-31T15:00:00Z", "2026-11-02T15:00:00Z")),
        ("opened>=-24h", vec![Int(nanos("2026-11-21T03:00:00Z"))]),
        ("opened>2026-11-22", vec![Int(nanos("2026-11-22T15:00:00Z"))]),
        ("opened<2026-11-22", vec![Int(nanos("2026-11-21T15:00:00Z") - 1)]),
    ] {
        assert_eq!(sql(query, Entity::Incidents).1, params, "{query}");
    }
}

#[test]
fn words_states_and_levels() {
    let (text, params) = sql("severity>=high state:detected,RECEIVED", Entity::Incidents);
    assert_eq!(text, "(((i.severity >= $1)) AND (i.state = $2 OR i.state = $3))");
    assert_eq!(params, [Int(3), Text("detected".to_owned()), Text("received".to_owned())]);
    let (text, params) = sql("重大度:重大 beacon", Entity::Incidents);
    assert!(text.starts_with("((i.severity = $1) AND (lower(i.id) LIKE $2"), "{text}");
    assert_eq!(params.len(), 6);
    assert_eq!(params[1], Text("%beacon%".to_owned()));
}

#[test]
fn or_binds_less_than_and() {
    let (text, _) = sql("port:1 port:2 or port:3", Entity::Flows);
    let port = "(w.responder_port = $";
    assert_eq!(text, format!("(({port}1) AND {port}2)) OR {port}3))"));
}

#[test]
fn errors_say_where_and_what_would_be_right() {
    for (query, at, what) in [
        ("port:", 6, "port needs a value here"),
        ("port: 80", 7, "port needs a value here"),
        ("port:http", 6, "a whole number such as 80"),
        ("nope:1", 1, "there is no field \"nope\"; there are body, originator"),
        ("(port:1", 1, "this ( is not closed"),
        ("port:1)", 7, "this ) has no ( before it"),
        ("port:1 or", 10, "a condition is missing here"),
        ("\"open", 1, "this quotation has no end"),
        ("src:10.0.0.0/33", 5, "an address such as"),
        ("src:::1/129", 5, "an address such as"),
        ("src:10.0.0.9-10.0.0.1", 5, "an address such as"),
        ("server>a", 8, "server has no order"),
        ("time:2026-13-01", 6, "a time such as"),
        ("port>80,443", 6, "only : = and != take several values"),
        ("bytes:99999999999999999999", 7, "a whole number"),
    ] {
        let said = error(query);
        assert!(said.starts_with(&format!("at character {at}: ")) && said.contains(what), "{query}: {said}");
        let japanese = Query::parse(query, Entity::Flows, now()).unwrap_err().ja();
        assert!(japanese.starts_with(&format!("{at} 文字目: ")), "{japanese}");
    }
}

#[test]
fn everything_is_bounded() {
    assert!(error(&"x".repeat(QUERY_CHARS_MAX + 1)).contains("at most 2000 characters"));
    assert!(error(&"x ".repeat(TERMS_MAX + 1)).contains("at most 64 conditions"));
    assert!(error(&"(".repeat(DEPTH_MAX + 2)).contains("16 deep"));
    assert!(error(&format!("port:{}1", "1,".repeat(VALUES_MAX))).contains("at most 64 values"));
}

#[test]
fn completes_fields_and_values() {
    let texts = |before: &str, entity| -> Vec<String> {
        complete(before, entity).into_iter().map(|one| one.text).collect()
    };
    assert_eq!(texts("severity:high sta", Entity::Incidents), ["state:"]);
    assert_eq!(texts("状", Entity::Incidents), ["状態:"]);
    assert_eq!(texts("state:detected,rece", Entity::Incidents), ["state:detected,received"]);
    assert_eq!(texts("-(proto:ic", Entity::Flows), ["proto:icmp", "proto:icmpv6"]);
    assert_eq!(texts("nope:", Entity::Flows), Vec::<String>::new());
    assert!(complete("", Entity::Flows).iter().all(|one| one.open));
}

#[test]
fn every_field_has_one_meaning() {
    for entity in Entity::ALL {
        let mut names: Vec<&str> = entity
            .fields()
            .iter()
            .flat_map(|field| std::iter::once(&field.name).chain(field.aliases))
            .copied()
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{entity:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_a_query_or_an_error(text in "\\PC{0,80}") {
        for entity in Entity::ALL {
            if let Ok(query) = Query::parse(&text, *entity, now()) {
                let found = query.condition(3);
                for number in 3..3 + found.params.len() {
                    let dollar = format!("${number}");
                    prop_assert!(found.sql.contains(&dollar));
                }
            }
            complete(&text, *entity);
        }
    }

    /// Nothing of the text gets into the SQL.
    #[test]
    fn texts_stay_parameters(word in "[a-z'\"; ]{1,20}") {
        let quoted = format!("server:\"{}\"", word.replace('"', "\\\""));
        let (sql, params) = sql(&quoted, Entity::Flows);
        prop_assert_eq!(sql, "(lower(w.server_name) LIKE $1 ESCAPE '!')");
        prop_assert_eq!(params, vec![Text(word)]);
    }
}
