//! Rules about dependencies: each has a licence that `deny.toml` allows, and comes from crates.io.
//!
//! `cargo deny` says the same and more where it is installed; this needs nothing but cargo.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::Value;

/// Every package of the lock file against the allow-list of `deny.toml`.
pub(crate) fn packages(metadata: &Value, deny: &str) -> anyhow::Result<Vec<String>> {
    let allowed = allow_list(deny);
    let mut out = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata names no packages")? {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        let excepted =
            exceptions(deny).iter().any(|(of, licence)| *of == text("name") && *licence == text("license"));
        if !excepted && !is_allowed(text("license"), &allowed) {
            out.push(format!("{name}: licence \"{}\" is not allowed by deny.toml", text("license")));
        }
        let source = text("source");
        if !source.is_empty() && !source.starts_with("registry+") {
            out.push(format!("{name}: comes from {source}, not from crates.io"));
        }
    }
    Ok(out)
}

/// The quoted words of `allow = [ … ]` in the section `[licenses]`.
fn allow_list(deny: &str) -> BTreeSet<&str> {
    let section = deny.split_once("[licenses]").map_or("", |(_before, after)| after);
    let list = section.split_once("allow = [").map_or("", |(_before, after)| after);
    let list = list.split_once(']').map_or("", |(list, _after)| list);
    list.split('"').skip(1).step_by(2).collect()
}

/// Packages that may have a licence that others may not: `{ crate = "…", allow = ["…"] }`, one a line.
fn exceptions(deny: &str) -> Vec<(&str, &str)> {
    let lines = deny
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split_once("\", allow = [\""));
    lines.map(|(name, rest)| (name, rest.split('"').next().unwrap_or_default())).collect()
}

/// Whether an SPDX expression can be met with allowed licences. The old `A/B` means `A OR B`.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any_of(words, allowed);
        return words.next() == Some(")") && met;
    }
    let Some(name) = words.next() else { return false };
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next().unwrap_or_default();
        return allowed.contains(format!("{name} WITH {exception}").as_str());
    }
    allowed.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expect: bool) {
        let deny = "[bans]\nallow = [\"GPL-3.0\"]\n[licenses]\nallow = [\n \"MIT\",\n \"Apache-2.0\", \"ISC\",\n \"Apache-2.0 WITH LLVM-exception\",\n]\n";
        assert_eq!(is_allowed(expression, &allow_list(deny)), expect, "{expression}");
    }

    #[test]
    fn spdx_expressions() {
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("MIT AND GPL-3.0", false);
        check("ISC AND (MIT OR GPL-3.0)", true);
        check("(GPL-3.0 AND MIT) OR GPL-3.0", false);
        check("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true);
        check("MIT WITH other", false);
        check("", false);
        check("MIT MIT", false);
    }

    #[test]
    fn an_exception_is_for_one_package_and_one_licence() {
        let deny =
            "[licenses]\nallow = [\"MIT\"]\nexceptions = [\n  { crate = \"a\", allow = [\"MPL-2.0\"] },\n]\n";
        let package =
            |name: &str, licence: &str| serde_json::json!({"name": name, "version": "1", "license": licence});
        let all = [package("a", "MPL-2.0"), package("b", "MPL-2.0"), package("a", "GPL-3.0")];
        let found = packages(&serde_json::json!({ "packages": all }), deny).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn packages_from_elsewhere_are_named() {
        let metadata = serde_json::json!({"packages": [
            {"name": "a", "version": "1", "license": "MIT", "source": "registry+https://crates.example"},
            {"name": "b", "version": "2", "license": "MIT", "source": "git+https://git.example"},
            {"name": "ours", "version": "3", "license": "MIT", "source": null},
        ]});
        let found = packages(&metadata, "[licenses]\nallow = [\"MIT\"]\n").unwrap();
        assert_eq!(found, ["b 2: comes from git+https://git.example, not from crates.io"]);
    }
}
