//! JA4 of `FoxIO`'s reference, and Community IDs of Corelight's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::table::{self, Row};
use super::{Line, Scores, World};

/// Unordered ends of a stream: the reference names either first.
type Ends = [(String, u64); 2];

fn ends(one: (String, u64), other: (String, u64)) -> Ends {
    if one <= other { [one, other] } else { [other, one] }
}

/// Every row with the key `ja4`, `JA4.1` or `JA4.2`: the fingerprint is among those of its stream.
pub(super) fn check(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in table::tabs(&world.corpora.join("expected/ja4.tsv"))? {
        if matches!(row.of("key"), "ja4" | "JA4.1" | "JA4.2") {
            groups.entry(row.of("path").to_owned()).or_default().push(row);
        }
    }
    let scores = world.each(&groups, |path, rows| {
        let mut found: BTreeMap<Ends, Vec<String>> = BTreeMap::new();
        for event in world.eve(path, &[])? {
            let of = |kind: &str| event.get(kind);
            let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let number = |key: &str| event.get(key).and_then(Value::as_u64).unwrap_or_default();
            let hellos = [of("tls"), of("quic"), of("dtls")].into_iter().flatten();
            let ja4s = hellos.flat_map(|hello| {
                let more = hello.get("ja4_hellos").and_then(Value::as_array).into_iter().flatten();
                hello.get("ja4").into_iter().chain(more).filter_map(Value::as_str)
            });
            let end = |address: &str, port: &str| (text(address), number(port));
            let key = ends(end("src_ip", "src_port"), end("dest_ip", "dest_port"));
            found.entry(key).or_default().extend(ja4s.map(str::to_owned));
        }
        let mut scores = Scores::default();
        for row in rows {
            let end = |address: &str, port: &str| {
                (row.of(address).to_owned(), row.of(port).parse().unwrap_or_default())
            };
            let key = ends(end("src", "sport"), end("dst", "dport"));
            let ours = found.get(&key);
            let right = ours.is_some_and(|ours| ours.iter().any(|one| one == row.of("value")));
            if !right
                && world.reviewed.has("ja4", &format!("{path} {} {}", row.of("stream"), row.of("value")))
            {
                scores.of("ja4").reviewed += 1;
                continue;
            }
            scores.of("ja4").count(right, || format!("{path} {key:?} {} ours {ours:?}", row.of("value")));
        }
        Ok(scores)
    })?;
    Ok(scores.0.into_iter().map(|(kind, tally)| (kind, tally, Some(1_000))).collect())
}

/// The baseline's captures, with both seeds.
pub(super) fn community(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let rows = table::tabs(&world.corpora.join("expected/community_id.tsv"))?;
    let folder = world.corpora.join("protocol/community_id");
    let mut captures: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        captures.push(format!("protocol/community_id/{}", entry?.file_name().to_string_lossy()));
    }
    let mut scores = Scores::default();
    for seed in ["0", "1"] {
        let mut ours: Vec<String> = Vec::new();
        for capture in &captures {
            let events = world.eve(capture, &["--community-id-seed", seed])?;
            ours.extend(
                events
                    .iter()
                    .filter_map(|event| event.get("community_id").and_then(Value::as_str))
                    .map(str::to_owned),
            );
        }
        for row in rows.iter().filter(|row| row.of("seed") == seed) {
            let expected = row.of("community_id");
            let right = ours
                .iter()
                .any(|id| if row.of("base64") == "1" { id == expected } else { hex(id) == *expected });
            let kind = if seed == "0" { "seed 0" } else { "seed 1" };
            scores.of(kind).count(right, || format!("{row:?}"));
        }
    }
    Ok(scores.0.into_iter().map(|(kind, tally)| (kind, tally, Some(1_000))).collect())
}

/// `1:` and the digest in hexadecimal instead of base64.
fn hex(id: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (version, text) = id.split_once(':').unwrap_or_default();
    let mut out = format!("{version}:");
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text.chars().filter_map(|char| DIGITS.find(char)) {
        bits = (bits << 6 | u32::try_from(digit).unwrap_or_default()) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push_str(&format!("{:02x}", bits >> count & 0xff));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_becomes_hex() {
        assert_eq!(super::hex("1:AAEC/w=="), "1:000102ff");
    }
}
