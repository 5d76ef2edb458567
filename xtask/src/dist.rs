//! `cargo xtask dist`: packages of both programs for Debian and for RPM, with all that belongs to them.
//!
//! ```text
//! build ─► manual, completions, notices, bill of materials (DIR/dist/PROGRAM) ─► cargo-deb, cargo-generate-rpm ─► SHA256SUMS
//! ```
//! The same commit gives the same bytes wherever it lies: paths are left out of the programs, and every time stamp is that of the
//! commit (`SOURCE_DATE_EPOCH`). `--check` builds twice, the second time elsewhere, and compares.

mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::command::{self, cargo, is_there};
use crate::install::{self, Purpose};

/// The tools and their versions: installed once below the target folder.
const TOOLS: [(&str, &str); 2] = [("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1")];
const SIDES: [&str; 2] = ["agent", "collector"];
/// What the agent's program may weigh, on a gateway with little room.
const AGENT_BYTES_MAX: u64 = 10_000_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Only Debian packages, of the programs that are there from a build for development: for tests of how they install.
    development: bool,
    /// Build twice and compare.
    check: bool,
}

impl Options {
    /// Of what was built for development.
    pub(crate) const fn development() -> Self {
        Self { development: true, check: false }
    }

    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self::default()),
            ["--dev"] => Some(Self::development()),
            ["--check"] => Some(Self { check: true, ..Self::default() }),
            _ => None,
        }
    }
}

/// One way of building: from where, into what, with which flags.
struct Way {
    root: PathBuf,
    target: PathBuf,
    profile: &'static str,
    /// Of the last commit, seconds since 1970.
    epoch: String,
    tools: PathBuf,
}

/// Makes everything; the folder that holds it is said.
pub(crate) fn run(root: &Path, options: Options) -> anyhow::Result<()> {
    install::ensure(Purpose::Package)?;
    let target = command::target(root);
    let epoch = command::output(Command::new("git").current_dir(root).args(["log", "-1", "--format=%ct"]))?;
    let way = Way {
        root: root.to_owned(),
        target: if options.development { target.clone() } else { target.join("dist-build") },
        profile: if options.development { "debug" } else { "release" },
        epoch: epoch.trim().to_owned(),
        tools: target.join("tools"),
    };
    way.install_tools(options.development)?;
    let out = target.join(if options.development { "dist-dev" } else { "dist" });
    let made = way.make(&out)?;
    for file in &made {
        println!("{}", file.display());
    }
    if options.check {
        return way.compare(&made);
    }
    Ok(())
}

impl Way {
    /// Only what is missing, by version.
    fn install_tools(&self, only_debian: bool) -> anyhow::Result<()> {
        let wanted = if only_debian { &TOOLS[..1] } else { &TOOLS };
        for (tool, version) in wanted {
            let mark = self.tools.join(format!("{tool}-{version}"));
            if mark.exists() && self.tool(tool).exists() {
                continue;
            }
            let mut install = cargo();
            install.args(["install", "--locked", "--quiet", "--force", "--root"]).arg(&self.tools);
            install.arg(format!("{tool}@{version}")).env("CARGO_TARGET_DIR", self.tools.join("build"));
            eprintln!("xtask: installing {tool} {version}");
            command::run(&mut install)?;
            std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
        }
        // Gigabytes of intermediate results that nobody needs again.
        let build = self.tools.join("build");
        if build.exists() {
            std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        }
        Ok(())
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.tools.join("bin").join(name)
    }

    fn is_release(&self) -> bool {
        self.profile == "release"
    }

    fn programs(&self) -> PathBuf {
        self.target.join(self.profile)
    }

    /// With what makes the bytes depend on the source alone.
    fn set(&self, command: &mut Command) {
        command.current_dir(&self.root).env("SOURCE_DATE_EPOCH", &self.epoch);
        command.env("CARGO_TARGET_DIR", &self.target);
        if !self.is_release() {
            return;
        }
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
        let places = [(&self.root, "/sekimori"), (&home, "/cargo"), (&self.target, "/target")];
        let rust = places.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let c = places.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        let c = c.collect::<Vec<_>>().join(" ");
        command.env("CARGO_ENCODED_RUSTFLAGS", rust.collect::<Vec<_>>().join("\u{1f}"));
        command.env("CFLAGS", &c).env("CXXFLAGS", &c).env("ASFLAGS", &c);
        command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_INCREMENTAL", "0");
    }

