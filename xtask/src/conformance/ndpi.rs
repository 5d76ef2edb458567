//! nDPI's flows: the protocol of each flow with payload, and the server's name where both have one.
//!
//! `tests/conformance/ndpi.tsv` is the reviewed table of nDPI's names for the applications that are recognised here.

use std::collections::BTreeMap;

use super::table::{self, Row};
use super::{Line, Scores, World};

/// Protocol and unordered ends.
type Key = (String, Vec<(String, String)>);

fn key(protocol: &str, one: (String, String), other: (String, String)) -> Key {
    let mut ends = vec![one, other];
    ends.sort();
    (protocol.to_owned(), ends)
}

fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// The master: what stands after the number and before the dot in `7.295/HTTP.1kxun`.
fn master(name: &str) -> &str {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.split('.').next().unwrap_or_default()
}

pub(super) fn check(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let masters: BTreeMap<String, String> = table::tabs(&world.root.join("tests/conformance/ndpi.tsv"))?
        .into_iter()
        .map(|row| (row.of("master").to_owned(), row.of("application").to_owned()))
        .collect();
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in table::tabs(&world.corpora.join("expected/ndpi_flows.tsv"))? {
        groups.entry(row.of("path").to_owned()).or_default().push(row);
    }
    let scores = world.each(&groups, |path, rows| one(world, path, rows, &masters))?;
    let mut names = super::Tally::default();
    let mut all = super::Tally::default();
    let mut mean = Vec::new();
    for (kind, tally) in scores.0 {
        match kind.as_str() {
            "server name" => names.merge(tally),
            _ => {
                if tally.all > 0 {
                    mean.push(tally.permille());
                }
                all.merge(tally);
            }
        }
    }
    // The mean over captures, as thousandths of a tally.
    let captures = u64::try_from(mean.len())?;
    let mean = super::Tally { right: mean.iter().sum(), all: captures * 1_000, ..super::Tally::default() };
    Ok(vec![
        ("mean over captures".to_owned(), mean, Some(970)),
        ("flows".to_owned(), all, None),
        ("server name".to_owned(), names, Some(1_000)),
    ])
}

fn one(
    world: &World<'_>,
    path: &str,
    rows: &[Row],
    masters: &BTreeMap<String, String>,
) -> anyhow::Result<Scores> {
    let mut ours: BTreeMap<Key, Vec<Row>> = BTreeMap::new();
    for row in world.csv(path)? {
        let icmp = matches!(row.of("protocol"), "1" | "58");
        let port = |name: &str| if icmp { "0".to_owned() } else { row.of(name).to_owned() };
        let ends = [
            (address(row.of("originator_address")), port("originator_port")),
            (address(row.of("responder_address")), port("responder_port")),
        ];
        let [one, other] = ends;
        ours.entry(key(row.of("protocol"), one, other)).or_default().push(row);
    }
    let mut scores = Scores::default();
    for row in rows {
        let protocol = match row.of("l4") {
            "TCP" => "6",
            "UDP" => "17",
            "ICMP" => "1",
            "ICMPV6" => "58",
            other => other,
        };
        let port =
            |name: &str| if row.of(name).is_empty() { "0".to_owned() } else { row.of(name).to_owned() };
        let ends =
            key(protocol, (address(row.of("src")), port("sport")), (address(row.of("dst")), port("dport")));
        let found = ours.get(&ends).map_or(&[][..], Vec::as_slice);
        let payload = |row: &Row| {
            ["originator_payload_bytes", "responder_payload_bytes"]
                .iter()
                .any(|name| row.get(name).is_some_and(|cell| cell != "0"))
        };
        let name = format!("{path} {protocol} {:?}", ends.1);
        let theirs = master(row.of("ndpi_proto"));
        let tally = scores.of(path);
        match masters.get(theirs) {
            Some(wanted) if found.is_empty() || found.iter().any(payload) => {
                let wanted: Vec<&str> = wanted.split('|').collect();
                let fits = |row: &Row| {
                    let spoken: Vec<&str> = row.of("applications").split(' ').collect();
                    wanted.iter().any(|one| spoken.contains(one))
                };
                let right = found.iter().any(fits);
                if !right && world.reviewed.has("ndpi", &name) {
                    tally.reviewed += 1;
                } else {
                    tally.count(right, || {
                        let spoken: Vec<&str> = found.iter().map(|row| row.of("applications")).collect();
                        format!("{name} {theirs} ours {spoken:?}")
                    });
                }
            }
            Some(_) | None => tally.left_out += 1,
        }
        let wanted = row.of("hostname_or_sni").to_lowercase();
        let named: Vec<&str> =
            found.iter().map(|row| row.of("server_name")).filter(|name| !name.is_empty()).collect();
        let compared = matches!(theirs, "TLS" | "QUIC" | "HTTP" | "DTLS");
        if compared
            && !wanted.is_empty()
            && !named.is_empty()
            && !world.reviewed.has("ndpi", &format!("{name} name"))
        {
            let right = named.iter().any(|name| name.to_lowercase() == wanted);
            scores.of("server name").count(right, || format!("{name} {wanted:?} ours {named:?}"));
        }
    }
    Ok(scores)
}
