//! The annotated examples name every key that the programs know, and no other; the programs themselves are asked, by a key
//! that there is not.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{program, said};

const AGENT: &str = include_str!("../../agent/agent.example.toml");
const COLLECTOR: &str = include_str!("../../collector/collector.example.toml");
const ABSENT: &str = "no_such_key = 1\n";

/// A line of an example without the sign that keeps it from being set.
fn line(text: &str) -> &str {
    text.strip_prefix("# ").unwrap_or(text).split(" # ").next().unwrap_or_default().trim()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
}

/// How the example writes the beginning of a table, if it has it.
fn heading<'a>(example: &'a str, table: &str) -> Option<&'a str> {
    let names = [format!("[{table}]"), format!("[[{table}]]")];
    example.lines().map(line).find(|line| names.iter().any(|name| name == line))
}

/// Table and key of each line that sets one, or would.
fn named(example: &str) -> BTreeSet<(String, String)> {
    let (mut table, mut all) = (String::new(), BTreeSet::new());
    for line in example.lines().map(line) {
        if line.starts_with('[') && line.ends_with(']') {
            line.trim_matches(['[', ']']).clone_into(&mut table);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_name(key)) {
            all.insert((table.clone(), key.to_owned()));
        }
    }
    all
}

/// Table and key of everything that the program knows: it names them when it meets one that it does not know.
fn known(example: &str, ask: impl Fn(&Path) -> Command) -> BTreeSet<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("asked.toml");
    let (mut open, mut all) = (vec![String::new()], BTreeSet::new());
    while let Some(table) = open.pop() {
        let heading = if table.is_empty() { Some("") } else { heading(example, &table) };
        let heading = heading.unwrap_or_else(|| panic!("[{table}] is not in the example"));
        std::fs::write(&file, format!("{heading}\n{ABSENT}")).expect("a file");
        let output = ask(&file).output().expect("it starts");
        let said = said(&output);
        let (_, names) =
            said.split_once("`no_such_key`, expected").unwrap_or_else(|| panic!("{table}: {said}"));
        let names = names.lines().next().unwrap_or_default();
        for key in names.split('`').skip(1).step_by(2) {
            let below = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
            if table.is_empty() || self::heading(example, &below).is_some() {
                open.push(below);
            } else {
                all.insert((table.clone(), key.to_owned()));
            }
        }
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

#[test]
fn the_examples_name_every_key_that_there_is() {
    let agent = |file: &Path| {
        let mut command = Command::new(program("sekimori-agent"));
        command.args(["check", "--config"]).arg(file);
        command
    };
    assert_eq!(named(AGENT), known(AGENT, agent), "named, and known to the agent");
    let collector = |file: &Path| {
        let mut command = Command::new(program("sekimori-collector"));
        command.args(["user", "list", "--config"]).arg(file);
        command
    };
    assert_eq!(named(COLLECTOR), known(COLLECTOR, collector), "named, and known to the collector");
}
