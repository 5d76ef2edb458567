//! suricata-verify's checks that need no rules: how many EVE records match a set of values.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table::{self, Row};
use super::{Line, Scores, World};

/// The version that is emulated: a newer one of its line is not told apart from it.
const VERSION: [u64; 3] = [8, 0, u64::MAX];
/// Application protocols outside the project's list, and event types that stand for them.
const OUTSIDE: [&str; 9] = ["dnp3", "pgsql", "enip", "nfs", "rfb", "ike", "modbus", "ftp-data-tcp", "rpc"];
/// Build features that the checks may ask for and that this program has.
const FEATURES: [&str; 2] = ["HAVE_JA3", "HAVE_JA4"];
/// Values that are never kept (secrets, message bodies), or that only a packet logger has.
const DROPPED: [&str; 5] = [
    "pcap_cnt",
    "mqtt.connect.password",
    "mqtt.publish.message",
    "suricata_version",
    "http.http_response_body",
];
/// Types of which each has a promise of its own: with this many checks or more.
const ENOUGH: u64 = 5;

pub(super) fn check(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let own_configuration = own_configuration(world)?;
    let mut left_out: BTreeMap<&str, u64> = BTreeMap::new();
    for row in table::tabs(&world.corpora.join("expected/suricata_eve.tsv"))? {
        if row.of("has_rules") != "0" {
            continue;
        }
        match reason_to_leave_out(&row, &own_configuration)? {
            Some(reason) => *left_out.entry(reason).or_default() += 1,
            None if world.options.wants_kind(kind(&row)) => {
                groups.entry(row.of("path").to_owned()).or_default().push(row);
            }
            None => {}
        }
    }
    let scores = world.each(&groups, |path, rows| one(world, path, rows))?;
    for (reason, count) in &left_out {
        println!("           left out: {count:>4} {reason}");
    }
    let lines = scores.0.into_iter().map(|(kind, mut tally)| {
        let promise = match kind.as_str() {
            "all" => {
                tally.left_out += left_out.values().sum::<u64>();
                Some(950)
            }
            _ if tally.all >= ENOUGH => Some(850),
            _ => None,
        };
        (kind, tally, promise)
    });
    Ok(lines.collect())
}

/// Tests that bring a `suricata.yaml` of their own, listed in the project because the corpora do not say it, and whether all of
/// their checks depend on it or only those without an event type.
fn own_configuration(world: &World<'_>) -> anyhow::Result<BTreeMap<String, bool>> {
    let rows = table::tabs(&world.root.join("tests/conformance/suricata_yaml.tsv"))?;
    Ok(rows.into_iter().map(|row| (row.of("test").to_owned(), row.of("scope") == "all")).collect())
}

fn kind(row: &Row) -> &str {
    if row.of("event_type").is_empty() { "any" } else { row.of("event_type") }
}

fn reason_to_leave_out(
    row: &Row,
    own_configuration: &BTreeMap<String, bool>,
) -> anyhow::Result<Option<&'static str>> {
    let wanted: Map<String, Value> = serde_json::from_str(row.of("match_json"))?;
    let requires: Map<String, Value> = serde_json::from_str(row.of("requires"))?;
    let names = |text: &str| OUTSIDE.contains(&text);
    let outside = wanted.iter().any(|(key, value)| {
        let first = key.split(['.', '[']).next().unwrap_or_default();
        names(first)
            || (key.starts_with("stats.app_layer") && OUTSIDE.iter().any(|outside| key.contains(outside)))
            || (matches!(key.as_str(), "app_proto" | "event_type") && value.as_str().is_some_and(names))
    });
    Ok(match () {
        () if !is_met(&requires) => Some("`requires` is not met by Suricata 8"),
        () if row.of("suricata_args").contains("--simulate") => Some("--simulate"),
        () if own_configuration
            .get(row.of("test"))
            .is_some_and(|all| *all || row.of("event_type").is_empty()) =>
        {
            Some("a suricata.yaml of its own")
        }
        () if outside => Some("an application protocol outside the list"),
        () => None,
    })
}

/// Whether the emulated version meets what a check requires.
fn is_met(requires: &Map<String, Value>) -> bool {
    requires.iter().all(|(key, value)| match key.as_str() {
        "min-version" => version(value) <= VERSION,
        "lt-version" => VERSION < version(value),
        "features" => value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .all(|feature| FEATURES.contains(&feature)),
        _ => false,
    })
}

