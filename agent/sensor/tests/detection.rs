//! The whole sensor on real captures. They are not part of the repository: `SEKIMORI_CORPORA` names their folder;
//! without it these tests say so and check nothing.
#![expect(clippy::disallowed_methods, reason = "the crate does no IO; its test reads captures")]

#[cfg(test)]
#[path = "corpora/captures.rs"]
mod captures;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::Options;
    use sekimori_sensor::segment::Policy;
    use sekimori_sensor::sensor::{Keep, Sensor, SensorConfig};
    use sekimori_wire::record::Record;

    use crate::captures::Capture;

    /// Every record of a capture, or `None` for a format that this test does not read.
    fn records(path: &Path, seed: u64) -> Option<Vec<Record>> {
        let bytes = fs::read(path).unwrap();
        let capture = Capture::of(&bytes)?;
        let mut sensor = Sensor::new(SensorConfig {
            limits: Limits::gateway(),
            segments: Policy::default_private(),
            seed,
            user_key: [0; 32],
            observe: Options::default(),
            keep: Keep::Nothing,
            intel: std::sync::Arc::default(),
            exceptions: sekimori_wire::exception::Exceptions::default(),
            mappings: built_in(),
            hosts: Default::default(),
        });
        let mut records = Vec::new();
        capture.frames(|frame| {
            sensor.handle_frame(frame);
            records.extend(std::iter::from_fn(|| sensor.poll_record()));
        });
        sensor.finish();
        records.extend(std::iter::from_fn(|| sensor.poll_record()));
        Some(records)
    }

    /// The mappings that come with the agent.
    fn built_in() -> std::sync::Arc<sekimori_sensor::alert::Mappings> {
        let read = |(_, text): &(&str, &str)| toml::from_str(text).expect("a mapping");
        let all = sekimori_sensor::alert::BUILT_IN.iter().map(read);
        std::sync::Arc::new(sekimori_sensor::alert::Mappings::new(all).expect("they fit together"))
    }

    #[test]
    fn every_capture_ends_and_the_seed_never_shows() {
        let Some(folder) = std::env::var_os("SEKIMORI_CORPORA").map(PathBuf::from) else {
            println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
            return;
        };
        for part in ["attack", "benign", "malformed", "formats", "protocol"] {
            for path in crate::captures::below(&folder.join(part)) {
                assert_eq!(records(&path, 1), records(&path, 2), "{}", path.display());
            }
        }
    }
}
