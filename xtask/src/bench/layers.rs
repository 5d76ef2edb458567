//! `cargo xtask bench --layers`: which layer the instructions of a packet go to.
//!
//! Each function belongs to the layer of its module. What belongs to none (copying, hashing, sorting, the allocator, the
//! C library) counts for the layers that called it, in the proportion of what it cost them: callgrind knows each edge.

use std::collections::BTreeMap;
use std::path::Path;

use super::instructions;
use crate::install::{self, Purpose};

/// Prefixes of module paths, and the layer; the first that fits.
const LAYERS: [(&str, &str); 19] = [
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
    ("sekimori_wire", "summaries"),
    ("sekimori_sensor", "sensor"),
    ("(below main)", "start and end"),
];
const OTHER: &str = "start and end";
/// Costs passed on from callee to caller settle within so many steps.
const STEPS: usize = 64;
/// Functions shown by their own cost.
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

    /// Instructions of each layer.
    fn layers(&self) -> BTreeMap<&'static str, u64> {
        let own: Vec<Option<&'static str>> = self.0.iter().map(|function| layer(&function.name)).collect();
        let mut out = BTreeMap::new();
        let mut waiting: Vec<u64> = self.0.iter().map(|function| function.own).collect();
        for _ in 0..STEPS {
            let mut next = vec![0; waiting.len()];
            for ((function, cost), layer) in self.0.iter().zip(waiting).zip(&own) {
                let all: u64 = function.callers.values().sum();
                match layer {
                    Some(layer) => *out.entry(*layer).or_default() += cost,
                    None if all == 0 => *out.entry(OTHER).or_default() += cost,
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
        *out.entry(OTHER).or_default() += waiting.iter().sum::<u64>();
        out
    }
}

/// The layer of a function by its own name, or by the type of ours whose method it is.
fn layer(name: &str) -> Option<&'static str> {
    let path = name.trim_start_matches(['<', '&']);
    LAYERS.iter().find(|(prefix, _layer)| path.starts_with(prefix)).map(|(_prefix, layer)| *layer)
}

/// Prints the cost by layer, and the functions that cost most, for each of the fixed captures.
pub(super) fn run(root: &Path, agent: Option<&Path>) -> anyhow::Result<()> {
    install::ensure(Purpose::Count)?;
    let agent = super::agent(root, agent)?;
    let folder = instructions::folder(root)?;
    for capture in instructions::fixed(root, &folder)? {
        let (text, total) = instructions::callgrind(&agent, &capture.path, &folder)?;
        let profile = Profile::parse(&text);
        let by_packet = |cost: u64| cost.checked_div(capture.packets).unwrap_or_default();
        println!(
            "\n### {}: {} packets, {} instructions each\n",
            capture.name,
            capture.packets,
            by_packet(total)
        );
        println!("| layer | instructions per packet | share |\n|---|---:|---:|");
        let mut layers: Vec<(&str, u64)> = profile.layers().into_iter().collect();
        layers.sort_by_key(|(_layer, cost)| std::cmp::Reverse(*cost));
        for (layer, cost) in layers {
            println!("| {layer} | {} | {} % |", by_packet(cost), cost * 100 / total.max(1));
        }
        println!("\nThe functions that cost most by themselves:\n");
        let mut functions: Vec<&Function> = profile.0.iter().collect();
        functions.sort_by_key(|function| std::cmp::Reverse(function.own));
        for function in functions.into_iter().take(SHOWN) {
            println!("{:>8}  {}", by_packet(function.own), function.name);
        }
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
        let layers = Profile::parse(FILE).layers();
        // Of 80 in memcpy and below it, three quarters were for decode.
        assert_eq!(layers["decode"], 105 + 60 - 1, "a part is lost in rounding");
        assert_eq!(layers["flow"], 200 + 20 - 1);
        assert_eq!(layers[OTHER], 1);
    }

    #[test]
    fn functions_belong_to_layers_by_module() {
        assert_eq!(
            layer("<sekimori_sensor::proto::http::Parser as sekimori_sensor::proto::session::Parser>::read"),
            Some("protocols")
        );
        assert_eq!(layer("<&sekimori_agent::capture::file::Files>::next"), Some("reading"));
        assert_eq!(layer("core::ptr::drop_in_place<sekimori_sensor::event::Event>"), None);
    }
}
