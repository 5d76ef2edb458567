//! `cargo xtask bench store`: how long searches and pages take over a large store, on SQLite and on PostgreSQL.
//!
//! The store is filled and asked by a test of the collector that nobody else runs; here it is built in release, started, and
//! its figures are kept in `tests/search.tsv`.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::command::{self, cargo};

/// When, of which commit, on which database, what, and how long.
const RESULTS: &str = "tests/search.tsv";
const HEAD: &str = "date\tcommit\tstore\twhat\tmedian_ms\tlongest_ms\n";
const TEST: &str = "store::search::measure";

/// Which databases, or `None` for wrong usage.
pub(crate) fn parse(words: &[&str]) -> Option<&'static str> {
    match words {
        [] => Some(TEST),
        ["--store", "sqlite"] => Some("store::search::measure::on_sqlite"),
        ["--store", "postgres"] => Some("store::search::measure::on_postgres"),
        _ => None,
    }
}

/// Runs; whether every figure is within what is promised.
pub(crate) fn run(root: &Path, which: &str) -> anyhow::Result<bool> {
    let mut test = cargo();
    test.current_dir(root)
        .args(["test", "--release", "--quiet", "--package", "sekimori-collector", "--lib", which, "--"])
        .args(["--ignored", "--nocapture", "--test-threads=1"]);
    let done = test.output().with_context(|| format!("cannot start {}", command::show(&test)))?;
    let said = String::from_utf8_lossy(&done.stdout);
    print!("{said}");
    eprint!("{}", String::from_utf8_lossy(&done.stderr));
    let figures: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("FIGURE\t")).collect();
    ensure!(!figures.is_empty(), "the run ended without a figure");
    let path = root.join(RESULTS);
    let mut known = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let (date, commit) = (command::today()?, command::commit(root)?);
    for figure in figures {
        known.push_str(&format!("{date}\t{commit}\t{figure}\n"));
    }
    std::fs::write(&path, known).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(done.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(parse(&[]), Some(TEST));
        assert!(parse(&["--store", "sqlite"]).is_some_and(|which| which.ends_with("on_sqlite")));
        assert_eq!(parse(&["--store", "oracle"]), None);
        assert_eq!(parse(&["sqlite"]), None);
    }
}
