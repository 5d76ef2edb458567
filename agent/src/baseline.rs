//! The file of what was learned: read at the start, replaced at a fixed period and at the stop.
//!
//! A capture thread puts what it has learned into its [`Drawer`] and goes on; the thread that owns the disk writes it. A file
//! that is damaged or of another version is said, counted (`baseline.refused`) and learned anew: never a reason not to run.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sekimori_sensor::baseline::BaselineError;

use sekimori_delivery::disk;

/// Learning goes on by the hour; a crash loses no more than this of it.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(15 * 60);
const PREFIX: &str = "baseline-";
const EXTENSION: &str = "skbl";
/// Twice what full tables take: nothing larger was written by us.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where one sensor's learning is kept.
#[derive(Debug)]
pub(crate) struct Drawer {
    path: PathBuf,
    waiting: Mutex<Option<Vec<u8>>>,
}

impl Drawer {
    /// That of an interface, in the state folder.
    pub(crate) fn new(folder: &Path, interface: &str) -> Self {
        Self::at(folder.join(format!("{PREFIX}{interface}.{EXTENSION}")))
    }

    const fn at(path: PathBuf) -> Self {
        Self { path, waiting: Mutex::new(None) }
    }

    /// The only one of a folder; a new one if there is none. `None` if there are several.
    pub(crate) fn only(folder: &Path) -> io::Result<Option<Self>> {
        let mut found = Vec::new();
        if folder.is_dir() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
                if is_ours && path.extension().is_some_and(|extension| extension == EXTENSION) {
                    found.push(path);
                }
            }
        }
        Ok(match (found.pop(), found.is_empty()) {
            (None, _) => Some(Self::new(folder, "replay")),
            (Some(path), true) => Some(Self::at(path)),
            (Some(_), false) => None,
        })
    }

    /// Gives a sensor what was kept.
    pub(crate) fn load(&self, recall: impl FnOnce(&[u8]) -> Result<(), BaselineError>) {
        let file = self.path.display();
        let is_too_large = std::fs::metadata(&self.path).is_ok_and(|data| data.len() > FILE_BYTES_MAX);
        let bytes = if is_too_large { Ok(Vec::new()) } else { std::fs::read(&self.path) };
        match bytes {
            Ok(bytes) => match recall(&bytes) {
                Ok(()) => tracing::info!(%file, "baselines read"),
                Err(error) => tracing::error!(
                    %file,
                    error = &error as &dyn std::error::Error,
                    "the learned baselines cannot be used: they are learned anew, which takes two weeks"
                ),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!(%file, "no baselines yet: they are learned from now on");
            }
            Err(error) => tracing::error!(
                %file,
                error = &error as &dyn std::error::Error,
                "the learned baselines cannot be read: they are learned anew, which takes two weeks"
            ),
        }
    }

    /// Puts in what is to be written; what waited there is older and goes.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *waiting = Some(bytes);
    }

    /// Writes what waits.
    pub(crate) fn write(&self) -> Result<(), disk::DiskError> {
        let taken = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        taken.map_or(Ok(()), |bytes| disk::write_atomic(&self.path, &bytes))
    }
}

#[cfg(test)]
mod tests {
    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::Options;
    use sekimori_sensor::segment::Policy;
    use sekimori_sensor::sensor::{Keep, Sensor, SensorConfig};

    use super::*;

    fn sensor() -> Sensor {
        Sensor::new(SensorConfig {
            limits: Limits::gateway(),
            segments: Policy::default_private(),
            seed: 0,
            user_key: [0; 32],
            observe: Options::default(),
            keep: Keep::Nothing,
            intel: Default::default(),
            exceptions: Default::default(),
            mappings: Default::default(),
            hosts: Default::default(),
        })
    }

    fn refused(sensor: &Sensor) -> u64 {
        let counters = sensor.counters();
        counters.iter().find(|(name, _)| *name == "baseline.refused").map_or(0, |(_, count)| count)
    }

    #[test]
    fn what_is_put_in_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let drawer = Drawer::new(folder.path(), "eth0.100");
        let mut first = sensor();
        drawer.load(|file| first.recall(file));
        assert_eq!(refused(&first), 0, "none yet is not damage");
        drawer.put(vec![1]);
        drawer.put(first.learned());
        drawer.write().unwrap();
        drawer.write().unwrap();
        assert!(folder.path().join("baseline-eth0.100.skbl").is_file());
        let mut second = sensor();
        Drawer::only(folder.path()).unwrap().unwrap().load(|file| second.recall(file));
        assert_eq!(refused(&second), 0);
    }

    #[test]
    fn damage_is_counted_and_no_reason_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline-eth0.skbl");
        for damaged in [&b""[..], b"SKBL", b"SKBL\x09\x00 something", b"text"] {
            std::fs::write(&path, damaged).unwrap();
            let mut sensor = sensor();
            Drawer::new(folder.path(), "eth0").load(|file| sensor.recall(file));
            assert_eq!(refused(&sensor), 1);
        }
        std::fs::write(folder.path().join("baseline-eth1.skbl"), b"").unwrap();
        assert!(Drawer::only(folder.path()).unwrap().is_none(), "which of the two?");
    }
}
