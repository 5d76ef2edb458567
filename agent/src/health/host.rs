//! The machine around the agent, as gauges beside the counters: their names begin with `host.`, and what cannot be measured is
//! not there.
//!
//! | gauge | unit |
//! |---|---|
//! | `host.cpu_permille` | of all processors together, since the last look |
//! | `host.memory_available_mib` | what programs could still get |
//! | `host.disk_size_mib` | of the file system with the spool |
//! | `host.temperature_celsius` | the hottest sensor of the machine |
//! | `host.rx_errors`, `host.rx_missed` | frames of the captured interfaces that came damaged, or that the card had no room for; since the agent's start |
//! | `host.merging` | captured interfaces on which the card or the kernel merges received frames (LRO, GRO): their number and sizes are not the wire's |

use std::collections::BTreeMap;
use std::path::Path;

use sysinfo::{Components, System};

use crate::device::Asker;

/// Where the kernel tells of its interfaces.
const INTERFACES: &str = "/sys/class/net";
/// What is read of each: our name, the kernel's.
const RECEIVED: [(&str, &str); 2] = [("host.rx_errors", "rx_errors"), ("host.rx_missed", "rx_missed_errors")];
const MIB: u64 = 1 << 20;
/// No machine runs hotter: such a sensor is broken.
const HOTTEST: f32 = 150.0;

/// What is kept from look to look.
#[derive(Debug)]
pub(super) struct Host {
    components: Option<Components>,
    /// What the kernel had counted when the interface was seen first.
    before: BTreeMap<(String, &'static str), u64>,
    /// The processors were looked at before: only then their use is known.
    looked: bool,
}

impl Host {
    pub(super) fn new() -> Self {
        let components = Components::new_with_refreshed_list()
            .inspect_err(|error| tracing::debug!(?error, "temperatures of this machine cannot be measured"))
            .ok();
        Self { components, before: BTreeMap::new(), looked: false }
    }

    /// Adds what is known now.
    pub(super) fn measure(
        &mut self,
        system: &mut System,
        state: &Path,
        interfaces: impl Iterator<Item = String>,
        to: &mut Vec<(String, u64)>,
    ) {
        system.refresh_cpu_usage();
        system.refresh_memory();
        if self.looked {
            to.push(("host.cpu_permille".to_owned(), whole(system.global_cpu_usage() * 10.0).min(1000)));
        }
        self.looked = true;
        if system.total_memory() > 0 {
            to.push(("host.memory_available_mib".to_owned(), system.available_memory() / MIB));
        }
        if let Ok(stat) = nix::sys::statvfs::statvfs(state) {
            let size = stat.blocks().saturating_mul(stat.fragment_size());
            to.push(("host.disk_size_mib".to_owned(), size / MIB));
        }
        if let Some(degrees) = self.hottest() {
            to.push(("host.temperature_celsius".to_owned(), degrees));
        }
        // What one does not know is not told: a device that went, a kernel that refuses.
        let asker = Asker::new().ok();
        let (mut merging, mut asked) = (0, false);
        for interface in interfaces {
            if let Some(offloads) = asker.as_ref().and_then(|asker| asker.offloads(&interface).ok()) {
                asked = true;
                merging += u64::from(offloads.gro || offloads.lro);
            }
            for (name, kernel) in RECEIVED {
                if let Some(count) = counted(&interface, kernel) {
                    let before = *self.before.entry((interface.clone(), kernel)).or_insert(count);
                    // An interface that was away counts anew.
                    to.push((name.to_owned(), count.checked_sub(before).unwrap_or(count)));
                }
            }
        }
        if asked {
            to.push(("host.merging".to_owned(), merging));
        }
    }

    fn hottest(&mut self) -> Option<u64> {
        let components = self.components.as_mut()?;
        components.refresh(false);
        let degrees = components.iter().filter_map(sysinfo::Component::temperature);
        let sound = degrees.filter(|degrees| degrees.is_finite() && (0.0..=HOTTEST).contains(degrees));
        sound.max_by(f32::total_cmp).map(whole)
    }
}

/// A figure of the kernel's about an interface.
fn counted(interface: &str, figure: &str) -> Option<u64> {
    let path = Path::new(INTERFACES).join(interface).join("statistics").join(figure);
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and what is measured here is small and positive"
)]
fn whole(value: f32) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_processors_memory_a_disk_and_a_loopback() {
        let mut system = System::new().unwrap();
        let mut host = Host::new();
        let mut measure = |interface: &str| {
            let mut all = Vec::new();
            let interfaces = [interface.to_owned()].into_iter();
            host.measure(&mut system, &std::env::temp_dir(), interfaces, &mut all);
            all.into_iter().collect::<BTreeMap<_, _>>()
        };
        let first = measure("lo");
        assert!(!first.contains_key("host.cpu_permille"), "nothing to compare with: {first:?}");
        assert_eq!((first["host.rx_errors"], first["host.rx_missed"]), (0, 0), "since the start");
        assert!(first["host.disk_size_mib"] > 0);
        assert!(first["host.merging"] <= 1, "{first:?}");
        // Work, so that the processors have something to tell.
        let until = std::time::Instant::now() + std::time::Duration::from_millis(400);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        let second = measure("no-such-interface");
        assert!((1..=1000).contains(&second["host.cpu_permille"]), "{second:?}");
        assert!(second["host.memory_available_mib"] > 0);
        assert!(!second.contains_key("host.rx_errors") && !second.contains_key("host.merging"), "{second:?}");
    }
}
