//! Arkime's sessions: packets and bytes of both directions, rows of one five-tuple summed; and its Community IDs.

use std::collections::BTreeMap;

use super::table::{self, Row};
use super::{Line, Scores, World};

const ESP: &str = "50";
const SCTP: &str = "132";
/// Left out by the issue: tunnels that Arkime does not enter as we do.
const LEFT_OUT: [&str; 2] = ["gtp", "teredo"];

/// Protocol and ends, the lower first.
type Key = (String, (String, String), (String, String));
/// Packets and bytes from the lower end and from the higher.
type Sums = [u64; 4];

fn add(sums: &mut BTreeMap<Key, Sums>, protocol: &str, ends: [(String, String); 2], volumes: Sums) {
    let [from, to] = ends;
    let [from_packets, to_packets, from_bytes, to_bytes] = volumes;
    let (key, volumes) = if from <= to {
        ((protocol.to_owned(), from, to), volumes)
    } else {
        ((protocol.to_owned(), to, from), [to_packets, from_packets, to_bytes, from_bytes])
    };
    let sum = sums.entry(key).or_default();
    sum.iter_mut().zip(volumes).for_each(|(sum, volume)| *sum += volume);
}

/// An address in one spelling.
fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

pub(super) fn check(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut left_out = 0;
    for row in table::tabs(&world.corpora.join("expected/arkime_sessions.tsv"))? {
        let odd = matches!(row.of("ip_proto"), ESP | SCTP | "0")
            || row.of("community_id").is_empty()
            || row.of("protocols").split(',').any(|protocol| LEFT_OUT.contains(&protocol))
            || LEFT_OUT.iter().any(|tunnel| row.of("path").contains(tunnel));
        if odd {
            left_out += 1;
        } else {
            groups.entry(row.of("path").to_owned()).or_default().push(row);
        }
    }
    let mut scores = world.each(&groups, |path, rows| one(world, path, rows))?;
    scores.of("sessions").left_out += left_out;
    Ok(scores
        .0
        .into_iter()
        .map(|(kind, tally)| {
            let promise = if kind == "sessions" { 990 } else { 1_000 };
            (kind, tally, Some(promise))
        })
        .collect())
}

fn one(world: &World<'_>, path: &str, rows: &[Row]) -> anyhow::Result<Scores> {
    let number = |row: &Row, name: &str| row.get(name).and_then(|cell| cell.parse().ok()).unwrap_or(0_u64);
    let (mut expected, mut ours) = (BTreeMap::new(), BTreeMap::new());
    let mut ids: BTreeMap<Key, String> = BTreeMap::new();
    for row in rows {
        let ends = [
            (address(row.of("src")), row.of("sport").to_owned()),
            (address(row.of("dst")), row.of("dport").to_owned()),
        ];
        let volumes = ["src_pkts", "dst_pkts", "src_bytes", "dst_bytes"].map(|name| number(row, name));
        let [from, to] = ends.clone();
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        ids.insert((row.of("ip_proto").to_owned(), low, high), row.of("community_id").to_owned());
        add(&mut expected, row.of("ip_proto"), ends, volumes);
    }
    let mut our_ids = Vec::new();
    for row in world.csv(path)? {
        let icmp = matches!(row.of("protocol"), "1" | "58");
        let port = |name: &str| if icmp { "0".to_owned() } else { row.of(name).to_owned() };
        let ends = [
            (address(row.of("originator_address")), port("originator_port")),
            (address(row.of("responder_address")), port("responder_port")),
        ];
        let names =
            ["originator_packets", "responder_packets", "originator_wire_bytes", "responder_wire_bytes"];
        add(&mut ours, row.of("protocol"), ends, names.map(|name| number(&row, name)));
        our_ids.push(row.of("community_id").to_owned());
    }
    let mut scores = Scores::default();
    for (key, sums) in &expected {
        let name = format!("{path} {} {}:{} {}:{}", key.0, key.1.0, key.1.1, key.2.0, key.2.1);
        let found = ours.get(key);
        if found != Some(sums) && world.reviewed.has("arkime", &name) {
            scores.of("sessions").reviewed += 1;
            continue;
        }
        scores.of("sessions").count(found == Some(sums), || format!("{name} {sums:?} ours {found:?}"));
        if let Some(id) = ids.get(key).filter(|_| matches!(key.0.as_str(), "6" | "17")) {
            scores.of("community id").count(our_ids.contains(id), || format!("{name} {id}"));
        }
    }
    Ok(scores)
}
