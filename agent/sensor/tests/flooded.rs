//! A million strangers do not blind the sensor, and it does not grow with them: every capture of `pcaps/` that must fire fires
//! in the middle of a flood.
#![expect(clippy::disallowed_methods, reason = "the crate does no IO; its test reads captures")]
#![expect(unsafe_code, reason = "an allocator that counts implements an unsafe trait")]

#[cfg(test)]
#[path = "corpora/captures.rs"]
mod captures;

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use etherparse::PacketBuilder;
    use sekimori_sensor::frame::{Frame, LinkType};
    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::Options;
    use sekimori_sensor::segment::Policy;
    use sekimori_sensor::sensor::{Keep, Sensor, SensorConfig};
    use sekimori_wire::record::Record;
    use sekimori_wire::time::Timestamp;
    use serde_json::Value;

    use crate::captures::{Capture, below};

    struct Counting;

    static HELD: AtomicUsize = AtomicUsize::new(0);

    // SAFETY: every call goes to the system's allocator as it came; the count is atomic.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            HELD.fetch_add(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(place, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// Strangers of each flood.
    const STRANGERS: u32 = 1_000_000;
    /// What the sensor may hold with that table: a million strangers with a hundred bytes each would be twice as much.
    const BYTES_MAX: usize = 48 << 20;
    /// A table that the flood fills several times over while a capture lasts.
    const FLOWS: usize = 8_192;
    /// Rules of other tests' configurations decide about these.
    const NEED_CONFIGURATION: [&str; 1] = ["config"];

    type Frames = Vec<(Timestamp, LinkType, u32, Vec<u8>)>;

    struct Positive {
        path: PathBuf,
        frames: Frames,
        /// Category, originator, responder: as far as they are given.
        expect: Vec<BTreeMap<String, String>>,
    }

    /// One positive capture of each category that needs no configuration, small ones first.
    fn positives() -> Vec<Positive> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
        let mut captures: Vec<PathBuf> = below(&root)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "pcap"))
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("positive-"))
            .collect();
        captures.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
        let mut categories = BTreeSet::new();
        let mut out = Vec::new();
        for path in captures {
            let expected: Value =
                serde_json::from_slice(&std::fs::read(path.with_extension("expected.json")).unwrap())
                    .unwrap();
            let category = path.parent().unwrap().file_name().unwrap().to_owned();
            if NEED_CONFIGURATION.iter().any(|key| expected.get(key).is_some())
                || !categories.insert(category)
            {
                continue;
            }
            let text = |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap().to_owned());
            let expect = expected["expect"].as_array().unwrap().iter();
            let expect = expect.map(|one| one.as_object().unwrap().iter().map(text).collect()).collect();
            let bytes = std::fs::read(&path).unwrap();
            let mut frames = Vec::new();
            Capture::of(&bytes).unwrap().frames(|frame| {
                frames.push((frame.at, frame.link, frame.wire_len, frame.bytes.to_vec()));
            });
            out.push(Positive { path, frames, expect });
        }
        assert!(out.len() >= 20, "{} categories", out.len());
        out
    }

    /// The frames of a stranger.
    type Flood = fn(u32) -> Vec<u8>;

    fn address(number: u32) -> [u8; 4] {
        // Outside addresses only, each once.
        let [_, b, c, d] = number.to_be_bytes();
        [101 + (number >> 24 & 7).to_le_bytes()[0], b, c, d]
    }

    fn spoofed_sources(number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(address(number), [192, 168, 200, 1], 64)
            .tcp(u16::try_from(number % 60_000).unwrap() + 1_024, 443, number, 1_024)
            .syn()
            .write(&mut bytes, b"")
            .unwrap();
        bytes
    }

    fn names(number: u32) -> Vec<u8> {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let label = format!("x{number:07}");
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
        query.extend_from_slice(b"\x07example\0\0\x01\0\x01");
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([192, 168, 200, 7], [192, 168, 200, 53], 64)
            .udp(u16::try_from(number % 60_000).unwrap() + 1_024, 53)
            .write(&mut bytes, &query)
            .unwrap();
        bytes
    }

    fn ports(number: u32) -> Vec<u8> {
        let [high, low, ..] = (number >> 16).to_le_bytes();
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([192, 168, 200, 9], [192, 168, 201 + high, low], 64)
            .tcp(40_000, u16::try_from(number & 0xffff).unwrap().max(1), number, 1_024)
            .syn()
            .write(&mut bytes, b"")
            .unwrap();
        bytes
    }

    fn sensor() -> Sensor {
        Sensor::new(SensorConfig {
            limits: Limits { flows: FLOWS, ..Limits::gateway() },
            segments: Policy::default_private(),
            seed: 5,
            user_key: [0; 32],
            observe: Options::default(),
            keep: Keep::Nothing,
            intel: std::sync::Arc::default(),
            exceptions: sekimori_wire::exception::Exceptions::default(),
            mappings: built_in(),
            hosts: Default::default(),
        })
    }

    /// All captures one after the other, in a flood that never stops: what was found, and the most that was held.
    fn run(positives: &[Positive], flood: Flood) -> (BTreeSet<[String; 3]>, usize, u64) {
        let before = HELD.load(Ordering::Relaxed);
        let mut sensor = sensor();
        let mut found = BTreeSet::new();
        let mut most = 0;
        let mut collect = |sensor: &mut Sensor| {
            while let Some(record) = sensor.poll_record() {
                let finding = match record {
                    Record::Finding(finding) => Some(*finding),
                    Record::EndpointAlert(alert) => Some(alert.to_finding()),
                    Record::Summary(_) | Record::Health(_) | Record::Gap(_) => None,
                };
                if let Some(finding) = finding {
                    let name = |host: Option<sekimori_wire::id::Host>| {
                        host.map(|host| host.to_string()).unwrap_or_default()
                    };
                    let ends = (name(finding.originator), name(finding.responder));
                    found.insert([finding.category.to_string(), ends.0, ends.1]);
                }
            }
            most = most.max(HELD.load(Ordering::Relaxed).saturating_sub(before));
        };
        let mut base = Timestamp::from_secs(1_700_000_000);
        let each = STRANGERS / u32::try_from(positives.len()).unwrap() + 1;
        let mut strangers = 0..STRANGERS;
        for positive in positives {
            let first = positive.frames.first().unwrap().0;
            let shifted = |at: Timestamp| base.plus(at.since(first));
            let last = shifted(positive.frames.iter().map(|one| one.0).max().unwrap());
            // The flood begins with the capture and lasts as long, at most a minute.
            let span = last.since(base).min(Duration::from_secs(60)).max(Duration::from_secs(1));
            let mut flood_at = (0..each).map(|number| base.plus(span * number / each)).peekable();
            for (at, link, wire_len, bytes) in &positive.frames {
                let at = shifted(*at);
                while let Some(when) = flood_at.next_if(|when| *when <= at) {
                    if let Some(number) = strangers.next() {
                        stranger(&mut sensor, when, &flood(number));
                    }
                }
                sensor.handle_frame(&Frame { at, link: *link, bytes, wire_len: *wire_len, vlan: None });
                collect(&mut sensor);
            }
            for when in flood_at {
                if let Some(number) = strangers.next() {
                    stranger(&mut sensor, when, &flood(number));
                }
            }
            collect(&mut sensor);
            base = last.max(base.plus(span)).plus(Duration::from_secs(600));
        }
        assert!(strangers.next().is_none(), "all of the flood came");
        let evicted =
            sensor.counters().iter().filter(|(name, _)| name.contains("evicted")).map(|(_, n)| n).sum();
        sensor.finish();
        collect(&mut sensor);
        (found, most, evicted)
    }

    /// The mappings that come with the agent.
    fn built_in() -> std::sync::Arc<sekimori_sensor::alert::Mappings> {
        let read = |(_, text): &(&str, &str)| toml::from_str(text).expect("a mapping");
        let all = sekimori_sensor::alert::BUILT_IN.iter().map(read);
        std::sync::Arc::new(sekimori_sensor::alert::Mappings::new(all).expect("they fit together"))
    }

    fn stranger(sensor: &mut Sensor, at: Timestamp, bytes: &[u8]) {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        sensor.handle_frame(&Frame { at, link: LinkType::RawIp, bytes, wire_len, vlan: None });
    }

    fn check(name: &str, flood: Flood) {
        let positives = positives();
        let (found, most, evicted) = run(&positives, flood);
        let mut missed = Vec::new();
        for positive in &positives {
            for expect in &positive.expect {
                let fits = |one: &[String; 3]| {
                    let is = |key: &str, at: usize| expect.get(key).is_none_or(|value| *value == one[at]);
                    is("category", 0) && is("originator", 1) && is("responder", 2)
                };
                if !found.iter().any(fits) {
                    missed.push(format!("{}: {expect:?}", positive.path.display()));
                }
            }
        }
        println!("{name}: at most {} MiB held, {evicted} states evicted and counted", most >> 20);
        assert!(missed.is_empty(), "{name}: {missed:#?}");
        assert!(most < BYTES_MAX, "{name}: {} MiB", most >> 20);
        assert!(evicted > 0, "{name}: what was evicted is counted");
    }

    #[test]
    fn a_million_strangers_blind_nobody() {
        // One after the other: what is held is counted for the whole program.
        check("forged sources", spoofed_sources);
        check("names", names);
        check("ports", ports);
    }
}
