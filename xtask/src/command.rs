//! Running other programs, and where the project is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The project's folder: where the workspace's `Cargo.toml` is.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| manifest.to_owned(), PathBuf::from);
    Ok(root.parent().context("xtask lies in the workspace's folder")?.to_owned())
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|dir| dir.join(program).is_file())
}

/// Runs a command with our output; an error if it does not succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Runs a command and gives its standard output; what it said on standard error is in the error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    if !done.status.success() {
        bail!("{shown} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{shown} did not write UTF-8"))
}

/// The date, for result files.
pub(crate) fn today() -> anyhow::Result<String> {
    Ok(output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim().to_owned())
}

/// The commit that is worked on, for result files; with a plus sign where it was changed.
pub(crate) fn commit(root: &Path) -> anyhow::Result<String> {
    let git = |words: &[&str]| output(Command::new("git").current_dir(root).args(words));
    let changed = !git(&["status", "--porcelain", "--untracked-files=no", "--", "*.rs"])?.is_empty();
    let plus = if changed { "+" } else { "" };
    Ok(format!("{}{plus}", git(&["rev-parse", "--short", "HEAD"])?.trim()))
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
