//! Rules about the pure crates: a module uses only those above it, and nothing reaches the world outside.
//!
//! The order is read from the head of each `lib.rs` ("Layers, each uses only those above it: `a`, `b`, …."), so that
//! the document is the rule.

use super::source::{is_generated, without_tests};

/// What a pure crate may not name.
const EFFECTS: [&str; 10] = [
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::os",
];
/// Crates that do IO, start threads, read clocks or draw chance.
const IO_CRATES: [&str; 23] = [
    "anyhow",
    "axum",
    "caps",
    "clap",
    "crossbeam-channel",
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "nix",
    "pcap",
    "pnet",
    "rand",
    "reqwest",
    "rustls",
    "sd-notify",
    "socket2",
    "sqlx",
    "sysinfo",
    "tempfile",
    "tokio",
    "tracing-subscriber",
];

/// The layers named in the head of a `lib.rs`, top first: modules in parentheses are one layer. Empty without such a
/// sentence.
fn listed(lib: &str) -> Vec<Vec<String>> {
    let head: String = lib.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join(" ");
    let Some((_before, after)) = head.split_once("only those above it:") else { return Vec::new() };
    let sentence = after.split_once('.').map_or(after, |(sentence, _rest)| sentence);
    let mut out: Vec<Vec<String>> = Vec::new();
    let mut within = false;
    for (index, piece) in sentence.split('`').enumerate() {
        if index % 2 == 0 {
            if piece.contains(['(', ')']) {
                within = piece.rfind('(') > piece.rfind(')');
            }
            if !within || piece.contains('(') {
                out.push(Vec::new());
            }
        } else if let Some(layer) = out.last_mut() {
            layer.push(piece.to_owned());
        }
    }
    out.retain(|layer| !layer.is_empty());
    out
}

/// `crate::module` named in code (not in comments or tests), with the line.
fn used(text: &str) -> Vec<(usize, String)> {
    let code = without_tests(text);
    let mut out = Vec::new();
    for (number, line) in
        (1..).zip(code.lines()).filter(|(_number, line)| !line.trim_start().starts_with("//"))
    {
        for (at, found) in line.match_indices("crate::") {
            let before = line.get(..at).unwrap_or_default();
            if before.ends_with(|one: char| one.is_alphanumeric() || one == '_') {
                continue;
            }
            let after = line.get(at + found.len()..).unwrap_or_default();
            if let Some(group) = after.strip_prefix('{') {
                let inner = group.split_once('}').map_or(group, |(inner, _rest)| inner);
                out.extend(inner.split(',').map(|one| (number, first_word(one.trim()))));
            } else {
                out.push((number, first_word(after)));
            }
        }
    }
    out
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect()
}

/// Each module uses only modules named before it. `sources` are paths from `src` with their texts.
pub(crate) fn order(name: &str, sources: &[(&str, &str)]) -> Vec<String> {
    let lib = sources.iter().find(|(path, _text)| *path == "lib.rs").map_or("", |(_path, text)| *text);
    let layers = listed(lib);
    if layers.is_empty() {
        return vec![format!("{name}/src/lib.rs: the head does not name the layers")];
    }
    let module_of = |path: &str| first_word(path.split('/').next().unwrap_or_default());
    let generated: Vec<String> = sources
        .iter()
        .filter(|(_path, text)| is_generated(text))
        .map(|(path, _text)| module_of(path))
        .collect();
    let layer = |module: &str| layers.iter().position(|one| one.iter().any(|name| name == module));
    let mut out = Vec::new();
    let is_checked =
        |path: &str, text: &str| path != "lib.rs" && !path.ends_with("tests.rs") && !is_generated(text);
    for (path, text) in sources.iter().filter(|(path, text)| is_checked(path, text)) {
        let module = module_of(path);
        let Some(own) = layer(&module) else {
            out.push(format!("{name}/src/{path}: `{module}` is not among the layers in lib.rs"));
            continue;
        };
        for (line, other) in used(text) {
            let above = layer(&other).is_some_and(|at| at <= own) || generated.contains(&other);
            if !above {
                out.push(format!(
                    "{name}/src/{path}:{line}: `{module}` uses `{other}`, which is not above it"
                ));
            }
        }
    }
    out
}

