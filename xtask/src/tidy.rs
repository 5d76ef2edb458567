//! `cargo xtask tidy`: the rules of this project that no compiler checks.
//!
//! Each rule is a function from text to problems, tested below it; here they are applied to the tree. A problem names
//! the file, the line where there is one, and the rule.

mod cover;
mod layers;
mod licence;
mod source;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::{command, reference};

/// Folders that are not ours or not source.
const SKIPPED: [&str; 4] = [".git", "target", "demo-state", "node_modules"];

/// Checks the tree; every problem is printed.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let problems = problems(root)?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems", problems.len());
    }
    println!("tidy: nothing to say");
    Ok(())
}

fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let files = files(root)?;
    let mut out = Vec::new();
    for (path, text) in &files {
        out.extend(source::machine_paths(path, text));
        if path.ends_with(".rs") {
            out.extend(source::rust_file(path, text));
        }
    }
    for name in ["agent/wire", "agent/sensor"] {
        let sources: Vec<(&str, &str)> = files
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(name)?.strip_prefix("/src/")?, text.as_str())))
            .filter(|(path, _text)| path.ends_with(".rs"))
            .collect();
        out.extend(layers::order(name, &sources));
        out.extend(
            sources.iter().flat_map(|(path, text)| layers::purity(&format!("{name}/src/{path}"), text)),
        );
        out.extend(layers::manifest(name, text_of(&files, &format!("{name}/Cargo.toml"))?));
    }
    let agent: String = files
        .iter()
        .filter(|(path, _text)| path.starts_with("agent/") && !path.ends_with("sensor/src/counters.rs"))
        .filter(|(path, _text)| path.ends_with(".rs"))
        .map(|(_path, text)| source::without_tests(text))
        .collect();
    out.extend(cover::counters(text_of(&files, "agent/sensor/src/counters.rs")?, &agent));
    let names: BTreeSet<&str> = files.iter().map(|(name, _text)| name.as_str()).collect();
    out.extend(cover::categories(text_of(&files, "agent/wire/src/finding.rs")?, &names));
    out.extend(cover::wire_digest(root, text_of(&files, "docs/wire-format.md")?)?);
    let made = reference::document(|path| text_of(&files, path).map(ToOwned::to_owned))?;
    if text_of(&files, reference::DOCUMENT)? != made {
        out.push(format!("{}: is not what `cargo xtask reference` makes", reference::DOCUMENT));
    }
    out.extend(licence::packages(&metadata(root)?, text_of(&files, "deny.toml")?)?);
    out.extend(units(root)?);
    Ok(out)
}

fn text_of<'a>(files: &'a [(String, String)], path: &str) -> anyhow::Result<&'a str> {
    let found = files.iter().find(|(name, _text)| name == path);
    found.map(|(_name, text)| text.as_str()).with_context(|| format!("there is no {path}"))
}

/// Every text file of the tree with its path from the root, in order; captures are listed with empty text.
fn files(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let entry = entry?;
            let path = entry.path();
            // A work tree's `.git` is a file.
            if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let text = if name.ends_with(".pcap") { Vec::new() } else { std::fs::read(&path)? };
            out.push((name, String::from_utf8(text).unwrap_or_default()));
        }
    }
    out.sort();
    Ok(out)
}

fn metadata(root: &Path) -> anyhow::Result<serde_json::Value> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let text = command::output(command::cargo().current_dir(root).args(arguments))?;
    Ok(serde_json::from_str(&text)?)
}

/// `systemd-analyze verify` on the units, where it is installed. The programs need not be: they are replaced.
fn units(root: &Path) -> anyhow::Result<Vec<String>> {
    if !command::is_there("systemd-analyze") {
        return Ok(Vec::new());
    }
    let folder = command::target(root).join("tidy-units");
    std::fs::create_dir_all(&folder)?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for name in ["sekimori-agent.service", "sekimori-collector.service"] {
        let text = std::fs::read_to_string(root.join("systemd").join(name))?;
        let copy = folder.join(name);
        let text = text.replace("/usr/bin/sekimori-agent", "/bin/true");
        std::fs::write(&copy, text.replace("/usr/bin/sekimori-collector", "/bin/true"))?;
        verify.arg(copy);
    }
    let done = verify.output().context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let lines = said.lines().filter(|line| line.contains("sekimori-"));
    let mut out: Vec<String> = lines.map(|line| format!("systemd: {line}")).collect();
    if !done.status.success() && out.is_empty() {
        out.push(format!("systemd: systemd-analyze verify ended with {}: {}", done.status, said.trim()));
    }
    Ok(out)
}
