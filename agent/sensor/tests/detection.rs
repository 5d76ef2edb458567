//! The whole sensor on labelled real captures. They are not part of the repository: `SEKIMORI_CORPORA` names their folder;
//! without it these tests say so and check nothing.
#![expect(clippy::disallowed_methods, reason = "the crate does no IO; its test reads captures and labels")]

#[cfg(test)]
#[path = "corpora/captures.rs"]
mod captures;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::Options;
    use sekimori_sensor::segment::Policy;
    use sekimori_sensor::sensor::{Keep, Sensor, SensorConfig};
    use sekimori_wire::finding::{Category, Finding};
    use sekimori_wire::id::FindingId;
    use sekimori_wire::record::Record;

    use crate::captures::Capture;

    struct Label {
        path: String,
        kind: String,
        expected: String,
        attacker: String,
        victim: String,
        quality: String,
    }

    fn labels() -> Option<(PathBuf, Vec<Label>)> {
        let Some(folder) = std::env::var_os("SEKIMORI_CORPORA").map(PathBuf::from) else {
            println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
            return None;
        };
        let text = fs::read_to_string(folder.join("TRUTH.tsv")).unwrap();
        let labels = text.lines().skip(1).map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut next = || fields.next().unwrap_or_default();
            Label {
                path: next(),
                kind: next(),
                expected: next(),
                attacker: next(),
                victim: next(),
                quality: next(),
            }
        });
        Some((folder, labels.collect()))
    }

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

    /// The last revision of each finding.
    fn findings(records: Vec<Record>) -> Vec<Finding> {
        let mut last: BTreeMap<FindingId, Finding> = BTreeMap::new();
        for record in records {
            if let Record::Finding(finding) = record {
                last.insert(finding.id, *finding);
            }
        }
        last.into_values().collect()
    }

    fn line(finding: &Finding) -> String {
        let show =
            |host: Option<sekimori_wire::id::Host>| host.map_or_else(|| "-".into(), |host| host.to_string());
        format!(
            "{} s{} {} -> {} count {} ports {:?} {:?}",
            finding.category,
            finding.severity.level(),
            show(finding.originator),
            show(finding.responder),
            finding.count,
            finding.ports.iter().take(8).collect::<Vec<_>>(),
            finding.evidence.inputs,
        )
    }

    /// Which of the categories of this version may satisfy a label.
    fn fits(expected: &str, category: Category) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| expected.starts_with(prefix));
        match category {
            Category::ScanPort => starts(&["port_scan", "service_probe"]),
            Category::ScanHost => starts(&["host_sweep", "port_scan", "worm_scan"]),
            Category::FloodSyn => starts(&["syn_flood"]),
            Category::BruteforceLogin => starts(&["brute_force"]),
            Category::DnsTunnel => starts(&["dns_tunnel"]),
            Category::SegmentViolation | Category::EndpointAlert => false,
        }
    }

    fn names(finding: &Finding, label: &Label) -> bool {
        let named = |text: &str| label.attacker.contains(text) || label.victim.contains(text);
        let hosts =
            [finding.originator, finding.responder].into_iter().flatten().map(|host| host.to_string());
        hosts.chain(finding.targets.iter().map(|target| target.to_string())).any(|text| named(&text))
    }

    #[test]
    fn labelled_attacks_are_found() {
        let Some((folder, labels)) = labels() else { return };
        let (mut found, mut judged) = (0, 0);
        for label in labels.iter().filter(|label| label.kind == "attack") {
            let expected = Category::ALL.iter().any(|category| fits(&label.expected, *category));
            let Some(records) = records(&folder.join(&label.path), 1) else { continue };
            let findings = findings(records);
            if !expected {
                findings.iter().for_each(|one| println!("      other  {:50} {}", label.path, line(one)));
                continue;
            }
            let hit = findings.iter().any(|one| fits(&label.expected, one.category) && names(one, label));
            let counted = label.quality != "C";
            judged += usize::from(counted);
            found += usize::from(counted && hit);
            println!(
                "{} {} {:50} {}",
                if hit { "found " } else { "MISSED" },
                label.quality,
                label.path,
                label.expected
            );
            findings.iter().for_each(|one| println!("        {}", line(one)));
        }
        println!("{found} of {judged} found");
        assert!(found * 5 >= judged * 4, "{found} of {judged} found");
    }

    #[test]
    fn benign_captures_raise_nothing_of_severity_2() {
        let Some((folder, labels)) = labels() else { return };
        let mut false_findings = Vec::new();
        for label in labels.iter().filter(|label| label.kind == "benign") {
            let Some(records) = records(&folder.join(&label.path), 1) else { continue };
            for finding in findings(records) {
                let text = format!("{} {}", label.path, line(&finding));
                println!("{text}");
                if finding.severity.level() >= 2 {
                    false_findings.push(text);
                }
            }
        }
        assert!(false_findings.is_empty(), "{false_findings:#?}");
    }

    #[test]
    fn every_capture_ends_and_the_seed_never_shows() {
        let Some((folder, _)) = labels() else { return };
        for part in ["attack", "benign", "malformed", "formats", "protocol"] {
            for path in crate::captures::below(&folder.join(part)) {
                assert_eq!(records(&path, 1), records(&path, 2), "{}", path.display());
            }
        }
    }
}