/// No file of a pure crate names anything with an effect (tests may).
pub(crate) fn purity(path: &str, text: &str) -> Vec<String> {
    let code = (1..).zip(without_tests(text).lines());
    let code = code.filter(|(_number, line)| !line.trim_start().starts_with("//"));
    let is_word = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _found)| {
            let edge = |one: Option<char>| !one.is_some_and(|one| one.is_alphanumeric() || one == '_');
            edge(line.get(..at).and_then(|before| before.chars().next_back()))
                && edge(line.get(at + word.len()..).and_then(|after| after.chars().next()))
        })
    };
    let hit = |(number, line): (usize, &str)| {
        let effect = EFFECTS.iter().find(|effect| is_word(line, effect))?;
        Some(format!("{path}:{number}: a pure crate names `{effect}`"))
    };
    code.filter_map(hit).collect()
}

/// The manifest of a pure crate has no dependency that does IO (development dependencies may).
pub(crate) fn manifest(name: &str, text: &str) -> Vec<String> {
    let mut section = "";
    let mut out = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        }
        let dependency = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if section == "[dependencies]" && IO_CRATES.contains(&dependency) {
            out.push(format!("{name}/Cargo.toml: a pure crate depends on `{dependency}`"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! Head.\n//!\n//! Layers, each uses only those above it: `a`,\n//! `b`, `c`.\n//! `d` is no layer.\n";

    fn check(path: &str, text: &str, expect: usize) {
        let found = order("x", &[("lib.rs", LIB), ("g.rs", "// @generated\n"), (path, text)]);
        assert_eq!(found.len(), expect, "{found:?}");
    }

    #[test]
    fn a_module_uses_only_those_above_it() {
        assert_eq!(listed(LIB), [["a"], ["b"], ["c"]]);
        let grouped = listed("//! Each uses only those above it: `a`, (`b`, `c`: one layer), `d`, (`e`).\n");
        assert_eq!(grouped, [vec!["a"], vec!["b", "c"], vec!["d"], vec!["e"]]);
        check("b.rs", "use crate::a::X;\nuse crate::b::Y;\nuse crate::g::G;\n", 0);
        check("a.rs", "use crate::b::X;\n", 1);
        check("b/inner.rs", "    let x = crate::c::f();\n", 1);
        check("a.rs", "use crate::{b::X, c::Y};\n", 2);
        check("a.rs", "/// See [`crate::c`].\n// crate::b\n", 0);
        check("a.rs", "#[cfg(test)]\nmod tests { use crate::c::X; }\n", 0);
        check("a/tests.rs", "use crate::c::X;\n", 0);
        check("e.rs", "", 1);
        assert_eq!(order("x", &[("lib.rs", "//! Nothing.\n")]).len(), 1);
    }

    #[test]
    fn effects_are_found_in_code_only() {
        assert_eq!(purity("p", "let now = std::time::SystemTime::now();\n").len(), 1);
        assert_eq!(purity("p", "use std::fs::File;\n").len(), 1);
        assert!(purity("p", "// Instant is banned\nlet x = Instantly;\nuse core::net::IpAddr;\n").is_empty());
        assert!(purity("p", "#[cfg(test)]\nmod tests { use std::fs; }\n").is_empty());
    }

    #[test]
    fn manifests_of_pure_crates_have_no_io() {
        let text = "[dependencies]\nprost.workspace = true\ntokio = \"1\"\n[dev-dependencies]\ntempfile.workspace = true\n";
        assert_eq!(manifest("x", text), ["x/Cargo.toml: a pure crate depends on `tokio`"]);
    }
}
