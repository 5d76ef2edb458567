//! What a package holds besides the program: manual, completions, the licences of everything in it, and the bill of materials.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::command::{self, cargo};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];
/// How files with a licence begin.
const LICENCE_FILES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

pub(super) fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// Writes everything into a folder that is emptied first.
pub(super) fn write(root: &Path, program: &Path, folder: &Path, epoch: &str) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let manual = folder.join("man");
    std::fs::create_dir_all(&manual).with_context(|| format!("cannot make {}", manual.display()))?;
    command::run(Command::new(program).arg("manual").arg(&manual))?;
    for page in super::files(&manual)? {
        command::run(Command::new("gzip").args(["--no-name", "--best"]).arg(page))?;
    }
    for shell in SHELLS {
        let text = command::output(Command::new(program).args(["completions", shell]))?;
        std::fs::write(folder.join(shell), text)?;
    }
    let name = program.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
    let parts = Parts::of(root, name)?;
    std::fs::write(folder.join("copyright"), parts.notices(root)?)?;
    let bill = serde_json::to_string_pretty(&parts.bill(epoch)?)?;
    std::fs::write(folder.join("sbom.cdx.json"), bill + "\n")?;
    Ok(())
}

/// The packages that a program is made of, from cargo's own account.
struct Parts {
    packages: BTreeMap<String, Value>,
    /// By package, what it uses.
    uses: BTreeMap<String, BTreeSet<String>>,
    /// The program's own.
    own: String,
    /// SHA-256 of what came from the registry, by name and version.
    sums: BTreeMap<(String, String), String>,
}

impl Parts {
    fn of(root: &Path, name: &str) -> anyhow::Result<Self> {
        let version = command::output(Command::new("rustc").arg("-vV"))?;
        let host =
            version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let words = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
        let text = command::output(cargo().current_dir(root).args(words))?;
        let metadata: Value = serde_json::from_str(&text)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all: BTreeMap<String, Value> = list(at(&metadata, "packages"))
            .into_iter()
            .map(|package| (text(at(&package, "id")), package))
            .collect();
        let own = all.iter().find(|(_, package)| at(package, "name") == name).map(|(id, _)| id.clone());
        let own = own.with_context(|| format!("no package is called {name}"))?;
        let mut uses = BTreeMap::new();
        for node in list(at(at(&metadata, "resolve"), "nodes")) {
            // What only tests or build scripts use is not in the program.
            let normal =
                |edge: &Value| list(at(edge, "dep_kinds")).iter().any(|kind| at(kind, "kind").is_null());
            let edges = list(at(&node, "deps"));
            let used = edges.iter().filter(|edge| normal(edge)).map(|edge| text(at(edge, "pkg"))).collect();
            uses.insert(text(at(&node, "id")), used);
        }
        let mut parts = Self { packages: BTreeMap::new(), uses, own: own.clone(), sums: sums(root)? };
        let mut next = VecDeque::from([own]);
        while let Some(id) = next.pop_front() {
            if parts.packages.contains_key(&id) {
                continue;
            }
            let package = all.get(&id).with_context(|| format!("cargo does not describe {id}"))?;
            parts.packages.insert(id.clone(), package.clone());
            next.extend(parts.uses.get(&id).into_iter().flatten().cloned());
        }
        ensure!(parts.packages.len() > 1, "{name} would be made of nothing");
        Ok(parts)
    }

    /// Every package with its licence, and the texts, each once.
    fn notices(&self, root: &Path) -> anyhow::Result<String> {
        let mut out = String::from(
            "Sekimori. Licence: Apache-2.0 OR MIT, at your choice.\n\nThe program also holds the packages below, each under its own licence. The texts follow.\n\n",
        );
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in self.packages.values() {
            let text = |key: &str| at(package, key).as_str().unwrap_or_default();
            let name = format!("{} {}", text("name"), text("version"));
            out.push_str(&format!("{name}: {}, {}\n", text("license"), text("repository")));
            let manifest = Path::new(text("manifest_path"));
            let own = at(package, "source").is_null();
            let folder = if own { root } else { manifest.parent().context("a manifest lies in a folder")? };
            for file in super::files(folder)? {
                let file_name =
                    file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
                if file.is_file() && LICENCE_FILES.iter().any(|begin| file_name.starts_with(begin)) {
                    let bytes =
                        std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                    let licence = String::from_utf8_lossy(&bytes).trim().replace("\r\n", "\n");
                    texts.entry(licence).or_default().push(name.clone());
                }
            }
        }
        for (licence, names) in &texts {
            out.push_str(&format!("\n{}\n{}\n\n{licence}\n", "-".repeat(80), names.join(", ")));
        }
        Ok(out)
    }

