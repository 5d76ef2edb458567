//! `cargo xtask bench --layers`: which layer the instructions of a packet go to.
//!
//! Each function belongs to the layer of its module. What belongs to none (maps, copying, hashing, sorting, the allocator,
//! the C library) counts for the layers that called it, in the proportion of what it cost them: callgrind knows each edge.

use std::collections::BTreeMap;
use std::path::Path;

use super::instructions;
use crate::install::{self, Purpose};

/// Prefixes of module paths, and the layer; the first that fits.
const LAYERS: [(&str, &str); 17] = [
    ("sekimori_sensor::decode", "decode"),
    ("sekimori_sensor::flow", "flow"),
    ("sekimori_sensor::proto", "protocols"),
    ("sekimori_sensor::domain", "protocols"),
    ("sekimori_sensor::event", "events"),
    ("sekimori_sensor::observe", "observing"),
    ("sekimori_sensor::baseline", "detectors"),
    ("sekimori_sensor::detect", "detectors"),
    ("sekimori_sensor::intel", "detectors"),
    ("sekimori_sensor::alert", "detectors"),
    ("sekimori_sensor::summarize", "summaries"),
    ("sekimori_sensor::sensor", "sensor"),
    ("sekimori_sensor::segment", "sensor"),
    ("sekimori_agent::capture", "reading"),
    ("sekimori_agent::replay", "replay"),
    ("sekimori_agent", "replay"),
    ("sekimori_sensor", "sensor"),
];
/// Ours, but tools in the hands of every layer: they count for who uses them.
const TOOLS: [&str; 2] = ["sekimori_sensor::bounded", "sekimori_wire"];
const OTHER: &str = "start and end";
/// Costs passed on from callee to caller settle within so many steps.
const STEPS: usize = 64;
/// Modules and functions shown.
const SHOWN: usize = 25;

/// A function in callgrind's file.
#[derive(Debug, Default)]
struct Function {
    name: String,
    own: u64,
    /// Callers, and what it cost them with all that it called.
    callers: BTreeMap<usize, u64>,
}

/// All functions of a run.
#[derive(Debug, Default)]
struct Profile(Vec<Function>);

impl Profile {
    /// Reads callgrind's format: names are given once and then by number; a line after `calls=` is the cost of the callee.
    fn parse(text: &str) -> Self {
        let mut out = Self::default();
        let mut numbers = BTreeMap::new();
        let (mut caller, mut callee, mut is_call) = (0, 0, false);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                caller = out.number(&mut numbers, name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = out.number(&mut numbers, name);
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost =
                    line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or_default();
                let of = if is_call { callee } else { caller };
                if let Some(function) = out.0.get_mut(of) {
                    if is_call {
                        *function.callers.entry(caller).or_default() += cost;
                    } else {
                        function.own += cost;
                    }
                }
                is_call = false;
            }
        }
        out
    }

    /// The function of `(12) name` or `(12)`.
    fn number(&mut self, numbers: &mut BTreeMap<String, usize>, text: &str) -> usize {
        let (id, name) = text.split_once(' ').unwrap_or((text, ""));
        *numbers.entry(id.to_owned()).or_insert_with(|| {
            self.0.push(Function { name: name.to_owned(), ..Function::default() });
            self.0.len() - 1
        })
    }

    /// Instructions of each module.
    fn modules(&self) -> BTreeMap<String, u64> {
        let own: Vec<Option<&str>> = self.0.iter().map(|function| module(&function.name)).collect();
        let mut out: BTreeMap<String, u64> = BTreeMap::new();
        let mut waiting: Vec<u64> = self.0.iter().map(|function| function.own).collect();
        for _ in 0..STEPS {
            let mut next = vec![0; waiting.len()];
            for ((function, cost), module) in self.0.iter().zip(waiting).zip(&own) {
                let all: u64 = function.callers.values().sum();
                match module {
                    Some(module) => *out.entry((*module).to_owned()).or_default() += cost,
                    None if all == 0 => *out.entry(String::new()).or_default() += cost,
                    None => {
                        for (caller, share) in &function.callers {
                            let part = u128::from(cost) * u128::from(*share) / u128::from(all);
                            if let Some(place) = next.get_mut(*caller) {
                                *place += u64::try_from(part).unwrap_or_default();
                            }
                        }
                    }
                }
            }
            waiting = next;
        }
        // What went round in circles.
        *out.entry(String::new()).or_default() += waiting.iter().sum::<u64>();
        out
    }
}

