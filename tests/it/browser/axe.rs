//! axe-core, from npm: what of a page somebody cannot see, hear or reach.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::Browser;
use crate::support::{program, run_ok};

/// Changed on purpose only: another version finds other things.
const VERSION: &str = "4.14.1";
/// Violations that nobody may meet; the others are advice.
const GRAVE: [&str; 2] = ["serious", "critical"];

/// The script, below the target folder; fetched once for a version.
pub(crate) fn source() -> String {
    let built = program("sekimori-collector");
    let folder: PathBuf = built.parent().expect("the target folder").join(format!("axe-core-{VERSION}"));
    let script = folder.join("package/axe.min.js");
    if !script.is_file() {
        // Made beside it and renamed: two tests may begin at once.
        let temporary = tempfile::tempdir_in(built.parent().expect("the target folder")).expect("a folder");
        let wanted = format!("axe-core@{VERSION}");
        let mut pack = Command::new("npm");
        pack.args(["pack", "--silent", "--ignore-scripts", &wanted]).current_dir(temporary.path());
        let packed = run_ok(&mut pack);
        run_ok(Command::new("tar").args(["-xzf", packed.trim()]).current_dir(temporary.path()));
        std::fs::rename(temporary.keep(), &folder).unwrap_or_else(|cause| {
            assert!(script.is_file(), "axe-core cannot be put into {}: {cause}", folder.display());
        });
    }
    std::fs::read_to_string(&script).expect("the script of axe-core")
}

impl Browser {
    /// Each grave violation on the page that is open, as words that name rule, element and reason. In a second theme only
    /// what depends on colours is asked again, of the script that is there already.
    pub(crate) async fn violations(&self, axe: &str, colours_only: bool) -> Vec<String> {
        // A script from outside the page: the page's policy does not hold it back, and it need not be loosened.
        let rules = if colours_only { ", runOnly: ['color-contrast', 'link-in-text-block']" } else { "" };
        let script = format!(
            "{}; const done = arguments[arguments.length - 1];
             axe.run(document, {{ resultTypes: ['violations'] {rules} }})
                .then((found) => done(found.violations), (error) => done(String(error)));",
            if colours_only { "" } else { axe }
        );
        let found = self.client.execute_async(&script, Vec::new()).await.expect("axe-core runs");
        let found = found.as_array().unwrap_or_else(|| panic!("axe-core fails: {found}"));
        let grave = found.iter().filter(|one| GRAVE.iter().any(|impact| one["impact"] == *impact));
        grave.flat_map(words).collect()
    }
}

fn words(violation: &Value) -> Vec<String> {
    let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
    let one = |node: &Value| {
        let why = node["failureSummary"].as_str().unwrap_or_default().replace('\n', " ");
        format!("{}: {} {} — {why}", violation["id"], node["target"], node["html"])
    };
    nodes.iter().map(one).collect()
}