    /// `CycloneDX` 1.5.
    fn bill(&self, epoch: &str) -> anyhow::Result<Value> {
        let when = command::output(
            Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"]).arg(format!("@{epoch}")),
        )?;
        let own = self.packages.get(&self.own).context("the program is one of its parts")?;
        let others = self.packages.iter().filter(|(id, _)| **id != self.own);
        let components: Vec<Value> = others.map(|(_, package)| self.component(package, "library")).collect();
        let dependencies: Vec<Value> = self
            .packages
            .iter()
            .map(|(id, package)| {
                let used = self.uses.get(id).into_iter().flatten().filter_map(|id| self.packages.get(id));
                json!({ "ref": reference(package), "dependsOn": used.map(reference).collect::<Vec<_>>() })
            })
            .collect();
        Ok(json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": when.trim(),
                "tools": [{ "vendor": "Sekimori", "name": "cargo xtask dist", "version": env!("CARGO_PKG_VERSION") }],
                "component": self.component(own, "application"),
            },
            "components": components,
            "dependencies": dependencies,
        }))
    }

    fn component(&self, package: &Value, kind: &str) -> Value {
        let text = |key: &str| at(package, key).as_str().unwrap_or_default().to_owned();
        let component = json!({
            "type": kind,
            "bom-ref": reference(package),
            "name": text("name"),
            "version": text("version"),
            "description": text("description").trim(),
            "licenses": [{ "expression": text("license").replace('/', " OR ") }],
        });
        let mut component = component.as_object().cloned().unwrap_or_default();
        if let Some(sum) = self.sums.get(&(text("name"), text("version"))) {
            component.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": sum }]));
            component.insert("purl".to_owned(), reference(package).into());
        }
        component.into()
    }
}

fn at<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn reference(package: &Value) -> String {
    let text = |key: &str| at(package, key).as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

/// The checksums of `Cargo.lock`.
fn sums(root: &Path) -> anyhow::Result<BTreeMap<(String, String), String>> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    Ok(lock.split("[[package]]").filter_map(locked).collect())
}

fn locked(block: &str) -> Option<((String, String), String)> {
    let value = |key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line?.strip_suffix('"').map(str::to_owned)
    };
    Some(((value("name")?, value("version")?), value("checksum")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_names_checksums() {
        let block = "\nname = \"anyhow\"\nversion = \"1.0.1\"\nsource = \"registry\"\nchecksum = \"ab12\"\n";
        let known = (("anyhow".to_owned(), "1.0.1".to_owned()), "ab12".to_owned());
        assert_eq!(locked(block), Some(known));
        assert_eq!(locked("\nname = \"xtask\"\nversion = \"0.1.0\"\n"), None, "ours have none");
    }

    #[test]
    fn a_program_is_made_of_what_it_uses() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let parts = Parts::of(root, "sekimori-agent").unwrap();
        let bill = parts.bill("0").unwrap();
        assert_eq!(bill["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        let components = bill["components"].as_array().unwrap();
        let named = |name: &str| components.iter().find(|one| one["name"] == name);
        let rustls = named("rustls").unwrap();
        assert_eq!(rustls["hashes"][0]["content"].as_str().map(str::len), Some(64));
        assert!(named("sekimori-wire").unwrap()["hashes"].is_null(), "ours comes from no registry");
        assert!(
            named("proptest").is_none() && named("axum").is_none(),
            "neither tests nor the other program"
        );
        let used: Vec<&Value> = bill["dependencies"].as_array().unwrap().iter().collect();
        assert_eq!(used.len(), components.len() + 1);
        let notices = parts.notices(root).unwrap();
        assert!(notices.contains("\nrustls 0.") && notices.contains("Permission is hereby granted"));
    }
}