    /// Builds (for a release), generates and packs into a folder that is emptied first.
    fn make(&self, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
        if self.is_release() {
            let mut build = cargo();
            self.set(&mut build);
            build.args(["build", "--release", "--locked"]);
            build.args(["--package", "sekimori-agent", "--package", "sekimori-collector"]);
            command::run(&mut build)?;
        }
        if out.exists() {
            std::fs::remove_dir_all(out).with_context(|| format!("cannot remove {}", out.display()))?;
        }
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        for side in SIDES {
            let program = self.programs().join(format!("sekimori-{side}"));
            let parts = self.programs().join("dist").join(side);
            parts::write(&self.root, &program, &parts, &self.epoch)?;
            let bytes = std::fs::metadata(&program)?.len();
            if self.is_release() {
                println!("{}: {:.1} MB", program.display(), parts::megabytes(bytes));
            }
            let fits = side != "agent" || !self.is_release() || bytes <= AGENT_BYTES_MAX;
            ensure!(fits, "the agent's program has {bytes} bytes, more than {AGENT_BYTES_MAX}");
            self.pack(side, out)?;
            std::fs::copy(parts.join("sbom.cdx.json"), out.join(format!("sekimori-{side}.cdx.json")))?;
        }
        sums(out)?;
        files(out)
    }

    fn pack(&self, side: &str, out: &Path) -> anyhow::Result<()> {
        let mut deb = Command::new(self.tool("cargo-deb"));
        self.set(&mut deb);
        let package = format!("sekimori-{side}");
        deb.args(["--no-build", "--locked", "--quiet", "--package", &package, "--output"]).arg(out);
        if !self.is_release() {
            deb.args(["--profile", "dev", "--fast", "--no-strip"]);
        }
        command::run(&mut deb)?;
        if !self.is_release() {
            return Ok(());
        }
        let mut rpm = Command::new(self.tool("cargo-generate-rpm"));
        self.set(&mut rpm);
        rpm.args(["--package", side, "--source-date", &self.epoch, "--target-dir"]).arg(&self.target);
        command::run(rpm.arg("--output").arg(out))
    }

    /// Once more from a copy of the source in another place.
    fn compare(&self, made: &[PathBuf]) -> anyhow::Result<()> {
        let elsewhere = self.target.with_file_name("dist-again");
        if elsewhere.exists() {
            std::fs::remove_dir_all(&elsewhere)?;
        }
        std::fs::create_dir_all(&elsewhere)?;
        let mut clone = Command::new("git");
        let root = elsewhere.join("source");
        command::run(clone.args(["clone", "--quiet", "--no-local"]).arg(&self.root).arg(&root))?;
        let again = Self {
            root,
            target: elsewhere.join("build"),
            epoch: self.epoch.clone(),
            tools: self.tools.clone(),
            profile: self.profile,
        };
        let twice = again.make(&elsewhere.join("dist"))?;
        let mut differ = Vec::new();
        for (once, twice) in made.iter().zip(&twice) {
            ensure!(once.file_name() == twice.file_name(), "the two builds made different files");
            if std::fs::read(once)? != std::fs::read(twice)? {
                differ.push(once.display().to_string());
            }
        }
        if !differ.is_empty() || made.len() != twice.len() {
            bail!(
                "not the same bytes twice: {} (the second build is in {})",
                differ.join(", "),
                elsewhere.display()
            );
        }
        println!("{} files, the same bytes from another place", made.len());
        std::fs::remove_dir_all(&elsewhere).with_context(|| format!("cannot remove {}", elsewhere.display()))
    }
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        all.push(entry?.path());
    }
    all.sort();
    Ok(all)
}

/// `SHA256SUMS`, as `sha256sum --check` reads it.
fn sums(out: &Path) -> anyhow::Result<()> {
    ensure!(is_there("sha256sum"), "sha256sum (coreutils) is missing");
    let names = files(out)?;
    let names = names.iter().filter_map(|path| path.file_name());
    let text = command::output(Command::new("sha256sum").current_dir(out).args(names))?;
    std::fs::write(out.join("SHA256SUMS"), text).context("cannot write SHA256SUMS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        assert_eq!(Options::parse(&[]), Some(Options::default()));
        assert_eq!(Options::parse(&["--check"]), Some(Options { development: false, check: true }));
        assert_eq!(Options::parse(&["--dev"]), Some(Options { development: true, check: false }));
        assert_eq!(Options::parse(&["--release"]), None);
    }
}
