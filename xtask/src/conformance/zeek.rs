//! Zeek's btest baselines: cells of the logs that matter here, row by row.
//!
//! A row of the baseline is matched with the row of ours that has the same ends (a certificate: the same fingerprint) and
//! agrees in most cells; each row of ours is used once.

use std::collections::BTreeMap;

use anyhow::Context;

use super::table::{self, Row};
use super::{Line, Scores, World};

/// The logs that are compared.
const LOGS: [&str; 8] = ["conn", "dns", "http", "ssl", "x509", "ssh", "smtp", "ftp"];
/// Times, identifiers that Zeek draws, and types that it guesses from content.
const NEVER: [&str; 12] = [
    "ts",
    "uid",
    "fuid",
    "fuids",
    "orig_fuids",
    "resp_fuids",
    "cert_chain_fuids",
    "client_cert_chain_fuids",
    "tunnel_parents",
    "orig_mime_types",
    "resp_mime_types",
    "mime_type",
];
const ENDS: [&str; 4] = ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"];
/// What times are replaced with in the baselines.
const HIDDEN: &str = "XXXX";

/// Which promise a row of the index is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// No script of the test's own, all of Zeek's defaults.
    Plain,
    /// Up to three lines of script, or bare mode.
    Scripted,
}

fn group(row: &Row) -> Option<Group> {
    let lines: u32 = row.of("script_lines_in_test").parse().ok()?;
    let command = row.of("command");
    if lines == 0 && !is_bare(command) {
        return Some(Group::Plain);
    }
    (lines <= 3 && !command.contains(".hlto")).then_some(Group::Scripted)
}

fn is_bare(command: &str) -> bool {
    command.split_whitespace().any(|word| word == "-b")
}

pub(super) fn check(world: &World<'_>) -> anyhow::Result<Vec<Line>> {
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut left_out = 0;
    for row in table::tabs(&world.corpora.join("expected/zeek_index.tsv"))? {
        let log = row.of("log").trim_end_matches(".log");
        if !LOGS.contains(&log) {
            continue;
        }
        if group(&row).is_none() {
            left_out += 1;
        } else if world.options.wants_kind(log) {
            groups.entry(row.of("path").to_owned()).or_default().push(row);
        }
    }
    let scores = world.each(&groups, |path, rows| one(world, path, rows))?;
    let promise = |kind: &str| match kind {
        "plain: cells" => Some(970),
        "plain: rows found" => Some(990),
        "scripted: cells" => Some(900),
        _ => None,
    };
    let mut lines: Vec<Line> =
        scores.0.into_iter().map(|(kind, tally)| (kind.clone(), tally, promise(&kind))).collect();
    if let Some((_, tally, _)) = lines.iter_mut().find(|(kind, ..)| kind == "scripted: cells") {
        tally.left_out += left_out;
    }
    Ok(lines)
}

fn one(world: &World<'_>, path: &str, rows: &[Row]) -> anyhow::Result<Scores> {
    let mut scores = Scores::default();
    for row in rows {
        let Some(group) = group(row) else { continue };
        let log = row.of("log").trim_end_matches(".log");
        let (test, command) = (row.of("zeek_test"), row.of("command"));
        let expected = world.corpora.join("expected/zeek").join(test).join(row.of("log"));
        let expected = std::fs::read(&expected).with_context(|| expected.display().to_string())?;
        let expected = table::zeek(&String::from_utf8_lossy(&expected));
        let verify = if command.split_whitespace().any(|word| word == "-C") { "ignore" } else { "verify" };
        let folder = world.folder.join(format!("{}-{test}", std::process::id()));
        let output = folder.to_string_lossy().into_owned();
        world.replay(path, &["--format", "zeek", "--checksums", verify, "--output", &output])?;
        let ours = std::fs::read(folder.join(row.of("log"))).unwrap_or_default();
        std::fs::remove_dir_all(&folder)?;
        let ours = table::zeek(&String::from_utf8_lossy(&ours));
        let case = Case { world, name: format!("{test} {log}"), log, group, bare: is_bare(command) };
        case.compare(&expected, ours, &mut scores);
    }
    Ok(scores)
}

/// One log of one test.
struct Case<'a> {
    world: &'a World<'a>,
    name: String,
    log: &'a str,
    group: Group,
    bare: bool,
}

impl Case<'_> {
    fn compares(&self, column: &str) -> bool {
        !NEVER.contains(&column) && (!self.bare || column != "service")
    }

    /// Columns in which the rows differ, and how many are compared.
    fn differ<'r>(&self, expected: &'r Row, ours: &Row) -> (Vec<(&'r str, String)>, u64) {
        let mut differing = Vec::new();
        let mut compared = 0;
        for (column, cell) in expected.iter().filter(|(column, _)| self.compares(column)) {
            let own = ours.get(column).unwrap_or("-");
            if cell.contains(HIDDEN) || (cell == "-" && own == "-") {
                continue;
            }
            compared += 1;
            if cell != own {
                differing.push((column, format!("{cell:?} ours {own:?}")));
            }
        }
        (differing, compared)
    }

    fn is_candidate(&self, expected: &Row, ours: &Row) -> bool {
        let keys: &[&str] = if self.log == "x509" { &["fingerprint"] } else { &ENDS };
        keys.iter().filter(|key| expected.get(key).is_some()).all(|key| expected.get(key) == ours.get(key))
    }

    fn compare(&self, expected: &[Row], mut ours: Vec<Row>, scores: &mut Scores) {
        let kind = if self.group == Group::Plain { "plain" } else { "scripted" };
        for (number, row) in expected.iter().enumerate() {
            let candidates = ours.iter().enumerate().filter(|(_, own)| self.is_candidate(row, own));
            let best = candidates.min_by_key(|(_, own)| self.differ(row, own).0.len()).map(|(at, _)| at);
            let key = format!("{} {number}", self.name);
            if self.world.reviewed.has("zeek", &key) {
                scores.of(&format!("{kind}: cells")).reviewed += 1;
                best.map(|at| ours.swap_remove(at));
                continue;
            }
            let ends = ENDS.map(|end| row.of(end)).join(" ");
            scores
                .of(&format!("{kind}: rows found"))
                .count(best.is_some(), || format!("{key} ({ends}) is not there"));
            let own = best.map(|at| ours.swap_remove(at)).unwrap_or_default();
            let (differing, compared) = self.differ(row, &own);
            for of in [format!("{kind}: cells"), format!("{kind}: {}", self.log)] {
                let tally = scores.of(&of);
                tally.all += compared;
                tally.right += compared - u64::try_from(differing.len()).unwrap_or(compared);
                if of.ends_with("cells") && !own.is_empty() {
                    let shown =
                        differing.iter().map(|(column, what)| format!("{key} ({ends}) {column} {what}"));
                    tally.notes.extend(shown);
                }
            }
        }
    }
}