/// The module of a function of ours, or of the type whose method it is: at most two names below the crate.
fn module(name: &str) -> Option<&str> {
    let path = name.trim_start_matches(['<', '&']);
    if !path.starts_with("sekimori_") || TOOLS.iter().any(|tool| path.starts_with(tool)) {
        return None;
    }
    let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == ':';
    let path = path.split(|one: char| !is_word(one)).next().unwrap_or_default();
    let mut end = 0;
    for (number, part) in path.split("::").enumerate() {
        // A type is no module; nor is the last name, which is the function.
        let after = end + part.len() + if number == 0 { 0 } else { 2 };
        let is_last = after >= path.len() && number > 0;
        if number > 2 || is_last || part.starts_with(|first: char| first.is_ascii_uppercase()) {
            break;
        }
        end = after;
    }
    path.get(..end)
}

/// The layer of a module.
fn layer(module: &str) -> &'static str {
    let found = LAYERS.iter().find(|(prefix, _layer)| module.starts_with(prefix));
    found.map_or(OTHER, |(_prefix, layer)| layer)
}

/// Prints two columns, the dearest first.
fn print(title: &str, costs: impl Iterator<Item = (String, u64)>, packets: u64, total: u64) {
    let mut costs: Vec<(String, u64)> = costs.collect();
    costs.sort_by_key(|(_name, cost)| std::cmp::Reverse(*cost));
    println!("\n| {title} | instructions per packet | share |\n|---|---:|---:|");
    for (name, cost) in costs.into_iter().take(SHOWN) {
        let (each, permille) = (cost.checked_div(packets).unwrap_or_default(), cost * 1_000 / total.max(1));
        println!("| {name} | {each} | {}.{} % |", permille / 10, permille % 10);
    }
}

/// Prints the cost by layer, and the functions that cost most, for each of the fixed captures.
pub(super) fn run(root: &Path, agent: Option<&Path>) -> anyhow::Result<()> {
    install::ensure(Purpose::Count)?;
    let agent = super::agent(root, agent)?;
    let folder = instructions::folder(root)?;
    for capture in instructions::fixed(root, &folder)? {
        let (text, total) = instructions::callgrind(&agent, &capture.path, &folder)?;
        let profile = Profile::parse(&text);
        let each = total.checked_div(capture.packets).unwrap_or_default();
        println!("\n### {}: {} packets, {each} instructions each", capture.name, capture.packets);
        let modules = profile.modules();
        let mut layers: BTreeMap<&str, u64> = BTreeMap::new();
        for (module, cost) in &modules {
            *layers.entry(layer(module)).or_default() += cost;
        }
        let layers = layers.into_iter().map(|(layer, cost)| (layer.to_owned(), cost));
        print("layer", layers, capture.packets, total);
        print("module, with what it calls of no module", modules.into_iter(), capture.packets, total);
        let functions = profile.0.into_iter().map(|function| (format!("`{}`", function.name), function.own));
        print("function by itself", functions, capture.packets, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "events: Ir\nfn=(1) sekimori_sensor::decode::frame\n10 100\n+2 5\ncfn=(2) memcpy\ncalls=3 0\n* 60\n\n\
        fn=(3) <sekimori_sensor::flow::Table as core::fmt::Debug>::fmt\n7 200\ncfn=(2)\ncalls=1 0\n8 20\n\n\
        fn=(2)\n0 70\ncfn=(4) copy\ncalls=1 0\n0 10\n\nfn=(4)\n0 10\n\nfn=(5) alone\n0 1\ntotals: 386\n";

    #[test]
    fn what_belongs_to_no_layer_counts_for_its_callers() {
        let modules = Profile::parse(FILE).modules();
        // Of 80 in memcpy and below it, three quarters were for decode.
        assert_eq!(modules["sekimori_sensor::decode"], 105 + 60 - 1, "a part is lost in rounding");
        assert_eq!(modules["sekimori_sensor::flow"], 200 + 20 - 1);
        assert_eq!(modules[""], 1);
    }

    #[test]
    fn functions_belong_to_modules_and_those_to_layers() {
        let check = |name: &str, expect: Option<&str>| assert_eq!(module(name), expect, "{name}");
        let parser =
            "<sekimori_sensor::proto::http::Parser as sekimori_sensor::proto::session::Parser>::read";
        check(parser, Some("sekimori_sensor::proto::http"));
        check("<&sekimori_agent::capture::file::Files>::next", Some("sekimori_agent::capture::file"));
        check("sekimori_sensor::bounded::map::Map<K,V>::find", None);
        check("sekimori_sensor::sensor::Stage::handle_event'2", Some("sekimori_sensor::sensor"));
        check("sekimori_agent::main", Some("sekimori_agent"));
        check("core::ptr::drop_in_place<sekimori_sensor::event::Event>", None);
        assert_eq!(layer("sekimori_sensor::proto::http"), "protocols");
        assert_eq!(layer(""), OTHER);
    }
}
