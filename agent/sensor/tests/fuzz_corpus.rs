//! Every input that fuzzing kept, replayed on the stable compiler: what once crashed or hung does not again.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "the sensor is pure; its tests read files and look at the clock"
)]

mod corpus {
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// As long as the fuzzer lets an input run.
    const SLOW: Duration = Duration::from_secs(5);

    #[test]
    fn every_kept_input_is_read_without_harm() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
        let mut inputs = 0;
        for (name, target) in sekimori_sensor::proto::fuzz::TARGETS
            .iter()
            .copied()
            .chain([("decode", sekimori_sensor::decode::fuzz as fn(&[u8]))])
        {
            let Ok(entries) = std::fs::read_dir(folder.join(name)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                let began = Instant::now();
                target(&std::fs::read(&path).unwrap());
                assert!(began.elapsed() < SLOW, "{} takes {:?}", path.display(), began.elapsed());
                inputs += 1;
            }
        }
        assert!(inputs > 100, "the corpus is there: {inputs} inputs");
    }
}
