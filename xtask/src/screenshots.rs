//! `cargo xtask screenshots`: pictures of the console's main pages with the demo's data, in `docs/screenshots`.
//!
//! They are made by an end-to-end test (`tests/it/console/pictures.rs`), which the other tests run, too, in a folder that goes away.

use std::path::Path;

use anyhow::Context;

use crate::command::{self, cargo};
use crate::install::{self, Purpose};

/// Where the documents find them.
const FOLDER: &str = "docs/screenshots";

/// Makes them anew.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    install::ensure(Purpose::Test)?;
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    command::run(cargo().current_dir(root).args(["build", "--workspace", "--bins", "--tests"]))?;
    let mut test = cargo();
    test.args(["test", "--quiet", "--workspace", "--test", "it", "--", "console::pictures::"]);
    command::run(test.current_dir(root).env("SEKIMORI_SCREENSHOTS", &folder))?;
    println!("pictures are in {}", folder.display());
    Ok(())
}