fn version(value: &Value) -> [u64; 3] {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// Our words for Suricata's: what changes what is read.
fn words(arguments: &str) -> Vec<&'static str> {
    let midstream = arguments.contains("stream.midstream=true");
    let ignore = arguments.contains("-k none");
    vec![
        "--checksums",
        if ignore { "ignore" } else { "verify" },
        "--midstream",
        if midstream { "yes" } else { "no" },
    ]
}

fn one(world: &World<'_>, path: &str, rows: &[Row]) -> anyhow::Result<Scores> {
    let mut read: BTreeMap<Vec<&str>, Vec<Value>> = BTreeMap::new();
    let mut scores = Scores::default();
    for row in rows {
        let words = words(row.of("suricata_args"));
        if !read.contains_key(&words) {
            read.insert(words.clone(), world.eve(path, &words)?);
        }
        let events = read.get(&words).map_or(&[][..], Vec::as_slice);
        let mut wanted: Map<String, Value> = serde_json::from_str(row.of("match_json"))?;
        // A packet's number picks one of several records that are else alike: without it, one or more will match.
        let picks = wanted.contains_key("pcap_cnt");
        wanted.retain(|key, _| !DROPPED.contains(&key.as_str()));
        let count = events.iter().filter(|event| wanted.iter().all(|(key, value)| holds(event, key, value)));
        let (count, expected) = (u64::try_from(count.count())?, row.of("count").parse::<u64>()?);
        let key = format!("{} {}", row.of("test"), row.of("match_json"));
        let right = count == expected || (picks && count > expected && expected > 0);
        if !right && world.reviewed.has("suricata", &key) {
            scores.of("all").reviewed += 1;
            continue;
        }
        let note =
            || format!("{key} {words:?} expected {expected} found {count}{}", nearest(events, &wanted));
        scores.of("all").count(right, String::new);
        scores.of(kind(row)).count(right, note);
    }
    scores.of("all").notes.clear();
    Ok(scores)
}

/// One condition of a check, as suricata-verify reads it.
fn holds(event: &Value, key: &str, wanted: &Value) -> bool {
    let keys = |value: &Value| -> Vec<String> {
        let one = value.as_str();
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .chain(one)
            .map(str::to_owned)
            .collect()
    };
    match key {
        // The names of the emulated program's own keys are not compared.
        "has-key" => keys(wanted).iter().all(|key| key == "suricata_version" || at(event, key).is_some()),
        "not-has-key" => keys(wanted).iter().all(|key| at(event, key).is_none()),
        _ => match key.strip_suffix(".__len") {
            Some(list) => at(event, list).and_then(Value::as_array).map(Vec::len) == usize_of(wanted),
            None => at(event, key).is_some_and(|found| {
                found == wanted || number(found) == number(wanted) && number(found).is_some()
            }),
        },
    }
}

fn usize_of(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|value| value.try_into().ok())
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64()
}

/// `a.b[2].c` in an event.
fn at<'v>(event: &'v Value, key: &str) -> Option<&'v Value> {
    if let Some(found) = event.get(key) {
        return Some(found);
    }
    let mut value = event;
    for step in key.split('.') {
        let (name, places) = step.split_once('[').map_or((step, ""), |(name, places)| (name, places));
        value = value.get(name)?;
        for place in places.split('[').filter(|place| !place.is_empty()) {
            value = value.get(place.trim_end_matches(']').parse::<usize>().ok()?)?;
        }
    }
    Some(value)
}

/// What keeps the record that comes nearest from matching.
fn nearest(events: &[Value], wanted: &Map<String, Value>) -> String {
    let differs = |event: &Value| -> Vec<String> {
        let differing = wanted.iter().filter(|(key, value)| !holds(event, key, value));
        differing
            .map(|(key, value)| format!("{key}={value} ours {:?}", at(event, key).map(Value::to_string)))
            .collect()
    };
    let same_type =
        |event: &&Value| wanted.get("event_type").is_none_or(|kind| event.get("event_type") == Some(kind));
    events
        .iter()
        .filter(same_type)
        .map(differs)
        .min_by_key(Vec::len)
        .map_or_else(String::new, |differing| format!("; nearest differs in {}", differing.join(", ")))
}
