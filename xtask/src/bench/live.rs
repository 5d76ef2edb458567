//! x
use super::Options;
use std::path::Path;
pub(super) fn run(_r: &Path, _f: &Path, _o: &Options, _a: &Path) -> anyhow::Result<bool> {
    Ok(true)
}
